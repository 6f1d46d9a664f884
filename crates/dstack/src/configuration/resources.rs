//! `resources`: what a run needs of each node.

use std::fmt;

use serde::Serialize;

use crate::document::{Fields, Node, Path, Problems, Read, Value};
use crate::values::{CpuSpec, GpuSpec, Memory, Range};

/// What is needed of each node. `None` where the file says nothing, so that a default can be told from a wish; dstack's
/// defaults are 2 CPUs, 8 GB of memory, 100 GB of disk and any number of GPUs.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Resources {
    /// CPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuSpec>,
    /// Memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Range<Memory>>,
    /// Shared memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shm_size: Option<Memory>,
    /// GPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuSpec>,
    /// Disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<Disk>,
}

/// A disk, as an object in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Disk {
    /// Its size.
    pub size: Range<Memory>,
}

/// Memory of a node where the file says nothing.
pub(crate) const MEMORY_DEFAULT: Memory = Memory::gigabytes(8.0);
/// Disk of a node where the file says nothing.
const DISK_DEFAULT: Memory = Memory::gigabytes(100.0);

impl Read for Resources {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let mut fields = Fields::open(node, path)?;
        let resources = Resources {
            cpu: fields.optional("cpu"),
            memory: fields.optional("memory"),
            shm_size: fields.optional("shm_size"),
            gpu: fields.optional("gpu"),
            disk: fields.optional("disk"),
        };
        fields.finish(Some(resources))
    }
}

impl Read for Disk {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let Value::Map(_) = node.value else {
            return Range::read(node, path).map(|size| Disk { size });
        };
        let mut fields = Fields::open(node, path)?;
        let size = fields.required("size");
        fields.finish(size.map(|size| Disk { size }))
    }
}

impl Resources {
    /// These with the gaps filled from `other`.
    #[must_use]
    pub fn or(self, other: Resources) -> Resources {
        Resources {
            cpu: self.cpu.or(other.cpu),
            memory: self.memory.or(other.memory),
            shm_size: self.shm_size.or(other.shm_size),
            gpu: self.gpu.or(other.gpu),
            disk: self.disk.or(other.disk),
        }
    }
}

/// Prints as dstack's plans do, with its defaults: `cpu=2.. mem=8GB.. disk=100GB.. gpu=0..`.
impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpu = self.cpu.unwrap_or_default();
        let memory = self.memory.unwrap_or(Range::at_least(MEMORY_DEFAULT));
        let disk = self.disk.map_or(Range::at_least(DISK_DEFAULT), |disk| disk.size);
        write!(f, "cpu={cpu} mem={memory} disk={disk} gpu=")?;
        match &self.gpu {
            Some(gpu) => gpu.fmt(f),
            None => GpuSpec::default().fmt(f),
        }
    }
}
