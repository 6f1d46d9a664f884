//! The environment that goes along with a job or step: what passes `--export`, and what the commands add.
//!
//! Only what the submitting side alone knows is added here; what follows from the allocation is added on the node, see
//! [`crate::environment`].

use std::collections::BTreeMap;

use muster_model::job::Job;

use super::resolve::Counts;
use super::surroundings::Surroundings;
use super::{gpus, job_spec};
use crate::environment::{ClientFacts, StepClientFacts, combine, step_client_environment, step_client_fallbacks};
use crate::grammar::export;
use crate::options::{Fault, SubmitOptions};

/// Options that become variables of the job, by the variable.
const FROM_OPTIONS: &[(&str, &str)] = &[
    ("cpu-freq", "SLURM_CPU_FREQ_REQ"),
    ("cpus-per-gpu", "SLURM_CPUS_PER_GPU"),
    ("distribution", "SLURM_DISTRIBUTION"),
    ("gpu-bind", "SLURM_GPU_BIND"),
    ("gpu-freq", "SLURM_GPU_FREQ"),
    ("gpus", "SLURM_GPUS"),
    ("gpus-per-node", "SLURM_GPUS_PER_NODE"),
    ("gpus-per-socket", "SLURM_GPUS_PER_SOCKET"),
    ("gpus-per-task", "SLURM_GPUS_PER_TASK"),
    ("mem-bind", "SLURM_MEM_BIND"),
    ("ntasks-per-core", "SLURM_NTASKS_PER_CORE"),
    ("ntasks-per-gpu", "SLURM_NTASKS_PER_GPU"),
    ("ntasks-per-node", "SLURM_NTASKS_PER_NODE"),
    ("ntasks-per-socket", "SLURM_NTASKS_PER_SOCKET"),
    ("profile", "SLURM_PROFILE"),
    ("threads-per-core", "SLURM_THREADS_PER_CORE"),
];

/// The environment of a batch script as it is submitted.
///
/// # Errors
/// An `--export-file` that cannot be read; exit 1.
pub fn of_batch(options: &SubmitOptions, job_name: &str, around: &Surroundings<'_>) -> Result<Vec<String>, Fault> {
    let mut source = around.environment.clone();
    if let Some(file) = &options.process.export_file {
        source.extend(from_file(file, around)?);
    }
    let mut passed = match &options.process.export {
        Some(list) => export::parse(list).apply(&source),
        None => source,
    };
    add_common(options, job_name, around, &mut passed);
    if let Some(list) = options.process.export.as_deref().filter(|list| !list.eq_ignore_ascii_case("ALL")) {
        // Anything but the whole environment is completed by that of a login.
        put(&mut passed, "SLURM_EXPORT_ENV", list);
        put(&mut passed, "SLURM_GET_USER_ENV", "1");
    }
    if options.process.get_user_env.is_some() {
        put(&mut passed, "SLURM_GET_USER_ENV", "1");
    }
    Ok(lines(passed))
}

/// The variables that `sbatch`, `salloc` and `srun` all add for a new job.
fn add_common(
    options: &SubmitOptions,
    job_name: &str,
    around: &Surroundings<'_>,
    passed: &mut BTreeMap<String, String>,
) {
    put(passed, "SLURM_JOB_NAME", job_name);
    put(passed, "SLURM_SUBMIT_DIR", around.world.work_dir);
    put(passed, "SLURM_SUBMIT_HOST", around.host_name);
    for (option, variable) in FROM_OPTIONS {
        match options.given.get(option) {
            Some(given) => put(passed, variable, &given.shown),
            // What an outer job had says nothing about this one.
            None => drop(passed.remove(*variable)),
        }
    }
    if options.resources.overcommit {
        put(passed, "SLURM_OVERCOMMIT", "1");
    }
    if let (Some(distribution), Some(list)) = (&options.placement.distribution, &options.placement.nodelist)
        && distribution.nodes == crate::grammar::distribution::Nodes::Arbitrary
    {
        put(passed, "SLURM_ARBITRARY_NODELIST", list);
    }
}

/// The variables that the allocation of `salloc` adds to the environment of its command on this side.
pub fn of_allocation(options: &SubmitOptions, job_name: &str, around: &Surroundings<'_>) -> Vec<String> {
    let mut passed = around.environment.clone();
    add_common(options, job_name, around, &mut passed);
    lines(passed)
}

