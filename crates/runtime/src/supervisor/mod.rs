//! The supervisor: one small process per spool directory that owns all processes of jobs on a node.
//!
//! It is kept so small and without a runtime because it must outlive everything else: agents are restarted and
//! upgraded over it. One thread owns the table of units, the journal and the agent's connection; a few launcher
//! threads do what may hang (open a user's file on a dead file server); each live step has a thread for its
//! streams.

mod admission;
mod agent_link;
mod birth;
mod blobs;
mod client_link;
mod container;
mod control;
mod environment;
mod files;
mod inbox;
mod journal;
mod launcher;
mod masks;
mod meter;
mod mpi_server;
mod namespace;
mod processes;
mod relay;
mod sampler;
mod server;
mod signals;
mod spaces;
mod spawn;
mod start_unit;
mod startup;
mod sweeps;
mod task_hooks;
mod terminal;
mod units;
mod unkillable;
mod waiting;
mod words;

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

pub(crate) use self::client_link::call;
pub(crate) use self::files::UserRights;
pub(crate) use self::namespace::enter;
pub(crate) use self::relay::Client;

/// Name of the log file in the spool directory.
pub const LOG_NAME: &str = "supervisor.log";

/// Name of the file in the spool directory that holds the [`Options`].
pub const OPTIONS_NAME: &str = "supervisor.json";

/// Scripts and environments kept for launches to come. Many arrays at once; less than one large script cache.
pub const BLOB_BYTES_MAX: usize = 32 << 20;

/// Whether control groups are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CgroupUse {
    /// Where they can be made.
    #[default]
    Auto,
    /// Never: processes are tracked by session, ancestry and a mark in their environment.
    Off,
    /// Always; the supervisor does not start where they cannot be made.
    Required,
}

/// Which of the kernel's two interfaces to control groups is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CgroupVersion {
    /// What there is, the second one for tracking where both are.
    #[default]
    Any,
    /// The first, with a hierarchy for each controller.
    V1,
    /// The second, with one for all.
    V2,
}

/// Where control groups are made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CgroupPlace {
    /// By which interface.
    pub version: CgroupVersion,
    /// Only what is mounted here or below is used; `None` for all.
    pub mountpoint: Option<std::path::PathBuf>,
    /// Hierarchies of the first version that are not mounted are mounted.
    pub automount: bool,
}

/// How a supervisor works.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// Whether control groups are used.
    pub cgroup: CgroupUse,
    /// Where the container engine listens, as `DOCKER_HOST` says it; `None` for the usual places.
    pub docker_host: Option<String>,
    /// Where they are made.
    pub cgroup_place: CgroupPlace,
}

impl Options {
    /// Writes them where the supervisor of `dir` reads them at its start.
    pub fn save(&self, dir: &Path) -> io::Result<()> {
        std::fs::create_dir_all(dir)?;
        std::fs::write(dir.join(OPTIONS_NAME), serde_json::to_vec(self)?)
    }

    /// Reads what [`Options::save`] wrote; the default where there is nothing.
    pub fn load(dir: &Path) -> io::Result<Options> {
        match std::fs::read(dir.join(OPTIONS_NAME)) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Options::default()),
            Err(error) => Err(error),
        }
    }
}

/// Runs the supervisor of `dir` until it is asked to retire. Gives the exit code of the process: 0 after
/// retirement or when another supervisor already serves `dir`, 1 when it could not start or go on (the reason is on
/// standard error, which [`crate::client::connect_or_start`] directs into [`LOG_NAME`]).
///
/// Users' batch scripts are executed from `dir`, so all users must be able to pass through it; it is made with mode
/// 0755. What happens is told with `tracing`: the caller sets up where that goes.
///
/// To be called from the main thread of a process that does nothing else: it changes the process's signals, umask and
/// limits, and waits for all children. When it returns the process should exit.
pub fn run(dir: &Path) -> u8 {
    match serve(dir) {
        Ok(()) => 0,
        Err(error) => {
            startup::complain(dir, &error);
            1
        }
    }
}

fn serve(dir: &Path) -> io::Result<()> {
    let spool = startup::open_spool(dir)?;
    let Some(_lock) = startup::lock(&spool)? else {
        return Ok(());
    };
    let mut server = startup::start(spool)?;
    let result = server.run();
    startup::stop(&server);
    result
}
