//! `scancel`: ends jobs and steps, or sends them signals.
//!
//! With numbers alone each becomes one request, and unknown or ended jobs are nothing to complain about. With
//! conditions, or when asking before each, the jobs in memory are looked through first.

use std::collections::BTreeSet;
use std::sync::Arc;

use muster_model::array::TaskSet;
use muster_model::ids::{JobId, StepId};
use muster_model::job::{ArrayRole, Job};
use muster_model::request::{Cancel, JobTarget, Query, RefusalCode};
use muster_model::state::JobState;

use super::context::{Answers, Context, Environment, Outcome, touches};
use super::getopt::{self, Item, Opt, Value, opt};
use super::{VERSION_LINE, ids, job_text, order};
use crate::grammar::signal;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Account,
    Batch,
    Clusters,
    Ctld,
    Full,
    Help,
    Hurry,
    Interactive,
    Me,
    Name,
    NodeList,
    Partition,
    Qos,
    Quiet,
    Reservation,
    Sibling,
    Signal,
    State,
    Usage,
    User,
    Verbose,
    Version,
    Workload,
}

const OPTIONS: &[Opt<Key>] = &[
    opt(Key::Account, 'A', "account", Value::Needed),
    opt(Key::Batch, 'b', "batch", Value::None),
    opt(Key::Ctld, '\0', "ctld", Value::None),
    opt(Key::Full, 'f', "full", Value::None),
    opt(Key::Help, '\0', "help", Value::None),
    opt(Key::Hurry, 'H', "hurry", Value::None),
    opt(Key::Interactive, 'i', "interactive", Value::None),
    opt(Key::Me, '\0', "me", Value::None),
    opt(Key::Clusters, 'M', "cluster", Value::Needed),
    opt(Key::Clusters, '\0', "clusters", Value::Needed),
    opt(Key::Name, 'n', "name", Value::Needed),
    opt(Key::Name, '\0', "jobname", Value::Needed),
    opt(Key::NodeList, 'w', "nodelist", Value::Needed),
    opt(Key::Partition, 'p', "partition", Value::Needed),
    opt(Key::Qos, 'q', "qos", Value::Needed),
    opt(Key::Quiet, 'Q', "quiet", Value::None),
    opt(Key::Reservation, 'R', "reservation", Value::Needed),
    opt(Key::Sibling, '\0', "sibling", Value::Needed),
    opt(Key::Signal, 's', "signal", Value::Needed),
    opt(Key::State, 't', "state", Value::Needed),
    opt(Key::User, 'u', "user", Value::Needed),
    opt(Key::Usage, '\0', "usage", Value::None),
    opt(Key::Verbose, 'v', "verbose", Value::None),
    opt(Key::Version, 'V', "version", Value::None),
    opt(Key::Workload, '\0', "wckey", Value::Needed),
];

const USAGE: &str = "Usage: scancel [-A account] [--batch] [--full] [--interactive] [-n job_name]
               [-p partition] [-Q] [-q qos] [-R reservation] [-s signal | integer]
               [-t PENDING | RUNNING | SUSPENDED] [--usage] [-u user_name]
               [--hurry] [-V] [-v] [-w hosts...] [--wckey=wckey]
               [job_id[_array_id][.step_id]]
";

const HELP: &str = "Usage: scancel [OPTIONS] [job_id[_array_id][.step_id]]
  -A, --account=NAME       only jobs of this account
  -b, --batch              signal the batch shell only
  -f, --full               signal the batch shell and all steps
  -i, --interactive        ask before each
      --me                 only one's own jobs
  -n, --name=NAME          only jobs with this name
  -p, --partition=NAME     only jobs in this partition
  -q, --qos=NAME           only jobs with this quality of service
  -Q, --quiet              no complaints
  -R, --reservation=NAME   only jobs in this reservation
  -s, --signal=SIGNAL      send this signal
  -t, --state=STATE        only jobs that are PENDING, RUNNING or SUSPENDED
  -u, --user=NAME          only jobs of this user
  -v, --verbose            say what is done
  -V, --version            version
  -w, --nodelist=HOSTS     only jobs on these nodes
      --wckey=KEY          only jobs with this workload key
";

