//! What follows where a site's prolog or epilog fails.
//!
//! As in Slurm: the node takes no more jobs until somebody has looked at it; a job whose prolog failed goes back to the queue and
//! is held, unless the site wants it otherwise; one that somebody waits for is ended; one whose epilog failed is not touched.

use std::collections::BTreeSet;

use muster_model::ids::NodeIndex;
use muster_model::job::{Hold, Job, JobKind};
use muster_model::node::NodeReason;
use muster_model::state::{JobState, Reason};
use muster_model::time::{Span, Timestamp};

use super::ending::{self, End, Requeue};
use super::requeue;
use crate::cluster::Cluster;
use crate::effect::{EndCause, NodeCommand, Outcome};
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

fn drain(cluster: &mut Cluster, now: Timestamp, node: NodeIndex, reason: &str, out: &mut Outcome) {
    cluster.change_node(node, out, |node| {
        node.drain = true;
        node.reason.get_or_insert_with(|| NodeReason { text: reason.into(), user: "root".into(), uid: 0, time: now });
    });
}
