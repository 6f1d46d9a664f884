//! The command line of `scontrol` before its keyword.

use super::super::VERSION_LINE;
use super::super::context::{Environment, Outcome};
use super::super::getopt::{self, Item, Opt, Value, opt};

/// How things are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags {
    /// `-a`: hidden partitions, too.
    pub all: bool,
    /// `-d`: more about each job and node.
    pub details: bool,
    /// `--explain`: with why jobs wait; an addition to Slurm's.
    pub explain: bool,
    /// `-F`: nodes in state FUTURE, too.
    pub future: bool,
    /// `-o`: each record on one line.
    pub one_line: bool,
    /// `-Q`: no complaints.
    pub quiet: bool,
    /// `-v`: also as of when something is shown.
    pub verbose: bool,
}

/// How to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Flags of the command line.
    pub flags: Flags,
    /// The keyword with its arguments; empty for the prompt.
    pub words: Vec<String>,
    /// `-M`.
    pub cluster: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    All,
    Cluster,
    Details,
    Explain,
    Federation,
    Future,
    Help,
    Hide,
    Local,
    OneLine,
    Quiet,
    Sibling,
    Uid,
    Usage,
    Verbose,
    Version,
}

const OPTIONS: &[Opt<Key>] = &[
    opt(Key::All, 'a', "all", Value::None),
    opt(Key::Cluster, 'M', "cluster", Value::Needed),
    opt(Key::Cluster, '\0', "clusters", Value::Needed),
    opt(Key::Details, 'd', "details", Value::None),
    opt(Key::Explain, '\0', "explain", Value::None),
    opt(Key::Federation, '\0', "federation", Value::None),
    opt(Key::Future, 'F', "future", Value::None),
    opt(Key::Help, 'h', "help", Value::None),
    opt(Key::Hide, '\0', "hide", Value::None),
    opt(Key::Local, '\0', "local", Value::None),
    opt(Key::OneLine, 'o', "oneliner", Value::None),
    opt(Key::Quiet, 'Q', "quiet", Value::None),
    opt(Key::Sibling, '\0', "sibling", Value::None),
    opt(Key::Uid, 'u', "uid", Value::Needed),
    opt(Key::Usage, '\0', "usage", Value::None),
    opt(Key::Verbose, 'v', "verbose", Value::None),
    opt(Key::Version, 'V', "version", Value::None),
];

/// What `help` prints.
pub const HELP: &str = "scontrol [OPTIONS] [KEYWORD [ARGUMENTS]]
  -a, --all        also hidden partitions
  -d, --details    more about jobs and nodes
      --explain    also why a job waits and when it starts (show job N)
  -F, --future     also nodes in state FUTURE
  -M, --cluster    on this cluster
  -o, --oneliner   each record on one line
  -Q, --quiet      no complaints
  -V, --version    version

  -v, --verbose    also as of when something is shown

  Without a <COMMAND> lines are read from a prompt.
  Valid <COMMAND> values are:
     create <WHAT>            make a partition or a reservation
     delete <WHAT>            take one away
     explain <JOBS>           why jobs wait
     help                     this page
     hold, uhold <JOBS>       keep jobs from starting
     ping                     whether the controller answers
     reconfigure              have all daemons read their files again
     release <JOBS>           let held jobs start
     requeue <JOBS>           put jobs back into the queue
     requeuehold <JOBS>       the same, held
     resume <JOBS>            let suspended jobs go on
     show <ENTITY> [<ID>]     config, daemons, hostlist, hostlistsorted, hostnames, job, licenses, node,
                              partition, reservation, slurmd, step, topology
     suspend <JOBS>           have jobs stand still
     top <JOBS>               put jobs before the others of their user
     update <KEY=VALUE>...    of JobId=, JobName=, NodeName=, PartitionName=, ReservationName=
     version                  the version
     wait_job <JOB>           until the nodes of a job are ready
     write batch_script <JOB> [<FILE>]
     write config [<FILE>]    the configuration in force
     all, hide, details, oneliner, quiet, verbose, !!, exit, quit   at the prompt
";

/// Reads the command line (without the program's name).
///
/// # Errors
/// What to print instead.
pub fn start(args: &[String], environment: &Environment) -> Result<Start, Outcome> {
    let mut start =
        Start { flags: Flags::default(), words: Vec::new(), cluster: environment.get("SLURM_CLUSTERS").cloned() };
    start.flags.all = environment.contains_key("SCONTROL_ALL");
    start.flags.future = environment.contains_key("SCONTROL_FUTURE");
    let parsed = getopt::parse(args, OPTIONS);
    for item in parsed.items {
        let (key, value) = match item {
            Item::Error(complaint) => {
                return Err(Outcome::failure(
                    format!("scontrol: {complaint}\nTry \"scontrol --help\" for more information\n"),
                    1,
                ));
            }
            Item::Option(key, value) => (key, value),
        };
        match key {
            Key::All => start.flags.all = true,
            Key::Cluster => start.cluster = value,
            Key::Details => start.flags.details = true,
            Key::Explain => start.flags.explain = true,
            Key::Future => start.flags.future = true,
            Key::Help | Key::Usage => return Err(Outcome::success(HELP)),
            Key::Hide => start.flags.all = false,
            Key::OneLine => start.flags.one_line = true,
            Key::Quiet => (start.flags.quiet, start.flags.verbose) = (true, false),
            Key::Verbose => (start.flags.quiet, start.flags.verbose) = (false, true),
            Key::Uid => {
                return Err(Outcome::failure("scontrol: error: --uid is not supported here\n", 1));
            }
            Key::Version => return Err(Outcome::success(VERSION_LINE)),
            // There are no federations.
            Key::Federation | Key::Local | Key::Sibling => {}
        }
    }
    start.words = parsed.rest;
    Ok(start)
}
