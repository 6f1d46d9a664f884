//! What a run is asked for, what is drawn from its seed, and what it reports.

use muster_model::time::Span;

use crate::random::Random;

/// How long and how hard a run is. The seed decides everything else.
#[derive(Debug, Clone)]
pub struct Options {
    /// Jobs and arrays submitted at most.
    pub submits_max: u32,
    /// Virtual time during which jobs are submitted and things fail. Afterwards everything has to come to an end.
    pub activity: Span,
    /// Whether processes, machines and connections fail.
    pub faults: bool,
    /// Keep the whole trace rather than its end.
    pub trace: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { submits_max: 30, activity: Span::from_minutes(30), faults: true, trace: false }
    }
}

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Lines of the trace, kept or not.
    pub trace_count: u64,
    /// Hash of all lines of the trace.
    pub trace_hash: u64,
    /// The trace, or its end.
    pub trace: Vec<String>,
    /// What happened how often.
    pub counts: Counts,
    /// What was found to be wrong, in words; `None` when all went well.
    pub failure: Option<String>,
}

/// What happened how often; tells whether a run was worth anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Counts {
    pub submits: u64,
    pub units_started: u64,
    pub units_ended: u64,
    pub steps_created: u64,
    pub controller_crashes: u64,
    pub agent_crashes: u64,
    pub machine_failures: u64,
    pub connections_lost: u64,
    pub requeues: u64,
    pub evictions: u64,
    pub starts_together: u64,
    pub nodes_given_up: u64,
    pub long_passes: u64,
}

impl Counts {
    /// Adds the counts of another run.
    pub fn add(&mut self, other: Counts) {
        self.submits += other.submits;
        self.units_started += other.units_started;
        self.units_ended += other.units_ended;
        self.steps_created += other.steps_created;
        self.controller_crashes += other.controller_crashes;
        self.agent_crashes += other.agent_crashes;
        self.machine_failures += other.machine_failures;
        self.connections_lost += other.connections_lost;
        self.requeues += other.requeues;
        self.evictions += other.evictions;
        self.starts_together += other.starts_together;
        self.nodes_given_up += other.nodes_given_up;
        self.long_passes += other.long_passes;
    }
}

/// How often what fails, per 1000 occasions, drawn once for each seed: runs differ in what they try, so that no kind of
/// fault always hides another.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Hazards {
    /// The controller dies, at each of its steps.
    pub controller_crash: u64,
    /// A connection breaks, at each message.
    pub connection_loss: u64,
    /// A message is delivered twice.
    pub doubled: u64,
    /// An agent dies, at each of its actions.
    pub agent_crash: u64,
    /// A unit cannot be started.
    pub launch_failure: u64,
    /// Something happens to a machine, at each occasion for misfortune.
    pub machine: u64,
    /// Greatest delay of a message, milliseconds.
    pub delay_ms_max: u64,
}

impl Hazards {
    pub(crate) fn none() -> Hazards {
        Hazards { delay_ms_max: 20, ..Hazards::default() }
    }

    pub(crate) fn draw(random: &mut Random) -> Hazards {
        let mut sometimes = |often: u64, most: u64| {
            if random.chance(often) { random.between(1, most) } else { 0 }
        };
        Hazards {
            controller_crash: sometimes(700, 25),
            connection_loss: sometimes(700, 40),
            doubled: sometimes(600, 60),
            agent_crash: sometimes(600, 40),
            launch_failure: sometimes(500, 80),
            machine: sometimes(700, 700),
            delay_ms_max: 2 + sometimes(500, 3_000),
        }
    }
}
