//! Place of a task within its array.

use muster_model::job::{ArrayRole, Job};

use super::facts::Builder;

/// `SLURM_ARRAY_*`; the counts are those of the whole array as it was submitted.
pub(super) fn task(list: &mut Builder, job: &Job) {
    let Some(ArrayRole::Task { array_job_id, task_index }) = &job.array else {
        return;
    };
    list.set("SLURM_ARRAY_JOB_ID", array_job_id);
    list.set("SLURM_ARRAY_TASK_ID", task_index);
    let Some(array) = &job.spec.array else { return };
    list.set("SLURM_ARRAY_TASK_COUNT", array.tasks.len());
    list.set_some("SLURM_ARRAY_TASK_MIN", array.tasks.first());
    list.set_some("SLURM_ARRAY_TASK_MAX", array.tasks.last());
    list.set("SLURM_ARRAY_TASK_STEP", array.tasks.step());
}
