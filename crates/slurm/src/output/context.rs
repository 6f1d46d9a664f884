//! What a table needs to know besides its rows, and the shapes in which commands talk to the outside.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use muster_model::accounting::AccountingPolicy;
use muster_model::explain::Explanation;
use muster_model::hostlist;
use muster_model::ids::{Identity, Name, NodeIndex};
use muster_model::job::Job;
use muster_model::node::Node;
use muster_model::partition::Partition;
use muster_model::priority::{PriorityReport, ShareReport};
use muster_model::request::{HistoryRow, Pong, Refusal, Reply};
use muster_model::reservation::Reservation;
use muster_model::statistics::Statistics;
use muster_model::step::Step;
use muster_model::time::Timestamp;

use super::time_text::TimeFormat;

/// Environment variables by name.
pub type Environment = BTreeMap<String, String>;

/// What a command prints and how it exits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// For standard output.
    pub stdout: String,
    /// For standard error.
    pub stderr: String,
    /// Exit code.
    pub code: u8,
}

impl Outcome {
    /// Prints `stdout` and exits 0.
    pub fn success(stdout: impl Into<String>) -> Outcome {
        Outcome { stdout: stdout.into(), ..Outcome::default() }
    }

    /// Prints `stderr` on standard error and exits `code`.
    pub fn failure(stderr: impl Into<String>, code: u8) -> Outcome {
        Outcome { stdout: String::new(), stderr: stderr.into(), code }
    }
}

/// Who and where: everything that decides how values are printed but is not a value.
pub struct Context {
    /// Present time.
    pub now: Timestamp,
    /// Time zone in which times are read and printed.
    pub zone: TimeZone,
    /// How times are printed (`SLURM_TIME_FORMAT`).
    pub time_format: TimeFormat,
    /// Longest list of task indices that is printed in full (`SLURM_BITSTR_LEN`, 64 by default); 0 for no limit.
    pub task_list_len_max: usize,
    /// The caller.
    pub caller: Identity,
    /// Finds the number of a user by name or number; `None` when there is no such user.
    pub user_number: fn(&str) -> Option<u32>,
    /// Finds the number of a group by name or number; `None` when there is no such group.
    pub group_number: fn(&str) -> Option<u32>,
}

impl Context {
    /// A context as the environment variables `environment` want it.
    pub fn new(now: Timestamp, zone: TimeZone, environment: &Environment, caller: Identity) -> Context {
        let task_list_len_max = environment.get("SLURM_BITSTR_LEN").and_then(|text| text.parse().ok()).unwrap_or(64);
        Context {
            now,
            zone,
            time_format: TimeFormat::from_environment(environment.get("SLURM_TIME_FORMAT").map(String::as_str)),
            task_list_len_max,
            caller,
            user_number: |_| None,
            group_number: |_| None,
        }
    }

    /// The number that `text`, a user name or number, means.
    pub fn user(&self, text: &str) -> Option<u32> {
        let own = *text == *self.caller.user || text.parse() == Ok(self.caller.uid);
        own.then_some(self.caller.uid).or_else(|| (self.user_number)(text))
    }

    /// The number that `text`, a group name or number, means.
    pub fn group(&self, text: &str) -> Option<u32> {
        let own = *text == *self.caller.group || text.parse() == Ok(self.caller.gid);
        own.then_some(self.caller.gid).or_else(|| (self.group_number)(text))
    }
}

/// All that the controller answered to the questions of a plan.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// Jobs in memory.
    pub jobs: Vec<Arc<Job>>,
    /// Steps.
    pub steps: Vec<Arc<Step>>,
    /// The cluster, where it was asked for.
    pub cluster: Cluster,
    /// Jobs from the store.
    pub history: Vec<HistoryRow>,
    /// Priorities with their parts.
    pub priorities: Option<PriorityReport>,
    /// Shares and usage.
    pub shares: Option<ShareReport>,
    /// Why jobs wait.
    pub explanations: Vec<Explanation>,
    /// What the controller had to do.
    pub statistics: Option<Statistics>,
    /// Reservations.
    pub reservations: Vec<Arc<Reservation>>,
    /// Accounts, users, associations, QOS.
    pub accounting: AccountingPolicy,
    /// Questions that were refused.
    pub refusals: Vec<Refusal>,
    /// Who answers.
    pub pong: Option<Pong>,
}

