//! What a job asks for or holds, counted by resource, and what it is billed for.

use std::collections::BTreeMap;

use super::{PriorityConfig, PriorityFlag, Weight};
use crate::accounting::{NodeAmounts, TresAmounts, in_all};
use crate::ids::Name;
use crate::job::Job;
use crate::partition::MemoryDefault;
use crate::resources::{Allocation, GresScope, Megabytes, MemoryRequest, NodeShare};

/// What is counted besides amounts in a job's own rows: what its partition has and gives.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TresCounts {
    /// All nodes of the partition together.
    pub total: TresAmounts,
    /// Memory of its first node: what a job gets on each node that asks for none, where no default is set.
    pub node_memory: Megabytes,
    /// What it gives to jobs that ask for no memory.
    pub memory_default: Option<MemoryDefault>,
}

/// Least CPUs that a job asks for.
pub fn cpus_requested(job: &Job) -> u32 {
    let request = &job.spec.request;
    let tasks = if request.overcommit { request.nodes_min } else { request.tasks.max(request.nodes_min) };
    let whole_nodes = request.nodes_min.saturating_mul(request.cpus_per_node_min.unwrap_or(0));
    tasks.saturating_mul(request.cpus_per_task).max(whole_nodes)
}

/// What a started job holds or held. Memory of zero is left out.
pub fn allocated(allocation: &Allocation) -> TresAmounts {
    let mut amounts = TresAmounts::default();
    amounts.add(&"cpu".into(), u64::from(allocation.cpus()));
    amounts.add(&"node".into(), allocation.shares.len() as u64);
    if allocation.memory().0 > 0 {
        amounts.add(&"mem".into(), allocation.memory().0);
    }
    for gres in allocation.shares.iter().flat_map(|share| &share.gres) {
        add_gres(&mut amounts, &gres.name, gres.kind.as_ref(), u64::from(gres.units.len()));
    }
    amounts
}

/// What a pending job asks for, as far as can be told before it starts.
pub fn requested(job: &Job, counts: &TresCounts) -> TresAmounts {
    let request = &job.spec.request;
    let (nodes, cpus) = (u64::from(request.nodes_min), u64::from(cpus_requested(job)));
    let times = |scope: GresScope| match scope {
        GresScope::Node | GresScope::Socket => nodes,
        GresScope::Job => 1,
        GresScope::Task => u64::from(request.tasks),
    };
    let gpus = || {
        let all = request.gres.iter().filter(|wanted| *wanted.gres.name == *"gpu");
        all.fold(0_u64, |sum, wanted| sum.saturating_add(wanted.gres.count.saturating_mul(times(wanted.scope))))
    };
    let default = counts.memory_default.map(|default| match default {
        MemoryDefault::PerNode(memory) => MemoryRequest::PerNode(memory),
        MemoryDefault::PerCpu(memory) => MemoryRequest::PerCpu(memory),
    });
    let memory = match request.memory.or(default) {
        Some(MemoryRequest::PerNode(Megabytes(0))) | None => counts.node_memory.0.saturating_mul(nodes),
        Some(MemoryRequest::PerNode(memory)) => memory.0.saturating_mul(nodes),
        Some(MemoryRequest::PerCpu(memory)) => memory.0.saturating_mul(cpus),
        Some(MemoryRequest::PerGpu(memory)) => memory.0.saturating_mul(gpus()),
    };
    let mut amounts = TresAmounts::default();
    amounts.add(&"cpu".into(), cpus);
    amounts.add(&"node".into(), nodes);
    if memory > 0 {
        amounts.add(&"mem".into(), memory);
    }
    // Several counts of one resource are about the same units.
    let mut counted: BTreeMap<(&Name, Option<&Name>), u64> = BTreeMap::new();
    for wanted in &request.gres {
        let count = wanted.gres.count.saturating_mul(times(wanted.scope));
        let known = counted.entry((&wanted.gres.name, wanted.gres.kind.as_ref())).or_default();
        *known = (*known).max(count);
    }
    for ((name, kind), count) in counted {
        add_gres(&mut amounts, name, kind, count);
    }
    amounts
}

fn add_gres(amounts: &mut TresAmounts, name: &Name, kind: Option<&Name>, count: u64) {
    amounts.add(&format!("gres/{name}").as_str().into(), count);
    if let Some(kind) = kind {
        amounts.add(&format!("gres/{name}:{kind}").as_str().into(), count);
    }
}

/// What `amounts` in `partition` are billed for each second. Without weights a job is billed for its CPUs. The fraction counts for
/// fair shares only; it is neither shown nor limited (observed with 22.05).
///
/// With `MAX_TRES` the greatest of what counts by node, and all that counts by cluster (licences); the same with
/// `MAX_TRES_GRES`, where generic resources are added (slurm.conf(5)).
pub fn billed(amounts: &TresAmounts, partition: &str, config: &PriorityConfig) -> f64 {
    let Some(weights) = config.billing.get(partition).filter(|weights| !weights.is_empty()) else {
        return amounts.get("cpu").unwrap_or(0) as f64;
    };
    let (max, max_gres) = (config.has(PriorityFlag::MaxTres), config.has(PriorityFlag::MaxTresGres));
    let (mut greatest, mut sum) = (0.0_f64, 0.0_f64);
    for (name, weight) in weights {
        let value = weight.0 * amounts.get(name).unwrap_or(0) as f64;
        let by_node = !name.starts_with("license/");
        if by_node && (max || max_gres && !name.starts_with("gres/")) {
            greatest = greatest.max(value);
        } else {
            sum += value;
        }
    }
    greatest + sum
}

/// `amounts` with what they are billed for in `partition`; nothing is named that costs nothing.
pub fn with_billing(mut amounts: TresAmounts, partition: &str, config: &PriorityConfig) -> TresAmounts {
    amounts.set_billing(billed(&amounts, partition, config) as u64);
    amounts
}

/// What shares of nodes and licences, as a list is written, are billed for each second in `partition`.
pub fn billing_of(shares: &[NodeShare], licenses: Option<&str>, partition: &str, config: &PriorityConfig) -> Weight {
    Weight(billed(&in_all(shares.iter().map(NodeAmounts::from), licenses), partition, config))
}
