//! The picture of the cluster that readers get: immutable, shared, cheap to copy.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::{OrdMap, Vector};
use muster_model::accounting::{AccountingPolicy, PastUse, Tallies};
use muster_model::config::ClusterConfig;
use muster_model::cron::Crontab;
use muster_model::hostlist;
use muster_model::ids::{JobId, Name, StepId};
use muster_model::job::Job;
use muster_model::node::Node;
use muster_model::partition::Partition;
use muster_model::planning::{Outlook, PlanView, QueueKey};
use muster_model::priority::{CalculationProgress, UsageAccounts};
use muster_model::reservation::Reservation;
use muster_model::step::Step;
use muster_model::time::Timestamp;

use crate::submits::Submits;

/// The cluster as of one commit. Reading it never delays a change.
#[derive(Debug, Clone)]
pub struct ReadView {
    /// Configuration.
    pub config: Arc<ClusterConfig>,
    /// The number that the next job gets.
    pub job_id_next: u32,
    /// All jobs in memory.
    pub jobs: OrdMap<JobId, Arc<Job>>,
    /// For each array, its tasks that have a record of their own, by index.
    pub array_tasks: OrdMap<JobId, OrdMap<u32, JobId>>,
    /// Steps that wait or run.
    pub steps: OrdMap<(JobId, StepId), Arc<Step>>,
    /// All nodes by index.
    pub nodes: Vector<Arc<Node>>,
    /// All partitions by index.
    pub partitions: Vector<Arc<Partition>>,
    /// Eligible pending jobs in queue order, once for each partition that they ask for.
    pub queue: OrdMap<QueueKey, Arc<Job>>,
    /// Jobs that hold resources, by their expected end.
    pub running: OrdMap<(Timestamp, JobId), Arc<Job>>,
    /// For arrays with a throttle: how many more tasks may start.
    pub array_slots: OrdMap<JobId, u32>,
    /// What the last plan said of the jobs that wait.
    pub outlook: Outlook,
    /// Accounts, users, associations, QOS.
    pub accounting: AccountingPolicy,
    /// What jobs hold at present, by who is charged.
    pub tallies: Tallies,
    /// What was used before, by who is charged.
    pub past_use: PastUse,
    /// Reservations by name.
    pub reservations: OrdMap<Name, Arc<Reservation>>,
    /// Tables of jobs that come again, by user.
    pub crontabs: OrdMap<u32, Arc<Crontab>>,
    /// Which job each submit of late made.
    pub submits: Submits,
    /// What was used, by association and QOS.
    pub usage: UsageAccounts,
    /// What the priorities of jobs were calculated from.
    pub priorities: CalculationProgress,
}

impl ReadView {
    /// A job as it is to be shown: with what the last plan said of it.
    pub fn job(&self, id: JobId) -> Option<Arc<Job>> {
        self.jobs.get(&id).map(|job| self.outlook.told(job))
    }

    /// All nodes as they are to be shown: with what the last plan means to do with them. Only starts that nodes are held for
    /// count, and of one that a reader is told about only idle nodes (as in Slurm, where it tells `PLANNED`).
    pub fn nodes_told(&self) -> Vec<Arc<Node>> {
        let held =
            self.outlook.iter().filter(|wait| !wait.is_forecast && wait.expected_start > Some(self.outlook.time));
        let mut planned: BTreeSet<String> = BTreeSet::new();
        for list in held.filter_map(|wait| wait.expected_nodes.as_deref()).collect::<BTreeSet<_>>() {
            planned.extend(hostlist::expand(list).unwrap_or_default());
        }
        let tell = |node: &Arc<Node>| match planned.contains(&**node.name()) {
            true => Arc::new(Node { planned: true, ..Node::clone(node) }),
            false => node.clone(),
        };
        self.nodes.iter().map(tell).collect()
    }

    /// The same picture as the scheduler sees it, to answer what-if questions.
    pub fn plan_view(&self, now: Timestamp) -> PlanView {
        PlanView {
            now,
            config: self.config.clone(),
            nodes: self.nodes.clone(),
            partitions: self.partitions.clone(),
            queue: self.queue.clone(),
            running: self.running.clone(),
            array_slots: self.array_slots.clone(),
            outlook: self.outlook.clone(),
            accounting: self.accounting.clone(),
            tallies: self.tallies.clone(),
            past_use: self.past_use.clone(),
            reservations: self.reservations.clone(),
            usage: self.usage.clone(),
            priorities: self.priorities.clone(),
        }
    }
}
