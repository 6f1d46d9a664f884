//! `scancel`: ending jobs, and sending them signals.

use std::sync::Arc;

use muster_model::ids::{Identity, JobId, StepId};
use muster_model::job::{ArrayRole, Job};
use muster_model::request::{Cancel, Refusal, RefusalCode};
use muster_model::state::{JobState, Reason};
use muster_model::time::Timestamp;

use super::ending::{self, End};
use super::{authorisation, dependency, holder, targets};
use crate::cluster::Cluster;
use crate::effect::{EndCause, NodeCommand, Outcome, SignalScope};

/// SIGKILL, which ends a job even when it was asked for as a plain signal.
const KILL: u8 = 9;

pub(super) fn cancel(
    cluster: &mut Cluster,
    now: Timestamp,
    identity: &Identity,
    cancel: &Cancel,
    out: &mut Outcome,
) -> Result<(), Refusal> {
    let resolved = targets::resolve(cluster, &targets::widen(cluster, &cancel.target))?;
    for id in resolved.records.iter().chain(resolved.waiting_tasks.iter().map(|(id, _)| id)) {
        if let Some(job) = cluster.jobs.get(id) {
            authorisation::may_control_job(identity, job)?;
        }
    }
    let by = Some(identity.uid);
    let wanted = |job: &Job| cancel.states.is_empty() || cancel.states.contains(&job.state);
    let kills = cancel.signal.is_none() || (cancel.signal == Some(KILL) && cancel.target.step.is_none());
    // What waits has no script that could be reached alone: it is cancelled whatever the scope, as in Slurm.
    let whole = cancel.full || !cancel.batch_only;
    let ends = |job: &Job| kills && (whole || job.state == JobState::Pending);
    let mut outcome = Err(Refusal::from(RefusalCode::InvalidJobId));
    if let Some((array_id, tasks)) = resolved.waiting_tasks {
        let concerns = cluster.jobs.get(&array_id).is_some_and(|job| wanted(job));
        for index in tasks.iter().filter(|_| kills && concerns).collect::<Vec<_>>() {
            if let Some(task) = targets::split_task(cluster, now, array_id, index, out) {
                end_pending(cluster, now, task, by, out);
            }
        }
        outcome = if kills || !concerns { Ok(()) } else { Err(RefusalCode::JobPending.into()) };
    }
    for id in resolved.records {
        let Some(job) = cluster.jobs.get(&id).cloned() else {
            continue;
        };
        if !wanted(&job) {
            outcome = Ok(());
            continue;
        }
        let result = match cancel.target.step {
            Some(step) => signal_or_end_step(cluster, &job, step, cancel.signal, by, out),
            None if ends(&job) => end(cluster, now, job, by, out),
            None => signal(&job, cancel, out),
        };
        outcome = targets::any_done(outcome, result);
    }
    outcome
}

fn end(
    cluster: &mut Cluster,
    now: Timestamp,
    job: Arc<Job>,
    by: Option<u32>,
    out: &mut Outcome,
) -> Result<(), Refusal> {
    if !job.state.is_final() {
        super::cron::cancelled(cluster, &job, out);
    }
    match job.state {
        // What waits together starts together; only what runs can end alone.
        JobState::Pending if job.is_led() => Err(RefusalCode::NotWholeHetJob.into()),
        // A job on its way back to the queue is ended where it stands; its nodes go on cleaning.
        JobState::Pending => {
            end_pending(cluster, now, (*job).clone(), by, out);
            Ok(())
        }
        JobState::Running | JobState::Suspended => {
            let mut end = End::new(JobState::Cancelled, Reason::None);
            end.cancelled_by = by;
            end.cause = Some(EndCause::Cancelled);
            ending::end_job(cluster, now, job.id, end, out);
            Ok(())
        }
        _ => Err(RefusalCode::AlreadyDone.into()),
    }
}

/// Ends a job that holds nothing, and with it the heterogeneous job that it is part of.
pub(super) fn end_pending(cluster: &mut Cluster, now: Timestamp, job: Job, by: Option<u32>, out: &mut Outcome) {
    let others = cluster.components(&job).into_iter().filter(|other| other.id != job.id);
    let others: Vec<Arc<Job>> = others.filter(|other| other.state == JobState::Pending).collect();
    end_waiting(cluster, now, job, by, out);
    for other in others {
        end_waiting(cluster, now, (*other).clone(), by, out);
    }
}

