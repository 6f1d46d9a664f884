//! The end of a job: its final state, the clean-up on its nodes, and what follows once they are clean.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use muster_model::fact::Fact;
use muster_model::ids::{JobId, NodeIndex, RestartCount, StepId};
use muster_model::job::{Cleaning, Hold, Job};
use muster_model::node::NodeHealth;
use muster_model::preemption::CpuHold;
use muster_model::request::RefusalCode;
use muster_model::state::{ExitStatus, JobState, Reason};
use muster_model::step::Step;
use muster_model::time::{Span, Timestamp};

use super::{dependency, holder, hooks, priority, requeue, resize};
use crate::cluster::{Cluster, WaitingStep};
use crate::effect::{EndCause, NodeCommand, Outcome};

/// SIGKILL, by which steps end whose end nobody saw.
const KILL: u8 = 9;

/// How a job that holds resources is to end.
#[derive(Clone)]
pub(super) struct End {
    pub state: JobState,
    pub reason: Reason,
    pub exit: ExitStatus,
    pub cancelled_by: Option<u32>,
    /// For its standard error, and whether its processes get time between TERM and KILL.
    pub cause: Option<EndCause>,
    /// Nodes that are known to have nothing left of it.
    pub clean_nodes: BTreeSet<NodeIndex>,
}

impl End {
    pub(super) fn new(state: JobState, reason: Reason) -> End {
        End { state, reason, exit: ExitStatus::SUCCESS, cancelled_by: None, cause: None, clean_nodes: BTreeSet::new() }
    }
}

/// Ends a job that runs or is suspended, and with the leader of a heterogeneous job all of it: what runs in the others was
/// started from there. Resources are given back node by node, as each confirms that it is clean.
pub(super) fn end_job(cluster: &mut Cluster, now: Timestamp, job_id: JobId, end: End, out: &mut Outcome) {
    let led = led_by(cluster, job_id);
    let same = End { clean_nodes: BTreeSet::new(), ..end.clone() };
    end_component(cluster, now, job_id, end, out);
    for other in led {
        end_component(cluster, now, other, same.clone(), out);
    }
}

/// The components that `job_id` leads; none for any other job.
fn led_by(cluster: &Cluster, job_id: JobId) -> Vec<JobId> {
    let leader = cluster.jobs.get(&job_id).filter(|job| !job.is_led());
    leader.into_iter().flat_map(|job| job.components()).filter(|id| *id != job_id).collect()
}

fn end_component(cluster: &mut Cluster, now: Timestamp, job_id: JobId, end: End, out: &mut Outcome) {
    let Some(mut job) = running_job(cluster, job_id) else {
        return;
    };
    let unclean = nodes_to_clean(cluster, &job, &end.clean_nodes);
    let restart = job.restart;
    job.configuring = false;
    let comes_again = job.cron().filter(|_| end.state != JobState::Cancelled).copied();
    close_run_time(&mut job, now);
    job.state = end.state;
    job.reason = end.reason;
    job.reason_detail = None;
    job.exit = end.exit;
    job.cancelled_by = end.cancelled_by;
    hooks::run_controller_epilog(cluster, &job, out);
    let next = comes_again.and_then(|entry| entry.schedule.next(now, &cluster.config.zone));
    if let Some(next) = next {
        // The row of this run stays in the history, with its end.
        out.facts.push(Fact::Job(Arc::new(job.clone())));
        job = back_to_pending(cluster, now, job, None, next.since(now));
        job.requeue_pending = true;
    }
    begin_clean_up(cluster, now, job, restart, unclean, end.cause, out);
}

/// Takes a running job's processes away and puts it back into the queue once its nodes are clean; of a heterogeneous job,
/// named by its leader, all components. The row of this start stays in the history.
pub(super) fn requeue_running(
    cluster: &mut Cluster,
    now: Timestamp,
    job_id: JobId,
    how: Requeue,
    clean_nodes: &BTreeSet<NodeIndex>,
    out: &mut Outcome,
) {
    if running_job(cluster, job_id).is_none() {
        return;
    }
    for other in led_by(cluster, job_id) {
        if running_job(cluster, other).is_some() {
            requeue_component(cluster, now, other, how, &BTreeSet::new(), out);
        } else {
            requeue_ended(cluster, now, other, how, out);
        }
    }
    requeue_component(cluster, now, job_id, how, clean_nodes, out);
}

