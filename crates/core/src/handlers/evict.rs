//! A running job makes room for a more important one: told to go, given its grace, then ended or put back into the queue.

use std::collections::BTreeSet;

use muster_model::ids::JobId;
use muster_model::job::Job;
use muster_model::planning::PlannedEviction;
use muster_model::preemption::{Eviction, PreemptMode};
use muster_model::state::{ExitStatus, JobState, Reason};
use muster_model::time::{Span, Timestamp};

use super::ending::{self, Requeue};
use super::{cancel, requeue};
use crate::cluster::Cluster;
use crate::effect::{EndCause, Outcome, SignalScope};

const SIGTERM: u8 = 15;
const SIGCONT: u8 = 18;

/// Carries out what the scheduler proposed, if the job still runs and has not been told yet. A job that cannot go back to
/// the queue is cancelled instead (slurm.conf(5), `PreemptMode=REQUEUE`). Of a heterogeneous job all components go.
pub(super) fn evict(cluster: &mut Cluster, now: Timestamp, planned: &PlannedEviction, out: &mut Outcome) {
    let Some(job) = cluster.jobs.get(&planned.job_id).cloned() else {
        return;
    };
    let job = cluster.jobs.get(&job.het_job_id().unwrap_or(job.id)).cloned().unwrap_or(job);
    let is_there = job.state == JobState::Running && job.restart == planned.restart && job.eviction.is_none();
    let waits = cluster.jobs.get(&planned.by).is_some_and(|by| by.state == JobState::Pending);
    if !is_there || !waits {
        return;
    }
    let mode = match planned.mode {
        PreemptMode::Requeue if cluster.components(&job).iter().all(|job| requeue::may_requeue(cluster, job)) => {
            PreemptMode::Requeue
        }
        PreemptMode::Requeue | PreemptMode::Cancel => PreemptMode::Cancel,
        PreemptMode::Off | PreemptMode::Suspend => return,
    };
    let job_id = job.id;
    for component in cluster.components(&job) {
        if matches!(component.state, JobState::Running | JobState::Suspended) {
            let eviction = Eviction { since: now, mode, by: planned.by };
            notify(cluster, now, (*component).clone(), eviction, planned.grace, out);
        }
    }
    if planned.grace == Span::ZERO {
        leave(cluster, now, job_id, out);
    }
}

/// Preemptions after which a job waits longer each time before it may start again. A few are what it was submitted to; a
/// job that has met so many meets a queue that leaves it no room, and would cost a launch and a clean-up each time.
const PREEMPTIONS_AT_ONCE_MAX: u32 = 5;
/// Longest such wait: then the load may be another.
const PREEMPTION_DELAY_MAX: Span = Span::from_minutes(60);

/// How long a job waits that has been preempted so often: `requeue_delay` as in Slurm, and from some number on twice as long
/// each time.
fn delay(usual: Span, preemptions: u32) -> Span {
    let doublings = preemptions.saturating_sub(PREEMPTIONS_AT_ONCE_MAX).min(20);
    Span(usual.0.saturating_mul(1 << doublings).min(PREEMPTION_DELAY_MAX.0)).max(usual)
}

/// Tells a job to go within `grace`.
fn notify(cluster: &mut Cluster, now: Timestamp, mut job: Job, eviction: Eviction, grace: Span, out: &mut Outcome) {
    job.eviction = Some(Box::new(eviction));
    if grace > Span::ZERO {
        tell(cluster, &job, out);
        job.end_time = Some(job.end_time.map_or(now + grace, |end| end.min(now + grace)));
        cluster.set_job_timers(&job, now);
    }
    cluster.put_job(now, job, out);
}

/// CONT and TERM to its steps; or the signal it asked for, where the configuration says so.
fn tell(cluster: &Cluster, job: &Job, out: &mut Outcome) {
    match job.spec.early_signal.filter(|_| cluster.config.preemption.send_user_signal) {
        Some(early) => {
            let scope = if early.batch_only { SignalScope::Batch } else { SignalScope::Steps };
            cancel::send_signal(job, None, early.signal, scope, out);
        }
        None => {
            cancel::send_signal(job, None, SIGCONT, SignalScope::Steps, out);
            cancel::send_signal(job, None, SIGTERM, SignalScope::Steps, out);
        }
    }
}

/// Its grace is over; that of one component is the grace of all.
pub(super) fn leave(cluster: &mut Cluster, now: Timestamp, job_id: JobId, out: &mut Outcome) {
    let job_id = cluster.jobs.get(&job_id).and_then(|job| job.het_job_id()).unwrap_or(job_id);
    let Some(job) = cluster.jobs.get(&job_id).cloned() else { return };
    let Some(eviction) = &job.eviction else { return };
    let preemptions = job.setbacks.preemptions.saturating_add(1);
    if eviction.mode == PreemptMode::Requeue {
        let how = Requeue {
            past_state: JobState::Preempted,
            past_exit: ExitStatus::SUCCESS,
            cause: EndCause::Preemption,
            hold: None,
            delay: delay(cluster.config.requeue_delay, preemptions),
        };
        ending::requeue_running(cluster, now, job_id, how, &BTreeSet::new(), out);
        if let Some(job) = cluster.jobs.get(&job_id).cloned() {
            let mut job = (*job).clone();
            job.setbacks.preemptions = preemptions;
            cluster.put_job_quietly(now, job, out);
        }
    } else {
        cancel::end_by_system(cluster, now, job_id, JobState::Preempted, Reason::None, EndCause::Preemption, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_preempted_again_and_again_waits_longer() {
        let check = |usual: i64, preemptions: u32, expected: i64| {
            assert_eq!(delay(Span::from_seconds(usual), preemptions), Span::from_seconds(expected), "{preemptions}");
        };
        check(121, 1, 121);
        check(121, 5, 121);
        check(121, 6, 242);
        check(121, 8, 968);
        check(121, 50, 3600);
        check(0, 50, 0);
        check(7200, 9, 7200);
    }
}
