//! How a job makes room for a more important one.

use serde::{Deserialize, Serialize};

use crate::ids::JobId;
use crate::time::{Span, Timestamp};

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

/// What the configuration says about preemption.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PreemptionConfig {
    /// `PreemptType`.
    pub kind: PreemptType,
    /// `PreemptMode` without its flags.
    pub mode: PreemptMode,
    /// `PreemptMode=…,GANG`: of jobs that share cores only one runs at a time, in turns.
    pub gang: bool,
    /// `PreemptMode=…,WITHIN`: jobs may preempt those of their own QOS with lower priority.
    pub within: bool,
    /// `PreemptMode=…,PRIORITY`: the preemptor must also have the higher priority.
    pub by_priority: bool,
    /// `PreemptExemptTime`: jobs that have run for less are left alone.
    pub exempt_time: Span,
    /// `youngest_first` of `PreemptParameters`: the job that started last goes first.
    pub youngest_first: bool,
    /// `strict_order` of `PreemptParameters`: the order of victims is kept, even where others would do with less.
    pub strict_order: bool,
    /// `send_user_signal` of `PreemptParameters`: a victim with `--signal` gets that instead of TERM when it is told to go.
    pub send_user_signal: bool,
    /// `min_exempt_priority` of `PreemptParameters`: jobs with a higher priority are left alone.
    pub exempt_priority_min: Option<u32>,
}

/// What a job that holds resources is to the CPUs of its allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CpuHold {
    /// It runs on them.
    #[default]
    Used,
    /// The scheduler has it suspended in favour of a job that runs there. It goes on by itself, so nobody gets them but those
    /// for whom it was, or could be, suspended.
    Claimed,
    /// An operator has it suspended: they are free for others, until he resumes it.
    Given,
}

impl CpuHold {
    /// Whether it runs on them.
    pub fn is_used(&self) -> bool {
        *self == CpuHold::Used
    }
}

/// A running job that has been told to make room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Eviction {
    /// When it was told.
    pub since: Timestamp,
    /// What becomes of it.
    pub mode: PreemptMode,
    /// For whom.
    pub by: JobId,
}
