//! `scontrol top`: puts jobs of a user before the user's others, whose places they take.
//!
//! The listed jobs get the greatest priorities that the user's waiting jobs have, in the order of the list, by way of
//! their nice values; what they gain is taken in equal parts from the user's other jobs. So nobody else is overtaken by
//! more than before. Of equal priorities the second is one less, and none of the others stays level with the listed. (As
//! seen in Slurm 22.05.)

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
    let listed: Vec<Arc<Job>> = listed.into_iter().filter(|job| job.spec.identity.uid == uid).collect();
    let mut others: Vec<Arc<Job>> =
        all.into_iter().filter(|job| !listed.iter().any(|listed| listed.id == job.id)).collect();
    others.sort_by_key(|job| (job.submit_time, job.id));
    let priorities = |jobs: &[Arc<Job>]| jobs.iter().map(|job| i64::from(job.priority)).collect::<Vec<_>>();
    let wanted = rearranged(&priorities(&listed), &priorities(&others));
    for (job, priority) in listed.iter().chain(&others).zip(wanted) {
        raise(cluster, now, job, priority - i64::from(job.priority), out);
    }
    Ok(())
}

/// The priorities that the listed jobs get, and behind them those of the others, from what they have.
fn rearranged(listed: &[i64], others: &[i64]) -> Vec<i64> {
    let mut greatest: Vec<i64> = listed.iter().chain(others).copied().collect();
    greatest.sort_unstable_by(|a, b| b.cmp(a));
    let (mut wanted, mut gained, mut last) = (Vec::with_capacity(greatest.len()), 0, i64::MAX);
    for (old, new) in listed.iter().zip(greatest) {
        last = if new == last { new - 1 } else { new };
        gained += last - old;
        wanted.push(last);
    }
    for (old, left) in others.iter().zip((1..=others.len() as i64).rev()) {
        let part = gained / left;
        gained -= part;
        wanted.push((old - part).min(last - 1));
    }
    wanted
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What Slurm 22.05 made of such jobs.
    #[test]
    fn priorities_are_rearranged_as_in_slurm() {
        let check = |listed: &[i64], others: &[i64], expected: &[i64]| {
            assert_eq!(rearranged(listed, others), expected, "{listed:?} {others:?}");
        };
        check(&[232], &[232, 232, 232], &[232, 231, 231, 231]);
        check(&[231, 231], &[231, 232], &[232, 231, 230, 230]);
        check(&[212], &[232, 222, 202], &[232, 226, 215, 195]);
        check(&[195, 232], &[226, 215], &[232, 226, 211, 199]);
        check(&[222], &[232, 232], &[232, 227, 227]);
        check(&[232, 232, 232, 232], &[232], &[232, 231, 232, 231, 230]);
        check(&[225, 225], &[232], &[232, 225, 224]);
        check(&[231], &[232, 232, 232, 232, 232], &[232, 231, 231, 231, 231, 231]);
        check(&[5], &[], &[5]);
    }
}
