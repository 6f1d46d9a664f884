//! What agents report, and how a node that comes back is brought into line with what should be.

use std::collections::BTreeSet;
use std::sync::Arc;

use muster_model::ids::{JobId, Name, NodeIndex, RestartCount, StepId};
use muster_model::job::Job;
use muster_model::node::{Hardware, Node, NodeHealth, NodeReason, NodeReport};
use muster_model::preemption::CpuHold;
use muster_model::resources::Gres;
use muster_model::state::{ExitStatus, JobState, Usage};
use muster_model::step::Step;
use muster_model::time::{Span, Timestamp};

use super::{ending, hooks, plan, requeue, units};
use crate::cluster::Cluster;
use crate::effect::{NodeCommand, Outcome};
use crate::event::{AgentReport, UnitEnd, UnitFailure, UnitKey};
use crate::timers::Timer;

/// Reason of a node that was silent for too long. `ReturnToService=1` looks for exactly these words.
const NOT_RESPONDING: &str = "Not responding";

pub(crate) fn report(cluster: &mut Cluster, now: Timestamp, node: NodeIndex, report: AgentReport, out: &mut Outcome) {
    if cluster.nodes.get(node.0 as usize).is_none() {
        return;
    }
    match report {
        AgentReport::Connected { session, hardware, report, launch_sequence_seen, units } => {
            if cluster.sessions.get(&node).is_some_and(|newer| *newer > session) {
                return;
            }
            cluster.sessions.insert(node, session);
            come_back(cluster, now, node, hardware, report, out);
            if cluster.is_reconfigured {
                // It may have been away then.
                out.send(node, NodeCommand::Reconfigure);
            }
            reconcile(cluster, now, node, launch_sequence_seen, &units, out);
        }
        AgentReport::Disconnected { session } if cluster.sessions.get(&node) == Some(&session) => {
            cluster.sessions.remove(&node);
            disconnected(cluster, now, node, out);
        }
        // The agent has called again in the meantime.
        AgentReport::Disconnected { .. } => {}
        AgentReport::Heartbeat(report) => {
            cluster.change_node(node, out, |node| {
                node.last_response = Some(now);
                node.report = report;
                drain_for_fault(node, now);
            });
        }
        AgentReport::UnitEnded(end) => {
            let gone = end.job_is_clean.then_some((end.key.job_id, end.key.restart));
            units::ended(cluster, now, node, end, out);
            if let Some((job_id, restart)) = gone {
                leftover_gone(cluster, node, job_id, restart, out);
            }
        }
        AgentReport::JobCleaned { job_id, restart, epilog } => {
            if let Some(end) = epilog {
                hooks::epilog_ended(cluster, now, node, UnitKey { job_id, restart, step: StepId::Epilog }, &end, out);
            }
            ending::node_is_clean(cluster, now, node, job_id, restart, out);
            leftover_gone(cluster, node, job_id, restart, out);
        }
    }
}

fn come_back(
    cluster: &mut Cluster,
    now: Timestamp,
    index: NodeIndex,
    hardware: Option<Hardware>,
    report: NodeReport,
    out: &mut Outcome,
) {
    let return_to_service = cluster.config.return_to_service;
    let overrides = cluster.config.hardware_overrides;
    let config = Arc::clone(&cluster.config);
    cluster.change_node(index, out, |node| {
        node.last_response = Some(now);
        let rebooted = node.report.boot_time != Timestamp::default() && node.report.boot_time != report.boot_time;
        node.report = report;
        match node.health {
            NodeHealth::Unknown | NodeHealth::Future => node.health = NodeHealth::Up,
            NodeHealth::Down => {
                let was_silent = node.reason.as_ref().is_some_and(|reason| &*reason.text == NOT_RESPONDING);
                if return_to_service == 2 || (return_to_service == 1 && was_silent && !rebooted) {
                    node.health = NodeHealth::Up;
                    if !node.drain {
                        node.reason = None;
                    }
                }
            }
            NodeHealth::Up => {}
        }
        let shortage = hardware.as_ref().and_then(|found| shortage(&node.config.hardware, found, overrides));
        if let Some(text) = shortage {
            drain(node, now, text.into());
        }
        drain_for_fault(node, now);
        // Where units are the machine itself knows best. Of one that says nothing of it the configuration is believed.
        if let Some(configured) = config.nodes.get(index.0 as usize) {
            let found = hardware.map(|found| found.places).filter(|places| !places.is_empty()).map(Arc::new);
            node.find_places(&configured.hardware, found);
        }
    });
    out.plan_needed = true;
}

