//! What is done to running units: signals, suspension, termination, sampling.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use muster_model::state::Usage;

use super::launcher::Work;
use super::processes::{self, ProcessStat};
use super::relay::RelayCommand;
use super::server::Server;
use super::units::{Phase, Unit, Wish};
use crate::protocol::{SignalScope, UnitSample};
use crate::system;
use crate::unit::UnitKey;
use crate::wire::ALL_RANKS;

/// How long a step has between TERM and KILL when its client has gone.
const CLIENT_GONE_KILL_WAIT: Duration = Duration::from_secs(5);

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
        send_signal(unit, signal, scope);
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
            unit.wishes.push(Wish::Terminate(kill_wait, message));
            return;
        }
        let kill_at = now.checked_add(kill_wait).unwrap_or(now);
        unit.kill_at = Some(unit.kill_at.map_or(kill_at, |earlier| earlier.min(kill_at)));
        // The first reason given is the one that counts.
        if unit.phase == Phase::Draining || !is_first && (message.is_none() || unit.has_farewell) {
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
        } else if unit.suspended != stop {
            stop_or_continue(unit, stop);
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
                Wish::Suspend(stop) => self.suspend(key, stop),
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
                Phase::Draining => {
                    unit.tell_relay(RelayCommand::Abandon);
                    unit.kill_at = None;
                }
            }
        }
    }

    /// [`crate::protocol::Request::Sample`].
    pub(crate) fn sample(&self, keys: &[UnitKey]) -> Vec<UnitSample> {
        let processes = processes::all();
        let units = self.units.values().filter(|unit| keys.is_empty() || keys.contains(&unit.key));
        let mut samples: Vec<UnitSample> = units.map(|unit| sample_unit(unit, &processes)).collect();
        samples.sort_by_key(|sample| sample.key);
        samples
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
        stop_or_continue(unit, false);
    }
    for pid in unit.living() {
        system::kill(pid, libc::SIGCONT);
        system::kill(pid, libc::SIGTERM);
    }
}

fn stop_or_continue(unit: &mut Unit, stop: bool) {
    unit.suspended = stop;
    let is_frozen = unit.group.as_ref().is_some_and(|group| group.freeze(stop).is_ok());
    if !is_frozen {
        let signal = if stop { libc::SIGSTOP } else { libc::SIGCONT };
        // Twice, for what was started while the first round went on.
        for _ in 0..2 {
            unit.living().into_iter().for_each(|pid| system::kill(pid, signal));
        }
    }
}

fn sample_unit(unit: &Unit, processes: &[ProcessStat]) -> UnitSample {
    let pids = match &unit.group {
        Some(group) => group.pids(),
        None => {
            let tasks = unit.tasks.iter().map(|task| task.pid).collect();
            processes::of_unit(processes, &tasks, &unit.mark)
        }
    };
    let mut usage = Usage::default();
    for task in unit.tasks.iter().filter_map(|task| task.end.as_ref()) {
        usage.user_cpu_us += task.usage.user_cpu_us;
        usage.system_cpu_us += task.usage.system_cpu_us;
    }
    // SAFETY: asks for plain numbers.
    let (ticks, page) = unsafe { (libc::sysconf(libc::_SC_CLK_TCK), libc::sysconf(libc::_SC_PAGESIZE)) };
    let (tick_us, page_kb) = (1_000_000 / ticks.max(1) as u64, page.max(1024) as u64 / 1024);
    let members: HashSet<i32> = pids.iter().copied().collect();
    for process in processes.iter().filter(|process| members.contains(&process.pid)) {
        usage.user_cpu_us = usage.user_cpu_us.saturating_add(process.user_ticks.saturating_mul(tick_us));
        usage.system_cpu_us = usage.system_cpu_us.saturating_add(process.system_ticks.saturating_mul(tick_us));
        usage.rss_kb_max = usage.rss_kb_max.saturating_add(process.rss_pages.saturating_mul(page_kb));
    }
    UnitSample { key: unit.key, usage, pids: pids.iter().map(|pid| *pid as u32).collect() }
}