/// A `scancel` that is ready to act.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scancel {
    targets: Vec<(String, JobTarget)>,
    signal: Option<u8>,
    batch_only: bool,
    full: bool,
    interactive: bool,
    quiet: bool,
    verbose: bool,
    cluster: Option<String>,
    account: Option<String>,
    name: Option<String>,
    partition: Option<String>,
    qos: Option<String>,
    reservation: Option<String>,
    wckey: Option<String>,
    nodes: Option<String>,
    user: Option<(String, u32)>,
    states: Vec<JobState>,
}

/// One thing to end or to signal.
#[derive(Debug, Clone, PartialEq)]
pub struct Kill {
    /// The request.
    pub request: Cancel,
    /// What to say on standard error before; empty unless asked to say more.
    pub announcement: String,
    /// What to ask first.
    pub question: Option<String>,
    /// `job id 12`, as complaints name it.
    name: String,
    /// Whether it was found by its conditions, so that it must exist.
    found: bool,
}

impl Scancel {
    /// Reads the command line (without the program's name).
    ///
    /// # Errors
    /// What to print instead.
    pub fn new(args: &[String], environment: &Environment, context: &Context) -> Result<Scancel, Outcome> {
        let mut scancel = Scancel::default();
        const VARIABLES: &[(&str, Key)] = &[
            ("SCANCEL_ACCOUNT", Key::Account),
            ("SCANCEL_BATCH", Key::Batch),
            ("SCANCEL_FULL", Key::Full),
            ("SCANCEL_INTERACTIVE", Key::Interactive),
            ("SCANCEL_NAME", Key::Name),
            ("SCANCEL_PARTITION", Key::Partition),
            ("SCANCEL_QOS", Key::Qos),
            ("SCANCEL_STATE", Key::State),
            ("SCANCEL_USER", Key::User),
            ("SCANCEL_VERBOSE", Key::Verbose),
            ("SCANCEL_WCKEY", Key::Workload),
            ("SLURM_CLUSTERS", Key::Clusters),
        ];
        for (name, key) in VARIABLES {
            if let Some(value) = environment.get(*name) {
                scancel.apply(*key, value.clone(), context)?;
            }
        }
        let parsed = getopt::parse(args, OPTIONS);
        for item in parsed.items {
            match item {
                Item::Error(text) => {
                    return Err(Outcome::failure(
                        format!("scancel: {text}\nTry \"scancel --help\" for more information\n"),
                        1,
                    ));
                }
                Item::Option(key, value) => scancel.apply(key, value.unwrap_or_default(), context)?,
            }
        }
        for word in parsed.rest.iter().flat_map(|word| ids::split(word)) {
            // Only numbered steps have a name here: a script is reached by --batch.
            let is_numbered = |target: &JobTarget| target.step.is_none_or(|step| matches!(step, StepId::Number(_)));
            let target = ids::target(word).filter(is_numbered);
            let target = target.ok_or_else(|| complain(&format!("Invalid job id {word}")))?;
            scancel.targets.push((word.to_owned(), target));
        }
        if scancel.targets.is_empty() && !scancel.has_conditions() {
            return Err(complain("No job identification provided"));
        }
        Ok(scancel)
    }

    fn apply(&mut self, key: Key, value: String, context: &Context) -> Result<(), Outcome> {
        match key {
            Key::Account => self.account = Some(value),
            Key::Batch => self.batch_only = true,
            Key::Clusters => self.cluster = Some(value),
            Key::Full => self.full = true,
            Key::Interactive => self.interactive = true,
            Key::Me => self.user = Some((context.caller.user.to_string(), context.caller.uid)),
            Key::Name => self.name = Some(value),
            Key::NodeList => self.nodes = Some(value),
            Key::Partition => self.partition = Some(value),
            Key::Qos => self.qos = Some(value),
            Key::Quiet => self.quiet = true,
            Key::Reservation => self.reservation = Some(value),
            Key::Signal => {
                let unknown = || Outcome::failure(format!("Unknown job signal: {value}\n"), 1);
                self.signal = Some(signal::parse(&value).ok_or_else(unknown)?);
            }
            Key::State => self.states = value.split(',').map(state).collect::<Result<_, _>>()?,
            Key::User => {
                let uid = context.user(&value).ok_or_else(|| complain(&format!("Invalid user name: {value}")))?;
                self.user = Some((value, uid));
            }
            Key::Verbose => self.verbose = true,
            Key::Workload => self.wckey = Some(value),
            Key::Sibling => {
                return Err(complain("--sibling is not available here: there are no federations"));
            }
            Key::Help => return Err(Outcome::success(HELP)),
            Key::Usage => return Err(Outcome::success(USAGE)),
            Key::Version => return Err(Outcome::success(VERSION_LINE)),
            // The controller always does the choosing among tasks, and there are no burst buffers to drain.
            Key::Ctld | Key::Hurry => {}
        }
        Ok(())
    }