/// A node on which something broke takes no new jobs, whatever an operator had said before.
fn drain_for_fault(node: &mut Node, now: Timestamp) {
    let fault = node.report.fault.clone();
    if !fault.is_empty() && !node.drain {
        drain(node, now, fault);
    }
}

fn drain(node: &mut Node, now: Timestamp, text: Name) {
    node.drain = true;
    node.reason = Some(NodeReason { text, user: "root".into(), uid: 0, time: now });
}

/// What a machine lacks of what the configuration says it has, in Slurm's words. With `overrides` only of generic resources, which
/// an agent then tells only where it found them itself. A machine without any CPU is one that was told of nothing else.
fn shortage(configured: &Hardware, found: &Hardware, overrides: bool) -> Option<String> {
    let of_gres = configured.gres.iter().find_map(|wanted| {
        let count =
            |gres: &[Gres]| -> u64 { gres.iter().filter(|gres| gres.name == wanted.name).map(|gres| gres.count).sum() };
        let (is, wanted_count) = (count(&found.gres), count(&configured.gres));
        (is < wanted_count)
            .then(|| format!("gres/{} count reported lower than configured ({is} < {wanted_count})", wanted.name))
    });
    if overrides || found.cpus == 0 || of_gres.is_some() {
        return of_gres;
    }
    if found.cpus < configured.cpus {
        return Some(format!("Low CPUs (reported:{} < configured:{})", found.cpus, configured.cpus));
    }
    if found.memory < configured.memory {
        return Some(format!(
            "Low RealMemory (reported:{} < 100.00% of configured:{})",
            found.memory.0, configured.memory.0
        ));
    }
    if found.tmp_disk < configured.tmp_disk {
        return Some(format!("Low TmpDisk ({} < {})", found.tmp_disk.0, configured.tmp_disk.0));
    }
    None
}

/// Compares what should run on the node with what the agent knows, and acts on the difference.
fn reconcile(cluster: &mut Cluster, now: Timestamp, node: NodeIndex, seen: u64, units: &[UnitKey], out: &mut Outcome) {
    let known: BTreeSet<UnitKey> = units.iter().copied().collect();
    let unwanted: Vec<&UnitKey> = known.iter().filter(|key| !is_wanted(cluster, node, key)).collect();
    let (held, left): (Vec<&UnitKey>, Vec<&UnitKey>) =
        unwanted.into_iter().partition(|key| is_held(cluster, node, key.job_id, key.restart));
    for key in held {
        let (job_id, restart) = (key.job_id, key.restart);
        out.send(node, NodeCommand::Clean { job_id, restart, step: Some(key.step), kill_wait_ms: 0, cause: None });
    }
    let left: BTreeSet<(JobId, RestartCount)> = left.into_iter().map(|key| (key.job_id, key.restart)).collect();
    for (job_id, restart) in &left {
        let (job_id, restart) = (*job_id, *restart);
        out.send(node, NodeCommand::Clean { job_id, restart, step: None, kill_wait_ms: 0, cause: None });
    }
    cluster.change_node(node, out, |node| {
        node.launch_sequence = node.launch_sequence.max(seen);
        node.not_responding = !left.is_empty();
    });
    if left.is_empty() {
        cluster.leftovers.remove(&node);
    } else {
        cluster.leftovers.insert(node, left);
    }
    let jobs: Vec<JobId> = cluster.node_jobs.get(&node).into_iter().flatten().copied().collect();
    // Who has to stand does so before anybody else is started; so does one that ends and may have missed that it had to.
    for job in jobs.iter().filter_map(|id| cluster.jobs.get(id)) {
        let stands = match &job.cleaning {
            Some(cleaning) => (cleaning.cpus == CpuHold::Claimed).then_some(cleaning.restart),
            None => (job.state == JobState::Suspended).then_some(job.restart),
        };
        if let Some(restart) = stands {
            out.send(node, NodeCommand::Pause { job_id: job.id, restart, resume: false });
        }
    }
    for job_id in jobs {
        reconcile_job(cluster, now, node, job_id, seen, &known, out);
    }
}

fn is_wanted(cluster: &Cluster, node: NodeIndex, key: &UnitKey) -> bool {
    // What a job has to itself on a node stands for it like a step that nobody started.
    if key.step.is_hook() || key.step == StepId::Extern {
        return is_held(cluster, node, key.job_id, key.restart);
    }
    cluster
        .steps
        .get(&(key.job_id, key.step))
        .is_some_and(|step| step.restart == key.restart && step.nodes_left.contains(&node))
}

