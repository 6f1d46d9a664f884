//! `scontrol`: shows everything, changes jobs, nodes and partitions.
//!
//! A command line, or each line typed at the prompt, becomes one [`Action`]. Some actions first have to look
//! something up; [`Lookup::resume`] turns what was found into the next action.

mod changes;
mod daemon;
mod explain;
mod incomplete;
mod notify;
mod options;
mod partition;
mod partition_policy;
mod pids;
mod record;
mod reservation;
mod resize;
mod show;
pub(super) mod show_job;
mod show_license;
mod show_node;
mod show_partition;
mod show_reservation;
mod show_step;
mod show_topology;
mod top;
mod update;
mod update_job;
mod update_step;

use muster_model::request::{Command, JobTarget, Query};

use super::context::{Answers, Context, Environment, Outcome};
use super::{VERSION_LINE, ids};
pub use changes::{Change, Changes, What};
pub use daemon::{Machine, config_file, slurmd, slurmd_queries};
pub use options::{Flags, Start, start};
pub use pids::{Pids, Told};
pub use resize::{ShellFile, shell_files};
pub use show::{Show, compress as host_list_of_text, down};
pub use show_partition::{over_subscribe_word, partition_line, preempt_mode_word, state_word as partition_state_word};
pub use show_reservation::{in_order as reservations_in_order, state_word as reservation_state_word};

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Only print.
    Print(Outcome),
    /// Ask and print.
    Show(Show),
    /// Change.
    Change(Changes),
    /// Change the size of this job, and tell the shells in it.
    Resize(Changes, JobTarget),
    /// Ask, then see.
    Lookup(Box<Lookup>),
    /// Read names from a file and print their host list.
    HostListOfFile {
        /// The file.
        path: String,
        /// Sorted, without duplicates.
        sorted: bool,
    },
    /// Ask nodes for processes of jobs.
    Pids(Pids),
    /// Wait until the nodes of a job are ready.
    WaitJob(JobTarget),
    /// Write the script of a job to a file, or to standard output with `-`.
    WriteScript {
        /// The job.
        target: JobTarget,
        /// As it was written.
        name: String,
        /// The file; `None` for `slurm-N.sh`.
        file: Option<String>,
    },
    /// Tell of the agent of this machine, or of the one of a node of it.
    ShowSlurmd(Option<String>),
    /// Write the configuration in force to a file of this name with the time behind it; `None` for that of `slurm.conf`.
    WriteConfig(Option<String>),
    /// Change how everything is shown from now on.
    Set(Flags),
    /// Do the last line again.
    Repeat,
    /// Stop.
    Quit,
}

impl Action {
    fn complain(text: &str) -> Action {
        Action::Print(Outcome::failure(text, 1))
    }
}

/// Something that must be known before a change can be made.
#[derive(Debug, Clone, PartialEq)]
pub struct Lookup {
    /// What to ask.
    pub query: Query,
    next: Next,
}

#[derive(Debug, Clone, PartialEq)]
enum Next {
    /// Do this with all jobs of this name.
    Named(String, Verb),
    /// Add to or take from the limits of these jobs.
    AdjustLimit(update_job::LimitChange),
    /// Change the size of a job.
    Resize(Box<resize::Resize>),
    /// Make these changes to all jobs of this name, or to those of one user.
    UpdateNamed(String, Option<u32>, Box<muster_model::request::JobChanges>),
    /// Do this with those of the jobs, and of their tasks, that have not completed.
    Incomplete(Vec<(String, Option<JobTarget>)>, Verb),
}

