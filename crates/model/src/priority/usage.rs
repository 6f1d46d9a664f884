//! What was used, by whom: seconds of each resource, weighted and forgotten with time.
//!
//! A usage is kept with the time up to which it has been counted, and what is forgotten since then is a matter of reading
//! it. So a calculation writes down only what ran, and not all the past of everybody.

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use super::PriorityConfig;
use crate::accounting::{AssociationId, TresAmounts};
use crate::ids::{JobId, Name, RestartCount};
use crate::job::Job;
use crate::resources::Allocation;
use crate::time::{Span, Timestamp};

/// Seconds of use, decayed up to [`Usage::as_of`]. Fractions are stored as text that gives the same bits back.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Billed seconds, times the usage factor of the QOS (`RawUsage`).
    #[serde(with = "exact")]
    pub raw: f64,
    /// The same for each resource (`GrpTRESRaw`), and for `billing`.
    #[serde(default, with = "exact_map", skip_serializing_if = "BTreeMap::is_empty")]
    pub tres_seconds: BTreeMap<Name, f64>,
    /// Seconds of run time.
    #[serde(with = "exact")]
    pub wall_seconds: f64,
    /// Up to when it is counted.
    pub as_of: Timestamp,
}

impl Usage {
    /// What is left of it at `now`, where each second leaves `factor` of it.
    pub fn at(&self, now: Timestamp, factor: f64) -> Usage {
        let left = factor.powf(now.since(self.as_of).0 as f64 / 1000.0);
        Usage {
            raw: self.raw * left,
            tres_seconds: self.tres_seconds.iter().map(|(name, seconds)| (name.clone(), seconds * left)).collect(),
            wall_seconds: self.wall_seconds * left,
            as_of: self.as_of.max(now),
        }
    }

    /// Adds `seconds` of a run that holds `amounts` and is billed `billing` each second. Of that the fraction counts in the raw
    /// usage, and not in what minutes of billing are limited to (observed with 22.05).
    pub fn add_run(&mut self, seconds: f64, amounts: &TresAmounts, billing: f64) {
        self.raw += seconds * billing;
        self.wall_seconds += seconds;
        for (name, amount) in &amounts.0 {
            *self.tres_seconds.entry(name.clone()).or_insert(0.0) += seconds * *amount as f64;
        }
        *self.tres_seconds.entry("billing".into()).or_insert(0.0) += seconds * billing.trunc();
    }

    /// Adds another usage that is counted up to the same time.
    pub fn add(&mut self, other: &Usage) {
        self.raw += other.raw;
        self.wall_seconds += other.wall_seconds;
        for (name, seconds) in &other.tres_seconds {
            *self.tres_seconds.entry(name.clone()).or_insert(0.0) += seconds;
        }
    }
}

/// Whose usage.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageOf {
    /// An association, with all below it.
    Association(AssociationId),
    /// A QOS, of jobs or of partitions.
    Qos(Name),
}

/// One row of the stored table of usage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageRecord {
    /// What holds for all.
    Cluster {
        /// Up to when all runs are counted.
        accounted_until: Timestamp,
        /// When usage was last set to nothing.
        reset_at: Option<Timestamp>,
        /// Run time that is counted of jobs that have been suspended: for the others it follows from their rows.
        interrupted: Vec<(JobId, RestartCount, Span)>,
    },
    /// The usage of one.
    Of {
        /// Whose.
        of: UsageOf,
        /// What.
        usage: Arc<Usage>,
    },
}

impl UsageRecord {
    /// What the row is found by.
    pub fn name(&self) -> Name {
        match self {
            UsageRecord::Cluster { .. } => "cluster".into(),
            UsageRecord::Of { of: UsageOf::Association(id), .. } => format!("association-{}", id.0).as_str().into(),
            UsageRecord::Of { of: UsageOf::Qos(name), .. } => format!("qos-{name}").as_str().into(),
        }
    }
}

/// A run of a job that went back to the queue and that is not counted yet; its row tells only about its next start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastRun {
    /// Which start it was.
    pub restart: RestartCount,
    /// When it started.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// How long it ran, without the time it was suspended.
    pub run: Span,
    /// How much of that it had another size, and is in another row.
    #[serde(default)]
    pub run_before: Span,
    /// In which partition.
    pub partition: Name,
    /// What it held.
    pub allocation: Arc<Allocation>,
}

