//! The table of units and their way from launch to end.
//!
//! `Launching → Running → Cleaning → Draining → (gone)`. *Cleaning*: all tasks have ended, what they left behind is
//! being killed. *Releasing*, between two times of cleaning and only where a runtime has containers to remove: its programs are
//! run in place of the tasks. *Draining*: no process is left, the relay sends the rest. Only then the end is written down and told,
//! so that whoever hears of it can rely on output and processes.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use muster_model::measure::TaskMeasure;
use muster_model::state::{ExitStatus, Usage};
use muster_model::time::Timestamp;

use super::container::{Lease, Within};
use super::inbox::Mailbox;
use super::launcher::{Launch, Launched, StartedTask};
use super::meter::Meter;
use super::processes;
use super::relay::RelayCommand;
use super::task_hooks::TaskEpilog;
use crate::cgroup::UnitGroup;
use crate::measure::MeasureHow;
use crate::protocol::SignalScope;
use crate::system;
use crate::unit::{
    ClientLink, OUT_OF_MEMORY, Outcome, RunningUnit, TaskEnd, UnitEnd, UnitKey, Unkillable, UnkillableRule,
};

/// Slurm's exit status of a job that could not be set up on its node (`ExitCode=0:53`).
pub(crate) const SETUP_FAILED: ExitStatus = ExitStatus::signaled(53);

/// How long a unit's end waits for a message to be written to a file that may hang.
const WRITE_PATIENCE: Duration = Duration::from_secs(2);

/// How long a unit's end waits for its container to be removed by a daemon that may hang.
const RELEASE_PATIENCE: Duration = Duration::from_secs(30);

/// How long a unit's end waits for the counter of energy to be read by a driver that may hang.
const ENERGY_PATIENCE: Duration = Duration::from_secs(2);

/// How soon to look again at processes that have been killed but are still there; then less and less often.
const CLEAN_INTERVAL_MIN: Duration = Duration::from_millis(5);

/// How often to look at processes that hang in the kernel.
const CLEAN_INTERVAL_MAX: Duration = Duration::from_secs(1);

/// How long processes that got TERM with their script may outlive it.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How often to kill again what does not die.
const KILL_INTERVAL: Duration = Duration::from_secs(1);

/// Where a unit is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Launching,
    Running,
    Cleaning,
    Releasing,
    Draining,
}

/// One task of a unit.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) rank: u32,
    pub(crate) pid: i32,
    pub(crate) end: Option<TaskEnd>,
    /// What is to be run once it has ended.
    pub(crate) epilog: Option<Box<TaskEpilog>>,
}

impl Task {
    /// Process number of a task that never had a process.
    pub(crate) const NO_PROCESS: i32 = -1;
}

/// What was asked of a unit while it was being launched.
#[derive(Debug)]
pub(crate) enum Wish {
    Signal(u8, SignalScope),
    Terminate(Duration, Option<String>),
    Suspend(bool),
    Attach(ClientLink),
    Say(String),
}

