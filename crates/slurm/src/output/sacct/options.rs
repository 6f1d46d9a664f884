//! The command line of `sacct`.

use muster_model::request::JobTarget;
use muster_model::time::Timestamp;

use super::super::context::{Context, Environment, Outcome};
use super::super::getopt::{self, Item, Opt, Value, opt};
use super::super::states::Shown;
use super::super::time_text;
use super::super::{VERSION_LINE, ids};
use super::content::Content;
use super::fields;
use super::format::{self, Style};
use super::row::Units;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Accounts,
    AllClusters,
    AllUsers,
    Allocations,
    Associations,
    BatchScript,
    Brief,
    Clusters,
    Completion,
    Constraints,
    Delimiter,
    Duplicates,
    EndTime,
    EnvVars,
    Federation,
    File,
    Flags,
    Format,
    Group,
    Help,
    HelpFormat,
    Jobs,
    Json,
    Local,
    LocalUid,
    Long,
    Name,
    Ncpus,
    Nnodes,
    NoConvert,
    NodeList,
    NoHeader,
    Parsable,
    Parsable2,
    Partition,
    Qos,
    Reason,
    StartTime,
    State,
    TimeLimitMax,
    TimeLimitMin,
    Truncate,
    Units,
    Usage,
    User,
    Verbose,
    Version,
    WcKeys,
    WholeHetJob,
    Yaml,
}

const OPTIONS: &[Opt<Key>] = &[
    opt(Key::AllClusters, 'L', "allclusters", Value::None),
    opt(Key::AllUsers, 'a', "allusers", Value::None),
    opt(Key::Accounts, 'A', "accounts", Value::Needed),
    opt(Key::Allocations, 'X', "allocations", Value::None),
    opt(Key::Brief, 'b', "brief", Value::None),
    opt(Key::BatchScript, 'B', "batch-script", Value::None),
    opt(Key::Completion, 'c', "completion", Value::None),
    opt(Key::Constraints, 'C', "constraints", Value::Needed),
    opt(Key::Delimiter, '\0', "delimiter", Value::Needed),
    opt(Key::Duplicates, 'D', "duplicates", Value::None),
    opt(Key::EnvVars, '\0', "env-vars", Value::None),
    opt(Key::Federation, '\0', "federation", Value::None),
    opt(Key::HelpFormat, 'e', "helpformat", Value::None),
    opt(Key::Help, 'h', "help", Value::None),
    opt(Key::Usage, 'U', "usage", Value::None),
    opt(Key::EndTime, 'E', "endtime", Value::Needed),
    opt(Key::File, 'f', "file", Value::Needed),
    opt(Key::Flags, 'F', "flags", Value::Needed),
    opt(Key::Group, 'g', "gid", Value::Needed),
    opt(Key::Group, '\0', "group", Value::Needed),
    opt(Key::Jobs, 'j', "jobs", Value::Needed),
    opt(Key::Json, '\0', "json", Value::None),
    opt(Key::Yaml, '\0', "yaml", Value::None),
    opt(Key::Local, '\0', "local", Value::None),
    opt(Key::Name, '\0', "name", Value::Needed),
    opt(Key::Long, 'l', "long", Value::None),
    opt(Key::Clusters, 'M', "cluster", Value::Needed),
    opt(Key::Clusters, '\0', "clusters", Value::Needed),
    opt(Key::Nnodes, 'i', "nnodes", Value::Needed),
    opt(Key::Ncpus, 'I', "ncpus", Value::Needed),
    opt(Key::NodeList, 'N', "nodelist", Value::Needed),
    opt(Key::NoConvert, '\0', "noconvert", Value::None),
    opt(Key::Units, '\0', "units", Value::Needed),
    opt(Key::NoHeader, 'n', "noheader", Value::None),
    opt(Key::Format, 'o', "format", Value::Needed),
    opt(Key::Parsable, 'p', "parsable", Value::None),
    opt(Key::Parsable2, 'P', "parsable2", Value::None),
    opt(Key::Partition, 'r', "partition", Value::Needed),
    opt(Key::Qos, 'q', "qos", Value::Needed),
    opt(Key::Reason, 'R', "reason", Value::Needed),
    opt(Key::State, 's', "state", Value::Needed),
    opt(Key::StartTime, 'S', "starttime", Value::Needed),
    opt(Key::Truncate, 'T', "truncate", Value::None),
    opt(Key::User, 'u', "uid", Value::Needed),
    opt(Key::User, '\0', "user", Value::Needed),
    opt(Key::LocalUid, '\0', "use-local-uid", Value::None),
    opt(Key::TimeLimitMin, 'k', "timelimit-min", Value::Needed),
    opt(Key::TimeLimitMax, 'K', "timelimit-max", Value::Needed),
    opt(Key::Version, 'V', "version", Value::None),
    opt(Key::Verbose, 'v', "verbose", Value::None),
    opt(Key::WcKeys, 'W', "wckeys", Value::Needed),
    opt(Key::WholeHetJob, '\0', "whole-hetjob", Value::Optional),
    opt(Key::Associations, 'x', "associations", Value::Needed),
];

