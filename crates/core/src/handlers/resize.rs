//! A running job gives up some of its nodes (`scontrol update JobId= NumNodes=` or `NodeList=`).
//!
//! From then on its allocation is what it keeps: limits, usage, steps and what is shown follow from that. What it gave up stays
//! held for it until the node is clean: what runs there is killed, and the epilog runs. Real Slurm gives such nodes away at
//! once, with processes on them. The rules are those of Slurm 22.05, as its programs show them.

use std::collections::BTreeSet;
use std::sync::Arc;

use muster_model::hostlist;
use muster_model::ids::{JobId, Name, NodeIndex, RestartCount};
use muster_model::job::{Job, JobKind};
use muster_model::priority::billing_of;
use muster_model::request::{JobChanges, Refusal, RefusalCode};
use muster_model::resize::Released;
use muster_model::resources::{Allocation, NodeShare};
use muster_model::state::JobState;
use muster_model::time::Timestamp;

use super::{ending, priority, steps};
use crate::cluster::Cluster;
use crate::effect::{NodeCommand, Outcome};

/// The nodes that `job`, which does not wait any more, would keep; `None` where the changes leave its size alone.
pub(super) fn kept(cluster: &Cluster, job: &Job, changes: &JobChanges) -> Result<Option<BTreeSet<NodeIndex>>, Refusal> {
    if changes.nodes.is_none() && changes.nodes_required.is_none() {
        return Ok(None);
    }
    let shares = job.allocation.as_ref().map_or(&[][..], |allocation| &allocation.shares);
    let kept = match (changes.nodes, &changes.nodes_required) {
        // One after the other real Slurm would do the first and refuse the second.
        (Some(_), Some(_)) => return Err(RefusalCode::JobRunning.into()),
        (_, Some(list)) => named(cluster, shares, list)?,
        (Some(range), None) => first(cluster, job, shares, range)?,
        (None, None) => return Ok(None),
    };
    if kept.len() == shares.len() {
        return Ok(Some(kept));
    }
    let host = job.batch_host.as_ref().and_then(|name| cluster.node_index.get(name));
    if host.is_some_and(|host| !kept.contains(host)) {
        return Err(Refusal::new(RefusalCode::InvalidNodeName, "the node of the script of a job stays with it"));
    }
    match job.spec.kind {
        _ if cluster.config.resize.fixed => return Err(RefusalCode::NotSupported.into()),
        JobKind::EveryNode => {
            return Err(Refusal::new(RefusalCode::NotSupported, "a part of it runs on each of its nodes"));
        }
        JobKind::Batch | JobKind::Allocation => {}
    }
    match job.state {
        JobState::Running if job.configuring => Err(RefusalCode::InvalidTransition.into()),
        JobState::Running => Ok(Some(kept)),
        JobState::Suspended => Err(RefusalCode::JobSuspended.into()),
        _ => Err(RefusalCode::JobFinished.into()),
    }
}

/// Nodes by their names, among which is the first of the job: its script runs there.
fn named(cluster: &Cluster, shares: &[NodeShare], list: &Name) -> Result<BTreeSet<NodeIndex>, Refusal> {
    if cluster.config.resize.fixed {
        return Err(RefusalCode::NotSupported.into());
    }
    let invalid = || Refusal::from(RefusalCode::InvalidNodeName);
    let names =
        hostlist::expand(list).map_err(|error| Refusal::new(RefusalCode::InvalidNodeName, error.to_string()))?;
    let held: BTreeSet<NodeIndex> = shares.iter().map(|share| share.node).collect();
    let place = |name: &String| cluster.node_index.get(&**name).copied().filter(|node| held.contains(node));
    let kept: BTreeSet<NodeIndex> =
        names.iter().map(|name| place(name).ok_or_else(invalid)).collect::<Result<_, _>>()?;
    match shares.first() {
        Some(first) if kept.contains(&first.node) => Ok(kept),
        _ => Err(Refusal::new(RefusalCode::InvalidNodeName, "the first node of a job stays with it")),
    }
}

