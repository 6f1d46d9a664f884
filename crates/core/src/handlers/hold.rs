//! Holding pending jobs back, and releasing them.

use muster_model::ids::Identity;
use muster_model::job::{Hold, Job};
use muster_model::request::{JobTarget, Refusal, RefusalCode};
use muster_model::state::{JobState, Reason};
use muster_model::time::Timestamp;

use super::{authorisation, dependency, priority, targets};
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
    let target = targets::widen(cluster, target);
    for id in targets::resolve_and_split(cluster, now, identity, &target, out)? {
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
    may_hold(identity, &job)?;
    // A user cannot weaken the hold of an operator.
    if job.hold != Some(Hold::Admin) || identity.is_operator() {
        job.hold = Some(if identity.is_operator() && !as_user { Hold::Admin } else { Hold::User });
    }
    job.priority = 0;
    if job.state != JobState::Pending {
        // A running job goes on; the hold counts should it come back to the queue.
        job.reason = if job.hold == Some(Hold::User) { Reason::JobHeldUser } else { Reason::JobHeldAdmin };
    }
    dependency::settle(cluster, now, &mut job);
    cluster.put_job(now, job, out);
    Ok(())
}

fn may_hold(identity: &Identity, job: &Job) -> Result<(), Refusal> {
    authorisation::may_change_job(identity, job)?;
    authorisation::may_be_changed(job)?;
    if job.state.is_final() { Err(RefusalCode::JobFinished.into()) } else { Ok(()) }
}

pub(super) fn release(
    cluster: &mut Cluster,
    now: Timestamp,
    identity: &Identity,
    target: &JobTarget,
    out: &mut Outcome,
) -> Result<(), Refusal> {
    let mut outcome = Err(Refusal::from(RefusalCode::InvalidJobId));
    let target = targets::widen(cluster, target);
    for id in targets::resolve_and_split(cluster, now, identity, &target, out)? {
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
    may_hold(identity, &job)?;
    if job.hold == Some(Hold::Admin) && !identity.is_operator() {
        return Err(RefusalCode::AccessDenied.into());
    }
    job.special_exit = false;
    // Whoever releases it has looked into why it could not be launched.
    job.setbacks.launch_failures = 0;
    let was_held = job.hold.take().is_some();
    job.reservation_gone = None;
    if job.state != JobState::Pending {
        job.reason = Reason::None;
    }
    dependency::settle(cluster, now, &mut job);
    if was_held || job.priority_set {
        // A priority that was set directly is given up, as Slurm does it.
        job.priority_set = false;
        priority::assign(cluster, &mut job);
    }
    cluster.put_job(now, job, out);
    Ok(())
}
