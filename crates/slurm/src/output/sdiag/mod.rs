//! `sdiag`: what the controller had to do, and how long it took.
//!
//! What Slurm tells of its main scheduler stands here for all passes of the planner, and what it tells of its backfill
//! scheduler for those over the whole queue, which fill gaps and say when each job starts.

mod calls;
mod json;
mod text;

use muster_model::request::{Query, Refusal};
use muster_model::statistics::Statistics;

use self::calls::Order;
use super::context::{Answers, Context, Environment, Outcome};
use super::getopt::{self, Item, Opt, Value, opt};
use super::{VERSION_LINE, unknown_cluster};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    All,
    ById,
    ByMeanTime,
    ByTime,
    Cluster,
    Help,
    Json,
    Reset,
    Usage,
    Version,
}

const OPTIONS: &[Opt<Key>] = &[
    opt(Key::All, 'a', "all", Value::None),
    opt(Key::Help, 'h', "help", Value::None),
    opt(Key::ById, 'i', "sort-by-id", Value::None),
    opt(Key::Json, '\0', "json", Value::None),
    opt(Key::Cluster, 'M', "cluster", Value::Needed),
    opt(Key::Cluster, '\0', "clusters", Value::Needed),
    opt(Key::Reset, 'r', "reset", Value::None),
    opt(Key::ByTime, 't', "sort-by-time", Value::None),
    opt(Key::ByMeanTime, 'T', "sort-by-time2", Value::None),
    opt(Key::Usage, '\0', "usage", Value::None),
    opt(Key::Version, 'V', "version", Value::None),
];

const USAGE: &str = "Usage: sdiag [-M cluster] [-aritT]\n";
const HELP: &str = include_str!("help.txt");
/// How it exits where the controller refuses (Slurm: -1).
const REFUSED: u8 = 255;

/// A command line of `sdiag` that has been read.
#[derive(Debug)]
pub struct Sdiag {
    reset: bool,
    json: bool,
    order: Order,
    cluster: Option<String>,
}

impl Sdiag {
    /// Reads `args` and the environment.
    ///
    /// # Errors
    /// What to print instead, where there is nothing to ask.
    pub fn new(args: &[String], environment: &Environment) -> Result<Sdiag, Outcome> {
        let cluster = environment.get("SLURM_CLUSTERS").cloned();
        let mut command = Sdiag { reset: false, json: false, order: Order::Count, cluster };
        // Further words are no concern of it, as in Slurm.
        for item in getopt::parse(args, OPTIONS).items {
            match item {
                Item::Error(text) => {
                    let text = format!("sdiag: {text}\nTry \"sdiag --help\" for more information\n");
                    return Err(Outcome::failure(text, 1));
                }
                Item::Option(key, value) => match key {
                    Key::All => command.reset = false,
                    Key::Reset => command.reset = true,
                    Key::ById => command.order = Order::Id,
                    Key::ByTime => command.order = Order::Time,
                    Key::ByMeanTime => command.order = Order::MeanTime,
                    Key::Cluster => command.cluster = value,
                    Key::Json => command.json = true,
                    Key::Help => return Err(Outcome::success(HELP)),
                    Key::Usage => return Err(Outcome::success(USAGE)),
                    Key::Version => return Err(Outcome::success(VERSION_LINE)),
                },
            }
        }
        Ok(command)
    }

    /// What stands before the reason where the controller does not answer.
    pub fn failure_prefix(&self) -> &'static str {
        if self.reset { "slurm_reset_statistics" } else { "slurm_get_statistics" }
    }

    /// What to ask the controller.
    pub fn queries(&self) -> Vec<Query> {
        let question = if self.reset { Query::ResetStatistics } else { Query::Statistics };
        let mut queries = vec![Query::Ping];
        // Nothing is reset on a cluster that was not meant.
        if !self.reset || self.cluster.is_none() {
            queries.push(question);
        }
        queries
    }

    /// What to ask once it is known that the cluster is the right one.
    pub fn second_queries(&self, answers: &Answers) -> Vec<Query> {
        let is_right = self.cluster.is_some() && self.cluster.as_deref() == answers.cluster.name.as_deref();
        if self.reset && is_right { vec![Query::ResetStatistics] } else { Vec::new() }
    }

    /// What to print where the controller refuses.
    pub fn refused(&self, refusal: &Refusal) -> Outcome {
        Outcome::failure(format!("{}: {refusal}\n", self.failure_prefix()), REFUSED)
    }

    /// What to print.
    pub fn render(&self, answers: &Answers, context: &Context) -> Outcome {
        if let Some(wanted) = &self.cluster
            && answers.cluster.name.as_deref() != Some(wanted)
        {
            return unknown_cluster("sdiag", wanted);
        }
        if self.reset {
            return Outcome::success("Reset scheduling statistics\n");
        }
        let Some(statistics) = &answers.statistics else {
            return Outcome::failure("No data available. Probably slurmctld is not working\n", REFUSED);
        };
        Outcome::success(if self.json {
            json::document(statistics)
        } else {
            text::show(statistics, self.order, context)
        })
    }
}

/// A mean, rounded down; `None` of nothing.
fn mean(sum: u64, count: u32) -> Option<u64> {
    sum.checked_div(u64::from(count))
}

/// How many passes there were in each minute since the last reset; `None` in the first.
fn passes_per_minute(statistics: &Statistics) -> Option<u64> {
    let seconds = (statistics.time.0 - statistics.since.0) / 1000;
    (seconds > 60).then(|| u64::from(statistics.passes.count) / u64::try_from(seconds / 60).unwrap_or(1))
}
