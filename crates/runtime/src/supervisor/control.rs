//! What is done to running units: signals, suspension, termination, sampling.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::launcher::Work;
use super::relay::RelayCommand;
use super::server::Server;
use super::units::{Phase, Unit, Wish};
use crate::protocol::SignalScope;
use crate::system;
use crate::unit::{ClientLink, UnitKey};
use crate::wire::{ALL_RANKS, NodeHello, WIRE_VERSION};

/// How long a step has between TERM and KILL when its client has gone.
const CLIENT_GONE_KILL_WAIT: Duration = Duration::from_secs(5);

/// How long what is to stand still has to get ready.
const STOP_NOTICE: Duration = Duration::from_secs(2);

/// How long a killed step waits for its client to take the rest of the output.
const CLIENT_PATIENCE: Duration = Duration::from_secs(10);

impl Server {
    /// [`crate::protocol::Request::Signal`].
    pub(crate) fn signal(&mut self, key: UnitKey, signal: u8, scope: SignalScope) {
        let Some(unit) = self.units.get_mut(&key) else {
            return;
        };
        if unit.phase == Phase::Launching {
            unit.wishes.push(Wish::Signal(signal, scope));
            return;
        }
        if !unit.is_over() {
            send_signal(unit, signal, scope);
        }
    }

    /// [`crate::wire::Frame::Signal`].
    pub(crate) fn client_signal(&mut self, key: UnitKey, rank: u32, signal: u8) {
        if rank == ALL_RANKS {
            return self.signal(key, signal, SignalScope::All);
        }
        let Some(unit) = self.units.get(&key) else { return };
        for task in unit.living_tasks().filter(|task| task.rank == rank) {
            // A task leads a process group of its own; it has not been waited for, so the number is its own still.
            system::kill(-task.pid, signal.into());
        }
    }

    /// The `srun` of a live step has gone; nobody wants its output.
    pub(crate) fn client_gone(&mut self, key: UnitKey) {
        tracing::info!(unit = %key, "client has gone, ending the step");
        self.terminate(key, CLIENT_GONE_KILL_WAIT, None);
    }

    /// [`crate::protocol::Request::Terminate`].
    pub(crate) fn terminate(&mut self, key: UnitKey, kill_wait: Duration, message: Option<String>) {
        let now = Instant::now();
        if self.end_waiting(key) {
            return;
        }
        let Some(unit) = self.units.get_mut(&key) else {
            return;
        };
        let is_first = !unit.terminated;
        unit.terminated = true;
        if unit.phase == Phase::Launching {
            unit.cancelled.store(true, Ordering::SeqCst);
            unit.wishes.push(Wish::Terminate(kill_wait, message));
            return;
        }
        let kill_at = now.checked_add(kill_wait).unwrap_or(now);
        unit.kill_at = Some(unit.kill_at.map_or(kill_at, |earlier| earlier.min(kill_at)));
        // The first reason given is the one that counts.
        if unit.is_over() || !is_first && (message.is_none() || unit.has_farewell) {
            return;
        }
        unit.has_farewell |= message.is_some();
        match (message, &unit.relay, &unit.error_file) {
            (Some(message), Some(_), None) => {
                unit.tell_relay(RelayCommand::Farewell(format!("{message}\n").into_bytes()));
                ask_to_end(unit);
            }
            (Some(message), _, Some(file)) => {
                let work = Work::Write { key, file: file.clone(), line: format!("{message}\n").into_bytes() };
                unit.writes(now);
                unit.term_after_writing = true;
                self.launcher.submit(work);
            }
            _ => ask_to_end(unit),
        }
    }

    /// [`crate::protocol::Request::Say`].
    pub(crate) fn say_to(&mut self, key: UnitKey, line: String) {
        let Some(unit) = self.units.get_mut(&key) else {
            return;
        };
        if unit.phase == Phase::Launching {
            unit.wishes.push(Wish::Say(line));
        } else if !unit.is_over() {
            self.say(key, format!("{line}\n").into_bytes());
        }
    }

    /// Says into a unit's error stream that the kernel has killed a process of it for a limit of memory.
    pub(crate) fn tell_oom(&mut self, key: UnitKey) {
        let Some(unit) = self.units.get_mut(&key) else {
            return;
        };
        if let Some(line) = unit.look_for_oom() {
            self.say(key, line);
        }
    }

    /// A message has been written to the error file, or could not be.
    pub(crate) fn written(&mut self, key: UnitKey) {
        if let Some(unit) = self.units.get_mut(&key) {
            unit.writing_until = None;
            if std::mem::take(&mut unit.term_after_writing) {
                ask_to_end(unit);
            }
        }
        self.advance(key);
    }

    /// [`crate::protocol::Request::Suspend`] and [`crate::protocol::Request::Resume`].
    pub(crate) fn suspend(&mut self, key: UnitKey, stop: bool) {
        let Some(unit) = self.units.get_mut(&key) else {
            return;
        };
        if unit.phase == Phase::Launching {
            unit.wishes.push(Wish::Suspend(stop));
        } else if unit.suspended != stop && !unit.is_over() {
            if stop { ask_to_stop(unit) } else { go_on(unit) }
        }
    }

    /// Stops what was told to and has not stopped by itself.
    pub(crate) fn stop_overdue(&mut self, now: Instant) {
        for unit in self.units.values_mut().filter(|unit| unit.stop_at.is_some_and(|at| at <= now)) {
            unit.stop_at = None;
            if unit.phase == Phase::Running {
                stop(unit);
            }
        }
    }

