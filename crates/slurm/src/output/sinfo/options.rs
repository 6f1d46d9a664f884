//! The command line and environment of `sinfo`.

use super::super::VERSION_LINE;
use super::super::context::{Environment, Outcome};
use super::super::getopt::{self, Item, Opt, Value, opt};
use super::super::node_text::Asked;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    All,
    Clusters,
    Dead,
    Exact,
    Federation,
    Format,
    FormatNames,
    Help,
    Hide,
    Iterate,
    Json,
    Local,
    Long,
    NoConvert,
    NodeCentric,
    Nodes,
    NoHeader,
    Partition,
    Reasons,
    Reservation,
    Responding,
    Sort,
    States,
    Summary,
    Usage,
    Verbose,
    Version,
    Yaml,
}

const OPTIONS: &[Opt<Key>] = &[
    opt(Key::All, 'a', "all", Value::None),
    opt(Key::Dead, 'd', "dead", Value::None),
    opt(Key::Exact, 'e', "exact", Value::None),
    opt(Key::Federation, '\0', "federation", Value::None),
    opt(Key::Help, '\0', "help", Value::None),
    opt(Key::Hide, '\0', "hide", Value::None),
    opt(Key::Iterate, 'i', "iterate", Value::Needed),
    opt(Key::Local, '\0', "local", Value::None),
    opt(Key::Long, 'l', "long", Value::None),
    opt(Key::Clusters, 'M', "cluster", Value::Needed),
    opt(Key::Clusters, '\0', "clusters", Value::Needed),
    opt(Key::Nodes, 'n', "nodes", Value::Needed),
    opt(Key::NoConvert, '\0', "noconvert", Value::None),
    opt(Key::NoHeader, 'h', "noheader", Value::None),
    opt(Key::NodeCentric, 'N', "Node", Value::None),
    opt(Key::Format, 'o', "format", Value::Needed),
    opt(Key::FormatNames, 'O', "Format", Value::Needed),
    opt(Key::Partition, 'p', "partition", Value::Needed),
    opt(Key::Responding, 'r', "responding", Value::None),
    opt(Key::Reasons, 'R', "list-reasons", Value::None),
    opt(Key::Summary, 's', "summarize", Value::None),
    opt(Key::Sort, 'S', "sort", Value::Needed),
    opt(Key::States, 't', "states", Value::Needed),
    opt(Key::Reservation, 'T', "reservation", Value::None),
    opt(Key::Usage, '\0', "usage", Value::None),
    opt(Key::Verbose, 'v', "verbose", Value::None),
    opt(Key::Version, 'V', "version", Value::None),
    opt(Key::Json, '\0', "json", Value::None),
    opt(Key::Yaml, '\0', "yaml", Value::None),
];

const USAGE: &str = "Usage: sinfo [-abdelNRrsTv] [-i seconds] [-t states] [-p partition] [-n nodes]
             [-S fields] [-o format] [-O Format] [--federation] [--local]
";

const HELP: &str = "Usage: sinfo [OPTIONS]
  -a, --all                also hidden partitions
  -d, --dead               only nodes that do not respond
  -e, --exact              nodes on one line have exactly the same
  -h, --noheader           no headings
  -i, --iterate=SECONDS    again and again
  -l, --long               more columns
  -M, --cluster=NAME       this cluster
  -n, --nodes=HOSTS        only these nodes
  -N, --Node               one line for each node and partition
  -o, --format=FORMAT      columns by letters, as in '%9P %.5a %N'
  -O, --Format=FORMAT      columns by names, as in 'NodeList:20,StateLong'
  -p, --partition=LIST     only these partitions
  -r, --responding         only nodes that respond
  -R, --list-reasons       why nodes are down or drained
  -s, --summarize          one line for each partition
  -S, --sort=LETTERS       order, as in '#P,-t'
  -t, --states=LIST        only nodes in these states
  -T, --reservation        reservations
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
    /// `-a`.
    pub all: bool,
    /// `-d`.
    pub dead: bool,
    /// `-r`.
    pub responding: bool,
    /// `-e`.
    pub exact: bool,
    /// `-h`.
    pub no_header: bool,
    /// `-l`.
    pub long: bool,
    /// `-N`.
    pub node_centric: bool,
    /// `-R`.
    pub reasons: bool,
    /// `-s`.
    pub summary: bool,
    /// `-T`.
    pub reservations: bool,
    /// `--json`.
    pub json: bool,
    /// `-i`, seconds.
    pub iterate: Option<u64>,
    /// `-M`.
    pub cluster: Option<String>,
    /// `-S`.
    pub sort: Option<String>,
    /// `-n`, as written.
    pub nodes: Option<String>,
    /// `-p`.
    pub partitions: Option<Vec<String>>,
    /// `-t`: states of which one will do, and whether instead all are needed.
    pub states: Option<(Vec<Asked>, bool)>,
    /// `-t` as written.
    pub states_said: Option<String>,
    /// How often `-v`.
    pub verbose: u32,
}

