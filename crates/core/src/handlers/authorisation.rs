//! Who may do what to whose job: the whole table.

use muster_model::ids::Identity;
use muster_model::job::Job;
use muster_model::request::{Refusal, RefusalCode};

/// Owners and operators may end a job or put it back into the queue.
pub(super) fn may_control_job(identity: &Identity, job: &Job) -> Result<(), Refusal> {
    if owns(identity, job) { Ok(()) } else { Err(RefusalCode::AccessDenied.into()) }
}

/// Owners and operators may hold, release and update a job. Slurm tells others so in its own words.
pub(super) fn may_change_job(identity: &Identity, job: &Job) -> Result<(), Refusal> {
    if owns(identity, job) { Ok(()) } else { Err(RefusalCode::InvalidUser.into()) }
}

fn owns(identity: &Identity, job: &Job) -> bool {
    identity.is_operator() || identity.uid == job.spec.identity.uid
}

/// Only operators may change nodes and partitions.
pub(super) fn may_change_cluster(identity: &Identity) -> Result<(), Refusal> {
    if identity.is_operator() { Ok(()) } else { Err(RefusalCode::InvalidUser.into()) }
}

/// Only operators may suspend jobs.
pub(super) fn must_be_operator(identity: &Identity) -> Result<(), Refusal> {
    if identity.is_operator() { Ok(()) } else { Err(RefusalCode::AccessDenied.into()) }
}

/// Users submit as themselves; operators may submit for others.
pub(super) fn may_submit_as(identity: &Identity, owner: &Identity) -> Result<(), Refusal> {
    if identity.is_operator() || identity.uid == owner.uid { Ok(()) } else { Err(RefusalCode::AccessDenied.into()) }
}
