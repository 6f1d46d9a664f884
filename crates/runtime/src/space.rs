//! What a job has to itself on a node for as long as it has it: a directory for what it needs only meanwhile, and, where the site
//! wants it, directories like `/tmp` that no other job sees. As data; the supervisor makes it (`supervisor/spaces`).

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use muster_model::ids::{JobId, RestartCount};
use serde::{Deserialize, Serialize};

use crate::system;

/// What a job is to have.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct JobSpace {
    /// Where its directory is made, which `SLURM_TMPDIR` names; it is removed with all that is in it.
    pub scratch_parent: PathBuf,
    /// Directories that no other job sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private: Option<PrivateDirs>,
}

/// Directories that only one job sees.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PrivateDirs {
    /// Where their content is.
    pub base: PathBuf,
    /// The base is made where it is missing.
    #[serde(default)]
    pub makes_base: bool,
    /// Where the job sees them. `/dev/shm` is in memory.
    pub dirs: Vec<PathBuf>,
    /// What is mounted on the node later is seen by the job.
    #[serde(default)]
    pub shared: bool,
    /// Run before they are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_script: Option<String>,
    /// Run when they are there, with its seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clone_script: Option<(String, u32)>,
    /// Run before they go, with its seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clone_epilog: Option<(String, u32)>,
}

impl PrivateDirs {
    /// Whether `path` is one of them or inside one.
    pub fn hide(&self, path: &Path) -> bool {
        self.dirs.iter().any(|dir| path.starts_with(dir))
    }
}

/// Whose a space is: one start of a job.
pub type SpaceKey = (JobId, RestartCount);

/// Directory in the spool directory that has a [`Record`] of each space.
pub(crate) const RECORDS: &str = "spaces";

/// What is known of a space on disk, so that nothing of it is left behind whatever dies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The directory that was made for the job.
    pub(crate) scratch: Option<PathBuf>,
    /// Where the content of private directories is.
    pub(crate) content: Option<PathBuf>,
    /// A file by which the job's view of the file system can be joined, while the supervisor lives that wrote this.
    pub(crate) namespace: Option<PathBuf>,
    /// All of it is there.
    pub(crate) is_ready: bool,
    /// Run before it is removed.
    pub(crate) epilog: Option<(String, u32)>,
}

/// The file of the mount namespace of a job, if it has one, from the record that [`record_path`] names. Waits until all that the job
/// has to itself is there: the supervisor may be making it.
///
/// # Errors
/// When it is not there in time.
pub fn view(record: &Path, patience: Duration) -> io::Result<Option<PathBuf>> {
    let until = Instant::now() + patience;
    loop {
        let read = std::fs::read(record).and_then(|bytes| Ok(serde_json::from_slice::<Record>(&bytes)?));
        match read {
            Ok(Record { is_ready: true, namespace, .. }) => return Ok(namespace),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ if Instant::now() >= until => return Err(io::ErrorKind::TimedOut.into()),
            // A short wait; there is no event to wait for.
            _ => system::poll(&mut [], 20)?,
        }
    }
}

/// The file of a record: `SPOOL/spaces/12.0`.
pub fn record_path(spool: &Path, (job_id, restart): SpaceKey) -> PathBuf {
    spool.join(RECORDS).join(format!("{job_id}.{}", restart.0))
}
