//! Which devices work together best: those with the most links between them (`Links` of `gres.conf`).
//!
//! Slurm adds the device with most links to those chosen before, beginning with the first. Here each device is tried as the
//! first one, so that a job is not bound to what hangs on the lowest number.

use muster_model::node::Hardware;

use crate::units::place;

/// Most devices among which links are compared; more than any node has.
const DEVICES_MAX: usize = 64;

/// Of `open`, which are as good as each other otherwise, `count` that have the most links among themselves and to `taken`;
/// `None` where nothing is known of links, or there is nothing to choose.
pub(crate) fn best(hardware: &Hardware, name: &str, taken: &[u32], open: &[u32], count: usize) -> Option<Vec<u32>> {
    if count == 0 || count >= open.len() || open.len() > DEVICES_MAX || count + taken.len() < 2 {
        return None;
    }
    if !hardware.places.iter().any(|place| &*place.name == name && !place.links.is_empty()) {
        return None;
    }
    let links = |one: u32, other: u32| {
        let row = place(hardware, name, one).map_or(&[][..], |place| place.links.as_slice());
        u64::try_from(row.get(other as usize).copied().unwrap_or(0)).unwrap_or(0)
    };
    let grow = |first: Option<u32>| {
        let mut chosen: Vec<u32> = first.into_iter().collect();
        let mut score = 0;
        if let Some(first) = first {
            score += taken.iter().map(|other| links(first, *other)).sum::<u64>();
        }
        while chosen.len() < count {
            let sum = |unit: u32| taken.iter().chain(&chosen).map(|other| links(unit, *other)).sum::<u64>();
            let left = open.iter().copied().filter(|unit| !chosen.contains(unit));
            let (most, next) = left.map(|unit| (sum(unit), std::cmp::Reverse(unit))).max()?;
            score += most;
            chosen.push(next.0);
        }
        chosen.sort_unstable();
        Some((score, std::cmp::Reverse(chosen)))
    };
    let seeds: Vec<Option<u32>> = if taken.is_empty() { open.iter().copied().map(Some).collect() } else { vec![None] };
    seeds.into_iter().filter_map(grow).max().map(|(_, chosen)| chosen.0)
}
