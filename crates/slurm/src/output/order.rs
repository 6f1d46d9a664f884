//! The order in which Slurm keeps and sends jobs, which is what its tables show where their sort keys are equal.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_model::ids::JobId;
use muster_model::job::{ArrayRole, Job};

/// Puts `jobs` into the order of Slurm's own list: by time of submit, where each task of an array that starts takes
/// the place of the record that waits, and that one goes to where the task's own number would be.
pub fn by_list(jobs: &mut [Arc<Job>]) {
    let mut tasks: BTreeMap<JobId, Vec<JobId>> = BTreeMap::new();
    for job in jobs.iter() {
        if let Some(array) = job.array_job_id() {
            let own = tasks.entry(array).or_default();
            if job.id != array {
                own.push(job.id);
            }
        }
    }
    tasks.values_mut().for_each(|own| own.sort_unstable());
    jobs.sort_by_key(|job| {
        let Some(array) = job.array_job_id() else {
            return job.id;
        };
        let own = &tasks[&array];
        let before = if job.id == array { own.len() } else { own.partition_point(|id| *id < job.id) };
        before.checked_sub(1).map_or(array, |at| own[at])
    });
}

/// Puts `jobs` into the order of an answer about one job or array: what waits first, then the newest task first; components
/// of a heterogeneous job by their places.
pub fn by_array(jobs: &mut [Arc<Job>]) {
    jobs.sort_by_key(|job| {
        let first = match &job.array {
            Some(ArrayRole::Task { array_job_id, .. }) => job.id == *array_job_id,
            _ => true,
        };
        let place = job.het.map_or(0, |role| role.offset);
        (!first, std::cmp::Reverse(job.het_job_id().unwrap_or(job.id)), place)
    });
}
