//! How an agent is started.

use std::ffi::OsString;
use std::path::PathBuf;

use muster_model::container::OciSettings;
use muster_model::resources::Megabytes;
use muster_runtime::gpu::World;
use muster_runtime::pmix::Settings as PmixSettings;
use muster_runtime::supervisor;
use muster_slurm::binding::Shape;
use muster_slurm::conf::{CgroupSettings, JobContainer, MeasureSettings, NodeGres, PyxisSettings, TaskSettings};
use muster_slurm::environment::GpuFacts;

use crate::gres::GresSource;

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
    /// What control groups hold tasks to, where the site says so.
    pub cgroup: CgroupSettings,
    /// Generic resources of this node.
    pub gres: NodeGres,
    /// From what they are known, to look again.
    pub gres_source: GresSource,
    /// Directories that each job has to itself.
    pub job_container: Option<JobContainer>,
    /// How bundles of OCI containers are run; `None` where `--container` is only remembered, as without an `oci.conf`.
    pub oci: Option<OciSettings>,
    /// What the site says of containers of images.
    pub pyxis: PyxisSettings,
    /// Memory of this node as configured.
    pub memory: Megabytes,
    /// What the site says of PMIx.
    pub pmix: PmixSettings,
    /// Whether and how often it is measured what tasks use.
    pub measure: MeasureSettings,
    /// How the node is made, as its CPUs are counted in allocations; `None` for a flat row of cores.
    pub shape: Option<Shape>,
    /// Whether tasks fill a socket before the next unless they say otherwise (`CR_CORE_DEFAULT_DIST_BLOCK`).
    pub cores_by_block: bool,
    /// Whether the detected hardware is told to the controller, which drains a node that has less than configured.
    /// Off where the configuration alone decides.
    pub report_hardware: bool,
    /// What the command line says whatever the configuration has.
    pub overrides: Overrides,
    /// Path of `slurm.conf`, told to jobs as `SLURM_CONF`; `None` where the cluster has none.
    pub slurm_conf: Option<PathBuf>,
    /// The temporary file system (`TmpFS`): its size is told, and each job has a directory there (`SLURM_TMPDIR`).
    pub tmp_dir: PathBuf,
    /// The command that runs a supervisor; `--dir SPOOL` is added.
    pub supervisor: Vec<OsString>,
    /// How a supervisor that is started works.
    pub supervisor_options: supervisor::Options,
}

/// What stands above the configuration, also when that is read again.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// The temporary file system.
    pub tmp_dir: Option<PathBuf>,
    /// Tasks are not bound to CPUs.
    pub no_cpu_binding: bool,
    /// The detected hardware is not told.
    pub no_hardware: bool,
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
            cgroup: CgroupSettings::default(),
            gres: NodeGres::default(),
            gres_source: GresSource::default(),
            job_container: None,
            oci: None,
            pyxis: PyxisSettings::default(),
            memory: Megabytes::default(),
            pmix: PmixSettings::default(),
            measure: MeasureSettings::default(),
            shape: None,
            cores_by_block: false,
            report_hardware: true,
            overrides: Overrides::default(),
            slurm_conf: None,
            tmp_dir: PathBuf::from("/tmp"),
            supervisor: vec![std::env::current_exe()?.into_os_string(), "supervisor".into()],
            supervisor_options: supervisor::Options {
                docker_host: ["DOCKER_HOST", "CONTAINER_HOST"]
                    .into_iter()
                    .find_map(|name| std::env::var(name).ok().filter(|host| !host.is_empty())),
                ..supervisor::Options::default()
            },
        })
    }

    /// Lets the overrides count.
    pub fn apply_overrides(&mut self) {
        if let Some(tmp_dir) = &self.overrides.tmp_dir {
            self.tmp_dir = tmp_dir.clone();
        }
        self.cpu_binding &= !self.overrides.no_cpu_binding;
        self.report_hardware &= !self.overrides.no_hardware;
    }

    /// Whether tasks can open only the devices that they were given.
    pub(crate) fn hides_devices(&self) -> bool {
        self.task.given && self.task.cgroup && self.cgroup.devices
    }

    /// A directory that stands for the machine; `None` for the machine itself.
    pub(crate) fn machine_root(&self) -> Option<String> {
        let world = &self.gres_source.world;
        (*world != World::default()).then(|| world.root.to_string_lossy().into_owned())
    }

    /// What processes are told of the GPUs of this node.
    pub(crate) fn gpu_facts(&self) -> GpuFacts {
        let node = self.gres_source.node.as_ref();
        node.map_or(GpuFacts::UNKNOWN, |node| GpuFacts::new(node, &self.gres, self.hides_devices()))
    }
}
