//! What exactly each chosen node gives: CPUs, memory, and which units of generic resources.

use std::collections::BTreeMap;

use muster_model::ids::NodeIndex;
use muster_model::node::Node;
use muster_model::planning::PlannedShare;
use muster_model::resources::{GresScope, GresShare, IndexSet, Megabytes};

use crate::ask::{Ask, MemoryNeed, TaskCount};
use crate::choose::Choice;
use crate::fleet::Fleet;
use crate::free::Amounts;

/// What `ask` takes of the node of `choice`, of which `available` is free; `None` when that is too little.
pub(crate) fn amounts(ask: &Ask, fleet: &Fleet, choice: &Choice, available: &Amounts) -> Option<Amounts> {
    let node = choice.node as usize;
    let cpus = if ask.whole_node { fleet.cpus[node] } else { cpus(ask, fleet, choice)? };
    let mut left = available.columns.clone();
    let mut columns = vec![0; left.len()];
    for need in &ask.gres {
        let mut wanted = match need.scope {
            GresScope::Node => need.amount,
            GresScope::Socket => need.amount.checked_mul(fleet.sockets[node])?,
            GresScope::Task => need.amount.checked_mul(choice.tasks)?,
            GresScope::Job => choice.job_units,
        };
        for slot in &need.slots {
            let here = wanted.min(left[*slot]);
            left[*slot] -= here;
            columns[*slot] += here;
            wanted -= here;
        }
        if wanted > 0 {
            return None;
        }
    }
    let memory = match ask.memory {
        MemoryNeed::NotCounted => 0,
        MemoryNeed::PerNode(memory) => memory,
        MemoryNeed::PerCpu(memory) => memory.checked_mul(u64::from(cpus))?,
        MemoryNeed::PerGpu(memory) => memory.checked_mul(gpus(fleet, &columns))?,
        MemoryNeed::All => fleet.memory[node],
    };
    if ask.whole_node {
        let slots = fleet.gres_slots.len();
        columns[..slots].copy_from_slice(&available.columns[..slots]);
    }
    if let Some(quota) = ask.quota {
        columns[quota] = cpus;
    }
    let amounts = Amounts { cpus, memory, columns };
    available.covers(&amounts).then_some(amounts)
}

/// Whole cores for the tasks on a node.
fn cpus(ask: &Ask, fleet: &Fleet, choice: &Choice) -> Option<u32> {
    let of_tasks = if ask.overcommit { 0 } else { choice.tasks.checked_mul(ask.cpus_per_task)? };
    of_tasks.max(ask.cpus_per_node_min).checked_next_multiple_of(fleet.cpus_per_core[choice.node as usize])
}

fn gpus(fleet: &Fleet, columns: &[u32]) -> u64 {
    let gpu_columns = fleet.gres_slots.iter().zip(columns).filter(|(slot, _)| &*slot.name == "gpu");
    gpu_columns.map(|(_, units)| u64::from(*units)).sum()
}

/// How many tasks are told for each of `choices` (ascending by node), given the CPUs of each.
pub(crate) fn task_counts(ask: &Ask, choices: &[Choice], cpus: &[u32]) -> Vec<u32> {
    let nodes = choices.len().max(1) as u32;
    let mut left = match ask.spread {
        crate::ask::Spread::Total(tasks) => tasks,
        crate::ask::Spread::PerNode(_) => u32::MAX,
    };
    (0..)
        .zip(choices.iter().zip(cpus))
        .map(|(position, (choice, cpus))| match ask.task_count {
            TaskCount::Placed => {
                let here = choice.tasks.min(left);
                left -= here;
                here
            }
            TaskCount::Fixed(tasks) => tasks,
            TaskCount::ByCpus => (cpus / ask.cpus_per_task).max(1),
            TaskCount::Even(0) => 1,
            TaskCount::Even(total) => total / nodes + u32::from(position < total % nodes),
        })
        .collect()
}

/// Units given away during this pass, on top of what the view says.
#[derive(Debug, Clone, Default)]
pub(crate) struct UnitsTaken {
    by_node: BTreeMap<u32, Vec<GresShare>>,
}

impl UnitsTaken {
    /// The lowest free units of `node` in these amounts, and marks them; `None` when there are too few.
    pub(crate) fn choose(&mut self, fleet: &Fleet, index: u32, node: &Node, columns: &[u32]) -> Option<Vec<GresShare>> {
        let mut shares = Vec::new();
        for (at, (slot, count)) in fleet.gres_slots.iter().zip(columns).enumerate() {
            if *count == 0 {
                continue;
            }
            let taken = self.by_node.get(&index).map_or(&[][..], Vec::as_slice);
            let held = |unit: u32| {
                node.used.gres.iter().chain(taken).any(|share| share.name == slot.name && share.units.contains(unit))
            };
            let mut units = IndexSet::default();
            let free = fleet.gres_units(index, at).filter(|unit| !held(*unit));
            free.take(*count as usize).for_each(|unit| units.insert(unit));
            if units.len() < *count {
                return None;
            }
            shares.push(GresShare { name: slot.name.clone(), kind: slot.kind.clone(), units });
        }
        if !shares.is_empty() {
            self.by_node.entry(index).or_default().extend(shares.iter().cloned());
        }
        Some(shares)
    }
}

/// The share of a plan.
pub(crate) fn planned(node: u32, amounts: &Amounts, gres: Vec<GresShare>, tasks: u32) -> PlannedShare {
    PlannedShare { node: NodeIndex(node), cpus: amounts.cpus, memory: Megabytes(amounts.memory), gres, tasks }
}