/// One unit that has not ended.
#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) key: UnitKey,
    pub(crate) start_time: Timestamp,
    pub(crate) phase: Phase,
    phase_since: Instant,
    pub(crate) tasks: Vec<Task>,
    pub(crate) mark: String,
    pub(crate) group: Option<UnitGroup>,
    pub(crate) relay: Option<Arc<Mailbox<RelayCommand>>>,
    pub(crate) error_file: Option<Arc<OwnedFd>>,
    pub(crate) has_script: bool,
    /// It has a PMIx server, and that a directory.
    pub(crate) has_mpi_server: bool,
    pub(crate) problem: Option<(String, i32)>,
    /// The kernel killed a process of it for a limit of memory.
    out_of_memory: bool,
    /// It was killed because it had more memory than it may.
    pub(crate) over_memory: bool,
    pub(crate) wishes: Vec<Wish>,
    /// To be given back when nothing of it is left.
    pub(crate) container: Option<Box<Lease>>,
    /// When its end is told although its container is still there; set while that is given back.
    pub(crate) releasing_until: Option<Instant>,
    /// When its end is told although its energy was not read; set while that is done.
    pub(crate) reading_until: Option<Instant>,
    /// Gives up what is run to remove its containers.
    release_given_up: Arc<AtomicBool>,
    /// Gives up what takes long in its launch.
    pub(crate) cancelled: Arc<AtomicBool>,
    pub(crate) suspended: bool,
    /// When it is stopped if it has not stopped by itself.
    pub(crate) stop_at: Option<Instant>,
    pub(crate) terminated: bool,
    /// Its error stream has been told why it is ended.
    pub(crate) has_farewell: bool,
    /// How long it may run.
    time_limit: Option<Duration>,
    /// How often its tasks are looked at.
    measure_interval: Option<Duration>,
    measure_how: MeasureHow,
    /// What they used; there from their start.
    pub(crate) meter: Option<Arc<Meter>>,
    /// Tasks that have ended, but not what is run after them.
    epilogs_left: usize,
    /// As [`crate::unit::LaunchUnit::verbosity`].
    pub(crate) verbosity: u8,
    /// What is done when it outlives KILL.
    pub(crate) unkillable_rule: UnkillableRule,
    /// When it was first killed.
    killed_at: Option<Instant>,
    /// What outlived that for too long.
    pub(crate) unkillable: Option<Unkillable>,
    /// When to kill, once it was asked to end.
    pub(crate) kill_at: Option<Instant>,
    /// A message is being written; until then the end waits.
    pub(crate) writing_until: Option<Instant>,
    /// TERM follows the message.
    pub(crate) term_after_writing: bool,
}

impl Unit {
    /// A unit whose launch is about to be made.
    pub(crate) fn new(launch: &Launch, start_time: Timestamp, mark_suffix: &str) -> Unit {
        let key = launch.unit.key;
        Unit {
            key,
            start_time,
            phase: Phase::Launching,
            phase_since: Instant::now(),
            tasks: Vec::new(),
            mark: format!("{key}{mark_suffix}"),
            group: None,
            relay: None,
            error_file: None,
            has_script: launch.script.is_some(),
            has_mpi_server: launch.unit.pmix.is_some(),
            problem: None,
            out_of_memory: false,
            over_memory: false,
            wishes: Vec::new(),
            container: None,
            releasing_until: None,
            reading_until: None,
            release_given_up: Arc::default(),
            cancelled: Arc::clone(&launch.cancelled),
            suspended: false,
            stop_at: None,
            terminated: false,
            has_farewell: false,
            time_limit: launch.unit.time_limit_ms.map(Duration::from_millis),
            measure_interval: launch.unit.measure_ms.map(Duration::from_millis),
            measure_how: launch.unit.measure_how.as_deref().cloned().unwrap_or_default(),
            meter: None,
            epilogs_left: 0,
            verbosity: launch.unit.verbosity,
            unkillable_rule: launch.unit.unkillable.as_deref().cloned().unwrap_or_default(),
            killed_at: None,
            unkillable: None,
            kill_at: None,
            writing_until: None,
            term_after_writing: false,
        }
    }

    /// Takes over what the launcher has made.
    pub(crate) fn launched(&mut self, launched: Launched) {
        self.set_phase(Phase::Running);
        self.group = launched.group;
        self.relay = launched.relay;
        self.error_file = launched.error_file;
        self.problem = launched.problem;
        self.container = launched.container.or(launched.bundle.map(|lease| Box::new(Lease::Bundle(lease))));
        let task = |task: StartedTask| Task { rank: task.rank, pid: task.pid, end: None, epilog: task.epilog };
        self.tasks = launched.tasks.into_iter().map(task).collect();
        let tasks = self.tasks.iter().map(|task| (task.rank, task.pid)).collect();
        let how = std::mem::take(&mut self.measure_how);
        let meter = Meter::new(self.key, &self.mark, self.group.as_ref(), tasks, self.measure_interval, how);
        self.meter = Some(Arc::new(meter));
        self.kill_at = self.time_limit.and_then(|limit| Instant::now().checked_add(limit));
    }

