//! The GPUs of this machine: which there are, where they are, and by which files they are used.
//!
//! Nothing is linked: NVIDIA's library is loaded where it is there, and everything else is read from `/sys`, `/proc` and
//! `nvidia-smi`. A machine without any of that has no GPUs, which is no error. What is read is below [`World::root`], so that
//! tests give a directory in place of the machine.

mod amd;
mod intel;
mod neuron;
mod nvml;
mod pci;
mod proc;
mod smi;
pub(crate) mod usage;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// A GPU, or a part of one that is given away by itself (MIG).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Gpu {
    /// What it is, in Slurm's manner: lower case, with `_` for spaces.
    pub kind: String,
    /// Its device files, without those that all GPUs share.
    pub files: Vec<String>,
    /// Numbers of the CPUs near it; `None` where that is not known.
    pub cpus: Option<Vec<u32>>,
    /// Links to each of the GPUs in the order in which they are told, -1 for itself; empty where that is not known.
    pub links: Vec<i32>,
    /// The name by which its libraries know it where its number does not do.
    pub unique_id: Option<String>,
    /// Its place on the bus, `0000:07:00.0`; empty where it has none.
    pub bus: String,
}

/// How GPUs are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// NVIDIA's library, else `nvidia-smi`, else what the driver tells.
    Nvml,
    /// What NVIDIA's driver tells in `/proc`.
    Nvidia,
    /// AMD's, from what the kernel tells.
    Rsmi,
    /// Intel's, from what the kernel tells.
    OneApi,
    /// Neuron devices, from what the kernel tells.
    Nrt,
}

/// Where to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct World {
    /// Above `sys`, `proc` and `dev`.
    pub root: PathBuf,
    /// File names of NVIDIA's library, tried one after the other.
    pub nvml: Vec<OsString>,
    /// The program that tells of NVIDIA's GPUs where the library is not there.
    pub nvidia_smi: OsString,
}

impl Default for World {
    fn default() -> World {
        World {
            root: "/".into(),
            nvml: vec!["libnvidia-ml.so.1".into(), "libnvidia-ml.so".into()],
            nvidia_smi: "nvidia-smi".into(),
        }
    }
}

impl World {
    /// A directory that stands for the machine: with `sys`, `proc` and `dev`, and NVIDIA's library and program in it too.
    pub fn below(root: &Path) -> World {
        World {
            root: root.to_owned(),
            nvml: vec![root.join("libnvidia-ml.so.1").into()],
            nvidia_smi: root.join("nvidia-smi").into(),
        }
    }

    /// Whether there is such a device file.
    pub fn has(&self, path: &str) -> bool {
        self.root.join(path.trim_start_matches('/')).exists()
    }
}

/// By what it is known which GPUs there are. Of several ways the best comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// The maker's library.
    Library,
    /// The maker's program.
    Program,
    /// What the kernel and its drivers tell.
    Kernel,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// In the order in which their libraries count them: by place on the bus.
    pub gpus: Vec<Gpu>,
    /// The way that worked.
    pub way: Way,
    /// What was in the way, for the log.
    pub notes: Vec<String>,
}

/// Looks for GPUs. What cannot be looked for is told in [`Found::notes`].
pub fn find(method: Method, world: &World) -> Found {
    let mut notes = Vec::new();
    let (mut gpus, way) = match method {
        Method::Nvml => nvidia(world, &mut notes),
        Method::Nvidia => (proc::find(&world.root), Way::Kernel),
        Method::Rsmi => (amd::find(&world.root), Way::Kernel),
        Method::OneApi => (intel::find(&world.root), Way::Kernel),
        Method::Nrt => (neuron::find(&world.root), Way::Kernel),
    };
    for gpu in gpus.iter_mut().filter(|gpu| gpu.cpus.is_none() && !gpu.bus.is_empty()) {
        gpu.cpus = pci::local_cpus(&world.root, &gpu.bus);
    }
    Found { gpus, way, notes }
}

/// The library knows most; what does without it knows no links.
fn nvidia(world: &World, notes: &mut Vec<String>) -> (Vec<Gpu>, Way) {
    match nvml::find(world, notes) {
        Ok(gpus) => return (gpus, Way::Library),
        Err(problem) => notes.push(problem),
    }
    match smi::find(world) {
        Ok(gpus) => return (gpus, Way::Program),
        Err(problem) => notes.push(problem),
    }
    (proc::find(&world.root), Way::Kernel)
}

/// A name as types have it: `NVIDIA A100-SXM4-40GB` is `nvidia_a100-sxm4-40gb`.
fn kind(name: &str) -> String {
    name.trim().to_lowercase().split_whitespace().collect::<Vec<_>>().join("_")
}

/// A short file without the blanks around it; empty where it cannot be read.
fn text(path: &Path) -> String {
    fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// Names in a directory, sorted by the number at their end.
fn numbered(dir: &Path, prefix: &str) -> Vec<(u32, PathBuf)> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let number = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        Some((name.strip_prefix(prefix)?.parse().ok()?, entry.path()))
    };
    let mut found: Vec<(u32, PathBuf)> = entries.flatten().filter_map(number).collect();
    found.sort();
    found
}

#[cfg(test)]
pub(crate) mod tests;