/// Reads the command line.
///
/// # Errors
/// What to print instead, with the exit code: complaints, help, version.
pub fn read(args: &[String], environment: &Environment) -> Result<Options, Outcome> {
    let mut options = Options {
        columns: Columns::Default,
        all: environment.contains_key("SINFO_ALL"),
        dead: false,
        responding: false,
        exact: false,
        no_header: false,
        long: false,
        node_centric: false,
        reasons: false,
        summary: false,
        reservations: false,
        json: false,
        iterate: None,
        cluster: environment.get("SLURM_CLUSTERS").cloned(),
        sort: environment.get("SINFO_SORT").cloned(),
        nodes: None,
        partitions: environment.get("SINFO_PARTITION").map(|value| list(value)),
        states: None,
        states_said: None,
        verbose: 0,
    };
    conflict(environment.contains_key("SINFO_PARTITION") && options.all, "SINFO_ALL and SINFO_PARTITION")?;
    let parsed = getopt::parse(args, OPTIONS);
    for item in parsed.items.clone() {
        match item {
            Item::Error(complaint) => {
                return Err(Outcome::failure(
                    format!("sinfo: {complaint}\nTry \"sinfo --help\" for more information\n"),
                    1,
                ));
            }
            Item::Option(key, value) => apply(&mut options, key, value.unwrap_or_default())?,
        }
    }
    let given =
        |options: &[Key]| parsed.items.iter().any(|item| matches!(item, Item::Option(key, _) if options.contains(key)));
    conflict(given(&[Key::All]) && given(&[Key::Partition]), "-a and -p")?;
    if given(&[Key::All]) {
        // An option goes before the variable.
        options.partitions = None;
    }
    let plain = !options.long && !options.node_centric && !options.reasons && !options.summary;
    if options.columns == Columns::Default && plain {
        if let Some(format) = environment.get("SINFO_FORMAT") {
            options.columns = Columns::Letters(format.clone());
        }
        if let Some(format) = environment.get("SINFO_FORMAT2") {
            options.columns = Columns::Names(format.clone());
        }
    }
    Ok(options)
}

fn conflict(is_there: bool, what: &str) -> Result<(), Outcome> {
    match is_there {
        true => Err(complain(&format!("Conflicting options, {what}, specified. Please choose one or the other."))),
        false => Ok(()),
    }
}

fn complain(text: &str) -> Outcome {
    Outcome::failure(format!("sinfo: error: {text}\n"), 1)
}

fn list(value: &str) -> Vec<String> {
    value.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn apply(options: &mut Options, key: Key, value: String) -> Result<(), Outcome> {
    match key {
        Key::All => options.all = true,
        Key::Hide => options.all = false,
        Key::Clusters => options.cluster = Some(value),
        Key::Dead => options.dead = true,
        Key::Exact => options.exact = true,
        Key::Format => options.columns = Columns::Letters(value),
        Key::FormatNames => {
            options.columns = if value.eq_ignore_ascii_case("all") {
                Columns::Letters("%all".to_owned())
            } else {
                Columns::Names(value)
            }
        }
        Key::Help => return Err(Outcome::success(HELP)),
        Key::Iterate => {
            let seconds = value.parse().ok().filter(|seconds| *seconds > 0);
            options.iterate =
                Some(seconds.ok_or_else(|| complain(&format!("Error: invalid entry for --iterate={value}")))?);
        }
        Key::Json => options.json = true,
        Key::Long => options.long = true,
        Key::NodeCentric => options.node_centric = true,
        Key::Nodes => options.nodes = Some(value),
        Key::NoHeader => options.no_header = true,
        Key::Partition => options.partitions = Some(list(&value)),
        Key::Reasons => options.reasons = true,
        Key::Reservation => options.reservations = true,
        Key::Responding => options.responding = true,
        Key::Sort => options.sort = Some(value),
        Key::States => {
            options.states_said = Some(value.clone());
            options.states = Some(states(&value)?).filter(|_| !value.eq_ignore_ascii_case("all"));
        }
        Key::Summary => options.summary = true,
        Key::Usage => return Err(Outcome::success(USAGE)),
        Key::Version => return Err(Outcome::success(VERSION_LINE)),
        Key::Yaml => return Err(complain("--yaml is not available here; use --json")),
        // There are no federations, and nothing is converted in this table.
        Key::Federation | Key::Local | Key::NoConvert => {}
        Key::Verbose => options.verbose += 1,
    }
    Ok(())
}

fn states(value: &str) -> Result<(Vec<Asked>, bool), Outcome> {
    if value.eq_ignore_ascii_case("all") {
        return Ok((Vec::new(), false));
    }
    let read = |word: &str| {
        Asked::parse(word).ok_or_else(|| {
            complain(&format!("Bad state string: \"{word}\"\nsinfo: error: valid states: {}", Asked::all_words()))
        })
    };
    let words = value.split([',', '&']).filter(|word| !word.is_empty());
    Ok((words.map(read).collect::<Result<_, _>>()?, value.contains('&')))
}
