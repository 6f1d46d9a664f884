//! Steps: finding room for them within the allocation of their job, and starting them.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use muster_model::hostlist;
use muster_model::ids::{Identity, JobId, Name, NodeIndex, StepId};
use muster_model::job::Job;
use muster_model::request::{Answer, Refusal, RefusalCode};
use muster_model::resources::{IndexSet, MemoryRequest, Megabytes, NodeShare};
use muster_model::state::{ExitStatus, JobState, Usage};
use muster_model::step::{Distribution, Step, StepLaunch, StepNode, StepRequest};
use muster_model::time::Timestamp;

use super::{authorisation, plan};
use crate::cluster::{Cluster, WaitingStep};
use crate::effect::{NodeCommand, Outcome};
use crate::event::RequestId;
use crate::timers::Timer;

/// Most tasks of one step: far above what a node can start, low enough to keep layouts in memory.
const TASKS_MAX: u32 = 1 << 20;
/// Most steps that wait in one job; a runaway loop of background `srun`s ends here.
const WAITING_STEPS_MAX: usize = 10_000;

/// A step as a client asked for it.
pub(super) struct Asked {
    pub request_id: RequestId,
    pub request: StepRequest,
    pub launch: StepLaunch,
}

/// Why a step has no layout.
enum NoRoom {
    /// Other steps of the job are in the way.
    Busy,
    /// The job can never hold it.
    Never(Refusal),
}

/// Starts a step, lets it wait, or refuses it. Replies by itself.
pub(super) fn create(cluster: &mut Cluster, now: Timestamp, identity: &Identity, job_id: JobId, asked: Asked, out: &mut Outcome) {
    let request_id = asked.request_id;
    if let Err(refusal) = try_create(cluster, now, identity, job_id, asked, out) {
        out.reply(request_id, Err(refusal));
    }
}

fn try_create(
    cluster: &mut Cluster,
    now: Timestamp,
    identity: &Identity,
    job_id: JobId,
    asked: Asked,
    out: &mut Outcome,
) -> Result<(), Refusal> {
    let job = cluster.jobs.get(&job_id).cloned().ok_or(RefusalCode::InvalidJobId)?;
    authorisation::may_change_job(identity, &job)?;
    match job.state {
        JobState::Running => {}
        JobState::Pending => return Err(RefusalCode::JobPending.into()),
        JobState::Suspended => return Err(RefusalCode::Disabled.into()),
        _ => return Err(RefusalCode::AlreadyDone.into()),
    }
    if let Some(step) = asked_before(cluster, job_id, &asked.launch) {
        out.reply(asked.request_id, Ok(Answer::StepCreated(Box::new(step))));
        return Ok(());
    }
    if asked.request.tasks == 0 || asked.request.tasks > TASKS_MAX || asked.request.cpus_per_task == 0 {
        return Err(Refusal::new(RefusalCode::StepTooLarge, format!("a step has 1 to {TASKS_MAX} tasks of at least one CPU")));
    }
    let others_wait = cluster.waiting_steps.get(&job_id).is_some_and(|waiting| !waiting.is_empty());
    let layout = if others_wait && !asked.request.overlap { Err(NoRoom::Busy) } else { lay_out(cluster, &job, &asked.request) };
    match layout {
        Ok(layout) => {
            start(cluster, now, &job, asked, layout, out);
            Ok(())
        }
        Err(NoRoom::Never(refusal)) => Err(refusal),
        Err(NoRoom::Busy) if asked.request.immediate => Err(RefusalCode::NodesBusy.into()),
        Err(NoRoom::Busy) => {
            let waiting = cluster.waiting_steps.entry(job_id).or_default();
            if waiting.len() >= WAITING_STEPS_MAX {
                return Err(Refusal::new(RefusalCode::NodesBusy, format!("{WAITING_STEPS_MAX} steps of this job wait already")));
            }
            waiting.push_back(WaitingStep { request_id: asked.request_id, request: asked.request, launch: asked.launch });
            Ok(())
        }
    }
}