/// A component that has ended before the others goes back to the queue with them.
fn requeue_ended(cluster: &mut Cluster, now: Timestamp, job_id: JobId, how: Requeue, out: &mut Outcome) {
    let Some(job) = cluster.jobs.get(&job_id).filter(|job| job.state.is_final()).cloned() else {
        return;
    };
    if job.completing {
        // The row of its earlier start will not be written again.
        out.facts.push(Fact::Job(Arc::new(Job { completing: false, cleaning: None, ..(*job).clone() })));
    }
    let mut job = back_to_pending(cluster, now, (*job).clone(), how.hold, how.delay);
    job.requeue_pending = job.completing;
    if !job.completing {
        forget_allocation(&mut job);
        cluster.set_job_timers(&job, now);
    }
    cluster.put_job(now, job, out);
}

/// The start that is cleaned up was the last that held anything.
pub(super) fn forget_allocation(job: &mut Job) {
    job.allocation = None;
    job.node_list = None;
    job.batch_host = None;
    job.resize = None;
    job.runs_over = false;
}

fn requeue_component(
    cluster: &mut Cluster,
    now: Timestamp,
    job_id: JobId,
    how: Requeue,
    clean_nodes: &BTreeSet<NodeIndex>,
    out: &mut Outcome,
) {
    let Some(job) = running_job(cluster, job_id) else {
        return;
    };
    let unclean = nodes_to_clean(cluster, &job, clean_nodes);
    let old_restart = job.restart;
    let mut past = job.clone();
    close_run_time(&mut past, now);
    past.state = how.past_state;
    past.exit = how.past_exit;
    past.reason = Reason::None;
    past.configuring = false;
    hooks::run_controller_epilog(cluster, &past, out);
    out.facts.push(Fact::Job(Arc::new(past)));
    let mut job = back_to_pending(cluster, now, job, how.hold, how.delay);
    job.requeue_pending = true;
    begin_clean_up(cluster, now, job, old_restart, unclean, Some(how.cause), out);
}

/// Why and how a running job goes back to the queue.
#[derive(Clone, Copy)]
pub(super) struct Requeue {
    /// What the history says of this start.
    pub past_state: JobState,
    /// And of its end.
    pub past_exit: ExitStatus,
    /// For the job's standard error.
    pub cause: EndCause,
    /// Held afterwards.
    pub hold: Option<Hold>,
    /// From when it may start again.
    pub delay: Span,
}

fn running_job(cluster: &Cluster, job_id: JobId) -> Option<Job> {
    let job = cluster.jobs.get(&job_id)?;
    matches!(job.state, JobState::Running | JobState::Suspended).then(|| (**job).clone())
}

/// Stops the clock of a job that ran until `now`.
fn close_run_time(job: &mut Job, now: Timestamp) {
    job.yields_to = None;
    if let Some(since) = job.suspend_time.take() {
        job.suspended.0 += now.since(since).0;
    }
    job.end_time = Some(now);
}

/// The job as a new entry of the queue: next start, new submit time, nothing held.
pub(super) fn back_to_pending(
    cluster: &mut Cluster,
    now: Timestamp,
    mut job: Job,
    hold: Option<Hold>,
    delay: Span,
) -> Job {
    if !job.state.is_final() || job.end_time.is_some_and(|end| end > cluster.usage.accounted_until) {
        let ended = job.end_time.filter(|_| job.state.is_final()).unwrap_or(now);
        job.past_runs.retain(|run| run.end > cluster.usage.accounted_until);
        job.past_runs.extend(priority::past_run(&job, ended));
    }
    job.restart = RestartCount(job.restart.0.saturating_add(1));
    job.state = JobState::Pending;
    // One that was held while it ran waits held.
    job.hold = hold.or(job.hold);
    job.special_exit = false;
    job.configuring = false;
    job.reservation = None;
    job.eviction = None;
    job.preemptable_from = None;
    job.submit_time = now;
    job.eligible_time = None;
    job.begin_time = (delay > Span::ZERO).then(|| now + delay);
    job.start_time = None;
    job.end_time = None;
    job.suspend_time = None;
    job.resume_time = None;
    job.suspended = Span::ZERO;
    job.yields_to = None;
    job.exit = ExitStatus::SUCCESS;
    job.derived_exit = ExitStatus::SUCCESS;
    job.energy_joules = 0;
    job.cancelled_by = None;
    job.reason = Reason::None;
    job.reason_detail = None;
    job.next_step = 0;
    (job.early_signal_sent, job.limit_told) = (false, 0);
    let partition = cluster.partition(&job.partition).cloned();
    if let Some(partition) = partition {
        job.time_limit = job.spec.time_limit.or(partition.time_default).unwrap_or(partition.time_max);
    }
    dependency::settle(cluster, now, &mut job);
    priority::assign(cluster, &mut job);
    job
}

