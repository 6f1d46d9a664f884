//! How much of a job fits on one node.

use muster_model::resources::GresScope;

use crate::ask::{Ask, LayoutRule, MemoryNeed, Spread};
use crate::fleet::Fleet;

/// What a node offers to a job.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Offer<'a> {
    pub(crate) node: u32,
    pub(crate) cpus: u32,
    pub(crate) memory: u64,
    /// Units by column.
    pub(crate) columns: &'a [u32],
}

impl Offer<'_> {
    /// GPUs for which there is memory, where memory is asked for by GPU.
    #[inline]
    pub(crate) fn gpus_by_memory(&self, ask: &Ask) -> u32 {
        match ask.memory {
            MemoryNeed::PerGpu(memory) if memory > 0 => u32::try_from(self.memory / memory).unwrap_or(u32::MAX),
            _ => u32::MAX,
        }
    }
}

/// Tasks of `ask` that fit into `offer`; 0 when the node cannot be part of the job.
///
/// For a job whose tasks are not limited by CPUs (`--overcommit`) the number only compares nodes.
#[inline]
pub(crate) fn tasks(ask: &Ask, fleet: &Fleet, offer: Offer<'_>) -> u32 {
    let node = offer.node as usize;
    if offer.cpus < ask.cpus_per_node_min {
        return 0;
    }
    if ask.whole_node && offer.cpus != fleet.cpus[node] {
        return 0;
    }
    let per_core = fleet.cpus_per_core[node];
    let mut cpus = offer.cpus;
    if let Some(quota) = ask.quota {
        cpus = cpus.min(offer.columns[quota]);
        if ask.whole_node && cpus != offer.cpus {
            return 0;
        }
    }
    match ask.memory {
        MemoryNeed::NotCounted | MemoryNeed::PerGpu(_) => {}
        MemoryNeed::PerNode(memory) if offer.memory < memory => return 0,
        MemoryNeed::PerNode(_) => {}
        MemoryNeed::All if offer.memory != fleet.memory[node] => return 0,
        MemoryNeed::All => {}
        MemoryNeed::PerCpu(0) => {}
        MemoryNeed::PerCpu(memory) => {
            cpus = cpus.min(u32::try_from(offer.memory / memory).unwrap_or(u32::MAX));
            if ask.whole_node && cpus != offer.cpus {
                return 0;
            }
        }
    }
    cpus -= cpus % per_core;
    if cpus < ask.cpus_per_node_min {
        return 0;
    }
    let mut tasks = match &ask.layout {
        None => cpus / ask.cpus_per_task,
        Some(rule) => tasks_by_layout(ask, rule, cpus, fleet.threads[node]),
    };
    tasks = tasks.min(ask.tasks_per_node_max);
    if !ask.gres.is_empty() {
        tasks = tasks.min(tasks_by_gres(ask, fleet, offer));
    }
    match ask.spread {
        Spread::PerNode(wanted) if tasks < wanted => 0,
        _ => tasks,
    }
}

/// Tasks that `cpus` have room for where cores or threads are counted.
fn tasks_by_layout(ask: &Ask, rule: &LayoutRule, cpus: u32, threads: u32) -> u32 {
    let by_cpus = rule.usable(cpus, threads) / ask.cpus_per_task;
    if rule.tasks_per_core == 0 { by_cpus } else { by_cpus.min((cpus / threads).saturating_mul(rule.tasks_per_core)) }
}

/// Tasks that the generic resources of a node have room for.
fn tasks_by_gres(ask: &Ask, fleet: &Fleet, offer: Offer<'_>) -> u32 {
    let mut tasks = u32::MAX;
    for need in &ask.gres {
        let free = need.free(offer.columns).min(offer.gpus_by_memory(ask));
        let is_enough = match need.scope {
            GresScope::Node => free >= need.amount_with_specific,
            GresScope::Socket => {
                let sockets = ask.gres_sockets.unwrap_or(fleet.sockets[offer.node as usize]);
                free >= need.amount_with_specific.saturating_mul(sockets)
            }
            GresScope::Job => free >= 1,
            GresScope::Task => {
                tasks = tasks.min(free / need.amount_with_specific);
                tasks >= 1
            }
        };
        if !is_enough {
            return 0;
        }
    }
    tasks
}
