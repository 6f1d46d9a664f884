//! Partitions: named groups of nodes with limits and preferences.

use serde::{Deserialize, Serialize};

use crate::ids::{Name, NodeIndex};
use crate::preemption::PreemptMode;
use crate::resources::{Megabytes, Sharing};
use crate::time::{Span, TimeLimit};

/// `State=` of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionState {
    /// Takes and starts jobs.
    #[default]
    Up,
    /// Takes jobs, starts none.
    Down,
    /// Takes no new jobs, starts those it has.
    Drain,
    /// Neither.
    Inactive,
}

/// Default memory of jobs that ask for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryDefault {
    /// `DefMemPerNode`.
    PerNode(Megabytes),
    /// `DefMemPerCPU`.
    PerCpu(Megabytes),
}

impl OverSubscribe {
    /// How many jobs may be on one core, where one of them asks for this kind of sharing. Where jobs share in `turns` they
    /// do not have to ask. As in Slurm 22.05, whoever wants whole nodes shares them where the partition forces it.
    pub fn rows(self, sharing: Sharing, turns: bool) -> u32 {
        match (self, sharing) {
            (OverSubscribe::Force(rows), _) => rows.max(1),
            (OverSubscribe::Yes(rows), Sharing::Oversubscribe) => rows.max(1),
            (OverSubscribe::Yes(rows), _) if turns && sharing != Sharing::Exclusive => rows.max(1),
            _ => 1,
        }
    }

    /// Whether any job can share a core with others.
    pub fn may_share(self) -> bool {
        matches!(self, OverSubscribe::Yes(rows) | OverSubscribe::Force(rows) if rows > 1)
    }
}

/// `OverSubscribe=` of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverSubscribe {
    /// Whole nodes only.
    Exclusive,
    /// Each core to one job.
    #[default]
    No,
    /// Up to N jobs on a core when the job asks.
    Yes(u32),
    /// Up to N jobs on a core always.
    Force(u32),
}

/// A partition as configured, with its present state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// Name.
    pub name: Name,
    /// Nodes as written.
    pub node_list: Name,
    /// Nodes, ascending.
    pub nodes: Vec<NodeIndex>,
    /// Used for jobs that name none.
    pub default: bool,
    /// Present state.
    pub state: PartitionState,
    /// Limit of jobs that give none; `None` takes `time_max`.
    pub time_default: Option<TimeLimit>,
    /// Greatest limit.
    pub time_max: TimeLimit,
    /// Least number of nodes of a job.
    pub nodes_min: u32,
    /// Greatest number of nodes of a job; `None` for no limit.
    pub nodes_max: Option<u32>,
    /// Greatest number of CPUs of a job on one node.
    pub cpus_per_node_max: Option<u32>,
    /// Absolute order between partitions, higher first.
    pub priority_tier: u16,
    /// Term of the priority number.
    pub priority_job_factor: u16,
    /// Sharing of cores.
    pub over_subscribe: OverSubscribe,
    /// Memory of jobs that ask for none.
    pub memory_default: Option<MemoryDefault>,
    /// Greatest memory of a job.
    pub memory_max: Option<MemoryDefault>,
    /// `DefCpuPerGPU`: CPUs for each GPU of jobs that ask for no number of CPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus_per_gpu_default: Option<u32>,
    /// `DefMemPerGPU`: memory for each GPU of jobs that ask for no memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_per_gpu_default: Option<Megabytes>,
    /// Greatest number of CPUs of its jobs on one socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus_per_socket_max: Option<u32>,
    /// Nodes with least load first (`LLN`).
    #[serde(default)]
    pub least_loaded: bool,
    /// Nodes go to one user at a time (`ExclusiveUser`).
    #[serde(default)]
    pub exclusive_user: bool,
    /// `PreemptMode`: what becomes of its jobs when they are preempted; `None` for what the cluster says.
    #[serde(default)]
    pub preempt_mode: Option<PreemptMode>,
    /// `GraceTime`: between notice and end of a preempted job.
    #[serde(default)]
    pub grace_time: Span,
    /// Not shown to those who may not use it.
    pub hidden: bool,
    /// Only root may submit.
    pub root_only: bool,
    /// `ReqResv`: only jobs in a reservation.
    #[serde(default)]
    pub reservation_required: bool,
    /// `OverTimeLimit`: for how long a job may go on after its limit; `None` for what the cluster says.
    #[serde(default)]
    pub over_time_limit: Option<Span>,
    /// Unix groups that may use it; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups_allowed: Vec<Name>,
    /// Accounts that may use it; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accounts_allowed: Vec<Name>,
    /// Accounts that may not use it, where no list says who may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accounts_denied: Vec<Name>,
    /// QOS that may use it; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub qos_allowed: Vec<Name>,
    /// QOS that may not use it, where no list says which may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub qos_denied: Vec<Name>,
    /// QOS whose limits hold for all jobs in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qos: Option<Name>,
    /// Other keys of the configuration line, shown as written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<(Name, Name)>,
}

impl Partition {
    /// Shows `value` as what the configuration says of `key`; nothing where it is empty.
    pub fn show_as(&mut self, key: &str, value: &str) {
        self.others.retain(|(name, _)| !name.eq_ignore_ascii_case(key));
        if !value.is_empty() {
            self.others.push((key.into(), value.into()));
        }
    }

    /// A partition of these nodes, without limits.
    pub fn new(name: Name, nodes: Vec<NodeIndex>) -> Partition {
        Partition {
            name,
            node_list: "".into(),
            nodes,
            default: false,
            state: PartitionState::Up,
            time_default: None,
            time_max: TimeLimit::Unlimited,
            nodes_min: 1,
            nodes_max: None,
            cpus_per_node_max: None,
            priority_tier: 1,
            priority_job_factor: 1,
            over_subscribe: OverSubscribe::No,
            memory_default: None,
            memory_max: None,
            cpus_per_gpu_default: None,
            memory_per_gpu_default: None,
            cpus_per_socket_max: None,
            least_loaded: false,
            exclusive_user: false,
            preempt_mode: None,
            grace_time: Span::ZERO,
            hidden: false,
            root_only: false,
            reservation_required: false,
            over_time_limit: None,
            groups_allowed: Vec::new(),
            accounts_allowed: Vec::new(),
            accounts_denied: Vec::new(),
            qos_allowed: Vec::new(),
            qos_denied: Vec::new(),
            qos: None,
            others: Vec::new(),
        }
    }
}
