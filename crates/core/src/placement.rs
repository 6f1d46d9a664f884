//! From amounts to the very CPUs: what the plan proposes for a node is checked against what is free now, and chosen.

use muster_model::ids::NodeIndex;
use muster_model::node::Node;
use muster_model::planning::PlannedShare;
use muster_model::resources::{GresShare, IndexSet, NodeShare};

use crate::cluster::Cluster;
use crate::handlers::reservations::access::Closed;

/// The share that a plan proposes, made exact; `None` when it does not fit any more.
pub(crate) fn realise(
    cluster: &Cluster,
    planned: &PlannedShare,
    uid: u32,
    exclusive_user: bool,
    closed: &Closed,
) -> Option<NodeShare> {
    let node = cluster.nodes.get(planned.node.0 as usize)?;
    if !node.is_schedulable() || planned.cpus > node.cpus_free() {
        return None;
    }
    if cluster.config.memory_is_consumed && planned.memory > node.memory_free() {
        return None;
    }
    match node.used.exclusive_user {
        Some(owner) if owner != uid => return None,
        None if exclusive_user && node.used.jobs_running + node.used.jobs_completing > 0 => {
            let all_mine = cluster
                .node_jobs
                .get(&planned.node)
                .into_iter()
                .flatten()
                .all(|id| cluster.jobs.get(id).is_some_and(|job| job.spec.identity.uid == uid));
            if !all_mine {
                return None;
            }
        }
        _ => {}
    }
    if !planned.gres.iter().all(|wanted| gres_is_free(node, wanted) && closed.gres_is_open(wanted)) {
        return None;
    }
    Some(NodeShare {
        node: planned.node,
        cpus: choose_cpus(node, planned.cpus, closed)?,
        memory: planned.memory,
        gres: planned.gres.clone(),
        tasks: planned.tasks,
    })
}

fn gres_is_free(node: &Node, wanted: &GresShare) -> bool {
    let total: u64 =
        node.config.hardware.gres.iter().filter(|gres| gres.name == wanted.name).map(|gres| gres.count).sum();
    let exists = wanted.units.iter().all(|unit| u64::from(unit) < total);
    exists
        && node
            .used
            .gres
            .iter()
            .filter(|held| held.name == wanted.name)
            .all(|held| held.units.is_disjoint(&wanted.units))
}

/// The lowest free CPUs, whole cores first, so that threads of one core go to one job.
fn choose_cpus(node: &Node, count: u32, closed: &Closed) -> Option<IndexSet> {
    let hardware = &node.config.hardware;
    let threads = hardware.threads_per_core.max(1);
    let free = |cpu: u32| !node.used.cpus.contains(cpu) && !closed.cpus.contains(cpu);
    let mut chosen = IndexSet::default();
    let mut left = count;
    let mut cpu = 0;
    while left >= threads && cpu + threads <= hardware.cpus {
        if (cpu..cpu + threads).all(free) {
            (cpu..cpu + threads).for_each(|thread| chosen.insert(thread));
            left -= threads;
        }
        cpu += threads;
    }
    for cpu in 0..hardware.cpus {
        if left == 0 {
            break;
        }
        if free(cpu) && !chosen.contains(cpu) {
            chosen.insert(cpu);
            left -= 1;
        }
    }
    (left == 0).then_some(chosen)
}

/// Nodes of an allocation as a set of indices, for messages about them.
pub(crate) fn nodes_of(shares: &[NodeShare]) -> impl Iterator<Item = NodeIndex> + '_ {
    shares.iter().map(|share| share.node)
}
