//! Who may do what to whose job: the whole table.

use muster_model::ids::Identity;
use muster_model::job::Job;
use muster_model::request::{Refusal, RefusalCode};

/// Owners and operators may change a job.
pub(super) fn may_change_job(identity: &Identity, job: &Job) -> Result<(), Refusal> {
    if identity.is_operator() || identity.uid == job.spec.identity.uid { Ok(()) } else { Err(RefusalCode::AccessDenied.into()) }
}

/// Only operators may change nodes and partitions, suspend jobs, or raise priorities.
pub(super) fn must_be_operator(identity: &Identity) -> Result<(), Refusal> {
    if identity.is_operator() { Ok(()) } else { Err(RefusalCode::AccessDenied.into()) }
}

/// Users submit as themselves; operators may submit for others.
pub(super) fn may_submit_as(identity: &Identity, owner: &Identity) -> Result<(), Refusal> {
    if identity.is_operator() || identity.uid == owner.uid { Ok(()) } else { Err(RefusalCode::AccessDenied.into()) }
}
