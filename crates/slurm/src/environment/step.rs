//! The environment of the tasks of a step.

use muster_model::ids::StepId;
use muster_model::resources::IndexSet;
use muster_model::step::{Step, StepLaunch};

use super::batch::TMPDIR;
use super::facts::{Builder, LaunchFacts, Variables};
use super::gpus::TaskPlace;
use super::{combine, gpus, het, identity};

/// What wins over the captured environment of a step, the same for all its tasks on this node.
pub fn step_environment(launch: &LaunchFacts<'_>, step: &Step) -> Variables {
    let job = launch.job;
    let mut list = Builder::default();
    list.set("SLURM_CLUSTER_NAME", launch.cluster_name);
    identity::job_numbers(&mut list, job, step.het.as_deref().map_or(job.id, |common| common.leader));
    identity::user(&mut list, job);
    identity::times(&mut list, job);
    identity::node(&mut list, launch);
    het::nodes(&mut list, launch, step);
    counts(&mut list, step);
    numbers(&mut list, step);
    here(&mut list, launch, step);
    if let Some(how) = step.launch.as_deref() {
        client(&mut list, how);
    }
    list.finish()
}

/// What the tasks get only where the captured environment has no such name. A step of a script keeps the name of the
/// script's job, and `srun --job-name` sets another; the rest `srun` captures, and steps that came another way have it
/// from here.
pub fn step_fallbacks(launch: &LaunchFacts<'_>, step: &Step) -> Variables {
    let spec = &launch.job.spec;
    let mut list = Builder::default();
    list.set("SLURM_JOB_NAME", &spec.name);
    list.set("SLURM_SUBMIT_DIR", &spec.work_dir);
    list.set("SLURM_SUBMIT_HOST", &spec.submit_host);
    list.set("SLURM_PRIO_PROCESS", 0);
    list.set_some("SLURM_UMASK", step.launch.as_deref().map(|how| umask(how.umask)));
    list.finish()
}

/// A file mode creation mask as `SLURM_UMASK` tells it.
pub(super) fn umask(mask: u32) -> String {
    format!("{:04o}", mask & 0o777)
}

/// Names of the captured environment that the tasks must not see: GPUs that the step does not have here, and the socket of
/// the MPI library of a task that called `srun`.
pub fn step_removals(launch: &LaunchFacts<'_>, step: &Step) -> Vec<&'static str> {
    const PMI: &[&str] = &["PMI_FD", "PMI_RANK", "PMI_SIZE", "PMI_JOBID"];
    let node = launch.step_node(step).map(|(_, node)| node);
    let has_gpus = node.is_some_and(|node| gpus::any(&node.gres));
    let gpus: &[&str] = if has_gpus { &[] } else { &gpus::REMOVED_OF_STEP };
    let binding = node.and_then(|node| gpus::binding_here(captured(step), node.ranks.len()));
    [PMI, gpus, gpus::removed_by(binding)].concat()
}

/// What the task of this `rank` is told of its GPUs before its program runs, line by line. `cores` as in [`task_environment`].
pub fn task_gpu_lines(launch: &LaunchFacts<'_>, step: &Step, rank: u32, cores: Option<&IndexSet>) -> Vec<String> {
    let Some((_, node)) = launch.step_node(step) else { return Vec::new() };
    let Ok(local) = node.ranks.binary_search(&rank) else { return Vec::new() };
    let binding = gpus::binding_here(captured(step), node.ranks.len());
    gpus::told(&node.gres, launch.gpus, binding, TaskPlace { local, cores })
}

/// What wins over the other lists for the task of this `rank`, which may run on `cores` of its node, `None` for all. Empty for a rank
/// that is not on this node.
pub fn task_environment(launch: &LaunchFacts<'_>, step: &Step, rank: u32, cores: Option<&IndexSet>) -> Variables {
    let mut list = Builder::default();
    let Some((_, node)) = launch.step_node(step) else {
        return Variables::new();
    };
    let Ok(local) = node.ranks.binary_search(&rank) else {
        return Variables::new();
    };
    list.set("SLURM_PROCID", rank);
    list.set("SLURM_LOCALID", local);
    let captured = captured(step);
    let binding = gpus::binding_here(captured, node.ranks.len());
    gpus::of_task(&mut list, &node.gres, launch.gpus, binding, TaskPlace { local, cores });
    // Only the first task of each node, as in real Slurm.
    if local == 0 && combine::value(captured, TMPDIR.0).is_none() {
        list.set(TMPDIR.0, TMPDIR.1);
    }
    list.finish()
}

fn captured(step: &Step) -> &[String] {
    step.launch.as_deref().map_or(&[], |how| &how.environment)
}

/// Its nodes and tasks, under the names of the job's too, so that programs see the step's. With `--preserve-env` the job's names keep
/// what `srun` saw, as in real Slurm 22.05.
fn counts(list: &mut Builder, step: &Step) {
    let counts = het::counts(step);
    let how = step.launch.as_deref().filter(|how| how.keeps_counts);
    let mut set = |name: &str, own: String| {
        let kept = how.and_then(|how| combine::value(&how.environment, name));
        list.set(name, kept.map_or(own, str::to_owned));
    };
    set("SLURM_NNODES", counts.nodes.to_string());
    set("SLURM_NTASKS", counts.tasks.to_string());
    set("SLURM_NPROCS", counts.tasks.to_string());
    set("SLURM_TASKS_PER_NODE", counts.tasks_per_node.clone());
    list.set("SLURM_STEP_NUM_NODES", counts.nodes);
    list.set("SLURM_STEP_NUM_TASKS", counts.tasks);
    list.set("SLURM_STEP_TASKS_PER_NODE", counts.tasks_per_node);
    list.set("SLURM_STEP_NODELIST", counts.node_list);
}

fn numbers(list: &mut Builder, step: &Step) {
    let number = number(step.step_id);
    list.set("SLURM_STEP_ID", number);
    list.set("SLURM_STEPID", number);
}

/// Steps that are not counted have numbers near the end of the range.
pub(super) fn number(id: StepId) -> u32 {
    match id {
        StepId::Number(number) => number,
        StepId::Interactive => 0xffff_fffa,
        StepId::Batch => 0xffff_fffb,
        StepId::Extern | StepId::Prolog | StepId::Epilog => 0xffff_fffc,
    }
}

/// This node's part of the step.
fn here(list: &mut Builder, launch: &LaunchFacts<'_>, step: &Step) {
    let Some((position, node)) = launch.step_node(step) else {
        return;
    };
    list.set("SLURM_NODEID", het::node_id(step, position));
    list.set("SLURM_CPUS_ON_NODE", node.cpus.len());
    list.set("SLURM_GTIDS", node.ranks.iter().map(u32::to_string).collect::<Vec<_>>().join(","));
    gpus::of_step(list, &node.gres, launch.gpus, gpus::binding_here(captured(step), node.ranks.len()));
}

/// Where `srun` waits.
fn client(list: &mut Builder, how: &StepLaunch) {
    let Some((host, port)) = how.client_address.rsplit_once(':') else {
        return;
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    list.set("SLURM_LAUNCH_NODE_IPADDR", host);
    list.set("SLURM_SRUN_COMM_HOST", host);
    list.set("SLURM_SRUN_COMM_PORT", port);
    list.set("SLURM_STEP_LAUNCHER_PORT", port);
}