fn end_waiting(cluster: &mut Cluster, now: Timestamp, mut job: Job, by: Option<u32>, out: &mut Outcome) {
    job.cancelled_by = by;
    if job.reason != Reason::DependencyNeverSatisfied {
        job.reason = Reason::None;
    }
    never_starts(cluster, now, job, JobState::Cancelled, out);
}

/// Ends a job that holds nothing; the reason that its row gives stays.
pub(super) fn never_starts(cluster: &mut Cluster, now: Timestamp, mut job: Job, state: JobState, out: &mut Outcome) {
    job.state = state;
    job.end_time = Some(now);
    job.start_time = None;
    job.planned_nodes = None;
    job.requeue_pending = false;
    if let Some(info) = cluster.arrays.get_mut(&job.id)
        && matches!(job.array, Some(ArrayRole::Waiting { .. }))
    {
        info.any_failed = true;
    }
    holder::forget(cluster, job.id);
    cluster.set_job_timers(&job, now);
    cluster.put_job(now, job.clone(), out);
    dependency::target_changed(cluster, &job);
}

fn signal(job: &Job, cancel: &Cancel, out: &mut Outcome) -> Result<(), Refusal> {
    match job.state {
        JobState::Running | JobState::Suspended => {}
        // Only a signal was asked for; a waiting job has nobody to receive it.
        JobState::Pending => return Err(RefusalCode::JobPending.into()),
        // Slurm looks for receivers among jobs that have not ended.
        _ if !job.completing => return Err(RefusalCode::InvalidJobId.into()),
        _ => return Err(RefusalCode::AlreadyDone.into()),
    }
    // Slurm lets `--full` decide where both are given.
    let scope = match (cancel.full, cancel.batch_only) {
        (true, _) => SignalScope::All,
        (false, true) => SignalScope::Batch,
        (false, false) => SignalScope::Steps,
    };
    send_signal(job, None, cancel.signal.unwrap_or(KILL), scope, out);
    Ok(())
}

/// Sends a signal to units of a running job on all its nodes.
pub(super) fn send_signal(job: &Job, step: Option<StepId>, signal: u8, scope: SignalScope, out: &mut Outcome) {
    for share in job.allocation.iter().flat_map(|allocation| &allocation.shares) {
        out.send(share.node, NodeCommand::Signal { job_id: job.id, restart: job.restart, step, signal, scope });
    }
}

fn signal_or_end_step(
    cluster: &mut Cluster,
    job: &Job,
    step_id: StepId,
    signal: Option<u8>,
    by: Option<u32>,
    out: &mut Outcome,
) -> Result<(), Refusal> {
    let Some(step) = cluster.steps.get(&(job.id, step_id)).cloned() else {
        return Err(RefusalCode::InvalidJobId.into());
    };
    match signal {
        Some(signal) => send_signal(job, Some(step_id), signal, SignalScope::All, out),
        None => {
            // As with Slurm, who cancels a step gives its tasks no time.
            clean_step(job, &step, EndCause::Cancelled, 0, out);
            let mut step = (*step).clone();
            step.cancelled_by = by;
            cluster.put_step(step, out);
        }
    }
    Ok(())
}

/// Ends one step; its nodes report the end of its tasks as usual.
pub(super) fn end_step(
    cluster: &mut Cluster,
    job: &Job,
    step: &muster_model::step::Step,
    cause: EndCause,
    out: &mut Outcome,
) {
    clean_step(job, step, cause, ending::kill_wait_ms(cluster), out);
}

fn clean_step(job: &Job, step: &muster_model::step::Step, cause: EndCause, kill_wait_ms: u32, out: &mut Outcome) {
    for node in &step.nodes_left {
        let (job_id, restart) = (job.id, step.restart);
        out.send(
            *node,
            NodeCommand::Clean { job_id, restart, step: Some(step.step_id), kill_wait_ms, cause: Some(cause) },
        );
    }
}

/// Ends a job because of the system rather than a user.
pub(super) fn end_by_system(
    cluster: &mut Cluster,
    now: Timestamp,
    job_id: JobId,
    state: JobState,
    reason: Reason,
    cause: EndCause,
    out: &mut Outcome,
) {
    let mut end = End::new(state, reason);
    end.cause = Some(cause);
    ending::end_job(cluster, now, job_id, end, out);
}
