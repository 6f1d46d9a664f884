//! Limits that associations and QOS have in common. What is not set is no limit.
//!
//! All limits are of two kinds, a number or amounts of resources, and are found by their word. So reading, printing,
//! changing and checking them are tables, and a further limit is one more line.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::TresAmounts;
use crate::ids::Name;

/// Declares words for limits.
macro_rules! limit_words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name { $($(#[$doc])* $variant),+ }

        impl $name {
            /// All of them.
            pub const ALL: &[$name] = &[$($name::$variant),+];

            /// The word, as `sacctmgr` writes it.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

limit_words! {
    /// A limit that is a number.
    CountLimit {
        /// Jobs of an association with those below it, or of a QOS, that run at once.
        GrpJobs = "GrpJobs",
        /// The same that wait and gain priority by age.
        GrpJobsAccrue = "GrpJobsAccrue",
        /// The same that wait or run at once.
        GrpSubmitJobs = "GrpSubmitJobs",
        /// Run time ever used (decayed), minutes.
        GrpWall = "GrpWall",
        /// Jobs of one association that run at once.
        MaxJobs = "MaxJobs",
        /// The same that wait and gain priority by age.
        MaxJobsAccrue = "MaxJobsAccrue",
        /// The same that wait or run at once.
        MaxSubmitJobs = "MaxSubmitJobs",
        /// Time limit of each job, minutes.
        MaxWall = "MaxWall",
        /// Priority below which no resources are kept for a job.
        MinPrioThreshold = "MinPrioThreshold",
        /// Jobs of one user under a QOS that run at once.
        MaxJobsPerUser = "MaxJobsPU",
        /// The same that wait or run at once.
        MaxSubmitJobsPerUser = "MaxSubmitPU",
        /// The same that wait and gain priority by age.
        MaxJobsAccruePerUser = "MaxJobsAccruePU",
        /// Jobs of one account under a QOS that run at once.
        MaxJobsPerAccount = "MaxJobsPA",
        /// The same that wait or run at once.
        MaxSubmitJobsPerAccount = "MaxSubmitPA",
        /// The same that wait and gain priority by age.
        MaxJobsAccruePerAccount = "MaxJobsAccruePA",
    }
}

limit_words! {
    /// A limit on amounts of trackable resources.
    TresLimit {
        /// Held at once by an association with those below it, or by a QOS.
        GrpTres = "GrpTRES",
        /// Resource minutes ever used (decayed).
        GrpTresMins = "GrpTRESMins",
        /// Resource minutes that running jobs may still use.
        GrpTresRunMins = "GrpTRESRunMins",
        /// Of each job.
        MaxTresPerJob = "MaxTRES",
        /// Of each job on each node, on average.
        MaxTresPerNode = "MaxTRESPerNode",
        /// Resource minutes of each job.
        MaxTresMinsPerJob = "MaxTRESMins",
        /// Held at once by one user under a QOS.
        MaxTresPerUser = "MaxTRESPU",
        /// Held at once by one account under a QOS.
        MaxTresPerAccount = "MaxTRESPA",
        /// Resource minutes that running jobs of one user under a QOS may still use.
        MaxTresRunMinsPerUser = "MaxTRESRunMinsPU",
        /// Resource minutes that running jobs of one account under a QOS may still use.
        MaxTresRunMinsPerAccount = "MaxTRESRunMinsPA",
        /// What each job asks for at least.
        MinTresPerJob = "MinTRES",
    }
}

/// The limits of one association or QOS.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Numbers.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<CountLimit, u64>,
    /// Amounts; none of them is empty.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tres: BTreeMap<TresLimit, TresAmounts>,
}

impl Limits {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty() && self.tres.is_empty()
    }

    /// The number, where it is set.
    pub fn count(&self, limit: CountLimit) -> Option<u64> {
        self.counts.get(&limit).copied()
    }

    /// The amount of one resource, where it is set.
    pub fn tres(&self, limit: TresLimit, name: &str) -> Option<u64> {
        self.tres.get(&limit).and_then(|amounts| amounts.get(name))
    }

    /// Makes changes.
    pub fn change(&mut self, changes: &LimitChanges) {
        for (limit, value) in &changes.counts {
            match value {
                Some(value) => drop(self.counts.insert(*limit, *value)),
                None => drop(self.counts.remove(limit)),
            }
        }
        for (limit, amounts) in &changes.tres {
            let entry = self.tres.entry(*limit).or_default();
            for (name, amount) in amounts {
                match amount {
                    Some(amount) => drop(entry.0.insert(name.clone(), *amount)),
                    None => drop(entry.0.remove(name)),
                }
            }
        }
        self.tres.retain(|_, amounts| !amounts.is_empty());
    }
}

/// Changes of limits: `None` takes one away. What is not named stays.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LimitChanges {
    /// Numbers.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<CountLimit, Option<u64>>,
    /// Amounts by resource.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tres: BTreeMap<TresLimit, BTreeMap<Name, Option<u64>>>,
}

impl LimitChanges {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty() && self.tres.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_names_single_resources_and_is_undone_by_taking_them_away() {
        let mut limits = Limits::default();
        let amounts = |list: &[(&str, Option<u64>)]| {
            BTreeMap::from([(
                TresLimit::GrpTres,
                list.iter().map(|(name, amount)| ((*name).into(), *amount)).collect(),
            )])
        };
        let set = |tres, jobs| LimitChanges { tres, counts: BTreeMap::from([(CountLimit::GrpJobs, jobs)]) };
        limits.change(&set(amounts(&[("cpu", Some(4)), ("mem", Some(100))]), Some(3)));
        limits.change(&set(amounts(&[("cpu", None), ("node", Some(2))]), Some(5)));
        assert_eq!(limits.tres[&TresLimit::GrpTres].to_string(), "mem=100,node=2");
        assert_eq!(limits.count(CountLimit::GrpJobs), Some(5));
        limits.change(&set(amounts(&[("mem", None), ("node", None)]), None));
        assert!(limits.is_empty());
    }
}
