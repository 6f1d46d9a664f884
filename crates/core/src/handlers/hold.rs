//! Holding pending jobs back, and releasing them.

use muster_model::ids::Identity;
use muster_model::job::{Hold, Job};
use muster_model::request::{JobTarget, Refusal, RefusalCode};
use muster_model::state::JobState;
use muster_model::time::Timestamp;

use super::{authorisation, dependency, submit, targets};
use crate::cluster::Cluster;
use crate::effect::Outcome;

pub(super) fn hold(
    cluster: &mut Cluster,
    now: Timestamp,
    identity: &Identity,
    target: &JobTarget,
    as_user: bool,
    out: &mut Outcome,
) -> Result<(), Refusal> {
    let mut outcome = Err(Refusal::from(RefusalCode::InvalidJobId));
    for id in targets::resolve_and_split(cluster, now, target, out)? {
        if let Some(job) = cluster.jobs.get(&id).cloned() {
            outcome = targets::any_done(outcome, hold_one(cluster, now, identity, (*job).clone(), as_user, out));
        }
    }
    outcome
}

fn hold_one(
    cluster: &mut Cluster,
    now: Timestamp,
    identity: &Identity,
    mut job: Job,
    as_user: bool,
    out: &mut Outcome,
) -> Result<(), Refusal> {
    may_change_pending(identity, &job)?;
    // A user cannot weaken the hold of an operator.
    if job.hold != Some(Hold::Admin) || identity.is_operator() {
        job.hold = Some(if identity.is_operator() && !as_user { Hold::Admin } else { Hold::User });
    }
    job.priority = 0;
    dependency::settle(cluster, now, &mut job);
    cluster.put_job(now, job, out);
    Ok(())
}

fn may_change_pending(identity: &Identity, job: &Job) -> Result<(), Refusal> {
    authorisation::may_change_job(identity, job)?;
    match job.state {
        JobState::Pending => Ok(()),
        state if state.is_final() => Err(RefusalCode::JobFinished.into()),
        _ => Err(RefusalCode::JobRunning.into()),
    }
}

pub(super) fn release(
    cluster: &mut Cluster,
    now: Timestamp,
    identity: &Identity,
    target: &JobTarget,
    out: &mut Outcome,
) -> Result<(), Refusal> {
    let mut outcome = Err(Refusal::from(RefusalCode::InvalidJobId));
    for id in targets::resolve_and_split(cluster, now, target, out)? {
        if let Some(job) = cluster.jobs.get(&id).cloned() {
            outcome = targets::any_done(outcome, release_one(cluster, now, identity, (*job).clone(), out));
        }
    }
    outcome
}

fn release_one(
    cluster: &mut Cluster,
    now: Timestamp,
    identity: &Identity,
    mut job: Job,
    out: &mut Outcome,
) -> Result<(), Refusal> {
    may_change_pending(identity, &job)?;
    if job.hold == Some(Hold::Admin) && !identity.is_operator() {
        return Err(RefusalCode::AccessDenied.into());
    }
    job.hold = None;
    job.priority = submit::initial_priority(&job.spec);
    dependency::settle(cluster, now, &mut job);
    cluster.put_job(now, job, out);
    Ok(())
}
