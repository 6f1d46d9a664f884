//! The parts of one job's priority, whose sum is the number in its row.

use serde::{Deserialize, Serialize};

use super::snapshot::Standing;
use super::{PriorityConfig, PriorityFlag, PrioritySnapshot, PriorityType, allocated, cpus_requested, requested};
use crate::accounting::Ageing;
use crate::ids::{JobId, Name};
use crate::job::Job;
use crate::partition::Partition;
use crate::resources::Sharing;
use crate::state::JobState;
use crate::time::{TimeLimit, Timestamp};

/// What a run of dstack with `priority: 0` had as a priority when that was stored as a number set directly.
pub const SITE_PRIORITY_BASE: u32 = 1_000_000;

/// One term: `weight` times `factor`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct PriorityTerm {
    /// What the configuration says.
    pub weight: f64,
    /// 0 to 1 unless it is not normalised.
    pub factor: f64,
    /// Their product, as it is added.
    pub product: f64,
}

impl PriorityTerm {
    fn new(weight: u32, factor: f64) -> PriorityTerm {
        let weight = f64::from(weight);
        PriorityTerm { weight, factor, product: factor * weight }
    }
}

/// The term of one resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TresTerm {
    /// Which.
    pub name: Name,
    /// Its term.
    pub term: PriorityTerm,
}

/// The parts of the priority of a job in one partition. [`PriorityLedger::total`] is their sum, without its fraction, at
/// least 1 and at most 2³²−1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PriorityLedger {
    /// The job.
    pub job_id: JobId,
    /// The partition.
    pub partition: Name,
    /// Set directly by an operator: no parts, and never calculated.
    pub direct: bool,
    /// Held back: the number is 0, whatever the parts say.
    pub held: bool,
    /// `priority/basic`: the number that the job got when it came, from which only site and nice follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrival: Option<u32>,
    /// Waiting time.
    pub age: PriorityTerm,
    /// Priority of its association.
    pub association: PriorityTerm,
    /// Fair share of its association.
    pub fair_share: PriorityTerm,
    /// Its size.
    pub job_size: PriorityTerm,
    /// Its partition.
    pub part: PriorityTerm,
    /// Its QOS.
    pub qos: PriorityTerm,
    /// Its resources; empty without `PriorityWeightTRES`.
    pub tres: Vec<TresTerm>,
    /// Added by the site.
    pub site: i64,
    /// Subtracted on behalf of the user.
    pub nice: i64,
    /// The number.
    pub total: u32,
}

impl PriorityLedger {
    /// The sum of the parts, added in Slurm's order, in which each rounding is the same as there.
    pub fn sum(&self) -> f64 {
        let tres = self.tres.iter().fold(0.0, |sum, tres| sum + tres.term.product);
        self.age.product
            + self.association.product
            + self.fair_share.product
            + self.job_size.product
            + self.part.product
            + self.qos.product
            + tres
            + self.site as f64
            - self.nice as f64
    }

    /// The parts as whole numbers whose sum is [`PriorityLedger::total`], without those that are 0: each is cut, and those
    /// that lost most by it get back what the sum lacks. Names are those of the columns of `sprio`.
    pub fn whole_parts(&self) -> Vec<(Name, i64)> {
        if self.direct || self.held {
            return Vec::new();
        }
        let named = |name: &str, value: f64| (Name::from(name), value);
        let mut parts = vec![
            named("ARRIVAL", f64::from(self.arrival.unwrap_or(0))),
            named("AGE", self.age.product),
            named("ASSOC", self.association.product),
            named("FAIRSHARE", self.fair_share.product),
            named("JOBSIZE", self.job_size.product),
            named("PARTITION", self.part.product),
            named("QOS", self.qos.product),
        ];
        parts.extend(self.tres.iter().map(|tres| (tres.name.clone(), tres.term.product)));
        parts.extend([named("SITE", self.site as f64), named("NICE", -(self.nice as f64))]);
        parts.retain(|(_, value)| *value != 0.0);
        let mut whole: Vec<(Name, i64)> =
            parts.iter().map(|(name, value)| (name.clone(), value.floor() as i64)).collect();
        let given = whole.iter().fold(0_i64, |sum, (_, value)| sum.saturating_add(*value));
        let mut lacking = i64::from(self.total).saturating_sub(given);
        let mut order: Vec<usize> = (0..parts.len()).collect();
        let lost = |at: &usize| parts[*at].1 - parts[*at].1.floor();
        order.sort_by(|a, b| lost(b).total_cmp(&lost(a)));
        for at in order {
            if lacking > 0 && lost(&at) > 0.0 {
                whole[at].1 += 1;
                lacking -= 1;
            }
        }
        if lacking != 0 {
            // A sum beyond what a priority can be is cut to it.
            whole.push(("LIMITS".into(), lacking));
        }
        whole.retain(|(_, value)| *value != 0);
        whole
    }

