//! Stopping and continuing running jobs because an operator says so.
//!
//! The CPUs of such a job are free for others, its memory and generic resources are not. It goes on when the operator says
//! so, even where others run on its CPUs meanwhile: then both do (as Slurm 22.05 does).

use muster_model::ids::Identity;
use muster_model::job::Job;
use muster_model::request::{JobTarget, Refusal, RefusalCode};
use muster_model::state::JobState;
use muster_model::time::Timestamp;

use super::{authorisation, targets, turns};
use crate::cluster::Cluster;
use crate::effect::Outcome;

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
        JobState::Running => turns::stop(cluster, now, job, None, out),
        JobState::Pending => return Err(RefusalCode::JobPending.into()),
        // It stands already; from now on it waits for the operator and not for its CPUs.
        JobState::Suspended if job.yields_to.is_some() => {
            job.yields_to = None;
            let job_id = job.id;
            cluster.put_job(now, job, out);
            cluster.count_cpus_of(job_id);
            out.plan_needed = true;
        }
        // Already as asked for.
        JobState::Suspended => {}
        _ => return Err(RefusalCode::AlreadyDone.into()),
    }
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
    let may_others_yield = job.yields_to.is_none();
    job.runs_over |= turns::meets_others(cluster, &job);
    let job_id = job.id;
    turns::go_on(cluster, now, job, out);
    if may_others_yield {
        turns::push_aside(cluster, now, job_id, out);
    }
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