/// The step that the same client asked for before a restart of the controller swallowed the answer.
fn asked_before(cluster: &Cluster, job_id: JobId, launch: &StepLaunch) -> Option<Step> {
    let same = |step: &&Arc<Step>| step.launch.as_ref().is_some_and(|known| known.client_cookie == launch.client_cookie);
    cluster.steps_of(job_id).filter(|_| !launch.client_cookie.is_empty()).find(same).map(|step| (**step).clone())
}

/// Resources of a job became free: starts waiting steps in order, until one still finds no room.
pub(super) fn try_waiting(cluster: &mut Cluster, now: Timestamp, job_id: JobId, out: &mut Outcome) {
    start_waiting(cluster, now, job_id, out);
    if cluster.waiting_steps.get(&job_id).is_some_and(VecDeque::is_empty) {
        cluster.waiting_steps.remove(&job_id);
    }
}

fn start_waiting(cluster: &mut Cluster, now: Timestamp, job_id: JobId, out: &mut Outcome) {
    loop {
        let Some(job) = cluster.jobs.get(&job_id).filter(|job| job.state == JobState::Running).cloned() else { return };
        let Some(next) = cluster.waiting_steps.get(&job_id).and_then(|waiting| waiting.front()) else { return };
        let layout = match lay_out(cluster, &job, &next.request) {
            Err(NoRoom::Busy) => return,
            layout => layout,
        };
        let Some(next) = cluster.waiting_steps.get_mut(&job_id).and_then(|waiting| waiting.pop_front()) else { return };
        let asked = Asked { request_id: next.request_id, request: next.request, launch: next.launch };
        match layout {
            Ok(layout) => start(cluster, now, &job, asked, layout, out),
            Err(NoRoom::Never(refusal)) => out.reply(asked.request_id, Err(refusal)),
            Err(NoRoom::Busy) => return,
        }
    }
}

/// The client of a waiting step gave up; those behind it may find room now.
pub(crate) fn abandon(cluster: &mut Cluster, now: Timestamp, request_id: RequestId, out: &mut Outcome) {
    let has = |waiting: &VecDeque<WaitingStep>| waiting.iter().any(|step| step.request_id == request_id);
    let Some(job_id) = cluster.waiting_steps.iter().find(|(_, waiting)| has(waiting)).map(|(job_id, _)| *job_id) else { return };
    if let Some(waiting) = cluster.waiting_steps.get_mut(&job_id) {
        waiting.retain(|step| step.request_id != request_id);
    }
    try_waiting(cluster, now, job_id, out);
}

fn start(cluster: &mut Cluster, now: Timestamp, job: &Arc<Job>, asked: Asked, mut layout: Vec<StepNode>, out: &mut Outcome) {
    let mut job = (**job).clone();
    let step_id = StepId::Number(job.next_step);
    job.next_step = job.next_step.saturating_add(1);
    cluster.put_job(now, job.clone(), out);
    for on in &mut layout {
        on.launch_sequence = plan::next_launch(cluster, on.node, out);
    }
    let names: Vec<Name> = cluster.node_names(layout.iter().map(|on| on.node)).cloned().collect();
    let step = Step {
        job_id: job.id,
        step_id,
        restart: job.restart,
        name: asked.request.name.clone(),
        state: JobState::Running,
        tasks: asked.request.tasks,
        nodes_left: layout.iter().map(|on| on.node).collect(),
        node_list: hostlist::compress(names.iter().map(|name| &**name)).into(),
        layout,
        start_time: Some(now),
        end_time: None,
        time_limit: asked.request.time_limit,
        exit: ExitStatus::SUCCESS,
        usage: Usage::default(),
        out_of_memory: false,
        cancelled_by: None,
        launch: Some(Arc::new(asked.launch)),
    };
    if let Some(limit) = step.time_limit.and_then(|limit| limit.span()) {
        cluster.timers.set(now + limit, Timer::StepTimeLimit(job.id, step_id));
    }
    let shared_job = Arc::new(job);
    let shared = Arc::new(step.clone());
    for on in &step.layout {
        let command = NodeCommand::Launch { sequence: on.launch_sequence, job: shared_job.clone(), step: Some(shared.clone()) };
        out.send(on.node, command);
    }
    cluster.put_step(step.clone(), out);
    out.reply(asked.request_id, Ok(Answer::StepCreated(Box::new(step))));
}

