//! The main thread: one loop over signals, messages of other threads, the agent, and timers.
//!
//! Each turn collects what is to be written down, launched and told. At its end the journal is written once; only then
//! launches are handed to the launchers and notices to the agent.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use muster_model::state::{ExitStatus, Usage};

use super::agent_link::AgentLink;
use super::blobs::Blobs;
use super::control::client_deadline;
use super::inbox::{Inbox, Message};
use super::journal::{Journal, Known};
use super::launcher::{Launch, Launched, Launcher, Work};
use super::relay::RelayCommand;
use super::signals;
use super::units::{Orphans, Phase, Unit, exit_of};
use super::waiting::Waiting;
use crate::cgroup::{Cgroups, UnitGroup};
use crate::client::SOCKET_NAME;
use crate::protocol::{Hello, Notice, PROTOCOL_VERSION, Refused, Request};
use crate::system;
use crate::unit::{LaunchUnit, UnitKey};

/// Acknowledged keys that are remembered, so that a late copy of their launch does nothing.
const ACKNOWLEDGED_MAX: usize = 10_000;

/// How often to look after things that have no event.
const TICK: Duration = Duration::from_millis(100);

/// How often a supervisor with nothing to do looks whether it can still be reached.
const IDLE_TICK: Duration = Duration::from_secs(5);

/// How long to wait before a failed journal is tried again.
const JOURNAL_RETRY: Duration = Duration::from_secs(1);

/// The supervisor's state. Owned by the main thread.
pub(crate) struct Server {
    pub(crate) spool: PathBuf,
    pub(crate) mark_suffix: String,
    pub(crate) signal_fd: OwnedFd,
    pub(crate) listener: UnixListener,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) launcher: Launcher,
    pub(crate) reaps: Arc<AtomicU64>,
    pub(crate) cgroups: Option<Arc<Cgroups>>,
    pub(crate) journal: Journal,
    pub(crate) units: HashMap<UnitKey, Unit>,
    pub(crate) state: State,
}

