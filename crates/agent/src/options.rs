//! How an agent is started.

use std::ffi::OsString;
use std::path::PathBuf;

use muster_runtime::supervisor;
use muster_slurm::binding::Shape;
use muster_slurm::conf::TaskSettings;

/// What an agent needs to know. [`AgentOptions::new`] fills in what is usual.
#[derive(Debug, Clone)]
pub struct AgentOptions {
    /// Name of the node in the configuration of the cluster.
    pub node_name: String,
    /// Where the controller listens for agents: `host:port`.
    pub controller: String,
    /// File that holds the token of the cluster. Read again at each connect, so that it can be exchanged.
    pub token_file: PathBuf,
    /// Directory of this agent and its supervisor. One agent uses it at a time.
    pub spool_dir: PathBuf,
    /// Whether tasks are bound to the CPUs that the job holds. Off where several nodes are played on one machine.
    pub cpu_binding: bool,
    /// What the site says of the binding of tasks.
    pub task: TaskSettings,
    /// How the node is made, as its CPUs are counted in allocations; `None` for a flat row of cores.
    pub shape: Option<Shape>,
    /// Whether tasks fill a socket before the next unless they say otherwise (`CR_CORE_DEFAULT_DIST_BLOCK`).
    pub cores_by_block: bool,
    /// Whether the detected hardware is told to the controller, which drains a node that has less than configured.
    /// Off where the configuration alone decides.
    pub report_hardware: bool,
    /// Path of `slurm.conf`, told to jobs as `SLURM_CONF`; `None` where the cluster has none.
    pub slurm_conf: Option<PathBuf>,
    /// The temporary file system whose size is told (`TmpFS`).
    pub tmp_dir: PathBuf,
    /// The command that runs a supervisor; `--dir SPOOL` is added.
    pub supervisor: Vec<OsString>,
    /// How a supervisor that is started works.
    pub supervisor_options: supervisor::Options,
}

impl AgentOptions {
    /// An agent with the usual settings: binds to CPUs, tells its hardware, and starts this same program as
    /// `… supervisor`.
    ///
    /// # Errors
    /// When the path of this program cannot be found out.
    pub fn new(
        node_name: impl Into<String>,
        controller: impl Into<String>,
        token_file: impl Into<PathBuf>,
        spool_dir: impl Into<PathBuf>,
    ) -> std::io::Result<AgentOptions> {
        Ok(AgentOptions {
            node_name: node_name.into(),
            controller: controller.into(),
            token_file: token_file.into(),
            spool_dir: spool_dir.into(),
            cpu_binding: true,
            task: TaskSettings::default(),
            shape: None,
            cores_by_block: false,
            report_hardware: true,
            slurm_conf: None,
            tmp_dir: PathBuf::from("/tmp"),
            supervisor: vec![std::env::current_exe()?.into_os_string(), "supervisor".into()],
            supervisor_options: supervisor::Options::default(),
        })
    }
}
