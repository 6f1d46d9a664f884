//! Qualities of service.

use serde::{Deserialize, Serialize};

use super::Limits;
use crate::ids::Name;
use crate::time::Span;

/// `Flags=` of a QOS, spelled as Slurm spells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is the flag of that name in sacctmgr(1)")]
pub enum QosFlag {
    DenyOnLimit,
    EnforceUsageThreshold,
    NoDecay,
    NoReserve,
    OverPartQOS,
    PartitionMaxNodes,
    PartitionMinNodes,
    PartitionTimeLimit,
    Relative,
    RequiresReservation,
    UsageFactorSafe,
}

/// A quality of service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Qos {
    /// Number; `normal` has 1.
    pub id: u32,
    /// Name, in lower case.
    pub name: Name,
    /// Description.
    pub description: Name,
    /// Priority, compared with the greatest of all QOS.
    pub priority: u32,
    /// Flags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<QosFlag>,
    /// QOS whose jobs it may preempt.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub preempts: Vec<Name>,
    /// What happens to its jobs when they are preempted; `None` for what the cluster says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preempt_mode: Option<crate::preemption::PreemptMode>,
    /// Time between notice and end of a preempted job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_time: Option<Span>,
    /// Run time before which its jobs are not preempted; `None` for what the cluster says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preempt_exempt_time: Option<Span>,
    /// What use under this QOS counts, relative to its real amount.
    pub usage_factor: f64,
    /// Least fair-share factor of associations that may use it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_threshold: Option<f64>,
    /// By what limits of associations are multiplied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_factor: Option<f64>,
    /// Limits.
    #[serde(skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
}

impl Default for Qos {
    fn default() -> Qos {
        Qos {
            id: 0,
            name: "".into(),
            description: "".into(),
            priority: 0,
            flags: Vec::new(),
            preempts: Vec::new(),
            preempt_mode: None,
            grace_time: None,
            preempt_exempt_time: None,
            usage_factor: 1.0,
            usage_threshold: None,
            limit_factor: None,
            limits: Limits::default(),
        }
    }
}

impl QosFlag {
    /// All flags, in the order in which Slurm lists them.
    pub const ALL: &[(QosFlag, &'static str)] = &[
        (QosFlag::DenyOnLimit, "DenyOnLimit"),
        (QosFlag::EnforceUsageThreshold, "EnforceUsageThreshold"),
        (QosFlag::NoReserve, "NoReserve"),
        (QosFlag::PartitionMaxNodes, "PartitionMaxNodes"),
        (QosFlag::PartitionMinNodes, "PartitionMinNodes"),
        (QosFlag::OverPartQOS, "OverPartQOS"),
        (QosFlag::PartitionTimeLimit, "PartitionTimeLimit"),
        (QosFlag::RequiresReservation, "RequiresReservation"),
        (QosFlag::NoDecay, "NoDecay"),
        (QosFlag::UsageFactorSafe, "UsageFactorSafe"),
        (QosFlag::Relative, "Relative"),
    ];
}

impl Qos {
    /// Whether it has that flag.
    pub fn has(&self, flag: QosFlag) -> bool {
        self.flags.contains(&flag)
    }
}
