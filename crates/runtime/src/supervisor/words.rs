//! What is said into a unit's error stream beside what its tasks write, in the words of slurmstepd.

use std::time::Instant;

use super::launcher::Work;
use super::relay::RelayCommand;
use super::server::Server;
use crate::system;
use crate::unit::UnitKey;

/// Words of Slurm for levels of its log.
const LEVELS: [&str; 9] = ["quiet", "fatal", "error", "info", "verbose", "debug", "debug2", "debug3", "debug4"];

/// From this level on nodes tell of the tasks of a step; Slurm's tell so much more than they are asked to.
const LEVEL_MIN: u8 = 2;

impl Server {
    /// Says lines, each with its end, into the error stream of a unit.
    pub(crate) fn say(&mut self, key: UnitKey, line: Vec<u8>) {
        let Some(unit) = self.units.get_mut(&key) else {
            return;
        };
        match (&unit.relay, &unit.error_file) {
            (_, Some(file)) => {
                let work = Work::Write { key, file: file.clone(), line };
                unit.writes(Instant::now());
                self.launcher.submit(work);
            }
            _ => unit.tell_relay(RelayCommand::Say(line)),
        }
    }

    /// Tells of the tasks of a unit that has just been started, where that is wanted.
    pub(crate) fn tell_start(&mut self, key: UnitKey) {
        let Some(unit) = self.units.get(&key).filter(|unit| unit.verbosity >= LEVEL_MIN && !unit.tasks.is_empty())
        else {
            return;
        };
        let level = LEVELS.get(usize::from(unit.verbosity) + 2).copied().unwrap_or("debug4");
        let mut text = format!(
            "slurmstepd: debug levels are stderr='{level}', logfile='info', syslog='fatal'\nslurmstepd: starting {} tasks\n",
            unit.tasks.len()
        );
        let now = system::local_time();
        for task in &unit.tasks {
            text.push_str(&format!("slurmstepd: task {} ({}) started {now}\n", task.rank, task.pid));
        }
        self.say(key, text.into_bytes());
    }

    /// Tells how a task has ended, where that is wanted.
    pub(crate) fn tell_end_of_task(&mut self, key: UnitKey, index: usize) {
        let unit = self.units.get(&key).filter(|unit| unit.verbosity >= LEVEL_MIN);
        let task = unit.and_then(|unit| unit.tasks.get(index));
        let Some((task, end)) = task.and_then(|task| Some((task, task.end.as_ref()?))) else {
            return;
        };
        let how = match end.exit.signal {
            0 => format!(" with exit code {}.", end.exit.code),
            signal => format!(". Killed by signal {signal}."),
        };
        let line = format!("slurmstepd: task {} ({}) exited{how}\n", task.rank, task.pid);
        self.say(key, line.into_bytes());
    }
}