/// What begins empty.
#[derive(Default)]
pub(crate) struct State {
    agent: Option<AgentLink>,
    agent_is_new: bool,
    blobs: Blobs,
    orphans: Orphans,
    /// Which task a process is.
    tasks: HashMap<i32, (UnitKey, usize)>,
    /// Ends of processes not (yet) known, by number, with their count: a task may end before its launcher tells of it.
    early_ends: HashMap<i32, (u64, ExitStatus, Usage)>,
    pub(crate) launching: usize,
    pub(crate) to_launch: Vec<Launch>,
    pub(crate) waiting: Waiting,
    to_tell: Vec<Notice>,
    acknowledged: VecDeque<UnitKey>,
    acknowledged_set: HashSet<UnitKey>,
    groups_to_remove: Vec<UnitGroup>,
    retry_journal_at: Option<Instant>,
    retiring: Option<Retirement>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Retirement {
    WhenAcknowledged,
    Kill,
}

impl Server {
    /// Serves until retired.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        loop {
            self.wait()?;
            let now = Instant::now();
            self.serve_signals();
            for message in self.inbox.take() {
                self.obey(message);
            }
            self.serve_agent();
            self.accept_agents();
            self.give_up_writing(now);
            self.kill_overdue(now);
            self.advance_all();
            self.end_turn(now);
            if self.is_done() {
                return Ok(());
            }
        }
    }

    fn wait(&self) -> io::Result<()> {
        let mut fds = vec![
            system::pollfd(self.signal_fd.as_raw_fd(), libc::POLLIN),
            system::pollfd(self.inbox.fd(), libc::POLLIN),
            system::pollfd(self.listener.as_raw_fd(), libc::POLLIN),
        ];
        if let Some(agent) = &self.state.agent {
            fds.push(agent.pollfd());
        }
        system::poll(&mut fds, self.timeout_ms())
    }

    fn timeout_ms(&self) -> i32 {
        let now = Instant::now();
        let state = &self.state;
        let needs_tick = state.launching > 0 || !state.groups_to_remove.is_empty();
        let ticks = [needs_tick.then(|| now + TICK), self.is_idle().then(|| now + IDLE_TICK), state.retry_journal_at];
        let wakes = self.units.values().filter_map(|unit| unit.wake_at(now));
        match wakes.chain(ticks.into_iter().flatten()).min() {
            None => -1,
            // Rounded up, so that the time has come when we wake.
            Some(at) => {
                let wait = at.saturating_duration_since(now).as_micros().div_ceil(1000);
                i32::try_from(wait).unwrap_or(i32::MAX)
            }
        }
    }

    fn serve_signals(&mut self) {
        let pending = signals::take(self.signal_fd.as_raw_fd());
        if pending.terminate {
            tracing::info!("told to end: killing all units");
            self.state.retiring = Some(Retirement::Kill);
            self.kill_all();
        }
        // Not only on SIGCHLD: several ends may come as one signal, and looking is cheap.
        self.reap();
    }

    fn reap(&mut self) {
        loop {
            let mut status = 0;
            // SAFETY: all-zero is a valid value of this plain C structure.
            let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
            // SAFETY: both results are written into our own variables.
            let pid = unsafe { libc::wait4(-1, &mut status, libc::WNOHANG | libc::__WALL, &mut usage) };
            if pid <= 0 {
                return;
            }
            let count = self.reaps.fetch_add(1, Ordering::SeqCst) + 1;
            let (exit, usage) = exit_of(status, &usage);
            match self.state.tasks.remove(&pid) {
                Some((key, index)) => self.task_ended(key, index, exit, usage),
                None if self.state.launching > 0 => {
                    self.state.early_ends.insert(pid, (count, exit, usage));
                }
                // An orphan that nobody asks about.
                None => {}
            }
        }
    }

    fn task_ended(&mut self, key: UnitKey, index: usize, exit: ExitStatus, usage: Usage) {
        let Some(unit) = self.units.get_mut(&key) else {
            return;
        };
        match unit.task_ended(index, exit, usage) {
            Some(epilog) => self.launcher.submit(Work::TaskEpilog { key, index, epilog }),
            None => self.task_is_over(key, index),
        }
    }

    /// A task has ended, and what is run after it too.
    fn task_is_over(&mut self, key: UnitKey, index: usize) {
        if let Some(unit) = self.units.get_mut(&key)
            && unit.task_is_over(index)
            && unit.phase == Phase::Running
        {
            unit.set_phase(Phase::Cleaning);
            self.advance(key);
        }
    }

    fn obey(&mut self, message: Message) {
        match message {
            Message::Launched(launched) => self.launched(*launched),
            Message::Written { key } => self.written(key),
            Message::TaskEpilogEnded { key, index } => self.task_is_over(key, index),
            Message::ClientSignal { key, rank, signal } => self.client_signal(key, rank, signal),
            Message::ClientGone { key } => self.client_gone(key),
            Message::RelayDone { key } => {
                if let Some(unit) = self.units.get_mut(&key) {
                    unit.relay = None;
                }
                self.advance(key);
            }
        }
    }

    fn launched(&mut self, launched: Launched) {
        let key = launched.key;
        self.state.launching = self.state.launching.saturating_sub(1);
        let Some(unit) = self.units.get_mut(&key) else {
            return;
        };
        let started: Vec<(i32, u64)> = launched.tasks.iter().map(|task| (task.pid, task.reaps_before)).collect();
        unit.launched(launched);
        let pids = unit.pids();
        match &unit.problem {
            None => self.state.to_tell.push(Notice::Started { key, at: unit.start_time, pids }),
            Some((message, errno)) => {
                tracing::warn!(unit = %key, message, "cannot start unit");
                let command = RelayCommand::Failed { errno: *errno as u32, message: message.clone() };
                unit.tell_relay(command);
                // Those that were started do not run on as half a unit.
                unit.kill_at = Some(Instant::now());
            }
        }
        if unit.tasks.is_empty() {
            unit.set_phase(Phase::Cleaning);
        }
        for (index, (pid, reaps_before)) in started.into_iter().enumerate() {
            match self.state.early_ends.remove(&pid) {
                // Not the end of another process that had this number before.
                Some((count, exit, usage)) if count > reaps_before => self.task_ended(key, index, exit, usage),
                _ => {
                    self.state.tasks.insert(pid, (key, index));
                }
            }
        }
        if self.state.launching == 0 {
            self.state.early_ends.clear();
        }
        self.grant_wishes(key);
        self.advance(key);
    }

    /// Moves a unit on as far as it can go.
    pub(crate) fn advance(&mut self, key: UnitKey) {
        let now = Instant::now();
        let Some(unit) = self.units.get_mut(&key) else {
            return;
        };
        if unit.phase == Phase::Cleaning && unit.is_clean(&mut self.state.orphans) {
            unit.set_phase(Phase::Draining);
            unit.kill_at = unit.kill_at.map(|_| client_deadline(now));
            unit.tell_relay(RelayCommand::Finish);
            if let Some(group) = unit.group.take() {
                unit.out_of_memory = group.out_of_memory();
                if group.remove().is_err() {
                    self.state.groups_to_remove.push(group);
                }
            }
        }
        if unit.phase == Phase::Draining && unit.relay.is_none() && unit.is_written(now) {
            let end = unit.end(system::now());
            if unit.has_script {
                super::files::remove_script(&self.spool, key);
            }
            self.units.remove(&key);
            self.journal.end(end.clone());
            self.release(&end);
            self.state.to_tell.push(Notice::Ended(Box::new(end)));
        }
    }

    fn advance_all(&mut self) {
        let waiting: Vec<UnitKey> = self
            .units
            .values()
            .filter(|unit| matches!(unit.phase, Phase::Cleaning | Phase::Draining))
            .map(|unit| unit.key)
            .collect();
        waiting.into_iter().for_each(|key| self.advance(key));
        self.state.groups_to_remove.retain(|group| group.remove().is_err());
        if self.state.launching > 0 {
            self.launcher.relieve();
        }
    }

    fn accept_agents(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            match AgentLink::new(stream) {
                Ok(agent) => {
                    // What the agent before has said is still to be done; a new one may rely on it.
                    while self.serve_agent() {}
                    self.state.agent = Some(agent);
                    self.state.agent_is_new = true;
                }
                Err(error) => tracing::warn!(%error, "refused a connection"),
            }
        }
    }

    /// Carries out what the agent has sent; `false` when it had sent nothing or has gone.
    fn serve_agent(&mut self) -> bool {
        let Some(agent) = &mut self.state.agent else {
            return false;
        };
        match agent.receive() {
            Ok(requests) => {
                let has_requests = !requests.is_empty();
                for (request, blob) in requests {
                    self.request(request, blob);
                }
                has_requests
            }
            Err(error) => {
                tracing::info!(%error, "agent has gone");
                self.state.agent = None;
                false
            }
        }
    }

    fn request(&mut self, request: Request, blob: Vec<u8>) {
        match request {
            Request::Put { id } => self.state.blobs.put(id, blob),
            Request::Launch(unit) => self.launch(unit),
            Request::Signal { key, signal, scope } => self.signal(key, signal, scope),
            Request::Terminate { key, kill_wait_ms, message } => {
                self.terminate(key, Duration::from_millis(kill_wait_ms), message);
            }
            Request::Suspend { key } => self.suspend(key, true),
            Request::Resume { key } => self.suspend(key, false),
            Request::Sample { keys } => {
                let units = self.sample(&keys);
                self.state.to_tell.push(Notice::Sampled { units });
            }
            Request::Acknowledge { keys } => keys.into_iter().for_each(|key| self.acknowledge(key)),
            Request::Retire { kill: false } => {
                self.state.retiring.get_or_insert(Retirement::WhenAcknowledged);
            }
            Request::Retire { kill: true } => {
                self.state.retiring = Some(Retirement::Kill);
                self.kill_all();
            }
        }
    }

    fn launch(&mut self, unit: Box<LaunchUnit>) {
        let key = unit.key;
        if let Some(notice) = self.present_state(key) {
            self.state.to_tell.extend(notice);
            return;
        }
        match self.admit(unit) {
            Ok(launch) => {
                let at = system::now();
                self.journal.begin(key, at);
                self.units.insert(key, Unit::new(&launch, at, &self.mark_suffix));
                self.launch_when_ready(launch);
            }
            Err(why) => self.state.to_tell.push(Notice::Refused { key, why }),
        }
    }

    /// The answer to a launch of a key that is known; `Some(None)` while it is being launched.
    fn present_state(&self, key: UnitKey) -> Option<Option<Notice>> {
        if let Some(unit) = self.units.get(&key) {
            let started = Notice::Started { key, at: unit.start_time, pids: unit.pids() };
            return Some((unit.phase != Phase::Launching).then_some(started));
        }
        if let Some(Known::Ended(end)) = self.journal.get(&key) {
            return Some(Some(Notice::Ended(end.clone())));
        }
        let is_forgotten = self.state.acknowledged_set.contains(&key);
        is_forgotten.then_some(Some(Notice::Refused { key, why: Refused::AlreadyEnded }))
    }

    fn admit(&mut self, unit: Box<LaunchUnit>) -> Result<Launch, Refused> {
        if self.state.retiring.is_some() {
            return Err(Refused::Retiring);
        }
        super::admission::check(&unit).map_err(Refused::Invalid)?;
        let mut blob = |id: &Option<_>| match id {
            None => Ok(None),
            Some(id) => self.state.blobs.get(id).map(Some).ok_or_else(|| Refused::UnknownBlob(id.clone())),
        };
        let (environment, script) = (blob(&unit.environment)?, blob(&unit.script)?);
        Ok(Launch { unit, environment, script, prolog_failed: false })
    }

    fn acknowledge(&mut self, key: UnitKey) {
        if self.journal.acknowledge(key) && self.state.acknowledged_set.insert(key) {
            self.state.acknowledged.push_back(key);
            if self.state.acknowledged.len() > ACKNOWLEDGED_MAX
                && let Some(oldest) = self.state.acknowledged.pop_front()
            {
                self.state.acknowledged_set.remove(&oldest);
            }
        }
    }

    fn kill_all(&mut self) {
        let keys: Vec<UnitKey> = self.units.keys().copied().collect();
        keys.into_iter().for_each(|key| self.terminate(key, Duration::ZERO, None));
    }

    /// Writes down, then launches and tells.
    fn end_turn(&mut self, now: Instant) {
        if let Err(error) = self.journal.flush() {
            tracing::error!(%error, "cannot write the journal");
            self.state.retry_journal_at = Some(now + JOURNAL_RETRY);
            self.refuse_launches(&error);
            // Ends must not be told yet; a new agent must wait, because its hello would tell them.
            let (held, told) = std::mem::take(&mut self.state.to_tell)
                .into_iter()
                .partition(|notice| matches!(notice, Notice::Ended(_)));
            self.state.to_tell = held;
            return self.tell(told);
        }
        self.state.retry_journal_at = None;
        for launch in self.state.to_launch.drain(..) {
            self.launcher.submit(Work::Launch(launch));
        }
        let mut notices = std::mem::take(&mut self.state.to_tell);
        if std::mem::take(&mut self.state.agent_is_new) {
            // All that was to be told is part of the hello, or was meant for the agent before.
            notices = vec![Notice::Hello(Box::new(self.hello()))];
        }
        self.tell(notices);
    }

    fn refuse_launches(&mut self, error: &io::Error) {
        for launch in std::mem::take(&mut self.state.to_launch) {
            let key = launch.unit.key;
            self.journal.forget(key);
            self.units.remove(&key);
            self.state.launching -= 1;
            let why = Refused::Journal(error.to_string());
            self.state.to_tell.push(Notice::Refused { key, why });
        }
    }

    fn tell(&mut self, notices: Vec<Notice>) {
        let Some(agent) = &mut self.state.agent else {
            return;
        };
        // An agent that has connected but got no hello yet must not see anything before it.
        if self.state.agent_is_new {
            return;
        }
        if let Err(error) = agent.send(&notices) {
            tracing::info!(%error, "agent has gone");
            self.state.agent = None;
        }
    }

    fn hello(&self) -> Hello {
        let mut running: Vec<_> = self.units.values().map(Unit::running).collect();
        running.sort_by_key(|unit| unit.key);
        let ends = self.journal.known().filter_map(|(_, known)| match known {
            Known::Ended(end) => Some((**end).clone()),
            Known::Begun(_) => None,
        });
        Hello {
            protocol: PROTOCOL_VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            tracking: self.cgroups.as_ref().map_or("none", |groups| groups.name()).to_owned(),
            running,
            ends: ends.collect(),
        }
    }

    fn is_idle(&self) -> bool {
        self.units.is_empty() && self.state.agent.is_none()
    }

    fn is_done(&self) -> bool {
        // Without its socket no agent can ever come: the spool directory was removed.
        if self.is_idle() && !self.spool.join(SOCKET_NAME).exists() {
            tracing::info!("the spool directory is gone");
            return true;
        }
        let nothing_runs = self.units.is_empty() && self.state.retry_journal_at.is_none();
        match self.state.retiring {
            None => false,
            Some(Retirement::Kill) => nothing_runs,
            Some(Retirement::WhenAcknowledged) => nothing_runs && self.journal.known().next().is_none(),
        }
    }
}
