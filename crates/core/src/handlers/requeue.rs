//! Putting a batch job back into the queue.

use std::collections::BTreeSet;

use muster_model::ids::{Identity, NodeIndex};
use muster_model::job::{Hold, Job, JobKind};
use muster_model::request::{JobTarget, Refusal, RefusalCode};
use muster_model::state::{ExitStatus, JobState};
use muster_model::time::{Span, Timestamp};

use super::ending::{self, Requeue};
use super::{authorisation, targets};
use crate::cluster::Cluster;
use crate::effect::{EndCause, Outcome};

pub(super) fn requeue(
    cluster: &mut Cluster,
    now: Timestamp,
    identity: &Identity,
    target: &JobTarget,
    how: Held,
    out: &mut Outcome,
) -> Result<(), Refusal> {
    let special_exit = how.special_exit;
    let hold = how.hold.then_some(if identity.is_operator() { Hold::Admin } else { Hold::User });
    let mut outcome = Err(Refusal::from(RefusalCode::InvalidJobId));
    // Slurm knows no job by the name of a component here.
    let whole = target.component.is_none().then_some(()).ok_or(RefusalCode::InvalidJobId);
    let named = whole.and_then(|()| targets::resolve(cluster, target).map_err(|refusal| refusal.code))?;
    for id in named.all() {
        // The leader of a heterogeneous job stands for all of it.
        let is_whole = |job: &Job| !job.is_led() || job.id == target.job_id;
        if let Some(job) = cluster.jobs.get(&id).filter(|job| is_whole(job)).cloned() {
            let done = requeue_one(cluster, now, identity, &job, hold, out);
            let held = done.is_ok() && hold.is_some();
            outcome = targets::any_done(outcome, done);
            for id in job.components().filter(|_| held) {
                say_why_held(cluster, now, id, special_exit, out);
            }
        }
    }
    outcome
}

/// How a job comes back to the queue.
pub(super) struct Held {
    /// Held.
    pub hold: bool,
    /// Shown as `SPECIAL_EXIT`.
    pub special_exit: bool,
}

/// What a job that was put back and held says of itself (Slurm's `WAIT_HELD_REQUEUE`).
const HELD_AFTER_REQUEUE: &str = "job requeued in held state";

fn say_why_held(
    cluster: &mut Cluster,
    now: Timestamp,
    id: muster_model::ids::JobId,
    special_exit: bool,
    out: &mut Outcome,
) {
    let Some(job) = cluster.jobs.get(&id).filter(|job| job.state == JobState::Pending && job.hold.is_some()) else {
        return;
    };
    let mut job = (**job).clone();
    job.reason_detail = Some(HELD_AFTER_REQUEUE.into());
    job.special_exit = special_exit;
    cluster.put_job(now, job, out);
}

fn requeue_one(
    cluster: &mut Cluster,
    now: Timestamp,
    identity: &Identity,
    job: &Job,
    hold: Option<Hold>,
    out: &mut Outcome,
) -> Result<(), Refusal> {
    authorisation::may_control_job(identity, job)?;
    if job.is_led() {
        return Err(RefusalCode::NotHetJobLeader.into());
    }
    let components = cluster.components(job);
    if !components.iter().all(|job| may_requeue(cluster, job)) {
        return Err(RefusalCode::Disabled.into());
    }
    let delay = cluster.config.requeue_delay;
    match job.state {
        JobState::Pending => Err(RefusalCode::JobPending.into()),
        JobState::Running | JobState::Suspended => {
            let (past_state, past_exit) = (JobState::Requeued, ExitStatus::SUCCESS);
            let how = Requeue { past_state, past_exit, cause: EndCause::Requeue, hold, delay };
            ending::requeue_running(cluster, now, job.id, how, &BTreeSet::new(), out);
            Ok(())
        }
        _ if components.iter().any(|job| job.completing) => Err(RefusalCode::InvalidTransition.into()),
        _ => {
            for job in components {
                let mut job = ending::back_to_pending(cluster, now, (*job).clone(), hold, delay);
                ending::forget_allocation(&mut job);
                cluster.set_job_timers(&job, now);
                cluster.put_job(now, job, out);
            }
            Ok(())
        }
    }
}

/// Only batch jobs can start again, and only if the user or the configuration did not forbid it.
pub(super) fn may_requeue(cluster: &Cluster, job: &Job) -> bool {
    job.spec.kind != JobKind::Allocation && job.spec.requeue.unwrap_or(cluster.config.requeue_default)
}

/// A batch job has ended with a code after which the site wants it back in the queue (`RequeueExit`), perhaps held
/// (`RequeueExitHold`). Whether it did; the history keeps how this start ended.
pub(super) fn after_exit(
    cluster: &mut Cluster,
    now: Timestamp,
    job: &Job,
    state: JobState,
    exit: ExitStatus,
    clean_nodes: &BTreeSet<NodeIndex>,
    out: &mut Outcome,
) -> bool {
    let holds = cluster.config.requeue_exits_held.contains(exit.code.into());
    let wanted = holds || cluster.config.requeue_exits.contains(exit.code.into());
    let ended_itself = matches!(state, JobState::Failed | JobState::Completed) && exit.signal == 0;
    if !wanted || !ended_itself || job.spec.kind != JobKind::Batch || job.cron().is_some() {
        return false;
    }
    let how = Requeue {
        past_state: state,
        past_exit: exit,
        cause: EndCause::Requeue,
        hold: holds.then_some(Hold::Admin),
        delay: if holds { Span::ZERO } else { cluster.config.requeue_delay },
    };
    let whole = job.het_job_id().unwrap_or(job.id);
    ending::requeue_running(cluster, now, whole, how, clean_nodes, out);
    for id in job.components().filter(|_| holds) {
        say_why_held(cluster, now, id, true, out);
    }
    true
}

/// A node of a running job failed: the job goes back to the queue, or ends with `NODE_FAIL`. A heterogeneous job does so as
/// a whole, whichever component was there.
pub(super) fn after_node_failure(
    cluster: &mut Cluster,
    now: Timestamp,
    job: &Job,
    failed: &BTreeSet<muster_model::ids::NodeIndex>,
    out: &mut Outcome,
) {
    if !matches!(job.state, JobState::Running | JobState::Suspended) {
        return;
    }
    let whole = job.het_job_id().unwrap_or(job.id);
    if cluster.components(job).iter().all(|job| may_requeue(cluster, job)) {
        let how = Requeue {
            past_state: JobState::NodeFail,
            past_exit: ExitStatus::SUCCESS,
            cause: EndCause::NodeFailure,
            hold: None,
            delay: Span::ZERO,
        };
        ending::requeue_running(cluster, now, whole, how, failed, out);
    } else {
        let mut end = ending::End::new(JobState::NodeFail, muster_model::state::Reason::NodeDown);
        end.cause = Some(EndCause::NodeFailure);
        end.clean_nodes = failed.clone();
        ending::end_job(cluster, now, whole, end, out);
    }
}
