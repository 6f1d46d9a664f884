//! The supervisor of a node and the processes it keeps: what really runs, whatever anybody believes.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_core::event::{UnitEnd, UnitFailure};
use muster_model::ids::{NodeIndex, StepId};
use muster_model::job::Job;
use muster_model::resources::IndexSet;
use muster_model::state::{ExitStatus, Usage};
use muster_model::step::Step;
use muster_model::time::{Span, Timestamp};
use muster_runtime::unit::UnitKey;

use crate::node::core_key;
use crate::world::{Happening, World};
use muster_agent::core::Event;

/// What is needed to start a unit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Launch {
    pub(crate) job: Arc<Job>,
    pub(crate) step: Option<Arc<Step>>,
}

/// How a unit ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct UnitReport {
    pub(crate) exit: ExitStatus,
    pub(crate) usage: Usage,
    pub(crate) failure: Option<String>,
    pub(crate) node_at_fault: bool,
    pub(crate) out_of_memory: bool,
}

impl UnitReport {
    pub(crate) fn into_core(self, key: UnitKey, job_is_clean: bool) -> UnitEnd {
        let node_at_fault = self.node_at_fault;
        UnitEnd {
            key: core_key(key),
            exit: self.exit,
            usage: self.usage,
            measured: None,
            failure: self.failure.map(|text| UnitFailure { text, node_at_fault, prolog: false }),
            job_is_clean,
            out_of_memory: self.out_of_memory,
            over_memory: false,
            kill_failure: None,
        }
    }
}

/// What a supervisor tells its agent.
#[derive(Debug)]
pub(crate) enum Notice {
    Started(UnitKey),
    Ended(UnitKey, UnitReport),
    /// A new supervisor has taken over.
    All,
}

/// Processes and, on disk, the ends of those that the agent has not let go.
#[derive(Debug, Default)]
pub(crate) struct Supervisor {
    pub(crate) running: BTreeMap<UnitKey, Process>,
    pub(crate) ends: BTreeMap<UnitKey, UnitReport>,
    lost: Vec<UnitKey>,
    next_process: u64,
}

/// A unit that runs.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    /// Changes whenever its end is put off or brought forward.
    number: u64,
    report: UnitReport,
    ends_at: Timestamp,
    /// Stopped, with this much left to do.
    stopped: Option<Span>,
    /// It stood, or was to stand, when it was told to end: others may have its CPUs already.
    pub(crate) gave_way: bool,
    /// CPUs its job holds on the node.
    pub(crate) cpus: IndexSet,
    /// Whether it ends of itself, rather than because somebody ended it.
    ends_itself: bool,
}

impl Process {
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.is_some()
    }
}

impl Supervisor {
    pub(crate) fn tell_all(&mut self) -> Event<Launch, UnitReport> {
        Event::Supervisor {
            running: self.running.keys().copied().collect(),
            ends: self.ends.iter().map(|(key, report)| (*key, report.clone())).collect(),
            lost: std::mem::take(&mut self.lost),
        }
    }

    pub(crate) fn forget(&mut self, key: UnitKey) {
        self.ends.remove(&key);
    }

    /// All processes are gone, and nobody knows how they ended.
    pub(crate) fn lose_all(&mut self) {
        self.lost.extend(std::mem::take(&mut self.running).into_keys());
    }

    /// The disk is empty; gives the units whose ends were on it.
    pub(crate) fn install_anew(&mut self) -> impl Iterator<Item = UnitKey> + use<> {
        self.lost.clear();
        std::mem::take(&mut self.ends).into_keys()
    }
}

impl World {
    pub(crate) fn supervisor_starts(&mut self, node: NodeIndex, key: UnitKey, launch: Launch) {
        let supervisor = &self.node(node).supervisor;
        if supervisor.running.contains_key(&key) || supervisor.ends.contains_key(&key) {
            return;
        }
        self.check_start(node, key, &launch);
        if self.random.chance(self.hazards.launch_failure) {
            let node_at_fault = self.random.chance(300);
            let report = UnitReport {
                exit: ExitStatus::SUCCESS,
                usage: Usage::default(),
                failure: Some("no luck".to_owned()),
                node_at_fault,
                out_of_memory: false,
            };
            self.note(format!("node {} cannot start {key}, node at fault: {node_at_fault}", node.0));
            self.unit_ended(node, key, report);
            return;
        }
        let Some(share) = launch.job.allocation.as_ref().and_then(|allocation| allocation.share(node)) else {
            self.fail(format!("{key} is launched on node {}, where its job holds nothing", node.0));
            return;
        };
        let cpus = share.cpus.clone();
        let (report, lasts) = self.draw_fate(key);
        self.counts.units_started += 1;
        self.note(format!("node {} runs {key} on CPUs {cpus}", node.0));
        let process = Process {
            number: 0,
            report,
            ends_at: self.now + lasts,
            stopped: None,
            gave_way: false,
            cpus,
            ends_itself: true,
        };
        self.node(node).supervisor.running.insert(key, process);
        self.set_end(node, key, lasts);
        let (delay, life) = (self.random.span(0, 20), self.node(node).life);
        self.after(delay, Happening::AgentHears { node, life, notice: Notice::Started(key) });
        if key.step == StepId::Batch {
            self.script_runs(node, key, &launch.job);
        }
    }

