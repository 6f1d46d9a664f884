//! QOS whose limits are percentages (`Relative`).
//!
//! Amounts that jobs hold (`GrpTRES`, `MaxTRES…`, `MinTRES`) are then parts of what the cluster has or, for the QOS of a
//! partition, of what that partition has; above 100 is all of it, and fractions are left out. (Slurm since 23.11; its page
//! about QOS.) Limits on minutes and on numbers of jobs stay as they are: there is no whole that they could be a part of.

use std::sync::Arc;

use super::{Qos, QosFlag, TresAmounts, TresLimit};
use crate::licenses::Licenses;
use crate::node::Node;

/// Limits that become percentages.
const LIMITS: &[TresLimit] = &[
    TresLimit::GrpTres,
    TresLimit::MaxTresPerJob,
    TresLimit::MaxTresPerNode,
    TresLimit::MaxTresPerUser,
    TresLimit::MaxTresPerAccount,
    TresLimit::MinTresPerJob,
];

/// What a QOS is measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whole {
    /// All nodes, and all licences.
    Cluster,
    /// Those of the partition whose QOS it is, and all licences.
    Partition,
}

/// What `nodes` have together, and the licences.
pub fn amounts_of<'a>(nodes: impl Iterator<Item = &'a Node>, licenses: &Licenses) -> TresAmounts {
    let mut total = TresAmounts::default();
    for node in nodes {
        let hardware = &node.config.hardware;
        total.add(&"node".into(), 1);
        total.add(&"cpu".into(), u64::from(hardware.cpus));
        total.add(&"billing".into(), u64::from(hardware.cpus));
        total.add(&"mem".into(), hardware.memory.0);
        for gres in &hardware.gres {
            total.add(&format!("gres/{}", gres.name).as_str().into(), gres.count);
            if let Some(kind) = &gres.kind {
                total.add(&format!("gres/{}:{kind}", gres.name).as_str().into(), gres.count);
            }
        }
    }
    for (name, count) in licenses {
        total.add(&format!("license/{name}").as_str().into(), *count);
    }
    total
}

/// `qos` with amounts in place of percentages, if that is what it has.
pub(super) fn resolved(qos: &Arc<Qos>, whole: impl FnOnce() -> TresAmounts) -> Arc<Qos> {
    if !qos.has(QosFlag::Relative) {
        return qos.clone();
    }
    let total = whole();
    let mut absolute = (**qos).clone();
    for (_, amounts) in absolute.limits.tres.iter_mut().filter(|(limit, _)| LIMITS.contains(limit)) {
        for (name, amount) in &mut amounts.0 {
            let part = u128::from(total.get(name).unwrap_or(0)) * u128::from((*amount).min(100)) / 100;
            *amount = u64::try_from(part).unwrap_or(u64::MAX);
        }
    }
    Arc::new(absolute)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounting::{AccountingPolicy, Layers};
    use crate::document::Document;

    #[test]
    fn percentages_are_parts_of_the_cluster_or_of_the_partition() {
        let mut policy = AccountingPolicy::default();
        let percent =
            |list: &[(&str, u64)]| TresAmounts(list.iter().map(|(name, amount)| ((*name).into(), *amount)).collect());
        for name in ["job", "part"] {
            let mut qos = Qos { name: name.into(), flags: vec![QosFlag::Relative], ..Qos::default() };
            qos.limits.tres.insert(TresLimit::GrpTres, percent(&[("cpu", 30), ("gres/gpu", 50), ("mem", 200)]));
            qos.limits.tres.insert(TresLimit::GrpTresMins, percent(&[("cpu", 30)]));
            policy.put(&Document::Qos(Arc::new(qos)));
        }
        let whole = |whole| match whole {
            Whole::Cluster => percent(&[("cpu", 101), ("gres/gpu", 9), ("mem", 1000)]),
            Whole::Partition => percent(&[("cpu", 10), ("gres/gpu", 1)]),
        };
        let layers = Layers::of(&policy, None, Some("job"), Some("part"), whole);
        let shown: Vec<String> =
            layers.qos.iter().map(|qos| qos.limits.tres[&TresLimit::GrpTres].to_string()).collect();
        assert_eq!(shown, ["cpu=3,gres/gpu=0,mem=0", "cpu=30,gres/gpu=4,mem=1000"]);
        assert!(layers.qos.iter().all(|qos| qos.limits.tres(TresLimit::GrpTresMins, "cpu") == Some(30)));
    }
}
