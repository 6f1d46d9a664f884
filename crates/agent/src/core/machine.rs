//! The table of units and what each event does to it.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::ids::{JobId, RestartCount, StepId};
use muster_runtime::unit::UnitKey;

use super::event::{Action, Event, Reach, Scope};
use super::tombstones::Tombstones;

/// What an agent knows of the units of its node.
#[derive(Debug, Clone)]
pub struct Machine<L, E> {
    /// Among them the hooks of the site, see [`super::hooks`].
    pub(super) units: BTreeMap<UnitKey, Unit<L, E>>,
    /// Starts of jobs that are to be reported clean when their last unit has ended, each with the epilog that is to be run
    /// before.
    pub(super) cleaning: BTreeMap<(JobId, RestartCount), Option<L>>,
    pub(super) tombstones: Tombstones,
    launch_sequence: u64,
}

#[derive(Debug, Clone)]
pub(super) enum Unit<L, E> {
    /// Handed over to be started; nobody has confirmed it yet. What is to stand meanwhile is stopped as soon as it is there.
    Starting { ends_job: bool, launch: L, stands: bool },
    /// Its processes are there.
    Running { ends_job: bool },
    /// Ended; the controller has not acknowledged it.
    Ended { end: E, job_is_clean: bool },
}

impl<L, E> Unit<L, E> {
    pub(super) fn is_live(&self) -> bool {
        !matches!(self, Unit::Ended { .. })
    }
}

impl<L: Clone, E: Clone> Machine<L, E> {
    /// An empty table. `launch_sequence` is what the agent had made durable before, 0 for a new one.
    pub fn new(launch_sequence: u64) -> Self {
        Machine {
            units: BTreeMap::new(),
            cleaning: BTreeMap::new(),
            tombstones: Tombstones::default(),
            launch_sequence,
        }
    }

    /// Greatest number of a launch that was ever taken in.
    pub fn launch_sequence(&self) -> u64 {
        self.launch_sequence
    }

    /// No launch with a greater number was ever given to a supervisor: an agent before this one died with them in its hands, so they may
    /// be sent again. To be said before any launch is taken in.
    pub fn none_launched_after(&mut self, sequence: u64) {
        self.launch_sequence = self.launch_sequence.min(sequence);
    }

