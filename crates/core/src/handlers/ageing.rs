//! Which waiting jobs gain priority by age, where accounts or QOS limit how many may.
//!
//! A job is judged when it becomes eligible, and again at each calculation of priorities while it is beyond the limit. Of an
//! array under a limit as many tasks as may age get records of their own, as in Slurm: the rest does not age.

use muster_model::accounting::{Ageing, ageing};
use muster_model::array::TaskSet;
use muster_model::ids::JobId;
use muster_model::job::{ArrayRole, Job};
use muster_model::priority::PriorityFlag;
use muster_model::state::JobState;
use muster_model::time::Timestamp;

use super::targets;
use crate::cluster::Cluster;
use crate::effect::Outcome;
use crate::index::is_queued;

/// Most tasks of one array that one event gives records of their own.
const TASKS_PER_EVENT_MAX: u64 = 1000;

/// Judges a waiting job whose eligible time has been settled. The caller puts it.
pub(super) fn settle(cluster: &Cluster, now: Timestamp, job: &mut Job) {
    if !is_limited(cluster) {
        job.ageing = Ageing::SinceEligible;
        return;
    }
    if job.eligible_time.is_none_or(|eligible| eligible > now) {
        job.ageing = Ageing::Not;
        return;
    }
    // One that ages already goes on, whatever limits came since.
    let before = cluster.jobs.get(&job.id).filter(|before| before.restart == job.restart);
    if before.is_some_and(|before| is_queued(before, now) && before.ageing != Ageing::Not) {
        return;
    }
    job.ageing = match ageing::room(&cluster.accounting, &cluster.tallies, job) {
        None => Ageing::SinceEligible,
        Some(0) => Ageing::Not,
        // Tasks are looked at one by one, see `tend`.
        Some(_) if is_array(job) => Ageing::Not,
        Some(_) => Ageing::Since(now),
    };
}

/// Lets a job that was beyond a limit age from now on, if there is room; of an array so many of its tasks.
pub(super) fn tend(cluster: &mut Cluster, now: Timestamp, id: JobId, out: &mut Outcome) {
    let Some(job) = cluster.jobs.get(&id).filter(|job| job.ageing == Ageing::Not && is_queued(job, now)).cloned()
    else {
        return;
    };
    let room = if is_limited(cluster) { ageing::room(&cluster.accounting, &cluster.tallies, &job) } else { None };
    match (room, &job.array) {
        (None, _) => put(cluster, now, Job { ageing: Ageing::SinceEligible, ..(*job).clone() }, out),
        (Some(0), _) => {}
        (Some(room), Some(ArrayRole::Waiting { tasks })) => split(cluster, now, (id, tasks), room, out),
        (Some(_), _) => put(cluster, now, Job { ageing: Ageing::Since(now), ..(*job).clone() }, out),
    }
}

fn split(cluster: &mut Cluster, now: Timestamp, (id, tasks): (JobId, &TaskSet), room: u64, out: &mut Outcome) {
    for index in tasks.iter().take(room.min(TASKS_PER_EVENT_MAX) as usize) {
        if let Some(task) = targets::split_task(cluster, now, id, index, out) {
            put(cluster, now, Job { ageing: Ageing::Since(now), ..task }, out);
        }
    }
}

fn put(cluster: &mut Cluster, now: Timestamp, job: Job, out: &mut Outcome) {
    debug_assert_eq!(job.state, JobState::Pending);
    cluster.put_job_quietly(now, job, out);
}

/// Limits on ageing count only where limits are held at all, and not beside `ACCRUE_ALWAYS`.
fn is_limited(cluster: &Cluster) -> bool {
    cluster.config.accounting_enforce.limits && !cluster.config.priority.has(PriorityFlag::AccrueAlways)
}

fn is_array(job: &Job) -> bool {
    matches!(job.array, Some(ArrayRole::Waiting { .. }))
}