/// Nodes on which something of the job may still run. Only its main unit was ever launched while it made no step, so
/// nodes without that unit have nothing to clean. A node that is down and out of reach is not waited for: it takes no
/// jobs before it has got rid of what is left.
fn nodes_to_clean(cluster: &Cluster, job: &Job, clean: &BTreeSet<NodeIndex>) -> Vec<NodeIndex> {
    let held = job.allocation.iter().flat_map(|allocation| &allocation.shares).map(|share| share.node);
    let main_nodes = job.main_nodes();
    let own = held
        .enumerate()
        .filter(|(position, node)| {
            (*position < main_nodes || may_have_left_something(cluster, job)) && !clean.contains(node)
        })
        .map(|(_, node)| node)
        .filter(|node| !is_given_up(cluster, *node));
    // Those that it is leaving are waited for already.
    let mut nodes: Vec<NodeIndex> = own.chain(job.released().iter().map(|released| released.share.node)).collect();
    nodes.sort_unstable();
    nodes
}

/// Whether more of a job than its main unit may be on its nodes.
pub(super) fn may_have_left_something(cluster: &Cluster, job: &Job) -> bool {
    // An epilog is run on each node of a job, whatever was there.
    job.next_step > 0 || cluster.config.hooks.node.epilog.is_some()
}

pub(super) fn is_given_up(cluster: &Cluster, index: NodeIndex) -> bool {
    let down = cluster.nodes.get(index.0 as usize).is_none_or(|node| node.health == NodeHealth::Down);
    down && !cluster.is_connected(index)
}

fn begin_clean_up(
    cluster: &mut Cluster,
    now: Timestamp,
    mut job: Job,
    restart: RestartCount,
    unclean: Vec<NodeIndex>,
    cause: Option<EndCause>,
    out: &mut Outcome,
) {
    refuse_waiting_steps(cluster, job.id, out);
    holder::forget(cluster, job.id);
    // What an ended batch script left behind is killed at once.
    let kill_wait_ms = if cause.is_some() { kill_wait_ms(cluster) } else { 0 };
    for node in &unclean {
        out.send(*node, NodeCommand::Clean { job_id: job.id, restart, step: None, kill_wait_ms, cause });
    }
    let before = cluster.jobs.get(&job.id).cloned();
    before.iter().for_each(|before| cluster.count_as_completing(before));
    // What stood goes on to end: nobody new comes to its CPUs before it has, though others may be there already.
    let ran = before.is_none_or(|before| before.cpu_hold().is_used());
    let cpus = if ran { CpuHold::Used } else { CpuHold::Claimed };
    let done = unclean.is_empty();
    job.completing = true;
    job.cleaning = Some(Box::new(Cleaning { restart, nodes: unclean.clone(), cpus }));
    let held = job.allocation.iter().flat_map(|held| &held.shares).map(|share| share.node);
    let released: Vec<NodeIndex> = held.filter(|node| !unclean.contains(node)).collect();
    for node in &released {
        release_node(cluster, now, &job, *node, out);
    }
    if done {
        finish_clean_up(cluster, now, job, out);
        return;
    }
    let job_id = job.id;
    cluster.put_job(now, job, out);
    if !ran {
        cluster.count_cpus_of(job_id);
    }
    for node in released {
        close_steps_on(cluster, now, node, job_id, restart, out);
    }
}

/// `KillWait`: what processes get between TERM and KILL.
pub(super) fn kill_wait_ms(cluster: &Cluster) -> u32 {
    u32::try_from(cluster.config.kill_wait.0).unwrap_or(u32::MAX)
}

/// A node says that nothing of that start of the job is left on it, or it is taken for granted since the node is out of
/// reach. Written down node by node: what is given back may be given away at once, and must not be taken back by a
/// restart.
pub(super) fn node_is_clean(
    cluster: &mut Cluster,
    now: Timestamp,
    node: NodeIndex,
    job_id: JobId,
    restart: RestartCount,
    out: &mut Outcome,
) {
    if !is_cleaning(cluster, job_id, restart, node) {
        return resize::node_is_clean(cluster, now, node, job_id, restart, out);
    }
    close_steps_on(cluster, now, node, job_id, restart, out);
    let Some(job) = cluster.jobs.get(&job_id).cloned() else {
        return;
    };
    release_node(cluster, now, &job, node, out);
    out.plan_needed = true;
    let mut job = (*job).clone();
    job.forget_released(node);
    let Some(cleaning) = &mut job.cleaning else { return };
    cleaning.nodes.retain(|left| *left != node);
    if cleaning.nodes.is_empty() {
        finish_clean_up(cluster, now, job, out);
    } else {
        cluster.put_job_quietly(now, job, out);
    }
}