    /// How a unit will end if nobody ends it, and after what time.
    fn draw_fate(&mut self, key: UnitKey) -> (UnitReport, Span) {
        let kind = self.random.below(100);
        let exit = match kind {
            0..70 => ExitStatus::SUCCESS,
            70..92 => ExitStatus::exited(u8::try_from(self.random.between(1, 255)).unwrap_or(1)),
            92..97 => ExitStatus::signaled(11),
            _ => ExitStatus::signaled(9),
        };
        let usage = Usage {
            user_cpu_us: self.random.below(1_000_000),
            system_cpu_us: 1,
            rss_kb_max: self.random.below(10_000),
        };
        let longest = if key.step == StepId::Batch { 300_000 } else { 40_000 };
        let lasts = if self.random.chance(150) { Span(0) } else { self.random.span(10, longest) };
        (UnitReport { exit, usage, failure: None, node_at_fault: false, out_of_memory: kind >= 97 }, lasts)
    }

    fn set_end(&mut self, node: NodeIndex, key: UnitKey, lasts: Span) {
        let now = self.now;
        let supervisor = &mut self.node(node).supervisor;
        supervisor.next_process += 1;
        let number = supervisor.next_process;
        if let Some(process) = supervisor.running.get_mut(&key) {
            process.number = number;
            process.ends_at = now + lasts;
            self.after(lasts, Happening::ProcessEnds { node, process: number });
        }
    }

    pub(crate) fn process_ends(&mut self, node: NodeIndex, number: u64) {
        let running = &self.node(node).supervisor.running;
        let Some((key, process)) = running.iter().find(|(_, process)| process.number == number) else {
            return;
        };
        let (key, report) = (*key, process.report.clone());
        if process.stopped.is_some() {
            return;
        }
        self.node(node).supervisor.running.remove(&key);
        self.note(format!("node {}: {key} ends with {}", node.0, report.exit));
        self.unit_ended(node, key, report);
    }

    fn unit_ended(&mut self, node: NodeIndex, key: UnitKey, report: UnitReport) {
        self.counts.units_ended += 1;
        self.truth.unit_ended(node, key, &report);
        let this = self.node(node);
        this.supervisor.ends.insert(key, report.clone());
        let life = this.life;
        let delay = self.random.span(0, 30);
        self.after(delay, Happening::AgentHears { node, life, notice: Notice::Ended(key, report) });
    }

    /// Ends a unit soon with `signal`, unless it would have ended before.
    fn kill(&mut self, node: NodeIndex, key: UnitKey, signal: u8, within: Span) {
        let now = self.now;
        let Some(process) = self.node(node).supervisor.running.get_mut(&key) else {
            return;
        };
        if process.stopped.is_none() && process.ends_at <= now + within {
            return;
        }
        process.gave_way |= process.stopped.take().is_some();
        process.ends_itself = false;
        process.report.exit = ExitStatus::signaled(signal);
        process.report.out_of_memory = false;
        self.set_end(node, key, within);
    }

    pub(crate) fn supervisor_signals(&mut self, node: NodeIndex, key: UnitKey, signal: u8) {
        let within = self.random.span(0, 50);
        match signal {
            9 => self.kill(node, key, 9, within),
            15 if self.random.chance(700) => self.kill(node, key, 15, within),
            _ => {}
        }
    }

    /// CONT and TERM, then KILL. Most processes die of TERM.
    pub(crate) fn supervisor_terminates(&mut self, node: NodeIndex, key: UnitKey, kill_wait_ms: u64) {
        let quickly = self.random.span(0, 80);
        if kill_wait_ms == 0 {
            self.kill(node, key, 9, quickly);
        } else if self.random.chance(700) {
            self.kill(node, key, 15, quickly);
        } else {
            self.kill(node, key, 9, Span(i64::try_from(kill_wait_ms).unwrap_or(i64::MAX)));
        }
    }

    pub(crate) fn supervisor_pauses(&mut self, node: NodeIndex, key: UnitKey, resume: bool) {
        let now = self.now;
        let Some(process) = self.node(node).supervisor.running.get_mut(&key) else {
            return;
        };
        if !resume {
            // What is being ended is not stopped.
            if !process.ends_itself {
                process.gave_way = true;
            } else if process.stopped.is_none() {
                process.stopped = Some(process.ends_at.since(now));
            }
        } else if let Some(left) = process.stopped.take() {
            self.set_end(node, key, left);
            self.check_runs(node, key);
        }
    }
}
