//! The calculation every `PriorityCalcPeriod`, in portions: runs are counted, then a snapshot is taken, then the
//! priorities of waiting jobs follow.

use std::ops::Bound;
use std::sync::Arc;

use muster_model::accounting::{Holder, PastUse, QosFlag, TresAmounts, Used};
use muster_model::ids::JobId;
use muster_model::job::Job;
use muster_model::priority::{PriorityFlag, PrioritySnapshot, PriorityType, Usage};
use muster_model::state::JobState;
use muster_model::time::{Span, Timestamp};

use super::assign::calculated;
use super::count::{self, Counting};
use crate::cluster::Cluster;
use crate::effect::Outcome;
use crate::handlers::ageing;
use crate::timers::Timer;

/// Jobs looked at by one event: some hundred microseconds of work.
const JOBS_PER_EVENT_MAX: usize = 250;
/// Time between two portions, so that whatever else has come goes first.
const PAUSE: Span = Span(1);

/// A calculation that is under way.
#[derive(Debug)]
pub(crate) enum Calculation {
    /// Runs are counted.
    Counting(Counting),
    /// Priorities follow, from this job on.
    Jobs { next: JobId, changed: bool },
}

/// Takes the first snapshot after a start, and sees that all priorities follow from it.
pub(crate) fn begin(cluster: &mut Cluster, now: Timestamp) {
    if is_wanted(cluster) {
        take_snapshot(cluster, cluster.usage.accounted_until.max(Timestamp(0)).max(now));
        cluster.priorities.previous = None;
    }
    policy_changed(cluster, now);
}

/// Something that priorities depend on has changed: accounts, QOS, partitions. They are calculated anew at once.
pub(crate) fn policy_changed(cluster: &mut Cluster, now: Timestamp) {
    if cluster.calculation.is_none() && is_wanted(cluster) {
        set(cluster, now + PAUSE);
    }
}

/// A job came: goes on calculating every period, after a time in which nobody waited or ran.
pub(crate) fn wake(cluster: &mut Cluster, now: Timestamp) {
    if cluster.calculation.is_none() && cluster.calculation_due.is_none() && is_wanted(cluster) {
        let due = cluster.priorities.current.at + period(cluster);
        set(cluster, due.max(now + PAUSE));
    }
}

/// Whether all that an ended job used is counted, so that it may be forgotten.
pub(crate) fn is_counted(cluster: &Cluster, job: &Job) -> bool {
    !count::is_kept(cluster) || !cluster.ran.contains(&job.id)
}

/// Without accounts and factors there is nothing to calculate.
fn is_wanted(cluster: &Cluster) -> bool {
    count::is_kept(cluster) || cluster.config.priority.kind == PriorityType::Multifactor
}

fn period(cluster: &Cluster) -> Span {
    cluster.config.priority.calculation_period.max(Span::from_seconds(1))
}

fn set(cluster: &mut Cluster, at: Timestamp) {
    cluster.calculation_due = Some(at);
    cluster.timers.set(at, Timer::Priorities);
}

/// The next portion.
pub(crate) fn calculate(cluster: &mut Cluster, now: Timestamp, out: &mut Outcome) {
    if cluster.calculation_due.is_none_or(|due| due > now) {
        return;
    }
    cluster.calculation_due = None;
    let next = match cluster.calculation.take() {
        None => Some(Calculation::Counting(Counting::new(now))),
        Some(Calculation::Counting(mut counting)) => {
            if counting.portion(cluster, now, JOBS_PER_EVENT_MAX) {
                let at = counting.at;
                counting.finish(cluster, out);
                take_snapshot(cluster, at);
                Some(Calculation::Jobs { next: JobId(0), changed: false })
            } else {
                Some(Calculation::Counting(counting))
            }
        }
        Some(Calculation::Jobs { next, changed }) => jobs(cluster, now, next, changed, out),
    };
    cluster.calculation = next;
    if cluster.calculation.is_some() {
        set(cluster, now + PAUSE);
    } else if !cluster.named.is_empty() || !cluster.ran.is_empty() {
        let due = cluster.priorities.current.at + period(cluster);
        set(cluster, due.max(now + PAUSE));
    }
}

