//! Which units of generic resources a job gets on one node.
//!
//! Units are numbered over all of their name. A GPU is either given whole or in parts (`shard`, `mps`): one of which a
//! part is given is not given whole, and the other way round. Parts of a job come from one GPU.

use std::collections::BTreeMap;

use muster_model::ids::Name;
use muster_model::node::{GresPlace, Hardware};
use muster_model::resources::{GresShare, IndexSet};

use crate::cores::{CoreWish, FreeCores};
use crate::fleet::{Fleet, GpuParts};
use crate::gres::{GresNeed, PARTS_OF_GPU};
use crate::links;

/// The units of a node while some of them are chosen.
pub(crate) struct Units<'a> {
    fleet: &'a Fleet,
    node: u32,
    held: [&'a [GresShare]; 2],
    /// Units by column as they have been counted for the job; empty where they have not.
    counted: &'a [u32],
    /// Most units of each column that may be taken; empty for no bound.
    room: &'a [u32],
    chosen: BTreeMap<usize, IndexSet>,
}

impl<'a> Units<'a> {
    /// The units of `node` of which those in `held` are given away, for a job for which so many of each column are `counted`
    /// and for which there is so much `room`.
    pub(crate) fn new(
        fleet: &'a Fleet,
        node: u32,
        held: [&'a [GresShare]; 2],
        counted: &'a [u32],
        room: &'a [u32],
    ) -> Units<'a> {
        Units { fleet, node, held, counted, room, chosen: BTreeMap::new() }
    }

    /// What has been chosen.
    pub(crate) fn chosen(self) -> Vec<GresShare> {
        let slots = &self.fleet.gres_slots;
        let share = |(slot, units): (usize, IndexSet)| GresShare {
            name: slots[slot].name.clone(),
            kind: slots[slot].kind.clone(),
            units,
        };
        self.chosen.into_iter().map(share).collect()
    }

    /// The lowest free units of each column; parts of GPUs are left with their GPUs.
    pub(crate) fn all(mut self, columns: &[u32]) -> Option<Vec<GresShare>> {
        for slot in 0..self.fleet.gres_slots.len() {
            let count = columns.get(slot).copied().unwrap_or(0) as usize;
            if count == 0 || PARTS_OF_GPU.contains(&&*self.fleet.gres_slots[slot].name) {
                continue;
            }
            let units: Vec<u32> = self.free(slot).take(count).collect();
            if units.len() < count {
                return None;
            }
            units.into_iter().for_each(|unit| self.put(slot, unit));
        }
        Some(self.chosen())
    }

    /// Chooses `count` units for `need`. Units together near enough free cores are preferred, then the lowest.
    pub(crate) fn take(&mut self, need: &GresNeed, count: u32, free: &FreeCores, wish: &CoreWish) -> bool {
        let hardware = &self.fleet.node(self.node).hardware;
        let mut pool = self.pool(need);
        if !hardware.places.is_empty() {
            let name = &self.fleet.gres_slots[need.slots[0]].name;
            let close = |unit: u32| place(hardware, name, unit).and_then(|place| place.cores.as_ref());
            let beside = |unit: u32| close(unit).map_or(free.count(), |cores| free.only(cores).count());
            let together = |unit: u32| pool.iter().filter(|(_, other)| close(*other) == close(unit)).count() as u32;
            let rank = |unit: u32| {
                let cores = beside(unit);
                (cores < wish.cores, together(unit) < count, std::cmp::Reverse(cores.min(wish.cores)))
            };
            let mut ranked: Vec<_> = pool.iter().map(|(slot, unit)| (rank(*unit), *slot, *unit)).collect();
            ranked.sort_by_key(|(rank, ..)| *rank);
            join(hardware, name, &mut ranked, count as usize);
            pool = ranked.into_iter().map(|(_, slot, unit)| (slot, unit)).collect();
        }
        let mut wanted = count;
        for (slot, unit) in pool {
            let chosen = self.chosen.get(&slot).map_or(0, IndexSet::len);
            if wanted > 0 && self.room.get(slot).is_none_or(|room| chosen < *room) {
                self.put(slot, unit);
                wanted -= 1;
            }
        }
        wanted == 0
    }

    /// Chooses the amount of `need` on each of so many sockets, the lowest first. Without places any units will do.
    pub(crate) fn take_by_socket(&mut self, need: &GresNeed, sockets: u32) -> bool {
        let hardware = &self.fleet.node(self.node).hardware;
        let name = self.fleet.gres_slots[need.slots[0]].name.clone();
        let per_socket = hardware.cores_per_socket.max(1);
        let pool = self.pool(need);
        let socket_of = |unit: u32| {
            let cores = place(hardware, &name, unit).and_then(|place| place.cores.as_ref());
            cores.and_then(|cores| cores.iter().next()).map(|core| core / per_socket)
        };
        if pool.iter().any(|(_, unit)| socket_of(*unit).is_none()) {
            let wanted = need.amount.saturating_mul(sockets) as usize;
            let enough = pool.len() >= wanted;
            pool.into_iter().take(wanted).for_each(|(slot, unit)| self.put(slot, unit));
            return enough;
        }
        let mut served = 0;
        for socket in 0..hardware.sockets {
            let here: Vec<(usize, u32)> =
                pool.iter().copied().filter(|(_, unit)| socket_of(*unit) == Some(socket)).collect();
            if served < sockets && here.len() >= need.amount as usize {
                here.into_iter().take(need.amount as usize).for_each(|(slot, unit)| self.put(slot, unit));
                served += 1;
            }
        }
        served == sockets
    }

