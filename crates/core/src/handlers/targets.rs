//! From what a user names (`36`, `36_4`, `36_[1-3]`) to job records.

use muster_model::array::TaskSet;
use muster_model::fact::Fact;
use muster_model::ids::{Identity, JobId};
use muster_model::job::{ArrayRole, Job};
use muster_model::request::{JobTarget, Refusal, RefusalCode};
use muster_model::time::Timestamp;

use super::authorisation;
use crate::cluster::Cluster;
use crate::effect::Outcome;

/// Records a target stands for.
pub(super) struct Resolved {
    /// Whole records, ascending.
    pub records: Vec<JobId>,
    /// Tasks that are still part of the waiting record of that array.
    pub waiting_tasks: Option<(JobId, TaskSet)>,
}

impl Resolved {
    /// All records that are concerned, the waiting one of an array included.
    pub(super) fn all(self) -> Vec<JobId> {
        let mut records = self.records;
        records.extend(self.waiting_tasks.map(|(array, _)| array));
        records.sort_unstable();
        records.dedup();
        records
    }
}

/// The result for several jobs: done when it was done for one of them, else the first refusal.
pub(super) fn any_done(so_far: Result<(), Refusal>, next: Result<(), Refusal>) -> Result<(), Refusal> {
    match (so_far, next) {
        (Ok(()), _) | (_, Ok(())) => Ok(()),
        (Err(first), Err(next)) => {
            let nothing_yet = matches!(first.code, RefusalCode::InvalidJobId | RefusalCode::UnexpectedMessage);
            Err(if nothing_yet { next } else { first })
        }
    }
}

/// Finds the records of `target`.
///
/// # Errors
/// [`RefusalCode::InvalidJobId`] when there is no such job, array or task.
pub(super) fn resolve(cluster: &Cluster, target: &JobTarget) -> Result<Resolved, Refusal> {
    let unknown = || Refusal::from(RefusalCode::InvalidJobId);
    if let Some(records) = components(cluster, target) {
        return if records.is_empty() { Err(unknown()) } else { Ok(Resolved { records, waiting_tasks: None }) };
    }
    let array_id = cluster.arrays.contains_key(&target.job_id).then_some(target.job_id);
    let Some(tasks) = &target.tasks else {
        let mut records: Vec<JobId> = Vec::new();
        if let Some(array_tasks) = array_id.and_then(|id| cluster.array_tasks.get(&id)) {
            records.extend(array_tasks.values());
        }
        if cluster.jobs.contains_key(&target.job_id) {
            records.push(target.job_id);
        }
        records.sort_unstable();
        records.dedup();
        return if records.is_empty() { Err(unknown()) } else { Ok(Resolved { records, waiting_tasks: None }) };
    };
    let array_id = array_id.ok_or_else(unknown)?;
    let started = cluster.array_tasks.get(&array_id);
    let waiting = match cluster.jobs.get(&array_id).map(|job| (&job.array, job.state.is_final())) {
        Some((Some(ArrayRole::Waiting { tasks }), false)) => Some(tasks),
        _ => None,
    };
    let mut records = Vec::new();
    let mut still_waiting = Vec::new();
    for index in tasks.iter() {
        if let Some(id) = started.and_then(|started| started.get(&index)) {
            records.push(*id);
        } else if waiting.is_some_and(|waiting| waiting.contains(index)) {
            still_waiting.push(index);
        }
    }
    if records.is_empty() && still_waiting.is_empty() {
        return Err(unknown());
    }
    records.sort_unstable();
    let waiting_tasks = (!still_waiting.is_empty()).then(|| (array_id, TaskSet::from_indices(still_waiting)));
    Ok(Resolved { records, waiting_tasks })
}

/// What a target means that names a heterogeneous job by its leader, or one component of it by its place; `None` for any
/// other.
fn components(cluster: &Cluster, target: &JobTarget) -> Option<Vec<JobId>> {
    let leader = cluster.jobs.get(&target.job_id).filter(|job| job.het.is_some() && !job.is_led());
    match (leader.and_then(|job| job.het), target.component) {
        (None, None) => None,
        (None, Some(_)) => Some(Vec::new()),
        (Some(role), Some(offset)) => {
            Some(role.component(offset).filter(|id| cluster.jobs.contains_key(id)).into_iter().collect())
        }
        (Some(role), None) => Some(role.ids().filter(|id| cluster.jobs.contains_key(id)).collect()),
    }
}

/// With `whole_hetjob`, who names one component by its own number means all.
pub(super) fn widen(cluster: &Cluster, target: &JobTarget) -> JobTarget {
    let role = cluster.jobs.get(&target.job_id).and_then(|job| job.het);
    match role.filter(|_| cluster.config.het_jobs.whole && target.component.is_none()) {
        Some(role) => JobTarget { job_id: role.leader, ..target.clone() },
        None => target.clone(),
    }
}

/// As [`resolve`], but tasks that are still part of a waiting record get records of their own, so that they can be
/// changed one by one. Nothing is split for somebody who may not change it.
pub(super) fn resolve_and_split(
    cluster: &mut Cluster,
    now: Timestamp,
    identity: &Identity,
    target: &JobTarget,
    out: &mut Outcome,
) -> Result<Vec<JobId>, Refusal> {
    let mut resolved = resolve(cluster, target)?;
    if let Some((array_id, tasks)) = resolved.waiting_tasks {
        if let Some(record) = cluster.jobs.get(&array_id) {
            authorisation::may_change_job(identity, record)?;
        }
        for index in tasks.iter().collect::<Vec<_>>() {
            if let Some(task) = split_task(cluster, now, array_id, index, out) {
                resolved.records.push(task.id);
                cluster.put_job(now, task, out);
            }
        }
    }
    Ok(resolved.records)
}

/// Takes one task out of a waiting record and gives it as a job that the caller changes and puts. The last task keeps
/// the number of the array. `None` when the task does not wait.
pub(crate) fn split_task(
    cluster: &mut Cluster,
    now: Timestamp,
    array_id: JobId,
    index: u32,
    out: &mut Outcome,
) -> Option<Job> {
    let waiting = cluster.jobs.get(&array_id)?.clone();
    let Some(ArrayRole::Waiting { tasks }) = &waiting.array else {
        return None;
    };
    let mut rest = tasks.clone();
    if !rest.remove(index) {
        return None;
    }
    let mut task = (*waiting).clone();
    task.array = Some(ArrayRole::Task { array_job_id: array_id, task_index: index });
    if !rest.is_empty() {
        task.id = cluster.allocate_job_id(out);
        // Its number is not the one that was told.
        task.submit_token = None;
        let mut waiting = (*waiting).clone();
        waiting.array = Some(ArrayRole::Waiting { tasks: rest });
        cluster.put_split_rest(now, waiting, out);
        cluster.set_job_timers(&task, now);
    }
    Some(task)
}

impl Cluster {
    /// The smaller waiting record after a task was taken out of it. Nobody waits for news of that.
    fn put_split_rest(&mut self, now: Timestamp, job: Job, out: &mut Outcome) {
        let job = std::sync::Arc::new(job);
        let old = self.jobs.get(&job.id).cloned();
        self.index_job(old.as_deref(), &job, now);
        // One fact per batch would do; the store keeps the last row of a key within a commit.
        out.facts.push(Fact::Job(job.clone()));
        self.jobs.insert(job.id, job);
    }
}
