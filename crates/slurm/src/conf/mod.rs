//! `slurm.conf`, `gres.conf`, `topology.conf`, `cgroup.conf`, `job_container.conf` and `mpi.conf`: read, checked, and turned into the configuration of a cluster.
//!
//! An unknown parameter is an error with its file and line. One that is known but not acted on by this version is named
//! once, for the log. Nothing is read here: the caller gives a way to have the text of a file.

mod cgroup;
mod client;
mod cluster;
mod daemon;
mod error;
mod gres_conf;
mod gres_lines;
mod gres_merge;
mod gres_numbers;
#[cfg(test)]
mod gres_tests;
mod hooks;
mod job_container;
mod keys;
mod lines;
mod measure;
mod mpi;
mod nodes;
mod oci;
pub(crate) mod partitions;
mod plugstack;
pub(crate) mod preemption;
pub(crate) mod priority;
mod reconfigure;
mod scheduler_words;
mod scheduling;
mod shown;
mod table;
mod task;
#[cfg(test)]
mod tests;
mod topology;
mod written;

use std::path::Path;

use muster_model::config::ClusterConfig;
use muster_model::container::OciSettings;

pub use cgroup::{CgroupPlugin, CgroupSettings, MemoryBounds};
pub use client::{ClientSettings, client_settings};
pub use daemon::DaemonSettings;
pub use error::ConfError;
pub use gres_lines::{AutoDetect, GpuVariables, GresLines};
pub use gres_merge::{FoundGpu, GresFile, GresUnit, NodeGres};
pub use gres_numbers::GresNumber;
pub use job_container::{JobContainer, JobContainers};
pub use lines::ReadFile;
pub use measure::{EnergySensor, MeasureSettings, MemoryCount, task_seconds};
pub use mpi::MpiSettings;
pub use plugstack::PyxisSettings;
pub use reconfigure::can_take_over;
pub use task::TaskSettings;
pub use written::written;

#[cfg(test)]
pub(crate) use keys::acted_on;
pub(crate) use measure::is_frequency;
#[cfg(test)]
pub(crate) use scheduler_words::{Standing, WORDS as SCHEDULER_WORDS};

/// A configuration that has been read and checked.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The cluster.
    pub cluster: ClusterConfig,
    /// Addresses and directories of the daemons.
    pub daemon: DaemonSettings,
    /// How tasks are bound.
    pub task: TaskSettings,
    /// How control groups hold jobs to what they were given.
    pub cgroup: CgroupSettings,
    /// Directories that each job has to itself.
    pub job_containers: JobContainers,
    /// How bundles of OCI containers are run; `None` without an `oci.conf`.
    pub oci: Option<OciSettings>,
    /// What the site tells pyxis of containers of images.
    pub pyxis: PyxisSettings,
    /// Generic resources as nodes read them.
    pub gres: GresLines,
    /// Whether and how often it is measured what tasks use.
    pub measure: MeasureSettings,
    /// What is said of PMIx.
    pub mpi: MpiSettings,
    /// What is said but not acted on, for the log.
    pub warnings: Vec<String>,
}

/// Reads `path`, what it includes, and `gres.conf`, `topology.conf`, `cgroup.conf`, `job_container.conf`, `mpi.conf`, `oci.conf` and
/// `plugstack.conf` beside it.
///
/// # Errors
/// With file and line: a file that cannot be read, a malformed line, an unknown key, a bad value, names of nodes that are
/// not defined, a file without nodes or partitions.
pub fn load(path: &Path, read_file: &ReadFile<'_>) -> Result<Loaded, ConfError> {
    let lines = lines::read(path, read_file)?;
    // Most clusters have none of those beside it.
    let beside = |name: &str| {
        let path = path.parent().unwrap_or(Path::new("")).join(name);
        match read_file(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            _ => lines::read(&path, read_file).map(Some),
        }
    };
    let gres = beside("gres.conf")?.unwrap_or_default();
    let topology = beside("topology.conf")?;
    let daemon = daemon::read(path, &lines)?;
    let task = task::read(&lines)?;
    let (mut cluster, mut warnings) = cluster::read(path, &lines, &gres, topology.as_deref())?;
    let measure = measure::read(&lines, &mut warnings)?;
    let cgroup = cgroup::read(&beside("cgroup.conf")?.unwrap_or_default(), &mut warnings)?;
    let gres = gres_lines::read(&gres, &mut warnings)?;
    cluster.shown.extend(cgroup.shown());
    let mpi = mpi::read(&beside("mpi.conf")?.unwrap_or_default(), &mut warnings)?;
    let job_containers = match job_container::is_wanted(&lines, &mut warnings)? {
        true => {
            let lines = beside("job_container.conf")?;
            if lines.is_none() {
                let text =
                    "JobContainerType=job_container/tmpfs does nothing without a job_container.conf beside slurm.conf";
                warnings.push(text.to_owned());
            }
            job_container::read(&lines.unwrap_or_default())?
        }
        false => JobContainers::default(),
    };
    let oci = beside("oci.conf")?.map(|lines| oci::read(&lines, &mut warnings)).transpose()?;
    let plugstack = lines.iter().rev().find_map(|line| line.get("PlugStackConfig")).unwrap_or("plugstack.conf");
    let plugstack = path.parent().unwrap_or(Path::new("")).join(plugstack);
    let pyxis = match read_file(&plugstack) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => PyxisSettings::default(),
        _ => plugstack::read(&plugstack, read_file, &mut warnings)?,
    };
    Ok(Loaded { cluster, daemon, task, cgroup, job_containers, oci, pyxis, measure, mpi, gres, warnings })
}
