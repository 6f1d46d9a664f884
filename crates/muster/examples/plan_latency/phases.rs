//! What the planner does meanwhile.

use std::time::Duration;

use muster_controller::{Pace, Planning};

use crate::report::Cpu;

/// One kind of phase. They take turns, so that whatever else changes meanwhile changes for all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// No planning at all.
    Rests,
    /// As in production.
    Usual,
    /// A pass over everything is under way all the time.
    Always,
    /// The same without anything beside it, as it would be with one planner.
    Alone,
}

impl Phase {
    pub(crate) const ALL: [Phase; 4] = [Phase::Rests, Phase::Usual, Phase::Always, Phase::Alone];

    /// By the word that names it where phases are chosen.
    pub(crate) fn of(word: &str) -> Option<Phase> {
        Phase::ALL.into_iter().find(|phase| phase.word() == word)
    }

    fn word(self) -> &'static str {
        match self {
            Phase::Rests => "rests",
            Phase::Usual => "usual",
            Phase::Always => "always",
            Phase::Alone => "alone",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Phase::Rests => "rests",
            Phase::Usual => "as usual",
            Phase::Always => "always, quick ones beside",
            Phase::Alone => "always, nothing beside",
        }
    }

    fn planning(self) -> Planning {
        match self {
            Phase::Rests => Planning::Rests,
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
    pub(crate) async fn begin(self, pace: &Pace) {
        pace.set(self.planning());
        let mut before = Cpu::now();
        loop {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let after = Cpu::now();
            let worked = after.quick + after.long - before.quick - before.long;
            if self.starts() || worked < 0.002 {
                return;
            }
            before = after;
        }
    }
}
