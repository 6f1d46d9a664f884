//! What the scheduler sees and what it proposes.
//!
//! The core hands out a [`PlanView`], an immutable picture whose parts are shared and cheap to copy; the scheduler
//! answers with a [`Plan`]; the core checks each piece of it against the present and keeps what still fits.

use std::sync::Arc;

use imbl::{OrdMap, Vector};
use serde::{Deserialize, Serialize};

use crate::accounting::{AccountingPolicy, PastUse, Tallies};
use crate::config::ClusterConfig;
use crate::ids::{JobId, Name, NodeIndex, RestartCount};
use crate::job::Job;
use crate::node::Node;
use crate::partition::Partition;
use crate::preemption::PreemptMode;
use crate::priority::{CalculationProgress, UsageAccounts};
use crate::reservation::Reservation;
use crate::resources::{Allocation, GresShare, IndexSet, Megabytes};
use crate::state::{JobState, Reason};
use crate::statistics::PassFigures;
use crate::time::{Span, TimeLimit, Timestamp};

/// Order of the queue: the smallest key is looked at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueKey {
    /// Who may preempt whom: those with a smaller rank may preempt those with a greater one.
    pub preemption_rank: u32,
    /// Jobs in a reservation go before those without.
    pub without_reservation: bool,
    /// Priority tier of the partition, higher first.
    pub tier: std::cmp::Reverse<u16>,
    /// Priority of the job in this partition, higher first.
    pub priority: std::cmp::Reverse<u32>,
    /// Submit time, earlier first.
    pub submit_time: Timestamp,
    /// Number, lower first.
    pub job_id: JobId,
    /// A job stands in the queue once for each partition that it asks for: the position of this one among them. A component
    /// of a heterogeneous job stands there once, beside the others, whatever the partitions.
    pub partition: u32,
}

impl QueueKey {
    /// Behind every job.
    pub const LAST: QueueKey = QueueKey {
        preemption_rank: u32::MAX,
        without_reservation: true,
        tier: std::cmp::Reverse(0),
        priority: std::cmp::Reverse(0),
        submit_time: Timestamp(i64::MAX),
        job_id: JobId(u32::MAX),
        partition: u32::MAX,
    };
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
    /// Pending jobs that are eligible now, in queue order: one entry for each partition that a job asks for. An array is
    /// one job.
    pub queue: OrdMap<QueueKey, Arc<Job>>,
    /// Jobs that hold resources, by the time at which their limit ends them (the far future when unlimited).
    pub running: OrdMap<(Timestamp, JobId), Arc<Job>>,
    /// For arrays with a throttle: how many more tasks may start.
    pub array_slots: OrdMap<JobId, u32>,
    /// Accounts, users, associations, QOS.
    pub accounting: AccountingPolicy,
    /// What jobs hold at present, by who is charged.
    pub tallies: Tallies,
    /// What was used before, by who is charged.
    pub past_use: PastUse,
    /// What the last plan said. Of several choices that start a job at the same time, the one told before is kept.
    pub outlook: Outlook,
    /// Reservations by name.
    pub reservations: OrdMap<Name, Arc<Reservation>>,
    /// What was used, by association and QOS.
    pub usage: UsageAccounts,
    /// What the priorities of jobs were calculated from.
    pub priorities: CalculationProgress,
}

/// What the scheduler proposes after one pass.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Jobs to start now, in order. A heterogeneous job is one of them.
    pub starts: Vec<PlannedStart>,
    /// Running jobs that have to make room.
    pub evictions: Vec<PlannedEviction>,
    /// What it says of the jobs that wait.
    pub outlook: Outlook,
    /// The pass reached one of its limits before it had looked at the whole queue; the jobs that it did not reach
    /// are in neither list.
    pub exhausted: bool,
    /// The pass looked only at what has changed, and found something that deserves a pass over everything.
    pub is_partial: bool,
    /// What a partial pass repeats of the last one over everything may not be true any more: nodes have come into service or left
    /// it since, or that pass could not be used.
    pub is_dated: bool,
    /// How much work it was.
    pub figures: PassFigures,
}

impl Plan {
    /// All jobs that it starts, components of heterogeneous jobs one by one.
    pub fn all_starts(&self) -> impl Iterator<Item = &PlannedStart> {
        self.starts.iter().flat_map(PlannedStart::all)
    }

