//! What amounts are billed for, as far as a client can tell: the weights of partitions are shown with them, and so are the flags
//! that say how to put them together.
//!
//! What a started job is billed for stands in its row. Here it is worked out for those that wait, and for what nodes and
//! partitions have.

use muster_model::accounting::TresAmounts;
use muster_model::partition::Partition;
use muster_model::priority::{PriorityConfig, PriorityFlag, billed};

use super::context::Cluster;
use super::tres::Amounts;
use crate::conf::priority::{BILLING_KEY, weights_of};

/// What `amounts` are billed for in the partition called `name`.
pub(super) fn in_partition(amounts: &Amounts, name: &str, cluster: &Cluster) -> u64 {
    cluster.partition(name).map_or(amounts.cpus, |partition| bill(amounts, partition, cluster))
}

/// The most that a node with `amounts` is billed for in any of `partitions` (as Slurm 22.05 shows it).
pub(super) fn of_node<'a>(amounts: &Amounts, partitions: impl Iterator<Item = &'a str>, cluster: &Cluster) -> u64 {
    let one = Amounts { nodes: 1, ..amounts.clone() };
    let found = partitions.filter_map(|name| cluster.partition(name));
    found.map(|partition| bill(&one, partition, cluster)).max().unwrap_or(amounts.cpus)
}

fn bill(amounts: &Amounts, partition: &Partition, cluster: &Cluster) -> u64 {
    let Some((_, text)) = partition.others.iter().find(|(key, _)| &**key == BILLING_KEY) else {
        return amounts.cpus;
    };
    let mut config = PriorityConfig { flags: flags(cluster), ..PriorityConfig::default() };
    config.billing.insert(partition.name.clone(), weights_of(text, true).unwrap_or_default());
    billed(&counted(amounts), &partition.name, &config) as u64
}

/// The flags that matter for bills.
fn flags(cluster: &Cluster) -> Vec<PriorityFlag> {
    let list = cluster.parameter("PriorityFlags").unwrap_or_default();
    let has = |name: &str| list.split(',').any(|word| word.trim().eq_ignore_ascii_case(name));
    let flags = [("MAX_TRES", PriorityFlag::MaxTres), ("MAX_TRES_GRES", PriorityFlag::MaxTresGres)];
    flags.into_iter().filter(|(name, _)| has(name)).map(|(_, flag)| flag).collect()
}

fn counted(amounts: &Amounts) -> TresAmounts {
    let mut all = TresAmounts::default();
    all.add(&"cpu".into(), amounts.cpus);
    all.add(&"mem".into(), amounts.memory.0);
    all.add(&"node".into(), amounts.nodes);
    for (name, count) in &amounts.gres {
        all.add(&name.as_str().into(), *count);
    }
    all
}
