//! How nodes are wired: a tree of switches, or blocks of nodes that are close to each other.

use serde::{Deserialize, Serialize};

use crate::ids::{Name, NodeIndex};

/// `TopologyPlugin` with what `topology.conf` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topology {
    /// `topology/tree`.
    Tree(Vec<Switch>),
    /// `topology/block`.
    Block(Blocks),
}

/// A switch of the tree. Switches stand in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    /// Name.
    pub name: Name,
    /// Height above the nodes: 0 for a leaf switch.
    pub level: u32,
    /// Position of the switch above it.
    pub parent: Option<u32>,
    /// All nodes below it, ascending.
    pub nodes: Vec<NodeIndex>,
    /// `Switches=` as written, for those above others.
    pub switches_text: Option<Name>,
    /// `Nodes=` as written, for leaf switches.
    pub nodes_text: Option<Name>,
    /// `LinkSpeed`, which is only shown.
    pub link_speed: u32,
}

/// Blocks of nodes, and how many of them make a greater one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocks {
    /// Base blocks in the order of the file.
    pub blocks: Vec<Block>,
    /// `BlockSizes`: nodes of a base block, then of each greater one; each is the one before times a power of two.
    pub sizes: Vec<u32>,
}

/// A base block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Name.
    pub name: Name,
    /// Nodes, ascending.
    pub nodes: Vec<NodeIndex>,
    /// `Nodes=` as written.
    pub nodes_text: Name,
}

impl Topology {
    /// `SLURM_TOPOLOGY_ADDR` and `SLURM_TOPOLOGY_ADDR_PATTERN` of a node: the names from the top down to the node, as
    /// Slurm 22.05 writes them.
    pub fn address(&self, node: NodeIndex, name: &str) -> (String, String) {
        let above: Vec<(&str, &str)> = match self {
            Topology::Tree(switches) => path(switches, node).into_iter().map(|name| (name, "switch")).collect(),
            Topology::Block(blocks) => {
                let block = blocks.blocks.iter().find(|block| block.nodes.binary_search(&node).is_ok());
                block.map(|block| (&*block.name, "block")).into_iter().collect()
            }
        };
        let with = |last: &str, each: &dyn Fn(&(&str, &str)) -> String| {
            let mut text: String = above.iter().map(|level| each(level) + ".").collect();
            text.push_str(last);
            text
        };
        (with(name, &|level| level.0.to_owned()), with("node", &|level| level.1.to_owned()))
    }
}

/// Names of the switches above `node`, from the top. Where a level has several, they are joined with commas.
fn path(switches: &[Switch], node: NodeIndex) -> Vec<&str> {
    let leaf = switches.iter().position(|switch| switch.level == 0 && switch.nodes.binary_search(&node).is_ok());
    let mut names = Vec::new();
    let mut at = leaf;
    // A path is never longer than there are switches.
    while let Some(switch) = at.and_then(|at| switches.get(at)).filter(|_| names.len() < switches.len()) {
        names.push(&*switch.name);
        at = switch.parent.map(|parent| parent as usize);
    }
    names.reverse();
    names
}
