//! Ends of units, as agents report them: a batch script or a step has ended on a node.

use std::collections::BTreeSet;

use muster_model::ids::{JobId, NodeIndex, RestartCount, StepId};
use muster_model::job::{Hold, Job};
use muster_model::state::{ExitStatus, JobState, Reason};
use muster_model::step::Step;
use muster_model::time::Timestamp;

use super::ending::{self, End, Requeue};
use super::{hooks, requeue, steps};
use crate::cluster::Cluster;
use crate::effect::{EndCause, NodeCommand, Outcome};
use crate::event::{KillFailure, UnitEnd, UnitFailure};

/// A unit ended on `node`. The report is repeated until acknowledged, so it is acknowledged even when it says nothing new.
pub(super) fn ended(cluster: &mut Cluster, now: Timestamp, node: NodeIndex, end: UnitEnd, out: &mut Outcome) {
    out.send(node, NodeCommand::Acknowledge(end.key));
    if end.kill_failure.is_some() {
        hooks::drain(cluster, now, node, KILL_FAILED, out);
    }
    let (job_id, restart) = (end.key.job_id, end.key.restart);
    let known = cluster.steps.get(&(job_id, end.key.step)).filter(|step| step.restart == restart);
    if let Some(step) = known.filter(|step| step.nodes_left.contains(&node)).cloned() {
        step_ended_on(cluster, now, node, (*step).clone(), &end, out);
        let job = cluster.jobs.get(&job_id).filter(|job| job.restart == restart).cloned();
        if let Some(job) = job.filter(|_| end.failure.as_ref().is_some_and(|failure| failure.prolog)) {
            hooks::prolog_failed(cluster, now, node, &job, out);
        }
    }
    if says_clean(cluster, node, &end) {
        ending::node_is_clean(cluster, now, node, job_id, restart, out);
    }
}

/// Reason of a node on which something outlived KILL.
const KILL_FAILED: &str = "Kill task failed";

/// Whether the report means that the node has nothing of the job left. When it was written, the launch of another step may
/// have been on its way.
fn says_clean(cluster: &Cluster, node: NodeIndex, end: &UnitEnd) -> bool {
    let others = || cluster.steps_of(end.key.job_id).filter(|step| step.step_id != end.key.step);
    end.job_is_clean && !others().any(|step| step.nodes_left.contains(&node))
}

fn step_ended_on(
    cluster: &mut Cluster,
    now: Timestamp,
    node: NodeIndex,
    mut step: Step,
    end: &UnitEnd,
    out: &mut Outcome,
) {
    let Some(job) = cluster.jobs.get(&step.job_id).cloned() else {
        return;
    };
    let is_main = step.step_id == StepId::Batch;
    let runs = matches!(job.state, JobState::Running | JobState::Suspended) && job.restart == step.restart;
    step.nodes_left.retain(|left| *left != node);
    step.usage.add(end.usage);
    note_measured(&mut step, node, end);
    step.out_of_memory |= end.out_of_memory;
    step.kill_failed |= end.kill_failure == Some(KillFailure::Task);
    // How the other nodes of a job are ended says nothing about why the first failed.
    if runs || !is_main || step.exit.is_success() {
        step.exit = step.exit.worse(exit_of(end, is_main));
    }
    if let Some(failure) = end.failure.as_ref().filter(|_| is_main && runs) {
        if failure.prolog {
            close_failed(cluster, now, step, failure, out);
        } else {
            blame_node(cluster, now, node, failure, out);
            main_unit_failed(cluster, now, &job, step, failure, out);
        }
        return;
    }
    let last = step.nodes_left.is_empty();
    let state = final_state(&step, &job, now);
    let exit = step.exit;
    if end.over_memory {
        // As in Slurm, where its node cancels it in the name of root. What becomes of its job follows from how it ended.
        step.cancelled_by.get_or_insert(0);
    }
    if last {
        step.end_time = Some(now);
        step.state = if end.over_memory { JobState::Cancelled } else { state };
    }
    let energy = if last { energy_joules(&step) } else { 0 };
    cluster.put_step(step, out);
    if !is_main {
        note_energy(cluster, now, job.id, end.key.restart, energy, out);
        let job = cluster.jobs.get(&job.id).cloned().unwrap_or(job);
        if last && job.restart == end.key.restart {
            note_derived_exit(cluster, now, &job, exit, out);
        }
        steps::try_waiting(cluster, now, job.id, out);
    } else if runs && (last || state != JobState::Completed) {
        // The first node that fails ends the job: the others would wait for it for ever.
        main_unit_ended(cluster, now, &job, exit, state, node, end, out);
    } else if last && is_killed(&job) && job.restart == end.key.restart && job.exit.is_success() {
        // A cancelled or timed-out job keeps its state; how its script died is worth keeping too.
        note_exit(cluster, now, &job, exit, out);
    }
}

