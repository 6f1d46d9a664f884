//! Numbers of units that outlive a restart of the agent.
//!
//! GPUs that are found on the machine are numbered in the order in which they are found. Where one of them is lost, those after it
//! would move up, and a job that holds a number would get the GPU of another job for its next step. So an agent remembers which
//! device had which number, and whoever is known keeps his.

use std::collections::BTreeSet;
use std::ops::Range;

use muster_model::ids::Name;
use muster_model::node::NodeConfig;
use serde::{Deserialize, Serialize};

use super::gres_merge::{GresUnit, NodeGres};

/// Which device has a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GresNumber {
    /// Kind of resource.
    pub name: Name,
    /// Type, where the node's units have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Name>,
    /// Number among all units of that name on the node.
    pub unit: u32,
    /// Its name where it has one, else its files.
    pub device: String,
}

/// The numbers that units of a type have.
struct Room<'a> {
    name: &'a Name,
    kind: Option<&'a Name>,
    numbers: Range<u32>,
}

impl NodeGres {
    /// Gives the units of `node` the numbers that they had `before`, and the lowest that are left to the others. Those of units
    /// that are gone are used last. Gives what is to be remembered.
    pub fn keep_numbers(&mut self, node: &NodeConfig, before: &[GresNumber]) -> Vec<GresNumber> {
        let rooms = rooms(node);
        let is_room = |known: &&GresNumber| {
            let fits = |room: &Room<'_>| {
                *room.name == known.name && room.kind == known.kind.as_ref() && room.numbers.contains(&known.unit)
            };
            rooms.iter().any(fits)
        };
        let before: Vec<&GresNumber> = before.iter().filter(is_room).collect();
        let mut taken: BTreeSet<(Name, u32)> = BTreeSet::new();
        let mut is_new = vec![true; self.units.len()];
        for (unit, is_new) in self.units.iter_mut().zip(&mut is_new) {
            let device = device(unit);
            let is_own = |known: &&&GresNumber| {
                known.name == unit.name && known.device == device && !taken.contains(&(known.name.clone(), known.unit))
            };
            if let Some(known) = before.iter().find(is_own) {
                (unit.kind, unit.unit, *is_new) = (known.kind.clone(), known.unit, false);
                taken.insert((known.name.clone(), known.unit));
            }
        }
        for (unit, _) in self.units.iter_mut().zip(is_new).filter(|(_, is_new)| *is_new) {
            let is_own = |room: &&Room<'_>| *room.name == unit.name && room.kind == unit.kind.as_ref();
            let first = rooms.iter().find(is_own).map_or(0..0, |room| room.numbers.clone());
            let is_free = |number: &u32| !taken.contains(&(unit.name.clone(), *number));
            let is_unknown =
                |number: &u32| !before.iter().any(|known| known.name == unit.name && known.unit == *number);
            let unused = first.clone().find(|number| is_free(number) && is_unknown(number));
            if let Some(number) = unused.or_else(|| (first.start..).find(is_free)) {
                unit.unit = number;
                taken.insert((unit.name.clone(), number));
            }
        }
        let number = |unit: &GresUnit| GresNumber {
            name: unit.name.clone(),
            kind: unit.kind.clone(),
            unit: unit.unit,
            device: device(unit),
        };
        let mut known: Vec<GresNumber> = self.units.iter().map(number).collect();
        let gone = before.into_iter().filter(|known| !taken.contains(&(known.name.clone(), known.unit)));
        known.extend(gone.cloned());
        known
    }
}

/// Units are numbered on in the order in which the node declares its types.
fn rooms(node: &NodeConfig) -> Vec<Room<'_>> {
    let mut rooms: Vec<Room<'_>> = Vec::new();
    for gres in &node.hardware.gres {
        let before = rooms.iter().rev().find(|room| *room.name == gres.name);
        let start = before.map_or(0, |room| room.numbers.end);
        let end = start.saturating_add(u32::try_from(gres.count).unwrap_or(u32::MAX));
        rooms.push(Room { name: &gres.name, kind: gres.kind.as_ref(), numbers: start..end });
    }
    rooms
}

fn device(unit: &GresUnit) -> String {
    unit.unique_id.clone().unwrap_or_else(|| unit.files.join(","))
}
