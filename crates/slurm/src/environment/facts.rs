//! What the builders are told about a launch, and the list that they fill.

use muster_model::hostlist;
use muster_model::ids::NodeIndex;
use muster_model::job::Job;
use muster_model::resources::NodeShare;
use muster_model::step::{Step, StepNode};

use super::gpu_facts::GpuFacts;

/// Names and values. No name stands twice.
pub type Variables = Vec<(String, String)>;

/// A node of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeFacts<'a> {
    /// Its index in the cluster, as allocations and layouts name it.
    pub index: NodeIndex,
    /// Its name in Slurm's commands.
    pub name: &'a str,
    /// Address at which others reach it.
    pub address: &'a str,
    /// `SLURM_TOPOLOGY_ADDR` and `SLURM_TOPOLOGY_ADDR_PATTERN`, where the cluster has a topology.
    pub topology: Option<(&'a str, &'a str)>,
}

/// Everything about a launch on one node that its environment tells.
#[derive(Debug, Clone, Copy)]
pub struct LaunchFacts<'a> {
    /// The job, with its allocation.
    pub job: &'a Job,
    /// Name of the cluster.
    pub cluster_name: &'a str,
    /// Host and port of the controller, for `SLURM_WORKING_CLUSTER`.
    pub controller: Option<(&'a str, u16)>,
    /// Nodes of the job in the order of its allocation.
    pub nodes: &'a [NodeFacts<'a>],
    /// The node on which the processes are started.
    pub here: NodeIndex,
    /// All components of a heterogeneous job, where its script is started; empty otherwise.
    pub components: &'a [Job],
    /// Path of `slurm.conf`, if this node has one.
    pub slurm_conf: Option<&'a str>,
    /// What this node knows of its GPUs.
    pub gpus: &'a GpuFacts,
}

impl<'a> LaunchFacts<'a> {
    /// Position of this node within the job's; 0 for a node that is none of them.
    pub(super) fn position(&self) -> usize {
        self.nodes.iter().position(|node| node.index == self.here).unwrap_or(0)
    }

    /// Name of this node.
    pub(super) fn node_name(&self) -> &'a str {
        self.nodes.iter().find(|node| node.index == self.here).map_or("", |node| node.name)
    }

    /// Where this node hangs, and what each part of that is; without a topology just its name.
    pub(super) fn topology(&self) -> (&'a str, &'a str) {
        let here = self.nodes.iter().find(|node| node.index == self.here);
        here.and_then(|node| node.topology).unwrap_or((self.node_name(), "node"))
    }

    /// What the job holds on this node.
    pub(super) fn share(&self) -> Option<&'a NodeShare> {
        self.job.allocation.as_deref().and_then(|allocation| allocation.share(self.here))
    }

    /// What `step` has on this node, and at which position among its nodes.
    pub(super) fn step_node<'s>(&self, step: &'s Step) -> Option<(usize, &'s StepNode)> {
        step.layout.iter().enumerate().find(|(_, node)| node.node == self.here)
    }
}

/// Names of the job's nodes as a host list.
pub(super) fn node_list(job: &Job, nodes: &[NodeFacts<'_>]) -> String {
    match &job.node_list {
        Some(list) => list.to_string(),
        None => hostlist::compress(nodes.iter().map(|node| node.name)),
    }
}

/// A list being filled.
#[derive(Debug, Default)]
pub(super) struct Builder {
    variables: Variables,
}

impl Builder {
    pub(super) fn set(&mut self, name: &str, value: impl ToString) {
        debug_assert!(!self.variables.iter().any(|(known, _)| known == name), "{name} is set twice");
        self.variables.push((name.to_owned(), value.to_string()));
    }

    /// Sets nothing for `None`.
    pub(super) fn set_some(&mut self, name: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }

    pub(super) fn finish(self) -> Variables {
        self.variables
    }
}
