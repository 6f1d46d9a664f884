//! What the scheduler proposed, checked against the present and carried out as far as it still fits.

mod together;

use std::sync::Arc;

use muster_model::batch_features::BatchFeatures;
use muster_model::hostlist;
use muster_model::ids::{JobId, Name, NodeIndex, RestartCount, StepId};
use muster_model::job::{ArrayRole, Job};
use muster_model::licenses;
use muster_model::node::Node;
use muster_model::partition::{Partition, PartitionState};
use muster_model::planning::{Plan, PlannedStart, PlannedWait};
use muster_model::preemption::{CpuHold, PreemptType};
use muster_model::priority::billing_of;
use muster_model::resources::{Allocation, NodeShare};
use muster_model::state::{ExitStatus, JobState, Reason, Usage};
use muster_model::step::{Step, StepNode};
use muster_model::time::{TimeLimit, Timestamp};

use super::{accounting, dependency, evict, hooks, reservations, targets, turns};
use crate::cluster::Cluster;
use crate::effect::{NodeCommand, Outcome};
use crate::placement::Claim;
use crate::{index, placement};

pub(crate) fn apply(cluster: &mut Cluster, now: Timestamp, plan: Plan, out: &mut Outcome) {
    let mut outlook = plan.outlook;
    for start in &plan.starts {
        match start_job(cluster, now, start, out) {
            Start::Done => {}
            // The state moved on; the next plan will see it.
            Start::Stale => out.plan_needed = true,
            // It waits until somebody gives something back; planning it again before that would be in vain.
            Start::Limited(reason) => {
                start.all().for_each(|start| outlook.set(start.job_id, Some(waiting(start, reason))));
            }
        }
    }
    for eviction in &plan.evictions {
        evict::evict(cluster, now, eviction, out);
    }
    cluster.outlook = outlook;
}

/// What became of a planned start.
enum Start {
    /// It runs.
    Done,
    /// Something of it does not fit any more.
    Stale,
    /// A limit, or the lack of licences, of an association or of a QOS, forbids it.
    Limited(Reason),
}

fn waiting(start: &PlannedStart, reason: Reason) -> PlannedWait {
    PlannedWait {
        job_id: start.job_id,
        restart: start.restart,
        reason,
        detail: None,
        expected_start: None,
        expected_nodes: None,
        is_forecast: false,
    }
}

/// Starts one job, or all components of a heterogeneous one, if it still can be and limits allow it; where it is to have the
/// CPUs of others, they are suspended if it gets them.
fn start_job(cluster: &mut Cluster, now: Timestamp, start: &PlannedStart, out: &mut Outcome) -> Start {
    let is_het = cluster.jobs.get(&start.job_id).is_some_and(|job| job.het.is_some());
    if is_het || !start.together.is_empty() {
        return together::start(cluster, now, start, out);
    }
    if start.suspends.is_empty() {
        return start_beside(cluster, now, start, out);
    }
    if !start.suspends.iter().all(|(id, restart)| may_yield(cluster, *id, *restart)) {
        return Start::Stale;
    }
    cluster.aside = start.suspends.iter().map(|(id, _)| *id).collect();
    start.suspends.iter().for_each(|(id, _)| cluster.count_cpus_of(*id));
    let outcome = start_beside(cluster, now, start, out);
    cluster.aside.clear();
    start.suspends.iter().for_each(|(id, _)| cluster.count_cpus_of(*id));
    outcome
}

/// Suspends those of the jobs set aside that run on CPUs that `job` gets, so that they stand before it starts.
fn suspend_for(cluster: &mut Cluster, now: Timestamp, job: &Job, shares: &[NodeShare], out: &mut Outcome) {
    let gets = Allocation::from(shares.to_vec());
    for id in cluster.aside.clone() {
        let other = cluster.jobs.get(&id).filter(|other| other.state == JobState::Running);
        if let Some(other) = other.filter(|other| turns::meet(other, &gets)).cloned() {
            turns::stop(cluster, now, (*other).clone(), Some(job.id), out);
        }
    }
}

/// Whether a job can make room by being suspended: it runs, or has been suspended for others already.
fn may_yield(cluster: &Cluster, id: JobId, restart: RestartCount) -> bool {
    cluster.jobs.get(&id).is_some_and(|job| {
        let is_there = job.state == JobState::Running || job.cpu_hold() == CpuHold::Claimed;
        is_there && !job.completing && job.restart == restart && job.eviction.is_none()
    })
}

