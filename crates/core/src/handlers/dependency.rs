//! Whether a pending job may be considered at all: held, begin time, dependencies.

use std::collections::BTreeSet;
use std::sync::Arc;

use muster_model::array::TaskSet;
use muster_model::dependency::{Dependencies, Dependency, DependencyKind, DependencyState};
use muster_model::ids::JobId;
use muster_model::job::{ArrayRole, Hold, Job};
use muster_model::state::{JobState, Reason};
use muster_model::time::{Span, Timestamp};

use super::{ageing, cancel, expand, targets};
use crate::cluster::Cluster;
use crate::effect::Outcome;
use crate::index::name_key;
use crate::timers::Timer;

/// What one dependency came to.
enum Verdict {
    Satisfied,
    Waiting,
    /// Satisfied at that time if nothing changes.
    WaitingUntil(Timestamp),
    Never,
}

/// Brings a pending job's dependencies, eligible time and reason up to date. The caller puts the job.
pub(crate) fn settle(cluster: &mut Cluster, now: Timestamp, job: &mut Job) {
    if job.state != JobState::Pending {
        return;
    }
    settle_dependencies(cluster, now, job);
    let never = job.dependencies.all.iter().any(|dependency| dependency.state == DependencyState::Failed);
    let hopeless = if job.dependencies.any_is_enough {
        !job.dependencies.is_empty()
            && job.dependencies.all.iter().all(|dependency| dependency.state == DependencyState::Failed)
    } else {
        never
    };
    let begins_later = job.begin_time.filter(|begin| *begin > now);
    if let Some(hold) = job.hold {
        job.eligible_time = None;
        // A job held since its launch failed too often goes on saying so.
        // So does one whose reservation is gone.
        if job.reservation_gone.is_none() && (hold != Hold::Admin || job.reason != Reason::JobHoldMaxRequeue) {
            set_reason(job, if hold == Hold::User { Reason::JobHeldUser } else { Reason::JobHeldAdmin });
        }
    } else if hopeless {
        job.eligible_time = None;
        set_reason(job, Reason::DependencyNeverSatisfied);
    } else if !job.dependencies.is_empty() {
        job.eligible_time = None;
        set_reason(job, Reason::Dependency);
    } else if let Some(begin) = begins_later {
        job.eligible_time = Some(begin);
        cluster.timers.set(begin, Timer::Eligible(job.id));
        set_reason(job, Reason::BeginTime);
    } else {
        let was_eligible = job.eligible_time.filter(|eligible| *eligible <= now);
        job.eligible_time = Some(was_eligible.unwrap_or(now));
        if STALE_WHEN_ELIGIBLE.contains(&job.reason) {
            set_reason(job, Reason::None);
        }
    }
    ageing::settle(cluster, now, job);
}

/// Reasons that say why a job was not eligible.
const STALE_WHEN_ELIGIBLE: [Reason; 7] = [
    Reason::ReservationDeleted,
    Reason::JobHeldUser,
    Reason::JobHeldAdmin,
    Reason::JobHoldMaxRequeue,
    Reason::Dependency,
    Reason::DependencyNeverSatisfied,
    Reason::BeginTime,
];

fn set_reason(job: &mut Job, reason: Reason) {
    if job.reason != reason {
        job.reason = reason;
        job.reason_detail = None;
    }
    if reason != Reason::None {
        job.start_time = None;
        job.planned_nodes = None;
    }
}

