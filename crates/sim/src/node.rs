//! A node: the real state machine of the agent, and the connection it has. What it decides is done one action at a
//! time, and it may die between any two.

use std::collections::VecDeque;

use muster_core::{AgentReport, NodeCommand};
use muster_model::ids::NodeIndex;
use muster_model::job::JobKind;
use muster_model::node::{Hardware, NodeReport};
use muster_model::resources::Megabytes;
use muster_model::state::{ExitStatus, JobState, Usage};
use muster_model::time::{Span, Timestamp};
use muster_runtime::unit::UnitKey;

use crate::network::{ConnectionId, ToAgent};
use crate::supervisor::{Launch, Notice, Supervisor, UnitReport};
use crate::world::{Happening, World};
use muster_agent::core::{Action, Event, Machine, Scope};

/// One machine.
#[derive(Debug)]
pub(crate) struct SimNode {
    pub(crate) index: NodeIndex,
    /// `None` while it does not run.
    pub(crate) agent: Option<Agent>,
    /// Raised when the agent dies: what was meant for an earlier one is not for the next.
    pub(crate) life: u64,
    pub(crate) reachable: bool,
    /// On disk: the greatest launch number whose launch may have been carried out.
    pub(crate) watermark: u64,
    pub(crate) boot_time: Timestamp,
    pub(crate) supervisor: Supervisor,
    pub(crate) connection: Option<ConnectionId>,
    /// Since when its agent has had no connection, or has had the present one.
    pub(crate) away_since: Timestamp,
}

/// What lives in the memory of an agent.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) machine: Machine<Launch, UnitReport>,
    actions: VecDeque<Action<Launch, UnitReport>>,
    start_time: Timestamp,
}

impl SimNode {
    pub(crate) fn new(index: NodeIndex, now: Timestamp) -> SimNode {
        SimNode {
            index,
            agent: None,
            life: 0,
            reachable: true,
            watermark: 0,
            boot_time: now - Span::from_minutes(60),
            supervisor: Supervisor::default(),
            connection: None,
            away_since: now,
        }
    }

    /// What has not come to an end here, in words.
    pub(crate) fn what_is_going_on(&self) -> Option<String> {
        let at = self.index.0;
        let Some(agent) = self.agent.as_ref().filter(|_| self.connection.is_some()) else {
            return Some(format!("node {at} is away"));
        };
        if let Some(key) = self.supervisor.running.keys().next() {
            return Some(format!("node {at} runs {key}"));
        }
        if let Some(key) = self.supervisor.ends.keys().chain(&agent.machine.known().collect::<Vec<_>>()).next() {
            return Some(format!("node {at} knows of {key}"));
        }
        (!agent.actions.is_empty()).then(|| format!("agent {at} has things to do"))
    }

    fn is_alive(&self, life: u64) -> bool {
        self.agent.is_some() && self.life == life
    }
}

impl World {
    pub(crate) fn agent_starts(&mut self, node: NodeIndex) {
        let now = self.now;
        let this = self.node(node);
        if this.agent.is_some() {
            return;
        }
        let machine = Machine::new(this.watermark);
        this.agent = Some(Agent { machine, actions: VecDeque::new(), start_time: now });
        let (life, event) = (this.life, this.supervisor.tell_all());
        self.note(format!("agent {} starts", node.0));
        self.agent_step(node, event);
        self.after(Span(0), Happening::AgentConnects { node, life });
    }

    /// The agent dies; what it had not done is not done.
    pub(crate) fn agent_dies(&mut self, node: NodeIndex, rest: Span) {
        let now = self.now;
        let this = self.node(node);
        if this.agent.take().is_none() {
            return;
        }
        this.life += 1;
        if this.connection.is_some() {
            this.away_since = now;
        }
        let connection = this.connection.take();
        self.counts.agent_crashes += 1;
        self.note(format!("agent {} dies", node.0));
        if let Some(connection) = connection {
            self.agent_end_dies(connection);
        }
        self.after(rest, Happening::AgentStarts { node });
    }

    pub(crate) fn agent_connects(&mut self, node: NodeIndex, life: u64) {
        let this = self.node(node);
        if !this.is_alive(life) || this.connection.is_some() {
            return;
        }
        if !this.reachable || !self.controller.is_running() {
            let pause = self.random.span(500, 4_000);
            self.after(pause, Happening::AgentConnects { node, life });
            return;
        }
        let id = self.open_connection(node);
        let Some(hello) = self.hello(node, id) else { return };
        let now = self.now;
        self.node(node).connection = Some(id);
        self.node(node).away_since = now;
        self.note(format!("agent {} connects as {}", node.0, id.0));
        self.send_to_controller(id, hello);
        self.agent_step(node, Event::Connected);
        let beat = self.random.span(5_000, 15_000);
        self.after(beat, Happening::Heartbeat { node, life, connection: id });
    }

