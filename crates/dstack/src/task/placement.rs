//! On which nodes a task may run: fleets are partitions, instances are nodes.

use std::collections::BTreeSet;
use std::sync::Arc;

use muster_model::ids::Name;
use muster_model::node::Node;
use muster_model::partition::Partition;

use crate::configuration::Task;
use crate::values::{Architecture, InstanceSelector};

/// The cluster as the controller shows it. Both lists may be empty where nobody is to be asked; then nothing is known
/// of the nodes, and less is said about them.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClusterView<'a> {
    /// All nodes by index.
    pub nodes: &'a [Arc<Node>],
    /// All partitions by index.
    pub partitions: &'a [Arc<Partition>],
}

impl<'a> ClusterView<'a> {
    /// The partitions of those names, or the default one when there are none.
    pub(crate) fn partitions_named(&self, names: &[Name]) -> Vec<&'a Partition> {
        let wanted = |partition: &&Arc<Partition>| match names {
            [] => partition.default,
            names => names.contains(&partition.name),
        };
        self.partitions.iter().filter(wanted).map(|partition| &**partition).collect()
    }

    /// The nodes of those partitions, each once.
    pub(crate) fn nodes_of(&self, partitions: &[&Partition]) -> Vec<&'a Node> {
        let indices: BTreeSet<usize> =
            partitions.iter().flat_map(|partition| &partition.nodes).map(|index| index.0 as usize).collect();
        indices.into_iter().filter_map(|index| self.nodes.get(index)).map(|node| &**node).collect()
    }
}

/// Where a task may run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Placement {
    /// Partitions; empty for the default one.
    pub(super) partitions: Vec<Name>,
    /// Nodes that must be used.
    pub(super) required: Vec<Name>,
    /// Nodes that must not be used.
    pub(super) excluded: Vec<Name>,
}

impl Placement {
    /// The nodes that come into question.
    pub(super) fn candidates<'a>(&self, cluster: &ClusterView<'a>) -> Vec<&'a Node> {
        let mut nodes = cluster.nodes_of(&cluster.partitions_named(&self.partitions));
        nodes.retain(|node| !self.excluded.contains(node.name()));
        nodes
    }
}

/// A list of names in the form that node lists have.
pub(super) fn node_list(names: &[Name]) -> Option<Name> {
    (!names.is_empty()).then(|| names.iter().map(|name| &**name).collect::<Vec<_>>().join(",").into())
}

/// Where `task` may run.
///
/// # Errors
/// The property and what is wrong with it, for the user.
pub(super) fn placement(task: &Task, cluster: &ClusterView<'_>) -> Result<Placement, (&'static str, String)> {
    let fleets = task.profile.fleets.iter().flatten();
    let mut placement =
        Placement { partitions: fleets.map(|fleet| fleet.name.as_str().into()).collect(), ..Placement::default() };
    if let Some(selectors) = &task.profile.instances {
        choose_instances(task, selectors, cluster, &mut placement).map_err(|message| ("instances", message))?;
    }
    if let Some(arch) = task.base.resources.cpu.and_then(|cpu| cpu.arch) {
        let foreign = placement.candidates(cluster).into_iter().filter(|node| is_foreign(node, arch));
        let foreign: Vec<Name> = foreign.map(|node| node.name().clone()).collect();
        placement.excluded.extend(foreign);
    }
    Ok(placement)
}

/// "Any of these nodes": all of them where as many are needed, else the others are ruled out.
fn choose_instances(
    task: &Task,
    selectors: &[InstanceSelector],
    cluster: &ClusterView<'_>,
    placement: &mut Placement,
) -> Result<(), String> {
    let mut chosen: BTreeSet<Name> = BTreeSet::new();
    for selector in selectors {
        chosen.insert(find_instance(selector, cluster)?);
    }
    let needed = task.nodes_total() as usize;
    if chosen.len() < needed {
        return Err(format!("{} given, but the task has {needed} nodes", chosen.len()));
    }
    if chosen.len() == needed {
        placement.required = chosen.into_iter().collect();
        return Ok(());
    }
    let nodes = cluster.nodes_of(&cluster.partitions_named(&placement.partitions));
    let others = nodes.into_iter().map(|node| node.name().clone()).filter(|name| !chosen.contains(name));
    placement.excluded = others.collect();
    Ok(())
}

fn find_instance(selector: &InstanceSelector, cluster: &ClusterView<'_>) -> Result<Name, String> {
    let find = |matches: &dyn Fn(&Node) -> bool| {
        cluster.nodes.iter().find(|node| matches(node)).map(|node| node.name().clone())
    };
    match selector {
        InstanceSelector::Name { name } => {
            find(&|node| **node.name() == **name).ok_or_else(|| format!("there is no node {name}"))
        }
        InstanceSelector::Hostname { hostname } => {
            find(&|node| *node.config.host_name == **hostname || *node.config.address == **hostname)
                .ok_or_else(|| format!("there is no node with the host name or address {hostname}"))
        }
        InstanceSelector::Fleet { fleet, instance } => {
            let partition = cluster.partitions.iter().find(|partition| *partition.name == *fleet.name);
            let index = partition.and_then(|partition| partition.nodes.get(*instance as usize));
            let node = index.and_then(|index| cluster.nodes.get(index.0 as usize));
            node.map(|node| node.name().clone()).ok_or_else(|| format!("there is no node {instance} in {fleet}"))
        }
    }
}

/// Whether a node is known to have another instruction set.
fn is_foreign(node: &Node, arch: Architecture) -> bool {
    let known: &[&str] = match arch {
        Architecture::X86 => &["x86_64", "amd64", "i686"],
        Architecture::Arm => &["aarch64", "arm64"],
    };
    !node.report.architecture.is_empty() && !known.contains(&&*node.report.architecture)
}