/// What `--usage` prints.
const USAGE: &str = "Usage: sacct [options]\n\tUse --help for help\n";

const HELP: &str = "sacct [OPTIONS]
  -a, --allusers           jobs of all users (the default for root)
  -A, --accounts=LIST      only of these accounts
  -b, --brief              only id, state and exit code
  -D, --duplicates         also earlier starts of requeued jobs
  -e, --helpformat         the names for --format
  -E, --endtime=TIME       only what was there before (now)
  -g, --group=LIST         only of these groups
  -i, --nnodes=MIN[-MAX]   only with this many nodes
  -I, --ncpus=MIN[-MAX]    only with this many CPUs
  -j, --jobs=LIST          only these jobs or steps
  -k, --timelimit-min=TIME and -K, --timelimit-max=TIME: only with such limits
  -l, --long               many columns
  -M, --clusters=NAME      on this cluster
      --name=LIST          only with these names
  -n, --noheader           no headings
  -N, --nodelist=HOSTS     only what ran on these nodes
  -o, --format=LIST        columns, as in 'jobid%20,state,elapsed'
  -p, --parsable           values ended by '|';  -P, --parsable2: separated
      --delimiter=TEXT     instead of '|'
  -q, --qos=LIST           only of these qualities of service
  -r, --partition=LIST     only in these partitions
  -s, --state=LIST         only in these states
  -S, --starttime=TIME     only what was there after (midnight)
  -T, --truncate           times cut to the window
  -u, --user=LIST          only of these users
      --units=KMGTP        unit of memory;  --noconvert: none
  -X, --allocations        only jobs, no steps
      --json               everything, as JSON
  -V, --version            version
";

/// A least and a greatest number.
pub type Bounds = (u64, u64);

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Columns as text.
    pub format: String,
    /// How lines are written.
    pub style: Style,
    /// `-n`.
    pub no_header: bool,
    /// `-X`.
    pub allocations_only: bool,
    /// `--whole-hetjob`: all components of a heterogeneous job, or only what is named; `None` for all with the leader.
    pub whole_het_job: Option<bool>,
    /// `-B`, `--env-vars`: shown instead of the table.
    pub content: Option<Content>,
    /// `-D`.
    pub duplicates: bool,
    /// `-T`.
    pub truncate: bool,
    /// `--json`.
    pub json: bool,
    /// `--units`, `--noconvert`.
    pub units: Units,
    /// `-j`.
    pub jobs: Option<Vec<JobTarget>>,
    /// `-u`, `-a`; `None` for all users.
    pub users: Option<Vec<u32>>,
    /// `-g`.
    pub groups: Option<Vec<u32>>,
    /// `-s`.
    pub states: Option<Vec<Shown>>,
    /// Beginning of the window.
    pub since: Timestamp,
    /// End of the window.
    pub until: Timestamp,
    /// `-A`.
    pub accounts: Option<Vec<String>>,
    /// `--name`.
    pub names: Option<Vec<String>>,
    /// `-r`.
    pub partitions: Option<Vec<String>>,
    /// `-q`.
    pub qos: Option<Vec<String>>,
    /// `-C`.
    pub constraints: Option<Vec<String>>,
    /// `-W`.
    pub wckeys: Option<Vec<String>>,
    /// `-N`, as written.
    pub nodes: Option<String>,
    /// `-M`.
    pub cluster: Option<String>,
    /// `-i`.
    pub node_count: Option<Bounds>,
    /// `-I`.
    pub cpu_count: Option<Bounds>,
    /// `-k` and `-K`, minutes.
    pub limit: Option<Bounds>,
}

