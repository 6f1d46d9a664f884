//! The command line and environment of `squeue`.

use std::collections::BTreeMap;

use muster_model::array::TaskSet;
use muster_model::ids::{JobId, StepId};
use muster_model::request::JobTarget;

use super::super::context::{Context, Environment, Outcome};
use super::super::getopt::{self, Item, Opt, Value, opt};
use super::super::states::{self, Shown};
use super::super::{VERSION_LINE, ids};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Account,
    All,
    Array,
    ArrayUnique,
    Federation,
    Format,
    FormatNames,
    Help,
    Hide,
    Iterate,
    Jobs,
    Json,
    Licenses,
    Clusters,
    Local,
    Long,
    Me,
    Name,
    NoConvert,
    Nodes,
    NoHeader,
    Partition,
    Priority,
    Qos,
    Reservation,
    Sibling,
    Sort,
    Start,
    Steps,
    States,
    Usage,
    User,
    Verbose,
    Version,
    Yaml,
}

const OPTIONS: &[Opt<Key>] = &[
    opt(Key::Account, 'A', "account", Value::Needed),
    opt(Key::Account, '\0', "accounts", Value::Needed),
    opt(Key::All, 'a', "all", Value::None),
    opt(Key::Array, 'r', "array", Value::None),
    opt(Key::ArrayUnique, '\0', "array-unique", Value::None),
    opt(Key::FormatNames, 'O', "Format", Value::Needed),
    opt(Key::Format, 'o', "format", Value::Needed),
    opt(Key::Federation, '\0', "federation", Value::None),
    opt(Key::Help, '\0', "help", Value::None),
    opt(Key::Hide, '\0', "hide", Value::None),
    opt(Key::Iterate, 'i', "iterate", Value::Needed),
    opt(Key::Jobs, 'j', "jobs", Value::Optional),
    opt(Key::Licenses, 'L', "licenses", Value::Needed),
    opt(Key::Clusters, 'M', "clusters", Value::Needed),
    opt(Key::Clusters, '\0', "cluster", Value::Needed),
    opt(Key::Local, '\0', "local", Value::None),
    opt(Key::Long, 'l', "long", Value::None),
    opt(Key::Me, '\0', "me", Value::None),
    opt(Key::Name, 'n', "name", Value::Needed),
    opt(Key::NoConvert, '\0', "noconvert", Value::None),
    opt(Key::Nodes, '\0', "node", Value::Needed),
    opt(Key::Nodes, '\0', "nodes", Value::Needed),
    opt(Key::Nodes, 'w', "nodelist", Value::Needed),
    opt(Key::NoHeader, 'h', "noheader", Value::None),
    opt(Key::Partition, 'p', "partition", Value::Needed),
    opt(Key::Partition, '\0', "partitions", Value::Needed),
    opt(Key::Priority, 'P', "priority", Value::None),
    opt(Key::Qos, 'q', "qos", Value::Needed),
    opt(Key::Reservation, 'R', "reservation", Value::Needed),
    opt(Key::Sibling, '\0', "sib", Value::None),
    opt(Key::Sibling, '\0', "sibling", Value::None),
    opt(Key::Sort, 'S', "sort", Value::Needed),
    opt(Key::Start, '\0', "start", Value::None),
    opt(Key::Steps, 's', "steps", Value::Optional),
    opt(Key::States, 't', "states", Value::Needed),
    opt(Key::Usage, '\0', "usage", Value::None),
    opt(Key::User, 'u', "user", Value::Needed),
    opt(Key::User, '\0', "users", Value::Needed),
    opt(Key::Verbose, 'v', "verbose", Value::None),
    opt(Key::Version, 'V', "version", Value::None),
    opt(Key::Json, '\0', "json", Value::None),
    opt(Key::Yaml, '\0', "yaml", Value::None),
];

const USAGE: &str = "Usage: squeue [-A account] [--clusters names] [-i seconds] [--job jobid]
              [-n name] [-o format] [-p partitions] [--qos qos]
              [--reservation reservation] [--sort fields] [--start]
              [--step step_id] [-t states] [-u user_name] [--usage]
              [-L licenses] [-w nodes] [--federation] [--local] [--sibling]
	      [-ahjlrsv]
