//! The environment of a job's own script.

use super::facts::{Builder, LaunchFacts, Variables};
use super::{array, gpus, het, identity, layout, memory, requested};

/// Directory for temporary files of a process that is told none.
pub(super) const TMPDIR: (&str, &str) = ("TMPDIR", "/tmp");

/// What wins over the captured environment of a script that starts on this node.
pub fn batch_environment(launch: &LaunchFacts<'_>) -> Variables {
    let job = launch.job;
    let mut list = Builder::default();
    identity::job(&mut list, job, launch.cluster_name);
    identity::user(&mut list, job);
    identity::times(&mut list, job);
    identity::restart(&mut list, job);
    identity::dependency(&mut list, job);
    identity::licenses(&mut list, job);
    identity::node(&mut list, launch);
    list.set("SLURM_JOB_NAME", &job.spec.name);
    list.set("ENVIRONMENT", "BATCH");
    list.set("HOSTNAME", launch.node_name());
    layout::nodes(&mut list, job, launch.nodes);
    layout::tasks(&mut list, job, launch.nodes);
    layout::tasks_requested(&mut list, job);
    layout::script_here(&mut list, launch);
    memory::requested(&mut list, job);
    gpus::requested(&mut list, job);
    gpus::of_job(&mut list, launch.share().map_or(&[], |share| &share.gres), launch.gpus);
    array::task(&mut list, job);
    requested::options(&mut list, job);
    het::script(&mut list, launch.components);
    list.finish()
}

/// What a script gets only where its captured environment has no such name. The client captures all of these but
/// `TMPDIR`, see [`submit_environment`](super::submit_environment); jobs that came another way have them from here.
pub fn batch_fallbacks(launch: &LaunchFacts<'_>) -> Variables {
    let mut list = Builder::default();
    list.set(TMPDIR.0, TMPDIR.1);
    list.set("SLURM_SUBMIT_DIR", &launch.job.spec.work_dir);
    list.set("SLURM_SUBMIT_HOST", &launch.job.spec.submit_host);
    list.set("SLURM_PRIO_PROCESS", 0);
    list.finish()
}

/// Names of the captured environment that a script must not see: GPUs that it does not have, and the CPUs of each task
/// of an outer job where it asks for none itself (real Slurm says 1 there, which is what leaving it out means).
pub fn batch_removals(launch: &LaunchFacts<'_>) -> Vec<&'static str> {
    let mut names = Vec::new();
    if !gpus::any(launch.share().map_or(&[], |share| &share.gres)) {
        names.extend(gpus::REMOVED_OF_JOB);
    }
    if !launch.job.spec.request.cpus_per_task_given {
        names.push("SLURM_CPUS_PER_TASK");
    }
    names
}
