//! What a site runs around jobs where the controller is, and what follows where any prolog or epilog fails.
//!
//! As in Slurm: the node takes no more jobs until somebody has looked at it; a job whose prolog failed goes back to the queue and
//! is held, unless the site wants it otherwise; one that somebody waits for is ended; one whose epilog failed is not touched.

use std::collections::BTreeSet;
use std::sync::Arc;

use muster_model::hooks::HookMoment;
use muster_model::ids::{JobId, NodeIndex, RestartCount};
use muster_model::job::{Hold, Job, JobKind};
use muster_model::node::NodeReason;
use muster_model::state::{ExitStatus, JobState, Reason};
use muster_model::time::{Span, Timestamp};

use super::ending::{self, End, Requeue};
use super::{plan, requeue, steps};
use crate::cluster::Cluster;
use crate::effect::{Effect, EndCause, NodeCommand, Outcome};
use crate::event::{HookEnd, UnitKey};

/// Reasons of nodes, in Slurm's words.
const PROLOG_ERROR: &str = "Prolog error";
const EPILOG_ERROR: &str = "Epilog error";

/// What a job says of itself that was put back and held (Slurm's `WAIT_FAILED_LAUNCH`).
const HELD_AFTER_FAILURE: &str = "launch failed requeued held";

/// An epilog has ended on `node`. Acknowledged even when it is told again.
pub(super) fn epilog_ended(
    cluster: &mut Cluster,
    now: Timestamp,
    node: NodeIndex,
    key: UnitKey,
    end: &HookEnd,
    out: &mut Outcome,
) {
    out.send(node, NodeCommand::Acknowledge(key));
    if end.failure.is_some() {
        drain(cluster, now, node, EPILOG_ERROR, out);
    }
}

/// The prolog of a job failed on `node`; the job does not run there.
pub(super) fn prolog_failed(cluster: &mut Cluster, now: Timestamp, node: NodeIndex, job: &Job, out: &mut Outcome) {
    drain(cluster, now, node, PROLOG_ERROR, out);
    if !matches!(job.state, JobState::Running | JobState::Suspended) {
        return;
    }
    // A heterogeneous job goes back as a whole, whichever component was there.
    let whole = job.het_job_id().unwrap_or(job.id);
    if !cluster.components(job).iter().all(|job| requeue::may_requeue(cluster, job)) {
        let how = match job.spec.kind {
            JobKind::Batch | JobKind::EveryNode => End::new(JobState::NodeFail, Reason::JobLaunchFailure),
            JobKind::Allocation => End::new(JobState::Cancelled, Reason::None),
        };
        return ending::end_job(cluster, now, whole, how, out);
    }
    let is_held = !cluster.config.hooks.requeue_unheld;
    let how = Requeue {
        past_state: JobState::NodeFail,
        past_exit: ExitStatus::SUCCESS,
        cause: EndCause::NodeFailure,
        hold: is_held.then_some(Hold::Admin),
        delay: if is_held { Span::ZERO } else { cluster.config.requeue_delay },
    };
    ending::requeue_running(cluster, now, whole, how, &BTreeSet::new(), out);
    if let Some(held) = cluster.jobs.get(&whole).filter(|_| is_held).cloned() {
        let mut held = (*held).clone();
        held.reason_detail = Some(HELD_AFTER_FAILURE.into());
        cluster.put_job(now, held, out);
    }
}

/// Gives a node no more jobs until somebody has looked at it; a reason that it has already stays.
pub(super) fn drain(cluster: &mut Cluster, now: Timestamp, node: NodeIndex, reason: &str, out: &mut Outcome) {
    cluster.change_node(node, out, |node| {
        node.drain = true;
        node.reason.get_or_insert_with(|| NodeReason { text: reason.into(), user: "root".into(), uid: 0, time: now });
    });
}

/// Launches the main unit of a job that has just been started, or of a heterogeneous one by its components, unless the site runs
/// something before it: then it is configuring until that has ended.
pub(super) fn launch_or_configure(cluster: &mut Cluster, now: Timestamp, parts: &[Arc<Job>], out: &mut Outcome) {
    let Some(first) = parts.first() else { return };
    if cluster.config.hooks.controller_prolog.is_none() {
        let components = if first.het.is_some() { parts.to_vec() } else { Vec::new() };
        return plan::launch_main_unit(cluster, now, first, components, out);
    }
    out.effects.extend(parts.iter().map(|job| Effect::RunHook { moment: HookMoment::Prolog, job: job.clone() }));
}

/// After a restart nobody knows how far a prolog had come: it is run again.
pub(crate) fn restored(cluster: &Cluster, out: &mut Outcome) {
    let configuring = cluster.jobs.values().filter(|job| job.configuring);
    out.effects.extend(configuring.map(|job| Effect::RunHook { moment: HookMoment::Prolog, job: job.clone() }));
}

/// The prolog where the controller is has ended. As in Slurm, where it fails a batch job goes back to the queue, not held, and
/// what somebody waits for is ended.
pub(crate) fn controller_prolog_ended(
    cluster: &mut Cluster,
    now: Timestamp,
    job_id: JobId,
    restart: RestartCount,
    end: &HookEnd,
    out: &mut Outcome,
) {
    let job = cluster.jobs.get(&job_id).filter(|job| job.configuring && job.restart == restart).cloned();
    let Some(job) = job else { return };
    let whole = job.het_job_id().unwrap_or(job.id);
    if end.failure.is_some() {
        let may_requeue = cluster.components(&job).iter().all(|job| requeue::may_requeue(cluster, job));
        if !may_requeue {
            return ending::end_job(cluster, now, whole, End::new(JobState::Cancelled, Reason::None), out);
        }
        let (past_state, cause) = (JobState::NodeFail, EndCause::Requeue);
        let how = Requeue {
            past_state,
            past_exit: ExitStatus::SUCCESS,
            cause,
            hold: None,
            delay: cluster.config.requeue_delay,
        };
        return ending::requeue_running(cluster, now, whole, how, &BTreeSet::new(), out);
    }
    cluster.put_job(now, Job { configuring: false, ..(*job).clone() }, out);
    let parts = cluster.components(&job);
    if parts.iter().any(|part| part.configuring) {
        return;
    }
    if let Some(first) = parts.first() {
        let components = if first.het.is_some() { parts.clone() } else { Vec::new() };
        plan::launch_main_unit(cluster, now, first, components, out);
    }
    steps::try_waiting(cluster, now, whole, out);
}

/// A start of a job has ended: what the site runs then is run, if it has something.
pub(super) fn run_controller_epilog(cluster: &Cluster, ended: &Job, out: &mut Outcome) {
    if cluster.config.hooks.controller_epilog.is_some() {
        out.effects.push(Effect::RunHook { moment: HookMoment::Epilog, job: Arc::new(ended.clone()) });
    }
}
