//! A limit that keeps a job back, with its numbers.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{AssociationKey, CountLimit, TresLimit, reasons};
use crate::ids::Name;
use crate::state::Reason;

/// Who sets a limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// A QOS.
    Qos(Name),
    /// An association.
    Association(AssociationKey),
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Level::Qos(name) => write!(f, "QOS {name}"),
            Level::Association(key) => {
                write!(f, "account {}", key.account)?;
                if !key.user.is_empty() {
                    write!(f, ", user {}", key.user)?;
                }
                if !key.partition.is_empty() {
                    write!(f, ", partition {}", key.partition)?;
                }
                Ok(())
            }
        }
    }
}

/// Which limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// A number.
    Count(CountLimit),
    /// The amount of a resource.
    Tres(TresLimit, Name),
    /// `UsageThreshold` of a QOS, in millionths.
    UsageThreshold,
}

/// A limit, what counts against it, and what a job asks for on top.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Who sets it.
    pub level: Level,
    /// Which it is.
    pub limit: Limit,
    /// What it allows.
    pub allowed: u64,
    /// What counts against it already.
    pub in_use: u64,
    /// What the job adds.
    pub asked: u64,
}

impl Violation {
    /// The reason that Slurm gives.
    pub fn reason(&self) -> Reason {
        let is_qos = matches!(self.level, Level::Qos(_));
        match &self.limit {
            Limit::Count(limit) => reasons::of_count(is_qos, *limit),
            Limit::Tres(limit, name) => reasons::of_tres(is_qos, *limit, name),
            Limit::UsageThreshold => Reason::QosUsageThreshold,
        }
    }

    /// Whether it could ever be kept: it is not the job alone that is beyond it.
    pub fn may_pass(&self) -> bool {
        match &self.limit {
            Limit::Tres(TresLimit::MinTresPerJob, _) => false,
            _ => self.asked <= self.allowed,
        }
    }
}

impl Limit {
    /// Whether what counts against it is what runs, so that each end makes room.
    pub fn is_of_what_runs(&self) -> bool {
        match self {
            Limit::Count(limit) => matches!(
                limit,
                CountLimit::GrpJobs | CountLimit::MaxJobs | CountLimit::MaxJobsPerUser | CountLimit::MaxJobsPerAccount
            ),
            Limit::Tres(limit, _) => matches!(
                limit,
                TresLimit::GrpTres
                    | TresLimit::GrpTresRunMins
                    | TresLimit::MaxTresPerUser
                    | TresLimit::MaxTresPerAccount
                    | TresLimit::MaxTresRunMinsPerUser
                    | TresLimit::MaxTresRunMinsPerAccount
            ),
            Limit::UsageThreshold => false,
        }
    }
}

/// `QOS normal allows 8 gres/gpu per user, 8 in use, 4 asked`.
impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation { level, allowed, in_use, asked, .. } = self;
        let (what, scope, counts_others) = match &self.limit {
            Limit::UsageThreshold => {
                let millionths = |value: u64| value as f64 / 1e6;
                return write!(
                    f,
                    "{level} wants a fair-share factor of {}, it is {}",
                    millionths(*allowed),
                    millionths(*in_use)
                );
            }
            Limit::Count(limit) => count_words(*limit),
            Limit::Tres(TresLimit::MinTresPerJob, name) => {
                return write!(f, "{level} wants at least {allowed} {name} per job, {asked} asked");
            }
            Limit::Tres(limit, name) => {
                let (unit, scope, counts_others) = tres_words(*limit);
                return write_numbers(
                    f,
                    level,
                    &format!("{name}{unit}"),
                    scope,
                    (*allowed, *in_use, *asked, counts_others),
                );
            }
        };
        write_numbers(f, level, what, scope, (*allowed, *in_use, *asked, counts_others))
    }
}

fn write_numbers(
    f: &mut fmt::Formatter<'_>,
    level: &Level,
    what: &str,
    scope: &str,
    (allowed, in_use, asked, counts_others): (u64, u64, u64, bool),
) -> fmt::Result {
    write!(f, "{level} allows {allowed} {what}{scope}")?;
    if counts_others {
        write!(f, ", {in_use} in use")?;
    }
    write!(f, ", {asked} asked")
}

/// Noun, scope, and whether others count against it.
fn count_words(limit: CountLimit) -> (&'static str, &'static str, bool) {
    match limit {
        CountLimit::GrpJobs | CountLimit::MaxJobs => ("running jobs", "", true),
        CountLimit::GrpJobsAccrue | CountLimit::MaxJobsAccrue => ("ageing jobs", "", true),
        CountLimit::GrpSubmitJobs | CountLimit::MaxSubmitJobs => ("waiting or running jobs", "", true),
        CountLimit::GrpWall => ("minutes of run time in all", "", true),
        CountLimit::MaxWall => ("minutes of run time", " per job", false),
        CountLimit::MinPrioThreshold => ("priority", "", false),
        CountLimit::MaxJobsPerUser => ("running jobs", " per user", true),
        CountLimit::MaxSubmitJobsPerUser => ("waiting or running jobs", " per user", true),
        CountLimit::MaxJobsAccruePerUser => ("ageing jobs", " per user", true),
        CountLimit::MaxJobsPerAccount => ("running jobs", " per account", true),
        CountLimit::MaxSubmitJobsPerAccount => ("waiting or running jobs", " per account", true),
        CountLimit::MaxJobsAccruePerAccount => ("ageing jobs", " per account", true),
    }
}

fn tres_words(limit: TresLimit) -> (&'static str, &'static str, bool) {
    match limit {
        TresLimit::GrpTres => ("", "", true),
        TresLimit::GrpTresMins => (" minutes in all", "", true),
        TresLimit::GrpTresRunMins => (" minutes of running jobs", "", true),
        TresLimit::MaxTresPerJob | TresLimit::MinTresPerJob => ("", " per job", false),
        TresLimit::MaxTresPerNode => ("", " per job and node", false),
        TresLimit::MaxTresMinsPerJob => (" minutes", " per job", false),
        TresLimit::MaxTresPerUser => ("", " per user", true),
        TresLimit::MaxTresPerAccount => ("", " per account", true),
        TresLimit::MaxTresRunMinsPerUser => (" minutes of running jobs", " per user", true),
        TresLimit::MaxTresRunMinsPerAccount => (" minutes of running jobs", " per account", true),
    }
}