    /// Whether a pass over everything would say something else, after a long one on which this pass was made.
    pub fn says_not_all(&self) -> bool {
        self.is_partial && (self.figures.looked_at > 0 || self.is_dated)
    }
}

/// One running job that is to make room for another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedEviction {
    /// The job that goes.
    pub job_id: JobId,
    /// Which start of it.
    pub restart: RestartCount,
    /// What becomes of it.
    pub mode: PreemptMode,
    /// Time between notice and end.
    pub grace: Span,
    /// The job for which it makes room.
    pub by: JobId,
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
    /// The reservation in which it is to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservation: Option<Name>,
    /// A limit other than the one it asked for: with `--time-min` it may have to make room earlier.
    pub time_limit: Option<TimeLimit>,
    /// What it gets on each node, ascending by node.
    pub shares: Vec<PlannedShare>,
    /// Jobs to whose CPUs it may be put, as they yield to it: those that run are suspended where it takes a CPU of theirs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suspends: Vec<(JobId, RestartCount)>,
    /// The other components of a heterogeneous job: they start at the same instant, or none of them does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub together: Vec<PlannedStart>,
}

impl PlannedStart {
    /// This start and those that come with it.
    pub fn all(&self) -> impl Iterator<Item = &PlannedStart> {
        std::iter::once(self).chain(&self.together)
    }
}

/// Amounts on one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedShare {
    /// The node.
    pub node: NodeIndex,
    /// CPUs to give.
    pub cpus: u32,
    /// Which CPUs, where it matters; the core chooses the lowest whole cores otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_set: Option<IndexSet>,
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
    /// Which start of it waits.
    pub restart: RestartCount,
    /// The reason.
    pub reason: Reason,
    /// Its long form, where there is more to say.
    pub detail: Option<Name>,
    /// When it is expected to start.
    pub expected_start: Option<Timestamp>,
    /// Where.
    pub expected_nodes: Option<Name>,
    /// The time comes from a forecast over the whole queue, good to a few percent of the distance; otherwise resources are
    /// kept for it from then on.
    #[serde(default)]
    pub is_forecast: bool,
}

/// What the last pass said of all jobs that wait. It is laid over the rows of jobs where they are read and is not part of
/// them: a new plan changes what it says of every job in the queue, and must not cost the owner of the state more than
/// one exchange of a pointer.
#[derive(Debug, Clone, Default)]
pub struct Outlook {
    /// When the pass was made.
    pub time: Timestamp,
    /// Ascending by job.
    base: Arc<Vec<PlannedWait>>,
    /// The jobs of `base`, packed closely: looking one up is done by the thousand, and must not fetch its way through long
    /// rows.
    jobs: Arc<Vec<JobId>>,
    /// What later passes over a part of the queue changed; `None` for jobs that wait no more.
    changed: OrdMap<JobId, Option<Arc<PlannedWait>>>,
}

/// So far around the place where a job is looked for first: two lines of a cache in each direction.
const NEAR: usize = 32;

impl Outlook {
    /// What a pass over the whole queue said.
    pub fn new(time: Timestamp, mut waits: Vec<PlannedWait>) -> Outlook {
        waits.sort_unstable_by_key(|wait| wait.job_id);
        let jobs = waits.iter().map(|wait| wait.job_id).collect();
        Outlook { time, base: Arc::new(waits), jobs: Arc::new(jobs), changed: OrdMap::new() }
    }

    /// Says something else of one job.
    pub fn set(&mut self, job_id: JobId, wait: Option<PlannedWait>) {
        self.changed.insert(job_id, wait.map(Arc::new));
    }

    /// What it says of a job.
    pub fn get(&self, job_id: JobId) -> Option<&PlannedWait> {
        match self.changed.get(&job_id) {
            Some(changed) => changed.as_deref(),
            None => self.position(job_id).map(|at| &self.base[at]),
        }
    }

