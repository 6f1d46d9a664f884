//! Who sets a limit of a job: the order in which QOS and associations are asked.
//!
//! The QOS of the partition comes first, then that of the job (`OverPartQOS` of the latter swaps the two), then the
//! association and those above it. The first that sets a limit decides about it. Only `Grp…` limits hold at every
//! association of the line, unless a QOS sets that very one. (Slurm, acct_policy.)

use std::sync::Arc;

use super::{
    AccountingPolicy, Association, AssociationId, CountLimit, Qos, QosFlag, TresAmounts, TresLimit, Whole, relative,
};

/// The QOS and associations of one job, in the order in which they are asked.
#[derive(Debug, Clone)]
pub struct Layers {
    /// QOS, the first asked first.
    pub qos: Vec<Arc<Qos>>,
    /// Which of them is that of the job.
    own: Option<usize>,
    /// Its association and those above it.
    pub lineage: Vec<Arc<Association>>,
    /// By what amounts of associations are multiplied.
    pub limit_factor: f64,
}

impl Layers {
    /// Those of a job of `association` under `qos` in a partition with `partition_qos`. Of what percentages are parts (flag
    /// `Relative`), `whole` tells.
    pub fn of(
        policy: &AccountingPolicy,
        association: Option<AssociationId>,
        qos: Option<&str>,
        partition_qos: Option<&str>,
        whole: impl Fn(Whole) -> TresAmounts,
    ) -> Layers {
        let own = qos.and_then(|name| policy.qos.get(name));
        let of_partition = partition_qos.filter(|name| Some(*name) != qos).and_then(|name| policy.qos.get(name));
        // The QOS of a partition is that of the partition even where a job uses it as its own.
        let of_own = if own.is_some() && partition_qos == qos { Whole::Partition } else { Whole::Cluster };
        let of_partition = of_partition.map(|row| relative::resolved(row, || whole(Whole::Partition)));
        let resolved = own.map(|row| relative::resolved(row, || whole(of_own)));
        let mut order: Vec<Arc<Qos>> = of_partition.into_iter().chain(resolved).collect();
        let is_over = own.is_some_and(|own| own.has(QosFlag::OverPartQOS));
        if is_over {
            order.reverse();
        }
        let at = own.map(|_| if is_over { 0 } else { order.len() - 1 });
        let lineage = association.into_iter().flat_map(|id| policy.lineage(id)).cloned().collect();
        let limit_factor = own.and_then(|own| own.limit_factor).filter(|factor| *factor > 0.0).unwrap_or(1.0);
        Layers { qos: order, own: at, lineage, limit_factor }
    }

    /// The QOS of the job itself.
    pub fn own_qos(&self) -> Option<&Qos> {
        self.own.and_then(|at| self.qos.get(at)).map(|qos| &**qos)
    }

    /// Whether nobody limits anything.
    pub fn are_empty(&self) -> bool {
        self.qos.iter().all(|qos| qos.limits.is_empty() && qos.usage_threshold.is_none())
            && self.lineage.iter().all(|association| association.limits.is_empty())
    }

    /// The QOS that decides about a number.
    pub fn qos_count(&self, limit: CountLimit) -> Option<(&Qos, u64)> {
        self.qos.iter().find_map(|qos| Some((&**qos, qos.limits.count(limit)?)))
    }

    /// The QOS that decides about an amount.
    pub fn qos_tres(&self, limit: TresLimit, name: &str) -> Option<(&Qos, u64)> {
        self.qos.iter().find_map(|qos| Some((&**qos, qos.limits.tres(limit, name)?)))
    }

    /// The number that holds for jobs of the association itself: its own, or that of the nearest above it.
    pub fn association_count(&self, limit: CountLimit) -> Option<(&Association, u64)> {
        self.lineage.iter().find_map(|association| Some((&**association, association.limits.count(limit)?)))
    }

    /// As [`Layers::association_count`], for amounts.
    pub fn association_tres(&self, limit: TresLimit, name: &str) -> Option<(&Association, u64)> {
        let found = |association: &Arc<Association>| association.limits.tres(limit, name);
        self.lineage.iter().find_map(|association| Some((&**association, self.scaled(found(association)?))))
    }

    /// An amount of an association as the QOS scales it (`LimitFactor`).
    pub fn scaled(&self, amount: u64) -> u64 {
        #[expect(clippy::float_cmp, reason = "exactly one means that nothing is to be scaled")]
        if self.limit_factor == 1.0 {
            return amount;
        }
        // Saturates at the ends of the range.
        (amount as f64 * self.limit_factor) as u64
    }
}
