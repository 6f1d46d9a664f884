//! Steps: starting them, or letting them wait until the allocation of their job has room for them.

mod gres;
mod het;
mod layout;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use muster_model::hostlist;
use muster_model::ids::{Identity, JobId, Name, StepId};
use muster_model::job::Job;
use muster_model::request::{Answer, Refusal, RefusalCode};
use muster_model::state::{ExitStatus, JobState, Usage};
use muster_model::step::{HetStep, Step, StepNode, StepPart};
use muster_model::time::Timestamp;

use layout::{NoRoom, lay_out};

use super::{authorisation, plan};
use crate::cluster::{Cluster, WaitingStep};
use crate::effect::{NodeCommand, Outcome};
use crate::event::RequestId;
use crate::timers::Timer;

/// Most tasks of one step: far above what a node can start, low enough to keep layouts in memory.
const TASKS_MAX: u32 = 1 << 20;
/// Most steps that wait in one job; a runaway loop of background `srun`s ends here.
const WAITING_STEPS_MAX: usize = 10_000;

/// Where the tasks of each part of a step go.
type Layouts = Vec<Vec<StepNode>>;

/// Starts a step, lets it wait, or refuses it. Replies by itself.
pub(super) fn create(
    cluster: &mut Cluster,
    now: Timestamp,
    identity: &Identity,
    asked: WaitingStep,
    out: &mut Outcome,
) {
    let request_id = asked.request_id;
    if let Err(refusal) = try_create(cluster, now, identity, asked, out) {
        out.reply(request_id, Err(refusal));
    }
}

fn try_create(
    cluster: &mut Cluster,
    now: Timestamp,
    identity: &Identity,
    asked: WaitingStep,
    out: &mut Outcome,
) -> Result<(), Refusal> {
    let key = check(cluster, identity, &asked.parts)?;
    if let Some(steps) = asked_before(cluster, &asked.parts) {
        out.reply(asked.request_id, Ok(created(steps)));
        return Ok(());
    }
    let waits = |part: &StepPart, step: &WaitingStep| step.parts.iter().any(|other| other.job_id == part.job_id);
    let stands_in_line = |part: &StepPart| {
        let mut waiting = cluster.waiting_steps.get(&key).into_iter().flatten();
        !part.request.overlap && waiting.any(|step| waits(part, step))
    };
    let layouts = if asked.parts.iter().any(stands_in_line) { Err(NoRoom::Busy) } else { lay_out_all(cluster, &asked) };
    match layouts {
        Ok(layouts) => start(cluster, now, asked, layouts, out),
        Err(NoRoom::Never(refusal)) => return Err(refusal),
        Err(NoRoom::Busy) if asked.parts.iter().any(|part| part.request.immediate) => {
            return Err(RefusalCode::NodesBusy.into());
        }
        Err(NoRoom::Busy) => {
            let waiting = cluster.waiting_steps.entry(key).or_default();
            if waiting.len() >= WAITING_STEPS_MAX {
                return Err(Refusal::new(
                    RefusalCode::NodesBusy,
                    format!("{WAITING_STEPS_MAX} steps of this job wait already"),
                ));
            }
            waiting.push_back(asked);
        }
    }
    Ok(())
}

/// Whether such a step may be asked for. Gives the job at which it waits: the leader of a heterogeneous job.
fn check(cluster: &Cluster, identity: &Identity, parts: &[StepPart]) -> Result<JobId, Refusal> {
    let mut key = None;
    let mut seen = BTreeSet::new();
    for part in parts {
        let job = cluster.jobs.get(&part.job_id).ok_or(RefusalCode::InvalidJobId)?;
        authorisation::may_control_job(identity, job)?;
        match job.state {
            JobState::Running => {}
            JobState::Pending => return Err(RefusalCode::JobPending.into()),
            // It goes on by itself, and the step with it.
            JobState::Suspended if job.yields_to.is_some() => {}
            JobState::Suspended => return Err(RefusalCode::Disabled.into()),
            _ => return Err(RefusalCode::AlreadyDone.into()),
        }
        let request = &part.request;
        if request.tasks == 0 || request.tasks > TASKS_MAX || request.cpus_per_task == 0 {
            return Err(Refusal::new(
                RefusalCode::StepTooLarge,
                format!("a step has 1 to {TASKS_MAX} tasks of at least one CPU"),
            ));
        }
        let own = job.het_job_id().unwrap_or(job.id);
        if !seen.insert(part.job_id) || *key.get_or_insert(own) != own {
            return Err(RefusalCode::NotHetJob.into());
        }
    }
    if parts.len() > 1 && cluster.config.het_jobs.single_steps {
        return Err(Refusal::new(RefusalCode::NotSupported, "SchedulerParameters has disable_hetjob_steps"));
    }
    key.ok_or_else(|| RefusalCode::StepTooLarge.into())
}