/// The first nodes, as many as `range` says.
fn first(
    cluster: &Cluster,
    job: &Job,
    shares: &[NodeShare],
    (least, most): (u32, u32),
) -> Result<BTreeSet<NodeIndex>, Refusal> {
    let count = least as usize;
    if count == 0 {
        return Err(RefusalCode::InvalidNodeCount.into());
    }
    // The same number again changes nothing; after nodes were given up by name, Slurm takes it for another request.
    let is_other_request = count == shares.len() && job.spec.request.nodes_min != least;
    if count > shares.len() && !cluster.config.resize.expansion {
        return Err(RefusalCode::NotSupported.into());
    }
    if least != most || count > shares.len() || is_other_request {
        return Err(RefusalCode::JobRunning.into());
    }
    Ok(shares.iter().take(count).map(|share| share.node).collect())
}

/// The job keeps the nodes `kept` and gives up the others.
pub(super) fn shrink(
    cluster: &mut Cluster,
    now: Timestamp,
    job_id: JobId,
    kept: &BTreeSet<NodeIndex>,
    out: &mut Outcome,
) {
    let Some(old) = cluster.jobs.get(&job_id).cloned() else { return };
    let shares = old.allocation.iter().flat_map(|allocation| allocation.shares.iter().cloned());
    let (own, given_up): (Vec<NodeShare>, Vec<NodeShare>) = shares.partition(|share| kept.contains(&share.node));
    if given_up.is_empty() || own.is_empty() {
        return;
    }
    let mut job = Job::clone(&old);
    change_size(cluster, now, &mut job, own);
    let name = |node: NodeIndex| cluster.node_names([node]).next().cloned().unwrap_or_default();
    let released = given_up.iter().map(|share| Released { name: name(share.node), share: share.clone() });
    let released: Vec<Released> = released.collect();
    let resize = job.resize.get_or_insert_default();
    resize.left.extend(released.iter().map(|released| released.name.clone()));
    resize.released.extend(released);
    cluster.put_job(now, job, out);
    let may_have_left_something = ending::may_have_left_something(cluster, &old);
    for share in &given_up {
        cluster.count_as_leaving(share);
        if may_have_left_something && !ending::is_given_up(cluster, share.node) {
            out.send(share.node, clean(job_id, old.restart));
        } else {
            node_is_clean(cluster, now, share.node, job_id, old.restart, out);
        }
    }
    out.plan_needed = true;
    // Those that want more nodes than are left will never start.
    steps::try_waiting(cluster, now, job_id, out);
}

/// Whatever is there is killed at once, as in Slurm.
pub(super) fn clean(job_id: JobId, restart: RestartCount) -> NodeCommand {
    NodeCommand::Clean { job_id, restart, step: None, kill_wait_ms: 0, cause: None }
}

/// Gives `job` other shares, and keeps what it used with those it had.
pub(super) fn change_size(cluster: &Cluster, now: Timestamp, job: &mut Job, shares: Vec<NodeShare>) {
    job.past_runs.retain(|run| run.end > cluster.usage.accounted_until);
    job.past_runs.extend(priority::past_run(job, now));
    let names: Vec<Name> = cluster.node_names(shares.iter().map(|share| share.node)).cloned().collect();
    let list = hostlist::compress(names.iter().map(|name| &**name));
    let licenses = job.spec.request.licenses.as_deref();
    let billing = Some(billing_of(&shares, licenses, &job.partition, &cluster.config.priority));
    job.change_size(now, Arc::new(Allocation { shares, billing }), list.into());
}

/// Nothing is left of a running job on a node that it gave up: it may be given to others.
pub(super) fn node_is_clean(
    cluster: &mut Cluster,
    now: Timestamp,
    node: NodeIndex,
    job_id: JobId,
    restart: RestartCount,
    out: &mut Outcome,
) {
    let leaves = |job: &&Arc<Job>| job.restart == restart && job.cleaning.is_none() && job.is_leaving(node);
    let Some(job) = cluster.jobs.get(&job_id).filter(leaves).cloned() else {
        return;
    };
    ending::close_steps_on(cluster, now, node, job_id, restart, out);
    if let Some(share) = job.share_on(node) {
        cluster.release_share(now, &job, share, out);
    }
    let mut job = Job::clone(&job);
    job.forget_released(node);
    cluster.put_job_quietly(now, job, out);
    out.plan_needed = true;
}