    fn hello(&self, node: NodeIndex, session: ConnectionId) -> Option<AgentReport> {
        let this = &self.nodes[node.0 as usize];
        let machine = &this.agent.as_ref()?.machine;
        let configured = &self.config.nodes[node.0 as usize].hardware;
        // A little more than configured, as real machines have.
        let hardware = Hardware { memory: Megabytes(configured.memory.0 + 100), ..configured.clone() };
        Some(AgentReport::Connected {
            session: session.0,
            hardware: Some(hardware),
            report: self.machine_report(node),
            launch_sequence_seen: machine.launch_sequence(),
            units: machine.known().map(core_key).collect(),
        })
    }

    fn machine_report(&self, node: NodeIndex) -> NodeReport {
        let this = &self.nodes[node.0 as usize];
        let start_time = this.agent.as_ref().map(|agent| agent.start_time).unwrap_or_default();
        NodeReport { boot_time: this.boot_time, agent_start_time: start_time, ..NodeReport::default() }
    }

    pub(crate) fn heartbeat(&mut self, node: NodeIndex, life: u64, connection: ConnectionId) {
        if self.node(node).is_alive(life) && self.node(node).connection == Some(connection) {
            let report = self.machine_report(node);
            self.send_to_controller(connection, AgentReport::Heartbeat(report));
            let beat = self.random.span(5_000, 15_000);
            self.after(beat, Happening::Heartbeat { node, life, connection });
        }
    }

    pub(crate) fn agent_hangs_up(&mut self, id: ConnectionId) {
        let Some(node) = self.agent_stops_listening(id) else {
            return;
        };
        let now = self.now;
        let this = self.node(node);
        if this.connection == Some(id) {
            this.connection = None;
            this.away_since = now;
            let life = this.life;
            let pause = self.random.span(100, 3_000);
            self.after(pause, Happening::AgentConnects { node, life });
        }
    }

    pub(crate) fn agent_receives(&mut self, id: ConnectionId, message: ToAgent) {
        let Some(node) = self.heard_by_agent(id) else {
            return;
        };
        if self.node(node).connection != Some(id) {
            return;
        }
        let Some(event) = agent_event(message) else { return };
        if !matches!(event, Event::Acknowledge(_)) {
            self.note(format!("agent {} is told {}", node.0, describe(&event)));
        }
        self.agent_step(node, event);
    }

    pub(crate) fn agent_hears(&mut self, node: NodeIndex, life: u64, notice: Notice) {
        if self.node(node).is_alive(life) {
            let event = match notice {
                Notice::Started(key) => Event::Started(key),
                Notice::Ended(key, report) => Event::Ended(key, report),
                Notice::All => self.node(node).supervisor.tell_all(),
            };
            self.agent_step(node, event);
        }
    }

    fn agent_step(&mut self, node: NodeIndex, event: Event<Launch, UnitReport>) {
        let delay = self.random.span(0, 5);
        let this = self.node(node);
        let life = this.life;
        let Some(agent) = &mut this.agent else { return };
        let idle = agent.actions.is_empty();
        let mut actions = Vec::new();
        agent.machine.step(event, &mut actions);
        agent.actions.extend(actions);
        if idle && !agent.actions.is_empty() {
            self.after(delay, Happening::AgentActs { node, life });
        }
    }

    pub(crate) fn agent_acts(&mut self, node: NodeIndex, life: u64) {
        if !self.node(node).is_alive(life) {
            return;
        }
        if self.random.chance(self.hazards.agent_crash) {
            let rest = self.random.span(200, 20_000);
            self.agent_dies(node, rest);
            return;
        }
        let Some(action) = self.node(node).agent.as_mut().and_then(|agent| agent.actions.pop_front()) else {
            return;
        };
        self.agent_does(node, action);
        let delay = self.random.span(0, 3);
        if self.node(node).agent.as_ref().is_some_and(|agent| !agent.actions.is_empty()) {
            self.after(delay, Happening::AgentActs { node, life });
        }
    }