    /// Chooses `count` parts of one GPU: of the one with fewest parts to spare, and cores beside it if possible.
    pub(crate) fn take_parts(&mut self, need: &GresNeed, count: u32, free: &FreeCores, cores: u32) -> bool {
        let Some(slot) = need.slots.iter().copied().find(|slot| self.parts(*slot).is_some()) else {
            return false;
        };
        let Some(parts) = self.parts(slot) else { return false };
        let hardware = &self.fleet.node(self.node).hardware;
        let rank = |gpu: u32| {
            let units: Vec<u32> = self.free(slot).filter(|unit| self.gpu_of(&parts, *unit) == gpu).collect();
            let close = place(hardware, "gpu", gpu).and_then(|place| place.cores.as_ref());
            let is_far = close.is_some_and(|close| free.only(close).count() < cores);
            (units.len() >= count as usize).then_some((is_far, units.len(), gpu, units))
        };
        let best = (0..self.fleet.gpus_of(self.node)).filter_map(rank).min();
        let Some((_, _, _, units)) = best else { return false };
        units.into_iter().take(count as usize).for_each(|unit| self.put(slot, unit));
        true
    }

    /// Units that serve `need`, the lowest first. A request without a type can be served from several columns: those from
    /// which it has been counted come first, since what is left of the others may be planned for somebody.
    fn pool(&self, need: &GresNeed) -> Vec<(usize, u32)> {
        let mut pool: Vec<(bool, usize, u32)> = Vec::new();
        for slot in &need.slots {
            let chosen = self.chosen.get(slot).map_or(0, IndexSet::len);
            let counted = self.counted.get(*slot).map_or(u32::MAX, |counted| counted.saturating_sub(chosen));
            pool.extend((0..).zip(self.free(*slot)).map(|(at, unit)| (at >= counted, *slot, unit)));
        }
        pool.sort_by_key(|(is_beyond, ..)| *is_beyond);
        pool.into_iter().map(|(_, slot, unit)| (slot, unit)).collect()
    }

    fn put(&mut self, slot: usize, unit: u32) {
        self.chosen.entry(slot).or_default().insert(unit);
    }

    fn parts(&self, slot: usize) -> Option<GpuParts> {
        self.fleet.gpu_parts.get(&self.node)?.iter().copied().find(|parts| parts.slot == slot)
    }

    /// The GPU that a part belongs to.
    fn gpu_of(&self, parts: &GpuParts, unit: u32) -> u32 {
        let first = self.fleet.gres_units(self.node, parts.slot).start;
        (unit - first.min(unit)) / parts.per_gpu.max(1)
    }

    /// Units of the column that can be given, ascending.
    fn free(&self, slot: usize) -> impl Iterator<Item = u32> + '_ {
        let name = &self.fleet.gres_slots[slot].name;
        self.fleet.gres_units(self.node, slot).filter(move |unit| {
            !self.is_held(name, *unit)
                && self.chosen.get(&slot).is_none_or(|chosen| !chosen.contains(*unit))
                && self.is_unmixed(slot, *unit)
        })
    }

    fn is_held(&self, name: &Name, unit: u32) -> bool {
        self.held.iter().flat_map(|shares| shares.iter()).any(|share| share.name == *name && share.units.contains(unit))
    }

    /// Whether the GPU behind a unit is not given in another form.
    fn is_unmixed(&self, slot: usize, unit: u32) -> bool {
        let Some(all) = self.fleet.gpu_parts.get(&self.node) else {
            return true;
        };
        let in_parts = |parts: &GpuParts, gpu: u32| {
            let name = &self.fleet.gres_slots[parts.slot].name;
            self.fleet
                .gres_units(self.node, parts.slot)
                .any(|unit| self.gpu_of(parts, unit) == gpu && self.is_held(name, unit))
        };
        match all.iter().find(|parts| parts.slot == slot) {
            // A part: its GPU is neither whole nor in parts of another kind.
            Some(own) => {
                let gpu = self.gpu_of(own, unit);
                !self.is_held(&"gpu".into(), gpu) && !all.iter().any(|parts| parts.slot != slot && in_parts(parts, gpu))
            }
            None if self.fleet.is_gpu(slot) => !all.iter().any(|parts| in_parts(parts, unit)),
            None => true,
        }
    }
}

/// Of units of which only some are needed and that are as good as each other, puts those first that have the most links to
/// those before them and among themselves.
fn join<R: PartialEq>(hardware: &Hardware, name: &str, ranked: &mut [(R, usize, u32)], count: usize) {
    let Some(last) = count.checked_sub(1).filter(|last| *last < ranked.len()) else { return };
    let from = ranked.iter().position(|(rank, ..)| *rank == ranked[last].0).unwrap_or(0);
    let to = ranked.iter().rposition(|(rank, ..)| *rank == ranked[last].0).map_or(ranked.len(), |at| at + 1);
    let units = |part: &[(R, usize, u32)]| part.iter().map(|(_, _, unit)| *unit).collect::<Vec<_>>();
    let (taken, open) = (units(&ranked[..from]), units(&ranked[from..to]));
    if let Some(chosen) = links::best(hardware, name, &taken, &open, count - from) {
        // A stable sort: the others stay behind in their order.
        ranked[from..to].sort_by_key(|(_, _, unit)| !chosen.contains(unit));
    }
}

/// Where a unit is.
pub(crate) fn place<'h>(hardware: &'h Hardware, name: &str, unit: u32) -> Option<&'h GresPlace> {
    let mut first = 0;
    hardware.places.iter().filter(|place| &*place.name == name).find(|place| {
        let range = first..first + place.count;
        first = range.end;
        range.contains(&unit)
    })
}
