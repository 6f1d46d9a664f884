//! `slurm.conf`, `gres.conf` and `topology.conf`: read, checked, and turned into the configuration of a cluster.
//!
//! An unknown parameter is an error with its file and line. One that is known but not acted on by this version is named
//! once, for the log. Nothing is read here: the caller gives a way to have the text of a file.

mod client;
mod cluster;
mod daemon;
mod error;
mod gres_conf;
mod hooks;
mod keys;
mod lines;
mod nodes;
mod partitions;
mod preemption;
mod priority;
mod scheduling;
mod shown;
mod table;
mod task;
#[cfg(test)]
mod tests;
mod topology;

use std::path::Path;

use muster_model::config::ClusterConfig;

pub use client::{ClientSettings, client_settings};
pub use daemon::DaemonSettings;
pub use error::ConfError;
pub use lines::ReadFile;
pub use task::TaskSettings;

#[cfg(test)]
pub(crate) use keys::acted_on;

/// A configuration that has been read and checked.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The cluster.
    pub cluster: ClusterConfig,
    /// Addresses and directories of the daemons.
    pub daemon: DaemonSettings,
    /// How tasks are bound.
    pub task: TaskSettings,
    /// What is said but not acted on, for the log.
    pub warnings: Vec<String>,
}

/// Reads `path`, what it includes, and `gres.conf` and `topology.conf` beside it.
///
/// # Errors
/// With file and line: a file that cannot be read, a malformed line, an unknown key, a bad value, names of nodes that are
/// not defined, a file without nodes or partitions.
pub fn load(path: &Path, read_file: &ReadFile<'_>) -> Result<Loaded, ConfError> {
    let lines = lines::read(path, read_file)?;
    let gres_path = path.parent().unwrap_or(Path::new("")).join("gres.conf");
    let gres = match read_file(&gres_path) {
        Ok(_) => lines::read(&gres_path, read_file)?,
        // Most clusters have none.
        Err(_) => Vec::new(),
    };
    let topology_path = path.parent().unwrap_or(Path::new("")).join("topology.conf");
    let topology = match read_file(&topology_path) {
        Ok(_) => Some(lines::read(&topology_path, read_file)?),
        Err(_) => None,
    };
    let daemon = daemon::read(path, &lines)?;
    let task = task::read(&lines)?;
    let (cluster, warnings) = cluster::read(path, &lines, &gres, topology.as_deref())?;
    Ok(Loaded { cluster, daemon, task, warnings })
}
