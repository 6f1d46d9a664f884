//! Offers: the nodes on which a run could be, grouped by what they are.

use muster_model::hostlist;
use muster_model::job::JobSpec;
use muster_model::node::{Hardware, Node, NodeHealth};
use muster_model::resources::{GresRequest, GresScope, MemoryRequest, ResourceRequest};

use crate::task::ClusterView;
use crate::values::Memory;

/// Whether nodes can be used now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Availability {
    /// Nothing runs there.
    Idle,
    /// Something runs there; there may be room beside it.
    Busy,
    /// Down, drained or silent.
    NotAvailable,
}

impl Availability {
    /// The words that plans show.
    pub const fn as_str(self) -> &'static str {
        match self {
            Availability::Idle => "idle",
            Availability::Busy => "busy",
            Availability::NotAvailable => "not available",
        }
    }
}

/// Nodes of one kind that are large enough for a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// A partition through which they are reached.
    pub partition: String,
    /// What each has: `cpu=16 mem=64GB gpu=a100:4`.
    pub resources: String,
    /// Their names as a host list.
    pub nodes: String,
    /// How many they are.
    pub count: usize,
    /// Whether they can be used now.
    pub availability: Availability,
}

/// The offers for a job that is to be submitted: best first. The partition, the nodes it names and its wishes for each
/// node are looked at; whether there is room at this moment is not.
pub fn offers(spec: &JobSpec, cluster: &ClusterView<'_>) -> Vec<Offer> {
    let is_named = |list: &Option<_>, node: &Node| {
        let names = |list: &muster_model::ids::Name| hostlist::expand(list).unwrap_or_default();
        list.as_ref().map(|list| names(list).iter().any(|name| **name == **node.name()))
    };
    let mut groups: Vec<(Availability, &Hardware, &str, Vec<&Node>)> = Vec::new();
    for partition in cluster.partitions_named(&spec.partitions) {
        for node in cluster.nodes_of(&[partition]) {
            let known = groups.iter().any(|(.., nodes)| nodes.iter().any(|known| known.name() == node.name()));
            let wanted = is_named(&spec.request.nodes_required, node) != Some(false)
                && is_named(&spec.request.nodes_excluded, node) != Some(true);
            if known || !wanted || !fits(&spec.request, &node.config.hardware) {
                continue;
            }
            let (availability, hardware) = (availability(node), &node.config.hardware);
            let same = groups.iter_mut().find(|(known, kind, name, _)| {
                *known == availability && *kind == hardware && **name == *partition.name
            });
            match same {
                Some((.., nodes)) => nodes.push(node),
                None => groups.push((availability, hardware, &partition.name, vec![node])),
            }
        }
    }
    groups.sort_by_key(|(availability, hardware, ..)| (*availability, hardware.cpus, hardware.memory));
    let offer = |(availability, hardware, partition, nodes): (Availability, &Hardware, &str, Vec<&Node>)| Offer {
        partition: partition.to_owned(),
        resources: hardware_text(hardware),
        count: nodes.len(),
        nodes: hostlist::compress(nodes.iter().map(|node| &**node.name())),
        availability,
    };
    groups.into_iter().map(offer).collect()
}

fn availability(node: &Node) -> Availability {
    match node.health {
        NodeHealth::Up if !node.drain && !node.not_responding => match node.used.jobs_running {
            0 => Availability::Idle,
            _ => Availability::Busy,
        },
        _ => Availability::NotAvailable,
    }
}

/// Whether a node with that hardware is large enough for one node's part of a request.
fn fits(request: &ResourceRequest, hardware: &Hardware) -> bool {
    let memory = match request.memory {
        Some(MemoryRequest::PerNode(memory)) => memory <= hardware.memory,
        _ => true,
    };
    let has = |wish: &GresRequest| {
        let matching = hardware
            .gres
            .iter()
            .filter(|gres| gres.name == wish.gres.name && (wish.gres.kind.is_none() || gres.kind == wish.gres.kind));
        wish.scope != GresScope::Node || matching.map(|gres| gres.count).sum::<u64>() >= wish.gres.count
    };
    request.cpus_per_task <= hardware.cpus && memory && request.gres.iter().all(has)
}

/// What a node has: `cpu=16 mem=64GB gpu=a100:4`.
pub(super) fn hardware_text(hardware: &Hardware) -> String {
    let mut parts = vec![format!("cpu={}", hardware.cpus)];
    if hardware.memory.0 > 0 {
        parts.push(format!("mem={}", Memory::from_megabytes(hardware.memory).rounded()));
    }
    if hardware.tmp_disk.0 > 0 {
        parts.push(format!("disk={}", Memory::from_megabytes(hardware.tmp_disk).rounded()));
    }
    for gres in hardware.gres.iter().filter(|gres| &*gres.name == "gpu") {
        parts.push(match &gres.kind {
            Some(kind) => format!("gpu={kind}:{}", gres.count),
            None => format!("gpu={}", gres.count),
        });
    }
    parts.join(" ")
}
