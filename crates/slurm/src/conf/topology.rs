//! `topology.conf`: how nodes are wired.
//!
//! `SwitchName=` lines make a tree, `BlockName=` lines and `BlockSizes=` make blocks; which of the two counts is said
//! by `TopologyPlugin`.

use std::collections::BTreeMap;

use muster_model::hostlist;
use muster_model::ids::{Name, NodeIndex};
use muster_model::node::NodeConfig;
use muster_model::topology::{Block, Blocks, Switch, Topology};

use super::ConfError;
use super::lines::Line;
use super::nodes::check_keys;

/// `TopologyPlugin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `topology/tree`.
    Tree,
    /// `topology/block`.
    Block,
}

/// Keys of a line about a switch.
const SWITCH_KEYS: &[(&str, bool)] = &[("SwitchName", true), ("Nodes", true), ("Switches", true), ("LinkSpeed", true)];
/// Keys of a line about blocks.
const BLOCK_KEYS: &[(&str, bool)] = &[("BlockName", true), ("Nodes", true), ("BlockSizes", true)];

/// Reads the lines of `topology.conf` for these nodes.
///
/// # Errors
/// With file and line: unknown keys and nodes, switches named twice, under two others or within themselves, sizes of
/// blocks that do not double.
pub(super) fn read(kind: Kind, lines: &[Line], nodes: &[NodeConfig]) -> Result<Topology, ConfError> {
    let by_name: BTreeMap<&str, NodeIndex> =
        (0..).map(NodeIndex).zip(nodes).map(|(index, node)| (&*node.name, index)).collect();
    match kind {
        Kind::Tree => tree(lines, &by_name).map(Topology::Tree),
        Kind::Block => blocks(lines, &by_name).map(Topology::Block),
    }
}

fn tree(lines: &[Line], nodes: &BTreeMap<&str, NodeIndex>) -> Result<Vec<Switch>, ConfError> {
    let mut switches: Vec<Switch> = Vec::new();
    let mut positions: BTreeMap<String, u32> = BTreeMap::new();
    let mut from: Vec<&Line> = Vec::new();
    for line in lines {
        check_keys(line, SWITCH_KEYS, &mut Vec::new())?;
        let names = line.get("SwitchName").ok_or_else(|| line.error("a line of a tree names no SwitchName"))?;
        let has_both = line.get("Nodes").is_some() == line.get("Switches").is_some();
        if has_both {
            return Err(line.error(format!("switch {names} needs either Nodes or Switches")));
        }
        for name in expand(line, names)? {
            if positions.insert(name.clone(), switches.len() as u32).is_some() {
                return Err(line.error(format!("switch {name} is defined twice")));
            }
            switches.push(Switch {
                name: name.as_str().into(),
                level: 0,
                parent: None,
                nodes: line.get("Nodes").map(|list| find(line, list, nodes)).transpose()?.unwrap_or_default(),
                switches_text: line.get("Switches").map(Name::from),
                nodes_text: line.get("Nodes").map(Name::from),
                link_speed: line.get("LinkSpeed").and_then(|text| text.parse().ok()).unwrap_or(1),
            });
            from.push(line);
        }
    }
    let below = children(&switches, &positions, &from)?;
    for (at, children) in below.iter().enumerate() {
        for child in children {
            let own = &mut switches[*child as usize];
            if own.parent.replace(at as u32).is_some() {
                return Err(from[at].error(format!("switch {} is under two others", own.name)));
            }
        }
    }
    raise(&mut switches, &below, &from)?;
    one_leaf_each(&switches, &from)?;
    Ok(switches)
}

/// Positions of the switches right below each.
fn children(
    switches: &[Switch],
    positions: &BTreeMap<String, u32>,
    from: &[&Line],
) -> Result<Vec<Vec<u32>>, ConfError> {
    let mut all = Vec::with_capacity(switches.len());
    for (switch, line) in switches.iter().zip(from) {
        let mut below = Vec::new();
        for name in expand(line, switch.switches_text.as_deref().unwrap_or(""))? {
            let at = positions.get(&name);
            below.push(
                *at.ok_or_else(|| line.error(format!("switch {} names {name}, which is not defined", switch.name)))?,
            );
        }
        all.push(below);
    }
    Ok(all)
}

