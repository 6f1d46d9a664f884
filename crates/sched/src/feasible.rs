//! Can a request ever run in a partition, whatever runs now and whatever state nodes are in?
//!
//! The three kinds of answer, and which request gets which, are Slurm's as observed with 22.05: what only the limits of the
//! partition forbid is accepted and waits, since limits may be changed; what no set of nodes can satisfy is refused.

use muster_model::accounting::Freedom;
use muster_model::partition::MemoryDefault;
use muster_model::request::{Refusal, RefusalCode};
use muster_model::resources::ResourceRequest;
use muster_model::state::Reason;
use muster_model::time::Span;

use crate::ask::{self, Ask, Reading};
use crate::choose::Candidate;
use crate::exact::Exact;
use crate::fleet::Fleet;
use crate::free::Free;
use crate::nodeset::NodeSet;
use crate::supply::{Company, Supply};

/// Longer than anything that a job waits for.
pub(crate) const FOR_EVER: Span = Span::from_seconds(1 << 40);

/// What becomes of a request in a partition.
#[derive(Debug, Clone)]
pub(crate) enum Verdict {
    /// It can run.
    Possible(Box<Ask>),
    /// It waits until the partition is changed.
    Waits(Reason),
    /// It can never run.
    Never(Refusal),
}

/// Judges `request` for a partition, where its limits hold but for those in the freedom.
pub(crate) fn judge(
    fleet: &Fleet,
    (partition, freedom): (u32, Freedom),
    request: &ResourceRequest,
    scratch: &mut Vec<Candidate>,
) -> Verdict {
    let reading = match ask::read(fleet, (partition, freedom), request) {
        Ok(reading) => reading,
        Err(refusal) => return Verdict::Never(refusal),
    };
    if let Some(reason) = limit(fleet, (partition, freedom), &reading) {
        return Verdict::Waits(reason);
    }
    if let Some(refusal) = no_node(fleet, partition, request, &reading) {
        return Verdict::Never(refusal);
    }
    let mut ask = reading.ask;
    let nodes = if ask.nodes_max < ask.nodes_min { None } else { nodes_on_empty(fleet, &ask, &ask.eligible, scratch) };
    let Some(nodes) = nodes else { return Verdict::Never(RefusalCode::NodeConfigUnavailable.into()) };
    ask.nodes_when_empty = nodes;
    Verdict::Possible(Box::new(ask))
}

/// Whether `ask` fits on `nodes` when nothing runs there.
pub(crate) fn fits_empty(fleet: &Fleet, ask: &Ask, nodes: &NodeSet, scratch: &mut Vec<Candidate>) -> bool {
    nodes_on_empty(fleet, ask, nodes, scratch).is_some()
}

/// How many of `nodes` it takes when nothing runs there; `None` where they do not suffice.
fn nodes_on_empty(fleet: &Fleet, ask: &Ask, nodes: &NodeSet, scratch: &mut Vec<Candidate>) -> Option<u32> {
    let free = Free::everything(fleet);
    let supply = Supply {
        fleet,
        free: &free,
        usable: nodes,
        planned: None,
        company: Company::Anybody,
        reserved: None,
        exact: Exact::Empty,
        waited: FOR_EVER,
        remembered: None,
    };
    supply.place(ask, scratch).map(|choices| choices.len() as u32)
}

/// The limit of the partition that keeps the job waiting.
fn limit(fleet: &Fleet, (partition, freedom): (u32, Freedom), reading: &Reading) -> Option<Reason> {
    let part = fleet.partition(partition);
    let nodes = &fleet.partition_nodes[partition as usize];
    let (least, most) = (freedom.least_nodes(part), freedom.most_nodes(part));
    let nodes_max = most.unwrap_or(u32::MAX).min(nodes.len());
    if reading.nodes_min_named > nodes_max
        || reading.nodes_max_named.is_some_and(|max| max < least || exceeds(most, reading, max))
    {
        return Some(Reason::PartitionNodeLimit);
    }
    if let Some(MemoryDefault::PerNode(limit)) = part.memory_max
        && reading.memory_per_node_is_named
        && reading.memory_per_node_named.is_none_or(|memory| memory > limit.0)
    {
        return Some(Reason::MaxMemPerLimit);
    }
    let per_node_max = part.cpus_per_node_max.unwrap_or(u32::MAX);
    let cpus: u64 = nodes.iter().map(|node| u64::from(fleet.node(node).hardware.cpus.min(per_node_max))).sum();
    (reading.cpus_total > cpus).then_some(Reason::PartitionConfig)
}

/// Whether a job may want more nodes than `MaxNodes` lets it have: Slurm 22.05 cuts the greatest number that is asked for
/// to the tasks and to the nodes of the partition, but not to its limit.
fn exceeds(most: Option<u32>, reading: &Reading, max: u32) -> bool {
    most.is_some_and(|limit| max.min(reading.tasks_named.unwrap_or(u32::MAX)) > limit)
}

/// What no node of the partition has. The details are what Slurm's clients print before the error.
fn no_node(fleet: &Fleet, partition: u32, request: &ResourceRequest, reading: &Reading) -> Option<Refusal> {
    let nodes = &fleet.partition_nodes[partition as usize];
    let refuse = |detail| Some(Refusal::new(RefusalCode::NodeConfigUnavailable, detail));
    let none_has = |enough: &dyn Fn(usize) -> bool| !nodes.iter().any(|node| enough(node as usize));
    if none_has(&|node| fleet.cpus[node] >= reading.ask.cpus_per_node_min) {
        return refuse("CPU count per node can not be satisfied");
    }
    if let Some(memory) = reading.memory_per_node_named
        && none_has(&|node| fleet.memory[node] >= memory)
    {
        return refuse("Memory specification can not be satisfied");
    }
    let tmp_min = request.tmp_disk_min.map_or(0, |size| size.0);
    if none_has(&|node| fleet.tmp_disk[node] >= tmp_min) {
        return refuse("Temporary disk specification can not be satisfied");
    }
    None
}
