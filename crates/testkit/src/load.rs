//! Large clusters and long queues, made from a few numbers and always the same for the same numbers.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_model::config::ClusterConfig;
use muster_model::ids::{JobId, Name, NodeIndex};
use muster_model::planning::{Plan, PlanView, QueueKey};
use muster_model::resources::{
    Gres, GresRequest, GresScope, GresShare, IndexSet, Megabytes, MemoryRequest, NodeShare, ResourceRequest,
};
use muster_model::time::{Span, TimeLimit};

use crate::builders;

/// What to make.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Nodes: half with 64 cores, a quarter each with 128 threads and with 8 GPUs.
    pub nodes: u32,
    /// Pending jobs.
    pub pending: u32,
    /// Distinct requests among them.
    pub shapes: u32,
    /// Percentage of nodes that running jobs fill completely; the rest is idle.
    pub busy_percent: u32,
    /// Another number, another load.
    pub seed: u64,
}

/// A generator of numbers that need only look unordered (splitmix64).
#[derive(Debug, Clone)]
pub struct Numbers(u64);

impl Numbers {
    /// Begins at `seed`.
    pub fn new(seed: u64) -> Numbers {
        Numbers(seed)
    }

    /// A number below `bound`, which must not be 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % u64::from(bound)) as u32
    }
}

/// Makes the view.
pub fn make(load: &Load) -> PlanView {
    let mut numbers = Numbers::new(load.seed);
    let nodes = (0..load.nodes).map(|index| builders::node(node(index, load.nodes))).collect();
    let gpus_from = load.nodes - load.nodes / 4;
    let mut partitions = vec![
        builders::partition("cpu", 0..gpus_from),
        builders::partition("gpu", gpus_from..load.nodes),
        builders::partition("all", 0..load.nodes),
    ];
    partitions[0].default = true;
    let config = ClusterConfig { gres_types: vec!["gpu".into()], ..ClusterConfig::default() };
    let mut view = builders::view(config, nodes, partitions);
    fill(&mut view, load, &mut numbers);
    let shapes: Vec<(Name, ResourceRequest, TimeLimit)> =
        (0..load.shapes.max(1)).map(|_| shape(&mut numbers)).collect();
    for id in 0..load.pending {
        // Neighbours in the queue are alike now and then, as they are where users submit in loops.
        let at = if numbers.below(2) == 0 { id % load.shapes.max(1) } else { numbers.below(load.shapes.max(1)) };
        let (partition, request, limit) = &shapes[at as usize];
        let mut spec = builders::spec(request.clone());
        spec.partitions = vec![partition.clone()];
        spec.time_limit = Some(*limit);
        let mut job = builders::pending(1_000_000 + id, spec, "cpu");
        job.priority = 1 + numbers.below(1000);
        builders::enqueue(&mut view, job);
    }
    view
}

fn node(index: u32, count: u32) -> muster_model::node::NodeConfig {
    let has_gpus = index >= count - count / 4;
    let has_threads = !has_gpus && index >= count / 2;
    let mut config = builders::node_config(&format!("n{index:05}"), if has_gpus { 96 } else { 64 });
    config.hardware.memory = Megabytes(256 << 10);
    if has_threads {
        config.hardware.cpus = 128;
        config.hardware.threads_per_core = 2;
        config.features = vec!["smt".into()];
    }
    if has_gpus {
        config.hardware.gres = vec![Gres { name: "gpu".into(), kind: Some("h100".into()), count: 8 }];
        config.features = vec!["gpu".into()];
    }
    config
}

/// Running jobs of four to a node, each ending at another time within a day.
fn fill(view: &mut PlanView, load: &Load, numbers: &mut Numbers) {
    let mut id = 1;
    for index in 0..load.nodes {
        if numbers.below(100) >= load.busy_percent {
            continue;
        }
        let hardware = view.nodes[index as usize].config.hardware.clone();
        let quarter = hardware.cpus / 4;
        for part in 0..4 {
            let mut cpus = IndexSet::default();
            (part * quarter..(part + 1) * quarter).for_each(|cpu| cpus.insert(cpu));
            let gres = hardware.gres.iter().map(|gres| {
                let mut units = IndexSet::default();
                let each = (gres.count / 4) as u32;
                (part * each..(part + 1) * each).for_each(|unit| units.insert(unit));
                GresShare { name: gres.name.clone(), kind: gres.kind.clone(), units }
            });
            let share = NodeShare {
                node: NodeIndex(index),
                cpus,
                memory: Megabytes(hardware.memory.0 / 4),
                gres: gres.collect(),
                tasks: 1,
            };
            let job = builders::pending(id, builders::spec(ResourceRequest::default()), "all");
            let end = builders::NOW + Span::from_seconds(60 + i64::from(numbers.below(86_400)));
            builders::start(view, job, vec![share], end);
            id += 1;
        }
    }
}

