//! `scontrol update NodeName=` and `PartitionName=`: what operators do to nodes and partitions.

use std::sync::Arc;

use muster_model::hostlist;
use muster_model::ids::{Identity, Name, NodeIndex};
use muster_model::node::{NodeHealth, NodeReason};
use muster_model::partition::PartitionState;
use muster_model::request::{NodeChanges, NodeTransition, Refusal, RefusalCode};
use muster_model::time::Timestamp;

use super::{agent, authorisation};
use crate::cluster::Cluster;
use crate::effect::Outcome;

pub(super) fn update(
    cluster: &mut Cluster,
    now: Timestamp,
    identity: &Identity,
    nodes: &Name,
    changes: &NodeChanges,
    out: &mut Outcome,
) -> Result<(), Refusal> {
    authorisation::must_be_operator(identity)?;
    let indices = find(cluster, nodes)?;
    let needs_reason = matches!(changes.state, Some(NodeTransition::Drain | NodeTransition::Down | NodeTransition::Fail));
    if needs_reason && changes.reason.is_none() {
        return Err(Refusal::new(RefusalCode::InvalidNodeState, "a reason is needed to drain a node or take it down"));
    }
    for index in indices {
        change(cluster, now, identity, index, changes, out);
    }
    out.plan_needed = true;
    Ok(())
}

fn find(cluster: &Cluster, nodes: &Name) -> Result<Vec<NodeIndex>, Refusal> {
    let invalid = |name: &str| Refusal::new(RefusalCode::InvalidNodeName, format!("no node {name}"));
    if nodes.eq_ignore_ascii_case("all") {
        return Ok(cluster.node_index.values().copied().collect());
    }
    let names = hostlist::expand(nodes).map_err(|error| Refusal::new(RefusalCode::InvalidNodeName, error.to_string()))?;
    if names.is_empty() {
        return Err(invalid(nodes));
    }
    names.iter().map(|name| cluster.node_index.get(&**name).copied().ok_or_else(|| invalid(name))).collect()
}

fn change(cluster: &mut Cluster, now: Timestamp, identity: &Identity, index: NodeIndex, changes: &NodeChanges, out: &mut Outcome) {
    let reason = changes.reason.as_ref().map(|text| NodeReason {
        text: text.clone(),
        user: identity.user.clone(),
        uid: identity.uid,
        time: now,
    });
    if changes.state == Some(NodeTransition::Down) {
        let fallback = NodeReason { text: "down".into(), user: identity.user.clone(), uid: identity.uid, time: now };
        agent::take_down(cluster, now, index, reason.clone().unwrap_or(fallback), out);
    }
    if changes.state == Some(NodeTransition::Resume) {
        agent::await_call(cluster, now, index, out);
    }
    let connected = cluster.is_connected(index);
    cluster.change_node(index, out, |node| {
        match changes.state {
            Some(NodeTransition::Drain | NodeTransition::Fail) => node.drain = true,
            Some(NodeTransition::Resume) => {
                node.drain = false;
                node.reason = None;
                if node.health == NodeHealth::Down {
                    node.health = if connected { NodeHealth::Up } else { NodeHealth::Unknown };
                }
            }
            Some(NodeTransition::Undrain) => {
                node.drain = false;
                if node.health != NodeHealth::Down {
                    node.reason = None;
                }
            }
            Some(NodeTransition::Down) | None => {}
        }
        if let Some(reason) = reason {
            node.reason = (!reason.text.is_empty()).then_some(reason);
        }
        let config = Arc::make_mut(&mut node.config);
        if let Some(weight) = changes.weight {
            config.weight = weight;
        }
        if let Some(features) = &changes.features {
            config.features = features.clone();
        }
    });
}

pub(super) fn update_partition(
    cluster: &mut Cluster,
    identity: &Identity,
    name: &Name,
    state: PartitionState,
    out: &mut Outcome,
) -> Result<(), Refusal> {
    authorisation::must_be_operator(identity)?;
    let at = *cluster.partition_index.get(name).ok_or(RefusalCode::InvalidPartition)?;
    if let Some(partition) = cluster.partitions.get_mut(at) {
        Arc::make_mut(partition).state = state;
    }
    out.plan_needed = true;
    Ok(())
}