/// Levels and nodes from the leaves up. What is never reached goes round in a circle.
fn raise(switches: &mut [Switch], below: &[Vec<u32>], from: &[&Line]) -> Result<(), ConfError> {
    let mut is_done: Vec<bool> = below.iter().map(Vec::is_empty).collect();
    for _ in 0..switches.len() {
        for (at, children) in below.iter().enumerate() {
            if is_done[at] || !children.iter().all(|child| is_done[*child as usize]) {
                continue;
            }
            let level = children.iter().map(|child| switches[*child as usize].level + 1).max().unwrap_or(0);
            let mut nodes: Vec<NodeIndex> =
                children.iter().flat_map(|child| switches[*child as usize].nodes.iter().copied()).collect();
            nodes.sort_unstable();
            (switches[at].level, switches[at].nodes, is_done[at]) = (level, nodes, true);
        }
    }
    match is_done.iter().position(|done| !done) {
        Some(at) => Err(from[at].error(format!("switch {} is within itself", switches[at].name))),
        None => Ok(()),
    }
}

/// A node hangs at one leaf switch at most.
fn one_leaf_each(switches: &[Switch], from: &[&Line]) -> Result<(), ConfError> {
    let mut seen: BTreeMap<NodeIndex, &Name> = BTreeMap::new();
    for (switch, line) in switches.iter().zip(from).filter(|(switch, _)| switch.level == 0) {
        for node in &switch.nodes {
            if let Some(other) = seen.insert(*node, &switch.name) {
                return Err(line.error(format!("a node of switch {} is at switch {other} too", switch.name)));
            }
        }
    }
    Ok(())
}

fn blocks(lines: &[Line], nodes: &BTreeMap<&str, NodeIndex>) -> Result<Blocks, ConfError> {
    let mut found = Blocks { blocks: Vec::new(), sizes: Vec::new() };
    for line in lines {
        check_keys(line, BLOCK_KEYS, &mut Vec::new())?;
        if let Some(sizes) = line.get("BlockSizes") {
            found.sizes = sizes_of(line, sizes)?;
        }
        let Some(name) = line.get("BlockName") else { continue };
        let list = line.get("Nodes").ok_or_else(|| line.error(format!("block {name} names no Nodes")))?;
        if found.blocks.iter().any(|block| &*block.name == name) {
            return Err(line.error(format!("block {name} is defined twice")));
        }
        let own = find(line, list, nodes)?;
        if let Some(other) = found.blocks.iter().find(|block| block.nodes.iter().any(|node| own.contains(node))) {
            return Err(line.error(format!("a node of block {name} is in block {} too", other.name)));
        }
        found.blocks.push(Block { name: name.into(), nodes: own, nodes_text: list.into() });
    }
    if found.sizes.is_empty() {
        // As in Slurm, the smallest block is the size then.
        found.sizes = found.blocks.iter().map(|block| block.nodes.len() as u32).min().into_iter().collect();
    }
    Ok(found)
}

/// Each size is the one before times a power of two.
fn sizes_of(line: &Line, text: &str) -> Result<Vec<u32>, ConfError> {
    let bad = || line.error(format!("BlockSizes={text}: each size must be the first times a power of two, ascending"));
    let sizes: Vec<u32> = text.split(',').map(|size| size.parse().map_err(|_| bad())).collect::<Result<_, _>>()?;
    let fits = |size: &u32| size.is_multiple_of(sizes[0].max(1)) && (size / sizes[0].max(1)).is_power_of_two();
    let ascend = sizes.windows(2).all(|pair| pair[0] < pair[1]);
    if sizes[0] > 0 && ascend && sizes.iter().all(fits) { Ok(sizes) } else { Err(bad()) }
}

fn expand(line: &Line, list: &str) -> Result<Vec<String>, ConfError> {
    hostlist::expand(list).map_err(|problem| line.error(problem.to_string()))
}

fn find(line: &Line, list: &str, nodes: &BTreeMap<&str, NodeIndex>) -> Result<Vec<NodeIndex>, ConfError> {
    let mut found = Vec::new();
    for name in expand(line, list)? {
        if name.eq_ignore_ascii_case("all") {
            found.extend(nodes.values().copied());
            continue;
        }
        let index = nodes.get(name.as_str());
        found.push(*index.ok_or_else(|| line.error(format!("no node {name} is defined")))?);
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}
