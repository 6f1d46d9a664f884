//! What the scheduler proposed, checked against the present and carried out as far as it still fits.

use std::sync::Arc;

use muster_model::hostlist;
use muster_model::ids::{JobId, Name, NodeIndex, StepId};
use muster_model::job::{ArrayRole, Job, JobKind};
use muster_model::partition::{Partition, PartitionState};
use muster_model::planning::{Plan, PlannedStart};
use muster_model::resources::{Allocation, NodeShare};
use muster_model::state::{ExitStatus, JobState, Reason, Usage};
use muster_model::step::{Step, StepNode};
use muster_model::time::{TimeLimit, Timestamp};

use super::{dependency, evict, reservations, targets};
use crate::cluster::Cluster;
use crate::effect::{NodeCommand, Outcome};
use crate::placement::Claim;
use crate::{index, placement};

pub(crate) fn apply(cluster: &mut Cluster, now: Timestamp, plan: Plan, out: &mut Outcome) {
    for start in &plan.starts {
        if !start_job(cluster, now, start, out) {
            // The state moved on; the next plan will see it.
            out.plan_needed = true;
        }
    }
    for eviction in &plan.evictions {
        evict::evict(cluster, now, eviction, out);
    }
    cluster.outlook = plan.outlook;
}

/// Starts one job if it still can be; `false` when something of it does not fit any more.
fn start_job(cluster: &mut Cluster, now: Timestamp, start: &PlannedStart, out: &mut Outcome) -> bool {
    let Some(record) = cluster.jobs.get(&start.job_id).cloned() else {
        return false;
    };
    if record.restart != start.restart || !index::is_queued(&record, now) || start.shares.is_empty() {
        return false;
    }
    let Some(partition) = cluster.partition(&start.partition).cloned() else {
        return false;
    };
    if matches!(partition.state, PartitionState::Down | PartitionState::Inactive) {
        return false;
    }
    let task_index = match (&record.array, start.task_index) {
        (Some(ArrayRole::Waiting { tasks }), Some(index))
            if tasks.contains(index) && array_may_start(cluster, record.id) =>
        {
            Some(index)
        }
        (Some(ArrayRole::Waiting { .. }), _) | (_, Some(_)) => return false,
        (Some(ArrayRole::Task { array_job_id, .. }), None) if !array_may_start(cluster, *array_job_id) => {
            return false;
        }
        _ => None,
    };
    if !reservations::access::may_enter(cluster, now, &record, start) {
        return false;
    }
    let Some(shares) = realise_shares(cluster, now, &record, start, &partition) else {
        return false;
    };
    let job = match task_index {
        Some(index) => match targets::split_task(cluster, now, record.id, index, out) {
            Some(task) => task,
            None => return false,
        },
        None => (*record).clone(),
    };
    let mut job = job;
    job.reservation.clone_from(&start.reservation);
    begin(cluster, now, job, partition.name.clone(), start.time_limit, shares, out);
    true
}

/// How long the job may run in `partition`.
fn limit_in(job: &Job, partition: &Partition) -> TimeLimit {
    if job.partition == partition.name {
        return job.time_limit;
    }
    job.spec.time_limit.or(partition.time_default).unwrap_or(partition.time_max)
}

fn array_may_start(cluster: &Cluster, array: JobId) -> bool {
    cluster.array_slots.get(&array).is_none_or(|slots| *slots > 0)
}

fn realise_shares(
    cluster: &Cluster,
    now: Timestamp,
    job: &Job,
    start: &PlannedStart,
    partition: &Partition,
) -> Option<Vec<NodeShare>> {
    let until = start
        .time_limit
        .unwrap_or_else(|| limit_in(job, partition))
        .span()
        .map_or(Timestamp(i64::MAX), |limit| now + limit);
    let claim = Claim::of(job, Some(partition));
    let mut shares = Vec::with_capacity(start.shares.len());
    for planned in &start.shares {
        let ascending = shares.last().is_none_or(|last: &NodeShare| last.node < planned.node);
        if !ascending || partition.nodes.binary_search(&planned.node).is_err() {
            return None;
        }
        let inside = start.reservation.as_ref();
        let closed = reservations::access::closed_to(cluster, now, &job.spec, inside, planned.node, until)?;
        shares.push(placement::realise(cluster, planned, &claim, &closed)?);
    }
    Some(shares)
}