";

const HELP: &str = "Usage: squeue [OPTIONS]
  -A, --account=LIST       only jobs of these accounts
  -a, --all                also jobs in hidden partitions
  -h, --noheader           no headings
  -i, --iterate=SECONDS    again and again
  -j, --jobs=LIST          only these jobs
  -L, --licenses=LIST      only jobs that ask for these licences
  -l, --long               more columns
  -M, --clusters=NAME      on this cluster
      --me                 only one's own jobs
  -n, --name=LIST          only jobs with these names
  -o, --format=FORMAT      columns by letters, as in '%.18i %.9P %j'
  -O, --Format=FORMAT      columns by names, as in 'JobID:10,Name:30'
  -p, --partition=LIST     only jobs in these partitions
  -P, --priority           a pending job once for each of its partitions
  -q, --qos=LIST           only jobs with these qualities of service
  -R, --reservation=NAME   only jobs in this reservation
  -r, --array              one line for each task of an array
  -s, --steps[=LIST]       steps instead of jobs
  -S, --sort=LETTERS       order, as in 'P,t,-p'
      --start              when pending jobs are expected to start
  -t, --states=LIST        only jobs in these states; 'all' for all
  -u, --user=LIST          only jobs of these users
  -w, --nodelist=HOSTS     only jobs on these nodes
      --json               everything, as JSON
  -V, --version            version
      --usage              a short summary
";

/// How columns are chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Columns {
    /// By what else was asked for.
    Default,
    /// `-o`.
    Letters(String),
    /// `-O`.
    Names(String),
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Columns.
    pub columns: Columns,
    /// `-l`.
    pub long: bool,
    /// `-h`.
    pub no_header: bool,
    /// `--start`.
    pub start: bool,
    /// `-r`.
    pub array: bool,
    /// `-P`.
    pub each_partition: bool,
    /// `-S`.
    pub sort: Option<String>,
    /// `-i`, seconds.
    pub iterate: Option<u64>,
    /// `-M`.
    pub cluster: Option<String>,
    /// `--json`.
    pub json: bool,
    /// `-s`; the list may be empty.
    pub steps: Option<Vec<JobTarget>>,
    /// `-j`; `None` when not given or given without a list.
    pub jobs: Option<Vec<JobTarget>>,
    /// `-t`; `None` when not given.
    pub states: Option<States>,
    /// `-u`, `--me`, as numbers.
    pub users: Option<Vec<u32>>,
    /// `-p`.
    pub partitions: Option<Vec<String>>,
    /// `-n`.
    pub names: Option<Vec<String>>,
    /// `-A`.
    pub accounts: Option<Vec<String>>,
    /// `-q`.
    pub qos: Option<Vec<String>>,
    /// `-L`.
    pub licenses: Option<Vec<String>>,
    /// `-R`.
    pub reservation: Option<String>,
    /// `-w`, as written.
    pub nodes: Option<String>,
    /// How often `-v`.
    pub verbose: u32,
    /// Values of options and variables as written, by the words of the verbose page.
    pub said: BTreeMap<&'static str, String>,
    /// Complaints that do not stop the command.
    pub warnings: String,
}

/// `-t`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum States {
    /// `all`.
    All,
    /// Some.
    Some(Vec<Shown>),
}

impl Default for Options {
    fn default() -> Options {
        Options {
            columns: Columns::Default,
            long: false,
            no_header: false,
            start: false,
            array: false,
            each_partition: false,
            sort: None,
            iterate: None,
            cluster: None,
            json: false,
            steps: None,
            jobs: None,
            states: None,
            users: None,
            partitions: None,
            names: None,
            accounts: None,
            qos: None,
            licenses: None,
            reservation: None,
            nodes: None,
            verbose: 0,
            said: BTreeMap::new(),
            warnings: String::new(),
        }
    }
}

