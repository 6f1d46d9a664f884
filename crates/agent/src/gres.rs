//! The generic resources of this node: what the configuration says, beside what is found on the machine.

use std::io;
use std::path::Path;

use muster_model::node::{Hardware, NodeConfig};
use muster_model::resources::IndexSet;
use muster_runtime::detect;
use muster_runtime::gpu::{self, Gpu, Method, Way, World};
use muster_slurm::conf::{AutoDetect, FoundGpu, GresLines, GresNumber, NodeGres};
use serde::{Deserialize, Serialize};

use crate::options::AgentOptions;

/// From what it is known what a node has.
#[derive(Debug, Clone, Default)]
pub struct GresSource {
    /// `gres.conf`.
    pub lines: GresLines,
    /// The node; `None` where no configuration says anything of it.
    pub node: Option<NodeConfig>,
    /// The machine.
    pub world: World,
    /// By what it was known at first which GPUs there are; `None` where nobody has looked for them.
    pub usual: Option<Way>,
}

impl GresSource {
    /// What the node has, looked at for the first time. What was in the way, and what is passed over, stands among the messages.
    pub fn look(&mut self) -> NodeGres {
        let (gres, way) = self.look_now();
        self.usual = way;
        gres
    }

    /// What the node has now.
    ///
    /// # Errors
    /// In words: what was looked with at first does not work, so that it says nothing of the devices if less of them are seen.
    pub(crate) fn look_again(&self) -> Result<NodeGres, String> {
        let (gres, way) = self.look_now();
        let is_worse = self.usual.is_some_and(|usual| way > Some(usual));
        if is_worse { Err(gres.messages.join("; ")) } else { Ok(gres) }
    }

    fn look_now(&self) -> (NodeGres, Option<Way>) {
        let Some(node) = &self.node else { return (NodeGres::default(), None) };
        let exists = |path: &str| self.world.has(path);
        let Some(method) = self.method() else { return (self.lines.of_node(node, None, &exists), None) };
        let found = gpu::find(method, &self.world);
        let gpus: Vec<FoundGpu> = found.gpus.iter().map(|gpu| self.found(gpu, &node.hardware)).collect();
        let mut gres = self.lines.of_node(node, Some(&gpus), &exists);
        gres.messages.splice(0..0, found.notes);
        (gres, Some(found.way))
    }

    /// Whether the machine itself is asked.
    pub fn asks_machine(&self) -> bool {
        self.method().is_some()
    }

    fn method(&self) -> Option<Method> {
        match self.lines.detection(&self.node.as_ref()?.name) {
            AutoDetect::Off => None,
            AutoDetect::Nvml => Some(Method::Nvml),
            AutoDetect::Nvidia => Some(Method::Nvidia),
            AutoDetect::Rsmi => Some(Method::Rsmi),
            AutoDetect::OneApi => Some(Method::OneApi),
            AutoDetect::Nrt => Some(Method::Nrt),
        }
    }

    fn found(&self, gpu: &Gpu, hardware: &Hardware) -> FoundGpu {
        FoundGpu {
            kind: gpu.kind.clone(),
            files: gpu.files.clone(),
            cores: gpu.cpus.as_ref().and_then(|cpus| self.cores(cpus, hardware)),
            links: gpu.links.clone(),
            unique_id: gpu.unique_id.clone(),
        }
    }

    /// Cores as they are counted over the sockets; `None` where the node is configured as another than the machine is.
    fn cores(&self, cpus: &[u32], hardware: &Hardware) -> Option<IndexSet> {
        let order = detect::cpu_order_below(&self.world.root);
        if order.len() != hardware.cpus as usize {
            return None;
        }
        let mut cores = IndexSet::default();
        for (place, _) in (0..).zip(&order).filter(|(_, cpu)| cpus.contains(cpu)) {
            cores.insert(place / hardware.cpus_per_core());
        }
        Some(cores)
    }
}

/// Which device had which number when an agent last started. Files of devices are named anew when the machine starts.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Remembered {
    boot_id: String,
    numbers: Vec<GresNumber>,
}

impl AgentOptions {
    /// Gives the devices that were found the numbers that they had for an earlier agent with this spool directory: jobs that still
    /// run hold these.
    pub(crate) fn keep_gres_numbers(&mut self, spool_dir: &Path) {
        let Some(node) = self.gres_source.node.as_ref().filter(|_| self.gres_source.asks_machine()) else { return };
        let path = spool_dir.join("gres.json");
        let boot_id = detect::system().boot_id;
        let before = match read(&path) {
            Ok(known) if known.boot_id == boot_id => known.numbers,
            Ok(_) => Vec::new(),
            Err(error) => {
                tracing::warn!(%error, file = %path.display(), "it is not known which device had which number");
                Vec::new()
            }
        };
        let numbers = self.gres.keep_numbers(node, &before);
        if let Err(error) = write(&path, &Remembered { boot_id, numbers }) {
            tracing::warn!(%error, file = %path.display(), "numbers of devices may change when the agent starts again");
        }
    }
}

fn read(path: &Path) -> io::Result<Remembered> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Remembered::default()),
        Err(error) => Err(error),
    }
}

fn write(path: &Path, known: &Remembered) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    std::fs::write(&unfinished, serde_json::to_vec(known)?)?;
    std::fs::rename(&unfinished, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_the_numbers_that_jobs_know() {
        let (root, spool) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir(root.path().join("dev")).unwrap();
        let dir = |minor: u32| root.path().join(format!("proc/driver/nvidia/gpus/0000:0{minor}:00.0"));
        for minor in 0..3 {
            std::fs::create_dir_all(dir(minor)).unwrap();
            let text = format!("Model: \t A100\nDevice Minor: \t {minor}\n");
            std::fs::write(dir(minor).join("information"), text).unwrap();
            std::fs::write(root.path().join(format!("dev/nvidia{minor}")), "").unwrap();
        }
        let files = |path: &Path| match path.to_str() {
            Some("/c/slurm.conf") => {
                Ok("ClusterName=x\nSlurmctldHost=h\nNodeName=n1 Gres=gpu:3\nPartitionName=p Nodes=n1\n".to_owned())
            }
            Some("/c/gres.conf") => Ok("AutoDetect=nvidia\n".to_owned()),
            _ => Err(io::ErrorKind::NotFound.into()),
        };
        let conf = muster_slurm::conf::load(Path::new("/c/slurm.conf"), &files).unwrap();
        let start = || {
            let mut options = AgentOptions::new("n1", "c", "t", spool.path()).unwrap();
            let node = &conf.cluster.nodes[0];
            options.configure(&conf, node, Path::new("/c/slurm.conf"), World::below(root.path()));
            options.keep_gres_numbers(spool.path());
            let number = |unit: &muster_slurm::conf::GresUnit| format!("{}:{}", unit.unit, unit.files.join("+"));
            options.gres.units.iter().map(number).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(start(), "0:/dev/nvidia0 1:/dev/nvidia1 2:/dev/nvidia2");
        std::fs::remove_dir_all(dir(0)).unwrap();
        assert_eq!(start(), "1:/dev/nvidia1 2:/dev/nvidia2");
        assert_eq!(start(), "1:/dev/nvidia1 2:/dev/nvidia2");
        let known = std::fs::read_to_string(spool.path().join("gres.json")).unwrap();
        let earlier = known.replace(&detect::system().boot_id, "earlier");
        std::fs::write(spool.path().join("gres.json"), earlier).unwrap();
        assert_eq!(start(), "0:/dev/nvidia1 1:/dev/nvidia2", "after a start of the machine");
    }
}
