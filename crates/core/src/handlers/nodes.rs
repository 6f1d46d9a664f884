//! `scontrol update NodeName=`: what operators do to nodes.

use std::sync::Arc;

use muster_model::hostlist;
use muster_model::ids::{Identity, Name, NodeIndex};
use muster_model::node::{NodeHealth, NodeReason};
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
    authorisation::may_change_cluster(identity)?;
    let indices = find(cluster, nodes)?;
    let needs_reason =
        matches!(changes.state, Some(NodeTransition::Drain | NodeTransition::Down | NodeTransition::Fail));
    if needs_reason && changes.reason.is_none() {
        return Err(Refusal::new(RefusalCode::InvalidNodeState, "a reason is needed to drain a node or take it down"));
    }
    if changes.state == Some(NodeTransition::Resume) {
        may_resume(cluster, &indices)?;
    }
    let features = indices.iter().map(|index| features_of(cluster, *index, changes)).collect::<Result<Vec<_>, _>>()?;
    for (index, features) in indices.into_iter().zip(features) {
        change(cluster, now, identity, (index, features), changes, out);
    }
    out.plan_needed = true;
    Ok(())
}

/// Resuming a node that is neither down nor drained makes no sense.
fn may_resume(cluster: &Cluster, indices: &[NodeIndex]) -> Result<(), Refusal> {
    let resumable = |index: &NodeIndex| {
        let node = cluster.nodes.get(index.0 as usize);
        node.is_some_and(|node| node.drain || node.health != NodeHealth::Up || node.not_responding)
    };
    if indices.iter().any(resumable) { Ok(()) } else { Err(RefusalCode::InvalidNodeState.into()) }
}

fn find(cluster: &Cluster, nodes: &Name) -> Result<Vec<NodeIndex>, Refusal> {
    let invalid = |name: &str| Refusal::new(RefusalCode::InvalidNodeName, format!("no node {name}"));
    if nodes.eq_ignore_ascii_case("all") {
        return Ok(cluster.node_index.values().copied().collect());
    }
    let names =
        hostlist::expand(nodes).map_err(|error| Refusal::new(RefusalCode::InvalidNodeName, error.to_string()))?;
    if names.is_empty() {
        return Err(invalid(nodes));
    }
    names.iter().map(|name| cluster.node_index.get(&**name).copied().ok_or_else(|| invalid(name))).collect()
}

fn change(
    cluster: &mut Cluster,
    now: Timestamp,
    identity: &Identity,
    (index, features): (NodeIndex, Option<Features>),
    changes: &NodeChanges,
    out: &mut Outcome,
) {
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
        for (place, change) in [(&mut node.comment, &changes.comment), (&mut node.extra, &changes.extra)] {
            if let Some(text) = change {
                *place = (!text.is_empty()).then(|| text.clone());
            }
        }
        if changes.weight.is_none() && features.is_none() {
            return;
        }
        let config = Arc::make_mut(&mut node.config);
        if let Some(weight) = changes.weight {
            config.weight = weight;
        }
        if let Some(features) = features {
            (config.features, config.features_inactive) = (features.all, features.inactive);
        }
    });
}

/// Features of a node after a change.
struct Features {
    all: Vec<Name>,
    inactive: Vec<Name>,
}

/// What a change makes of the features of a node. As in Slurm, a node without any active feature gets all that it can have, and
/// what is active must be among those; `None` where nothing is said of them.
fn features_of(cluster: &Cluster, index: NodeIndex, changes: &NodeChanges) -> Result<Option<Features>, Refusal> {
    let Some(node) = cluster.nodes.get(index.0 as usize) else { return Ok(None) };
    if changes.features.is_none() && changes.features_active.is_none() {
        return Ok(None);
    }
    let all = changes.features.as_ref().unwrap_or(&node.config.features);
    let active: Vec<Name> = match &changes.features_active {
        Some(active) => active.clone(),
        None => {
            let present: Vec<Name> = node.config.active_features().cloned().collect();
            if present.is_empty() { all.clone() } else { present }
        }
    };
    match active.iter().find(|name| !all.contains(name)) {
        Some(name) => Err(Refusal::new(RefusalCode::ActiveFeature, format!("{} cannot have {name}", node.name()))),
        None => {
            let inactive = all.iter().filter(|name| !active.contains(name)).cloned().collect();
            Ok(Some(Features { all: all.clone(), inactive }))
        }
    }
}
