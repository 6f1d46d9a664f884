//! `sacctmgr`: accounts, users, associations, QOS and remote licences, shown and changed.
//!
//! A command line becomes a [`Sacctmgr`]; with the rows that the controller answers it becomes a [`Step`]: a text, or
//! changes with the text that announces them and the question whether they are meant. What a command names by
//! conditions is looked up here, so that the question can list it; the core is asked to change exactly these rows.

mod add;
mod cluster;
mod conditions;
mod delete;
mod dump;
mod fields;
mod limits_text;
mod load;
mod loaded;
mod modify;
mod options;
mod reset_usage;
mod resource;
mod show;
mod show_others;
mod table;
mod words;

use muster_model::accounting::{AccountingChange, AccountingPolicy};
use muster_model::ids::Name;
use muster_model::request::{Command, Query};

use super::VERSION_LINE;
use super::context::{Answers, Context, Outcome};
use options::Flags;
use words::{Setting, is_cut};

/// What is asked before anything changes.
const QUESTION: &str = "Would you like to commit changes? (You have 30 seconds to decide)\n(N/y): ";
/// What is asked before it is forgotten what was used.
const RESET_QUESTION: &str = "Would you like to reset usage? (You have 30 seconds to decide)\n(N/y): ";
/// What is said when the answer is no.
pub const DISCARDED: &str = " Changes Discarded\n";

/// A command line that has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sacctmgr {
    flags: Flags,
    verb: Verb,
    entity: Entity,
    words: Vec<String>,
    /// What stands in the file that `load` names, or why it cannot be read.
    file: Option<Result<String, String>>,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Only print.
    Print(Outcome),
    /// Announce, ask unless told not to, and change.
    Change(Change),
    /// Write a file, then print.
    Write(WrittenFile),
}

/// A file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenFile {
    /// Where.
    pub path: String,
    /// What.
    pub text: String,
    /// What is printed, and the exit code.
    pub outcome: Outcome,
}

/// Changes that belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What is printed before.
    pub announcement: String,
    /// What the core is asked for, one after the other.
    pub commands: Vec<Command>,
    /// What is asked first.
    pub question: &'static str,
    /// Whether to ask first.
    pub asks: bool,
    /// What is printed after, and the exit code.
    pub outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Add,
    Delete,
    Dump,
    Load,
    Modify,
    Show,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entity {
    Account,
    Association,
    Cluster,
    Configuration,
    Coordinator,
    Problem,
    Qos,
    Resource,
    Tres,
    User,
}

/// What a command knows about the cluster.
struct Scene<'a> {
    policy: &'a AccountingPolicy,
    cluster: String,
    /// Resources that are counted beside those that always are.
    tracked: Vec<Name>,
    flags: Flags,
    answers: &'a Answers,
    context: &'a Context,
}

impl Sacctmgr {
    /// Reads a command line without the name of the program.
    ///
    /// # Errors
    /// What to print instead of doing anything.
    pub fn new(args: &[String]) -> Result<Sacctmgr, Outcome> {
        let (flags, words) = options::read(args)?;
        let Some((keyword, rest)) = words.split_first() else {
            return Err(unsupported("a prompt for commands"));
        };
        let verb = match keyword.to_ascii_lowercase().as_str() {
            word if is_cut(word, "add", 3) || is_cut(word, "create", 3) => Verb::Add,
            word if is_cut(word, "delete", 3) || is_cut(word, "remove", 6) => Verb::Delete,
            word if dump::is_keyword(word, "dump") => Verb::Dump,
            word if dump::is_keyword(word, "load") => Verb::Load,
            word if is_cut(word, "modify", 1) || is_cut(word, "update", 1) => Verb::Modify,
            word if is_cut(word, "show", 3) || is_cut(word, "list", 3) => Verb::Show,
            "version" => return Err(Outcome::success(VERSION_LINE)),
            "help" => return Err(Outcome::success(options::HELP)),
            word if options::UNSUPPORTED.contains(&word) => return Err(unsupported(word)),
            word => return Err(Outcome::failure(format!("invalid keyword: {word}\n"), 1)),
        };
        if matches!(verb, Verb::Dump | Verb::Load) {
            if verb == Verb::Load {
                load::Wish::of(rest)?;
            }
            return Ok(Sacctmgr { flags, verb, entity: Entity::Cluster, words: rest.to_vec(), file: None });
        }
        let entity = rest.first().and_then(|word| entity(verb, word));
        let Some(entity) = entity else {
            let known = rest.first().map(|word| word.to_ascii_lowercase()).unwrap_or_default();
            let elsewhere = options::ENTITIES_UNSUPPORTED.iter().find(|name| is_cut(&known, name, 3));
            return Err(elsewhere.map_or_else(|| Outcome::failure(nothing_valid(verb), 1), |name| unsupported(name)));
        };
        if flags.read_only && verb != Verb::Show {
            return Err(Outcome::failure("Can't run this command in readonly mode.\n", 1));
        }
        Ok(Sacctmgr { flags, verb, entity, words: rest[1..].to_vec(), file: None })
    }

    /// The file that has to be read before [`Sacctmgr::step`].
    pub fn file_to_read(&self) -> Option<String> {
        let wish = (self.verb == Verb::Load).then(|| load::Wish::of(&self.words).ok()).flatten()?;
        wish.file.map(|(path, _)| path)
    }

    /// What stands in that file, or why it cannot be read.
    pub fn set_file(&mut self, content: Result<String, String>) {
        self.file = Some(content);
    }

    /// What has to be known.
    pub fn queries(&self) -> Vec<Query> {
        vec![Query::Accounting, Query::Config, Query::Ping]
    }

