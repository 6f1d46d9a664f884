//! `scontrol top`: puts jobs of a user before the user's others, whose places they take.
//!
//! The listed jobs get the greatest priorities that the user's waiting jobs have, in the order of the list, by way of
//! their nice values; what they gain is taken in equal parts from the user's other jobs. So nobody else is overtaken by
//! more than before. (As seen in Slurm 22.05.)

use std::sync::Arc;

use muster_model::ids::{Identity, JobId};
use muster_model::job::Job;
use muster_model::request::{Refusal, RefusalCode};
use muster_model::state::JobState;
use muster_model::time::Timestamp;

use crate::cluster::Cluster;
use crate::effect::Outcome;

/// Jobs in one list: more than anybody types.
const JOBS_MAX: usize = 1000;

pub(crate) fn top(
    cluster: &mut Cluster,
    now: Timestamp,
    identity: &Identity,
    listed: &[JobId],
    out: &mut Outcome,
) -> Result<(), Refusal> {
    let listed = check(cluster, identity, listed)?;
    let Some(uid) = listed.first().map(|job| job.spec.identity.uid) else {
        return Err(RefusalCode::InvalidJobId.into());
    };
    let of_user = |job: &&Arc<Job>| job.spec.identity.uid == uid && is_ranked(job);
    let all: Vec<Arc<Job>> = cluster.jobs.values().filter(of_user).cloned().collect();
    let mut priorities: Vec<u32> = all.iter().map(|job| job.priority).collect();
    priorities.sort_unstable_by(|a, b| b.cmp(a));
    let listed: Vec<&Arc<Job>> = listed.iter().filter(|job| job.spec.identity.uid == uid).collect();
    let mut gained = 0;
    for (job, priority) in listed.iter().zip(priorities) {
        let gain = i64::from(priority) - i64::from(job.priority);
        gained += gain;
        raise(cluster, now, job, gain, out);
    }
    let mut others: Vec<&Arc<Job>> =
        all.iter().filter(|job| !listed.iter().any(|listed| listed.id == job.id)).collect();
    others.sort_by_key(|job| (job.submit_time, job.id));
    let each = gained / i64::try_from(others.len().max(1)).unwrap_or(1);
    for (position, job) in others.iter().enumerate() {
        // The last one bears what cannot be divided.
        let part = if position + 1 == others.len() { gained } else { each };
        gained -= part;
        raise(cluster, now, job, -part, out);
    }
    Ok(())
}

fn is_ranked(job: &Job) -> bool {
    job.state == JobState::Pending && job.priority > 0
}

fn check(cluster: &Cluster, identity: &Identity, listed: &[JobId]) -> Result<Vec<Arc<Job>>, Refusal> {
    if listed.len() > JOBS_MAX {
        return Err(RefusalCode::InvalidJobId.into());
    }
    let mut jobs: Vec<Arc<Job>> = Vec::with_capacity(listed.len());
    for id in listed {
        let job = cluster.jobs.get(id).ok_or(RefusalCode::InvalidJobId)?;
        let own = job.spec.identity.uid == identity.uid && cluster.config.priority.user_top;
        if !own && !identity.is_operator() {
            return Err(RefusalCode::AccessDenied.into());
        }
        if job.state != JobState::Pending {
            return Err(RefusalCode::JobRunning.into());
        }
        if job.priority == 0 {
            return Err(RefusalCode::JobHeld.into());
        }
        if !jobs.iter().any(|known| known.id == job.id) {
            jobs.push(job.clone());
        }
    }
    Ok(jobs)
}

/// Moves a job by its nice value, so that the next calculation leaves it there.
fn raise(cluster: &mut Cluster, now: Timestamp, job: &Job, gain: i64, out: &mut Outcome) {
    if gain == 0 {
        return;
    }
    let mut job = job.clone();
    let nice = i64::from(job.spec.nice) - gain;
    let mut spec = (*job.spec).clone();
    spec.nice = i32::try_from(nice.clamp(i64::from(i32::MIN), i64::from(i32::MAX))).unwrap_or(0);
    (job.spec_id, job.spec) = cluster.share_spec(spec, out);
    let priority = (i64::from(job.priority) + gain).clamp(1, i64::from(u32::MAX));
    job.priority = u32::try_from(priority).unwrap_or(1);
    cluster.put_job(now, job, out);
}
