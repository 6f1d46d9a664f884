//! Launches that wait for the end of another unit: everything of a job for the site's prolog.
//!
//! They wait here and not with the agent, so that an agent may come and go meanwhile.

use std::collections::HashMap;

use muster_model::measure::TaskMeasure;
use muster_model::state::{ExitStatus, Usage};

use super::journal::Known;
use super::launcher::Launch;
use super::server::Server;
use super::units::{Phase, Task};
use crate::unit::{Outcome, TaskEnd, UnitEnd, UnitKey};

/// With which signal a unit has ended that was ended while it waited.
const TERM: u8 = 15;

/// Launches by the unit whose end they wait for.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    launches: HashMap<UnitKey, Vec<Launch>>,
}

impl Waiting {
    /// Takes the launch of `key` out.
    fn take(&mut self, key: UnitKey) -> Option<Launch> {
        let (after, at) = self.launches.iter().find_map(|(after, launches)| {
            launches.iter().position(|launch| launch.unit.key == key).map(|at| (*after, at))
        })?;
        let launches = self.launches.get_mut(&after)?;
        let taken = launches.swap_remove(at);
        if launches.is_empty() {
            self.launches.remove(&after);
        }
        Some(taken)
    }
}

impl Server {
    /// Has a unit launched that was written down, now or when what it waits for has ended.
    pub(crate) fn launch_when_ready(&mut self, mut launch: Launch) {
        if let Some(after) = launch.unit.after {
            match self.journal.get(&after) {
                Some(Known::Ended(end)) => launch.prolog_failed = !ended_well(end),
                // Never heard of: it cannot be waited for.
                None => launch.prolog_failed = true,
                Some(Known::Begun(_)) => {
                    self.state.waiting.launches.entry(after).or_default().push(launch);
                    return;
                }
            }
        }
        self.state.launching += 1;
        self.state.to_launch.push(launch);
    }

    /// Launches what has waited for a unit that ended so.
    pub(crate) fn release(&mut self, end: &UnitEnd) {
        for mut launch in self.state.waiting.launches.remove(&end.key).unwrap_or_default() {
            launch.prolog_failed = !ended_well(end);
            self.state.launching += 1;
            self.state.to_launch.push(launch);
        }
    }

    /// Ends a unit that waits; `false` when it does not.
    pub(crate) fn end_waiting(&mut self, key: UnitKey) -> bool {
        let Some(launch) = self.state.waiting.take(key) else {
            return false;
        };
        if let Some(unit) = self.units.get_mut(&key) {
            let ended = |rank| {
                let end = TaskEnd {
                    rank,
                    exit: ExitStatus::signaled(TERM),
                    usage: Usage::default(),
                    measure: TaskMeasure::default(),
                };
                Task { rank, pid: Task::NO_PROCESS, end: Some(end), epilog: None }
            };
            unit.tasks = launch.unit.tasks.iter().map(|task| ended(task.rank)).collect();
            unit.terminated = true;
            unit.set_phase(Phase::Cleaning);
        }
        self.advance(key);
        true
    }
}

fn ended_well(end: &UnitEnd) -> bool {
    end.outcome == Outcome::Ran && end.exit.is_success()
}