fn settle_dependencies(cluster: &mut Cluster, now: Timestamp, job: &mut Job) {
    if job.dependencies.is_empty() {
        return;
    }
    let mut left = Vec::new();
    let mut any_satisfied = false;
    for mut dependency in std::mem::take(&mut job.dependencies.all) {
        if dependency.state == DependencyState::Failed {
            left.push(dependency);
            continue;
        }
        let target = dependency.job.filter(|_| dependency.task_index.is_none());
        dependency.of_array = target.is_some_and(|target| cluster.arrays.contains_key(&target));
        match judge(cluster, now, job, &dependency) {
            Verdict::Satisfied => {
                any_satisfied = true;
                // It is to end when the other does.
                job.time_limit = expand::time_limit(cluster, now, &dependency).unwrap_or(job.time_limit);
            }
            Verdict::Waiting => left.push(dependency),
            Verdict::WaitingUntil(at) => {
                cluster.timers.set(at, Timer::Eligible(job.id));
                left.push(dependency);
            }
            Verdict::Never => {
                dependency.state = DependencyState::Failed;
                left.push(dependency);
            }
        }
    }
    if left.is_empty() || (any_satisfied && job.dependencies.any_is_enough) {
        job.dependencies = Dependencies::default();
    } else {
        job.dependencies.all = left;
    }
}

fn judge(cluster: &Cluster, now: Timestamp, job: &Job, dependency: &Dependency) -> Verdict {
    if dependency.kind == DependencyKind::Singleton {
        return if singleton_is_blocked(cluster, job) { Verdict::Waiting } else { Verdict::Satisfied };
    }
    if dependency.kind == DependencyKind::Expand {
        return judge_expansion(cluster, job, dependency);
    }
    let Some(target) = dependency.job else {
        return Verdict::Satisfied;
    };
    let index = match (dependency.kind, dependency.task_index, job.task_index()) {
        (DependencyKind::AfterCorr, None, own) => own,
        (_, index, _) => index,
    };
    if let Some(index) = index
        && cluster.arrays.contains_key(&target)
    {
        return judge_task(cluster, now, target, index, dependency);
    }
    if cluster.arrays.contains_key(&target) {
        return judge_array(cluster, now, target, dependency, matches!(job.array, Some(ArrayRole::Waiting { .. })));
    }
    match cluster.jobs.get(&target) {
        Some(target) => judge_job(now, target, dependency),
        // A job that has left the memory counts as satisfied for every kind, as in Slurm, which looks when a job could
        // otherwise run.
        None if job.hold.is_some() => Verdict::Waiting,
        None => Verdict::Satisfied,
    }
}

/// Looked at when the job could otherwise run, as in Slurm: while it is held, nothing is decided.
fn judge_expansion(cluster: &Cluster, job: &Job, dependency: &Dependency) -> Verdict {
    match expand::target(cluster, dependency) {
        _ if job.hold.is_some() => Verdict::Waiting,
        Some(target) if matches!(target.state, JobState::Running | JobState::Suspended) => Verdict::Satisfied,
        Some(target) if target.state.is_final() && !target.completing => Verdict::Never,
        Some(_) => Verdict::Waiting,
        None => Verdict::Satisfied,
    }
}

/// Whether a dependency on something in memory that counts as open is decided, whatever the time.
pub(crate) fn is_decided(cluster: &Cluster, job: &Job, dependency: &Dependency) -> bool {
    let is_known = |target: &JobId| cluster.jobs.contains_key(target) || cluster.arrays.contains_key(target);
    let is_task_known =
        |target: JobId, index| cluster.array_tasks.get(&target).is_some_and(|tasks| tasks.contains_key(&index));
    match (dependency.job, dependency.task_index.or(job.task_index())) {
        (Some(target), Some(index)) if cluster.arrays.contains_key(&target) && !is_task_known(target, index) => {
            return false;
        }
        (Some(target), _) if !is_known(&target) => return false,
        // A timer looks again when the delay is over.
        _ if dependency.delay_minutes > 0 => return false,
        _ => {}
    }
    matches!(judge(cluster, Timestamp(i64::MIN), job, dependency), Verdict::Satisfied | Verdict::Never)
}

