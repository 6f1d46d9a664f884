//! What the processes of a heterogeneous job are told of its components: the usual variables of each with `_HET_GROUP_N`
//! behind their names, and with the older `_PACK_GROUP_N`, as real Slurm 22.05 sets both.

use muster_model::job::Job;
use muster_model::step::{HetStep, Step};

use super::facts::{Builder, LaunchFacts, Variables, node_list};
use super::{gpus, identity, layout, memory, requested};
use crate::grammar::tasks_per_node;

/// Names that a script is not told for each component, because it has them under another name already.
const DOUBLES: [&str; 4] = ["SLURM_JOBID", "SLURM_NNODES", "SLURM_NODELIST", "SLURM_NODE_ALIASES"];

/// For the script of a heterogeneous job; nothing for any other.
pub(super) fn script(list: &mut Builder, components: &[Job]) {
    if components.is_empty() {
        return;
    }
    size(list, components.len());
    for (offset, component) in components.iter().enumerate() {
        let told = of_component(component).into_iter().filter(|(name, _)| !DOUBLES.contains(&name.as_str()));
        groups(list, offset, told);
    }
}

/// For the command below `salloc` and the steps of an `srun` that got its own allocation: beside the components only the
/// number of the whole, and the tasks of all where each was asked for with a number of them.
pub(super) fn allocation(list: &mut Builder, components: &[Job], cluster_name: &str) {
    size(list, components.len());
    list.set("SLURM_CLUSTER_NAME", cluster_name);
    list.set_some("SLURM_JOB_ID", components.first().map(|leader| leader.id));
    if let Some(tasks) = components.iter().map(layout::tasks_known).sum::<Option<u64>>() {
        list.set("SLURM_NTASKS", tasks);
        list.set("SLURM_NPROCS", tasks);
    }
    for (offset, component) in components.iter().enumerate() {
        groups(list, offset, of_component(component).into_iter());
    }
}

fn size(list: &mut Builder, components: usize) {
    list.set("SLURM_HET_SIZE", components);
    list.set("SLURM_PACK_SIZE", components);
}

fn groups(list: &mut Builder, offset: usize, variables: impl Iterator<Item = (String, String)>) {
    for (name, value) in variables {
        list.set(&format!("{name}_HET_GROUP_{offset}"), &value);
        list.set(&format!("{name}_PACK_GROUP_{offset}"), value);
    }
}

fn of_component(job: &Job) -> Variables {
    let mut list = Builder::default();
    identity::job_numbers(&mut list, job, job.id);
    list.set("SLURM_JOB_NAME", &job.spec.name);
    let names = node_list(job, &[]);
    let nodes = job.allocation.as_ref().map_or(0, |allocation| allocation.shares.len());
    list.set("SLURM_JOB_NUM_NODES", nodes);
    list.set("SLURM_JOB_NODELIST", &names);
    list.set("SLURM_NODELIST", names);
    list.set("SLURM_JOB_CPUS_PER_NODE", layout::cpus_per_node(job));
    list.set("SLURM_NNODES", nodes);
    list.set("SLURM_TASKS_PER_NODE", layout::tasks_per_node(job));
    list.set("SLURM_NODE_ALIASES", "(null)");
    layout::tasks_requested(&mut list, job);
    memory::requested(&mut list, job);
    gpus::requested(&mut list, job);
    requested::options(&mut list, job);
    list.finish()
}

/// The nodes that the tasks of a step see as those of their job.
pub(super) fn nodes(list: &mut Builder, launch: &LaunchFacts<'_>, step: &Step) {
    match step.het.as_deref() {
        None => layout::nodes(list, launch.job, launch.nodes),
        Some(common) => {
            list.set("SLURM_JOB_NUM_NODES", common.tasks_per_node.len());
            list.set("SLURM_JOB_NODELIST", &common.node_list);
            list.set("SLURM_NODELIST", &common.node_list);
            list.set("SLURM_JOB_CPUS_PER_NODE", tasks_per_node::print(common.cpus_per_node.iter().copied()));
        }
    }
}

/// Nodes and tasks of a step, over all its parts.
pub(super) struct Counts<'a> {
    pub(super) nodes: usize,
    pub(super) tasks: u32,
    pub(super) tasks_per_node: String,
    pub(super) node_list: &'a str,
}

/// What a step counts.
pub(super) fn counts(step: &Step) -> Counts<'_> {
    match step.het.as_deref() {
        Some(HetStep { tasks, node_list, tasks_per_node, .. }) => Counts {
            nodes: tasks_per_node.len(),
            tasks: *tasks,
            tasks_per_node: tasks_per_node::print(tasks_per_node.iter().copied()),
            node_list,
        },
        None => {
            let tasks = |ranks: &Vec<u32>| u32::try_from(ranks.len()).unwrap_or(u32::MAX);
            Counts {
                nodes: step.layout.len(),
                tasks: step.tasks,
                tasks_per_node: tasks_per_node::print(step.layout.iter().map(|node| tasks(&node.ranks))),
                node_list: &step.node_list,
            }
        }
    }
}

/// Position of a node among those of a step, `position` being that among those of this part.
pub(super) fn node_id(step: &Step, position: usize) -> u32 {
    let own = u32::try_from(position).unwrap_or(u32::MAX);
    step.het.as_deref().and_then(|common| common.node_ids.get(position).copied()).unwrap_or(own)
}