/// The signal that Slurm gives as the end of a script that could not be started, because a file of it cannot be opened for
/// instance.
const NOT_STARTED: u8 = 53;

/// Keeps what the node measured, under its place among the nodes of the step.
fn note_measured(step: &mut Step, node: NodeIndex, end: &UnitEnd) {
    if let Some(measured) = &end.measured {
        let position = step.layout.iter().position(|on| on.node == node).unwrap_or(0);
        step.measured.get_or_insert_default().add_node(u32::try_from(position).unwrap_or(u32::MAX), measured);
    }
}

/// What could not be started has not succeeded, whatever its report says.
fn exit_of(end: &UnitEnd, is_main: bool) -> ExitStatus {
    match end.failure {
        Some(_) if end.exit.is_success() && is_main => ExitStatus::signaled(NOT_STARTED),
        Some(_) if end.exit.is_success() => ExitStatus::exited(1),
        _ => end.exit,
    }
}

fn is_killed(job: &Job) -> bool {
    job.state.is_final() && job.state != JobState::Completed
}

fn final_state(step: &Step, job: &Job, now: Timestamp) -> JobState {
    let of_job = job.restart == step.restart;
    match job.state {
        _ if step.out_of_memory => JobState::OutOfMemory,
        // As in Slurm, whatever became of its job. Nobody knows how it ended.
        _ if step.kill_failed => JobState::Failed,
        // It ended in the time it was given to make room.
        JobState::Running if of_job && job.eviction.is_some() && step.step_id == StepId::Batch => JobState::Preempted,
        // A script that was asked to end and did so by itself.
        JobState::Cancelled | JobState::Timeout
            if of_job && step.step_id == StepId::Batch && step.exit.is_success() =>
        {
            JobState::Completed
        }
        JobState::Cancelled | JobState::Timeout | JobState::NodeFail | JobState::Preempted if of_job => job.state,
        _ if step.cancelled_by.is_some() || !of_job => JobState::Cancelled,
        _ if step.exit.is_success() => JobState::Completed,
        // Its job ended before it did.
        JobState::Completed | JobState::Failed if step.step_id != StepId::Batch && step.exit.signal > 0 => {
            JobState::Cancelled
        }
        _ if step.is_over_limit(now) => JobState::Timeout,
        _ => JobState::Failed,
    }
}

#[expect(clippy::too_many_arguments, reason = "the parts of one report; a struct would only rename them")]
fn main_unit_ended(
    cluster: &mut Cluster,
    now: Timestamp,
    job: &Job,
    exit: ExitStatus,
    state: JobState,
    node: NodeIndex,
    report: &UnitEnd,
    out: &mut Outcome,
) {
    // Other nodes that reported earlier said so for that time only; they are asked again.
    let clean_nodes: BTreeSet<NodeIndex> = says_clean(cluster, node, report).then_some(node).into_iter().collect();
    if requeue::after_exit(cluster, now, job, state, exit, &clean_nodes, out) {
        return;
    }
    let reason = match (state, exit) {
        (JobState::OutOfMemory, _) => Reason::OutOfMemory,
        (JobState::Completed | JobState::Preempted, _) => Reason::None,
        (_, ExitStatus { signal: 0, .. }) => Reason::NonZeroExitCode,
        _ => Reason::RaisedSignal,
    };
    let mut end = End::new(state, reason);
    end.exit = exit;
    end.clean_nodes = clean_nodes;
    ending::end_job(cluster, now, job.id, end, out);
}

fn note_exit(cluster: &mut Cluster, now: Timestamp, job: &Job, exit: ExitStatus, out: &mut Outcome) {
    let mut job = job.clone();
    job.exit = exit;
    cluster.put_job(now, job, out);
}

