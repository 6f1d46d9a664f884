//! How many: nodes, tasks and CPUs of the job, and the place of this node among them.

use muster_model::job::Job;
use muster_model::resources::ResourceRequest;

use super::facts::{Builder, LaunchFacts, NodeFacts, node_list};
use super::requested;
use crate::grammar::tasks_per_node;

/// CPUs that `job` holds on its nodes in Slurm's short form: `6,2`, `16(x2)`. Empty without allocation.
pub fn cpus_per_node(job: &Job) -> String {
    let shares = job.allocation.iter().flat_map(|allocation| &allocation.shares);
    tasks_per_node::print(shares.map(|share| share.cpus.len()))
}

/// Tasks of `job` on its nodes in Slurm's short form: `3,1`, `2(x2)`. Empty without allocation.
pub fn tasks_per_node(job: &Job) -> String {
    let shares = job.allocation.iter().flat_map(|allocation| &allocation.shares);
    tasks_per_node::print(shares.map(|share| share.tasks))
}

/// The job's nodes and the CPUs on them.
pub(super) fn nodes(list: &mut Builder, job: &Job, nodes: &[NodeFacts<'_>]) {
    let names = node_list(job, nodes);
    list.set("SLURM_JOB_NUM_NODES", nodes.len());
    list.set("SLURM_JOB_NODELIST", &names);
    list.set("SLURM_NODELIST", names);
    list.set("SLURM_JOB_CPUS_PER_NODE", cpus_per_node(job));
}

/// What a step says anew for itself. `SLURM_NODE_ALIASES` stands for clouds, where names of nodes are no addresses.
pub(super) fn tasks(list: &mut Builder, job: &Job, nodes: &[NodeFacts<'_>]) {
    list.set("SLURM_NNODES", nodes.len());
    list.set("SLURM_TASKS_PER_NODE", tasks_per_node(job));
    list.set("SLURM_NODE_ALIASES", "(null)");
}

/// How many tasks the user asked for; `None` where that follows from something else.
pub(super) fn tasks_known(job: &Job) -> Option<u64> {
    let request = &job.spec.request;
    let are_known = tasks_are_known(request) || requested::option(job, "ntasks-per-gpu").is_some();
    are_known.then(|| request.tasks.into())
}

/// Counts of tasks that the user asked for; what was not asked for is not told.
pub(super) fn tasks_requested(list: &mut Builder, job: &Job) {
    let request = &job.spec.request;
    if let Some(tasks) = tasks_known(job) {
        list.set("SLURM_NTASKS", tasks);
        list.set("SLURM_NPROCS", tasks);
    }
    list.set_some("SLURM_NTASKS_PER_NODE", request.tasks_per_node);
    list.set_some("SLURM_CPUS_PER_TASK", Some(request.cpus_per_task).filter(|_| request.cpus_per_task_given));
    if request.overcommit {
        list.set("SLURM_OVERCOMMIT", 1);
    }
}

fn tasks_are_known(request: &ResourceRequest) -> bool {
    request.tasks_given || request.tasks_per_node.is_some()
}

/// This node's part of the job, for its script. Nodes are ranks where the script runs on every node.
pub(super) fn script_here(list: &mut Builder, launch: &LaunchFacts<'_>) {
    // A script that runs once is the first, wherever it runs.
    let position = if launch.job.main_nodes() == 1 { 0 } else { launch.position() };
    list.set_some("SLURM_CPUS_ON_NODE", launch.share().map(|share| share.cpus.len()));
    list.set("SLURM_NODEID", position);
    list.set("SLURM_PROCID", position);
    list.set("SLURM_LOCALID", 0);
    list.set("SLURM_GTIDS", position);
}
