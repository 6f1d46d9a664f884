//! What is free on each node, as columns.

use muster_model::node::Node;
use muster_model::planning::PlanView;
use muster_model::resources::GresShare;

use smallvec::{SmallVec, smallvec};

use crate::fleet::Fleet;

/// Units by column. Few clusters have more kinds of things to count than have room beside it: amounts are made and
/// thrown away by the million, and must not cost an allocation each.
pub(crate) type Columns = SmallVec<[u32; 6]>;

/// Amounts on one node.
#[derive(Debug, PartialEq, Eq, Default)]
pub(crate) struct Amounts {
    pub(crate) cpus: u32,
    pub(crate) memory: u64,
    /// Units by column of the [`Fleet`]; empty stands for none at all.
    pub(crate) columns: Columns,
}

// Columns are copied as a whole: one by one they cost more than all else that is done with amounts.
impl Clone for Amounts {
    #[inline]
    fn clone(&self) -> Amounts {
        Amounts { cpus: self.cpus, memory: self.memory, columns: Columns::from_slice(&self.columns) }
    }
}

impl Amounts {
    /// Reduces each amount by that of `other`, to zero at the least.
    pub(crate) fn subtract(&mut self, other: &Amounts) {
        self.cpus = self.cpus.saturating_sub(other.cpus);
        self.memory = self.memory.saturating_sub(other.memory);
        for (ours, theirs) in self.columns.iter_mut().zip(&other.columns) {
            *ours = ours.saturating_sub(*theirs);
        }
    }

    /// Whether there is at least as much of everything as in `other`.
    pub(crate) fn covers(&self, other: &Amounts) -> bool {
        self.cpus >= other.cpus
            && self.memory >= other.memory
            && self.columns.iter().zip(&other.columns).all(|(ours, theirs)| ours >= theirs)
    }

    /// Increases each amount by that of `other`. Both have all columns, or `other` has none.
    pub(crate) fn add(&mut self, other: &Amounts) {
        self.cpus = self.cpus.saturating_add(other.cpus);
        self.memory = self.memory.saturating_add(other.memory);
        for (ours, theirs) in self.columns.iter_mut().zip(&other.columns) {
            *ours = ours.saturating_add(*theirs);
        }
    }

    /// Keeps the lesser of each amount. Both have all columns.
    pub(crate) fn lower_to(&mut self, other: &Amounts) {
        self.cpus = self.cpus.min(other.cpus);
        self.memory = self.memory.min(other.memory);
        for (ours, theirs) in self.columns.iter_mut().zip(&other.columns) {
            *ours = (*ours).min(*theirs);
        }
    }

    /// Whether there is nothing.
    pub(crate) fn is_nothing(&self) -> bool {
        self.cpus == 0 && self.memory == 0 && self.columns.iter().all(|units| *units == 0)
    }
}

/// Free amounts of all nodes.
#[derive(Debug, Clone)]
pub(crate) struct Free {
    pub(crate) cpus: Vec<u32>,
    pub(crate) memory: Vec<u64>,
    pub(crate) columns: Vec<u32>,
    width: usize,
}

impl Free {
    /// Everything is free.
    pub(crate) fn everything(fleet: &Fleet) -> Free {
        Free {
            cpus: fleet.cpus.clone(),
            memory: fleet.memory.clone(),
            columns: fleet.column_total.clone(),
            width: fleet.width,
        }
    }

    /// What `view` says is free now.
    pub(crate) fn now(fleet: &Fleet, view: &PlanView) -> Free {
        let mut free = Free::everything(fleet);
        for (index, node) in (0..).zip(&view.nodes) {
            free.take_used(fleet, index, node);
        }
        if fleet.has_quotas() {
            free.take_quotas(fleet, view);
        }
        free
    }

    fn take_used(&mut self, fleet: &Fleet, index: u32, node: &Node) {
        let used = Amounts {
            cpus: node.used.cpus.len(),
            memory: node.used.memory.0,
            columns: columns_on(fleet, index, &node.used.gres, None),
        };
        if !used.is_nothing() {
            self.take(index, &used);
            let at = index as usize;
            self.cpus[at] -= self.cpus[at] % fleet.cpus_per_core[at];
        }
    }

    /// Reads what is free of one node anew. The CPUs of partitions that limit them by node are not told apart by the node:
    /// with such partitions everything has to be read.
    pub(crate) fn read_node(&mut self, fleet: &Fleet, index: u32, node: &Node) {
        let at = index as usize;
        self.cpus[at] = fleet.cpus[at];
        self.memory[at] = fleet.memory[at];
        let columns = at * self.width..(at + 1) * self.width;
        self.columns[columns.clone()].copy_from_slice(&fleet.column_total[columns]);
        self.take_used(fleet, index, node);
    }