/// One task of an array; an index that the array does not have is as a job that has left the memory.
fn judge_task(cluster: &Cluster, now: Timestamp, array: JobId, index: u32, dependency: &Dependency) -> Verdict {
    let started = cluster.array_tasks.get(&array).and_then(|tasks| tasks.get(&index));
    if let Some(task) = started.and_then(|id| cluster.jobs.get(id)) {
        return judge_job(now, task, dependency);
    }
    match waiting_tasks(cluster, array) {
        Some((record, tasks)) if tasks.contains(index) => judge_job(now, record, dependency),
        _ => Verdict::Satisfied,
    }
}

/// The record of an array's tasks that did not start (it may have been cancelled as a whole), and those tasks.
fn waiting_tasks(cluster: &Cluster, array: JobId) -> Option<(&Job, &TaskSet)> {
    let record = cluster.jobs.get(&array)?;
    match &record.array {
        Some(ArrayRole::Waiting { tasks }) => Some((record, tasks)),
        _ => None,
    }
}

/// An array as a whole. `for_tasks`: the job that waits stands for tasks that will be judged one by one.
fn judge_array(cluster: &Cluster, now: Timestamp, array: JobId, dependency: &Dependency, for_tasks: bool) -> Verdict {
    let Some(info) = cluster.arrays.get(&array) else {
        return Verdict::Satisfied;
    };
    let waiting = waiting_tasks(cluster, array).map(|(record, _)| record);
    let tasks_wait = waiting.is_some_and(|record| !record.state.is_final());
    let failed = info.any_failed || waiting.is_some_and(|record| record.state.is_final());
    let finished = !tasks_wait && info.unfinished == 0;
    match dependency.kind {
        DependencyKind::After if tasks_wait => Verdict::Waiting,
        DependencyKind::After => all_started(cluster, now, array, dependency),
        DependencyKind::AfterCorr if for_tasks && failed => Verdict::Waiting,
        DependencyKind::AfterOk | DependencyKind::AfterCorr if failed => Verdict::Never,
        _ if !finished => Verdict::Waiting,
        DependencyKind::AfterNotOk if !failed => Verdict::Never,
        _ => Verdict::Satisfied,
    }
}

/// Whether all tasks of an array have started, and long enough ago.
fn all_started(cluster: &Cluster, now: Timestamp, array: JobId, dependency: &Dependency) -> Verdict {
    let mut latest = None;
    let tasks = cluster.array_tasks.get(&array);
    for task in tasks.into_iter().flat_map(|tasks| tasks.values()).filter_map(|id| cluster.jobs.get(id)) {
        match judge_job(now, task, dependency) {
            Verdict::WaitingUntil(at) => latest = latest.max(Some(at)),
            Verdict::Satisfied => {}
            Verdict::Waiting | Verdict::Never => return Verdict::Waiting,
        }
    }
    latest.map_or(Verdict::Satisfied, Verdict::WaitingUntil)
}

fn judge_job(now: Timestamp, target: &Job, dependency: &Dependency) -> Verdict {
    let ended = target.state.is_final() && !target.completing;
    match dependency.kind {
        DependencyKind::After => match target.state {
            JobState::Pending => Verdict::Waiting,
            _ => {
                let from = target.start_time.or(target.end_time).unwrap_or(now);
                let due = from + Span::from_minutes(dependency.delay_minutes.into());
                if due <= now { Verdict::Satisfied } else { Verdict::WaitingUntil(due) }
            }
        },
        _ if !ended => Verdict::Waiting,
        DependencyKind::AfterOk | DependencyKind::AfterCorr if target.state == JobState::Completed => {
            Verdict::Satisfied
        }
        DependencyKind::AfterOk | DependencyKind::AfterCorr => Verdict::Never,
        DependencyKind::AfterNotOk if target.state == JobState::Completed => Verdict::Never,
        _ => Verdict::Satisfied,
    }
}

/// Another job of the same user and name runs, or waits with a lower number.
fn singleton_is_blocked(cluster: &Cluster, job: &Job) -> bool {
    ahead_in_name(cluster, job).next().is_some()
}