    /// Moves on.
    pub(crate) fn set_phase(&mut self, phase: Phase) {
        self.phase = phase;
        self.phase_since = Instant::now();
    }

    /// Process numbers by rank.
    pub(crate) fn pids(&self) -> Vec<(u32, u32)> {
        self.tasks.iter().map(|task| (task.rank, task.pid as u32)).collect()
    }

    /// Tasks that have not ended.
    pub(crate) fn living_tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.iter().filter(|task| task.end.is_none())
    }

    /// For [`crate::protocol::Hello`].
    pub(crate) fn running(&self) -> RunningUnit {
        RunningUnit {
            key: self.key,
            start_time: self.start_time,
            pids: self.pids(),
            suspended: self.suspended,
            terminating: self.terminated,
        }
    }

    /// Looks whether the kernel has killed a process for a limit of memory; gives the line that says so, once.
    pub(crate) fn look_for_oom(&mut self) -> Option<Vec<u8>> {
        let kills = self.group.as_ref().map_or(0, UnitGroup::oom_kills);
        if self.out_of_memory || kills == 0 {
            return None;
        }
        self.out_of_memory = true;
        let UnitKey { job_id, step, .. } = self.key;
        let line = format!(
            "slurmstepd: error: Detected {kills} oom-kill event(s) in StepId={job_id}.{step}. Some of your processes may have \
             been killed by the cgroup out-of-memory handler.\n"
        );
        Some(line.into_bytes())
    }

    /// As Slurm has it: what ends once the kernel has killed a process of the step ends for lack of memory.
    fn exit_of_task(&self, exit: ExitStatus) -> ExitStatus {
        if self.out_of_memory { OUT_OF_MEMORY } else { exit }
    }

    /// Notes the end of a task; gives what is to be run after it.
    pub(crate) fn task_ended(&mut self, index: usize, told: Told) -> Option<Box<TaskEpilog>> {
        let exit = self.exit_of_task(told.exit);
        let task = self.tasks.get_mut(index)?;
        let measure = self.meter.as_ref().map_or(told.measure, |meter| meter.finish(index, &told.measure));
        task.end = Some(TaskEnd { rank: task.rank, exit, usage: told.usage, measure });
        self.epilogs_left += 1;
        task.epilog.take()
    }

    /// Nothing of a task that has ended is to be waited for any more; `true` when it was the last.
    pub(crate) fn task_is_over(&mut self, index: usize) -> bool {
        self.epilogs_left = self.epilogs_left.saturating_sub(1);
        if let Some(end) = self.tasks.get(index).and_then(|task| task.end.as_ref()) {
            self.tell_relay(RelayCommand::TaskEnded(end.rank, end.exit));
        }
        self.epilogs_left == 0 && self.living_tasks().next().is_none()
    }

    /// All processes of the unit that live now.
    pub(crate) fn living(&self) -> Vec<i32> {
        match &self.group {
            Some(group) => group.pids(),
            None => {
                let tasks = self.tasks.iter().map(|task| task.pid).collect();
                processes::of_unit(&processes::all(), &tasks, &self.mark)
            }
        }
    }

    /// Kills everything that lives. To be repeated until nothing does.
    pub(crate) fn kill(&mut self) {
        self.killed_at.get_or_insert_with(Instant::now);
        match &self.group {
            Some(group) => group.kill(),
            None => self.living().into_iter().for_each(|pid| system::kill(pid, libc::SIGKILL)),
        }
    }

    /// Looks whether anything is left behind by tasks that have all ended, and kills it. `orphans` are the
    /// supervisor's children that are no tasks.
    pub(crate) fn is_clean(&mut self, orphans: &mut Orphans) -> bool {
        let is_empty = match &self.group {
            Some(group) => group.pids().is_empty(),
            None => !orphans.any_of(self),
        };
        if !is_empty && !self.has_last_words() {
            self.kill();
        }
        is_empty || self.unkillable.is_some()
    }

    /// What was asked to end along with its tasks may say how that went: an `srun` in a cancelled script.
    fn has_last_words(&self) -> bool {
        let is_overdue = self.kill_at.is_none_or(|at| at <= Instant::now());
        self.terminated && !is_overdue && self.phase_since.elapsed() < LAST_WORDS
    }

    /// Whether nothing holds the end back any more.
    pub(crate) fn is_written(&self, now: Instant) -> bool {
        self.writing_until.is_none_or(|until| now >= until)
    }

    /// Whether neither its container nor its energy hold the end back (any more).
    pub(crate) fn is_released(&self) -> bool {
        self.releasing_until.is_none() && self.reading_until.is_none()
    }

    /// Forgets what its end has waited for long enough, so that nobody is woken for it again.
    pub(crate) fn give_up_waiting(&mut self, now: Instant) {
        for until in [&mut self.releasing_until, &mut self.reading_until] {
            *until = until.filter(|until| *until > now);
        }
    }

    /// What is to be read for its end, which waits for that for a while.
    pub(crate) fn reads_energy(&mut self, now: Instant) -> Option<Arc<Meter>> {
        let meter = self.meter.as_ref().filter(|meter| meter.has_energy())?;
        self.reading_until = Some(now + ENERGY_PATIENCE);
        Some(Arc::clone(meter))
    }

    /// Its container is being given back apart from it.
    pub(crate) fn releases(&mut self, now: Instant) {
        self.releasing_until = Some(now + RELEASE_PATIENCE);
    }

    /// Its containers are being removed among its processes; gives where that is.
    pub(crate) fn releases_within(&mut self, until: Instant) -> Within {
        self.set_phase(Phase::Releasing);
        self.releasing_until = Some(until);
        // In a group that was stopped nothing could be started.
        self.group.iter().for_each(|group| drop(group.freeze(false)));
        let groups = self.group.as_ref().map(UnitGroup::join_files).unwrap_or_default();
        Within { groups, mark: self.mark.clone(), given_up: Arc::clone(&self.release_given_up) }
    }

    /// Its containers are removed, or that took too long: what is left of it is killed.
    pub(crate) fn has_released(&mut self) {
        self.release_given_up.store(true, Ordering::SeqCst);
        self.releasing_until = None;
        self.set_phase(Phase::Cleaning);
    }

    /// Whether its tasks are over, and signals are for none of its processes.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Releasing | Phase::Draining)
    }

    /// A message is on its way to the error file.
    pub(crate) fn writes(&mut self, now: Instant) {
        self.writing_until = Some(now + WRITE_PATIENCE);
    }

    /// Tells the relay, if there is one.
    pub(crate) fn tell_relay(&self, command: RelayCommand) {
        if let Some(relay) = &self.relay {
            relay.send(command);
        }
    }

    /// When this unit next needs attention without being called.
    pub(crate) fn wake_at(&self, now: Instant) -> Option<Instant> {
        let pause = now.saturating_duration_since(self.phase_since) / 4;
        let cleaning =
            (self.phase == Phase::Cleaning).then(|| now + pause.clamp(CLEAN_INTERVAL_MIN, CLEAN_INTERVAL_MAX));
        // A kill waits for the message.
        let kill_at = self.kill_at.map(|at| self.writing_until.map_or(at, |until| until.max(at)));
        let ends = [self.writing_until, self.releasing_until, self.reading_until, self.give_up_at()];
        [kill_at, self.stop_at, cleaning].into_iter().chain(ends).flatten().min()
    }

    /// Nothing of it outlived the last kill.
    pub(crate) fn forget_kill(&mut self) {
        self.killed_at = None;
    }

    /// When it is given up, unless nothing of it is left by then.
    pub(crate) fn give_up_at(&self) -> Option<Instant> {
        let may_be_given_up = self.unkillable.is_none() && matches!(self.phase, Phase::Running | Phase::Cleaning);
        let patience = Duration::from_millis(self.unkillable_rule.after_ms);
        self.killed_at.filter(|_| may_be_given_up).and_then(|at| at.checked_add(patience))
    }

    /// Sets the time of the next kill.
    pub(crate) fn kill_again(&mut self, now: Instant) {
        self.kill_at = Some(now + KILL_INTERVAL);
    }

    /// How it ended.
    pub(crate) fn end(&self, end_time: Timestamp) -> UnitEnd {
        let mut tasks: Vec<TaskEnd> = self.tasks.iter().filter_map(|task| task.end.clone()).collect();
        tasks.sort_by_key(|task| task.rank);
        if let (Some(first), Some(meter)) = (tasks.first_mut(), &self.meter) {
            first.measure.energy_mj = meter.energy_mj();
        }
        let mut usage = Usage::default();
        tasks.iter().for_each(|task| usage.add(task.usage));
        let worst = tasks.iter().map(|task| task.exit).reduce(ExitStatus::worse);
        let (outcome, exit) = match &self.problem {
            Some((message, errno)) => (Outcome::NotStarted { message: message.clone(), errno: *errno }, SETUP_FAILED),
            None if self.out_of_memory => (Outcome::Ran, OUT_OF_MEMORY),
            None => (Outcome::Ran, worst.unwrap_or_default()),
        };
        UnitEnd {
            key: self.key,
            outcome,
            exit,
            tasks,
            usage,
            start_time: self.start_time,
            end_time,
            out_of_memory: self.out_of_memory,
            terminated: self.terminated,
            over_memory: self.over_memory,
            unkillable: self.unkillable,
        }
    }
}

