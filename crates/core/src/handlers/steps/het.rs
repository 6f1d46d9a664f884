//! Steps of heterogeneous jobs: what is started in several components at once is one step to its tasks.
//!
//! Ranks and nodes are counted through the parts, in the order of the components, as real Slurm gives them to the tasks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_model::hostlist;
use muster_model::ids::{Name, NodeIndex};
use muster_model::job::Job;
use muster_model::step::{HetStep, StepNode, StepPart};

use crate::cluster::Cluster;

/// Counts the ranks in `layouts` through all parts, and gives what each part has to know of the others. `None` for a step of
/// a plain job.
pub(super) fn in_common(
    cluster: &Cluster,
    jobs: &[Arc<Job>],
    parts: &[StepPart],
    layouts: &mut [Vec<StepNode>],
) -> Vec<Option<Box<HetStep>>> {
    let Some(leader) = jobs.first().and_then(|job| job.het_job_id()) else {
        return vec![None; jobs.len()];
    };
    let mut first_ranks = Vec::with_capacity(parts.len());
    let mut tasks = 0u32;
    for (part, layout) in parts.iter().zip(layouts.iter_mut()) {
        layout.iter_mut().flat_map(|on| &mut on.ranks).for_each(|rank| *rank += tasks);
        first_ranks.push(tasks);
        tasks = tasks.saturating_add(part.request.tasks);
    }
    let tally = Tally::of(jobs, layouts);
    let names: Vec<Name> = cluster.node_names(tally.nodes.keys().copied()).cloned().collect();
    let node_list: Name = hostlist::compress(names.iter().map(|name| &**name)).into();
    let ranks = if parts.iter().any(asks_for_ranks) { ranks(cluster, layouts) } else { Vec::new() };
    let common = |(first_rank, layout): (u32, &Vec<StepNode>)| {
        Some(Box::new(HetStep {
            leader,
            first_rank,
            tasks,
            node_list: node_list.clone(),
            tasks_per_node: tally.nodes.values().map(|(tasks, _)| *tasks).collect(),
            cpus_per_node: tally.nodes.values().map(|(_, cpus)| *cpus).collect(),
            node_ids: layout.iter().map(|on| tally.position(on.node)).collect(),
            ranks: ranks.clone(),
        }))
    };
    first_ranks.into_iter().zip(layouts.iter()).map(common).collect()
}

/// Libraries of PMIx have to be told where every task is.
fn asks_for_ranks(part: &StepPart) -> bool {
    part.launch.mpi.starts_with("pmix")
}

fn ranks(cluster: &Cluster, layouts: &[Vec<StepNode>]) -> Vec<(Name, Vec<u32>)> {
    let named = |on: &StepNode| Some((cluster.node_names([on.node]).next()?.clone(), on.ranks.clone()));
    layouts.iter().flatten().filter_map(named).collect()
}

/// What lies on each node.
struct Tally {
    /// Tasks, and CPUs of the components.
    nodes: BTreeMap<NodeIndex, (u32, u32)>,
    /// Nodes in the order in which they are counted.
    order: Vec<NodeIndex>,
}

impl Tally {
    fn of(jobs: &[Arc<Job>], layouts: &[Vec<StepNode>]) -> Tally {
        let mut tally = Tally { nodes: BTreeMap::new(), order: Vec::new() };
        let mut seen = BTreeSet::new();
        for (job, layout) in jobs.iter().zip(layouts) {
            for on in layout {
                let share = job.allocation.as_ref().and_then(|allocation| allocation.share(on.node));
                let (tasks, cpus) = tally.nodes.entry(on.node).or_default();
                *tasks = tasks.saturating_add(on.ranks.len() as u32);
                *cpus = cpus.saturating_add(share.map_or(0, |share| share.cpus.len()));
                if seen.insert(on.node) {
                    tally.order.push(on.node);
                }
            }
        }
        tally
    }

    fn position(&self, node: NodeIndex) -> u32 {
        (0..).zip(&self.order).find(|(_, other)| **other == node).map_or(0, |(at, _)| at)
    }
}
