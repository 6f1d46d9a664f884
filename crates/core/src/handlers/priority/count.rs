//! Who used how much: runs since the last calculation, added to associations, those above them, and QOS.
//!
//! Counted is what the rows of jobs say, up to one moment for all; that moment is stored together with the sums. So no
//! run is lost or counted twice, whenever the controller is killed.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_model::accounting::{Association, AssociationId, QosFlag, TresAmounts};
use muster_model::document::Document;
use muster_model::fact::Fact;
use muster_model::ids::{Identity, JobId, Name, RestartCount};
use muster_model::job::Job;
use muster_model::priority::{
    PastRun, Usage, UsageAccounts, UsageOf, UsageRecord, UsageResetPeriod, allocated, association_of, billed, qos_of,
};
use muster_model::request::{Refusal, RefusalCode};
use muster_model::resources::Allocation;
use muster_model::state::JobState;
use muster_model::time::{Span, Timestamp};

use crate::cluster::Cluster;
use crate::effect::Outcome;
use crate::handlers::authorisation;

/// Whether there is anybody to whom use is counted.
pub(super) fn is_kept(cluster: &Cluster) -> bool {
    !cluster.accounting.associations.is_empty() || !cluster.accounting.qos.is_empty()
}

/// Runs that have been counted so far.
#[derive(Debug)]
pub(crate) struct Counting {
    /// Up to when.
    pub at: Timestamp,
    after: Option<JobId>,
    used: BTreeMap<UsageOf, Usage>,
    interrupted: BTreeMap<JobId, (RestartCount, Span)>,
    done: Vec<JobId>,
}

impl Counting {
    pub(super) fn new(at: Timestamp) -> Counting {
        Counting { at, after: None, used: BTreeMap::new(), interrupted: BTreeMap::new(), done: Vec::new() }
    }

    /// Counts up to `max` jobs; `true` when there are no more.
    pub(super) fn portion(&mut self, cluster: &Cluster, now: Timestamp, max: usize) -> bool {
        let portion = if is_kept(cluster) { cluster.runs_after(self.after, max) } else { Vec::new() };
        for id in &portion {
            if let Some(job) = cluster.jobs.get(id) {
                self.count_job(cluster, now, job);
            }
        }
        self.after = portion.last().copied().or(self.after);
        portion.len() < max
    }

    fn count_job(&mut self, cluster: &Cluster, now: Timestamp, job: &Job) {
        let known = &cluster.usage;
        for past in job.past_runs.iter().filter(|past| past.end > known.accounted_until) {
            let run = known.uncounted_part(job.id, past.restart, past.start, past.run_before, past.run);
            self.add(cluster, job, &past.partition, &past.allocation, run);
        }
        let has_run = !matches!(job.state, JobState::Pending) && job.start_time.is_some();
        let Some(allocation) = job.allocation.as_ref().filter(|_| has_run) else {
            // It waits again, or was ended while it did: only its past runs count.
            self.done.push(job.id);
            return;
        };
        let was_interrupted = job.suspended > Span::ZERO || job.suspend_time.is_some();
        // Of a job that was suspended only the present row tells how long it has run.
        let until = if was_interrupted { now } else { self.at };
        let run = known.uncounted(job, until.min(job.end_time.filter(|_| job.state.is_final()).unwrap_or(until)));
        self.add(cluster, job, &job.partition, allocation, run);
        if job.state.is_final() && job.end_time.is_none_or(|end| end <= until) {
            self.done.push(job.id);
        } else if was_interrupted {
            self.interrupted.insert(job.id, (job.restart, job.run_time(until)));
        }
    }

    fn add(&mut self, cluster: &Cluster, job: &Job, partition: &Name, allocation: &Arc<Allocation>, run: Span) {
        if run <= Span::ZERO {
            return;
        }
        let config = &cluster.config.priority;
        let seconds = run.0 as f64 / 1000.0;
        // A new slice is decayed over its own length, as Slurm does it.
        let left = UsageAccounts::decay_factor(config).powf(seconds);
        let amounts = allocated(allocation);
        let billing = allocation.billing.map_or_else(|| billed(&amounts, partition, config), |billing| billing.0);
        let qos = qos_of(job, &cluster.accounting);
        let factor = qos.map_or(1.0, |qos| qos.usage_factor);
        let mut to = |of: UsageOf, seconds: f64, amounts: &TresAmounts| {
            self.used.entry(of).or_default().add_run(seconds, amounts, billing);
        };
        if let Some(association) = association_of(job, &cluster.accounting) {
            to(UsageOf::Association(association.id), seconds * left * factor, &amounts);
        }
        // The QOS of the partition is charged too, by the factor of the job's own (Slurm 22.05, priority/multifactor).
        let of_partition = cluster.partition_qos(partition);
        let of_partition = of_partition.and_then(|name| cluster.accounting.qos.get(&name));
        let of_partition = of_partition.filter(|other| qos.is_none_or(|own| own.name != other.name));
        for qos in qos.into_iter().chain(of_partition) {
            let left = if qos.has(QosFlag::NoDecay) { 1.0 } else { left };
            to(UsageOf::Qos(qos.name.clone()), seconds * left * factor, &amounts);
        }
    }

    /// All have been counted: the sums and the moment become facts.
    pub(super) fn finish(self, cluster: &mut Cluster, out: &mut Outcome) {
        if !is_kept(cluster) {
            return;
        }
        let at = self.at;
        for (of, used) in with_those_above(&cluster.accounting, self.used) {
            let mut usage = stored(cluster, &of, at);
            usage.add(&used);
            put(cluster, of, usage, out);
        }
        for job_id in &self.done {
            cluster.ran.remove(job_id);
        }
        cluster.usage.accounted_until = at;
        cluster.usage.interrupted = self.interrupted.into_iter().collect();
        reset_when_due(cluster, at, out);
        let record = Arc::new(cluster.usage.cluster_record());
        out.facts.push(Fact::Document(Document::Usage(record)));
    }
}

