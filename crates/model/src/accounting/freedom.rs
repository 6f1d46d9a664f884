//! Limits of partitions that a QOS lets its jobs pass (`PartitionMaxNodes` and its kin).

use super::{AccountingPolicy, Qos, QosFlag};
use crate::ids::Name;
use crate::partition::Partition;
use crate::time::TimeLimit;

/// Which limits of a partition do not hold for a job. A QOS that passes one puts none in its place: a limit that the QOS or
/// the association sets holds as ever (as observed with Slurm 22.05).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Freedom {
    /// `MaxNodes` (`PartitionMaxNodes`).
    pub nodes_max: bool,
    /// `MinNodes` (`PartitionMinNodes`).
    pub nodes_min: bool,
    /// `MaxTime` (`PartitionTimeLimit`).
    pub time_max: bool,
}

impl Freedom {
    /// Ways in which the limits on nodes may hold or not: those on time say nothing about nodes.
    pub const NODE_KINDS: usize = 4;

    /// What `qos` lets its jobs pass.
    pub fn of(qos: &Qos) -> Freedom {
        Freedom {
            nodes_max: qos.has(QosFlag::PartitionMaxNodes),
            nodes_min: qos.has(QosFlag::PartitionMinNodes),
            time_max: qos.has(QosFlag::PartitionTimeLimit),
        }
    }

    /// Which of the [`Freedom::NODE_KINDS`] it is.
    pub fn node_kind(self) -> usize {
        usize::from(self.nodes_max) + 2 * usize::from(self.nodes_min)
    }

    /// Fewest nodes of a job in `partition`.
    pub fn least_nodes(self, partition: &Partition) -> u32 {
        if self.nodes_min { 0 } else { partition.nodes_min }
    }

    /// Most nodes of a job in `partition`.
    pub fn most_nodes(self, partition: &Partition) -> Option<u32> {
        partition.nodes_max.filter(|_| !self.nodes_max)
    }

    /// Longest time limit of a job in `partition`.
    pub fn longest(self, partition: &Partition) -> TimeLimit {
        if self.time_max { TimeLimit::Unlimited } else { partition.time_max }
    }
}

impl AccountingPolicy {
    /// What each QOS that lets its jobs pass any limit of partitions lets them pass.
    pub fn freedoms(&self) -> Vec<(Name, Freedom)> {
        let all = self.qos.values().map(|qos| (qos.name.clone(), Freedom::of(qos)));
        all.filter(|(_, freedom)| *freedom != Freedom::default()).collect()
    }
}