fn take_snapshot(cluster: &mut Cluster, at: Timestamp) {
    let config = &cluster.config.priority;
    let (nodes, partitions) = (&cluster.nodes, &cluster.partitions);
    let snapshot = PrioritySnapshot::take(at, config, nodes, partitions, &cluster.accounting, &cluster.usage);
    let before = std::mem::replace(&mut cluster.priorities.current, Arc::new(snapshot));
    cluster.priorities.previous = Some((before, JobId(0)));
    cluster.past_use = past_use(cluster, at);
}

/// Minutes ever used, as limits on them count.
fn past_use(cluster: &Cluster, at: Timestamp) -> PastUse {
    let config = &cluster.config.priority;
    let minutes = |seconds: f64| (seconds / 60.0) as u64;
    let used = |usage: Usage| Used {
        tres_minutes: TresAmounts(
            usage.tres_seconds.iter().map(|(name, seconds)| (name.clone(), minutes(*seconds))).collect(),
        ),
        wall_minutes: minutes(usage.wall_seconds),
    };
    let usage = &cluster.usage;
    let associations =
        usage.associations.keys().map(|id| (Holder::Association(*id), usage.association(*id, at, config)));
    let qos = usage.qos.keys().map(|name| {
        let no_decay = cluster.accounting.qos.get(name).is_some_and(|qos| qos.has(QosFlag::NoDecay));
        (Holder::Qos(name.clone()), usage.qos(name, at, no_decay, config))
    });
    PastUse { holders: associations.chain(qos).map(|(holder, usage)| (holder, used(usage))).collect() }
}

/// One portion of jobs; `None` when all have been looked at.
fn jobs(
    cluster: &mut Cluster,
    now: Timestamp,
    next: JobId,
    mut changed: bool,
    out: &mut Outcome,
) -> Option<Calculation> {
    let multifactor = cluster.config.priority.kind == PriorityType::Multifactor;
    let portion: Vec<Arc<Job>> = match multifactor {
        true => cluster.jobs.range(next..).take(JOBS_PER_EVENT_MAX).map(|(_, job)| job.clone()).collect(),
        false => Vec::new(),
    };
    let snapshot = cluster.priorities.current.clone();
    for job in &portion {
        ageing::tend(cluster, now, job.id, out);
        let Some(job) = &cluster.jobs.get(&job.id).cloned() else { continue };
        changed |= calculate_one(cluster, now, job, &snapshot);
    }
    if portion.len() == JOBS_PER_EVENT_MAX
        && let Some(next) = portion.last().and_then(|last| last.id.0.checked_add(1)).map(JobId)
    {
        if let Some((_, first)) = &mut cluster.priorities.previous {
            *first = next;
        }
        return Some(Calculation::Jobs { next, changed });
    }
    cluster.priorities.previous = None;
    out.plan_needed |= changed;
    None
}

fn calculate_one(cluster: &mut Cluster, now: Timestamp, job: &Arc<Job>, snapshot: &PrioritySnapshot) -> bool {
    let config = &cluster.config.priority;
    let counts = match job.state {
        JobState::Pending => true,
        JobState::Running | JobState::Suspended => config.has(PriorityFlag::CalculateRunning),
        _ => false,
    };
    if !counts || job.hold.is_some() || job.priority_set {
        return false;
    }
    let mut priority = calculated(cluster, job, snapshot);
    if config.has(PriorityFlag::IncrOnly) {
        priority = priority.max(job.priority);
    }
    // In its several partitions it may stand elsewhere though its best priority is the same.
    if priority == job.priority && !cluster.is_misplaced(job) {
        return false;
    }
    let mut job = (**job).clone();
    job.priority = priority;
    // It can be calculated again, so it is not made durable.
    cluster.put_unstored(now, job);
    true
}

impl Cluster {
    /// Keeps the list of jobs whose runs are still to be counted.
    pub(crate) fn index_run(&mut self, job: &Job) {
        let until = self.usage.accounted_until;
        let runs = matches!(job.state, JobState::Running | JobState::Suspended);
        let ended = job.state.is_final() && job.start_time.is_some() && job.end_time.is_some_and(|end| end > until);
        if runs || ended || job.past_runs.iter().any(|run| run.end > until) {
            self.ran.insert(job.id);
        }
    }

    /// Up to `max` jobs after `after` whose runs are to be counted.
    pub(super) fn runs_after(&self, after: Option<JobId>, max: usize) -> Vec<JobId> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.ran.range((from, Bound::Unbounded)).take(max).copied().collect()
    }
}