    fn agent_does(&mut self, node: NodeIndex, action: Action<Launch, UnitReport>) {
        match action {
            Action::Start(key, launch) => {
                let this = self.node(node);
                let sequence = this.agent.as_ref().map_or(0, |agent| agent.machine.launch_sequence());
                this.watermark = this.watermark.max(sequence);
                if self.random.chance(self.hazards.agent_crash) {
                    let rest = self.random.span(200, 20_000);
                    self.agent_dies(node, rest);
                    return;
                }
                self.supervisor_starts(node, key, launch);
            }
            Action::Signal { key, signal, .. } => self.supervisor_signals(node, key, signal),
            Action::Terminate { key, kill_wait_ms, .. } => self.supervisor_terminates(node, key, kill_wait_ms),
            // Nothing here writes.
            Action::Say { .. } => {}
            Action::Pause { key, resume } => self.supervisor_pauses(node, key, resume),
            Action::Forget(key) => self.node(node).supervisor.forget(key),
            Action::Unknown(key) => {
                let report = UnitReport {
                    exit: ExitStatus::SUCCESS,
                    usage: Usage::default(),
                    failure: Some("the node knows nothing of it".to_owned()),
                    node_at_fault: false,
                    out_of_memory: false,
                };
                self.agent_step(node, Event::Ended(key, report));
            }
            Action::Reconnect => {
                if let Some(id) = self.node(node).connection {
                    self.break_connection(id);
                    self.agent_hangs_up(id);
                }
            }
            Action::ReportEnd { key, end, job_is_clean } => {
                let clean = if job_is_clean { ", job clean" } else { "" };
                self.note(format!("agent {} reports the end {} of {key}{clean}", node.0, end.exit));
                self.agent_sends(node, AgentReport::UnitEnded(end.into_core(key, job_is_clean)));
            }
            Action::ReportClean { job_id, restart, .. } => {
                self.note(format!("agent {} reports job {job_id}.{} clean", node.0, restart.0));
                self.agent_sends(node, AgentReport::JobCleaned { job_id, restart, epilog: None });
            }
        }
    }

    fn agent_sends(&mut self, node: NodeIndex, message: AgentReport) {
        if let Some(id) = self.node(node).connection {
            self.send_to_controller(id, message);
        }
    }
}

pub(crate) fn core_key(key: UnitKey) -> muster_core::UnitKey {
    muster_core::UnitKey { job_id: key.job_id, restart: key.restart, step: key.step }
}

fn describe(event: &Event<Launch, UnitReport>) -> String {
    match event {
        Event::Launch { sequence, key, .. } => format!("to launch {key} ({sequence})"),
        Event::Signal { job_id, restart, step, signal, .. } => {
            format!("to signal {job_id}.{} {step:?} with {signal}", restart.0)
        }
        Event::Clean { job_id, restart, step, kill_wait_ms, .. } => {
            format!("to clean {job_id}.{} {step:?} within {kill_wait_ms} ms", restart.0)
        }
        Event::Pause { job_id, restart, resume } => format!("to pause {job_id}.{}, resume {resume}", restart.0),
        other => format!("{other:?}"),
    }
}

/// What the link of a real agent makes of a command.
fn agent_event(command: NodeCommand) -> Option<Event<Launch, UnitReport>> {
    Some(match command {
        // It has no files to read.
        NodeCommand::Reconfigure => return None,
        NodeCommand::Launch { sequence, job, step, .. } => {
            let step_id = step.as_ref().map_or(muster_model::ids::StepId::Batch, |step| step.step_id);
            let key = UnitKey { job_id: job.id, restart: job.restart, step: step_id };
            let nodes = job.allocation.as_ref().map_or(0, |allocation| allocation.shares.len());
            let ends_job = step.is_none()
                && match job.spec.kind {
                    JobKind::Batch => true,
                    JobKind::EveryNode => nodes == 1,
                    JobKind::Allocation => false,
                };
            let stands = job.state == JobState::Suspended;
            Event::Launch { sequence, key, ends_job, stands, has_prolog: false, launch: Launch { job, step } }
        }
        NodeCommand::Signal { job_id, restart, step, signal, scope } => {
            let scope = match scope {
                muster_core::effect::SignalScope::Steps => Scope::Steps,
                muster_core::effect::SignalScope::Batch => Scope::Batch,
                muster_core::effect::SignalScope::All => Scope::All,
            };
            Event::Signal { job_id, restart, step, signal, scope }
        }
        NodeCommand::Clean { job_id, restart, step, kill_wait_ms, .. } => {
            Event::Clean { job_id, restart, step, kill_wait_ms: kill_wait_ms.into(), message: None, epilog: None }
        }
        NodeCommand::Pause { job_id, restart, resume } => Event::Pause { job_id, restart, resume },
        NodeCommand::Say { job_id, restart, text } => Event::Say { job_id, restart, line: text.to_string() },
        NodeCommand::Acknowledge(key) => {
            Event::Acknowledge(UnitKey { job_id: key.job_id, restart: key.restart, step: key.step })
        }
    })
}