/// Whether what the agent has of that start of the job is still accounted for.
fn is_held(cluster: &Cluster, node: NodeIndex, job_id: JobId, restart: RestartCount) -> bool {
    let here = cluster.node_jobs.get(&node).is_some_and(|jobs| jobs.contains(&job_id));
    here && cluster
        .jobs
        .get(&job_id)
        .is_some_and(|job| restart == job.cleaning.as_ref().map_or(job.restart, |cleaning| cleaning.restart))
}

/// Processes of a job that held nothing any more are gone; with the last of them the node takes jobs again.
fn leftover_gone(cluster: &mut Cluster, node: NodeIndex, job_id: JobId, restart: RestartCount, out: &mut Outcome) {
    let Some(left) = cluster.leftovers.get_mut(&node) else {
        return;
    };
    left.remove(&(job_id, restart));
    if left.is_empty() {
        cluster.leftovers.remove(&node);
        cluster.change_node(node, out, |node| node.not_responding = false);
    }
}

fn reconcile_job(
    cluster: &mut Cluster,
    now: Timestamp,
    node: NodeIndex,
    job_id: JobId,
    seen: u64,
    known: &BTreeSet<UnitKey>,
    out: &mut Outcome,
) {
    let expected: Vec<Step> =
        cluster.steps_of(job_id).filter(|step| step.nodes_left.contains(&node)).map(|step| (**step).clone()).collect();
    for step in expected {
        let key = UnitKey { job_id, restart: step.restart, step: step.step_id };
        if !known.contains(&key) {
            missing(cluster, now, node, step, seen, out);
        } else if step.cancelled_by.is_some() || step.is_over_limit(now) {
            // It may have missed that it has to end the step.
            let (restart, kill_wait_ms) = (step.restart, ending::kill_wait_ms(cluster));
            out.send(node, NodeCommand::Clean { job_id, restart, step: Some(step.step_id), kill_wait_ms, cause: None });
        }
    }
    clean_again(cluster, node, job_id, out);
    // It may have missed that the job was stopped or goes on.
    if let Some(job) = cluster.jobs.get(&job_id).filter(|job| !job.completing)
        && (job.state == JobState::Suspended || job.suspended > Span::ZERO)
    {
        let resume = job.state == JobState::Running;
        out.send(node, NodeCommand::Pause { job_id, restart: job.restart, resume });
    }
}

/// A unit that should be on the node is not known there. A launch that never arrived is sent again under a new number; one
/// that arrived and left no trace is lost with whatever it ran.
fn missing(cluster: &mut Cluster, now: Timestamp, node: NodeIndex, mut step: Step, seen: u64, out: &mut Outcome) {
    let Some(job) = cluster.jobs.get(&step.job_id).cloned() else {
        return;
    };
    let runs = matches!(job.state, JobState::Running | JobState::Suspended);
    if job.completing || !runs || job.is_leaving(node) {
        return;
    }
    if may_have_arrived(cluster, node, &step, seen) {
        lost(cluster, now, node, &job, &step, out);
        return;
    }
    let sequence = plan::next_launch(cluster, node, out);
    for on in step.layout.iter_mut().filter(|on| on.node == node) {
        on.launch_sequence = sequence;
    }
    let is_main = step.step_id == StepId::Batch;
    let shared = Arc::new(step.clone());
    cluster.put_step(step, out);
    let is_het = is_main && job.het.is_some();
    let components = if is_het { cluster.components(&job) } else { Vec::new() };
    out.send(node, NodeCommand::Launch { sequence, job, step: (!is_main).then_some(shared), components });
}

/// A machine that booted after the launch may have lost the memory of it together with its disk.
fn may_have_arrived(cluster: &Cluster, node: NodeIndex, step: &Step, seen: u64) -> bool {
    let sequence = step.layout.iter().find(|on| on.node == node).map_or(0, |on| on.launch_sequence);
    let booted = cluster.nodes.get(node.0 as usize).map(|node| node.report.boot_time).unwrap_or_default();
    sequence <= seen || step.start_time.is_some_and(|start| booted > start)
}

