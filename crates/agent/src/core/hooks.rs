//! The site's prolog and epilog of a start of a job on this node.
//!
//! Both are units of their own, so that they survive the agent like everything else. The prolog is started with the first
//! unit of the job; what waits for it waits in the supervisor. Its end is kept until the job is clean: it says that it need not
//! be run again. The epilog is started when the controller has the job cleaned and nothing of it is left, the prolog included,
//! and its end is told with the word that the job is clean, until that is acknowledged.

use muster_model::ids::{JobId, RestartCount, StepId};
use muster_runtime::unit::UnitKey;

use super::event::Action;
use super::machine::{Machine, Unit};

impl<L: Clone, E: Clone> Machine<L, E> {
    /// Has the prolog started, unless it was before. `first` is what is launched by the order for `key`.
    pub(super) fn start_prolog(&mut self, key: UnitKey, first: &L, out: &mut Vec<Action<L, E>>) {
        let prolog = UnitKey { step: StepId::Prolog, ..key };
        if !self.units.contains_key(&prolog) {
            self.start_hook(prolog, first.clone(), out);
        }
    }

    fn start_hook(&mut self, key: UnitKey, launch: L, out: &mut Vec<Action<L, E>>) {
        out.push(Action::Start(key, launch.clone()));
        self.units.insert(key, Unit::Starting { ends_job: false, launch, stands: false });
    }

    /// Notes that a start of a job is to be cleaned; `false` when it has been, with all that belongs to it.
    pub(super) fn begins_cleaning(
        &mut self,
        job_id: JobId,
        restart: RestartCount,
        epilog: Option<L>,
        out: &mut Vec<Action<L, E>>,
    ) -> bool {
        let start = (job_id, restart);
        let key = UnitKey { job_id, restart, step: StepId::Epilog };
        let was_begun = self.cleaning.contains_key(&start) || self.units.contains_key(&key);
        if !was_begun && self.tombstones.cover(&key) && self.live(job_id, restart).next().is_none() {
            out.push(Action::ReportClean { job_id, restart, epilog: None });
            return false;
        }
        self.tombstones.add(job_id, restart, None);
        self.cleaning.entry(start).or_insert(epilog);
        true
    }

    /// Goes on with the cleaning of a start of a job as far as it can.
    pub(super) fn finish(&mut self, job_id: JobId, restart: RestartCount, out: &mut Vec<Action<L, E>>) {
        let Some(epilog) = self.cleaning.get(&(job_id, restart)) else {
            return;
        };
        if self.live(job_id, restart).next().is_some() || self.runs_hook(job_id, restart) {
            return;
        }
        let key = UnitKey { job_id, restart, step: StepId::Epilog };
        let end = match (self.units.get(&key), epilog.clone()) {
            (Some(Unit::Ended { end, .. }), _) => Some(end.clone()),
            (_, Some(launch)) => return self.start_hook(key, launch, out),
            (_, None) => None,
        };
        self.cleaning.remove(&(job_id, restart));
        if end.is_none() {
            self.forget_prolog(job_id, restart, out);
        }
        out.push(Action::ReportClean { job_id, restart, epilog: end });
    }

    /// Whether a prolog or epilog of that start of the job has not ended.
    pub(super) fn runs_hook(&self, job_id: JobId, restart: RestartCount) -> bool {
        let runs = |step| self.is_live(&UnitKey { job_id, restart, step });
        runs(StepId::Prolog) || runs(StepId::Epilog)
    }

    /// A prolog or epilog has ended. The controller does not hear of it by itself.
    pub(super) fn hook_ended(&mut self, key: UnitKey, end: E, out: &mut Vec<Action<L, E>>) {
        if self.units.get(&key).is_none_or(Unit::is_live) {
            self.units.insert(key, Unit::Ended { end, job_is_clean: false });
            self.finish(key.job_id, key.restart, out);
        }
    }

    /// The job is clean: whether its prolog was run is of no interest any more.
    pub(super) fn forget_prolog(&mut self, job_id: JobId, restart: RestartCount, out: &mut Vec<Action<L, E>>) {
        let key = UnitKey { job_id, restart, step: StepId::Prolog };
        if self.units.get(&key).is_some_and(|unit| !unit.is_live()) {
            self.units.remove(&key);
            out.push(Action::Forget(key));
        }
    }
}