/// What of the environment of `srun` passes to the tasks of its step.
pub fn of_step(options: &SubmitOptions, around: &Surroundings<'_>) -> Vec<String> {
    let list = options.process.export.as_deref().unwrap_or("ALL");
    lines(export::parse(list).apply(around.environment))
}

/// What `srun` itself adds for the tasks of its step, once the job is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StepAdditions {
    tasks: u32,
    nodes: u32,
    job_name: Option<String>,
    container: Option<String>,
    container_id: Option<String>,
    cpus_per_task: Option<u32>,
    tasks_per_node: Option<u32>,
    threads_per_core: Option<u32>,
    distribution: Option<String>,
    memory_given: bool,
    overcommit: bool,
    label: bool,
    gpu_bind: Option<String>,
    gpus_per_task: Option<u64>,
    tasks_per_gpu: Option<u32>,
    verbosity: i32,
    export: Option<String>,
}

impl StepAdditions {
    /// From the options. `job_name` is that of a job made for the step, or `--job-name`.
    pub(super) fn of(options: &SubmitOptions, counts: &Counts, job_name: Option<String>) -> StepAdditions {
        let resources = &options.resources;
        let quiet = i32::from(options.client.quiet);
        StepAdditions {
            tasks: counts.tasks,
            nodes: counts.nodes_min,
            job_name,
            container: options.others.get("container").filter(|path| !path.is_empty()).cloned(),
            container_id: options.others.get("container-id").filter(|id| !id.is_empty()).cloned(),
            cpus_per_task: resources.cpus_per_task,
            tasks_per_node: counts.tasks_per_node,
            threads_per_core: resources.threads_per_core,
            distribution: options.placement.distribution.as_ref().map(|chosen| chosen.text.clone()),
            memory_given: job_spec::memory(options).is_some(),
            overcommit: resources.overcommit,
            label: options.step.label,
            gpu_bind: options.given.get("gpu-bind").map(|given| given.shown.clone()),
            gpus_per_task: gpus::sum(resources.gpus_per_task.as_ref()),
            tasks_per_gpu: resources.ntasks_per_gpu,
            verbosity: i32::try_from(options.client.verbose).unwrap_or(i32::MAX).saturating_sub(quiet),
            export: options.process.export.clone(),
        }
    }

    /// The environment to send: `captured` with the additions over it. `job` is the one around, if there is one.
    pub fn over(&self, captured: &[String], client: &ClientFacts<'_>, job: Option<&Job>) -> Vec<String> {
        let client = ClientFacts { export: self.export.as_deref(), ..*client };
        let facts = StepClientFacts {
            allocation: job,
            tasks: self.tasks,
            nodes: self.nodes,
            job_name: self.job_name.as_deref(),
            container: self.container.as_deref(),
            container_id: self.container_id.as_deref(),
            cpus_per_task: self.cpus_per_task,
            tasks_per_node: self.tasks_per_node,
            threads_per_core: self.threads_per_core,
            distribution: self.distribution.as_deref(),
            memory_given: self.memory_given,
            overcommit: self.overcommit,
            label: self.label,
            gpu_bind: self.gpu_bind.as_deref(),
            gpus_per_task: self.gpus_per_task,
            tasks_per_gpu: self.tasks_per_gpu,
            verbosity: self.verbosity,
        };
        let fallbacks = step_client_fallbacks(&client, &facts);
        combine(captured, &[], &fallbacks, &step_client_environment(&client, &facts))
    }
}

fn put(environment: &mut BTreeMap<String, String>, name: &str, value: &str) {
    environment.insert(name.to_owned(), value.to_owned());
}

fn lines(environment: BTreeMap<String, String>) -> Vec<String> {
    environment.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// `--export-file`: entries of `NAME=value`, each ended by a NUL byte. A number is an open file of this process.
fn from_file(file: &str, around: &Surroundings<'_>) -> Result<Vec<(String, String)>, Fault> {
    let host = around.world.host;
    let read = match file.parse::<i32>() {
        Ok(descriptor) => host.read_descriptor(descriptor),
        Err(_) => host.read(&crate::options::absolute(around.world.work_dir, file)),
    };
    let bytes = read.map_err(|_| Fault::error(1, format!("Could not open user environment file {file}")))?;
    let text = String::from_utf8_lossy(&bytes);
    let entries = text.split('\0').filter_map(|entry| entry.split_once('='));
    Ok(entries.map(|(name, value)| (name.trim_start_matches('\n').to_owned(), value.to_owned())).collect())
}
