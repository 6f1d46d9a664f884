//! Allocations that a client holds (`salloc`, `srun`): they live as long as their client.

use muster_model::ids::{Identity, JobId};
use muster_model::job::{Job, JobKind};
use muster_model::request::{Refusal, RefusalCode};
use muster_model::state::{ExitStatus, JobState, Reason};
use muster_model::time::Timestamp;

use super::ending::{self, End};
use super::{authorisation, cancel};
use crate::cluster::{Cluster, HOLDER_ABSENCE_MAX};
use crate::effect::{EndCause, Outcome};
use crate::timers::Timer;

/// The client is connected, perhaps once more: a connection that broke may be noticed after the next was made.
pub(crate) fn present(cluster: &mut Cluster, job_id: JobId) {
    if cluster.jobs.get(&job_id).is_some_and(|job| needs_holder(job)) {
        cluster.holders_away.remove(&job_id);
        *cluster.holders_present.entry(job_id).or_default() += 1;
    }
}

/// A connection of the client broke; when it has no other, it has a short while to come back.
pub(crate) fn gone(cluster: &mut Cluster, now: Timestamp, job_id: JobId) {
    if let Some(connections) = cluster.holders_present.get_mut(&job_id) {
        *connections -= 1;
        if *connections > 0 {
            return;
        }
        cluster.holders_present.remove(&job_id);
    }
    if cluster.jobs.get(&job_id).is_some_and(|job| needs_holder(job)) {
        gone_since(cluster, now, job_id);
    }
}

/// The job has ended; its client may do as it likes.
pub(super) fn forget(cluster: &mut Cluster, job_id: JobId) {
    cluster.holders_away.remove(&job_id);
    cluster.holders_present.remove(&job_id);
}

/// Whether the job ends when its client stays away. A heterogeneous job is held by its leader.
pub(crate) fn needs_holder(job: &Job) -> bool {
    job.spec.kind == JobKind::Allocation && !job.spec.unattended && !job.state.is_final() && !job.is_led()
}

/// Starts the clock of an absent client.
pub(super) fn gone_since(cluster: &mut Cluster, now: Timestamp, job_id: JobId) {
    cluster.holders_away.insert(job_id, now);
    cluster.timers.set(now + HOLDER_ABSENCE_MAX, Timer::Holder(job_id));
}

/// The clock of an absent client has run out.
pub(super) fn expire(cluster: &mut Cluster, now: Timestamp, job_id: JobId, out: &mut Outcome) {
    let Some(since) = cluster.holders_away.get(&job_id).copied() else {
        return;
    };
    if since + HOLDER_ABSENCE_MAX > now {
        return;
    }
    let Some(job) = cluster.jobs.get(&job_id).cloned() else {
        return;
    };
    let by = Some(job.spec.identity.uid);
    match job.state {
        JobState::Pending => cancel::end_pending(cluster, now, (*job).clone(), by, out),
        JobState::Running | JobState::Suspended => {
            let mut end = End::new(JobState::Cancelled, Reason::None);
            end.cancelled_by = by;
            end.cause = Some(EndCause::Cancelled);
            ending::end_job(cluster, now, job_id, end, out);
        }
        _ => {}
    }
    forget(cluster, job_id);
}

/// The client is done with its allocation.
pub(super) fn end(
    cluster: &mut Cluster,
    now: Timestamp,
    identity: &Identity,
    job_id: JobId,
    exit: ExitStatus,
    out: &mut Outcome,
) -> Result<(), Refusal> {
    let job = cluster.jobs.get(&job_id).cloned().ok_or(RefusalCode::InvalidJobId)?;
    authorisation::may_control_job(identity, &job)?;
    match job.state {
        JobState::Pending => {
            cancel::end_pending(cluster, now, (*job).clone(), Some(identity.uid), out);
            Ok(())
        }
        JobState::Running | JobState::Suspended => {
            let (state, reason) = match exit {
                exit if exit.is_success() => (JobState::Completed, Reason::None),
                // How a step tells that the kernel killed a process of it for lack of memory, as in Slurm.
                ExitStatus { signal, .. } if signal == ExitStatus::OUT_OF_MEMORY.signal => {
                    (JobState::OutOfMemory, Reason::OutOfMemory)
                }
                ExitStatus { signal: 0, .. } => (JobState::Failed, Reason::NonZeroExitCode),
                _ => (JobState::Failed, Reason::RaisedSignal),
            };
            let mut end = End::new(state, reason);
            end.exit = exit;
            ending::end_job(cluster, now, job_id, end, out);
            Ok(())
        }
        _ => Err(RefusalCode::AlreadyDone.into()),
    }
}