    fn has_conditions(&self) -> bool {
        !self.states.is_empty()
            || self.user.is_some()
            || [&self.account, &self.name, &self.partition, &self.qos, &self.reservation, &self.wckey, &self.nodes]
                .iter()
                .any(|value| value.is_some())
    }

    /// `-M`.
    pub fn cluster(&self) -> Option<&str> {
        self.cluster.as_deref()
    }

    /// What to ask before anything can be done; nothing when numbers alone say all.
    pub fn queries(&self) -> Vec<Query> {
        if self.has_conditions() || self.interactive {
            vec![Query::Jobs { ids: None, uids: None, active_only: true }]
        } else {
            Vec::new()
        }
    }

    /// What to end or to signal, in order.
    pub fn kills(&self, answers: &Answers, context: &Context) -> Vec<Kill> {
        if !self.has_conditions() && !self.interactive {
            return self.targets.iter().map(|(text, target)| self.kill(text, target.clone(), None)).collect();
        }
        let mut jobs = answers.jobs.clone();
        order::by_list(&mut jobs);
        jobs.retain(|job| self.wants(job));
        // The leader of a heterogeneous job stands for all of it.
        let wanted: BTreeSet<JobId> = jobs.iter().map(|job| job.id).collect();
        jobs.retain(|job| !job.is_led() || job.het_job_id().is_none_or(|leader| !wanted.contains(&leader)));
        jobs.iter().flat_map(|job| self.kills_of(job, context)).collect()
    }

    /// What is said of jobs that were named and that no record stands for, where records were asked for: those that have
    /// ended, and those that the conditions leave out. Slurm tells so before it ends the others.
    pub fn unmatched(&self, answers: &Answers) -> Outcome {
        let mut outcome = Outcome::default();
        if self.queries().is_empty() {
            return outcome;
        }
        let is_met = |target: &JobTarget| answers.jobs.iter().any(|job| self.wants(job) && ids::matches(target, job));
        for (text, target) in self.targets.iter().filter(|(_, target)| !is_met(target)) {
            outcome.code = 1;
            if !self.quiet {
                let what = if target.step.is_some() { "job step id" } else { "job id" };
                let reason = RefusalCode::InvalidJobId.text();
                outcome.stderr.push_str(&format!("scancel: error: Kill job error on {what} {text}: {reason}\n"));
            }
        }
        outcome
    }

    /// Its steps or tasks as they were named, or the whole record.
    fn kills_of(&self, job: &Arc<Job>, context: &Context) -> Vec<Kill> {
        let text = job_text::array_id(job, None, context);
        let named: Vec<_> = self.targets.iter().filter(|(_, target)| ids::matches(target, job)).collect();
        let exact =
            |target: &JobTarget| target.step.is_some() || (target.tasks.is_some() && job.task_index().is_none());
        if !named.is_empty() && named.iter().all(|(_, target)| exact(target)) {
            return named.into_iter().map(|(text, target)| self.kill(text, target.clone(), Some(job))).collect();
        }
        let target = match &job.array {
            None => JobTarget::job(job.id),
            Some(ArrayRole::Waiting { tasks }) => JobTarget { tasks: Some(tasks.clone()), ..JobTarget::job(job.id) },
            Some(ArrayRole::Task { array_job_id, task_index }) => {
                JobTarget { tasks: Some(TaskSet::from_indices([*task_index])), ..JobTarget::job(*array_job_id) }
            }
        };
        vec![self.kill(&text, target, Some(job))]
    }