/// What is gathered while the words are read.
#[derive(Default)]
struct Gathered {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    all_users: bool,
    users: Option<Vec<u32>>,
    format: Option<String>,
    parsable: Option<bool>,
    delimiter: Option<String>,
    limit_min: Option<u64>,
    limit_max: Option<u64>,
}

/// Reads the command line.
///
/// # Errors
/// What to print instead, with the exit code: complaints, help, version.
pub fn read(args: &[String], environment: &Environment, context: &Context) -> Result<Options, Outcome> {
    let mut options = Options {
        format: String::new(),
        style: Style::Table,
        no_header: false,
        allocations_only: false,
        whole_het_job: None,
        content: None,
        duplicates: false,
        truncate: false,
        json: false,
        units: Units::Exact,
        jobs: None,
        users: None,
        groups: None,
        states: None,
        since: Timestamp(0),
        until: context.now,
        accounts: None,
        names: None,
        partitions: None,
        qos: None,
        constraints: None,
        wckeys: None,
        nodes: None,
        cluster: environment.get("SLURM_CLUSTERS").cloned(),
        node_count: None,
        cpu_count: None,
        limit: None,
    };
    let mut gathered = Gathered { format: environment.get("SACCT_FORMAT").cloned(), ..Gathered::default() };
    let parsed = getopt::parse(args, OPTIONS);
    for item in parsed.items {
        match item {
            Item::Error(complaint) => return Err(Outcome::failure(format!("sacct: {complaint}\n"), 1)),
            Item::Option(key, value) => apply(&mut options, &mut gathered, key, value.unwrap_or_default(), context)?,
        }
    }
    if !parsed.rest.is_empty() {
        let words: String = parsed.rest.iter().map(|word| format!("sacct: error:  {word}\n")).collect();
        return Err(Outcome::failure(format!("sacct: error: Unknown arguments:\n{words}"), 1));
    }
    settle(&mut options, gathered, context)?;
    Ok(options)
}

fn complain(text: &str) -> Outcome {
    Outcome::failure(format!("sacct: error: {text}\n"), 1)
}

fn fatal(text: &str) -> Outcome {
    Outcome::failure(format!("sacct: fatal: {text}\n"), 1)
}

/// Lists that are given several times add up, as in real sacct.
fn add<T>(all: &mut Option<Vec<T>>, more: Option<Vec<T>>) {
    match (all.as_mut(), more) {
        (Some(all), Some(more)) => all.extend(more),
        (_, more) => *all = more,
    }
}

fn list(value: &str) -> Option<Vec<String>> {
    Some(value.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect())
}