    fn take_quotas(&mut self, fleet: &Fleet, view: &PlanView) {
        for job in view.running.values() {
            let Some(partition) = fleet.partition_named(&job.partition) else {
                continue;
            };
            if fleet.quota_column(partition).is_none() {
                continue;
            }
            for share in job.allocation.iter().flat_map(|allocation| &allocation.shares) {
                if (share.node.0 as usize) < fleet.node_count() {
                    let columns = columns(fleet, &[], Some((partition, share.cpus.len())));
                    self.take(share.node.0, &Amounts { columns, ..Amounts::default() });
                }
            }
        }
    }

    /// Units free on `node`, by column.
    #[inline]
    pub(crate) fn columns_of(&self, node: u32) -> &[u32] {
        &self.columns[node as usize * self.width..][..self.width]
    }

    /// Whether something else is free on `node` than in `other`.
    pub(crate) fn differs(&self, other: &Free, node: u32) -> bool {
        let at = node as usize;
        self.cpus[at] != other.cpus[at]
            || self.memory[at] != other.memory[at]
            || self.columns_of(node) != other.columns_of(node)
    }

    /// Makes so much free on `node`.
    pub(crate) fn set(&mut self, node: u32, amounts: &Amounts) {
        let at = node as usize;
        self.cpus[at] = amounts.cpus;
        self.memory[at] = amounts.memory;
        self.columns[at * self.width..(at + 1) * self.width].copy_from_slice(&amounts.columns);
    }

    /// All that is free on `node`.
    pub(crate) fn of(&self, node: u32) -> Amounts {
        Amounts {
            cpus: self.cpus[node as usize],
            memory: self.memory[node as usize],
            columns: Columns::from_slice(self.columns_of(node)),
        }
    }

    /// Gives `amounts` of `node` away.
    pub(crate) fn take(&mut self, node: u32, amounts: &Amounts) {
        let index = node as usize;
        self.cpus[index] = self.cpus[index].saturating_sub(amounts.cpus);
        self.memory[index] = self.memory[index].saturating_sub(amounts.memory);
        for (ours, theirs) in self.columns[index * self.width..].iter_mut().zip(&amounts.columns) {
            *ours = ours.saturating_sub(*theirs);
        }
    }

    /// Gets `amounts` of `node` back.
    pub(crate) fn give(&mut self, node: u32, amounts: &Amounts) {
        let index = node as usize;
        self.cpus[index] += amounts.cpus;
        self.memory[index] += amounts.memory;
        for (ours, theirs) in self.columns[index * self.width..].iter_mut().zip(&amounts.columns) {
            *ours += theirs;
        }
    }
}

/// Counts generic resources, and the CPUs of a job of a partition, by column; empty where there are none.
pub(crate) fn columns(fleet: &Fleet, shares: &[GresShare], cpus: Option<(u32, u32)>) -> Columns {
    let quota = cpus.and_then(|(partition, cpus)| Some((fleet.quota_column(partition)?, cpus)));
    if shares.is_empty() && quota.is_none() {
        return Columns::new();
    }
    let mut columns = smallvec![0; fleet.width];
    for share in shares {
        let slot = fleet.gres_slots.iter().position(|slot| slot.name == share.name && slot.kind == share.kind);
        if let Some(slot) = slot {
            columns[slot] += share.units.len();
        }
    }
    if let Some((column, cpus)) = quota {
        columns[column] += cpus;
    }
    columns
}

/// As [`columns`] for shares on `node`, where GPUs may be given in parts: a whole GPU takes its parts with it, and one of
/// which a part is given cannot be given whole.
pub(crate) fn columns_on(fleet: &Fleet, node: u32, shares: &[GresShare], cpus: Option<(u32, u32)>) -> Columns {
    let mut columns = columns(fleet, shares, cpus);
    let Some(parts) = fleet.gpu_parts.get(&node).filter(|_| !columns.is_empty()) else {
        return columns;
    };
    let gpu_slots = || (0..fleet.gres_slots.len()).filter(|slot| fleet.is_gpu(*slot));
    let whole: u32 = gpu_slots().map(|slot| columns[slot]).sum();
    for part in parts {
        let first = fleet.gres_units(node, part.slot).start;
        let own = shares.iter().filter(|share| share.name == fleet.gres_slots[part.slot].name);
        let mut touched: Vec<u32> =
            own.flat_map(|share| share.units.iter().map(|unit| unit.saturating_sub(first) / part.per_gpu)).collect();
        touched.dedup();
        for gpu in touched {
            let holds = |slot: &usize| fleet.gres_units(node, *slot).contains(&gpu);
            if let Some(slot) = gpu_slots().find(holds) {
                columns[slot] += 1;
            }
        }
        columns[part.slot] = columns[part.slot].saturating_add(part.per_gpu.saturating_mul(whole));
    }
    columns
}