    fn kill(&self, text: &str, target: JobTarget, job: Option<&Arc<Job>>) -> Kill {
        let is_step = target.step.is_some();
        let what = if is_step { "step" } else { "job" };
        let announcement = match (self.verbose, self.signal) {
            (false, _) => String::new(),
            (true, None) => format!("scancel: Terminating {what} {text}\n"),
            (true, Some(signal)) if self.batch_only && !is_step => {
                format!("scancel: Signal {signal} to batch job {text}\n")
            }
            (true, Some(signal)) => format!("scancel: Signal {signal} to {what} {text}\n"),
        };
        let question = job.filter(|_| self.interactive).map(|job| {
            let name = if is_step { format!("step_id={text}") } else { format!("job_id={text}") };
            format!("Cancel {name} name={} partition={} [y/n]? ", job.spec.name, job.partition)
        });
        let name = match (is_step, &job) {
            // Of a job that is there the controller tells, and names no step.
            (true, Some(_)) => format!("job step id {}", text.split('.').next().unwrap_or(text)),
            (true, None) => format!("job step id {text}"),
            (false, _) => format!("job id {text}"),
        };
        let request = Cancel {
            target,
            signal: self.signal,
            batch_only: self.batch_only,
            full: self.full,
            states: self.states.clone(),
        };
        Kill { request, announcement, question, name, found: job.is_some() }
    }

    fn wants(&self, job: &Job) -> bool {
        let spec = &job.spec;
        let same = |wanted: &Option<String>, value: Option<&str>| {
            wanted.as_ref().is_none_or(|wanted| value == Some(wanted.as_str()))
        };
        let names = self.nodes.as_ref().map(|list| muster_model::hostlist::expand(list).unwrap_or_default());
        !job.state.is_final()
            && (self.targets.is_empty() || self.targets.iter().any(|(_, target)| ids::matches(target, job)))
            && (self.states.is_empty() || self.states.contains(&job.state))
            && self.user.as_ref().is_none_or(|(_, uid)| spec.identity.uid == *uid)
            && same(&self.account, job.account_name())
            && same(&self.name, Some(&spec.name))
            && same(&self.partition, Some(&job.partition))
            && same(&self.qos, Some(job.qos_name().unwrap_or("normal")))
            && same(&self.reservation, job.reservation_shown().map(|name| &**name))
            && same(&self.wckey, job_text::wckey(job))
            && names.is_none_or(|names| touches(&job_text::nodes(job), &names))
    }

    /// What to say when nothing matches the conditions.
    pub fn nothing_matches(&self) -> String {
        if !self.verbose {
            return String::new();
        }
        let conditions = [
            ("account", self.account.as_deref()),
            ("job_name", self.name.as_deref()),
            ("partition", self.partition.as_deref()),
            ("qos", self.qos.as_deref()),
            ("reservation", self.reservation.as_deref()),
            ("user_name", self.user.as_ref().map(|(name, _)| name.as_str())),
            ("wckey", self.wckey.as_deref()),
            ("nodelist", self.nodes.as_deref()),
        ];
        let given: String =
            conditions.iter().filter_map(|(key, value)| value.map(|value| format!("{key}={value} "))).collect();
        format!("scancel: error: No active jobs match ALL job filters, including: {given}\n")
    }

    /// What a refusal prints on standard error, and the exit code that it makes (0 for none).
    pub fn refused(&self, kill: &Kill, code: RefusalCode) -> (String, u8) {
        let gone = matches!(code, RefusalCode::InvalidJobId | RefusalCode::AlreadyDone | RefusalCode::JobFinished);
        let by_number = !kill.found && kill.request.target.step.is_none();
        let text = format!("scancel: error: Kill job error on {}: {}\n", kill.name, code.text());
        if gone && by_number && self.signal.is_none() {
            return if self.verbose { (text, 0) } else { (String::new(), 0) };
        }
        let exit = if gone && !kill.found { 1 } else { (code.number() & 0xff) as u8 };
        let text = if self.quiet && gone { String::new() } else { text };
        (text, exit)
    }

    /// What an unreachable controller prints, with the exit code.
    pub fn unreachable(&self, kill: &Kill) -> (String, u8) {
        /// Slurm's number for a failed connection, as far as it fits into an exit code.
        const CONNECTION_EXIT: u8 = (1800 & 0xff) as u8;
        (format!("scancel: error: Kill job error on {}: {}\n", kill.name, super::CONNECT_FAILURE), CONNECTION_EXIT)
    }
}