fn lost(cluster: &mut Cluster, now: Timestamp, node: NodeIndex, job: &Job, step: &Step, out: &mut Outcome) {
    if step.step_id == StepId::Batch {
        // Other units of the job may still be there, so the node is asked to clean up like the others.
        requeue::after_node_failure(cluster, now, job, &BTreeSet::new(), out);
        return;
    }
    let end = UnitEnd {
        key: UnitKey { job_id: job.id, restart: step.restart, step: step.step_id },
        exit: ExitStatus::signaled(9),
        usage: Usage::default(),
        measured: None,
        failure: Some(UnitFailure {
            text: "the node lost sight of it".to_owned(),
            node_at_fault: false,
            prolog: false,
        }),
        job_is_clean: false,
        out_of_memory: false,
        over_memory: false,
        kill_failure: None,
    };
    units::ended(cluster, now, node, end, out);
}

/// The node may have missed that it has to clean a job.
fn clean_again(cluster: &Cluster, node: NodeIndex, job_id: JobId, out: &mut Outcome) {
    let Some(job) = cluster.jobs.get(&job_id) else { return };
    let restart = match &job.cleaning {
        Some(cleaning) => cleaning.nodes.contains(&node).then_some(cleaning.restart),
        None => job.is_leaving(node).then_some(job.restart),
    };
    if let Some(restart) = restart {
        let kill_wait_ms = ending::kill_wait_ms(cluster);
        out.send(node, NodeCommand::Clean { job_id, restart, step: None, kill_wait_ms, cause: None });
    }
}

fn disconnected(cluster: &mut Cluster, now: Timestamp, index: NodeIndex, out: &mut Outcome) {
    let timeout = cluster.config.node_timeout;
    cluster.leftovers.remove(&index);
    cluster.change_node(index, out, |node| {
        node.not_responding = true;
        node.last_response.get_or_insert(now);
    });
    if timeout.0 > 0 {
        cluster.timers.set(now + timeout, Timer::NodeSilent(index));
    }
}

/// An operator wants a node back that does not answer: it gets the usual time to call.
pub(super) fn await_call(cluster: &mut Cluster, now: Timestamp, index: NodeIndex, out: &mut Outcome) {
    if !cluster.is_connected(index) && cluster.config.node_timeout > Span::ZERO {
        cluster.change_node(index, out, |node| node.last_response = Some(now));
        cluster.timers.set(now + cluster.config.node_timeout, Timer::NodeSilent(index));
    }
}

/// A node has been silent for `SlurmdTimeout`: it is down, and its jobs go elsewhere.
pub(super) fn silent(cluster: &mut Cluster, now: Timestamp, index: NodeIndex, out: &mut Outcome) {
    let timeout = cluster.config.node_timeout;
    let Some(node) = cluster.nodes.get(index.0 as usize) else {
        return;
    };
    // The limit may have been lifted since the timer was set.
    if cluster.is_connected(index) || node.health == NodeHealth::Future || timeout <= Span::ZERO {
        return;
    }
    let silent_for = now.since(node.last_response.unwrap_or(now));
    if silent_for < timeout {
        cluster.timers.set(now + Span(timeout.0 - silent_for.0), Timer::NodeSilent(index));
    } else if node.health == NodeHealth::Down {
        give_up_jobs(cluster, now, index, out);
    } else {
        take_down(
            cluster,
            now,
            index,
            NodeReason { text: NOT_RESPONDING.into(), user: "root".into(), uid: 0, time: now },
            out,
        );
    }
}

/// Declares a node down: its jobs end or go back to the queue. A node that answers is asked to clean up and holds what it
/// gave until it says so; from one that does not, nothing is waited for.
pub(super) fn take_down(
    cluster: &mut Cluster,
    now: Timestamp,
    index: NodeIndex,
    reason: NodeReason,
    out: &mut Outcome,
) {
    cluster.change_node(index, out, |node| {
        node.health = NodeHealth::Down;
        node.reason = Some(reason);
    });
    give_up_jobs(cluster, now, index, out);
}

fn give_up_jobs(cluster: &mut Cluster, now: Timestamp, index: NodeIndex, out: &mut Outcome) {
    let connected = cluster.is_connected(index);
    let jobs: Vec<JobId> = cluster.node_jobs.get(&index).into_iter().flatten().copied().collect();
    for job_id in jobs {
        let Some(job) = cluster.jobs.get(&job_id).cloned() else {
            continue;
        };
        match &job.cleaning {
            Some(_) if connected => {}
            Some(cleaning) => ending::node_is_clean(cluster, now, index, job_id, cleaning.restart, out),
            // It has left that node, or is about to.
            None if job.is_leaving(index) && connected => {}
            None if job.is_leaving(index) => ending::node_is_clean(cluster, now, index, job_id, job.restart, out),
            None => requeue::after_node_failure(cluster, now, &job, &BTreeSet::new(), out),
        }
    }
}