/// Energy of all nodes of a step that was asked for.
fn energy_joules(step: &Step) -> u64 {
    let measured = step.measured.as_ref().filter(|_| matches!(step.step_id, StepId::Number(_)));
    let energy = measured.and_then(|measured| measured.energy_mj.as_ref());
    energy.map_or(0, |spread| spread.total / 1000)
}

/// Adds the energy of a step that has ended to that of its job.
fn note_energy(
    cluster: &mut Cluster,
    now: Timestamp,
    id: JobId,
    restart: RestartCount,
    joules: u64,
    out: &mut Outcome,
) {
    let Some(job) = cluster.jobs.get(&id).filter(|job| joules > 0 && job.restart == restart) else { return };
    let mut job = Job::clone(job);
    job.energy_joules = job.energy_joules.saturating_add(joules);
    cluster.put_job(now, job, out);
}

/// The worst end of a job's steps, where an exit code is worse than any signal, as in Slurm. Steps that went down with
/// their job say nothing.
fn note_derived_exit(cluster: &mut Cluster, now: Timestamp, job: &Job, exit: ExitStatus, out: &mut Outcome) {
    let severity = |exit: ExitStatus| (exit.code, exit.signal);
    if !is_killed(job) && severity(exit) > severity(job.derived_exit) {
        let mut job = job.clone();
        job.derived_exit = exit;
        cluster.put_job(now, job, out);
    }
}

/// The script could not be started, or the node lost sight of it.
fn main_unit_failed(
    cluster: &mut Cluster,
    now: Timestamp,
    job: &Job,
    step: Step,
    failure: &UnitFailure,
    out: &mut Outcome,
) {
    let exit = step.exit;
    close_failed(cluster, now, step, failure, out);
    if failure.node_at_fault {
        if requeue::may_requeue(cluster, job) {
            // Only failed launches count, as in Slurm: a job that was preempted often has done nothing wrong.
            let failures = job.setbacks.launch_failures.saturating_add(1);
            let held = failures >= cluster.config.launch_failures_max;
            let how = Requeue {
                past_state: JobState::NodeFail,
                past_exit: ExitStatus::SUCCESS,
                cause: EndCause::NodeFailure,
                hold: held.then_some(Hold::Admin),
                delay: cluster.config.requeue_delay,
            };
            ending::requeue_running(cluster, now, job.id, how, &BTreeSet::new(), out);
            note_launch_failures(cluster, now, job.id, failures, held, out);
            return;
        }
        let mut end = End::new(JobState::NodeFail, Reason::SystemFailure);
        end.exit = exit;
        ending::end_job(cluster, now, job.id, end, out);
    } else {
        let mut end = End::new(JobState::Failed, Reason::JobLaunchFailure);
        end.exit = exit;
        ending::end_job(cluster, now, job.id, end, out);
    }
    // What exactly happened is the most useful thing to tell.
    let text = failure.text.clone();
    if let Some(ended) = cluster.jobs.get(&job.id).cloned() {
        let mut ended = (*ended).clone();
        ended.reason_detail = Some(text.into());
        cluster.put_job(now, ended, out);
    }
}

/// A main unit that was not started has ended everywhere.
fn close_failed(cluster: &mut Cluster, now: Timestamp, mut step: Step, failure: &UnitFailure, out: &mut Outcome) {
    step.state = if failure.node_at_fault { JobState::NodeFail } else { JobState::Failed };
    step.end_time = Some(now);
    step.nodes_left.clear();
    cluster.put_step(step, out);
}

fn note_launch_failures(
    cluster: &mut Cluster,
    now: Timestamp,
    id: JobId,
    failures: u32,
    held: bool,
    out: &mut Outcome,
) {
    if let Some(current) = cluster.jobs.get(&id).cloned() {
        let mut current = (*current).clone();
        current.setbacks.launch_failures = failures;
        if held {
            current.reason = Reason::JobHoldMaxRequeue;
        }
        cluster.put_job(now, current, out);
    }
}

/// A node that cannot launch gets no more jobs until somebody has looked at it.
fn blame_node(cluster: &mut Cluster, now: Timestamp, node: NodeIndex, failure: &UnitFailure, out: &mut Outcome) {
    if !failure.node_at_fault {
        return;
    }
    hooks::drain(cluster, now, node, &format!("launch failed: {}", failure.text), out);
}