/// What of a share a step may use: all of it when it overlaps, else what no other step holds.
struct Room<'a> {
    share: &'a NodeShare,
    free: IndexSet,
    /// Tasks that fit.
    tasks: u32,
}

fn lay_out(cluster: &Cluster, job: &Job, request: &StepRequest) -> Result<Vec<StepNode>, NoRoom> {
    let allocation = job.allocation.as_ref().ok_or_else(|| NoRoom::Never(RefusalCode::AlreadyDone.into()))?;
    let shares = usable_shares(cluster, &allocation.shares, request)?;
    let too_large = || NoRoom::Never(Refusal::from(RefusalCode::StepTooLarge));
    let ever: Vec<Room<'_>> = shares.iter().map(|share| room(share, share.cpus.clone(), request)).collect();
    deal(&ever, request).ok_or_else(too_large)?;
    let now: Vec<Room<'_>> = if request.overlap {
        ever
    } else {
        shares.iter().map(|share| room(share, free_cpus(cluster, job.id, share), request)).collect()
    };
    // Without --exact a step takes whole shares, so a share that another step uses has no room.
    let now: Vec<Room<'_>> =
        now.into_iter().filter(|room| request.overlap || request.exact || room.free.len() == room.share.cpus.len()).collect();
    let counts = deal(&now, request).ok_or(NoRoom::Busy)?;
    Ok(assign(&now, &counts, request))
}

/// Shares of the nodes that the step may use, in the order of the allocation.
fn usable_shares<'a>(cluster: &Cluster, shares: &'a [NodeShare], request: &StepRequest) -> Result<Vec<&'a NodeShare>, NoRoom> {
    let named = |list: &Option<Name>| -> Result<BTreeSet<NodeIndex>, NoRoom> {
        let names = list.as_deref().map_or(Ok(Vec::new()), hostlist::expand);
        let invalid = || NoRoom::Never(Refusal::from(RefusalCode::InvalidNodeName));
        names.map_err(|_| invalid())?.iter().map(|name| cluster.node_index.get(&**name).copied().ok_or_else(invalid)).collect()
    };
    let required = named(&request.nodes_required)?;
    let excluded = named(&request.nodes_excluded)?;
    let held: BTreeSet<NodeIndex> = shares.iter().map(|share| share.node).collect();
    if !required.is_subset(&held) || request.first_node as usize >= shares.len() {
        return Err(NoRoom::Never(RefusalCode::StepTooLarge.into()));
    }
    let usable = shares.iter().skip(request.first_node as usize).filter(|share| !excluded.contains(&share.node));
    let mut usable: Vec<&NodeShare> = usable.collect();
    // Named nodes come first; others only fill up what is missing.
    let more_wanted = request.nodes.map_or(0, |(min, _)| min as usize) > required.len();
    if !required.is_empty() && !more_wanted {
        usable.retain(|share| required.contains(&share.node));
    }
    Ok(usable)
}

fn room<'a>(share: &'a NodeShare, free: IndexSet, request: &StepRequest) -> Room<'a> {
    let fit = if request.overcommit { u32::MAX } else { free.len() / request.cpus_per_task };
    let tasks = if free.is_empty() { 0 } else { fit.min(request.tasks_per_node.unwrap_or(u32::MAX)) };
    Room { share, free, tasks }
}