/// Starts one job if it still can be and limits allow it.
fn start_beside(cluster: &mut Cluster, now: Timestamp, start: &PlannedStart, out: &mut Outcome) -> Start {
    let checked = match check(cluster, now, start) {
        Ok(checked) => checked,
        Err(outcome) => return outcome,
    };
    let job = match start.task_index {
        Some(index) => match targets::split_task(cluster, now, start.job_id, index, out) {
            Some(task) => task,
            None => return Start::Stale,
        },
        None => (*checked.record).clone(),
    };
    suspend_for(cluster, now, &job, &checked.shares, out);
    let job = begin(cluster, now, job, start, &checked, out);
    hooks::launch_or_configure(cluster, now, &[Arc::new(job.clone())], out);
    if job.state == JobState::Suspended {
        turns::pause(&job, false, out);
    }
    Start::Done
}

/// A planned start that fits the present.
struct Checked {
    record: Arc<Job>,
    partition: Arc<Partition>,
    shares: Vec<NodeShare>,
}

/// Whether one job can still start as planned.
fn check(cluster: &Cluster, now: Timestamp, start: &PlannedStart) -> Result<Checked, Start> {
    let record = cluster.jobs.get(&start.job_id).cloned().ok_or(Start::Stale)?;
    if record.restart != start.restart || !index::is_queued(&record, now) || start.shares.is_empty() {
        return Err(Start::Stale);
    }
    let partition = cluster.partition(&start.partition).cloned().ok_or(Start::Stale)?;
    if matches!(partition.state, PartitionState::Down | PartitionState::Inactive) {
        return Err(Start::Stale);
    }
    match (&record.array, start.task_index) {
        (Some(ArrayRole::Waiting { tasks }), Some(index))
            if tasks.contains(index) && array_may_start(cluster, record.id) => {}
        (Some(ArrayRole::Waiting { .. }), _) | (_, Some(_)) => return Err(Start::Stale),
        (Some(ArrayRole::Task { array_job_id, .. }), None) if !array_may_start(cluster, *array_job_id) => {
            return Err(Start::Stale);
        }
        _ => {}
    }
    if !reservations::access::may_enter(cluster, now, &record, start) {
        return Err(Start::Stale);
    }
    let shares = realise_shares(cluster, now, &record, start, &partition).ok_or(Start::Stale)?;
    let limit = start.time_limit.unwrap_or_else(|| time_limit_in(cluster, &record, &partition.name));
    if !has_licenses(cluster, now, &record, start, limit) {
        return Err(Start::Limited(Reason::Licenses));
    }
    match accounting::forbids(cluster, now, &record, &partition.name, limit, &shares) {
        Some(reason) => Err(Start::Limited(reason)),
        None => Ok(Checked { record, partition, shares }),
    }
}

