//! What the planner does meanwhile, and what else does.

use std::time::Duration;

use muster_controller::Planning;

use crate::helpers::{Helper, word};
use crate::report::Cpu;
use crate::{Failure, sleep_until};

/// How long a phase may settle before it is measured.
const SETTLE: Duration = Duration::from_millis(150);
/// Seconds that the planner may still work within that time where it is to rest.
const REST: f64 = 0.001;

/// One kind of phase. They take turns, so that whatever else changes meanwhile changes for all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// No planning at all.
    Rests,
    /// The same while another program uses one processor.
    Taken,
    /// As in production.
    Usual,
    /// A pass over everything is under way all the time.
    Always,
    /// The same without anything beside it, as it would be with one planner.
    Alone,
}

impl Phase {
    pub(crate) const ALL: [Phase; 5] = [Phase::Rests, Phase::Taken, Phase::Usual, Phase::Always, Phase::Alone];

    /// By the word that names it where phases are chosen.
    pub(crate) fn of(word: &str) -> Option<Phase> {
        Phase::ALL.into_iter().find(|phase| phase.word() == word)
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Phase::Rests => "rests",
            Phase::Taken => "taken",
            Phase::Usual => "usual",
            Phase::Always => "always",
            Phase::Alone => "alone",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Phase::Rests => "rests",
            Phase::Taken => "rests, a processor taken",
            Phase::Usual => "as usual",
            Phase::Always => "always, quick ones beside",
            Phase::Alone => "always, nothing beside",
        }
    }

    fn planning(self) -> Planning {
        match self {
            Phase::Rests | Phase::Taken => Planning::Rests,
            Phase::Usual => Planning::Usual,
            Phase::Always => Planning::Always,
            Phase::Alone => Planning::AlwaysAlone,
        }
    }

    /// Whether a job that is submitted can start.
    pub(crate) fn starts(self) -> bool {
        self.planning() != Planning::Rests
    }

    /// Lets the phase begin; before one without planning, waits until what is under way is over.
    pub(crate) fn begin(self, controller: &mut Helper, counter: &mut Helper) -> Result<(), Failure> {
        counter.tell(if self == Phase::Taken { "on" } else { "off" })?;
        controller.tell(word(self.planning()))?;
        let now = || Cpu::now(controller.pid(), counter.pid());
        let mut before = now();
        loop {
            sleep_until(std::time::Instant::now() + SETTLE);
            let after = now();
            let worked = after.quick + after.long - before.quick - before.long;
            if self.starts() || worked < REST {
                return Ok(());
            }
            before = after;
        }
    }
}
