//! What happens because time has passed.

use std::collections::BTreeSet;

use muster_model::fact::Fact;
use muster_model::ids::JobId;
use muster_model::state::{ExitStatus, JobState, Reason};
use muster_model::time::{Span, Timestamp};

use super::{agent, cancel, dependency, evict, holder, priority, reservations, turns};
use crate::cluster::Cluster;
use crate::effect::{EndCause, Outcome, SignalScope};
use crate::mail;
use crate::timers::Timer;

/// Most timers handled by one event, so that a flood of them cannot delay everything else. The rest is due at once again.
const TIMERS_PER_EVENT_MAX: usize = 1000;

/// How long after a calculation an ended job that it counted is looked at again.
const FORGET_RETRY: muster_model::time::Span = muster_model::time::Span::from_seconds(1);

pub(crate) fn fire_due(cluster: &mut Cluster, now: Timestamp, out: &mut Outcome) {
    let mut seen = BTreeSet::new();
    for _ in 0..TIMERS_PER_EVENT_MAX {
        let Some(timer) = cluster.timers.pop_due(now) else {
            break;
        };
        if !seen.insert(timer) {
            continue;
        }
        match timer {
            Timer::Eligible(job_id) => dependency::evaluate(cluster, now, job_id, out),
            Timer::EarlySignal(job_id) => early_signal(cluster, now, job_id, out),
            Timer::LimitMail(job_id) => mail::limit_reached(cluster, now, job_id, out),
            Timer::TimeLimit(job_id) => time_limit(cluster, now, job_id, out),
            Timer::StepTimeLimit(job_id, step_id) => step_time_limit(cluster, now, job_id, step_id, out),
            Timer::Pass(job_id) => pass(cluster, job_id, out),
            Timer::Deadline(job_id) => deadline(cluster, now, job_id, out),
            Timer::Holder(job_id) => holder::expire(cluster, now, job_id, out),
            Timer::Forget(job_id) => forget(cluster, now, job_id, out),
            Timer::ForgetSubmit(job_id) => out.facts.push(Fact::JobForgotten(job_id)),
            Timer::NodeSilent(node) => agent::silent(cluster, now, node, out),
            Timer::Priorities => priority::calculate(cluster, now, out),
            Timer::Turns => turns::change(cluster, now, out),
            Timer::BatchPass => cluster.plan_for_batch(now, out),
            Timer::Reservations => reservations::life::due(cluster, out),
        }
    }
}

fn early_signal(cluster: &mut Cluster, now: Timestamp, job_id: JobId, out: &mut Outcome) {
    let Some(job) = cluster.jobs.get(&job_id).filter(|job| job.state == JobState::Running && !job.early_signal_sent)
    else {
        return;
    };
    let (Some(early), Some(end)) = (job.spec.early_signal, job.end_time) else {
        return;
    };
    // The limit may have been moved since the timer was set.
    if end - early.before_end <= now {
        let scope = if early.batch_only { SignalScope::Batch } else { SignalScope::Steps };
        let mut job = (**job).clone();
        cancel::send_signal(&job, None, early.signal, scope, out);
        job.early_signal_sent = true;
        cluster.put_job_quietly(now, job, out);
    }
}

fn time_limit(cluster: &mut Cluster, now: Timestamp, job_id: JobId, out: &mut Outcome) {
    let Some(job) = cluster.jobs.get(&job_id).filter(|job| job.state == JobState::Running) else {
        return;
    };
    if job.end_time.is_none_or(|end| end + cluster.over_time(job) > now) {
        return;
    }
    if job.eviction.is_some() {
        evict::leave(cluster, now, job_id, out);
    } else {
        cancel::end_by_system(cluster, now, job_id, JobState::Timeout, Reason::TimeLimit, EndCause::TimeLimit, out);
    }
}