fn shape(numbers: &mut Numbers) -> (Name, ResourceRequest, TimeLimit) {
    let limit = TimeLimit::from_minutes(10 + 10 * i64::from(numbers.below(144)));
    let mut request = ResourceRequest {
        tasks: 1 + numbers.below(32),
        tasks_given: true,
        cpus_per_task: 1 << numbers.below(4),
        memory: Some(MemoryRequest::PerCpu(Megabytes(500 + 100 * u64::from(numbers.below(20))))),
        ..ResourceRequest::default()
    };
    let partition = match numbers.below(10) {
        0..=5 => "cpu",
        6 | 7 => {
            let count = 1 + u64::from(numbers.below(8));
            let gres = Gres { name: "gpu".into(), kind: None, count };
            request.gres.push(GresRequest { scope: GresScope::Node, gres });
            request.tasks = 1 + numbers.below(4);
            "gpu"
        }
        8 => {
            let nodes = 2 + numbers.below(30);
            (request.nodes_min, request.nodes_max, request.tasks) = (nodes, Some(nodes), nodes * 4);
            request.cpus_per_task = 4;
            "cpu"
        }
        _ => "all",
    };
    (partition.into(), request, limit)
}

/// The view after `plan` has been carried out: what it starts runs, until its limit.
pub fn carry_out(view: &PlanView, plan: &Plan) -> PlanView {
    let mut next = view.clone();
    let mut by_id: BTreeMap<JobId, Vec<QueueKey>> = plan.all_starts().map(|start| (start.job_id, Vec::new())).collect();
    for key in view.queue.keys().filter(|_| !plan.starts.is_empty()) {
        if let Some(places) = by_id.get_mut(&key.job_id) {
            places.push(*key);
        }
    }
    for start in plan.all_starts() {
        let keys = by_id.get(&start.job_id).into_iter().flatten();
        let Some(job) = keys.filter_map(|key| next.queue.remove(key)).last() else { continue };
        let mut shares = Vec::new();
        for share in &start.shares {
            let used = next.nodes.get(share.node.0 as usize).map(|node| node.used.cpus.clone()).unwrap_or_default();
            let mut cpus = IndexSet::default();
            let free = (0..).filter(|cpu| !used.contains(*cpu)).take(share.cpus as usize);
            free.for_each(|cpu| cpus.insert(cpu));
            let (node, memory, gres, tasks) = (share.node, share.memory, share.gres.clone(), share.tasks);
            shares.push(NodeShare { node, cpus, memory, gres, tasks });
        }
        let end = next.now + job.time_limit.span().unwrap_or(Span::from_minutes(1_000_000));
        builders::start(&mut next, (*job).clone(), shares, end);
    }
    next
}

/// Ends the running job that would end first, at its time.
pub fn end_first(view: &mut PlanView) {
    let Some((key, job)) = view.running.iter().next().map(|(key, job)| (*key, job.clone())) else {
        return;
    };
    view.now = view.now.max(key.0);
    view.running.remove(&key);
    for share in job.allocation.iter().flat_map(|allocation| &allocation.shares) {
        let Some(node) = view.nodes.get_mut(share.node.0 as usize) else { continue };
        let used = &mut Arc::make_mut(node).used;
        used.cpus.remove_all(&share.cpus);
        used.memory.0 = used.memory.0.saturating_sub(share.memory.0);
        for gres in &share.gres {
            let held = used.gres.iter_mut().filter(|held| held.name == gres.name);
            held.for_each(|held| held.units.remove_all(&gres.units));
        }
        used.jobs_running = used.jobs_running.saturating_sub(1);
    }
}