impl Lookup {
    /// The next action, now that the answer is known.
    pub fn resume(self, answers: &Answers, context: &Context) -> Action {
        let own =
            |job: &muster_model::job::Job| context.caller.is_operator() || job.spec.identity.uid == context.caller.uid;
        let named = |name: &str| -> Vec<JobTarget> {
            let jobs = answers.jobs.iter().filter(|job| *job.spec.name == *name && !job.state.is_final() && own(job));
            jobs.map(|job| JobTarget::job(job.id)).collect()
        };
        match self.next {
            Next::Named(name, verb) => Action::Change(Changes::of_jobs(
                named(&name).into_iter().map(|target| {
                    let text = target.job_id.to_string();
                    (text, Some(target))
                }),
                verb,
            )),
            Next::AdjustLimit(change) => change.resume(answers),
            Next::Resize(resize) => resize.resume(answers),
            Next::Incomplete(jobs, verb) => {
                Action::Change(Changes::of_jobs(jobs.into_iter().flat_map(|job| incomplete::of(job, answers)), verb))
            }
            Next::UpdateNamed(name, user, changes) => {
                let owner = |target: &JobTarget| {
                    answers.jobs.iter().find(|job| job.id == target.job_id).map(|job| job.spec.identity.uid)
                };
                let mut targets = named(&name);
                targets.retain(|target| user.is_none() || owner(target) == user);
                if targets.is_empty() {
                    let whose = user.map_or_else(String::new, |uid| format!("user ID {uid} and "));
                    return Action::complain(&format!("scontrol: error: No jobs with {whose}name '{name}'\n"));
                }
                let each = targets.into_iter().map(|target| Change {
                    what: What::Job(target.job_id.to_string()),
                    command: Ok(Command::UpdateJob { target, changes: changes.clone() }),
                });
                Action::Change(Changes { list: each.collect(), trailer: None })
            }
        }
    }
}

/// What can be done with jobs by their numbers alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// `hold`.
    Hold,
    /// `uhold`.
    UserHold,
    /// `release`.
    Release,
    /// `requeue`.
    Requeue,
    /// `requeuehold`.
    RequeueHold,
    /// `requeuehold State=SpecialExit`.
    SpecialExit,
    /// `suspend`.
    Suspend,
    /// `resume`.
    Resume,
}

impl Verb {
    fn command(self, target: JobTarget) -> Command {
        match self {
            Verb::Hold => Command::Hold { target, as_user: false },
            Verb::UserHold => Command::Hold { target, as_user: true },
            Verb::Release => Command::Release(target),
            Verb::Requeue => Command::Requeue { target, hold: false, special_exit: false },
            Verb::RequeueHold => Command::Requeue { target, hold: true, special_exit: false },
            Verb::SpecialExit => Command::Requeue { target, hold: true, special_exit: true },
            Verb::Suspend => Command::Suspend(target),
            Verb::Resume => Command::Resume(target),
        }
    }

    /// What is printed once more after the complaints about single jobs.
    fn trailer(self) -> Option<&'static str> {
        matches!(self, Verb::Hold | Verb::UserHold | Verb::Release).then_some("slurm_suspend error")
    }
}

/// What the words of one line mean.
pub fn parse(words: &[String], flags: Flags, environment: &Environment, context: &Context) -> Action {
    let Some((keyword, arguments)) = words.split_first() else {
        return Action::Print(Outcome::default());
    };
    if let Some(action) = plain(keyword, arguments, flags) {
        return action;
    }
    let is = |word: &str, least: usize| show::is(keyword, word, least);
    match keyword.as_str() {
        _ if is("show", 3) => show::parse(arguments, environment),
        _ if is("update", 1) => update::parse(arguments, context),
        _ if is("create", 2) => partition::create(arguments, context),
        _ if is("delete", 2) => partition::delete(arguments),
        _ if is("hold", 4) => jobs(keyword, arguments, Verb::Hold),
        _ if is("holdu", 5) || is("uhold", 2) => jobs(keyword, arguments, Verb::UserHold),
        _ if is("release", 3) => jobs(keyword, arguments, Verb::Release),
        _ if is("reconfigure", 3) => reconfigure(arguments),
        _ if is("requeuehold", 8) => jobs(keyword, arguments, Verb::RequeueHold),
        _ if is("requeue", 3) => jobs(keyword, arguments, Verb::Requeue),
        _ if is("suspend", 2) => jobs(keyword, arguments, Verb::Suspend),
        _ if is("resume", 3) => jobs(keyword, arguments, Verb::Resume),
        _ if is("explain", 3) => explain::parse(arguments),
        _ if is("notify", 1) => notify::parse(arguments),
        _ if is("top", 3) => top::parse(arguments),
        _ if is("ping", 3) => match arguments {
            [] => Action::Show(Show::Ping),
            _ => Action::complain("too many arguments for keyword:ping\n"),
        },
        _ if is("listpids", 1) => pids::list(arguments),
        _ if is("pidinfo", 3) => pids::info(arguments),
        _ if is("wait_job", 2) => wait_job(arguments),
        _ if is("write", 2) => write(arguments),
        _ if is("completing", 2) => match arguments {
            [] => Action::Print(Outcome::default()),
            _ => Action::complain("too many arguments for keyword:completing\n"),
        },
        _ if is("errnumstr", 2) => error_text(arguments),
        _ => not_here(keyword),
    }
}

