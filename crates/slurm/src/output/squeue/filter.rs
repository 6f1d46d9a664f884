//! Which jobs and steps `squeue` shows.

use std::collections::BTreeSet;
use std::sync::Arc;

use muster_model::job::{ArrayRole, Job};
use muster_model::request::JobTarget;
use muster_model::state::JobState;

use super::super::context::{Cluster, touches};
use super::super::states::{self, Shown};
use super::super::{ids, job_text};
use super::job_fields::{JobRow, partition_text};
use super::options::{Options, States};

/// The lines that `options` want of `job`: none, one, or one for each waiting task or partition.
pub fn rows(job: &Arc<Job>, cluster: &Arc<Cluster>, options: &Options, nodes: Option<&[String]>) -> Vec<JobRow> {
    if !wanted(job, options, nodes) {
        return Vec::new();
    }
    let row = |task: Option<u32>| JobRow { job: job.clone(), task, partition: None, cluster: cluster.clone() };
    let rows = match &job.array {
        Some(ArrayRole::Waiting { tasks }) => match (&options.jobs, options.array) {
            (Some(targets), array) => waiting_rows(job, tasks, targets, array).into_iter().map(row).collect(),
            (None, true) => tasks.iter().map(|index| row(Some(index))).collect(),
            (None, false) => vec![row(None)],
        },
        _ => vec![row(None)],
    };
    if !options.each_partition || job.state != JobState::Pending || job.spec.partitions.len() < 2 {
        return rows;
    }
    let each = |row: JobRow| {
        job.spec.partitions.iter().map(move |name| JobRow { partition: Some(name.clone()), ..row.clone() })
    };
    rows.into_iter().flat_map(each).collect()
}

/// Waiting tasks named one by one are shown one by one; the array as a whole is one line unless `array`.
fn waiting_rows(
    job: &Job,
    tasks: &muster_model::array::TaskSet,
    targets: &[JobTarget],
    array: bool,
) -> Vec<Option<u32>> {
    let whole = targets.iter().any(|target| target.job_id == job.id && target.tasks.is_none());
    if whole {
        return if array { tasks.iter().map(Some).collect() } else { vec![None] };
    }
    let named: BTreeSet<u32> = targets
        .iter()
        .filter(|target| target.job_id == job.id)
        .filter_map(|target| target.tasks.as_ref())
        .flat_map(|set| set.iter())
        .filter(|index| tasks.contains(*index))
        .collect();
    named.into_iter().map(Some).collect()
}

/// Whether `job` passes all conditions. `nodes` is `-w`, name by name.
pub fn wanted(job: &Job, options: &Options, nodes: Option<&[String]>) -> bool {
    let spec = &job.spec;
    let among = |list: &Option<Vec<String>>, value: &str| {
        list.as_ref().is_none_or(|list| list.iter().any(|entry| entry == value))
    };
    state_wanted(job, options)
        && options.jobs.as_ref().is_none_or(|targets| targets.iter().any(|target| ids::matches(target, job)))
        && options.users.as_ref().is_none_or(|users| users.contains(&spec.identity.uid))
        && options
            .partitions
            .as_ref()
            .is_none_or(|list| partition_text(job).split(',').any(|name| list.iter().any(|entry| entry == name)))
        && among(&options.names, &spec.name)
        && among(&options.accounts, job.account_name().unwrap_or_default())
        && among(&options.qos, job.qos_name().unwrap_or("normal"))
        && options.licenses.as_ref().is_none_or(|list| licenses(job).any(|name| list.iter().any(|entry| entry == name)))
        && options.reservation.as_ref().is_none_or(|name| {
            let asked = job.reservation_shown().map_or("", |names| names);
            asked.split(',').any(|asked| asked == name)
        })
        && nodes.is_none_or(|names| touches(&job_text::nodes(job), names))
}

fn licenses(job: &Job) -> impl Iterator<Item = &str> {
    let all = job.spec.request.licenses.as_deref().unwrap_or_default();
    all.split([',', '|']).filter_map(|license| license.split(':').next())
}

fn state_wanted(job: &Job, options: &Options) -> bool {
    let shown = states::of(job);
    match &options.states {
        Some(States::All) => true,
        Some(States::Some(list)) => list.contains(&shown),
        None if options.start => shown == Shown::Base(JobState::Pending),
        None => match shown {
            Shown::Base(state) => !state.is_final(),
            Shown::Completing | Shown::Configuring | Shown::SpecialExit | Shown::ReservationGone | Shown::Never(..) => {
                true
            }
        },
    }
}