    fn close(mut self) -> PriorityLedger {
        // A cast goes to the nearest end of the range, and cuts the fraction.
        self.total = self.sum().max(1.0) as u32;
        self
    }
}

/// What the site adds to the priority of a job.
pub fn site_factor(job: &Job) -> i64 {
    let stored_as_priority = job.spec.run.as_ref().and(job.spec.priority);
    let base = i64::from(SITE_PRIORITY_BASE);
    i64::from(job.spec.site_factor) + stored_as_priority.map_or(0, |priority| i64::from(priority) - base)
}

/// The ledger of `job` in `partition`.
pub fn ledger(job: &Job, partition: &Name, snapshot: &PrioritySnapshot, config: &PriorityConfig) -> PriorityLedger {
    let mut ledger = PriorityLedger {
        job_id: job.id,
        partition: partition.clone(),
        direct: job.priority_set,
        held: job.hold.is_some(),
        arrival: None,
        age: PriorityTerm::default(),
        association: PriorityTerm::default(),
        fair_share: PriorityTerm::default(),
        job_size: PriorityTerm::default(),
        part: PriorityTerm::default(),
        qos: PriorityTerm::default(),
        tres: Vec::new(),
        site: 0,
        nice: 0,
        total: job.priority,
    };
    if job.priority_set {
        return ledger;
    }
    (ledger.site, ledger.nice) = (site_factor(job), i64::from(job.spec.nice));
    if config.kind == PriorityType::Basic {
        let arrival = i64::from(job.priority) - ledger.site + ledger.nice;
        ledger.arrival = (job.priority > 0).then(|| u32::try_from(arrival.max(0)).unwrap_or(u32::MAX));
        return ledger;
    }
    let standing = Standing::of(job, snapshot);
    ledger.age = PriorityTerm::new(config.weight_age, age(job, snapshot.at, config));
    ledger.association = association(&standing, snapshot, config);
    ledger.fair_share = fair_share(&standing, snapshot, config);
    ledger.job_size = PriorityTerm::new(config.weight_job_size, job_size(job, snapshot, config));
    ledger.part = part(partition, snapshot, config);
    ledger.qos = qos(&standing, snapshot, config);
    ledger.tres = tres(job, partition, snapshot, config);
    ledger.close()
}

/// The ledger for each partition that a job asks for, the one in its row first. Partitions that are gone are left out.
pub fn ledgers<'a>(
    job: &'a Job,
    partitions: impl Fn(&str) -> Option<&'a Partition>,
    snapshot: &PrioritySnapshot,
    config: &PriorityConfig,
) -> Vec<PriorityLedger> {
    let mut names: Vec<&Name> = vec![&job.partition];
    if job.state == JobState::Pending && !job.priority_set {
        names.extend(job.spec.partitions.iter().filter(|name| **name != job.partition && partitions(name).is_some()));
    }
    names.into_iter().map(|name| ledger(job, name, snapshot, config)).collect()
}

/// The priority in each partition that a job asks for, in the order in which it names them: in the best of them that of its row.
pub fn by_partition(job: &Job, snapshot: &PrioritySnapshot, config: &PriorityConfig) -> Vec<u32> {
    let names = job.partitions_wanted();
    if names.len() < 2 || job.priority_set || config.kind == PriorityType::Basic {
        return vec![job.priority; names.len()];
    }
    let totals: Vec<u32> = names.iter().map(|name| ledger(job, name, snapshot, config).total).collect();
    let best = totals.iter().copied().max().unwrap_or(0);
    totals.into_iter().map(|total| job.priority.saturating_sub(best - total).max(1)).collect()
}

/// The priority in the row of a waiting job once it asks for what `changed` asks for. In `priority/basic`, and where it was set
/// directly, it stays what it is.
pub fn once_changed(job: &Job, changed: &Job, snapshot: &PrioritySnapshot, config: &PriorityConfig) -> u32 {
    if job.priority_set || config.kind == PriorityType::Basic {
        return job.priority;
    }
    let best = |job: &Job| job.partitions_wanted().iter().map(|name| ledger(job, name, snapshot, config).total).max();
    let (before, after) = (best(job).unwrap_or(1), best(changed).unwrap_or(1));
    let moved = i64::from(job.priority) + i64::from(after) - i64::from(before);
    u32::try_from(moved.clamp(1, i64::from(u32::MAX))).unwrap_or(1)
}

/// Waiting time by `PriorityMaxAge`. A job that is held or waits for a dependency has no eligible time, and of those beyond a
/// limit on ageing jobs none counts.
fn age(job: &Job, at: Timestamp, config: &PriorityConfig) -> f64 {
    if config.weight_age == 0 {
        return 0.0;
    }
    let since = match job.ageing {
        _ if config.has(PriorityFlag::AccrueAlways) => Some(job.submit_time),
        Ageing::SinceEligible => job.eligible_time,
        Ageing::Since(since) => Some(since),
        Ageing::Not => None,
    };
    let waited = since.map_or(0, |since| at.seconds().saturating_sub(since.seconds()).max(0));
    let longest = config.age_max.seconds();
    if waited < longest { waited as f64 / longest as f64 } else { 1.0 }
}

