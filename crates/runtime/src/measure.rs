//! How it is measured what a unit uses, beyond how often: what counts as memory, whether too much of it is the end, and which
//! sensors of the machine are read.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::gpu::World;

/// What of a process counts as its memory (`JobAcctGatherParams`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryCount {
    /// All pages that it has in memory.
    #[default]
    Resident,
    /// Without those that it shares with others (`NoShared`).
    Unshared,
    /// Its share of each page (`UsePss`).
    Proportional,
}

/// From where it is known how much energy is used (`AcctGatherEnergyType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnergySource {
    /// Processors and their memory, from the kernel (`/sys/class/powercap`).
    Rapl,
    /// GPUs, from themselves.
    Gpu,
}

/// How a unit is measured. Of an agent that knows nothing of it, all is as by default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MeasureHow {
    /// What counts as memory.
    #[serde(skip_serializing_if = "is_default")]
    pub memory: MemoryCount,
    /// Bytes of memory above which the unit is killed when that is seen (`OverMemoryKill`); `None` for no such end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_kill: Option<u64>,
    /// The sensor of energy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub energy: Option<EnergySource>,
    /// Use and memory of GPUs are seen.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub gpus: bool,
    /// Device files of the GPUs that it has, for their energy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gpu_files: Vec<String>,
    /// A directory that stands for the machine; `None` for the machine itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
}

fn is_default(count: &MemoryCount) -> bool {
    *count == MemoryCount::default()
}

impl MeasureHow {
    /// Where sensors are.
    pub(crate) fn world(&self) -> World {
        self.root.as_deref().map_or_else(World::default, |root| World::below(Path::new(root)))
    }
}