/// Reads the command line.
///
/// # Errors
/// What to print instead, with the exit code: complaints, help, version.
pub fn read(args: &[String], environment: &Environment, context: &Context) -> Result<Options, Outcome> {
    let mut options = Options::default();
    read_environment(&mut options, environment, context)?;
    let parsed = getopt::parse(args, OPTIONS);
    let (mut format_given, mut lists_later) = ((false, false), Vec::new());
    for item in parsed.items {
        match item {
            Item::Error(complaint) => {
                return Err(Outcome::failure(
                    format!("squeue: {complaint}\nTry \"squeue --help\" for more information\n"),
                    1,
                ));
            }
            Item::Option(key, value) => {
                format_given.0 |= key == Key::Format;
                format_given.1 |= key == Key::FormatNames;
                if format_given == (true, true) {
                    let order = if key == Key::Format {
                        "-o (--format) is incompatible with -O (--Format)"
                    } else {
                        "-O (--Format) is incompatible with -o (--format)"
                    };
                    return Err(complain(order));
                }
                if value.is_none() && matches!(key, Key::Jobs | Key::Steps) {
                    lists_later.push(key);
                    continue;
                }
                apply(&mut options, key, value.unwrap_or_default(), context)?;
            }
        }
    }
    let mut rest = parsed.rest.into_iter();
    // A list may also be the next word: `-j 12`. Without any, `-j` asks for nothing and `-s` for all steps.
    lists_later.sort_by_key(|key| *key == Key::Steps);
    for key in lists_later {
        match rest.next() {
            Some(list) => apply(&mut options, key, list, context)?,
            None if key == Key::Steps => options.steps = Some(Vec::new()),
            None => {}
        }
    }
    if let Some(word) = rest.next() {
        return Err(Outcome {
            stdout: USAGE.to_owned(),
            stderr: format!("squeue: error: Unrecognized option: {word}\n"),
            code: 1,
        });
    }
    if options.long && format_given.0 {
        let text =
            "squeue: fatal: Options -o(--format) and -l(--long) are mutually exclusive. Please remove one and retry.\n";
        return Err(Outcome::failure(text, 1));
    }
    if options.long && !format_given.1 {
        options.columns = Columns::Default;
    }
    Ok(options)
}

fn complain(text: &str) -> Outcome {
    Outcome::failure(format!("squeue: error: {text}\n"), 1)
}

fn read_environment(options: &mut Options, environment: &Environment, context: &Context) -> Result<(), Outcome> {
    const VARIABLES: &[(&str, Key)] = &[
        ("SQUEUE_ACCOUNT", Key::Account),
        ("SQUEUE_ALL", Key::All),
        ("SQUEUE_ARRAY", Key::Array),
        ("SLURM_CLUSTERS", Key::Clusters),
        ("SQUEUE_FORMAT", Key::Format),
        ("SQUEUE_FORMAT2", Key::FormatNames),
        ("SQUEUE_LICENSES", Key::Licenses),
        ("SQUEUE_NAMES", Key::Name),
        ("SQUEUE_PARTITION", Key::Partition),
        ("SQUEUE_PRIORITY", Key::Priority),
        ("SQUEUE_QOS", Key::Qos),
        ("SQUEUE_SORT", Key::Sort),
        ("SQUEUE_STATES", Key::States),
        ("SQUEUE_USERS", Key::User),
    ];
    for (name, key) in VARIABLES {
        if let Some(value) = environment.get(*name) {
            apply(options, *key, value.clone(), context)?;
        }
    }
    Ok(())
}

fn list(value: &str) -> Option<Vec<String>> {
    Some(value.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect())
}

/// The word of the verbose page for an option with a value.
fn page_word(key: Key) -> Option<&'static str> {
    Some(match key {
        Key::Format | Key::FormatNames => "format",
        Key::Jobs => "jobs",
        Key::Licenses => "licenses",
        Key::Name => "names",
        Key::Nodes => "nodes",
        Key::Partition => "partitions",
        Key::Reservation => "reservation",
        Key::Sort => "sort",
        Key::States => "states",
        Key::Steps => "steps",
        Key::User => "users",
        Key::All => "all",
        Key::Federation => "federation",
        Key::Local => "local",
        Key::Sibling => "sibling",
        _ => return None,
    })
}