    /// Carries out what was asked for during the launch.
    pub(crate) fn grant_wishes(&mut self, key: UnitKey) {
        let Some(unit) = self.units.get_mut(&key) else {
            return;
        };
        let wishes = std::mem::take(&mut unit.wishes);
        if wishes.iter().any(|wish| matches!(wish, Wish::Terminate(..))) {
            unit.terminated = false; // so that it counts as the first time
        }
        for wish in wishes {
            match wish {
                Wish::Signal(signal, scope) => self.signal(key, signal, scope),
                Wish::Terminate(kill_wait, message) => self.terminate(key, kill_wait, message),
                // What has not begun has nothing to get ready.
                Wish::Suspend(true) => self.units.get_mut(&key).into_iter().for_each(stop),
                Wish::Suspend(false) => self.suspend(key, false),
                Wish::Say(line) => self.say_to(key, line),
                Wish::Attach(client) => self.attach(key, client),
            }
        }
    }

    /// Goes on without messages that take too long to write.
    pub(crate) fn give_up_writing(&mut self, now: Instant) {
        let is_stuck = |unit: &&Unit| unit.writing_until.is_some_and(|until| until <= now);
        let stuck: Vec<UnitKey> = self.units.values().filter(is_stuck).map(|unit| unit.key).collect();
        stuck.into_iter().for_each(|key| self.written(key));
    }

    /// Kills units whose time has come; gives up on clients that do not listen.
    pub(crate) fn kill_overdue(&mut self, now: Instant) {
        for unit in self.units.values_mut() {
            if unit.kill_at.is_none_or(|at| at > now) || !unit.is_written(now) {
                continue;
            }
            match unit.phase {
                Phase::Launching => {}
                Phase::Running | Phase::Cleaning => {
                    unit.kill();
                    unit.kill_again(now);
                }
                // What removes containers has a limit of its own.
                Phase::Releasing => unit.kill_again(now),
                Phase::Draining => {
                    unit.tell_relay(RelayCommand::Abandon);
                    unit.kill_at = None;
                }
            }
        }
    }

    /// [`crate::protocol::Request::Attach`].
    pub(crate) fn attach(&mut self, key: UnitKey, client: ClientLink) {
        if let Some(unit) = self.units.get_mut(&key).filter(|unit| unit.phase == Phase::Launching) {
            return unit.wishes.push(Wish::Attach(client));
        }
        let unit = self.units.get(&key).filter(|unit| unit.phase == Phase::Running);
        let relay = unit.and_then(|unit| unit.relay.clone());
        let ranks = unit.filter(|_| relay.is_some()).into_iter().flat_map(|unit| &unit.tasks);
        let hello = NodeHello {
            version: WIRE_VERSION,
            cookie: client.cookie,
            job_id: key.job_id.0,
            step: key.step.to_string(),
            node: client.node_name,
            ranks: ranks.map(|task| task.rank).collect(),
        };
        self.launcher.submit(Work::CallWatcher { address: client.address, hello, relay });
    }

    /// [`crate::protocol::Request::Sample`]. Units that are being started have nothing to look at.
    pub(crate) fn sample(&self, number: u64, keys: &[UnitKey]) {
        let units = self.units.values().filter(|unit| keys.is_empty() || keys.contains(&unit.key));
        let mut meters: Vec<_> = units.filter_map(|unit| unit.meter.clone()).collect();
        meters.sort_by_key(|meter| meter.key);
        self.sampler.look(number, meters);
    }
}

/// When a draining unit that was asked to end gives up on its client.
pub(crate) fn client_deadline(now: Instant) -> Instant {
    now + CLIENT_PATIENCE
}

fn send_signal(unit: &Unit, signal: u8, scope: SignalScope) {
    let tasks: HashSet<i32> = unit.living_tasks().map(|task| task.pid).collect();
    match scope {
        SignalScope::Tasks => tasks.iter().for_each(|pid| system::kill(*pid, signal.into())),
        SignalScope::All => unit.living().iter().for_each(|pid| system::kill(*pid, signal.into())),
        SignalScope::Children => {
            let children = unit.living().into_iter().filter(|pid| !tasks.contains(pid));
            children.for_each(|pid| system::kill(pid, signal.into()));
        }
    }
}

/// CONT first: a stopped process would never see the TERM.
fn ask_to_end(unit: &mut Unit) {
    if unit.kill_at.is_some_and(|at| at <= Instant::now()) {
        return unit.kill();
    }
    if unit.suspended {
        go_on(unit);
    }
    for pid in unit.living() {
        system::kill(pid, libc::SIGCONT);
        system::kill(pid, libc::SIGTERM);
    }
}

/// TSTP first, which programs can catch to get ready; what goes on stands still soon after, as in Slurm. Who does not catch it stands
/// still at once: of itself TSTP stops nobody who leads a session, as tasks do.
fn ask_to_stop(unit: &mut Unit) {
    unit.suspended = true;
    unit.stop_at = Some(Instant::now() + STOP_NOTICE);
    for pid in unit.living() {
        system::kill(pid, libc::SIGTSTP);
        if !system::minds(pid, libc::SIGTSTP) {
            system::kill(pid, libc::SIGSTOP);
        }
    }
}

fn stop(unit: &mut Unit) {
    unit.suspended = true;
    if unit.group.as_ref().is_none_or(|group| group.freeze(true).is_err()) {
        // Twice, for what was started while the first round went on.
        for _ in 0..2 {
            unit.living().into_iter().for_each(|pid| system::kill(pid, libc::SIGSTOP));
        }
    }
}

/// All get CONT, which programs can catch too; it also wakes those that TSTP has stopped. Once: what stands still starts nothing.
fn go_on(unit: &mut Unit) {
    unit.suspended = false;
    unit.stop_at = None;
    let _ = unit.group.as_ref().map(|group| group.freeze(false));
    unit.living().into_iter().for_each(|pid| system::kill(pid, libc::SIGCONT));
}
