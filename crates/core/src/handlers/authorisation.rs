//! Who may do what to whose job: the whole table.

use muster_model::accounting::AccountingPolicy;
use muster_model::ids::{Identity, Name};
use muster_model::job::Job;
use muster_model::request::{Refusal, RefusalCode};

/// Owners and operators may end a job or put it back into the queue.
pub(super) fn may_control_job(identity: &Identity, job: &Job) -> Result<(), Refusal> {
    if owns(identity, job) { Ok(()) } else { Err(RefusalCode::AccessDenied.into()) }
}

/// Owners and operators may hold, release and update a job, and say something to it. Slurm tells others so in its own words.
pub(super) fn may_change_job(identity: &Identity, job: &Job) -> Result<(), Refusal> {
    if owns(identity, job) { Ok(()) } else { Err(RefusalCode::InvalidUser.into()) }
}

/// A job that comes again is as its user's table says, for operators too.
pub(super) fn may_be_changed(job: &Job) -> Result<(), Refusal> {
    if job.cron().is_some() { Err(RefusalCode::CronJobFixed.into()) } else { Ok(()) }
}

fn owns(identity: &Identity, job: &Job) -> bool {
    identity.is_operator() || identity.uid == job.spec.identity.uid
}

/// Only operators may change nodes and partitions.
pub(super) fn may_change_cluster(identity: &Identity) -> Result<(), Refusal> {
    if identity.is_operator() { Ok(()) } else { Err(RefusalCode::InvalidUser.into()) }
}

/// Only operators may change accounting, by Unix or because accounting says so.
pub(super) fn may_change_accounting(policy: &AccountingPolicy, identity: &Identity) -> Result<(), Refusal> {
    let level = policy.users.get(&identity.user).and_then(|user| user.admin_level.clone());
    let is_admin = level.is_some_and(|level| matches!(&*level, "Operator" | "Administrator"));
    if identity.is_operator() || is_admin { Ok(()) } else { Err(RefusalCode::AccessDenied.into()) }
}

/// Coordinators of an account may change what is in it and below it.
pub(super) fn may_change_account(policy: &AccountingPolicy, identity: &Identity, account: &str) -> Result<(), Refusal> {
    if may_change_accounting(policy, identity).is_ok() {
        return Ok(());
    }
    let coordinates =
        |name: &Name| policy.accounts.get(name).is_some_and(|account| account.coordinators.contains(&identity.user));
    let found = policy.account_association(account);
    let mut line = found.into_iter().flat_map(|association| policy.lineage(association.id));
    if line.any(|association| coordinates(&association.key.account)) {
        Ok(())
    } else {
        Err(RefusalCode::AccessDenied.into())
    }
}

/// Only operators may suspend jobs.
pub(super) fn must_be_operator(identity: &Identity) -> Result<(), Refusal> {
    if identity.is_operator() { Ok(()) } else { Err(RefusalCode::AccessDenied.into()) }
}

/// Users submit as themselves; operators may submit for others.
pub(crate) fn may_submit_as(identity: &Identity, owner: &Identity) -> Result<(), Refusal> {
    if identity.is_operator() || identity.uid == owner.uid { Ok(()) } else { Err(RefusalCode::AccessDenied.into()) }
}