/// To which units the supervisor's orphans belong, looked up once for each orphan.
#[derive(Debug, Default)]
pub(crate) struct Orphans {
    known: HashMap<i32, (i32, Option<String>)>,
}

impl Orphans {
    /// Whether any orphan belongs to `unit`.
    fn any_of(&mut self, unit: &Unit) -> bool {
        let present = processes::orphans();
        if present.is_empty() {
            self.known.clear();
            return false;
        }
        self.known.retain(|pid, _| present.contains(pid));
        present.iter().any(|pid| {
            let Some(stat) = processes::stat(*pid).filter(|stat| !stat.is_zombie) else {
                return false;
            };
            let (session, mark) = self.known.entry(*pid).or_insert_with(|| (stat.session, processes::mark(*pid)));
            unit.tasks.iter().any(|task| task.pid == *session) || mark.as_deref() == Some(unit.mark.as_str())
        })
    }
}

/// What the kernel tells with the end of a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    pub(crate) exit: ExitStatus,
    pub(crate) usage: Usage,
    pub(crate) measure: TaskMeasure,
}

/// Turns what `wait4` gives into our words.
pub(crate) fn told_by(status: i32, usage: &libc::rusage) -> Told {
    let exit = if libc::WIFSIGNALED(status) {
        ExitStatus::signaled(libc::WTERMSIG(status) as u8)
    } else {
        ExitStatus::exited(libc::WEXITSTATUS(status) as u8)
    };
    let microseconds = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
    let told = Usage {
        user_cpu_us: microseconds(usage.ru_utime),
        system_cpu_us: microseconds(usage.ru_stime),
        rss_kb_max: usage.ru_maxrss.max(0) as u64,
    };
    let measure = TaskMeasure {
        cpu_us: Some(told.user_cpu_us.saturating_add(told.system_cpu_us)),
        rss_kb: (told.rss_kb_max > 0).then_some((told.rss_kb_max, told.rss_kb_max)),
        pages: Some(usage.ru_majflt.max(0) as u64),
        ..TaskMeasure::default()
    };
    Told { exit, usage: told, measure }
}