/// CPUs of a share that no running step holds. The batch script shares with all steps.
fn free_cpus(cluster: &Cluster, job_id: JobId, share: &NodeShare) -> IndexSet {
    let mut free = share.cpus.clone();
    for step in cluster.steps_of(job_id).filter(|step| step.step_id != StepId::Batch) {
        for on in step.layout.iter().filter(|on| on.node == share.node && step.nodes_left.contains(&on.node)) {
            free.remove_all(&on.cpus);
        }
    }
    free
}

/// How many tasks each room gets, or `None` when they do not all fit. Rooms beyond the nodes in use get none.
fn deal(rooms: &[Room<'_>], request: &StepRequest) -> Option<Vec<u32>> {
    let usable: Vec<usize> = (0..rooms.len()).filter(|at| rooms[*at].tasks > 0).collect();
    let nodes_max = request.nodes.map_or(usable.len(), |(_, max)| max as usize).min(request.tasks as usize).min(usable.len());
    let nodes_min = request.nodes.map_or(1, |(min, _)| min.min(request.tasks) as usize);
    if usable.len() < nodes_min || nodes_max < nodes_min {
        return None;
    }
    // The fewest nodes that hold all tasks, but not fewer than asked for.
    let fits = |nodes: usize| {
        usable[..nodes].iter().map(|at| u64::from(rooms[*at].tasks)).sum::<u64>() >= u64::from(request.tasks)
    };
    let nodes = (nodes_min..=nodes_max).find(|nodes| fits(*nodes))?;
    let chosen = &usable[..nodes];
    let mut counts = vec![0; rooms.len()];
    let mut left = request.tasks;
    for at in chosen {
        counts[*at] = 1;
        left -= 1;
    }
    match request.distribution {
        Distribution::Block => {
            for at in chosen {
                let more = (rooms[*at].tasks - 1).min(left);
                counts[*at] += more;
                left -= more;
            }
        }
        Distribution::Cyclic => {
            while left > 0 {
                for at in chosen.iter().filter(|at| counts[**at] < rooms[**at].tasks).copied().collect::<Vec<_>>() {
                    if left > 0 {
                        counts[at] += 1;
                        left -= 1;
                    }
                }
            }
        }
    }
    Some(counts)
}

/// Ranks, CPUs and memory on each node that gets tasks.
fn assign(rooms: &[Room<'_>], counts: &[u32], request: &StepRequest) -> Vec<StepNode> {
    let mut ranks = deal_ranks(counts, request.distribution);
    let mut layout = Vec::new();
    for (at, room) in rooms.iter().enumerate().filter(|(at, _)| counts[*at] > 0) {
        let wanted = counts[at].saturating_mul(request.cpus_per_task);
        let mut cpus = IndexSet::default();
        if request.exact {
            room.free.iter().take(wanted as usize).for_each(|cpu| cpus.insert(cpu));
        } else {
            cpus = room.free.clone();
        }
        let memory = match request.memory {
            Some(MemoryRequest::PerNode(memory)) => memory,
            Some(MemoryRequest::PerCpu(memory)) => Megabytes(memory.0.saturating_mul(cpus.len().into())),
            _ => room.share.memory,
        };
        layout.push(StepNode {
            node: room.share.node,
            ranks: std::mem::take(&mut ranks[at]),
            cpus,
            memory,
            gres: room.share.gres.clone(),
            launch_sequence: 0,
        });
    }
    layout
}

fn deal_ranks(counts: &[u32], distribution: Distribution) -> Vec<Vec<u32>> {
    let mut ranks: Vec<Vec<u32>> = counts.iter().map(|count| Vec::with_capacity(*count as usize)).collect();
    let mut next = 0;
    match distribution {
        Distribution::Block => {
            for (at, count) in counts.iter().enumerate() {
                ranks[at].extend(next..next + count);
                next += count;
            }
        }
        Distribution::Cyclic => {
            let total: u32 = counts.iter().sum();
            while next < total {
                for (at, count) in counts.iter().enumerate() {
                    if ranks[at].len() < *count as usize {
                        ranks[at].push(next);
                        next += 1;
                    }
                }
            }
        }
    }
    ranks
}