fn apply(options: &mut Options, key: Key, value: String, context: &Context) -> Result<(), Outcome> {
    if let Some(word) = page_word(key) {
        options.said.insert(word, value.clone());
    }
    match key {
        Key::Account => options.accounts = list(&value),
        Key::Array => options.array = true,
        // In 22.05 it changes nothing where there is no federation.
        Key::ArrayUnique => {}
        Key::FormatNames => options.columns = Columns::Names(value),
        Key::Format => options.columns = Columns::Letters(value),
        Key::Help => return Err(Outcome::success(HELP)),
        Key::Usage => return Err(Outcome::success(USAGE)),
        Key::Version => return Err(Outcome::success(VERSION_LINE)),
        Key::Iterate => {
            options.iterate = Some(positive(&value).ok_or_else(|| complain(&format!("--iterate={value}\n")))?)
        }
        Key::Jobs => options.jobs = Some(targets(&value)?),
        Key::Json => options.json = true,
        Key::Yaml => return Err(complain("--yaml is not available here; use --json")),
        Key::Licenses => options.licenses = list(&value),
        Key::Clusters => options.cluster = Some(value),
        Key::Long => options.long = true,
        Key::Me => options.users = Some(vec![context.caller.uid]),
        Key::Name => options.names = list(&value),
        Key::Nodes => options.nodes = Some(value),
        Key::NoHeader => options.no_header = true,
        Key::Partition => options.partitions = list(&value),
        Key::Priority => options.each_partition = true,
        Key::Qos => options.qos = list(&value),
        Key::Reservation => options.reservation = Some(value),
        Key::Sort => options.sort = Some(value),
        Key::Start => options.start = true,
        Key::Steps => options.steps = Some(step_targets(&value)?),
        Key::States => options.states = parse_states(&value)?,
        Key::User => read_users(options, &value, context),
        // A single cluster without hidden partitions for some shows the same with and without these; amounts are
        // never converted further than they can be shown exactly.
        Key::All | Key::Hide | Key::Federation | Key::Local | Key::Sibling | Key::NoConvert => {}
        Key::Verbose => options.verbose += 1,
    }
    Ok(())
}

fn positive(text: &str) -> Option<u64> {
    text.parse().ok().filter(|seconds| *seconds > 0)
}

fn targets(value: &str) -> Result<Vec<JobTarget>, Outcome> {
    let read = |part: &str| {
        // A step stands for its job, and an index that cannot be read for no task at all.
        let job = part.split_once('.').map_or(part, |(job, _)| job);
        let whole = || {
            ids::target(job.split_once('_')?.0).map(|target| JobTarget { tasks: Some(TaskSet::default()), ..target })
        };
        ids::target(job).or_else(whole).ok_or_else(|| complain(&format!("Invalid job id: {part}")))
    };
    ids::split(value).into_iter().map(read).collect()
}

fn step_targets(value: &str) -> Result<Vec<JobTarget>, Outcome> {
    let read = |part: &str| match ids::target(part) {
        Some(target) if target.step.is_some() => Ok(target),
        // A step that cannot be read is none.
        None if part.contains('.') => Ok(JobTarget { step: Some(StepId::Extern), ..JobTarget::job(JobId(0)) }),
        _ => Err(complain(&format!("Invalid job_step id: {part}.??"))),
    };
    ids::split(value).into_iter().map(read).collect()
}

fn parse_states(value: &str) -> Result<Option<States>, Outcome> {
    if value.eq_ignore_ascii_case("all") {
        return Ok(Some(States::All));
    }
    let read = |word: &str| {
        Shown::parse(word).ok_or_else(|| {
            let words = states::all_words();
            let text = format!("squeue: error: Invalid job state specified: {word}\nsqueue: error: Valid job states include: {words}\n\n");
            Outcome::failure(text, 1)
        })
    };
    let found = value.split(',').filter(|word| !word.is_empty()).map(read).collect::<Result<_, _>>()?;
    Ok(Some(States::Some(found)))
}

fn read_users(options: &mut Options, value: &str, context: &Context) {
    let mut users = Vec::new();
    for name in value.split(',').filter(|name| !name.is_empty()) {
        match context.user(name) {
            Some(uid) => users.push(uid),
            None => options.warnings.push_str(&format!("squeue: error: Invalid user: {name}\n\n")),
        }
    }
    options.users = Some(users);
}