    /// What to do about what is known.
    pub fn step(&self, answers: &Answers, context: &Context) -> Step {
        let storage = answers.cluster.parameter("AccountingStorageType").unwrap_or("accounting_storage/none");
        if storage.ends_with("none") {
            let text = "You are not running a supported accounting_storage plugin\n\
                        Only 'accounting_storage/slurmdbd' is supported.\n";
            return Step::Print(Outcome::failure(text, 1));
        }
        let tracked = answers.cluster.parameter("AccountingStorageTRES").unwrap_or_default();
        let scene = Scene {
            policy: &answers.accounting,
            cluster: answers.cluster.name.as_deref().unwrap_or_default().to_owned(),
            tracked: words::names(tracked),
            flags: self.flags,
            answers,
            context,
        };
        let settings: Vec<Setting> = self.words.iter().map(|word| Setting::read(word)).collect();
        let result = match (self.verb, self.entity) {
            (Verb::Show, Entity::Resource) => resource::show(&settings, &scene),
            (Verb::Show, entity) => show::show(entity, &settings, &scene),
            (Verb::Dump, _) => dump::dump(&self.words, &scene),
            (Verb::Load, _) => self.load(&scene),
            (Verb::Add | Verb::Modify | Verb::Delete, Entity::Cluster) => cluster::change(self.verb, &settings, &scene),
            (Verb::Add, Entity::Account) => add::accounts(&settings, &scene),
            (Verb::Add, Entity::User) => add::users(&settings, &scene),
            (Verb::Add, Entity::Coordinator) => add::coordinators(&settings, &scene),
            (Verb::Add, Entity::Resource) => resource::add(&settings, &scene),
            (Verb::Add, _) => add::qos(&settings, &scene),
            (Verb::Modify, Entity::Resource) => resource::modify(&settings, &scene),
            (Verb::Modify, entity) => modify::modify(entity, &settings, &scene),
            (Verb::Delete, Entity::Resource) => resource::delete(&settings, &scene),
            (Verb::Delete, entity) => delete::delete(entity, &settings, &scene),
        };
        result.unwrap_or_else(Step::Print)
    }

    fn load(&self, scene: &Scene<'_>) -> Result<Step, Outcome> {
        let wish = load::Wish::of(&self.words)?;
        match &self.file {
            Some(Ok(content)) => load::load(&wish, content, scene),
            Some(Err(why)) => {
                let word = wish.file.map(|(_, word)| word).unwrap_or_default();
                Err(Outcome::failure(format!(" Unable to read \"{word}\": {why}\n"), 1))
            }
            None => Err(Outcome::failure(" No filename given, specify one with file=''\n", 1)),
        }
    }

    /// What is printed when the core refuses a change, and the exit code.
    pub fn refused(&self, reason: &str) -> Outcome {
        Outcome::failure(format!(" Error with request: {reason}\n"), 1)
    }
}

impl Scene<'_> {
    fn change(&self, announcement: String, changes: Vec<AccountingChange>) -> Step {
        let commands = changes.into_iter().map(|change| Command::ChangeAccounting(Box::new(change))).collect();
        let asks = !self.flags.immediate;
        Step::Change(Change { announcement, commands, question: QUESTION, asks, outcome: Outcome::default() })
    }
}

/// The thing that `word` names, where the verb can be used with it.
fn entity(verb: Verb, word: &str) -> Option<Entity> {
    let all = [
        ("accounts", 4, Entity::Account),
        ("associations", 2, Entity::Association),
        ("clusters", 2, Entity::Cluster),
        ("configuration", 3, Entity::Configuration),
        ("coordinators", 4, Entity::Coordinator),
        ("problems", 1, Entity::Problem),
        ("qos", 1, Entity::Qos),
        ("resources", 4, Entity::Resource),
        ("tres", 2, Entity::Tres),
        ("users", 1, Entity::User),
    ];
    let (_, _, entity) = *all.iter().find(|(name, least, _)| is_cut(word, name, *least))?;
    let fits = match verb {
        Verb::Show => entity != Entity::Coordinator,
        Verb::Modify => {
            matches!(entity, Entity::Account | Entity::Cluster | Entity::Qos | Entity::Resource | Entity::User)
        }
        _ => !matches!(entity, Entity::Association | Entity::Configuration | Entity::Problem | Entity::Tres),
    };
    fits.then_some(entity)
}

fn nothing_valid(verb: Verb) -> String {
    let (verb, list) = match verb {
        Verb::Dump | Verb::Load => return String::new(),
        Verb::Show => (
            "list",
            "\"Account\", \"Association\", \"Cluster\", \"Configuration\",\n\"Event\", \"Federation\", \"Problem\", \
             \"QOS\", \"Resource\", \"Reservation\",\n\"RunAwayJobs\", \"Stats\", \"Transaction\", \"TRES\", \"User\", \
             or \"WCKey\"",
        ),
        Verb::Modify => {
            ("modify", "\"Account\", \"Cluster\", \"Federation\", \"Job\", \"QOS\", \"Resource\" or \"User\"")
        }
        Verb::Add => {
            ("add", "\"Account\", \"Cluster\", \"Coordinator\", \"Federation\", \"QOS\", \"Resource\", or \"User\"")
        }
        Verb::Delete => {
            ("delete", "\"Account\", \"Cluster\", \"Coordinator\", \"Federation\", \"QOS\", \"Resource\", or \"User\"")
        }
    };
    format!("No valid entity in {verb} command\nInput line must include {list}\n")
}

fn unsupported(what: &str) -> Outcome {
    Outcome::failure(format!("sacctmgr: error: {what} is not supported by this version\n"), 1)
}
