//! `scontrol show topology`: a line for each switch or block, as Slurm 22.05 prints switches.

use muster_model::hostlist;
use muster_model::ids::NodeIndex;
use muster_model::topology::{Blocks, Switch, Topology};

use super::Outcome;
use crate::output::context::Cluster;

/// All of it, or what `name` (a node, a switch, a block) is part of.
pub(super) fn print(cluster: &Cluster, name: Option<&str>) -> Outcome {
    match &cluster.topology {
        None => Outcome::failure("scontrol: error: No topology information available\n", 0),
        Some(topology) => {
            let lines = match topology {
                Topology::Tree(switches) => tree(cluster, switches, name),
                Topology::Block(blocks) => block(cluster, blocks, name),
            };
            match (lines.is_empty(), name) {
                (true, Some(name)) => Outcome::failure(
                    format!("scontrol: error: Topology information contains no switch or node named {name}\n"),
                    0,
                ),
                _ => Outcome::success(lines),
            }
        }
    }
}

/// Switches from the leaves up. A node is shown with all switches above it, a switch alone.
fn tree(cluster: &Cluster, switches: &[Switch], name: Option<&str>) -> String {
    let node = name.and_then(|name| index(cluster, name));
    let mut shown: Vec<&Switch> = switches
        .iter()
        .filter(|switch| match (name, node) {
            (None, _) => true,
            (_, Some(node)) => switch.nodes.binary_search(&node).is_ok(),
            (Some(name), None) => &*switch.name == name,
        })
        .collect();
    shown.sort_by_key(|switch| switch.level);
    let line = |switch: &&Switch| {
        let nodes = names(cluster, &switch.nodes);
        let below = switch.switches_text.as_ref().map_or(String::new(), |below| format!(" Switches={below}"));
        let (name, level, speed) = (&switch.name, switch.level, switch.link_speed);
        format!("SwitchName={name} Level={level} LinkSpeed={speed} Nodes={nodes}{below}\n")
    };
    shown.iter().map(line).collect()
}

fn block(cluster: &Cluster, blocks: &Blocks, name: Option<&str>) -> String {
    let node = name.and_then(|name| index(cluster, name));
    let size = blocks.sizes.first().copied().unwrap_or(0);
    let is_meant = |position: usize| match (name, node) {
        (None, _) => true,
        (_, Some(node)) => blocks.blocks[position].nodes.binary_search(&node).is_ok(),
        (Some(name), None) => &*blocks.blocks[position].name == name,
    };
    let line = |position: usize| {
        let block = &blocks.blocks[position];
        let nodes = names(cluster, &block.nodes);
        format!("BlockName={} BlockIndex={position} Nodes={nodes} BlockSize={size}\n", block.name)
    };
    (0..blocks.blocks.len()).filter(|position| is_meant(*position)).map(line).collect()
}

fn index(cluster: &Cluster, name: &str) -> Option<NodeIndex> {
    let position = cluster.nodes.iter().position(|node| **node.name() == *name)?;
    u32::try_from(position).ok().map(NodeIndex)
}

fn names(cluster: &Cluster, nodes: &[NodeIndex]) -> String {
    hostlist::compress(nodes.iter().filter_map(|node| cluster.node_name(*node)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use muster_model::node::Node;

    /// A cluster of eight nodes with this `topology.conf`.
    fn cluster(plugin: &str, topology: &str) -> Cluster {
        let conf = format!(
            "ClusterName=c\nSlurmctldHost=h\nTopologyPlugin=topology/{plugin}\nNodeName=n[1-8]\nPartitionName=p Nodes=ALL\n"
        );
        let read = |path: &Path| match path.file_name().and_then(|name| name.to_str()) {
            Some("slurm.conf") => Ok(conf.clone()),
            Some("topology.conf") => Ok(topology.to_owned()),
            _ => Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
        };
        let loaded = crate::conf::load(Path::new("/c/slurm.conf"), &read).unwrap();
        let node = |config: muster_model::node::NodeConfig| Arc::new(Node::new(Arc::new(config)));
        let nodes = loaded.cluster.nodes.into_iter().map(node).collect();
        Cluster { nodes, topology: loaded.cluster.topology, ..Cluster::default() }
    }

    const TREE: &str = "SwitchName=s0 Nodes=n[1-2]\nSwitchName=s1 Nodes=n[3-6]\nSwitchName=top Switches=s[0-1]\n";

    #[test]
    fn switches_are_listed_from_the_leaves_up() {
        let cluster = cluster("tree", TREE);
        let all = "SwitchName=s0 Level=0 LinkSpeed=1 Nodes=n[1-2]\n\
                   SwitchName=s1 Level=0 LinkSpeed=1 Nodes=n[3-6]\n\
                   SwitchName=top Level=1 LinkSpeed=1 Nodes=n[1-6] Switches=s[0-1]\n";
        assert_eq!(print(&cluster, None).stdout, all);
        let above = "SwitchName=s1 Level=0 LinkSpeed=1 Nodes=n[3-6]\n\
                     SwitchName=top Level=1 LinkSpeed=1 Nodes=n[1-6] Switches=s[0-1]\n";
        assert_eq!(print(&cluster, Some("n3")).stdout, above);
        assert_eq!(print(&cluster, Some("s0")).stdout, "SwitchName=s0 Level=0 LinkSpeed=1 Nodes=n[1-2]\n");
        let nothing = "scontrol: error: Topology information contains no switch or node named zz\n";
        assert_eq!(print(&cluster, Some("zz")).stderr, nothing);
        assert_eq!(print(&Cluster::default(), None).stderr, "scontrol: error: No topology information available\n");
    }

    #[test]
    fn blocks_are_listed_in_order() {
        let cluster = cluster("block", "BlockName=b1 Nodes=n[1-4]\nBlockName=b2 Nodes=n[5-8]\nBlockSizes=4,8\n");
        assert_eq!(print(&cluster, Some("n5")).stdout, "BlockName=b2 BlockIndex=1 Nodes=n[5-8] BlockSize=4\n");
        assert_eq!(print(&cluster, None).stdout.lines().count(), 2);
    }

    /// As real Slurm tells a job: `top.a.s0.n1`.
    #[test]
    fn a_node_has_an_address_in_the_topology() {
        let cluster = cluster("tree", TREE);
        let topology = cluster.topology.unwrap();
        let address = topology.address(NodeIndex(2), "n3");
        assert_eq!(address, ("top.s1.n3".to_owned(), "switch.switch.node".to_owned()));
        let outside = topology.address(NodeIndex(7), "n8");
        assert_eq!(outside, ("n8".to_owned(), "node".to_owned()));
    }
}
