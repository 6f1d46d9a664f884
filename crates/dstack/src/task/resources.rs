//! What a task asks of each node, in the scheduler's terms.
//!
//! dstack looks for a whole instance that is large enough; the scheduler gives parts of nodes away. So the least value of
//! each range is what is asked for. What the file leaves open follows dstack's defaults (2 CPUs, 8 GB), but never makes a
//! task impossible: on smaller nodes the default shrinks to what they have.

use std::collections::BTreeSet;

use muster_model::ids::Name;
use muster_model::node::Node;
use muster_model::resources::{Gres, GresRequest, GresScope, Megabytes, MemoryRequest, ResourceRequest};

use crate::configuration::{MEMORY_DEFAULT, Resources};
use crate::values::{CPU_COUNT_DEFAULT, GpuSpec};

/// A request for `nodes` nodes, each with `resources`, and notices about what is not looked at. `candidates` are the nodes
/// that come into question.
pub(super) fn request(
    resources: &Resources,
    has_image: bool,
    nodes: u32,
    candidates: &[&Node],
) -> (ResourceRequest, Vec<String>) {
    let cpus = cpus(resources, candidates);
    let mut notices = Vec::new();
    let gres = resources.gpu.as_ref().and_then(|gpu| gpus(gpu, candidates, &mut notices));
    if let Some(size) = resources.disk.and_then(|disk| disk.size.min) {
        notices.push(format!("resources.disk: not looked at; {size} must be free on the nodes"));
    }
    if let Some(size) = resources.shm_size.filter(|_| !has_image) {
        notices.push(format!("resources.shm_size: not set; a process shares /dev/shm of its node ({size} wished)"));
    }
    let request = ResourceRequest {
        nodes_min: nodes,
        nodes_max: Some(nodes),
        tasks: nodes,
        tasks_given: true,
        tasks_per_node: Some(1),
        cpus_per_task: cpus,
        cpus_per_task_given: true,
        memory: memory(resources, cpus, candidates).map(MemoryRequest::PerNode),
        gres: gres.into_iter().collect(),
        ..ResourceRequest::default()
    };
    (request, notices)
}

fn cpus(resources: &Resources, candidates: &[&Node]) -> u32 {
    match resources.cpu.and_then(|cpu| cpu.count.min) {
        // The default of `cpu: arm` cannot be told from `cpu: arm:2..`; both are a wish.
        Some(cpus) => cpus.max(1),
        None => {
            let most = candidates.iter().map(|node| node.config.hardware.cpus).max().unwrap_or(1);
            CPU_COUNT_DEFAULT.min(most).max(1)
        }
    }
}

/// The wish, or where there is none the default, but no more than the CPUs' share of the memory of the largest node.
/// `None` leaves it to the partition.
fn memory(resources: &Resources, cpus: u32, candidates: &[&Node]) -> Option<Megabytes> {
    if let Some(least) = resources.memory.and_then(|range| range.min) {
        return Some(least.to_megabytes());
    }
    let share = |node: &&Node| {
        let hardware = &node.config.hardware;
        let part = hardware.memory.0.saturating_mul(u64::from(cpus)) / u64::from(hardware.cpus.max(1));
        part.min(hardware.memory.0)
    };
    let share = candidates.iter().map(share).max().filter(|share| *share > 0)?;
    Some(Megabytes(share.min(MEMORY_DEFAULT.to_megabytes().0)))
}

/// The generic resource for a wish for GPUs; `None` when none are needed.
fn gpus(gpu: &GpuSpec, candidates: &[&Node], notices: &mut Vec<String>) -> Option<GresRequest> {
    let count = gpu.count.min.unwrap_or(0);
    if count == 0 {
        return None;
    }
    let unseen = [
        ("vendor", gpu.vendor.is_some() && gpu.name.is_none()),
        ("memory", gpu.memory.is_some()),
        ("total_memory", gpu.total_memory.is_some()),
        ("compute_capability", gpu.compute_capability.is_some()),
    ];
    let unseen: Vec<&str> = unseen.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect();
    if !unseen.is_empty() {
        notices.push(format!(
            "resources.gpu: {} not looked at; nodes say only how many GPUs they have, and of what type",
            unseen.join(", ")
        ));
    }
    let kind = gpu.name.as_deref().and_then(|names| kind(names, candidates, notices));
    Some(GresRequest { scope: GresScope::Node, gres: Gres { name: "gpu".into(), kind, count: u64::from(count) } })
}

/// The type that the nodes give to one of the wished models; `None` for any type.
fn kind(names: &[String], candidates: &[&Node], notices: &mut Vec<String>) -> Option<Name> {
    let gpus = candidates.iter().flat_map(|node| &node.config.hardware.gres).filter(|gres| &*gres.name == "gpu");
    let (mut kinds, mut untyped) = (BTreeSet::new(), false);
    for gres in gpus {
        match &gres.kind {
            Some(kind) => {
                kinds.insert(kind.clone());
            }
            None => untyped = true,
        }
    }
    let matching: Vec<&Name> = names.iter().filter_map(|name| kinds.iter().find(|kind| is_model(kind, name))).collect();
    if let [first, others @ ..] = matching.as_slice() {
        if others.iter().any(|other| other != first) {
            notices.push(format!("resources.gpu: of several models only {first} is asked for"));
        }
        return Some(Name::clone(first));
    }
    if untyped && kinds.is_empty() {
        notices.push(format!(
            "resources.gpu: the nodes do not say which GPUs they have; any is taken for {}",
            names.join(",")
        ));
        return None;
    }
    names.first().map(|name| name.to_ascii_lowercase().into())
}

/// Whether a node's type of GPU (`a100`, `nvidia_h100_80gb_hbm3`) is the model of that name (`A100`, `H100`).
fn is_model(kind: &str, name: &str) -> bool {
    kind.eq_ignore_ascii_case(name) || kind.split(['_', '-', ' ']).any(|part| part.eq_ignore_ascii_case(name))
}
