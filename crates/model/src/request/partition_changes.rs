//! What `scontrol update PartitionName=` changes: many fields, each left alone unless it is named.

use serde::{Deserialize, Serialize};

use crate::ids::Name;
use crate::partition::PartitionState;
use crate::time::TimeLimit;

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
    pub over_subscribe: Option<crate::partition::OverSubscribe>,
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
