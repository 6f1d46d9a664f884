//! The command line of `sprio`.

use muster_model::priority::PriorityRow;

use super::super::VERSION_LINE;
use super::super::context::{Context, Environment, Outcome};
use super::super::getopt::{self, Item, Opt, Value, opt};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Cluster,
    Federation,
    Format,
    Help,
    Jobs,
    Local,
    Long,
    NoHeader,
    Normalised,
    Partitions,
    Sibling,
    Sort,
    Usage,
    Users,
    Verbose,
    Version,
    Weights,
}

const OPTIONS: &[Opt<Key>] = &[
    opt(Key::Federation, '\0', "federation", Value::None),
    opt(Key::NoHeader, 'h', "noheader", Value::None),
    opt(Key::Jobs, 'j', "jobs", Value::Optional),
    opt(Key::Local, '\0', "local", Value::None),
    opt(Key::Long, 'l', "long", Value::None),
    opt(Key::Cluster, 'M', "cluster", Value::Needed),
    opt(Key::Cluster, '\0', "clusters", Value::Needed),
    opt(Key::Normalised, 'n', "norm", Value::None),
    opt(Key::Format, 'o', "format", Value::Needed),
    opt(Key::Partitions, 'p', "partition", Value::Needed),
    opt(Key::Sibling, '\0', "sibling", Value::None),
    opt(Key::Sort, 'S', "sort", Value::Needed),
    opt(Key::Users, 'u', "user", Value::Needed),
    opt(Key::Users, '\0', "users", Value::Needed),
    opt(Key::Verbose, 'v', "verbose", Value::None),
    opt(Key::Version, 'V', "version", Value::None),
    opt(Key::Weights, 'w', "weights", Value::None),
    opt(Key::Help, '\0', "help", Value::None),
    opt(Key::Usage, '\0', "usage", Value::None),
];

const USAGE: &str = "\
Usage: sprio [-j jid[s]] [-u user_name[s]] [-o format] [-p partitions]
   [--federation] [--local] [--sibling] [--usage] [-hlnvVw]
";

const HELP: &str = include_str!("help.txt");

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Options {
    pub header: bool,
    pub long: bool,
    pub normalised: bool,
    pub weights: bool,
    pub format: Option<String>,
    pub sort: Option<String>,
    pub cluster: Option<String>,
    pub users: Option<Vec<u32>>,
    pub complaints: Outcome,
    jobs: Option<Vec<u32>>,
    partitions: Option<Vec<String>>,
    verbose: usize,
    takes_word: bool,
    written: [Option<String>; 4],
}

impl Options {
    pub(super) fn wants(&self, row: &PriorityRow) -> bool {
        self.jobs.as_ref().is_none_or(|jobs| jobs.contains(&row.ledger.job_id.0))
            && self.users.as_ref().is_none_or(|users| users.is_empty() || users.contains(&row.uid))
            && self.partitions.as_ref().is_none_or(|names| names.iter().any(|name| **name == *row.ledger.partition))
    }

    /// Whether jobs or users are named, so that finding none is worth a word.
    pub(super) fn names_jobs(&self) -> bool {
        self.jobs.is_some() || self.users.as_ref().is_some_and(|users| !users.is_empty())
    }

    /// What `-v` tells before the table.
    pub(super) fn dump(&self) -> String {
        if self.verbose == 0 {
            return String::new();
        }
        let [format, jobs, partitions, users] = &self.written;
        let text = |written: &Option<String>| written.clone().unwrap_or_else(|| "(null)".to_owned());
        let line = "-----------------------------\n";
        format!(
            "{line}format     = {}\njob_flag   = {}\njobs       = {}\npartition  = {}\nusers      = {}\nverbose    = {}\n\
             {line}\n\n",
            text(format),
            u8::from(jobs.is_some()),
            text(jobs),
            text(partitions),
            text(users),
            self.verbose
        )
    }
}

fn fail(message: &str) -> Outcome {
    Outcome::failure(format!("sprio: {message}\n"), 1)
}

/// Reads the command line.
pub(super) fn read(args: &[String], environment: &Environment, context: &Context) -> Result<Options, Outcome> {
    let parsed = getopt::parse(args, OPTIONS);
    let mut options =
        Options { header: true, cluster: environment.get("SLURM_CLUSTERS").cloned(), ..Options::default() };
    for item in parsed.items {
        match item {
            Item::Error(text) => return Err(fail(&format!("{text}\nTry \"sprio --help\" for more information"))),
            Item::Option(key, value) => options.take(key, value.unwrap_or_default(), context)?,
        }
    }
    let mut rest = parsed.rest.into_iter();
    if options.takes_word {
        // `-j 12`, although the value is optional.
        rest.next().map_or(Ok(()), |word| options.take(Key::Jobs, word, context))?;
    }
    if let Some(word) = rest.next() {
        return Err(Outcome { stdout: USAGE.to_owned(), ..fail(&format!("error: Unrecognized option: {word}")) });
    }
    if options.format.is_some() && options.long {
        return Err(fail(
            "fatal: Options -o(--format) and -l(--long) are mutually exclusive. Please remove one and retry.",
        ));
    }
    if options.format.is_none() && !options.long {
        options.format = environment.get("SPRIO_FORMAT").cloned();
    }
    Ok(options)
}

impl Options {
    fn take(&mut self, key: Key, value: String, context: &Context) -> Result<(), Outcome> {
        match key {
            Key::Cluster => self.cluster = Some(value),
            // There is no federation that these could choose from, as on most clusters of Slurm.
            Key::Federation | Key::Local | Key::Sibling => {}
            Key::Format => {
                self.written[0] = Some(value.clone());
                self.format = Some(value);
            }
            Key::Help => return Err(Outcome::success(HELP)),
            Key::Usage => return Err(Outcome::success(USAGE)),
            Key::Version => return Err(Outcome::success(VERSION_LINE)),
            Key::Jobs if value.is_empty() => self.takes_word = true,
            Key::Jobs => {
                self.written[1] = Some(value.clone());
                let number = |word: &str| match word.parse::<u32>() {
                    Ok(number) if number > 0 => Ok(number),
                    _ => Err(fail(&format!("error: Invalid job id: {word}"))),
                };
                self.jobs = Some(value.split(',').map(number).collect::<Result<_, _>>()?);
            }
            Key::Partitions => {
                self.written[2] = Some(value.clone());
                self.partitions = Some(value.split(',').map(str::to_owned).collect());
            }
            Key::Users => {
                self.written[3] = Some(value.clone());
                let mut users = Vec::new();
                for name in value.split(',') {
                    match context.user(name) {
                        Some(uid) => users.push(uid),
                        None => {
                            self.complaints.stderr.push_str(&format!("sprio: error: Invalid user: {name}\n\n"));
                        }
                    }
                }
                // Slurm then looks for a user that has no jobs; the table stays empty.
                if users.is_empty() {
                    self.partitions = Some(Vec::new());
                }
                self.users = Some(users);
            }
            Key::Long => self.long = true,
            Key::NoHeader => self.header = false,
            Key::Normalised => self.normalised = true,
            Key::Sort => self.sort = Some(value),
            Key::Verbose => self.verbose += 1,
            Key::Weights => self.weights = true,
        }
        Ok(())
    }
}