fn association(standing: &Standing<'_>, snapshot: &PrioritySnapshot, config: &PriorityConfig) -> PriorityTerm {
    let priority = standing.association.map_or(0, |row| snapshot.accounting.association_priority(row));
    let raw = config.has(PriorityFlag::NoNormalAssoc);
    normalised(config.weight_association, priority, snapshot.association_priority_max, raw)
}

fn qos(standing: &Standing<'_>, snapshot: &PrioritySnapshot, config: &PriorityConfig) -> PriorityTerm {
    let raw = config.has(PriorityFlag::NoNormalQos);
    normalised(config.weight_qos, standing.qos_priority, snapshot.qos_priority_max, raw)
}

fn part(partition: &Name, snapshot: &PrioritySnapshot, config: &PriorityConfig) -> PriorityTerm {
    let factor = snapshot.partitions.get(partition).map_or(0, |terms| terms.job_factor);
    let raw = config.has(PriorityFlag::NoNormalPart);
    normalised(config.weight_partition, u32::from(factor), u32::from(snapshot.job_factor_max), raw)
}

fn normalised(weight: u32, value: u32, greatest: u32, raw: bool) -> PriorityTerm {
    if weight == 0 || value == 0 {
        return PriorityTerm::new(weight, 0.0);
    }
    let value = f64::from(value);
    PriorityTerm::new(weight, if raw { value } else { value / f64::from(greatest.max(1)) })
}

fn fair_share(standing: &Standing<'_>, snapshot: &PrioritySnapshot, config: &PriorityConfig) -> PriorityTerm {
    let found = standing.association.filter(|_| config.weight_fair_share > 0);
    let factor = found.and_then(|row| snapshot.fair_share_factor(row.id));
    PriorityTerm::new(config.weight_fair_share, factor.unwrap_or(0.0))
}

/// Size by that of the cluster: nodes and CPUs count half each. With `SMALL_RELATIVE_TO_TIME` CPUs by time limit.
fn job_size(job: &Job, snapshot: &PrioritySnapshot, config: &PriorityConfig) -> f64 {
    if config.weight_job_size == 0 || snapshot.nodes == 0 || snapshot.cpus == 0 {
        return 0.0;
    }
    let held = job.allocation.as_ref().filter(|_| job.holds_resources());
    let cpus = f64::from(held.map_or_else(|| cpus_requested(job), |allocation| allocation.cpus()));
    let nodes = f64::from(job.spec.request.nodes_min);
    let (all_cpus, all_nodes) = (snapshot.cpus as f64, snapshot.nodes as f64);
    let whole = held.is_none() && job.spec.request.sharing == Sharing::Exclusive;
    let cpus = if whole { cpus.max(nodes * all_cpus / all_nodes) } else { cpus };
    let size = if config.has(PriorityFlag::SmallRelativeToTime) {
        let of_nodes = nodes * all_cpus / all_nodes;
        let minutes = match job.time_limit {
            TimeLimit::Limited(span) => span.minutes_rounded_up().max(1) as f64,
            TimeLimit::Unlimited => f64::from(u32::MAX),
        };
        let size = of_nodes.max(cpus) / minutes / all_cpus;
        if config.favor_small { 1.0 - size } else { size }
    } else if config.favor_small {
        ((all_nodes - nodes) / all_nodes + (all_cpus - cpus) / all_cpus) / 2.0
    } else {
        (nodes / all_nodes + cpus / all_cpus) / 2.0
    };
    size.clamp(0.0, 1.0)
}

fn tres(job: &Job, partition: &Name, snapshot: &PrioritySnapshot, config: &PriorityConfig) -> Vec<TresTerm> {
    if config.weight_tres.is_empty() {
        return Vec::new();
    }
    let Some(terms) = snapshot.partitions.get(partition) else { return Vec::new() };
    let amounts = match job.allocation.as_ref().filter(|_| job.holds_resources()) {
        Some(allocation) => allocated(allocation),
        None => requested(job, &terms.counts),
    };
    let raw = config.has(PriorityFlag::NoNormalTres);
    let term = |(name, weight): &(Name, super::Weight)| {
        let amount = amounts.get(name).unwrap_or(0) as f64;
        let total = terms.counts.total.get(name).unwrap_or(0) as f64;
        let factor = match (raw, amount > 0.0 && total > 0.0) {
            (true, _) => amount,
            (false, true) => amount / total,
            (false, false) => 0.0,
        };
        TresTerm { name: name.clone(), term: PriorityTerm { weight: weight.0, factor, product: factor * weight.0 } }
    };
    config.weight_tres.iter().map(term).collect()
}