impl Answers {
    /// Puts the parts of all answers together.
    pub fn gather(replies: impl IntoIterator<Item = Reply>) -> Answers {
        let mut answers = Answers::default();
        for reply in replies {
            match reply {
                Reply::Jobs(jobs) => answers.jobs.extend(jobs),
                Reply::Steps(steps) => answers.steps.extend(steps),
                Reply::Nodes { nodes, partitions } => {
                    answers.cluster.nodes = nodes;
                    answers.cluster.partitions = partitions;
                }
                Reply::Partitions(partitions) => answers.cluster.partitions = partitions,
                Reply::Topology(topology) => answers.cluster.topology = topology,
                Reply::Accounting(rows) => rows.iter().for_each(|row| answers.accounting.put(row)),
                Reply::Config(parameters) => answers.cluster.parameters = parameters,
                Reply::Reservations(rows) => answers.reservations.extend(rows),
                Reply::History(rows) => answers.history.extend(rows),
                Reply::Priorities(report) => answers.priorities = Some(*report),
                Reply::Shares(report) => answers.shares = Some(*report),
                Reply::Statistics(statistics) => answers.statistics = Some(*statistics),
                Reply::Pong(pong) => {
                    answers.cluster.name = Some(pong.cluster_name.clone());
                    answers.pong = Some(pong);
                }
                Reply::Explained(explanation) => answers.explanations.push(*explanation),
                Reply::Refused(refusal) => answers.refusals.push(refusal),
                Reply::Crontab(_) | Reply::Done => {}
            }
        }
        answers
    }
}

/// Nodes, partitions and parameters, as far as they were asked for.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    /// Its name; `None` when not asked for.
    pub name: Option<Name>,
    /// All nodes by index; empty when not asked for.
    pub nodes: Vec<Arc<Node>>,
    /// All partitions by index; empty when not asked for.
    pub partitions: Vec<Arc<Partition>>,
    /// Parameters in force, as in `scontrol show config`; empty when not asked for.
    pub parameters: Vec<(String, String)>,
    /// How the nodes are wired; `None` when not asked for, too.
    pub topology: Option<muster_model::topology::Topology>,
}

impl Cluster {
    /// Name of the node with `index`.
    pub fn node_name(&self, index: NodeIndex) -> Option<&Name> {
        self.nodes.get(index.0 as usize).map(|node| node.name())
    }

    /// The partition called `name`.
    pub fn partition(&self, name: &str) -> Option<&Partition> {
        self.partitions.iter().find(|partition| *partition.name == *name).map(Arc::as_ref)
    }

    /// The parameter called `name`, in any case.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Kinds of generic resources that are counted among the trackable resources (`AccountingStorageTRES=gres/NAME`).
    pub fn tracked_gres(&self) -> Vec<Name> {
        self.tracked("gres/")
    }

    /// Licences that are counted among the trackable resources (`AccountingStorageTRES=license/NAME`).
    pub fn tracked_licenses(&self) -> Vec<Name> {
        self.tracked("license/")
    }

    fn tracked(&self, class: &str) -> Vec<Name> {
        let list = self.parameter("AccountingStorageTRES").unwrap_or_default();
        list.split(',').filter_map(|item| item.trim().strip_prefix(class)).map(Name::from).collect()
    }
}

/// Whether the host list `list` contains any of `names`; a list that cannot be read contains none.
pub(crate) fn touches(list: &str, names: &[String]) -> bool {
    hostlist::expand(list).is_ok_and(|members| members.iter().any(|member| names.contains(member)))
}
