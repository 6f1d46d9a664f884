//! Limits that associations and QOS have in common. `None`, or a resource that is not named, is no limit.

use serde::{Deserialize, Serialize};

use super::TresAmounts;
use crate::time::Span;

/// Limits over all jobs of an association with those below it, or of a QOS (`Grp…`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupLimits {
    /// `GrpTRES`: held at once.
    #[serde(skip_serializing_if = "TresAmounts::is_empty")]
    pub tres: TresAmounts,
    /// `GrpTRESMins`: resource minutes ever used (decayed).
    #[serde(skip_serializing_if = "TresAmounts::is_empty")]
    pub tres_minutes: TresAmounts,
    /// `GrpTRESRunMins`: resource minutes that running jobs may still use.
    #[serde(skip_serializing_if = "TresAmounts::is_empty")]
    pub tres_run_minutes: TresAmounts,
    /// `GrpJobs`: running at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs: Option<u32>,
    /// `GrpJobsAccrue`: pending jobs that gain priority by age.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs_accrue: Option<u32>,
    /// `GrpSubmitJobs`: pending or running at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs_submitted: Option<u32>,
    /// `GrpWall`: run time ever used (decayed).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall: Option<Span>,
}

/// Limits of each job, or of the jobs of one user or one account (`Max…`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct JobLimits {
    /// `MaxTRES`, `MaxTRESPerJob`.
    #[serde(skip_serializing_if = "TresAmounts::is_empty")]
    pub tres_per_job: TresAmounts,
    /// `MaxTRESPerNode`.
    #[serde(skip_serializing_if = "TresAmounts::is_empty")]
    pub tres_per_node: TresAmounts,
    /// `MaxTRESMins`, `MaxTRESMinsPerJob`.
    #[serde(skip_serializing_if = "TresAmounts::is_empty")]
    pub tres_minutes_per_job: TresAmounts,
    /// `MaxTRESRunMins`: of all running jobs of the association.
    #[serde(skip_serializing_if = "TresAmounts::is_empty")]
    pub tres_run_minutes: TresAmounts,
    /// `MaxWall`, `MaxWallDurationPerJob`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall_per_job: Option<Span>,
    /// `MaxJobs` of an association: running at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs: Option<u32>,
    /// `MaxJobsAccrue` of an association.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs_accrue: Option<u32>,
    /// `MaxSubmitJobs` of an association.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs_submitted: Option<u32>,
    /// `MinPrioThreshold`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_min: Option<u32>,
}