/// The words of a line typed at the prompt; quotes keep blanks together.
pub fn split_line(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut open) = (Vec::new(), String::new(), None, false);
    for c in line.chars() {
        match (c, quote) {
            ('\'' | '"', None) => (quote, open) = (Some(c), true),
            (c, Some(closing)) if c == closing => quote = None,
            (c, None) if c.is_whitespace() => {
                if open || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                open = false;
            }
            (c, _) => word.push(c),
        }
    }
    if open || !word.is_empty() {
        words.push(word);
    }
    words
}

/// Keywords that need nobody else.
fn plain(keyword: &str, arguments: &[String], flags: Flags) -> Option<Action> {
    let is = |word: &str, least: usize| show::is(keyword, word, least);
    let alone = |action: Action| match arguments {
        [] => action,
        _ => Action::complain(&format!("too many arguments for keyword:{keyword}\n")),
    };
    Some(match keyword {
        "!!" => Action::Repeat,
        _ if is("exit", 2) || is("quit", 4) => alone(Action::Quit),
        _ if is("version", 4) => Action::Print(match arguments {
            [] => Outcome::success(VERSION_LINE),
            _ => Outcome {
                stdout: VERSION_LINE.to_owned(),
                stderr: "too many arguments for version keyword\n".to_owned(),
                code: 1,
            },
        }),
        _ if is("help", 2) => Action::Print(Outcome::success(options::HELP)),
        _ if is("all", 2) => alone(Action::Set(Flags { all: true, ..flags })),
        _ if is("hide", 2) => alone(Action::Set(Flags { all: false, ..flags })),
        _ if is("details", 3) => alone(Action::Set(Flags { details: true, ..flags })),
        _ if is("oneliner", 1) => alone(Action::Set(Flags { one_line: true, ..flags })),
        _ if is("quiet", 4) => alone(Action::Set(Flags { quiet: true, verbose: false, ..flags })),
        _ if is("verbose", 4) => alone(Action::Set(Flags { quiet: false, verbose: true, ..flags })),
        _ => return None,
    })
}

/// Keywords of Slurm that nothing stands behind yet are refused by name, others as unknown.
fn not_here(keyword: &str) -> Action {
    const KNOWN: &[&str] = &[
        "abort",
        "cancel_reboot",
        "cluster",
        "fsdampeningfactor",
        "reboot",
        "schedloglevel",
        "setdebug",
        "setdebugflags",
        "shutdown",
        "takeover",
        "token",
    ];
    if KNOWN.iter().any(|word| show::is(keyword, word, 3)) {
        return Action::complain(&format!(
            "scontrol: error: {keyword}: Requested operation not supported on this system\n"
        ));
    }
    Action::complain(&format!("invalid keyword: {keyword}\n"))
}