/// The step that the same client asked for before a restart of the controller swallowed the answer.
fn asked_before(cluster: &Cluster, parts: &[StepPart]) -> Option<Vec<Step>> {
    let known = |part: &StepPart| {
        let cookie = &part.launch.client_cookie;
        let same = |step: &&Arc<Step>| step.launch.as_ref().is_some_and(|known| known.client_cookie == *cookie);
        cluster.steps_of(part.job_id).filter(|_| !cookie.is_empty()).find(same).map(|step| (**step).clone())
    };
    parts.iter().map(known).collect()
}

fn created(mut steps: Vec<Step>) -> Answer {
    match steps.pop() {
        Some(step) if steps.is_empty() => Answer::StepCreated(Box::new(step)),
        last => Answer::StepsCreated(steps.into_iter().chain(last).collect()),
    }
}

/// Room for all parts of a step.
fn lay_out_all(cluster: &Cluster, step: &WaitingStep) -> Result<Layouts, NoRoom> {
    let lay_out_one = |part: &StepPart| match cluster.jobs.get(&part.job_id) {
        Some(job) if job.state == JobState::Running && !job.configuring => lay_out(cluster, job, &part.request),
        // It goes on when the job does.
        _ => Err(NoRoom::Busy),
    };
    step.parts.iter().map(lay_out_one).collect()
}

/// Resources of a job became free: starts waiting steps in order, until one of each component still finds no room.
pub(super) fn try_waiting(cluster: &mut Cluster, now: Timestamp, job_id: JobId, out: &mut Outcome) {
    let key = cluster.jobs.get(&job_id).and_then(|job| job.het_job_id()).unwrap_or(job_id);
    while let Some((at, layouts)) = first_ready(cluster, key) {
        let Some(next) = cluster.waiting_steps.get_mut(&key).and_then(|waiting| waiting.remove(at)) else {
            break;
        };
        match layouts {
            Ok(layouts) => start(cluster, now, next, layouts, out),
            Err(refusal) => out.reply(next.request_id, Err(refusal)),
        }
    }
    if cluster.waiting_steps.get(&key).is_some_and(VecDeque::is_empty) {
        cluster.waiting_steps.remove(&key);
    }
}

/// The first step in line that need not wait any more, and where it goes, or why it never will. A step that waits holds up
/// those behind it that want something of the same component.
fn first_ready(cluster: &Cluster, key: JobId) -> Option<(usize, Result<Layouts, Refusal>)> {
    let mut held_up: BTreeSet<JobId> = BTreeSet::new();
    let components = cluster.jobs.get(&key).map_or(1, |job| job.components().count());
    for (at, step) in cluster.waiting_steps.get(&key)?.iter().enumerate() {
        if held_up.len() >= components {
            return None;
        }
        if !step.parts.iter().any(|part| held_up.contains(&part.job_id)) {
            match lay_out_all(cluster, step) {
                Ok(layouts) => return Some((at, Ok(layouts))),
                Err(NoRoom::Never(refusal)) => return Some((at, Err(refusal))),
                Err(NoRoom::Busy) => {}
            }
        }
        held_up.extend(step.parts.iter().map(|part| part.job_id));
    }
    None
}

/// Whether any waiting step of a job would not have to wait.
pub(crate) fn could_start_one(cluster: &Cluster, key: JobId) -> bool {
    first_ready(cluster, key).is_some()
}

