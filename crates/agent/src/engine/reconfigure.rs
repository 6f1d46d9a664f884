//! `scontrol reconfigure`, and HUP, on a node: the configuration is read again, and the next launches go by it.

use std::path::Path;

use muster_slurm::conf;

use super::Engine;
use crate::options::AgentOptions;
use crate::report;

impl Engine {
    /// Reads the configuration again. One that cannot be used leaves the agent as it is.
    pub(super) fn reconfigure(&mut self) {
        let Some(path) = self.options.slurm_conf.clone() else {
            tracing::warn!("told to read the configuration again, but this agent was started without a slurm.conf");
            return;
        };
        match read(&self.options, &path) {
            Err(problem) => tracing::error!("the configuration stays as it is: {problem}"),
            Ok(options) => self.go_on_by(options),
        }
    }

    fn go_on_by(&mut self, mut options: AgentOptions) {
        options.keep_gres_numbers(self.spool.dir());
        for message in &options.gres.messages {
            tracing::warn!("{message}");
        }
        let is_other_machine = report::hardware(&options) != report::hardware(&self.options);
        self.launches.go_by(&options, &self.spool);
        self.options = options;
        tracing::info!("configuration read again");
        if is_other_machine {
            // What a node has is told when it calls.
            self.reconnect();
        }
    }
}

/// The options by the configuration as it is now. How a supervisor works is settled when it starts.
fn read(present: &AgentOptions, path: &Path) -> Result<AgentOptions, String> {
    let conf = conf::load(path, &|path| std::fs::read_to_string(path)).map_err(|error| error.to_string())?;
    let node = conf.cluster.nodes.iter().find(|node| *node.name == *present.node_name);
    let node = node.ok_or_else(|| format!("no node {} in {}", present.node_name, path.display()))?;
    let mut options = present.clone();
    options.configure(&conf, node, path, present.gres_source.world.clone());
    options.supervisor_options = present.supervisor_options.clone();
    // Steps of a running job are to have what its first ones had.
    options.job_container = present.job_container.clone();
    options.task.tracked = present.task.tracked;
    options.measure.energy = present.measure.energy;
    Ok(options)
}
