//! Who and what: the job, its user, the cluster, the node.

use muster_model::dependency::Dependencies;
use muster_model::ids::JobId;
use muster_model::job::Job;
use muster_model::state::JobState;

use super::facts::{Builder, LaunchFacts};

/// Quality of service of a job that names none; every cluster has it.
const QOS_DEFAULT: &str = "normal";

/// The form of Slurm's messages that 22.05 speaks, as `SLURM_WORKING_CLUSTER` tells it to commands of that version.
const PROTOCOL_VERSION: u32 = 38 << 8;

/// Number of the plug-in that gives away cores and devices one by one, as `SLURM_WORKING_CLUSTER` tells it.
const SELECT_PLUGIN: u32 = 109;

/// `SLURM_JOB_*` that say which job it is, for processes here and for the command below `salloc`.
pub(super) fn job(list: &mut Builder, job: &Job, cluster_name: &str) {
    list.set("SLURM_CLUSTER_NAME", cluster_name);
    job_numbers(list, job, job.id);
}

/// The same without the cluster, `id` being the number by which the processes know the job.
pub(super) fn job_numbers(list: &mut Builder, job: &Job, id: JobId) {
    list.set("SLURM_JOB_ID", id);
    list.set("SLURM_JOBID", id);
    list.set("SLURM_JOB_PARTITION", &job.partition);
    list.set_some("SLURM_JOB_ACCOUNT", job.account_name());
    list.set("SLURM_JOB_QOS", job.qos_name().unwrap_or(QOS_DEFAULT));
    list.set_some("SLURM_JOB_RESERVATION", job.reservation_shown());
}

/// Whose job it is.
pub(super) fn user(list: &mut Builder, job: &Job) {
    let identity = &job.spec.identity;
    list.set("SLURM_JOB_UID", identity.uid);
    list.set("SLURM_JOB_GID", identity.gid);
    list.set("SLURM_JOB_USER", &identity.user);
}

/// `SLURM_JOB_START_TIME` and `SLURM_JOB_END_TIME`, seconds since 1970 (Slurm 23.02 and newer). Without time limit
/// there is no end to tell.
pub(super) fn times(list: &mut Builder, job: &Job) {
    list.set_some("SLURM_JOB_START_TIME", job.start_time.map(|time| time.seconds()));
    if matches!(job.state, JobState::Running | JobState::Suspended) {
        list.set_some("SLURM_JOB_END_TIME", job.end_time.map(|time| time.seconds()));
    }
}

/// `SLURM_RESTART_COUNT`, only when the job was put back into the queue.
pub(super) fn restart(list: &mut Builder, job: &Job) {
    list.set_some("SLURM_RESTART_COUNT", Some(job.restart.0).filter(|count| *count > 0));
}

/// `SLURM_JOB_DEPENDENCY` as the user may have written it.
pub(super) fn dependency(list: &mut Builder, job: &Job) {
    let dependencies = &job.spec.dependencies;
    if !dependencies.is_empty() {
        list.set("SLURM_JOB_DEPENDENCY", as_written(dependencies));
    }
}

/// `SLURM_JOB_LICENSES` (newer than 22.05) as written.
pub(super) fn licenses(list: &mut Builder, job: &Job) {
    list.set_some("SLURM_JOB_LICENSES", job.spec.request.licenses.as_ref());
}

/// The node and the way to the controller.
pub(super) fn node(list: &mut Builder, launch: &LaunchFacts<'_>) {
    let name = launch.node_name();
    list.set("SLURMD_NODENAME", name);
    let (address, pattern) = launch.topology();
    list.set("SLURM_TOPOLOGY_ADDR", address);
    list.set("SLURM_TOPOLOGY_ADDR_PATTERN", pattern);
    list.set_some("SLURM_CONF", launch.slurm_conf);
    if let Some((host, port)) = launch.controller {
        let text = format!("{}:{host}:{port}:{PROTOCOL_VERSION}:{SELECT_PLUGIN}", launch.cluster_name);
        list.set("SLURM_WORKING_CLUSTER", text);
    }
}

/// Dependencies of one kind share its word, as users write them: `afterok:7:8_1,singleton`.
fn as_written(dependencies: &Dependencies) -> String {
    let mut text = String::new();
    let mut kind = None;
    for dependency in &dependencies.all {
        if kind != Some(dependency.kind) {
            if !text.is_empty() {
                text.push(if dependencies.any_is_enough { '?' } else { ',' });
            }
            text.push_str(dependency.kind.as_str());
        }
        kind = Some(dependency.kind);
        if let Some(job) = dependency.job {
            text.push_str(&format!(":{job}"));
        }
        if let Some(index) = dependency.task_index {
            text.push_str(&format!("_{index}"));
        }
        if dependency.delay_minutes > 0 {
            text.push_str(&format!("+{}", dependency.delay_minutes));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::tests::fixture;
    use muster_model::dependency::{Dependency, DependencyKind, DependencyState};

    #[test]
    fn dependencies_as_users_write_them() {
        let one = |kind, job: Option<u32>, task_index, delay_minutes| Dependency {
            kind,
            job: job.map(JobId),
            task_index,
            delay_minutes,
            of_array: false,
            state: DependencyState::Failed,
        };
        let all = vec![
            one(DependencyKind::AfterOk, Some(7), None, 0),
            one(DependencyKind::AfterOk, Some(8), Some(1), 0),
            one(DependencyKind::After, Some(9), None, 5),
            one(DependencyKind::Singleton, None, None, 0),
        ];
        let mut dependencies = Dependencies { all, any_is_enough: false };
        assert_eq!(as_written(&dependencies), "afterok:7:8_1,after:9+5,singleton");
        dependencies.any_is_enough = true;
        assert_eq!(as_written(&dependencies), "afterok:7:8_1?after:9+5?singleton");
    }

    #[test]
    fn what_is_not_there_is_not_told() {
        let job = fixture::job(5);
        let mut list = Builder::default();
        dependency(&mut list, &job);
        licenses(&mut list, &job);
        restart(&mut list, &job);
        assert_eq!(list.finish(), []);
    }
}
