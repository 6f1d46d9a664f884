//! Jobs that the scheduler suspends and lets go on: those that yield to a preemptor (`PreemptMode=SUSPEND`), and those that
//! share CPUs in turns (`PreemptMode=GANG` with `OverSubscribe`).
//!
//! Such a job keeps its claim to its CPUs. It goes on as soon as nobody runs on any of them, or when its turn comes; that is
//! looked at whenever a node's CPUs are counted anew, so nothing has to be polled. Turns change every `SchedulerTimeSlice`
//! while somebody waits for one: who waits goes before who runs, and who finds his CPUs taken by those before him stands still
//! until the next change. Preemptors and jobs of other partitions take no part, their CPUs are simply not there.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use muster_model::ids::{JobId, Name, NodeIndex};
use muster_model::job::Job;
use muster_model::preemption::{CpuHold, PreemptMode, PreemptType};
use muster_model::resources::{Allocation, IndexSet};
use muster_model::state::JobState;
use muster_model::time::Timestamp;

use super::steps;
use crate::cluster::Cluster;
use crate::effect::{NodeCommand, Outcome};
use crate::placement::Claim;
use crate::shares::hold_on;
use crate::timers::Timer;

/// Suspends a running job: in favour of another, or because an operator wants it.
pub(super) fn stop(cluster: &mut Cluster, now: Timestamp, mut job: Job, yields_to: Option<JobId>, out: &mut Outcome) {
    pause(&job, false, out);
    job.state = JobState::Suspended;
    job.suspend_time = Some(now);
    job.yields_to = yields_to;
    cluster.put_job(now, job.clone(), out);
    cluster.count_suspension(&job, true);
    out.plan_needed = true;
    if yields_to.is_some() && takes_turns(cluster, &job) {
        expect_turn(cluster, now);
    }
}

/// A job that starts where others have their turn stands from the first moment.
pub(super) fn wait_at_start(cluster: &mut Cluster, now: Timestamp, job: &mut Job) {
    let before = takes_turns(cluster, job).then(|| who_runs_there(cluster, job)).flatten();
    if before.is_some() {
        job.state = JobState::Suspended;
        job.suspend_time = Some(now);
        job.yields_to = before;
        expect_turn(cluster, now);
    }
}

/// Lets a suspended job run again. The time it stood does not count against its limit.
pub(super) fn go_on(cluster: &mut Cluster, now: Timestamp, mut job: Job, out: &mut Outcome) {
    pause(&job, true, out);
    let stood = job.suspend_time.take().map(|since| now.since(since)).unwrap_or_default();
    job.state = JobState::Running;
    job.suspended.0 += stood.0;
    job.resume_time = Some(now);
    job.yields_to = None;
    job.end_time = job.end_time.map(|end| end + stood);
    cluster.set_job_timers(&job, now);
    cluster.put_job(now, job.clone(), out);
    cluster.count_suspension(&job, false);
    steps::try_waiting(cluster, now, job.id, out);
}

pub(super) fn pause(job: &Job, resume: bool, out: &mut Outcome) {
    for share in job.allocation.iter().flat_map(|allocation| &allocation.shares) {
        out.send(share.node, NodeCommand::Pause { job_id: job.id, restart: job.restart, resume });
    }
}

/// Lets those go on who yielded and find nobody on their CPUs any more, those of higher tiers first, then who stood longest.
pub(crate) fn settle(cluster: &mut Cluster, now: Timestamp, out: &mut Outcome) {
    while let Some(node) = cluster.cpus_freed.pop_first() {
        let there = cluster.node_jobs.get(&node).into_iter().flatten();
        let mut waiting: Vec<Arc<Job>> =
            there.filter_map(|id| cluster.jobs.get(id)).filter(|job| yields(job)).cloned().collect();
        waiting.sort_by_key(|job| (Reverse(tier(cluster, job)), job.suspend_time, job.id));
        for job in waiting {
            if who_runs_there(cluster, &job).is_none() {
                go_on(cluster, now, (*job).clone(), out);
            }
        }
    }
}

