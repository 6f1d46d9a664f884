//! What jobs of each association, QOS, and user or account under a QOS hold at present.
//!
//! A [`Charged`] is the part of one job; adding and removing it are exact opposites, so that a tally kept job by job is
//! the same as a recount.

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use super::{AccountingPolicy, Ageing, AssociationId, TresAmounts, held};
use crate::array::TaskSet;
use crate::ids::Name;
use crate::job::{ArrayRole, Job};
use crate::state::JobState;
use crate::time::{Span, Timestamp};

/// Who is charged.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// An association with all below it.
    Association(AssociationId),
    /// All jobs under a QOS.
    Qos(Name),
    /// Jobs of one user under a QOS.
    QosUser(Name, Name),
    /// Jobs of one account under a QOS.
    QosAccount(Name, Name),
}

/// A job without limit counts for so long (Slurm's year).
const UNLIMITED: Span = Span::from_seconds(365 * 86_400);

/// What one holder has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// Jobs that run or are suspended.
    pub jobs_running: u64,
    /// Jobs that wait or run; each waiting task of an array counts.
    pub jobs_submitted: u64,
    /// Waiting jobs that gain priority by age; each waiting task of an array counts.
    pub jobs_ageing: u64,
    /// What the running ones hold.
    pub tres: TresAmounts,
    /// Sum over them of amount times the second of their latest end. So what they may still use is known at any time
    /// without looking at each.
    ends: std::collections::BTreeMap<Name, i128>,
}

impl Tally {
    /// Minutes of a resource that running jobs may still use after `now`, rounded up.
    pub fn run_minutes(&self, tres: &str, now: Timestamp) -> u64 {
        let amount = i128::from(self.tres.get(tres).unwrap_or(0));
        let ends = self.ends.get(tres).copied().unwrap_or(0);
        let seconds = (ends - amount * i128::from(seconds(now))).max(0);
        u64::try_from((seconds + 59) / 60).unwrap_or(u64::MAX)
    }

    fn is_empty(&self) -> bool {
        *self == Tally::default()
    }
}

fn seconds(time: Timestamp) -> i64 {
    time.0.div_euclid(1000)
}

/// What one job adds, and to whom.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Charged {
    /// Who is charged. Each once.
    pub holders: Vec<Holder>,
    /// Whether it runs.
    pub running: bool,
    /// As how many jobs it counts.
    pub submitted: u64,
    /// As how many it counts among those that gain priority by age.
    pub ageing: u64,
    /// What it holds while it runs.
    pub tres: TresAmounts,
    /// When its limit ends it.
    pub end: Timestamp,
}

impl Charged {
    /// What `job` adds, with the QOS of its partition. Nothing when it has ended, or is charged to nobody.
    pub fn of(policy: &AccountingPolicy, job: &Job, partition_qos: Option<&Name>) -> Charged {
        let submitted = match &job.array {
            _ if job.state.is_final() => 0,
            Some(ArrayRole::Waiting { tasks }) => count(tasks),
            _ => 1,
        };
        let holders = holders(policy, job, partition_qos);
        if submitted == 0 || holders.is_empty() {
            return Charged::default();
        }
        let running = matches!(job.state, JobState::Running | JobState::Suspended);
        if !running {
            let waits = job.state == JobState::Pending && !job.completing && job.hold.is_none();
            let ages = waits && job.eligible_time.is_some() && job.ageing != Ageing::Not;
            let ageing = if ages { submitted } else { 0 };
            return Charged { holders, submitted, ageing, ..Charged::default() };
        }
        let start = job.start_time.unwrap_or(job.submit_time);
        let end = job.end_time.unwrap_or(start + UNLIMITED);
        Charged { holders, running, submitted, ageing: 0, tres: held(job), end }
    }
}

fn count(tasks: &TaskSet) -> u64 {
    tasks.iter().count() as u64
}

/// Who is charged for `job`: its association and those above it, and its QOS and that of its partition.
fn holders(policy: &AccountingPolicy, job: &Job, partition_qos: Option<&Name>) -> Vec<Holder> {
    let lineage = job.association.into_iter().flat_map(|id| policy.lineage(id));
    let mut holders: Vec<Holder> = lineage.map(|association| Holder::Association(association.id)).collect();
    let own = job.qos.as_ref();
    for qos in partition_qos.into_iter().chain(own.filter(|own| Some(*own) != partition_qos)) {
        holders.push(Holder::Qos(qos.clone()));
        holders.push(Holder::QosUser(qos.clone(), job.spec.identity.user.clone()));
        if let Some(account) = &job.account {
            holders.push(Holder::QosAccount(qos.clone(), account.clone()));
        }
    }
    holders
}

/// The tallies of all holders that have anything. Cloning copies a pointer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tallies {
    holders: OrdMap<Holder, Tally>,
}

impl Tallies {
    /// What `holder` has; nothing for one that is not listed.
    pub fn get(&self, holder: &Holder) -> Option<&Tally> {
        self.holders.get(holder)
    }

    /// All that have anything.
    pub fn iter(&self) -> impl Iterator<Item = (&Holder, &Tally)> {
        self.holders.iter()
    }

    /// Adds what a job has.
    pub fn add(&mut self, charged: &Charged) {
        for holder in &charged.holders {
            let tally = self.holders.entry(holder.clone()).or_default();
            tally.jobs_running += u64::from(charged.running);
            tally.jobs_submitted += charged.submitted;
            tally.jobs_ageing += charged.ageing;
            tally.tres.add_all(&charged.tres);
            for (name, amount) in &charged.tres.0 {
                *tally.ends.entry(name.clone()).or_default() += i128::from(*amount) * i128::from(seconds(charged.end));
            }
        }
    }

    /// Takes away what a job had.
    pub fn remove(&mut self, charged: &Charged) {
        for holder in &charged.holders {
            let Some(tally) = self.holders.get_mut(holder) else { continue };
            tally.jobs_running = tally.jobs_running.saturating_sub(u64::from(charged.running));
            tally.jobs_submitted = tally.jobs_submitted.saturating_sub(charged.submitted);
            tally.jobs_ageing = tally.jobs_ageing.saturating_sub(charged.ageing);
            tally.tres.remove_all(&charged.tres);
            for (name, amount) in &charged.tres.0 {
                if let Some(ends) = tally.ends.get_mut(name) {
                    *ends -= i128::from(*amount) * i128::from(seconds(charged.end));
                }
            }
            tally.ends.retain(|_, ends| *ends != 0);
            if tally.is_empty() {
                self.holders.remove(holder);
            }
        }
    }
}
