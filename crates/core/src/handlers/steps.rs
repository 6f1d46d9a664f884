//! Steps: starting them, or letting them wait until the allocation of their job has room for them.

mod gres;
mod layout;

use std::collections::VecDeque;
use std::sync::Arc;

use muster_model::hostlist;
use muster_model::ids::{Identity, JobId, Name, StepId};
use muster_model::job::Job;
use muster_model::request::{Answer, Refusal, RefusalCode};
use muster_model::state::{ExitStatus, JobState, Usage};
use muster_model::step::{Step, StepLaunch, StepNode, StepRequest};
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

/// A step as a client asked for it.
pub(super) struct Asked {
    pub request_id: RequestId,
    pub request: StepRequest,
    pub launch: StepLaunch,
}

/// Starts a step, lets it wait, or refuses it. Replies by itself.
pub(super) fn create(
    cluster: &mut Cluster,
    now: Timestamp,
    identity: &Identity,
    job_id: JobId,
    asked: Asked,
    out: &mut Outcome,
) {
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
    authorisation::may_control_job(identity, &job)?;
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
        return Err(Refusal::new(
            RefusalCode::StepTooLarge,
            format!("a step has 1 to {TASKS_MAX} tasks of at least one CPU"),
        ));
    }
    let others_wait = cluster.waiting_steps.get(&job_id).is_some_and(|waiting| !waiting.is_empty());
    let layout =
        if others_wait && !asked.request.overlap { Err(NoRoom::Busy) } else { lay_out(cluster, &job, &asked.request) };
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
                return Err(Refusal::new(
                    RefusalCode::NodesBusy,
                    format!("{WAITING_STEPS_MAX} steps of this job wait already"),
                ));
            }
            waiting.push_back(WaitingStep {
                request_id: asked.request_id,
                request: asked.request,
                launch: asked.launch,
            });
            Ok(())
        }
    }
}

/// The step that the same client asked for before a restart of the controller swallowed the answer.
fn asked_before(cluster: &Cluster, job_id: JobId, launch: &StepLaunch) -> Option<Step> {
    let same =
        |step: &&Arc<Step>| step.launch.as_ref().is_some_and(|known| known.client_cookie == launch.client_cookie);
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
        let Some(job) = cluster.jobs.get(&job_id).filter(|job| job.state == JobState::Running).cloned() else {
            return;
        };
        let Some(next) = cluster.waiting_steps.get(&job_id).and_then(|waiting| waiting.front()) else {
            return;
        };
        let layout = match lay_out(cluster, &job, &next.request) {
            Err(NoRoom::Busy) => return,
            layout => layout,
        };
        let Some(next) = cluster.waiting_steps.get_mut(&job_id).and_then(|waiting| waiting.pop_front()) else {
            return;
        };
        let asked = Asked { request_id: next.request_id, request: next.request, launch: next.launch };
        match layout {
            Ok(layout) => start(cluster, now, &job, asked, layout, out),
            Err(NoRoom::Never(refusal)) => out.reply(asked.request_id, Err(refusal)),
            Err(NoRoom::Busy) => return,
        }
    }
}

/// Whether the first waiting step of a job would not have to wait.
pub(crate) fn could_start_one(cluster: &Cluster, job_id: JobId) -> bool {
    let job = cluster.jobs.get(&job_id).filter(|job| job.state == JobState::Running);
    let next = cluster.waiting_steps.get(&job_id).and_then(|waiting| waiting.front());
    job.zip(next).is_some_and(|(job, next)| !matches!(lay_out(cluster, job, &next.request), Err(NoRoom::Busy)))
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

fn start(
    cluster: &mut Cluster,
    now: Timestamp,
    job: &Arc<Job>,
    asked: Asked,
    mut layout: Vec<StepNode>,
    out: &mut Outcome,
) {
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
        gres_given: !asked.request.gres.is_empty(),
        launch: Some(Arc::new(asked.launch)),
    };
    if let Some(limit) = step.time_limit.and_then(|limit| limit.span()) {
        cluster.timers.set(now + limit, Timer::StepTimeLimit(job.id, step_id));
    }
    let shared_job = Arc::new(job);
    let shared = Arc::new(step.clone());
    for on in &step.layout {
        let command =
            NodeCommand::Launch { sequence: on.launch_sequence, job: shared_job.clone(), step: Some(shared.clone()), components: Vec::new() };
        out.send(on.node, command);
    }
    cluster.put_step(step.clone(), out);
    out.reply(asked.request_id, Ok(Answer::StepCreated(Box::new(step))));
}