/// The client of a waiting step gave up; those behind it may find room now.
pub(crate) fn abandon(cluster: &mut Cluster, now: Timestamp, request_id: RequestId, out: &mut Outcome) {
    let has = |waiting: &VecDeque<WaitingStep>| waiting.iter().any(|step| step.request_id == request_id);
    let Some(job_id) = cluster.waiting_steps.iter().find(|(_, waiting)| has(waiting)).map(|(job_id, _)| *job_id) else {
        return;
    };
    if let Some(waiting) = cluster.waiting_steps.get_mut(&job_id) {
        waiting.retain(|step| step.request_id != request_id);
    }
    try_waiting(cluster, now, job_id, out);
}

fn start(cluster: &mut Cluster, now: Timestamp, asked: WaitingStep, mut layouts: Layouts, out: &mut Outcome) {
    let jobs: Vec<Arc<Job>> = asked.parts.iter().filter_map(|part| cluster.jobs.get(&part.job_id).cloned()).collect();
    let number = take_number(cluster, now, &jobs, out);
    let common = het::in_common(cluster, &jobs, &asked.parts, &mut layouts);
    let mut steps = Vec::with_capacity(jobs.len());
    for (((part, layout), job), common) in asked.parts.into_iter().zip(layouts).zip(jobs).zip(common) {
        // With the number of the step in its row.
        let job = cluster.jobs.get(&job.id).cloned().unwrap_or(job);
        steps.push(start_part(cluster, now, job, number, part, layout, common, out));
    }
    out.reply(asked.request_id, Ok(created(steps)));
}

/// The number of the next step, which all components of a heterogeneous job count together.
fn take_number(cluster: &mut Cluster, now: Timestamp, jobs: &[Arc<Job>], out: &mut Outcome) -> StepId {
    let leader = jobs.first().map(|job| job.het_job_id().unwrap_or(job.id));
    let counting = leader.and_then(|id| cluster.jobs.get(&id).cloned());
    let number = counting.as_ref().or(jobs.first()).map_or(0, |job| job.next_step);
    let mut concerned: BTreeSet<JobId> = jobs.iter().map(|job| job.id).collect();
    concerned.extend(counting.map(|job| job.id));
    for id in concerned {
        if let Some(job) = cluster.jobs.get(&id).cloned() {
            cluster.put_job(now, Job { next_step: number.saturating_add(1), ..(*job).clone() }, out);
        }
    }
    StepId::Number(number)
}

#[expect(clippy::too_many_arguments, reason = "what a step consists of; a struct would be taken apart at once")]
fn start_part(
    cluster: &mut Cluster,
    now: Timestamp,
    job: Arc<Job>,
    step_id: StepId,
    part: StepPart,
    mut layout: Vec<StepNode>,
    het: Option<Box<HetStep>>,
    out: &mut Outcome,
) -> Step {
    for on in &mut layout {
        on.launch_sequence = plan::next_launch(cluster, on.node, out);
    }
    let names: Vec<Name> = cluster.node_names(layout.iter().map(|on| on.node)).cloned().collect();
    let step = Step {
        job_id: job.id,
        step_id,
        restart: job.restart,
        name: part.request.name.clone(),
        state: JobState::Running,
        tasks: part.request.tasks,
        nodes_left: layout.iter().map(|on| on.node).collect(),
        node_list: hostlist::compress(names.iter().map(|name| &**name)).into(),
        layout,
        start_time: Some(now),
        end_time: None,
        time_limit: part.request.time_limit,
        exit: ExitStatus::SUCCESS,
        usage: Usage::default(),
        measured: None,
        out_of_memory: false,
        kill_failed: false,
        cancelled_by: None,
        gres_given: !part.request.gres.is_empty(),
        bundle: part.launch.bundle.as_deref().map(Into::into),
        het,
        launch: Some(Arc::new(part.launch)),
    };
    if let Some(limit) = step.time_limit.and_then(|limit| limit.span()) {
        cluster.timers.set(now + limit, Timer::StepTimeLimit(job.id, step_id));
    }
    let shared = Arc::new(step.clone());
    for on in &step.layout {
        let (sequence, job, step) = (on.launch_sequence, job.clone(), Some(shared.clone()));
        out.send(on.node, NodeCommand::Launch { sequence, job, step, components: Vec::new() });
    }
    cluster.put_step(step.clone(), out);
    step
}
