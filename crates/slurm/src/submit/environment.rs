//! The environment that goes along with a job or step: what passes `--export`, and what the commands add.
//!
//! Only what the submitting side alone knows is added here; what follows from the allocation is added on the node, see
//! [`crate::environment`].

use std::collections::BTreeMap;

use super::surroundings::Surroundings;
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
pub fn of_batch(
    options: &SubmitOptions,
    job_name: &str,
    around: &Surroundings<'_>,
) -> Result<Vec<String>, Fault> {
    let mut source = around.environment.clone();
    if let Some(file) = &options.process.export_file {
        source.extend(from_file(file, around)?);
    }
    let mut passed = match &options.process.export {
        Some(list) => export::parse(list).apply(&source),
        None => source,
    };
    add_common(options, job_name, around, &mut passed);
    if let Some(list) = options
        .process
        .export
        .as_deref()
        .filter(|list| !list.eq_ignore_ascii_case("ALL"))
    {
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

/// The environment of the tasks of a step, without what only the node knows.
pub fn of_step(options: &SubmitOptions, job_name: Option<&str>, around: &Surroundings<'_>) -> Vec<String> {
    let mut passed = around.environment.clone();
    if let Some(name) = job_name {
        add_common(options, name, around, &mut passed);
    }
    if let Some(given) = options.given.get("distribution") {
        put(&mut passed, "SLURM_DISTRIBUTION", &given.shown);
    }
    put(&mut passed, "SLURM_UMASK", &format!("{:04o}", around.umask));
    put(
        &mut passed,
        "SRUN_DEBUG",
        &(3 + options.client.verbose).to_string(),
    );
    if options.step.label {
        put(&mut passed, "SLURM_LABELIO", "1");
    }
    if options.resources.overcommit {
        put(&mut passed, "SLURM_OVERCOMMIT", "1");
    }
    if options.step.unbuffered {
        put(&mut passed, "SLURM_UNBUFFEREDIO", "1");
    }
    if let Some(cpus) = options.resources.cpus_per_task {
        put(&mut passed, "SLURM_CPUS_PER_TASK", &cpus.to_string());
    }
    let list = options.process.export.as_deref().unwrap_or("ALL");
    lines(export::parse(list).apply(&passed))
}

fn put(environment: &mut BTreeMap<String, String>, name: &str, value: &str) {
    environment.insert(name.to_owned(), value.to_owned());
}

fn lines(environment: BTreeMap<String, String>) -> Vec<String> {
    environment
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
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
    Ok(entries
        .map(|(name, value)| (name.trim_start_matches('\n').to_owned(), value.to_owned()))
        .collect())
}