/// Whether the licences of the job are there, beside what reservations keep of them.
fn has_licenses(cluster: &Cluster, now: Timestamp, job: &Job, start: &PlannedStart, limit: TimeLimit) -> bool {
    let until = limit.span().map_or(Timestamp(i64::MAX), |limit| now + limit);
    cluster.has_licenses(now, job, start.reservation.as_ref(), until, &licenses::wanted(&job.spec))
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
    let claim = Claim::of(job, Some(partition), cluster.config.preemption.gang);
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

/// Lets a job run as it was checked. Its processes are launched by the caller.
fn begin(
    cluster: &mut Cluster,
    now: Timestamp,
    job: Job,
    start: &PlannedStart,
    checked: &Checked,
    out: &mut Outcome,
) -> Job {
    let mut job = running(cluster, now, job, start, checked);
    turns::wait_at_start(cluster, now, &mut job);
    for share in &checked.shares {
        cluster.take_share(share, &job);
    }
    cluster.set_job_timers(&job, now);
    cluster.put_job(now, job.clone(), out);
    dependency::target_changed(cluster, &job);
    job
}

/// The row of a job that has been started.
fn running(cluster: &Cluster, now: Timestamp, mut job: Job, start: &PlannedStart, checked: &Checked) -> Job {
    let (partition, shares) = (&checked.partition.name, &checked.shares);
    let names: Vec<Name> = cluster.node_names(placement::nodes_of(shares)).cloned().collect();
    job.reservation.clone_from(&start.reservation);
    job.batch_host = batch_host(cluster, &job, shares).or_else(|| names.first().cloned());
    job.node_list = Some(hostlist::compress(names.iter().map(|name| &**name)).into());
    let limit = start.time_limit.unwrap_or_else(|| time_limit_in(cluster, &job, partition));
    job.time_limit = job.limit_by_deadline(limit, now);
    job.partition = partition.clone();
    job.state = JobState::Running;
    job.configuring = cluster.config.hooks.controller_prolog.is_some();
    job.reason = Reason::None;
    job.reason_detail = None;
    job.start_time = Some(now);
    job.end_time = job.time_limit.span().map(|limit| now + limit);
    job.preemptable_from = preemptable_from(cluster, now, &job);
    job.planned_nodes = None;
    job.last_evaluated = Some(now);
    let licenses = job.spec.request.licenses.as_deref();
    let billing = Some(billing_of(shares, licenses, partition, &cluster.config.priority));
    job.allocation = Some(Arc::new(Allocation { shares: shares.clone(), billing }));
    job
}

/// The first node with the features that `--batch` names; `None` where nothing is said, or no node of the job has them.
fn batch_host(cluster: &Cluster, job: &Job, shares: &[NodeShare]) -> Option<Name> {
    let wanted = BatchFeatures::new(job.spec.request.preference.batch_features.as_deref()?);
    let nodes = shares.iter().filter_map(|share| cluster.nodes.get(share.node.0 as usize));
    let has = |node: &Node, name: &str| node.config.active_features().any(|feature| **feature == *name);
    let mut fitting = nodes.filter(|node| wanted.hold(|name| has(node, name)));
    fitting.next().map(|node| node.config.name.clone())
}

/// From when a job that starts at `now` can be told to make room.
fn preemptable_from(cluster: &Cluster, now: Timestamp, job: &Job) -> Option<Timestamp> {
    let config = &cluster.config.preemption;
    let qos = job.qos_name().and_then(|name| cluster.accounting.qos.get(name));
    let exempt_time = qos.and_then(|qos| qos.preempt_exempt_time).unwrap_or(config.exempt_time);
    (config.kind != PreemptType::None).then(|| now + exempt_time)
}

/// How long a job may run in a partition, which need not be the first that it asked for.
fn time_limit_in(cluster: &Cluster, job: &Job, partition: &Name) -> TimeLimit {
    if job.partition == *partition {
        return job.time_limit;
    }
    let default =
        cluster.partition(partition).and_then(|partition| partition.time_default.or(Some(partition.time_max)));
    job.spec.time_limit.or(default).unwrap_or(job.time_limit)
}

/// Sends the batch script to its node, or to all nodes of the job. `components` are those of its heterogeneous job.
pub(super) fn launch_main_unit(
    cluster: &mut Cluster,
    now: Timestamp,
    job: &Job,
    components: Vec<Arc<Job>>,
    out: &mut Outcome,
) {
    let main_nodes = job.main_nodes();
    let Some(allocation) = job.allocation.clone().filter(|_| main_nodes > 0) else {
        return;
    };
    let shared = Arc::new(job.clone());
    let mut layout = Vec::with_capacity(main_nodes);
    // A script that runs once has a node of its own choice.
    let host = job.batch_host.as_ref().filter(|_| main_nodes == 1).and_then(|name| cluster.node_index.get(name));
    let first = host.and_then(|host| allocation.shares.iter().position(|share| share.node == *host)).unwrap_or(0);
    for (rank, share) in (0..).zip(allocation.shares.iter().skip(first).take(main_nodes)) {
        let sequence = next_launch(cluster, share.node, out);
        layout.push(StepNode {
            node: share.node,
            ranks: vec![rank],
            cpus: share.cpus.clone(),
            memory: share.memory,
            gres: share.gres.clone(),
            launch_sequence: sequence,
        });
        let components = components.clone();
        out.send(share.node, NodeCommand::Launch { sequence, job: shared.clone(), step: None, components });
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
        measured: None,
        out_of_memory: false,
        kill_failed: false,
        cancelled_by: None,
        gres_given: false,
        bundle: None,
        het: None,
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
