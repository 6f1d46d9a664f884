//! How a job makes room for a more important one.

use serde::{Deserialize, Serialize};

/// `PreemptMode` of the cluster, a partition or a QOS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PreemptMode {
    /// Its jobs are left alone.
    #[default]
    Off,
    /// They are cancelled.
    Cancel,
    /// They go back to the queue, or are cancelled where they cannot.
    Requeue,
    /// They are stopped and go on later; they keep their memory.
    Suspend,
}

/// `PreemptType`: by what one job may preempt another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PreemptType {
    /// Nobody preempts (`preempt/none`).
    #[default]
    None,
    /// The tier of its partition (`preempt/partition_prio`).
    Partition,
    /// What its QOS names (`preempt/qos`).
    Qos,
}
