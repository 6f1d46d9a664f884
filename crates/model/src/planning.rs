//! What the scheduler sees and what it proposes.
//!
//! The core hands out a [`PlanView`], an immutable picture whose parts are shared and cheap to copy; the scheduler
//! answers with a [`Plan`]; the core checks each piece of it against the present and keeps what still fits.

use std::sync::Arc;

use imbl::{OrdMap, Vector};
use serde::{Deserialize, Serialize};

use crate::accounting::AccountingPolicy;
use crate::config::ClusterConfig;
use crate::ids::{JobId, Name, NodeIndex, RestartCount};
use crate::job::Job;
use crate::node::Node;
use crate::partition::Partition;
use crate::priority::{CalculationProgress, UsageAccounts};
use crate::reservation::Reservation;
use crate::resources::{Allocation, GresShare, Megabytes};
use crate::state::Reason;
use crate::time::Timestamp;

/// Order of the queue: the smallest key is looked at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueKey {
    /// Who may preempt whom: those with a smaller rank may preempt those with a greater one.
    pub preemption_rank: u32,
    /// Jobs in a reservation go before those without.
    pub without_reservation: bool,
    /// Priority tier of the partition, higher first.
    pub tier: std::cmp::Reverse<u16>,
    /// Priority of the job, higher first.
    pub priority: std::cmp::Reverse<u32>,
    /// Submit time, earlier first.
    pub submit_time: Timestamp,
    /// Number, lower first.
    pub job_id: JobId,
}

/// The cluster as the scheduler sees it. Cloning copies a few pointers.
#[derive(Debug, Clone)]
pub struct PlanView {
    /// Now.
    pub now: Timestamp,
    /// Configuration.
    pub config: Arc<ClusterConfig>,
    /// All nodes by index.
    pub nodes: Vector<Arc<Node>>,
    /// All partitions by index, with their present state.
    pub partitions: Vector<Arc<Partition>>,
    /// Pending jobs that are eligible now, in queue order. An array is one entry.
    pub queue: OrdMap<QueueKey, Arc<Job>>,
    /// Jobs that hold resources, by the time at which their limit ends them (the far future when unlimited).
    pub running: OrdMap<(Timestamp, JobId), Arc<Job>>,
    /// For arrays with a throttle: how many more tasks may start.
    pub array_slots: OrdMap<JobId, u32>,
    /// Accounts, users, associations, QOS.
    pub accounting: AccountingPolicy,
    /// Reservations by name.
    pub reservations: OrdMap<Name, Arc<Reservation>>,
    /// What was used, by association and QOS.
    pub usage: UsageAccounts,
    /// What the priorities of jobs were calculated from.
    pub priorities: CalculationProgress,
}

/// What the scheduler proposes after one pass.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Plan {
    /// Jobs to start now, in order.
    pub starts: Vec<PlannedStart>,
    /// Jobs looked at that cannot start now, and why; only those whose reason or expectation changed.
    pub waits: Vec<PlannedWait>,
    /// The pass reached one of its limits before it had looked at the whole queue; the jobs that it did not reach
    /// are in neither list.
    #[serde(default)]
    pub exhausted: bool,
}

/// One job, or one task of an array, to start now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStart {
    /// The job record it comes from.
    pub job_id: JobId,
    /// Which start of it was planned.
    pub restart: RestartCount,
    /// The task, where the record stands for the waiting tasks of an array.
    pub task_index: Option<u32>,
    /// The partition.
    pub partition: Name,
    /// What it gets on each node, ascending by node.
    pub shares: Vec<PlannedShare>,
}

/// Amounts on one node; the core chooses which CPUs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedShare {
    /// The node.
    pub node: NodeIndex,
    /// CPUs to give.
    pub cpus: u32,
    /// Memory to give.
    pub memory: Megabytes,
    /// Units to give, chosen.
    pub gres: Vec<GresShare>,
    /// Tasks that run here.
    pub tasks: u32,
}

/// Why one job does not start now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedWait {
    /// The job record.
    pub job_id: JobId,
    /// The reason.
    pub reason: Reason,
    /// Its long form, where there is more to say.
    pub detail: Option<Name>,
    /// When it is expected to start.
    pub expected_start: Option<Timestamp>,
    /// Where.
    pub expected_nodes: Option<Name>,
}

/// An allocation that a request would get, and when; the answer to `--test-only`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expectation {
    /// When it would start.
    pub start: Timestamp,
    /// What it would hold.
    pub allocation: Allocation,
    /// In which partition.
    pub partition: Name,
    /// The number that the next job gets.
    #[serde(default)]
    pub job_id_next: u32,
    /// Names of the nodes as a host list.
    #[serde(default)]
    pub node_list: String,
}
