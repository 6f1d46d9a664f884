//! What `scontrol update PartitionName=` changes: many fields, each left alone unless it is named.

use serde::{Deserialize, Serialize};

use crate::ids::Name;
use crate::partition::{MemoryDefault, OverSubscribe, PartitionState};
use crate::preemption::PreemptMode;
use crate::priority::Weight;
use crate::resources::Megabytes;
use crate::time::{Span, TimeLimit};

/// `JobDefaults` of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct JobDefaults {
    /// `DefCpuPerGPU`.
    pub cpus_per_gpu: Option<u32>,
    /// `DefMemPerGPU`.
    pub memory_per_gpu: Option<Megabytes>,
}

/// `TRESBillingWeights` of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BillingWeights {
    /// As they are written, to be shown; empty for none.
    pub text: Name,
    /// By resource; memory by MiB.
    pub weights: Vec<(Name, Weight)>,
}

/// Fields of a partition that an operator may change; `None` leaves them, `Some(None)` takes them away.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each field has the meaning of the field of that name in Partition")]
pub struct PartitionChanges {
    pub state: Option<PartitionState>,
    /// A host list, or `ALL`; empty for none.
    pub nodes: Option<Name>,
    pub default: Option<bool>,
    pub time_max: Option<TimeLimit>,
    #[serde(skip_serializing_if = "Option::is_none", with = "crate::unset")]
    pub time_default: Option<Option<TimeLimit>>,
    pub nodes_min: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", with = "crate::unset")]
    pub nodes_max: Option<Option<u32>>,
    #[serde(skip_serializing_if = "Option::is_none", with = "crate::unset")]
    pub cpus_per_node_max: Option<Option<u32>>,
    pub priority_tier: Option<u16>,
    pub priority_job_factor: Option<u16>,
    pub over_subscribe: Option<OverSubscribe>,
    #[serde(skip_serializing_if = "Option::is_none", with = "crate::unset")]
    pub memory_default: Option<Option<MemoryDefault>>,
    #[serde(skip_serializing_if = "Option::is_none", with = "crate::unset")]
    pub memory_max: Option<Option<MemoryDefault>>,
    pub job_defaults: Option<JobDefaults>,
    pub least_loaded: Option<bool>,
    pub exclusive_user: Option<bool>,
    pub preempt_mode: Option<PreemptMode>,
    pub grace_time: Option<Span>,
    pub reservation_required: Option<bool>,
    pub over_time_limit: Option<Span>,
    pub billing: Option<BillingWeights>,
    pub hidden: Option<bool>,
    pub root_only: Option<bool>,
    pub groups_allowed: Option<Vec<Name>>,
    pub accounts_allowed: Option<Vec<Name>>,
    pub accounts_denied: Option<Vec<Name>>,
    pub qos_allowed: Option<Vec<Name>>,
    pub qos_denied: Option<Vec<Name>>,
    #[serde(skip_serializing_if = "Option::is_none", with = "crate::unset")]
    pub qos: Option<Option<Name>>,
}
