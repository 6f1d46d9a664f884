//! What exactly each chosen node gives: CPUs, memory, and which units of generic resources.

use muster_model::ids::NodeIndex;
use muster_model::planning::PlannedShare;
use muster_model::resources::{GresScope, IndexSet, Megabytes};
use smallvec::smallvec;

use crate::ask::{Ask, MemoryNeed, TaskCount};
use crate::choose::Choice;
use crate::cores;
use crate::exact::Pieces;
use crate::fleet::Fleet;
use crate::free::{Amounts, Columns};

/// What `ask` takes of the node of `choice`, of which `available` is free; `None` when that is too little.
pub(crate) fn amounts(ask: &Ask, fleet: &Fleet, choice: &Choice, available: &Amounts) -> Option<Amounts> {
    let node = choice.node as usize;
    let piece = fleet.cpus_per_core[node];
    let cpus = if ask.whole_node { whole_node(ask, fleet, choice.node) } else { cpus(ask, fleet, choice)? };
    let mut left = available.columns.clone();
    let mut columns: Columns = smallvec![0; left.len()];
    for need in &ask.gres {
        let mut wanted = match need.scope {
            GresScope::Node => need.amount,
            GresScope::Socket => need.amount.checked_mul(ask.gres_sockets.unwrap_or(fleet.sockets[node]))?,
            GresScope::Task => need.amount.checked_mul(choice.tasks)?,
            GresScope::Job => choice.job_units.get(need.job_line.unwrap_or(0).into()),
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
    let cpus = cpus.max(ask.cpus_per_gpu.checked_mul(choice.job_units.total())?.checked_next_multiple_of(piece)?);
    let memory = match ask.memory {
        MemoryNeed::NotCounted => 0,
        MemoryNeed::PerNode(memory) => memory,
        MemoryNeed::PerCpu(memory) => {
            // Threads that no task can use take no memory.
            let used = ask.layout.map_or(cpus, |rule| rule.usable(cpus, fleet.threads[node]));
            memory.checked_mul(u64::from(used))?
        }
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
    take_parts_along(fleet, choice.node, &mut columns, available);
    // A core that is shared with others, or that the system gives up, is not taken from what is free.
    let is_beyond = ask.rows > 1 || ask.layout.is_some_and(|rule| rule.cores_reserved.is_some());
    let cpus = if is_beyond { cpus.min(available.cpus) } else { cpus };
    let amounts = Amounts { cpus, memory, columns };
    available.covers(&amounts).then_some(amounts)
}

/// All CPUs of a node, without those that the job leaves to the system.
pub(crate) fn whole_node(ask: &Ask, fleet: &Fleet, node: u32) -> u32 {
    match ask.layout.and_then(|rule| rule.cores_reserved) {
        None => fleet.cpus[node as usize],
        Some(cores) => {
            let hardware = &fleet.node(node).hardware;
            let left = cores::left_to_system(hardware, cores).len();
            hardware.cpus.saturating_sub(left.saturating_mul(fleet.threads[node as usize]))
        }
    }
}

/// A GPU that is given whole takes its parts with it, and one of which a part is given cannot be given whole. How many
/// GPUs a number of parts spoils depends on where they are; here it is the least that it can be.
fn take_parts_along(fleet: &Fleet, node: u32, columns: &mut [u32], available: &Amounts) {
    let Some(parts) = fleet.gpu_parts.get(&node) else {
        return;
    };
    let gpu_slots = || (0..fleet.gres_slots.len()).filter(|slot| fleet.is_gpu(*slot));
    let whole: u32 = gpu_slots().map(|slot| columns[slot]).sum();
    for part in parts {
        let free = available.columns[part.slot];
        if whole > 0 {
            columns[part.slot] = part.per_gpu.saturating_mul(whole).min(free);
        } else if columns[part.slot] > 0 {
            let untouched = free.saturating_sub(columns[part.slot]) / part.per_gpu;
            let mut spoilt = gpu_slots().map(|slot| available.columns[slot]).sum::<u32>().saturating_sub(untouched);
            for slot in gpu_slots() {
                let here = spoilt.min(available.columns[slot]);
                columns[slot] = here;
                spoilt -= here;
            }
        }
    }
}

/// Whole cores for the tasks on a node.
pub(crate) fn cpus(ask: &Ask, fleet: &Fleet, choice: &Choice) -> Option<u32> {
    let of_tasks = match &ask.layout {
        _ if ask.overcommit => 0,
        None => choice.tasks.checked_mul(ask.cpus_per_task)?,
        Some(rule) => rule.cpus(choice.tasks, ask.cpus_per_task, fleet.threads[choice.node as usize])?,
    };
    of_tasks.max(ask.cpus_per_node_min).checked_next_multiple_of(fleet.cpus_per_core[choice.node as usize])
}

fn gpus(fleet: &Fleet, columns: &[u32]) -> u64 {
    let gpu_columns = fleet.gres_slots.iter().zip(columns).filter(|(slot, _)| &*slot.name == "gpu");
    gpu_columns.map(|(_, units)| u64::from(*units)).sum()
}

/// How many tasks are told for each of `choices` (ascending by node), given the CPUs of each.
pub(crate) fn task_counts(ask: &Ask, fleet: &Fleet, choices: &[Choice], cpus: &[u32]) -> Vec<u32> {
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
            TaskCount::ByCpus => by_cpus(ask, fleet, choice.node, *cpus),
            TaskCount::Even(0) => 1,
            TaskCount::Even(total) => total / nodes + u32::from(position < total % nodes),
        })
        .collect()
}

/// As many tasks as `cpus` of a node have room for.
fn by_cpus(ask: &Ask, fleet: &Fleet, node: u32, cpus: u32) -> u32 {
    let threads = fleet.threads[node as usize];
    let usable = ask.layout.map_or(cpus, |rule| rule.usable(cpus, threads));
    (usable / ask.cpus_per_task).max(1)
}

/// The share of a plan.
pub(crate) fn planned(node: u32, amounts: &Amounts, pieces: Pieces, tasks: u32) -> PlannedShare {
    PlannedShare {
        node: NodeIndex(node),
        cpus: pieces.cpus.as_ref().map_or(amounts.cpus, IndexSet::len),
        cpu_set: pieces.cpus,
        memory: Megabytes(amounts.memory),
        gres: pieces.gres,
        tasks,
    }
}