fn apply(
    options: &mut Options,
    gathered: &mut Gathered,
    key: Key,
    value: String,
    context: &Context,
) -> Result<(), Outcome> {
    match key {
        Key::Accounts => add(&mut options.accounts, list(&value)),
        Key::AllUsers => gathered.all_users = true,
        Key::Allocations => options.allocations_only = true,
        Key::Brief => gathered.format = Some(format::BRIEF.to_owned()),
        Key::Long => gathered.format = Some(format::LONG.to_owned()),
        Key::Format => gathered.format = Some(value),
        Key::Clusters => options.cluster = Some(value),
        Key::Constraints => options.constraints = list(&value),
        Key::Delimiter => gathered.delimiter = Some(value),
        Key::Duplicates => options.duplicates = true,
        Key::StartTime => gathered.since = Some(time(&value, context)?),
        Key::EndTime => gathered.until = Some(time(&value, context)?),
        Key::Group => add(&mut options.groups, Some(numbers(&value, "group", |name| context.group(name))?)),
        Key::User => add(&mut gathered.users, Some(numbers(&value, "user", |name| context.user(name))?)),
        Key::Jobs => add(&mut options.jobs, jobs(&value)?),
        Key::Json => options.json = true,
        Key::Name => add(&mut options.names, list(&value)),
        Key::Nnodes => options.node_count = Some(bounds(&value, "node")?),
        Key::Ncpus => options.cpu_count = Some(bounds(&value, "cpu")?),
        Key::NoConvert => options.units = Units::AsKept,
        Key::Units => options.units = units(&value)?,
        Key::NodeList => options.nodes = Some(value),
        Key::NoHeader => options.no_header = true,
        Key::Parsable => gathered.parsable = Some(true),
        Key::Parsable2 => gathered.parsable = Some(false),
        Key::Partition => add(&mut options.partitions, list(&value)),
        Key::Qos => add(&mut options.qos, list(&value)),
        Key::State => add(&mut options.states, states(&value)?),
        Key::TimeLimitMin => gathered.limit_min = Some(minutes(&value)?),
        Key::TimeLimitMax => gathered.limit_max = Some(minutes(&value)?),
        Key::Truncate => options.truncate = true,
        Key::WcKeys => add(&mut options.wckeys, list(&value)),
        Key::WholeHetJob if !matches!(value.as_str(), "" | "yes" | "no") => {
            return Err(complain(&format!("Invalid --whole-hetjob value \"{value}\". Valid values: [yes|no].")));
        }
        Key::WholeHetJob => options.whole_het_job = Some(value != "no"),
        Key::Help | Key::HelpFormat | Key::Usage | Key::Version => return Err(Outcome::success(answer(key))),
        Key::Completion => return Err(Outcome::failure("Slurm job completion is disabled\n", 1)),
        Key::File => return Err(Outcome::failure(format!("{value} is not a valid file\n"), 1)),
        Key::BatchScript => options.content = Some(Content::Script),
        Key::EnvVars => options.content = Some(Content::Environment),
        Key::Associations | Key::Flags | Key::Reason | Key::Yaml => {
            let name =
                OPTIONS.iter().find(|option| option.key == key).and_then(|option| option.long).unwrap_or_default();
            return Err(complain(&format!("--{name} is not available here")));
        }
        // There is one cluster, and users are those of this host; -v has nothing to add.
        Key::AllClusters | Key::Federation | Key::Local | Key::LocalUid | Key::Verbose => {}
    }
    Ok(())
}

/// What the options print that ask for nothing else.
fn answer(key: Key) -> String {
    match key {
        Key::Help => HELP.to_owned(),
        Key::HelpFormat => fields::help_format(),
        Key::Usage => USAGE.to_owned(),
        _ => VERSION_LINE.to_owned(),
    }
}

/// Brings together what depends on several words.
fn settle(options: &mut Options, gathered: Gathered, context: &Context) -> Result<(), Outcome> {
    options.format = gathered.format.unwrap_or_else(|| format::DEFAULT.to_owned());
    let delimiter = gathered.delimiter.filter(|text| !text.is_empty()).unwrap_or_else(|| "|".to_owned());
    options.style = match gathered.parsable {
        None => Style::Table,
        Some(true) => Style::Ended(delimiter),
        Some(false) => Style::Separated(delimiter),
    };
    let everybody = gathered.all_users || context.caller.is_operator() || options.jobs.is_some();
    options.users =
        gathered.users.filter(|_| !gathered.all_users).or_else(|| (!everybody).then(|| vec![context.caller.uid]));
    options.until = gathered.until.unwrap_or(context.now);
    let midnight = || time_text::parse_past("00:00", context.now, &context.zone).unwrap_or(context.now);
    let with_states = options.states.as_ref().is_some_and(|states| !states.is_empty());
    options.since = match gathered.since {
        Some(since) => since,
        None if options.jobs.is_some() => Timestamp(0),
        None if with_states => options.until,
        None => midnight().min(options.until),
    };
    if gathered.until.is_none() && gathered.since.is_some() && options.jobs.is_none() && with_states {
        // The end of the window of a question about states is its beginning, unless it is given.
        options.until = options.since;
    }
    if options.since > options.until {
        let print = |time| time_text::standard(time, &context.zone);
        return Err(complain(&format!(
            "Start time ({}) requested is after end time ({}).",
            print(options.since),
            print(options.until)
        )));
    }
    if gathered.limit_min.is_some() || gathered.limit_max.is_some() {
        let least = gathered.limit_min.unwrap_or(0);
        // A least limit alone asks for exactly this limit.
        options.limit = Some((least, gathered.limit_max.unwrap_or(least)));
    }
    Ok(())
}

