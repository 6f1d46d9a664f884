//! Calls of clients, by what they are for. What units use the supervisor has to be asked for first, and streams are its own.

use std::collections::BTreeMap;
use std::path::PathBuf;

use muster_model::ids::{JobId, RestartCount, StepId};
use muster_model::measure::UnitMeasure;
use muster_model::node_call::CallPurpose;
use muster_runtime::protocol::{Request, UnitSample};
use muster_runtime::space::record_path;
use muster_runtime::unit::{UnitKey, UnitUser};
use muster_runtime::visit::entrance_path;

use super::Engine;
use crate::calling::Calling;

/// What a call is about: a start of a job, perhaps only a step of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallTarget {
    pub(crate) job_id: JobId,
    pub(crate) restart: RestartCount,
    pub(crate) step: Option<StepId>,
}

impl Engine {
    pub(super) fn make_call(&mut self, target: CallTarget, calling: Calling) {
        match calling.purpose().clone() {
            CallPurpose::Receive(wanted) => {
                let user = self.launches.unit_user(&calling.identity);
                let record = self.record_of(&target, &user);
                calling.receive(wanted, user, record);
            }
            CallPurpose::Visit => {
                let step = target.step.unwrap_or(StepId::Batch);
                let key = UnitKey { job_id: target.job_id, restart: target.restart, step };
                calling.visit(entrance_path(self.spool.dir(), key));
            }
            CallPurpose::Measure => self.measure(target, calling),
            CallPurpose::Attach => {
                // Without a step there is nothing to attach to; the controller has refused it.
                let Some(step) = target.step else { return };
                let key = UnitKey { job_id: target.job_id, restart: target.restart, step };
                self.requests.push(Request::Attach { key, client: calling.into_link() });
            }
        }
    }

    /// Where it is told what the job of a call has to itself, which is made if need be.
    fn record_of(&mut self, target: &CallTarget, user: &UnitUser) -> Option<PathBuf> {
        let space = Box::new(self.launches.space().clone());
        let (job_id, restart) = (target.job_id, target.restart);
        let spaces = self.spaces.as_mut()?;
        spaces.insert((job_id, restart));
        self.requests.push(Request::OpenSpace { job_id, restart, user: user.clone(), space });
        Some(record_path(self.spool.dir(), (job_id, restart)))
    }

    /// Asks the supervisor what the units use; the client is called with the answer.
    fn measure(&mut self, target: CallTarget, calling: Calling) {
        let is_meant = |key: &UnitKey| {
            (key.job_id, key.restart) == (target.job_id, target.restart)
                && !key.step.is_hook()
                && target.step.is_none_or(|step| key.step == step)
        };
        let keys: Vec<UnitKey> =
            self.machine.known().filter(is_meant).filter(|key| self.machine.is_live(key)).collect();
        if keys.is_empty() || self.supervisor.is_none() {
            return calling.tell(&[]);
        }
        self.samples_asked += 1;
        self.measuring.insert(self.samples_asked, calling);
        self.requests.push(Request::Sample { number: self.samples_asked, keys });
    }

    /// The supervisor has looked.
    pub(super) fn sampled(&mut self, number: u64, units: &[UnitSample]) {
        let unit = |sample: &UnitSample| UnitMeasure {
            step: sample.key.step,
            measured: sample.measured,
            pids: sample.pids.clone(),
            tasks: sample.tasks.clone(),
        };
        let question = question_answered(&self.measuring, number);
        if let Some(calling) = question.and_then(|question| self.measuring.remove(&question)) {
            calling.tell(&units.iter().map(unit).collect::<Vec<_>>());
        }
    }

    /// The supervisor will not answer.
    pub(super) fn cannot_measure(&mut self) {
        std::mem::take(&mut self.measuring).into_values().for_each(|calling| calling.tell(&[]));
    }
}

/// Which question is answered. A supervisor from before they had numbers says 0, and answers them in order.
fn question_answered<T>(waiting: &BTreeMap<u64, T>, number: u64) -> Option<u64> {
    match number {
        0 => waiting.keys().next().copied(),
        number => Some(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_without_a_number_are_those_of_the_first_question() {
        let waiting = BTreeMap::from([(3, ()), (4, ())]);
        assert_eq!([0, 4].map(|number| question_answered(&waiting, number)), [Some(3), Some(4)]);
        assert_eq!(question_answered(&BTreeMap::<u64, ()>::new(), 0), None);
    }
}