fn begin(
    cluster: &mut Cluster,
    now: Timestamp,
    mut job: Job,
    partition: Name,
    time_limit: Option<TimeLimit>,
    shares: Vec<NodeShare>,
    out: &mut Outcome,
) {
    let names: Vec<Name> = cluster.node_names(placement::nodes_of(&shares)).cloned().collect();
    job.batch_host = names.first().cloned();
    job.node_list = Some(hostlist::compress(names.iter().map(|name| &**name)).into());
    if job.partition != partition {
        let default =
            cluster.partition(&partition).and_then(|partition| partition.time_default.or(Some(partition.time_max)));
        job.time_limit = job.spec.time_limit.or(default).unwrap_or(job.time_limit);
        job.partition = partition;
    }
    if let Some(limit) = time_limit {
        job.time_limit = limit;
    }
    job.state = JobState::Running;
    job.reason = Reason::None;
    job.reason_detail = None;
    job.start_time = Some(now);
    job.end_time = job.time_limit.span().map(|limit| now + limit);
    job.planned_nodes = None;
    job.last_evaluated = Some(now);
    for share in &shares {
        cluster.take_share(job.id, share, false, job.spec.identity.uid, &job);
    }
    job.allocation = Some(Arc::new(Allocation { shares }));
    cluster.set_job_timers(&job, now);
    cluster.put_job(now, job.clone(), out);
    launch_main_unit(cluster, now, &job, out);
    dependency::target_changed(cluster, &job);
}

/// Sends the batch script to its node, or to all nodes of the job.
fn launch_main_unit(cluster: &mut Cluster, now: Timestamp, job: &Job, out: &mut Outcome) {
    let Some(allocation) = job.allocation.clone() else {
        return;
    };
    let main_nodes = match job.spec.kind {
        JobKind::Batch => 1,
        JobKind::EveryNode => allocation.shares.len(),
        JobKind::Allocation => return,
    };
    let shared = Arc::new(job.clone());
    let mut layout = Vec::with_capacity(main_nodes);
    for (rank, share) in (0..).zip(allocation.shares.iter().take(main_nodes)) {
        let sequence = next_launch(cluster, share.node, out);
        layout.push(StepNode {
            node: share.node,
            ranks: vec![rank],
            cpus: share.cpus.clone(),
            memory: share.memory,
            gres: share.gres.clone(),
            launch_sequence: sequence,
        });
        out.send(share.node, NodeCommand::Launch { sequence, job: shared.clone(), step: None });
    }
    let nodes_left: Vec<NodeIndex> = layout.iter().map(|on| on.node).collect();
    let names: Vec<Name> = cluster.node_names(nodes_left.iter().copied()).cloned().collect();
    let step = Step {
        job_id: job.id,
        step_id: StepId::Batch,
        restart: job.restart,
        name: "batch".into(),
        state: JobState::Running,
        tasks: u32::try_from(layout.len()).unwrap_or(u32::MAX),
        layout,
        node_list: hostlist::compress(names.iter().map(|name| &**name)).into(),
        start_time: Some(now),
        end_time: None,
        time_limit: None,
        exit: ExitStatus::SUCCESS,
        usage: Usage::default(),
        out_of_memory: false,
        cancelled_by: None,
        gres_given: false,
        nodes_left,
        launch: None,
    };
    cluster.put_step(step, out);
}

/// Number of the next launch on a node; durable with the batch, so that it never goes back.
pub(super) fn next_launch(cluster: &mut Cluster, node: NodeIndex, out: &mut Outcome) -> u64 {
    cluster
        .change_node(node, out, |node| {
            node.launch_sequence += 1;
            node.launch_sequence
        })
        .unwrap_or_default()
}
