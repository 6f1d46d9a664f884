//! `type: task`.

use serde::Serialize;

use super::base::{RunBase, name_groups};
use super::profile::Profile;
use super::resources::Resources;
use crate::document::{Fields, Node, Path, Problems, Read};
use crate::values::PortMapping;

/// Commands that run to their end, on one node or several.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Task {
    /// What every run has.
    #[serde(flatten)]
    pub base: RunBase,
    /// Where and how it is placed, retried and ended.
    #[serde(flatten)]
    pub profile: Profile,
    /// Number of nodes; `None` for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<u32>,
    /// Groups of nodes that differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<NodeGroup>>,
    /// Ports to expose.
    pub ports: Vec<PortMapping>,
    /// What it runs.
    pub commands: Vec<String>,
}

/// Nodes of a task that do the same.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeGroup {
    /// Name; its number where none is given.
    pub name: Option<String>,
    /// Number of nodes.
    pub nodes: u32,
    /// What is needed of each.
    pub resources: Resources,
    /// What they run.
    pub commands: Vec<String>,
    /// Ports to expose.
    pub ports: Vec<PortMapping>,
}

/// Most nodes of a task: above any cluster, and low enough that no count of GPUs overflows.
const NODES_MAX: u32 = 100_000;

impl Task {
    /// Number of nodes over all groups.
    pub fn nodes_total(&self) -> u32 {
        match &self.groups {
            Some(groups) => groups.iter().fold(0, |sum: u32, group| sum.saturating_add(group.nodes)),
            None => self.nodes.unwrap_or(1),
        }
    }
}

impl Read for Task {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let mut fields = Fields::open(node, path)?;
        fields.is_written("type");
        let mut task = Task {
            base: RunBase::take(&mut fields),
            profile: Profile::take(&mut fields),
            nodes: fields.optional_with("nodes", read_nodes),
            groups: fields.optional("groups"),
            ports: fields.or_default("ports"),
            commands: fields.or_default("commands"),
        };
        match &mut task.groups {
            Some(groups) => {
                name_groups(&mut fields, groups.iter_mut().map(|group| &mut group.name));
                check_groups(&mut fields, &task);
            }
            None if task.commands.is_empty() && task.base.image.is_none() && !fields.has_problem("commands") => {
                fields.problem_here("either commands or image must be set");
            }
            None => {}
        }
        fields.finish(Some(task))
    }
}

fn check_groups(fields: &mut Fields<'_>, task: &Task) {
    let misplaced = [
        ("nodes", task.nodes.is_some()),
        ("commands", !task.commands.is_empty()),
        ("ports", !task.ports.is_empty()),
        ("entrypoint", task.base.entrypoint.is_some()),
    ];
    for (name, _) in misplaced.into_iter().filter(|(_, given)| *given) {
        fields.problem(name, "is not allowed beside groups; each group has its own");
    }
    let without_commands = task.groups.iter().flatten().any(|group| group.commands.is_empty());
    if without_commands && task.base.image.is_none() {
        fields.problem("groups", "each group needs commands, or the task an image");
    }
}

/// A number of nodes, at least one.
fn read_nodes(node: &Node, path: &Path<'_>) -> Result<Option<u32>, Problems> {
    match u32::read(node, path)? {
        0 => Err(node.problem(path, "must be 1 or more")),
        nodes if nodes > NODES_MAX => Err(node.problem(path, format!("must be {NODES_MAX} or less"))),
        nodes => Ok(Some(nodes)),
    }
}

impl Read for NodeGroup {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let mut fields = Fields::open(node, path)?;
        let group = NodeGroup {
            name: fields.optional("name"),
            nodes: fields.optional_with("nodes", read_nodes).unwrap_or(1),
            resources: fields.or_default("resources"),
            commands: fields.or_default("commands"),
            ports: fields.or_default("ports"),
        };
        fields.finish(Some(group))
    }
}