fn jobs(keyword: &str, arguments: &[String], verb: Verb) -> Action {
    if arguments.is_empty() {
        return Action::complain(&format!("too few arguments for keyword:{keyword}\n"));
    }
    if let [only] = arguments
        && let Some((key, name)) = only.split_once('=')
        && (show::is(key, "name", 4) || show::is(key, "jobname", 4))
    {
        return Action::Lookup(Box::new(Lookup {
            query: Query::Jobs { ids: None, uids: None, active_only: true },
            next: Next::Named(name.to_owned(), verb),
        }));
    }
    let mut named = Vec::new();
    let (mut verb, mut incomplete) = (verb, false);
    for argument in arguments {
        if matches!(verb, Verb::Requeue | Verb::RequeueHold) && show::is(argument, "incomplete", 4) {
            incomplete = true;
            continue;
        }
        if let Some((key, state)) = argument.split_once('=').filter(|(key, _)| key.eq_ignore_ascii_case("state"))
            && matches!(verb, Verb::RequeueHold | Verb::SpecialExit)
        {
            if !show::is(state, "SpecialExit", 2) {
                return Action::complain(&format!("invalid state specification {key}={state}\n"));
            }
            verb = Verb::SpecialExit;
            continue;
        }
        let list = argument
            .split_once('=')
            .filter(|(key, _)| show::is(key, "jobid", 3))
            .map_or(argument.as_str(), |(_, list)| list);
        named.extend(
            ids::split(list)
                .into_iter()
                .map(|text| (text.to_owned(), ids::target(text).filter(|target| target.step.is_none()))),
        );
    }
    if incomplete {
        let ids = named.iter().filter_map(|(_, target)| Some(target.as_ref()?.job_id)).collect();
        return Action::Lookup(Box::new(Lookup {
            query: Query::Jobs { ids: Some(ids), uids: None, active_only: false },
            next: Next::Incomplete(named, verb),
        }));
    }
    Action::Change(Changes::of_jobs(named, verb))
}

/// Slurm passes over one argument.
fn reconfigure(arguments: &[String]) -> Action {
    if arguments.len() > 1 {
        return Action::complain("too many arguments for keyword:reconfigure\n");
    }
    let change = Change { what: What::Configuration, command: Ok(Command::Reconfigure { config: None }) };
    Action::Change(Changes { list: vec![change], trailer: None })
}

fn wait_job(arguments: &[String]) -> Action {
    match arguments {
        [] => Action::complain("too few arguments for keyword:wait_job\n"),
        [text] => match ids::target(text) {
            Some(target) => Action::WaitJob(target),
            None => Action::complain(&format!("Invalid job_id {text}")),
        },
        _ => Action::complain("too many arguments for keyword:wait_job\n"),
    }
}

fn write(arguments: &[String]) -> Action {
    let Some((what, rest)) = arguments.split_first() else {
        return Action::complain("too few arguments for keyword:write\n");
    };
    if show::is(what, "config", 2) {
        return Action::WriteConfig(rest.first().cloned());
    }
    if !show::is(what, "batch_script", 2) {
        return Action::complain(&format!("invalid write argument:{what}\n"));
    }
    let (id, file) = match rest {
        [] => return Action::complain("too few arguments for keyword:write\n"),
        [id] => (id, None),
        [id, file, ..] => (id, Some(file.clone())),
    };
    match ids::target(id) {
        Some(target) => Action::WriteScript { target, name: id.clone(), file },
        None => Action::Print(Outcome::failure("job script retrieval failed: Invalid job id specified\n", 0)),
    }
}

fn error_text(arguments: &[String]) -> Action {
    use muster_model::request::RefusalCode as Code;
    let [number] = arguments else {
        return Action::complain("too few arguments for keyword:errnumstr\n");
    };
    const ALL: &[Code] = &[
        Code::InvalidPartition,
        Code::AccessDenied,
        Code::InvalidNodeCount,
        Code::TooManyCpus,
        Code::InvalidNodeName,
        Code::NodeConfigUnavailable,
        Code::NodesBusy,
        Code::InvalidJobId,
        Code::AlreadyDone,
        Code::Dependency,
        Code::InvalidAccount,
        Code::InvalidQos,
        Code::InvalidTimeLimit,
        Code::InvalidFeature,
        Code::InvalidGres,
    ];
    let found = number.parse().ok().and_then(|number: u32| ALL.iter().find(|code| code.number() == number));
    Action::Print(Outcome::success(format!("{}\n", found.map_or("Unknown error", |code| code.text()))))
}