fn time(value: &str, context: &Context) -> Result<Timestamp, Outcome> {
    time_text::parse_past(value, context.now, &context.zone)
        .map_err(|position| Outcome::failure(format!("Invalid time specification (pos={}): {value}\n", position.0), 1))
}

fn numbers(value: &str, what: &str, find: impl Fn(&str) -> Option<u32>) -> Result<Vec<u32>, Outcome> {
    let read = |name: &str| find(name).ok_or_else(|| complain(&format!("Invalid {what} id: {name}")));
    value.split(',').filter(|name| !name.is_empty()).map(read).collect()
}

/// The jobs of `-j`; `None` for no list at all, which `0` means, too.
fn jobs(value: &str) -> Result<Option<Vec<JobTarget>>, Outcome> {
    let mut targets = Vec::new();
    for part in ids::split(value) {
        let job = part.split_once('.').map_or(part, |(job, _)| job);
        let number = job.split_once(['_', '+']).map_or(job, |(number, _)| number);
        if number == "0" {
            continue;
        }
        if ids::target(number).is_none() {
            return Err(fatal(&format!("Bad job/step specified: {part}")));
        }
        let plain_index = job.split_once('_').is_none_or(|(_, index)| index.bytes().all(|byte| byte.is_ascii_digit()));
        if job.contains('+') && ids::target(job).is_none() {
            return Err(fatal(&format!("Bad hetjob offset specified: {number}")));
        }
        match ids::target(job).filter(|_| plain_index) {
            None => return Err(fatal(&format!("Bad job array element specified: {number}"))),
            Some(_) => targets.push(ids::target(part).ok_or_else(|| fatal(&format!("Bad step specified: {number}")))?),
        }
    }
    Ok(Some(targets).filter(|targets| !targets.is_empty()))
}

fn states(value: &str) -> Result<Option<Vec<Shown>>, Outcome> {
    let read = |word: &str| Shown::parse(word).ok_or_else(|| fatal(&format!("unrecognized job state value '{word}'")));
    let found: Vec<Shown> = value.split(',').filter(|word| !word.is_empty()).map(read).collect::<Result<_, _>>()?;
    Ok(Some(found).filter(|found| !found.is_empty()))
}

fn units(value: &str) -> Result<Units, Outcome> {
    let unit = match value.chars().next() {
        Some(letter) => "KMGTP".find(letter),
        None => None,
    };
    let unknown = || {
        let text = format!(
            "sacct: error: Invalid unit type '{value}'. Possible options are 'KMGTP'\nsacct: fatal: Invalid unit type\n"
        );
        Outcome::failure(text, 1)
    };
    unit.and_then(|unit| u32::try_from(unit).ok()).map(Units::In).ok_or_else(unknown)
}

fn bounds(value: &str, what: &str) -> Result<Bounds, Outcome> {
    let number = |part: &str| {
        part.parse::<u64>()
            .map_err(|_| complain(&format!("Invalid numeric value \"{part}\" for requested {what} range.")))
    };
    match value.split_once('-') {
        Some((least, most)) => Ok((number(least)?, number(most)?)),
        None => number(value).map(|count| (count, count)),
    }
}

fn minutes(value: &str) -> Result<u64, Outcome> {
    let seconds = muster_model::time::parse_seconds(value).ok_or_else(|| fatal("Invalid time limit specification"))?;
    Ok(u64::try_from(seconds).unwrap_or(0).div_ceil(60))
}