fn step_time_limit(
    cluster: &mut Cluster,
    now: Timestamp,
    job_id: JobId,
    step_id: muster_model::ids::StepId,
    out: &mut Outcome,
) {
    let Some(step) = cluster.steps.get(&(job_id, step_id)).cloned() else {
        return;
    };
    let Some(job) = cluster.jobs.get(&job_id).cloned() else {
        return;
    };
    if step.is_over_limit(now) {
        cancel::end_step(cluster, &job, &step, EndCause::TimeLimit, out);
    }
}

/// Nothing has happened, but a pass may decide otherwise than the last one did.
fn pass(cluster: &Cluster, job_id: JobId, out: &mut Outcome) {
    let is_there = |job: &std::sync::Arc<muster_model::job::Job>| {
        matches!(job.state, JobState::Pending | JobState::Running | JobState::Suspended)
    };
    out.plan_needed |= cluster.jobs.get(&job_id).is_some_and(is_there);
}

/// A job that cannot end by its deadline any more is given up.
fn deadline(cluster: &mut Cluster, now: Timestamp, job_id: JobId, out: &mut Outcome) {
    let Some(job) = cluster.jobs.get(&job_id).filter(|job| job.state == JobState::Pending && !job.completing).cloned()
    else {
        return;
    };
    let (Some(latest), Some(deadline)) = (job.latest_start(), job.spec.deadline) else {
        return;
    };
    // One that nobody would start yet is not judged before the deadline itself: its limit may still be shortened.
    let is_kept_back = job.hold.is_some() || !job.dependencies.is_empty() || job.begin_time.is_some_and(|at| at > now);
    let until = if is_kept_back { deadline } else { latest };
    if until.seconds() >= now.seconds() {
        cluster.timers.set(until + Span::from_seconds(1), Timer::Deadline(job_id));
        return;
    }
    for job in cluster.components(&job) {
        give_up(cluster, now, (*job).clone(), out);
    }
}

fn give_up(cluster: &mut Cluster, now: Timestamp, mut job: muster_model::job::Job, out: &mut Outcome) {
    if job.state != JobState::Pending || job.completing {
        return;
    }
    job.state = JobState::Deadline;
    job.reason = Reason::DeadLine;
    // As accounting shows it.
    job.exit = ExitStatus::exited(1);
    job.end_time = Some(now);
    job.start_time = None;
    holder::forget(cluster, job.id);
    cluster.set_job_timers(&job, now);
    cluster.put_job(now, job.clone(), out);
    dependency::target_changed(cluster, &job);
}

/// An ended job leaves the memory after `MinJobAge`. A failed task stays as long as its array, so that what depends on
/// the array is judged rightly; a component, as long as its heterogeneous job, which may go back to the queue as a whole.
fn forget(cluster: &mut Cluster, now: Timestamp, job_id: JobId, out: &mut Outcome) {
    let Some(job) = cluster.jobs.get(&job_id).filter(|job| job.state.is_final() && !job.completing) else {
        return;
    };
    let age = cluster.config.job_age_min;
    let ended = job.end_time.unwrap_or(now);
    if ended + age > now {
        cluster.timers.set(ended + age, Timer::Forget(job_id));
        return;
    }
    if !priority::is_counted(cluster, job) {
        // What it used is counted first.
        cluster.timers.set(cluster.calculation_due.unwrap_or(now) + FORGET_RETRY, Timer::Forget(job_id));
        return;
    }
    let het_goes_on = cluster.components(job).iter().any(|other| !other.state.is_final() || other.completing);
    let array_goes_on = job.array_job_id().is_some_and(|array| {
        let waiting = cluster.jobs.get(&array).is_some_and(|record| !record.state.is_final());
        waiting || cluster.arrays.get(&array).is_some_and(|info| info.unfinished > 0)
    });
    if het_goes_on || array_goes_on && (job.state != JobState::Completed || Some(job.id) == job.array_job_id()) {
        cluster.timers.set(now + age.max(muster_model::time::Span::from_seconds(1)), Timer::Forget(job_id));
        return;
    }
    cluster.remove_job(now, job_id, out);
}
