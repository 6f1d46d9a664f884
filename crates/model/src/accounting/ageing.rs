//! How many waiting jobs may gain priority by age: `GrpJobsAccrue`, `MaxJobsAccrue` and their kin.
//!
//! As in Slurm 22.05 (acct_policy): the first that sets such a limit decides alone, be it for a group, an account or a
//! user. Asked are the QOS of the job (never that of its partition), its association, and those above it. A job that ages
//! goes on doing so; one beyond the limit begins to when there is room.

use serde::{Deserialize, Serialize};

use super::{AccountingPolicy, CountLimit, Holder, Tallies};
use crate::job::Job;
use crate::time::Timestamp;

/// Since when a waiting job gains priority by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ageing {
    /// Since it may start.
    #[default]
    SinceEligible,
    /// Since a limit had room for it.
    Since(Timestamp),
    /// It does not: it may not start yet, or is beyond a limit.
    Not,
}

impl Ageing {
    /// Whether it is the usual one.
    pub fn is_usual(&self) -> bool {
        *self == Ageing::SinceEligible
    }
}

/// The limit on ageing jobs that decides about `job`: against whom they count, and how many there may be.
pub fn limit(policy: &AccountingPolicy, job: &Job) -> Option<(Holder, u64)> {
    of_qos(policy, job).or_else(|| of_associations(policy, job))
}

/// How many more jobs may age under the limit that decides about `job`, itself not counted; `None` without limit.
pub fn room(policy: &AccountingPolicy, tallies: &Tallies, job: &Job) -> Option<u64> {
    let (holder, allowed) = limit(policy, job)?;
    let ageing = tallies.get(&holder).map_or(0, |tally| tally.jobs_ageing);
    Some(allowed.saturating_sub(ageing))
}

fn of_qos(policy: &AccountingPolicy, job: &Job) -> Option<(Holder, u64)> {
    let qos = policy.qos.get(job.qos.as_ref()?)?;
    let name = || qos.name.clone();
    let count = |limit: CountLimit| qos.limits.count(limit);
    if let Some(allowed) = count(CountLimit::GrpJobsAccrue) {
        return Some((Holder::Qos(name()), allowed));
    }
    if let (Some(allowed), Some(account)) = (count(CountLimit::MaxJobsAccruePerAccount), &job.account) {
        return Some((Holder::QosAccount(name(), account.clone()), allowed));
    }
    let allowed = count(CountLimit::MaxJobsAccruePerUser)?;
    Some((Holder::QosUser(name(), job.spec.identity.user.clone()), allowed))
}

/// `MaxJobsAccrue` is inherited downwards and counted for the association of the job; `GrpJobsAccrue` of each above it
/// counts all below.
fn of_associations(policy: &AccountingPolicy, job: &Job) -> Option<(Holder, u64)> {
    let id = job.association?;
    let own = policy.lineage(id).find_map(|association| association.limits.count(CountLimit::MaxJobsAccrue));
    let mut lineage = policy.lineage(id);
    let first = lineage.next()?;
    let group = |association: &super::Association| {
        let allowed = association.limits.count(CountLimit::GrpJobsAccrue)?;
        Some((Holder::Association(association.id), allowed))
    };
    group(first)
        .or_else(|| own.map(|allowed| (Holder::Association(id), allowed)))
        .or_else(|| lineage.find_map(|association| group(association)))
}