/// Whether that start of the job still has to be cleaned up on `node`.
pub(super) fn is_cleaning(cluster: &Cluster, job_id: JobId, restart: RestartCount, node: NodeIndex) -> bool {
    let cleaning = cluster.jobs.get(&job_id).and_then(|job| job.cleaning.as_ref());
    cleaning.is_some_and(|cleaning| cleaning.restart == restart && cleaning.nodes.contains(&node))
}

/// After a restart some nodes of the job are no longer part of the configuration, and its rows do not name them any more.
pub(crate) fn nodes_vanished(cluster: &mut Cluster, now: Timestamp, job_id: JobId, out: &mut Outcome) {
    let Some(job) = cluster.jobs.get(&job_id).cloned() else {
        return;
    };
    match &job.cleaning {
        Some(cleaning) if cleaning.nodes.is_empty() => finish_clean_up(cluster, now, (*job).clone(), out),
        Some(_) => cluster.put_job(now, (*job).clone(), out),
        None => requeue::after_node_failure(cluster, now, &job, &BTreeSet::new(), out),
    }
}

fn release_node(cluster: &mut Cluster, now: Timestamp, job: &Job, node: NodeIndex, out: &mut Outcome) {
    let share = job.share_on(node).cloned();
    if let Some(share) = share {
        cluster.release_share(now, job, &share, out);
    }
}

/// All nodes are clean: the job has truly ended, or goes back to the queue.
fn finish_clean_up(cluster: &mut Cluster, now: Timestamp, mut job: Job, out: &mut Outcome) {
    let Some(cleaning) = job.cleaning.take() else {
        return;
    };
    job.completing = false;
    job.requeue_pending = false;
    close_all_steps(cluster, now, &job, cleaning.restart, out);
    if cleaning.restart != job.restart {
        // What was cleaned up is an earlier start; the present one holds nothing yet.
        forget_allocation(&mut job);
        dependency::settle(cluster, now, &mut job);
    }
    cluster.set_job_timers(&job, now);
    cluster.put_job(now, job.clone(), out);
    dependency::target_changed(cluster, &job);
}

/// Steps of a job whose agents will never report them again end with the job.
fn close_all_steps(cluster: &mut Cluster, now: Timestamp, job: &Job, restart: RestartCount, out: &mut Outcome) {
    let open: Vec<Step> = cluster.steps_of(job.id).map(|step| (**step).clone()).collect();
    let state = end_of_start(job, restart);
    for step in open {
        close_step(cluster, now, step, state, out);
    }
}

/// Takes a node off all steps of a job; steps that have none left end.
pub(super) fn close_steps_on(
    cluster: &mut Cluster,
    now: Timestamp,
    node: NodeIndex,
    job_id: JobId,
    restart: RestartCount,
    out: &mut Outcome,
) {
    let on_node: Vec<Step> =
        cluster.steps_of(job_id).filter(|step| step.nodes_left.contains(&node)).map(|step| (**step).clone()).collect();
    let state = cluster.jobs.get(&job_id).map_or(JobState::Cancelled, |job| end_of_start(job, restart));
    for mut step in on_node {
        step.nodes_left.retain(|left| *left != node);
        // Whatever it was doing there, it did not come to its own end.
        step.exit = step.exit.worse(ExitStatus::signaled(KILL));
        if step.nodes_left.is_empty() {
            close_step(cluster, now, step, state, out);
        } else {
            cluster.put_step(step, out);
        }
    }
}

/// How that start of the job ended; a job on its way back to the queue tells only about its next start.
fn end_of_start(job: &Job, restart: RestartCount) -> JobState {
    if job.restart == restart { job.state } else { JobState::Cancelled }
}

fn close_step(cluster: &mut Cluster, now: Timestamp, mut step: Step, job_state: JobState, out: &mut Outcome) {
    step.state = match job_state {
        JobState::Completed | JobState::Failed if step.step_id != StepId::Batch => JobState::Cancelled,
        state if state.is_final() => state,
        _ => JobState::Cancelled,
    };
    step.end_time = Some(now);
    step.nodes_left.clear();
    cluster.put_step(step, out);
}

fn refuse_waiting_steps(cluster: &mut Cluster, job_id: JobId, out: &mut Outcome) {
    let key = cluster.jobs.get(&job_id).and_then(|job| job.het_job_id()).unwrap_or(job_id);
    let Some(waiting) = cluster.waiting_steps.remove(&key) else { return };
    let concerns = |step: &WaitingStep| step.parts.iter().any(|part| part.job_id == job_id);
    let (refused, left): (VecDeque<_>, VecDeque<_>) = waiting.into_iter().partition(concerns);
    for step in refused {
        out.reply(step.request_id, Err(RefusalCode::AlreadyDone.into()));
    }
    if !left.is_empty() {
        cluster.waiting_steps.insert(key, left);
    }
}