    /// The position of a job in `base`. Numbers have few gaps, so their ends tell about where it is.
    fn position(&self, job_id: JobId) -> Option<usize> {
        let (first, last) = (self.jobs.first()?.0, self.jobs.last()?.0);
        let (from_first, to_last) = (job_id.0.checked_sub(first)? as usize, last.checked_sub(job_id.0)? as usize);
        let (low, high) = (self.jobs.len().saturating_sub(to_last + 1), self.jobs.len().min(from_first + 1));
        // Where it is if the gaps are spread evenly. Looking around there first touches little memory.
        let guess = (self.jobs.len() - 1) as u64 * from_first as u64 / (from_first + to_last).max(1) as u64;
        let near = (guess as usize).saturating_sub(NEAR).max(low)..(guess as usize + NEAR).min(high);
        let around = self.jobs.get(near.clone()).unwrap_or_default();
        if around.first().is_some_and(|first| *first <= job_id) && around.last().is_some_and(|last| job_id <= *last) {
            return around.binary_search(&job_id).ok().map(|at| near.start + at);
        }
        self.jobs.get(low..high)?.binary_search(&job_id).ok().map(|at| low + at)
    }

    /// All that it says, ascending by job.
    pub fn iter(&self) -> impl Iterator<Item = &PlannedWait> {
        let unchanged = self.base.iter().filter(|wait| !self.changed.contains_key(&wait.job_id));
        let mut unchanged = unchanged.peekable();
        let mut changed = self.changed.values().flatten().map(|wait| &**wait).peekable();
        std::iter::from_fn(move || match (unchanged.peek(), changed.peek()) {
            (Some(one), Some(other)) if other.job_id < one.job_id => changed.next(),
            (Some(_), _) => unchanged.next(),
            (None, _) => changed.next(),
        })
    }

    /// `job` as it is to be shown: a job that may start and waits, with the reason and the expectation of the plan.
    pub fn told(&self, job: &Arc<Job>) -> Arc<Job> {
        let is_queued = job.state == JobState::Pending
            && !job.completing
            && job.hold.is_none()
            && job.eligible_time.is_some_and(|eligible| eligible <= self.time);
        let Some(wait) = self.get(job.id).filter(|wait| is_queued && wait.restart == job.restart) else {
            return job.clone();
        };
        let mut told = Job::clone(job);
        told.reason = wait.reason;
        told.reason_detail = wait.detail.clone();
        told.start_time = wait.expected_start;
        told.planned_nodes = wait.expected_nodes.clone();
        told.last_evaluated = Some(self.time);
        Arc::new(told)
    }
}

impl PartialEq for Outlook {
    fn eq(&self, other: &Outlook) -> bool {
        self.time == other.time && self.iter().eq(other.iter())
    }
}

impl Eq for Outlook {}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn outlook(jobs: impl Iterator<Item = u32>) -> Outlook {
        let wait = |job| PlannedWait {
            job_id: JobId(job),
            restart: RestartCount(0),
            reason: Reason::Resources,
            detail: None,
            expected_start: None,
            expected_nodes: None,
            is_forecast: false,
        };
        Outlook::new(Timestamp(0), jobs.map(wait).collect())
    }

    /// Every number from before the first to behind the last is found if it is there, and only then.
    #[track_caller]
    fn check(jobs: &[u32]) {
        let outlook = outlook(jobs.iter().copied());
        let numbers = jobs.first().map_or(0, |first| first - 1)..=jobs.last().map_or(1, |last| last + 2);
        for number in numbers {
            let found = outlook.get(JobId(number)).map(|wait| wait.job_id.0);
            assert_eq!(found, jobs.contains(&number).then_some(number), "{number} of {jobs:?}");
        }
    }

    #[test]
    fn jobs_are_found_wherever_the_gaps_are() {
        check(&[]);
        check(&[7]);
        check(&[1, 2]);
        check(&(1..300).collect::<Vec<_>>());
        check(&(1..300).filter(|number| number % 3 != 0).collect::<Vec<_>>());
        // All gaps at one end, so that a job is far from where it is looked for first.
        check(&(1..200).chain(900..905).collect::<Vec<_>>());
        check(&(5..8).chain(700..950).collect::<Vec<_>>());
    }

    #[test]
    fn what_was_said_later_counts() {
        let mut outlook = outlook(1..10);
        outlook.set(JobId(3), None);
        assert!(outlook.get(JobId(3)).is_none() && outlook.get(JobId(4)).is_some());
    }
}