    /// Units that run, or have ended and were not acknowledged: what a hello tells.
    pub fn known(&self) -> impl Iterator<Item = UnitKey> + '_ {
        self.units.keys().copied()
    }

    /// Whether the unit is there and has not ended.
    pub fn is_live(&self, key: &UnitKey) -> bool {
        self.units.get(key).is_some_and(Unit::is_live)
    }

    /// Takes in one event and adds what is to be done to `out`.
    pub fn step(&mut self, event: Event<L, E>, out: &mut Vec<Action<L, E>>) {
        match event {
            Event::Connected => self.report_all_ends(out),
            Event::Launch { sequence, key, ends_job, stands, has_prolog, launch } => {
                self.launch(sequence, key, has_prolog, Unit::Starting { ends_job, launch, stands }, out);
            }
            Event::Signal { job_id, restart, step, signal, scope } => {
                let wanted = signalled(step, scope);
                let keys = self.live(job_id, restart).filter_map(|key| wanted(key.step).map(|reach| (key, reach)));
                out.extend(keys.map(|(key, reach)| Action::Signal { key, signal, reach }));
            }
            Event::Clean { job_id, restart, step: None, kill_wait_ms, message, epilog } => {
                if self.begins_cleaning(job_id, restart, epilog, out) {
                    self.clean_job(job_id, restart, kill_wait_ms, message.as_ref(), out);
                }
            }
            Event::Clean { job_id, restart, step: Some(step), kill_wait_ms, message, .. } => {
                self.clean_step(UnitKey { job_id, restart, step }, kill_wait_ms, message, out);
            }
            Event::Pause { job_id, restart, resume } => self.pause(job_id, restart, resume, out),
            Event::Say { job_id, restart, line } => {
                let key = UnitKey { job_id, restart, step: StepId::Batch };
                out.extend(self.is_live(&key).then_some(Action::Say { key, line }));
            }
            Event::Acknowledge(key) => self.acknowledge(key, out),
            Event::Supervisor { running, ends, lost } => self.compare(running, ends, &lost, out),
            Event::Started(key) => self.started(key, out),
            Event::Ended(key, end) => self.ended(key, end, out),
        }
    }

    fn report_all_ends(&self, out: &mut Vec<Action<L, E>>) {
        out.extend(self.units.iter().filter_map(|(key, unit)| report(*key, unit)));
    }

    /// A known key is a copy; an unknown one at or below the watermark is a late copy of something long over.
    fn launch(&mut self, sequence: u64, key: UnitKey, has_prolog: bool, unit: Unit<L, E>, out: &mut Vec<Action<L, E>>) {
        let is_late = sequence <= self.launch_sequence;
        self.launch_sequence = self.launch_sequence.max(sequence);
        if is_late || self.units.contains_key(&key) || self.tombstones.cover(&key) {
            return;
        }
        if let Unit::Starting { launch, stands, .. } = &unit {
            if has_prolog {
                self.start_prolog(key, launch, out);
            }
            out.push(Action::Start(key, launch.clone()));
            out.extend(stands.then_some(Action::Pause { key, resume: false }));
        }
        self.units.insert(key, unit);
    }

    fn clean_job(
        &mut self,
        job_id: JobId,
        restart: RestartCount,
        kill_wait_ms: u64,
        message: Option<&String>,
        out: &mut Vec<Action<L, E>>,
    ) {
        let terminate = |key| Action::Terminate { key, kill_wait_ms, message: message.cloned() };
        out.extend(self.live(job_id, restart).map(terminate));
        self.finish(job_id, restart, out);
    }

    fn clean_step(&mut self, key: UnitKey, kill_wait_ms: u64, message: Option<String>, out: &mut Vec<Action<L, E>>) {
        self.tombstones.add(key.job_id, key.restart, Some(key.step));
        match self.units.get(&key) {
            Some(unit) if unit.is_live() => out.push(Action::Terminate { key, kill_wait_ms, message }),
            Some(unit) => out.extend(report(key, unit)),
            // The controller waits for an end that nobody else will tell.
            None => out.push(Action::Unknown(key)),
        }
    }

    fn acknowledge(&mut self, key: UnitKey, out: &mut Vec<Action<L, E>>) {
        // An acknowledgement of something that still runs is about nothing we said.
        if self.units.get(&key).is_some_and(|unit| !unit.is_live()) {
            self.units.remove(&key);
            self.tombstones.add(key.job_id, key.restart, Some(key.step));
            out.push(Action::Forget(key));
            if key.step.is_hook() {
                self.forget_prolog(key.job_id, key.restart, out);
            }
        }
    }

    /// Brings the table in line with what the supervisor has, which is the truth about processes.
    fn compare(
        &mut self,
        running: Vec<UnitKey>,
        ends: Vec<(UnitKey, E)>,
        lost: &[UnitKey],
        out: &mut Vec<Action<L, E>>,
    ) {
        let mut found: BTreeSet<UnitKey> = running.iter().copied().collect();
        found.extend(ends.iter().map(|(key, _)| *key));
        let mut gone = BTreeSet::new();
        for (key, unit) in self.units.iter().filter(|(key, _)| !found.contains(*key)) {
            match unit {
                // Kept by us alone: it never came to run.
                Unit::Ended { .. } => {}
                Unit::Starting { launch, .. } if !lost.contains(key) => out.push(Action::Start(*key, launch.clone())),
                Unit::Starting { .. } | Unit::Running { .. } => drop(gone.insert(*key)),
            }
        }
        for key in running {
            self.started(key, out);
            self.units.entry(key).or_insert(Unit::Running { ends_job: false });
        }
        for (key, end) in ends {
            self.ended(key, end, out);
        }
        self.remove(gone, out);
    }

    /// Takes units out of which nobody knows how they ended.
    fn remove(&mut self, gone: BTreeSet<UnitKey>, out: &mut Vec<Action<L, E>>) {
        if gone.is_empty() {
            return;
        }
        self.units.retain(|key, _| !gone.contains(key));
        out.push(Action::Reconnect);
        for UnitKey { job_id, restart, .. } in gone {
            self.finish(job_id, restart, out);
        }
    }

    fn started(&mut self, key: UnitKey, out: &mut Vec<Action<L, E>>) {
        if let Some(unit) = self.units.get_mut(&key)
            && let Unit::Starting { ends_job, stands, .. } = *unit
        {
            *unit = Unit::Running { ends_job };
            // The supervisor may not have known it when it was told so.
            out.extend(stands.then_some(Action::Pause { key, resume: false }));
        }
    }

    fn pause(&mut self, job_id: JobId, restart: RestartCount, resume: bool, out: &mut Vec<Action<L, E>>) {
        let keys: Vec<UnitKey> = self.live(job_id, restart).collect();
        for key in keys {
            if let Some(Unit::Starting { stands, .. }) = self.units.get_mut(&key) {
                *stands = !resume;
            }
            out.push(Action::Pause { key, resume });
        }
    }

    fn ended(&mut self, key: UnitKey, end: E, out: &mut Vec<Action<L, E>>) {
        if key.step.is_hook() {
            return self.hook_ended(key, end, out);
        }
        let ends_job = match self.units.get(&key) {
            // Told before, and reported then.
            Some(Unit::Ended { .. }) => return,
            Some(Unit::Starting { ends_job, .. } | Unit::Running { ends_job }) => *ends_job,
            None => false,
        };
        let (job_id, restart) = (key.job_id, key.restart);
        let is_last = !self.live(job_id, restart).any(|other| other != key);
        let may_say_clean = ends_job || self.cleaning.get(&(job_id, restart)).is_some_and(Option::is_none);
        let job_is_clean = is_last && may_say_clean && !self.runs_hook(job_id, restart);
        if job_is_clean {
            self.tombstones.add(job_id, restart, None);
            self.forget_prolog(job_id, restart, out);
        }
        self.units.insert(key, Unit::Ended { end: end.clone(), job_is_clean });
        out.push(Action::ReportEnd { key, end, job_is_clean });
        self.finish(job_id, restart, out);
    }

    /// Units of one start of a job that have not ended, without the site's hooks.
    pub(super) fn live(&self, job_id: JobId, restart: RestartCount) -> impl Iterator<Item = UnitKey> + '_ {
        let first = UnitKey { job_id, restart, step: StepId::Number(0) };
        let last = UnitKey { job_id, restart, step: StepId::Extern };
        self.units.range(first..=last).filter(|(_, unit)| unit.is_live()).map(|(key, _)| *key)
    }
}

fn report<L, E: Clone>(key: UnitKey, unit: &Unit<L, E>) -> Option<Action<L, E>> {
    match unit {
        Unit::Ended { end, job_is_clean } if !key.step.is_hook() => {
            Some(Action::ReportEnd { key, end: end.clone(), job_is_clean: *job_is_clean })
        }
        _ => None,
    }
}

/// Whether and how far a signal reaches a step.
fn signalled(only: Option<StepId>, scope: Scope) -> impl Fn(StepId) -> Option<Reach> {
    move |step| match (only, scope) {
        (Some(only), _) if only != step => None,
        (Some(_), Scope::Batch) => Some(Reach::Tasks),
        (Some(_), _) => Some(Reach::All),
        (None, Scope::All) => Some(Reach::All),
        (None, Scope::Steps) => (step != StepId::Batch).then_some(Reach::All),
        (None, Scope::Batch) => (step == StepId::Batch).then_some(Reach::Tasks),
    }
}