/// A restart: who waits for his turn gets it within one slice, who may go on does so at once.
pub(crate) fn restored(cluster: &mut Cluster, now: Timestamp) {
    let yielding: Vec<Arc<Job>> = cluster.running.values().filter(|job| yields(job)).cloned().collect();
    for job in yielding {
        if takes_turns(cluster, &job) {
            expect_turn(cluster, now);
        }
        cluster.cpus_freed.extend(nodes_of(&job));
    }
}

fn yields(job: &Job) -> bool {
    job.state == JobState::Suspended && job.yields_to.is_some()
}

fn nodes_of(job: &Job) -> impl Iterator<Item = NodeIndex> + '_ {
    job.allocation.iter().flat_map(|allocation| &allocation.shares).map(|share| share.node)
}

fn tier(cluster: &Cluster, job: &Job) -> u16 {
    cluster.partition(&job.partition).map_or(0, |partition| partition.priority_tier)
}

/// A job of which processes run on a CPU of `job`; they do until a job that has ended is cleaned up.
pub(crate) fn who_runs_there(cluster: &Cluster, job: &Job) -> Option<JobId> {
    others_there(cluster, job).find(|(node, other)| runs(other, *node)).map(|(_, other)| other.id)
}

fn runs(job: &Job, node: NodeIndex) -> bool {
    job.completing || hold_on(job, node).is_used()
}

/// Whether a CPU of `job` counts for another as well.
pub(super) fn meets_others(cluster: &Cluster, job: &Job) -> bool {
    others_there(cluster, job).any(|(node, other)| hold_on(other, node) != CpuHold::Given)
}

/// Jobs that hold a CPU of `job` and where they do, whatever they are to it.
fn others_there<'a>(cluster: &'a Cluster, job: &'a Job) -> impl Iterator<Item = (NodeIndex, &'a Arc<Job>)> + 'a {
    let shares = job.allocation.iter().flat_map(|allocation| &allocation.shares);
    shares.flat_map(move |share| {
        let there = cluster.node_jobs.get(&share.node).into_iter().flatten().filter(|id| **id != job.id);
        let others = there.filter_map(|id| cluster.jobs.get(id)).filter(move |other| {
            let theirs = other.share_on(share.node);
            theirs.is_some_and(|theirs| !theirs.cpus.is_disjoint(&share.cpus))
        });
        others.map(|other| (share.node, other))
    })
}

/// Suspends those that run on CPUs of a job that an operator has resumed and that they have to yield to.
pub(super) fn push_aside(cluster: &mut Cluster, now: Timestamp, job_id: JobId, out: &mut Outcome) {
    let Some(job) = cluster.jobs.get(&job_id).cloned() else {
        return;
    };
    let has_to = |other: &&Arc<Job>| {
        other.state == JobState::Running && other.eviction.is_none() && yields_by_rank(cluster, other, &job)
    };
    let aside: BTreeMap<JobId, Arc<Job>> = others_there(cluster, &job)
        .map(|(_, other)| other)
        .filter(has_to)
        .map(|other| (other.id, other.clone()))
        .collect();
    for other in aside.into_values() {
        stop(cluster, now, (*other).clone(), Some(job_id), out);
    }
}

/// Whether `job` is to be suspended where `other` runs: the scheduler's rule, as far as it concerns two jobs that both run.
fn yields_by_rank(cluster: &Cluster, job: &Job, other: &Job) -> bool {
    let config = &cluster.config.preemption;
    let qos = |job: &Job| job.qos_name().and_then(|name| cluster.accounting.qos.get(name)).cloned();
    let (is_below, mode) = match config.kind {
        PreemptType::None => (false, PreemptMode::Off),
        PreemptType::Partition => {
            let mode = cluster.partition(&job.partition).and_then(|partition| partition.preempt_mode);
            (tier(cluster, job) < tier(cluster, other), mode.unwrap_or(config.mode))
        }
        PreemptType::Qos => {
            let (theirs, ours) = (qos(job), qos(other));
            let named = theirs.as_ref().zip(ours).is_some_and(|(theirs, ours)| ours.preempts.contains(&theirs.name));
            (named, theirs.and_then(|theirs| theirs.preempt_mode).unwrap_or(config.mode))
        }
    };
    is_below && mode == PreemptMode::Suspend
}

