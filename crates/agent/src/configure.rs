//! What an agent takes from the configuration of the cluster: the same for each program that is one.

use std::path::{Path, PathBuf};

use muster_model::node::NodeConfig;
use muster_runtime::gpu::World;
use muster_runtime::pmix::Settings as PmixSettings;
use muster_runtime::supervisor::{CgroupPlace, CgroupVersion};
use muster_slurm::binding::Shape;
use muster_slurm::conf::{CgroupPlugin, Loaded, MpiSettings};

use crate::gres::GresSource;
use crate::options::AgentOptions;

impl AgentOptions {
    /// Takes over what `conf`, read from `path`, says of `node`, and looks for the generic resources of the machine. What is
    /// passed over of them is among the messages of [`AgentOptions::gres`].
    pub fn configure(&mut self, conf: &Loaded, node: &NodeConfig, path: &Path, world: World) {
        // Declared CPUs may not exist on this machine. A site that names a plugin gets what it names.
        self.cpu_binding = !conf.cluster.hardware_overrides || conf.task.given;
        self.shape = Some(Shape {
            sockets: node.hardware.sockets,
            cores_per_socket: node.hardware.cores_per_socket,
            threads_per_core: node.hardware.threads_per_core,
        });
        self.cores_by_block = conf.cluster.placement.cores_by_block;
        self.task = conf.task.clone();
        self.gres_source = GresSource { lines: conf.gres.clone(), node: Some(node.clone()), world, usual: None };
        self.gres = self.gres_source.look();
        self.memory = node.hardware.memory;
        self.tmp_dir = conf.daemon.tmp_fs.clone();
        self.job_container = conf.job_containers.of_node(&node.name, &node.host_name);
        self.oci = conf.oci.clone();
        self.pyxis = conf.pyxis;
        self.supervisor_options.cgroup_place = CgroupPlace {
            version: match conf.cgroup.plugin {
                CgroupPlugin::Autodetect => CgroupVersion::Any,
                CgroupPlugin::V1 => CgroupVersion::V1,
                CgroupPlugin::V2 => CgroupVersion::V2,
            },
            mountpoint: conf.cgroup.mountpoint.clone().map(PathBuf::from),
            automount: conf.cgroup.automount,
        };
        self.cgroup = conf.cgroup.clone();
        self.measure = conf.measure;
        self.pmix = pmix_settings(&conf.mpi);
        self.report_hardware = !conf.cluster.hardware_overrides;
        // Not where a link leads: that changes when a site lays another directory in its place.
        self.slurm_conf = std::path::absolute(path).ok();
        self.apply_overrides();
    }
}

fn pmix_settings(said: &MpiSettings) -> PmixSettings {
    let usual = PmixSettings::default();
    PmixSettings {
        timeout_seconds: said.timeout_seconds.unwrap_or(usual.timeout_seconds),
        debug: said.debug,
        environment: said.environment.clone(),
        client_dir_base: said.client_dir_base.clone(),
    }
}