/// What an association uses is used by all above it too.
fn with_those_above(
    accounting: &muster_model::accounting::AccountingPolicy,
    used: BTreeMap<UsageOf, Usage>,
) -> BTreeMap<UsageOf, Usage> {
    let mut all: BTreeMap<UsageOf, Usage> = BTreeMap::new();
    for (of, usage) in used {
        match &of {
            UsageOf::Association(id) => {
                for row in accounting.lineage(*id) {
                    all.entry(UsageOf::Association(row.id)).or_default().add(&usage);
                }
            }
            UsageOf::Qos(_) => all.entry(of).or_default().add(&usage),
        }
    }
    all
}

fn stored(cluster: &Cluster, of: &UsageOf, at: Timestamp) -> Usage {
    let config = &cluster.config.priority;
    match of {
        UsageOf::Association(id) => cluster.usage.association(*id, at, config),
        UsageOf::Qos(name) => {
            let no_decay = cluster.accounting.qos.get(name).is_some_and(|qos| qos.has(QosFlag::NoDecay));
            cluster.usage.qos(name, at, no_decay, config)
        }
    }
}

fn put(cluster: &mut Cluster, of: UsageOf, usage: Usage, out: &mut Outcome) {
    let usage = Arc::new(usage);
    match &of {
        UsageOf::Association(id) => drop(cluster.usage.associations.insert(*id, usage.clone())),
        UsageOf::Qos(name) => drop(cluster.usage.qos.insert(name.clone(), usage.clone())),
    }
    out.facts.push(Fact::Document(Document::Usage(Arc::new(UsageRecord::Of { of, usage }))));
}

/// `PriorityUsageResetPeriod`: sets all usage to nothing when a period has begun since the last time. Days begin at
/// midnight UTC here, since the core knows no time zone.
fn reset_when_due(cluster: &mut Cluster, at: Timestamp, out: &mut Outcome) {
    let period = cluster.config.priority.usage_reset;
    let Some(last) = cluster.usage.reset_at else {
        cluster.usage.reset_at = Some(at);
        if period == UsageResetPeriod::Now {
            reset_all(cluster, at, out);
        }
        return;
    };
    if period.has_begun(last, at) {
        cluster.usage.reset_at = Some(at);
        reset_all(cluster, at, out);
    }
}

fn reset_all(cluster: &mut Cluster, at: Timestamp, out: &mut Outcome) {
    let associations: Vec<UsageOf> = cluster.usage.associations.keys().copied().map(UsageOf::Association).collect();
    let qos: Vec<UsageOf> = cluster.usage.qos.keys().cloned().map(UsageOf::Qos).collect();
    for of in associations.into_iter().chain(qos) {
        put(cluster, of, Usage { as_of: at, ..Usage::default() }, out);
    }
}

/// `RawUsage=0`, asked for by an operator.
pub(crate) fn reset(
    cluster: &mut Cluster,
    now: Timestamp,
    identity: &Identity,
    of: &UsageOf,
    out: &mut Outcome,
) -> Result<(), Refusal> {
    authorisation::must_be_operator(identity)?;
    let exists = match of {
        UsageOf::Association(id) => cluster.accounting.associations.contains_key(id),
        UsageOf::Qos(name) => cluster.accounting.qos.contains_key(name),
    };
    if !exists {
        return Err(RefusalCode::InvalidAccount.into());
    }
    reset_usage(cluster, now, of, out);
    Ok(())
}

/// Forgets what one used. Of an association, those below it are set to nothing too, and those above lose
/// what it had.
fn reset_usage(cluster: &mut Cluster, now: Timestamp, of: &UsageOf, out: &mut Outcome) {
    let nothing = || Usage { as_of: now, ..Usage::default() };
    if let UsageOf::Association(id) = of {
        let had = stored(cluster, of, now);
        let above: Vec<AssociationId> = cluster.accounting.lineage(*id).skip(1).map(|row| row.id).collect();
        for id in above {
            let of = UsageOf::Association(id);
            let left = without(&stored(cluster, &of, now), &had);
            put(cluster, of, left, out);
        }
        let is_below = |row: &Association| cluster.accounting.lineage(row.id).any(|above| above.id == *id);
        let below: Vec<AssociationId> =
            cluster.accounting.associations.values().filter(|row| is_below(row)).map(|row| row.id).collect();
        for id in below {
            put(cluster, UsageOf::Association(id), nothing(), out);
        }
    } else {
        put(cluster, of.clone(), nothing(), out);
    }
    super::policy_changed(cluster, now);
}

fn without(all: &Usage, part: &Usage) -> Usage {
    let less = |all: f64, part: f64| (all - part).max(0.0);
    let seconds = |name: &Name, seconds: &f64| less(*seconds, part.tres_seconds.get(name).copied().unwrap_or(0.0));
    Usage {
        raw: less(all.raw, part.raw),
        tres_seconds: all.tres_seconds.iter().map(|(name, had)| (name.clone(), seconds(name, had))).collect(),
        wall_seconds: less(all.wall_seconds, part.wall_seconds),
        as_of: all.as_of,
    }
}

/// The run of a job that goes back to the queue, or changes its size, for as long as it is not counted.
pub(crate) fn past_run(job: &Job, now: Timestamp) -> Option<PastRun> {
    Some(PastRun {
        restart: job.restart,
        start: job.start_time?,
        end: now,
        run: job.run_time(now),
        run_before: job.resize.as_ref().map_or(Span::ZERO, |resize| resize.run),
        partition: job.partition.clone(),
        allocation: job.allocation.clone()?,
    })
}
