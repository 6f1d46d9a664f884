//! What the clients put into the environments that they send with a job or a step, and into that of `salloc`'s command.

use muster_model::job::Job;

use super::facts::{Builder, NodeFacts, Variables};
use super::step::umask;
use super::{gpus, het, identity, layout, memory, requested};
use crate::grammar::export;

/// Level of messages that `SRUN_DEBUG` tells where neither `-v` nor `-Q` was given.
const LEVEL_DEFAULT: i32 = 3;

/// What a client knows of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientFacts<'a> {
    /// The directory in which it was started.
    pub work_dir: &'a str,
    /// Name of its host.
    pub host_name: &'a str,
    /// Its scheduling priority (nice value).
    pub nice: i32,
    /// Its file mode creation mask.
    pub umask: u32,
    /// `--export` as written, also from the variables that stand for it.
    pub export: Option<&'a str>,
}

/// What `srun` knows of the step that it makes. What was not given on the command line (or by a variable that stands
/// for it) is `None` or false.
#[derive(Debug, Clone, Copy, Default)]
pub struct StepClientFacts<'a> {
    /// The job within which it makes the step; `None` where it made a job of its own for it.
    pub allocation: Option<&'a Job>,
    /// Tasks of the step.
    pub tasks: u32,
    /// Least number of nodes of the step.
    pub nodes: u32,
    /// `--container`.
    pub container: Option<&'a str>,
    /// `--container-id`.
    pub container_id: Option<&'a str>,
    /// `--job-name`.
    pub job_name: Option<&'a str>,
    /// `--cpus-per-task`.
    pub cpus_per_task: Option<u32>,
    /// `--ntasks-per-node`.
    pub tasks_per_node: Option<u32>,
    /// `--threads-per-core`.
    pub threads_per_core: Option<u32>,
    /// `--distribution` in its normal form.
    pub distribution: Option<&'a str>,
    /// Whether memory was asked for in any way.
    pub memory_given: bool,
    /// `--overcommit`.
    pub overcommit: bool,
    /// `--label`.
    pub label: bool,
    /// `--gpu-bind`.
    pub gpu_bind: Option<&'a str>,
    /// `--gpus-per-task`, the sum over all types; not needed where the job was given it.
    pub gpus_per_task: Option<u64>,
    /// `--ntasks-per-gpu`.
    pub tasks_per_gpu: Option<u32>,
    /// One more for each `-v`, one less for each `-Q`.
    pub verbosity: i32,
}

/// What `sbatch` puts over the environment that passes `--export`. `get_user_env` is the option of that name.
pub fn submit_environment(client: &ClientFacts<'_>, get_user_env: bool) -> Variables {
    let mut list = Builder::default();
    place(&mut list, client);
    list.set("SLURM_PRIO_PROCESS", client.nice);
    let export = client.export.filter(|text| !text.eq_ignore_ascii_case("ALL"));
    list.set_some("SLURM_EXPORT_ENV", export);
    if get_user_env || export.is_some() {
        list.set("SLURM_GET_USER_ENV", 1);
    }
    list.finish()
}

/// What `salloc` puts over its own environment for its command. `job` has its allocation.
pub fn allocation_environment(
    job: &Job,
    nodes: &[NodeFacts<'_>],
    cluster_name: &str,
    client: &ClientFacts<'_>,
) -> Variables {
    let mut list = Builder::default();
    place(&mut list, client);
    identity::job(&mut list, job, cluster_name);
    list.set("SLURM_JOB_NAME", &job.spec.name);
    layout::nodes(&mut list, job, nodes);
    layout::tasks(&mut list, job, nodes);
    layout::tasks_requested(&mut list, job);
    memory::requested(&mut list, job);
    gpus::requested(&mut list, job);
    requested::options(&mut list, job);
    list.finish()
}

/// The same for the components of a heterogeneous job.
pub fn het_allocation_environment(components: &[Job], cluster_name: &str, client: &ClientFacts<'_>) -> Variables {
    let mut list = Builder::default();
    place(&mut list, client);
    het::allocation(&mut list, components, cluster_name);
    list.finish()
}

/// What `srun` puts over the environment that passes `--export`, before it sends it with the step.
pub fn step_client_environment(client: &ClientFacts<'_>, step: &StepClientFacts<'_>) -> Variables {
    let mut list = Builder::default();
    list.set("SLURM_PRIO_PROCESS", client.nice);
    match step.allocation {
        // Where the job was submitted from is known here already.
        Some(job) => list.set("SLURM_JOB_CPUS_PER_NODE_PACK_GROUP_0", layout::cpus_per_node(job)),
        None => place(&mut list, client),
    }
    list.set_some("SLURM_JOB_NAME", step.job_name);
    list.set_some("SLURM_CONTAINER", step.container);
    list.set_some("SLURM_CONTAINER_ID", step.container_id);
    list.set_some("SLURM_CPUS_PER_TASK", step.cpus_per_task);
    list.set_some("SLURM_NTASKS_PER_NODE", step.tasks_per_node);
    list.set_some("SLURM_THREADS_PER_CORE", step.threads_per_core);
    distribution(&mut list, step);
    if step.overcommit {
        list.set("SLURM_OVERCOMMIT", 1);
    }
    if step.label {
        list.set("SLURM_LABELIO", 1);
    }
    let per_task = step.gpus_per_task.or_else(|| step.allocation.and_then(gpus::per_task_of));
    list.set_some(gpus::BINDING, gpus::binding(step.gpu_bind, per_task, step.tasks_per_gpu));
    list.finish()
}

/// What `srun` puts in only where the environment has no such name. Other variables than Slurm's pass only with the
/// user's.
pub fn step_client_fallbacks(client: &ClientFacts<'_>, step: &StepClientFacts<'_>) -> Variables {
    let mut list = Builder::default();
    list.set("SLURM_UMASK", umask(client.umask));
    if client.export.is_none_or(|text| export::parse(text).all) {
        list.set("SRUN_DEBUG", LEVEL_DEFAULT.saturating_add(step.verbosity));
    }
    list.finish()
}

fn place(list: &mut Builder, client: &ClientFacts<'_>) {
    list.set("SLURM_SUBMIT_DIR", client.work_dir);
    list.set("SLURM_SUBMIT_HOST", client.host_name);
}

/// A step that says nothing fills its nodes, and one with no more tasks than nodes goes round them. In a job of its own
/// real Slurm tells this only where memory was asked for.
fn distribution(list: &mut Builder, step: &StepClientFacts<'_>) {
    match step.distribution {
        Some(text) => requested::distribution(list, text),
        None if step.allocation.is_none() && !step.memory_given => {}
        None if step.tasks <= step.nodes => list.set("SLURM_DISTRIBUTION", "cyclic"),
        None => list.set("SLURM_DISTRIBUTION", "block"),
    }
}
