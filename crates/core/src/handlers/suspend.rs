//! Stopping and continuing running jobs.

use muster_model::ids::Identity;
use muster_model::job::Job;
use muster_model::request::{JobTarget, Refusal, RefusalCode};
use muster_model::state::JobState;
use muster_model::time::Timestamp;

use super::{authorisation, steps, targets};
use crate::cluster::Cluster;
use crate::effect::{NodeCommand, Outcome};

pub(super) fn suspend(
    cluster: &mut Cluster,
    now: Timestamp,
    identity: &Identity,
    target: &JobTarget,
    out: &mut Outcome,
) -> Result<(), Refusal> {
    authorisation::must_be_operator(identity)?;
    let mut outcome = Err(Refusal::from(RefusalCode::UnexpectedMessage));
    for id in resolve(cluster, target)?.all() {
        if let Some(job) = cluster.jobs.get(&id).cloned() {
            outcome = targets::any_done(outcome, suspend_one(cluster, now, (*job).clone(), out));
        }
    }
    outcome
}

fn suspend_one(cluster: &mut Cluster, now: Timestamp, mut job: Job, out: &mut Outcome) -> Result<(), Refusal> {
    match job.state {
        JobState::Running => {}
        JobState::Pending => return Err(RefusalCode::JobPending.into()),
        // Already as asked for.
        JobState::Suspended => return Ok(()),
        _ => return Err(RefusalCode::AlreadyDone.into()),
    }
    pause(&job, false, out);
    job.state = JobState::Suspended;
    job.suspend_time = Some(now);
    cluster.put_job(now, job, out);
    Ok(())
}

pub(super) fn resume(
    cluster: &mut Cluster,
    now: Timestamp,
    identity: &Identity,
    target: &JobTarget,
    out: &mut Outcome,
) -> Result<(), Refusal> {
    authorisation::must_be_operator(identity)?;
    let mut outcome = Err(Refusal::from(RefusalCode::UnexpectedMessage));
    for id in resolve(cluster, target)?.all() {
        if let Some(job) = cluster.jobs.get(&id).cloned() {
            outcome = targets::any_done(outcome, resume_one(cluster, now, (*job).clone(), out));
        }
    }
    outcome
}

fn resume_one(cluster: &mut Cluster, now: Timestamp, mut job: Job, out: &mut Outcome) -> Result<(), Refusal> {
    match job.state {
        JobState::Suspended => {}
        JobState::Pending => return Err(RefusalCode::JobPending.into()),
        JobState::Running => return Err(RefusalCode::JobNotSuspended.into()),
        _ => return Err(RefusalCode::AlreadyDone.into()),
    }
    pause(&job, true, out);
    let stopped = job.suspend_time.take().map(|since| now.since(since)).unwrap_or_default();
    job.state = JobState::Running;
    job.suspended.0 += stopped.0;
    // The time it was stopped does not count against its limit.
    job.end_time = job.end_time.map(|end| end + stopped);
    let job_id = job.id;
    cluster.set_job_timers(&job, now);
    cluster.put_job(now, job, out);
    steps::try_waiting(cluster, now, job_id, out);
    Ok(())
}

/// Slurm has no word of its own for suspending a job that is not there.
fn resolve(cluster: &Cluster, target: &JobTarget) -> Result<targets::Resolved, Refusal> {
    let resolved = targets::resolve(cluster, target).map_err(|_| Refusal::from(RefusalCode::UnexpectedMessage))?;
    let is_led = |id: &muster_model::ids::JobId| cluster.jobs.get(id).is_some_and(|job| job.is_led());
    // Only the whole of a heterogeneous job can be stopped.
    let is_part = target.component.is_some() || is_led(&target.job_id);
    if is_part { Err(RefusalCode::NotWholeHetJob.into()) } else { Ok(resolved) }
}

fn pause(job: &Job, resume: bool, out: &mut Outcome) {
    for share in job.allocation.iter().flat_map(|allocation| &allocation.shares) {
        out.send(share.node, NodeCommand::Pause { job_id: job.id, restart: job.restart, resume });
    }
}