/// Jobs that a job with a `singleton` dependency waits for. Tasks of one array do not wait for each other, nor do components
/// of one heterogeneous job.
fn ahead_in_name<'a>(cluster: &'a Cluster, job: &Job) -> impl Iterator<Item = &'a Arc<Job>> {
    let (uid, name, id) = name_key(job);
    let (array, het) = (job.array_job_id(), job.het_job_id());
    let of_name = (uid, name.clone(), JobId(0))..=(uid, name, JobId(u32::MAX));
    let others = cluster.named.range(of_name).filter_map(|(_, _, id)| cluster.jobs.get(id));
    others
        .filter(move |other| other.id != id && other.array_job_id().is_none_or(|other| Some(other) != array))
        .filter(move |other| other.het_job_id().is_none_or(|other| Some(other) != het))
        .filter(move |other| other.id < id || other.holds_resources())
}

/// Whether `job` would wait for itself, directly or by way of others, if it had these dependencies.
pub(super) fn is_circular(cluster: &Cluster, job: &Job, dependencies: &Dependencies) -> bool {
    let mut seen = BTreeSet::new();
    let mut to_visit = waited_for(cluster, job, dependencies);
    while let Some(id) = to_visit.pop() {
        // Components start together, so what one of them waits for all wait for.
        if job.components().any(|own| own == id) {
            return true;
        }
        if seen.insert(id)
            && let Some(other) = cluster.jobs.get(&id).filter(|other| other.state == JobState::Pending)
        {
            for component in cluster.components(other) {
                to_visit.extend(waited_for(cluster, &component, &component.dependencies));
            }
        }
    }
    false
}

/// Records that a job with these dependencies waits for.
fn waited_for(cluster: &Cluster, job: &Job, dependencies: &Dependencies) -> Vec<JobId> {
    let mut records = Vec::new();
    for dependency in dependencies.all.iter().filter(|dependency| dependency.state == DependencyState::Unfulfilled) {
        match (dependency.job, dependency.task_index) {
            (None, _) => records.extend(ahead_in_name(cluster, job).map(|other| other.id)),
            (Some(target), Some(index)) => {
                let task = cluster.array_tasks.get(&target).and_then(|tasks| tasks.get(&index));
                records.push(task.copied().unwrap_or(target));
            }
            (Some(target), None) => {
                records.push(target);
                records.extend(cluster.array_tasks.get(&target).into_iter().flat_map(|tasks| tasks.values()));
            }
        }
    }
    records
}

/// Has all jobs looked at again that wait for `target` (a job that started, ended or was cleaned), before the event is
/// over.
pub(crate) fn target_changed(cluster: &mut Cluster, target: &Job) {
    let array = target.array_job_id().filter(|array| *array != target.id);
    let waiting: Vec<JobId> = std::iter::once(target.id)
        .chain(array)
        .filter_map(|id| cluster.dependents.get(&id))
        .flatten()
        .copied()
        .collect();
    for job_id in &waiting {
        let Some(job) = cluster.jobs.get(job_id).cloned() else {
            continue;
        };
        match target.task_index() {
            Some(index) if corresponds(&job, index) && !array_is_finished(cluster, target.array_job_id()) => {
                cluster.to_correspond.insert((*job_id, index));
            }
            _ => correspond_all(cluster, &job),
        }
    }
    cluster.to_evaluate.extend(waiting);
    cluster.wake_singletons(&name_key(target));
}

fn array_is_finished(cluster: &Cluster, array: Option<JobId>) -> bool {
    array.is_some_and(|array| {
        let waits = waiting_tasks(cluster, array).is_some_and(|(record, _)| !record.state.is_final());
        !waits && cluster.arrays.get(&array).is_none_or(|info| info.unfinished == 0)
    })
}

