//! What a node knows of its GPUs that processes are told: by which number or name their libraries know each, and by which
//! variables.

use std::collections::BTreeMap;

use muster_model::ids::Name;
use muster_model::node::NodeConfig;
use muster_model::resources::{GresShare, IndexSet};

use crate::conf::{GpuVariables, NodeGres};

/// Resources whose units are parts of GPUs.
pub(super) const PARTS: [&str; 2] = ["mps", "shard"];

/// The GPUs of a node. By default nothing is known of any: numbers of units stand for themselves, and all variables are set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GpuFacts {
    units: BTreeMap<u32, Gpu>,
    /// How many parts of each kind a GPU has.
    parts_per_gpu: BTreeMap<Name, u32>,
    /// Processes can open only the devices of their job, so that their libraries count those alone (`ConstrainDevices`).
    renumbered: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Gpu {
    index: u32,
    unique_id: Option<String>,
    variables: GpuVariables,
    /// Cores near it; `None` for all.
    cores: Option<IndexSet>,
}

impl GpuFacts {
    /// Nothing.
    pub const UNKNOWN: GpuFacts =
        GpuFacts { units: BTreeMap::new(), parts_per_gpu: BTreeMap::new(), renumbered: false };

    /// What `node`, which has `gres`, knows.
    pub fn new(node: &NodeConfig, gres: &NodeGres, renumbered: bool) -> GpuFacts {
        let gpu = |unit: &crate::conf::GresUnit| {
            let (unique_id, variables, cores) = (unit.unique_id.clone(), unit.variables, unit.cores.clone());
            (unit.unit, Gpu { index: unit.index, unique_id, variables, cores })
        };
        let total = |name: &str| -> u64 {
            node.hardware.gres.iter().filter(|gres| &*gres.name == name).map(|gres| gres.count).sum()
        };
        let gpus = total("gpu").max(1);
        let per_gpu = |name: &str| u32::try_from(total(name) / gpus).unwrap_or(u32::MAX).max(1);
        GpuFacts {
            units: gres.units.iter().filter(|unit| &*unit.name == "gpu").map(gpu).collect(),
            parts_per_gpu: PARTS.iter().map(|name| (Name::from(*name), per_gpu(name))).collect(),
            renumbered,
        }
    }

    /// The GPUs of which `held` has units or parts.
    pub fn gpus_of(&self, held: &[GresShare]) -> IndexSet {
        let mut all = IndexSet::default();
        for share in held {
            if &*share.name == "gpu" {
                all.add_all(&share.units);
            } else if PARTS.contains(&&*share.name) {
                share.units.iter().for_each(|unit| all.insert(unit / self.parts_of_gpu(&share.name)));
            }
        }
        all
    }

    /// Whether one of `cores` is near the GPU; `None` stands for all cores.
    pub(super) fn is_near(&self, unit: u32, cores: Option<&IndexSet>) -> bool {
        let own = self.units.get(&unit).and_then(|gpu| gpu.cores.as_ref());
        own.zip(cores).is_none_or(|(own, cores)| own.iter().any(|core| cores.contains(core)))
    }

    /// Whether the node has no GPU of that number, as far as it knows its GPUs.
    pub(super) fn is_beyond(&self, unit: u32) -> bool {
        self.units.last_key_value().is_some_and(|(last, _)| unit > *last)
    }

    /// How many parts of that kind a GPU has.
    pub(super) fn parts_of_gpu(&self, name: &Name) -> u32 {
        self.parts_per_gpu.get(name).copied().unwrap_or(1).max(1)
    }

    /// The variables that tell of `units`: all, where none of them is known, so that no library takes others instead.
    pub(super) fn variables(&self, units: &[u32]) -> GpuVariables {
        let known = units.iter().filter_map(|unit| self.units.get(unit)).map(|gpu| gpu.variables);
        let none = if units.is_empty() { GpuVariables::NONE } else { GpuVariables::ALL };
        known.reduce(GpuVariables::or).unwrap_or(none)
    }

    /// Numbers among all devices of the node.
    pub(super) fn indices(&self, units: &[u32]) -> String {
        print(units.iter().filter_map(|unit| self.index(*unit)).map(|index| index.to_string()))
    }

    /// What the libraries of the makers are told of `units`, for a process that can open the devices of all of `held`. A device that
    /// is gone is not told: its number may be that of another by now.
    pub(super) fn visible(&self, units: &[u32], held: &[u32]) -> String {
        let mut devices: Vec<u32> = held.iter().filter_map(|unit| self.index(*unit)).collect();
        devices.sort_unstable();
        print(units.iter().filter_map(|unit| {
            let index = self.index(*unit)?;
            let local = devices.iter().position(|device| *device == index);
            Some(match self.units.get(unit).and_then(|gpu| gpu.unique_id.clone()) {
                Some(id) => id,
                None => match local.filter(|_| self.renumbered) {
                    Some(local) => local.to_string(),
                    None => index.to_string(),
                },
            })
        }))
    }

    /// `None` for a unit that is gone.
    fn index(&self, unit: u32) -> Option<u32> {
        let stands_for_itself = Some(unit).filter(|_| self.units.is_empty());
        self.units.get(&unit).map(|gpu| gpu.index).or(stands_for_itself)
    }
}

fn print(texts: impl Iterator<Item = String>) -> String {
    texts.collect::<Vec<_>>().join(",")
}