/// Whether a job shares its CPUs with others of its partition in turns.
pub(crate) fn takes_turns(cluster: &Cluster, job: &Job) -> bool {
    let partition = cluster.partition(&job.partition).map(|partition| &**partition);
    cluster.config.preemption.gang && Claim::of(job, partition, true).rows > 1
}

/// Sees to it that turns change within one slice.
fn expect_turn(cluster: &mut Cluster, now: Timestamp) {
    let due = *cluster.turn_due.get_or_insert(now + cluster.config.time_slice);
    cluster.timers.set(due, Timer::Turns);
}

/// A slice is over: partition by partition, those who wait take the place of those who run.
pub(super) fn change(cluster: &mut Cluster, now: Timestamp, out: &mut Outcome) {
    if cluster.turn_due.is_none_or(|due| due > now) {
        return;
    }
    cluster.turn_due = None;
    let mut circles: BTreeMap<Name, Vec<Arc<Job>>> = BTreeMap::new();
    for job in cluster.running.values() {
        let is_in = job.state == JobState::Running && job.eviction.is_none() || yields(job);
        if is_in && takes_turns(cluster, job) {
            circles.entry(job.partition.clone()).or_default().push(job.clone());
        }
    }
    for circle in circles.into_values().filter(|circle| circle.iter().any(|job| yields(job))) {
        change_in(cluster, now, circle, out);
        expect_turn(cluster, now);
    }
}

fn change_in(cluster: &mut Cluster, now: Timestamp, mut circle: Vec<Arc<Job>>, out: &mut Outcome) {
    // Who waits, the longest first; then who runs, those first that began last.
    circle.sort_by_key(|job| match job.state {
        JobState::Suspended => (false, job.suspend_time, Reverse(None), job.id),
        _ => (true, None, Reverse(job.resume_time.or(job.start_time)), job.id),
    });
    let mut busy = strangers(cluster, &circle);
    let (mut running, mut standing) = (Vec::new(), Vec::new());
    for job in circle {
        let shares = || job.allocation.iter().flat_map(|allocation| &allocation.shares);
        let is_free = shares().all(|share| busy.get(&share.node).is_none_or(|busy| busy.is_disjoint(&share.cpus)));
        if is_free {
            shares().for_each(|share| busy.entry(share.node).or_default().add_all(&share.cpus));
            running.push(job);
        } else {
            standing.push(job);
        }
    }
    for job in standing.into_iter().filter(|job| job.state == JobState::Running) {
        let met = |other: &&Arc<Job>| job.allocation.as_ref().is_some_and(|own| meet(other, own));
        let before = running.iter().find(met).map_or(job.id, |other| other.id);
        stop(cluster, now, (*job).clone(), Some(before), out);
    }
    for job in running.into_iter().filter(|job| job.state == JobState::Suspended) {
        go_on(cluster, now, (*job).clone(), out);
    }
}

/// CPUs on which others than those of the circle run.
fn strangers(cluster: &Cluster, circle: &[Arc<Job>]) -> BTreeMap<NodeIndex, IndexSet> {
    let mut busy: BTreeMap<NodeIndex, IndexSet> = BTreeMap::new();
    let nodes = circle.iter().flat_map(|job| nodes_of(job));
    for node in nodes.collect::<std::collections::BTreeSet<_>>() {
        let there = cluster.node_jobs.get(&node).into_iter().flatten().filter_map(|id| cluster.jobs.get(id));
        for job in there.filter(|job| runs(job, node) && circle.iter().all(|own| own.id != job.id)) {
            if let Some(share) = job.share_on(node) {
                busy.entry(node).or_default().add_all(&share.cpus);
            }
        }
    }
    busy
}

/// Whether a job holds a CPU of `allocation`.
pub(super) fn meet(job: &Job, allocation: &Allocation) -> bool {
    let mut shares = job.allocation.iter().flat_map(|held| &held.shares);
    shares.any(|share| allocation.share(share.node).is_some_and(|theirs| !theirs.cpus.is_disjoint(&share.cpus)))
}
