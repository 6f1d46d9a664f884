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

use super::agent_link::AgentLink;
use super::blobs::Blobs;
use super::container::{Lease, Within};
use super::control::client_deadline;
use super::inbox::{Inbox, Message};
use super::journal::{Journal, Known};
use super::launcher::{Launch, Launched, Launcher, Work};
use super::relay::RelayCommand;
use super::sampler::Sampler;
use super::signals;
use super::spaces::Spaces;
use super::sweeps::Sweeps;
use super::units::{Orphans, Phase, Told, Unit, told_by};
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

/// How long to wait before containers are removed again whose daemon was away.
const CONTAINERS_RETRY: Duration = Duration::from_secs(2);

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
    pub(crate) sampler: Sampler,
    pub(crate) reaps: Arc<AtomicU64>,
    pub(crate) cgroups: Result<Arc<Cgroups>, String>,
    pub(crate) spaces: Arc<Spaces>,
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
    early_ends: HashMap<i32, (u64, Told)>,
    pub(crate) launching: usize,
    pub(crate) to_launch: Vec<Launch>,
    pub(crate) waiting: Waiting,
    to_tell: Vec<Notice>,
    /// The greatest number of a launch that was taken in.
    launched: Option<u64>,
    acknowledged: VecDeque<UnitKey>,
    acknowledged_set: HashSet<UnitKey>,
    groups_to_remove: Vec<UnitGroup>,
    /// Containers that could not be given back.
    leases_left: Vec<Lease>,
    /// When they are tried again.
    containers_at: Option<Instant>,
    sweeps: Sweeps,
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
            self.stop_overdue(now);
            self.kill_overdue(now);
            self.give_up_unkillable(now);
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
        let ticks = [
            needs_tick.then(|| now + TICK),
            self.is_idle().then(|| now + IDLE_TICK),
            state.retry_journal_at,
            state.containers_at,
            state.sweeps.next_at(),
        ];
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
            self.look_at_next_end();
            let mut status = 0;
            // SAFETY: all-zero is a valid value of this plain C structure.
            let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
            // SAFETY: both results are written into our own variables.
            let pid = unsafe { libc::wait4(-1, &mut status, libc::WNOHANG | libc::__WALL, &mut usage) };
            if pid <= 0 {
                return;
            }
            let count = self.reaps.fetch_add(1, Ordering::SeqCst) + 1;
            let told = told_by(status, &usage);
            match self.state.tasks.remove(&pid) {
                Some((key, index)) => self.task_ended(key, index, told),
                None if self.state.launching > 0 => {
                    self.state.early_ends.insert(pid, (count, told));
                }
                // An orphan that nobody asks about.
                None => {}
            }
        }
    }

    /// Looks at what the next ended task used while the kernel still knows: it forgets it when the task is waited for.
    fn look_at_next_end(&self) {
        if self.state.tasks.is_empty() {
            return;
        }
        // SAFETY: all-zero is a valid value of this plain C structure.
        let mut ended: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
        // SAFETY: the result is written into our own variable; the kernel fills in the number of the process, or zero.
        let pid = unsafe {
            if libc::waitid(libc::P_ALL, 0, &mut ended, flags) < 0 {
                return;
            }
            ended.si_pid()
        };
        let task = self.state.tasks.get(&pid);
        let meter = task.and_then(|(key, index)| Some((self.units.get(key)?.meter.as_ref()?, *index)));
        if let Some((meter, index)) = meter {
            meter.see_ended(index);
        }
    }

    fn task_ended(&mut self, key: UnitKey, index: usize, told: Told) {
        self.tell_oom(key);
        let Some(unit) = self.units.get_mut(&key) else {
            return;
        };
        match unit.task_ended(index, told) {
            Some(epilog) => self.launcher.submit(Work::TaskEpilog { key, index, epilog }),
            None => self.task_is_over(key, index),
        }
    }

    /// A task has ended, and what is run after it too.
    fn task_is_over(&mut self, key: UnitKey, index: usize) {
        self.tell_end_of_task(key, index);
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
            Message::OverMemory { key, used, limit } => {
                let UnitKey { job_id, step, .. } = key;
                let text = format!(
                    "slurmstepd: error: StepId={job_id}.{step} exceeded memory limit ({used} > {limit}), being killed\n\
                     slurmstepd: error: Exceeded job memory limit"
                );
                self.units.get_mut(&key).into_iter().for_each(|unit| unit.over_memory = true);
                self.terminate(key, Duration::ZERO, Some(text));
            }
            Message::Looked { number, units } => self.state.to_tell.push(Notice::Sampled { number, units }),
            Message::EnergyRead { key } => {
                if let Some(unit) = self.units.get_mut(&key) {
                    unit.reading_until = None;
                }
                self.advance(key);
            }
            Message::RelayDone { key } => {
                if let Some(unit) = self.units.get_mut(&key) {
                    unit.relay = None;
                }
                self.advance(key);
            }
            Message::Released { key, left } => {
                self.state.leases_left.extend(left.map(|lease| *lease));
                if let Some(unit) = key.and_then(|key| self.units.get_mut(&key)) {
                    unit.releasing_until = None;
                }
                key.into_iter().for_each(|key| self.advance(key));
            }
            Message::Swept { is_done } => self.state.sweeps.ended(is_done, Instant::now()),
            Message::ContainerMayCome => self.state.sweeps.expect_one(Instant::now()),
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
        unit.meter.iter().for_each(|meter| self.sampler.watch(meter));
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
        self.tell_start(key);
        for (index, (pid, reaps_before)) in started.into_iter().enumerate() {
            match self.state.early_ends.remove(&pid) {
                // Not the end of another process that had this number before.
                Some((count, told)) if count > reaps_before => self.task_ended(key, index, told),
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
        unit.give_up_waiting(now);
        if unit.phase == Phase::Releasing && unit.is_released() {
            unit.has_released();
        }
        if unit.phase == Phase::Cleaning && unit.is_clean(&mut self.state.orphans) {
            if let Some(patience) = unit.container.as_ref().and_then(|lease| lease.patience_within())
                && let Some(lease) = unit.container.take()
            {
                let within = unit.releases_within(now + patience);
                return self.launcher.submit(Work::Release { key: Some(key), lease, within });
            }
            self.tell_oom(key);
            let Some(unit) = self.units.get_mut(&key) else {
                return;
            };
            unit.set_phase(Phase::Draining);
            unit.kill_at = unit.kill_at.map(|_| client_deadline(now));
            unit.tell_relay(RelayCommand::Finish);
            if let Some(group) = unit.group.take()
                && group.remove().is_err()
            {
                self.state.groups_to_remove.push(group);
            }
            if let Some(meter) = unit.reads_energy(now) {
                self.sampler.end(meter);
            }
            if let Some(lease) = unit.container.take() {
                unit.releases(now);
                self.launcher.submit(Work::Release { key: Some(key), lease, within: Within::default() });
            }
        }
        let Some(unit) = self.units.get_mut(&key) else {
            return;
        };
        let is_drained = unit.relay.is_none() && unit.is_written(now) && unit.is_released();
        if unit.phase == Phase::Draining && is_drained {
            let end = unit.end(system::now());
            if unit.has_script {
                super::files::remove_script(&self.spool, key);
            }
            if unit.has_mpi_server {
                super::mpi_server::remove_directory(&self.spool, key);
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
            .filter(|unit| matches!(unit.phase, Phase::Cleaning | Phase::Releasing | Phase::Draining))
            .map(|unit| unit.key)
            .collect();
        waiting.into_iter().for_each(|key| self.advance(key));
        self.state.groups_to_remove.retain(|group| group.remove().is_err());
        self.settle_containers();
        self.launcher.relieve();
    }

    /// Tries again, now and then, to remove containers while their daemon is away.
    fn settle_containers(&mut self) {
        let now = Instant::now();
        if self.state.sweeps.take_due(now) {
            self.launcher.submit(Work::SweepContainers);
        }
        if self.state.leases_left.is_empty() {
            return;
        }
        if now < *self.state.containers_at.get_or_insert(now + CONTAINERS_RETRY) {
            return;
        }
        self.state.containers_at = None;
        for lease in self.state.leases_left.drain(..) {
            let within = Within::default();
            self.launcher.submit(Work::Release { key: None, lease: Box::new(lease), within });
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
            Request::Say { key, line } => self.say_to(key, line),
            Request::Sample { number, keys } => self.sample(number, &keys),
            Request::Attach { key, client } => self.attach(key, client),
            Request::Acknowledge { keys } => keys.into_iter().for_each(|key| self.acknowledge(key)),
            Request::OpenSpace { job_id, restart, user, space } => {
                let user = Box::new(user);
                self.launcher.submit(Work::OpenSpace { key: (job_id, restart), wanted: space, user });
            }
            Request::CloseSpace { job_id, restart } => self.launcher.submit(Work::CloseSpace((job_id, restart))),
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
                let sequence = Some(launch.unit.sequence).filter(|sequence| *sequence > 0);
                self.state.launched = self.state.launched.max(sequence);
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
        Ok(Launch { unit, environment, script, prolog_failed: false, cancelled: Arc::default() })
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

    /// Writes down, then launches and tells. What cannot be written down is not launched.
    fn end_turn(&mut self, now: Instant) {
        if let Err(error) = self.journal.flush() {
            tracing::error!(%error, "cannot write the journal");
            self.state.retry_journal_at = Some(now + JOURNAL_RETRY);
            // Ends are told all the same: the disk may stay full for days, and what the controller has written of an end holds.
            self.refuse_launches(&error);
        } else {
            self.state.retry_journal_at = None;
        }
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
            spaces: Some(self.spaces.keys()),
            says: true,
            launched: self.state.launched,
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
