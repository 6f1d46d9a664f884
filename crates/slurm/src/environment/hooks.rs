//! The environment of prologs and epilogs, as real Slurm 22.05 was seen to make it: nothing of the daemon's own, no `PATH`.

use muster_model::hooks::HookMoment;
use muster_model::ids::{JobId, StepId};
use muster_model::job::{Job, JobKind};
use muster_model::state::ExitStatus;

use crate::output::job_text;

use super::facts::{Builder, LaunchFacts, Variables, node_list};
use super::{array, gpus, identity, layout, step};

/// How variables name it.
fn word(moment: HookMoment) -> &'static str {
    match moment {
        HookMoment::Prolog => "prolog",
        HookMoment::Epilog => "epilog",
    }
}

/// What the `Prolog` or `Epilog` of a node gets.
pub fn node_hook_environment(launch: &LaunchFacts<'_>, moment: HookMoment) -> Variables {
    let job = launch.job;
    let mut list = common(job, launch.cluster_name, moment);
    list.set("SLURM_SCRIPT_CONTEXT", format!("{}_slurmd", word(moment)));
    list.set("SLURMD_NODENAME", launch.node_name());
    list.set("SLURM_UID", job.spec.identity.uid);
    list.set("SLURM_NODELIST", node_list(job, launch.nodes));
    list.set("SLURM_JOB_NODELIST", node_list(job, launch.nodes));
    list.set("SLURM_JOB_NTASKS", job.spec.request.tasks);
    list.set_some("SLURM_CONF", launch.slurm_conf);
    gpus::of_job(&mut list, launch.share().map_or(&[], |share| &share.gres), launch.gpus);
    list.finish()
}

/// What the `UnkillableStepProgram` of a node gets, seen of real Slurm 22.05.
pub fn unkillable_environment(job_id: JobId, step: StepId) -> Variables {
    let mut list = Builder::default();
    for name in ["SLURM_JOBID", "SLURM_JOB_ID"] {
        list.set(name, job_id);
    }
    for name in ["SLURM_STEPID", "SLURM_STEP_ID"] {
        list.set(name, step::number(step));
    }
    list.finish()
}

/// What `PrologSlurmctld` or `EpilogSlurmctld` gets.
pub fn controller_hook_environment(job: &Job, cluster_name: &str, moment: HookMoment) -> Variables {
    let mut list = common(job, cluster_name, moment);
    list.set("SLURM_SCRIPT_CONTEXT", format!("{}_slurmctld", word(moment)));
    list.set("SLURM_JOB_NODELIST", node_list(job, &[]));
    list.set("SLURM_JOB_GROUP", &job.spec.identity.group);
    list.finish()
}

pub(super) fn common(job: &Job, cluster_name: &str, moment: HookMoment) -> Builder {
    let mut list = Builder::default();
    identity::job(&mut list, job, cluster_name);
    identity::user(&mut list, job);
    identity::restart(&mut list, job);
    list.set("SLURM_JOB_NAME", &job.spec.name);
    list.set_some("SLURM_JOB_COMMENT", job_text::comment(job));
    list.set_some("SLURM_JOB_CONSTRAINTS", job.spec.request.constraint.as_ref());
    list.set("SLURM_JOB_WORK_DIR", &job.spec.work_dir);
    list.set("SLURM_JOB_RESTART_COUNT", job.restart.0);
    list.set("SLURM_JOB_NUM_NODES", job.allocation.as_ref().map_or(0, |held| held.shares.len()));
    list.set("SLURM_JOB_CPUS_PER_NODE", layout::cpus_per_node(job));
    if job.spec.kind == JobKind::Batch {
        list.set("SLURM_JOB_STDIN", job.spec.input.as_deref().unwrap_or("/dev/null"));
    }
    array::task(&mut list, job);
    exits(&mut list, job, moment);
    list
}

/// What an epilog is told of the end: `SLURM_JOB_EXIT_CODE` is what `wait(2)` gives.
fn exits(list: &mut Builder, job: &Job, moment: HookMoment) {
    if moment == HookMoment::Epilog {
        let raw = |exit: ExitStatus| (u32::from(exit.code) << 8) | u32::from(exit.signal);
        list.set("SLURM_JOB_EXIT_CODE", raw(job.exit));
        list.set("SLURM_JOB_EXIT_CODE2", format!("{}:{}", job.exit.code, job.exit.signal));
        list.set("SLURM_JOB_DERIVED_EC", raw(job.derived_exit));
    }
}