fn complain(text: &str) -> Outcome {
    Outcome::failure(format!("scancel: error: {text}\n"), 1)
}

fn state(word: &str) -> Result<JobState, Outcome> {
    let known = [JobState::Pending, JobState::Running, JobState::Suspended];
    let found = known
        .into_iter()
        .find(|state| word.eq_ignore_ascii_case(state.as_str()) || word.eq_ignore_ascii_case(state.compact()));
    found.ok_or_else(|| {
        Outcome::failure(
            format!("Invalid job state specified: {word}\nValid job states are PENDING, RUNNING, and SUSPENDED\n"),
            1,
        )
    })
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use muster_model::ids::Identity;
    use muster_model::time::Timestamp;

    use super::*;

    fn context() -> Context {
        let caller = Identity { uid: 0, gid: 0, user: "root".into(), group: "root".into() };
        Context::new(Timestamp(0), TimeZone::UTC, &Environment::new(), caller)
    }

    /// What a single number prints when it is refused for `code`.
    fn check(line: &str, code: RefusalCode, stderr: &str, exit: u8) {
        let args: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let scancel =
            Scancel::new(&args, &Environment::new(), &context()).unwrap_or_else(|outcome| panic!("{outcome:?}"));
        let kills = scancel.kills(&Answers::default(), &context());
        let [kill] = kills.as_slice() else { panic!("{line}: {kills:?}") };
        let (text, found) = scancel.refused(kill, code);
        assert_eq!((format!("{}{text}", kill.announcement).as_str(), found), (stderr, exit), "{line}");
    }

    #[test]
    fn what_is_gone_is_no_fault() {
        use RefusalCode::{AccessDenied, AlreadyDone, InvalidJobId};
        check("999999", InvalidJobId, "", 0);
        check("527_99", InvalidJobId, "", 0);
        check("526", AlreadyDone, "", 0);
        let verbose = "scancel: Terminating job 526\nscancel: error: Kill job error on job id 526: Job/step already completing or completed\n";
        check("-v 526", AlreadyDone, verbose, 0);
        let signal = "scancel: error: Kill job error on job id 999999: Invalid job id specified\n";
        check("-s USR1 999999", InvalidJobId, signal, 1);
        let step = "scancel: error: Kill job error on job step id 524.0: Invalid job id specified\n";
        check("524.0", InvalidJobId, step, 1);
        let batch =
            "scancel: Signal 10 to batch job 9\nscancel: error: Kill job error on job id 9: Invalid job id specified\n";
        check("-v -b -s USR1 9", InvalidJobId, batch, 1);
        let denied = "scancel: error: Kill job error on job id 524: Access/permission denied\n";
        check("524", AccessDenied, denied, 210);
    }

    #[test]
    fn named_jobs_that_the_conditions_leave_out_are_told() {
        let check = |line: &str, stderr: &str| {
            let args: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let scancel = Scancel::new(&args, &Environment::new(), &context()).expect("a good line");
            let outcome = scancel.unmatched(&Answers::default());
            assert_eq!((outcome.stderr.as_str(), outcome.code), (stderr, u8::from(line != "7")), "{line}");
        };
        check("7", "");
        check("-i 7", "scancel: error: Kill job error on job id 7: Invalid job id specified\n");
        check("-u root 7_3", "scancel: error: Kill job error on job id 7_3: Invalid job id specified\n");
        check("-i 7.0", "scancel: error: Kill job error on job step id 7.0: Invalid job id specified\n");
        check("-Q -i 7", "");
    }

    #[test]
    fn numbers_and_signals_become_requests() {
        let args = ["--signal=TERM".to_owned(), "-f".to_owned(), "12_3".to_owned()];
        let scancel = Scancel::new(&args, &Environment::new(), &context()).expect("a good line");
        let kills = scancel.kills(&Answers::default(), &context());
        let target =
            JobTarget { tasks: Some(TaskSet::from_indices([3])), ..JobTarget::job(muster_model::ids::JobId(12)) };
        let request = Cancel { target, signal: Some(15), batch_only: false, full: true, states: Vec::new() };
        assert_eq!(kills.iter().map(|kill| kill.request.clone()).collect::<Vec<_>>(), [request]);
    }
}