/// Whether task `index` of a waiting array waits for a corresponding task.
fn corresponds(job: &Job, index: u32) -> bool {
    let waits =
        |dependency: &Dependency| dependency.kind == DependencyKind::AfterCorr && dependency.task_index.is_none();
    matches!(&job.array, Some(ArrayRole::Waiting { tasks }) if tasks.contains(index))
        && job.dependencies.all.iter().any(waits)
}

/// Has all tasks of a waiting array looked at that wait for a corresponding task.
pub(super) fn correspond_all(cluster: &mut Cluster, job: &Job) {
    if let Some(ArrayRole::Waiting { tasks }) = &job.array
        && tasks.first().is_some_and(|first| corresponds(job, first))
    {
        cluster.to_correspond.extend(tasks.iter().map(|index| (job.id, index)));
    }
}

/// Looks again at all jobs that the event has touched, and at those touched by that.
pub(crate) fn evaluate_touched(cluster: &mut Cluster, now: Timestamp, out: &mut Outcome) {
    loop {
        if let Some((job_id, index)) = cluster.to_correspond.pop_first() {
            split_if_decided(cluster, now, job_id, index, out);
        } else if let Some(job_id) = cluster.to_evaluate.pop_first() {
            evaluate(cluster, now, job_id, out);
        } else {
            return;
        }
    }
}

/// Gives a waiting task a record of its own as soon as its fate differs from that of the others.
fn split_if_decided(cluster: &mut Cluster, now: Timestamp, job_id: JobId, index: u32, out: &mut Outcome) {
    let Some(record) =
        cluster.jobs.get(&job_id).filter(|job| job.state == JobState::Pending && corresponds(job, index))
    else {
        return;
    };
    let mut task = (**record).clone();
    task.array = Some(ArrayRole::Task { array_job_id: job_id, task_index: index });
    let decided = |dependency: &&Dependency| {
        dependency.kind == DependencyKind::AfterCorr && dependency.state != DependencyState::Failed
    };
    let decided = task
        .dependencies
        .all
        .iter()
        .filter(decided)
        .any(|dependency| !matches!(judge(cluster, now, &task, dependency), Verdict::Waiting));
    if decided && let Some(task) = targets::split_task(cluster, now, job_id, index, out) {
        let id = task.id;
        cluster.put_job(now, task, out);
        cluster.to_evaluate.insert(id);
    }
}

/// Whether a job ends because what it waits for will never come.
pub(crate) fn is_to_end(cluster: &Cluster, job: &Job) -> bool {
    job.state == JobState::Pending
        && job.reason == Reason::DependencyNeverSatisfied
        && job.spec.kill_on_invalid_dependency.unwrap_or(cluster.config.kill_invalid_dependency)
}

/// Looks again at one pending job, and puts it if something changed.
pub(crate) fn evaluate(cluster: &mut Cluster, now: Timestamp, job_id: JobId, out: &mut Outcome) {
    let Some(old) = cluster.jobs.get(&job_id).filter(|job| job.state == JobState::Pending).cloned() else {
        return;
    };
    let mut job = (*old).clone();
    settle(cluster, now, &mut job);
    if is_to_end(cluster, &job) {
        cancel::end_pending(cluster, now, job, None, out);
    } else if job != *old {
        cluster.put_job(now, job, out);
    } else {
        // Its time may have come without any change of the row.
        cluster.index_job(Some(&old), &old, now);
        out.plan_needed = true;
    }
}

/// After a restart: time has passed, and targets may have left the memory.
pub(crate) fn evaluate_all(cluster: &mut Cluster, now: Timestamp, out: &mut Outcome) {
    let waits =
        |job: &Job| job.state == JobState::Pending && (!job.dependencies.is_empty() || job.begin_time.is_some());
    let pending: Vec<JobId> = cluster.jobs.values().filter(|job| waits(job)).map(|job| job.id).collect();
    cluster.to_evaluate.extend(pending);
    evaluate_touched(cluster, now, out);
}