/// All usage of the cluster. Cloning copies a few pointers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UsageAccounts {
    /// Up to when all runs are counted.
    pub accounted_until: Timestamp,
    /// When usage was last set to nothing.
    pub reset_at: Option<Timestamp>,
    /// Run time that is counted of jobs that have been suspended.
    pub interrupted: OrdMap<JobId, (RestartCount, Span)>,
    /// By association, those below included.
    pub associations: OrdMap<AssociationId, Arc<Usage>>,
    /// By QOS.
    pub qos: OrdMap<Name, Arc<Usage>>,
}

impl UsageAccounts {
    /// What each second leaves of a usage (Slurm: `1 - 0.693 / PriorityDecayHalfLife`).
    pub fn decay_factor(config: &PriorityConfig) -> f64 {
        let seconds = config.decay_half_life.0 as f64 / 1000.0;
        if seconds > 0.0 { (1.0 - 0.693 / seconds).max(0.0) } else { 1.0 }
    }

    /// Usage of an association and all below it at `now`.
    pub fn association(&self, id: AssociationId, now: Timestamp, config: &PriorityConfig) -> Usage {
        let usage = self.associations.get(&id);
        usage
            .map_or_else(|| Usage { as_of: now, ..Usage::default() }, |usage| usage.at(now, Self::decay_factor(config)))
    }

    /// Usage of a QOS at `now`; with `no_decay` nothing of it is forgotten.
    pub fn qos(&self, name: &Name, now: Timestamp, no_decay: bool, config: &PriorityConfig) -> Usage {
        let factor = if no_decay { 1.0 } else { Self::decay_factor(config) };
        self.qos.get(name).map_or_else(|| Usage { as_of: now, ..Usage::default() }, |usage| usage.at(now, factor))
    }

    /// Seconds of the present start of `job` that ran until `until` and are not counted yet.
    pub fn uncounted(&self, job: &Job, until: Timestamp) -> Span {
        let Some(start) = job.start_time else { return Span::ZERO };
        let before = job.resize.as_ref().map_or(Span::ZERO, |resize| resize.run);
        self.uncounted_part(job.id, job.restart, start, before, job.run_time(until))
    }

    /// The same for a run of that length, without its first part, `before`.
    pub fn uncounted_part(
        &self,
        job_id: JobId,
        restart: RestartCount,
        start: Timestamp,
        before: Span,
        run: Span,
    ) -> Span {
        let until = |run| self.uncounted_run(job_id, restart, start, run);
        Span((until(run).0 - until(before).0).max(0))
    }

    fn uncounted_run(&self, job_id: JobId, restart: RestartCount, start: Timestamp, run: Span) -> Span {
        let counted = match self.interrupted.get(&job_id) {
            Some((known, counted)) if *known == restart => *counted,
            // It was never suspended before the last calculation: it ran all the time since its start.
            _ => self.accounted_until.since(start),
        };
        Span((run.0 - counted.0).max(0))
    }

    /// Puts in a stored row.
    pub fn restore(&mut self, record: &UsageRecord) {
        match record {
            UsageRecord::Cluster { accounted_until, reset_at, interrupted } => {
                self.accounted_until = *accounted_until;
                self.reset_at = *reset_at;
                self.interrupted = interrupted.iter().map(|(id, restart, run)| (*id, (*restart, *run))).collect();
            }
            UsageRecord::Of { of: UsageOf::Association(id), usage } => {
                drop(self.associations.insert(*id, usage.clone()))
            }
            UsageRecord::Of { of: UsageOf::Qos(name), usage } => drop(self.qos.insert(name.clone(), usage.clone())),
        }
    }

    /// The row that holds for all.
    pub fn cluster_record(&self) -> UsageRecord {
        UsageRecord::Cluster {
            accounted_until: self.accounted_until,
            reset_at: self.reset_at,
            interrupted: self.interrupted.iter().map(|(id, (restart, run))| (*id, *restart, *run)).collect(),
        }
    }
}

/// A fraction as text: `serde_json` alone may give back a neighbour of the number it wrote.
mod exact {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&value.to_string())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

mod exact_map {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    use crate::ids::Name;

    pub(super) fn serialize<S: Serializer>(map: &BTreeMap<Name, f64>, serializer: S) -> Result<S::Ok, S::Error> {
        map.iter().map(|(name, value)| (name, value.to_string())).collect::<BTreeMap<_, _>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<Name, f64>, D::Error> {
        let texts = BTreeMap::<Name, String>::deserialize(deserializer)?;
        let number = |(name, text): (Name, String)| Ok((name, text.parse().map_err(D::Error::custom)?));
        texts.into_iter().map(number).collect()
    }
}
