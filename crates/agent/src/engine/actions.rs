//! Carrying out what the state machine decided.

use std::sync::Arc;

use muster_model::ids::{BlobId, StepId};
use muster_proto::{self as wire, from_agent};
use muster_runtime::protocol::{Request, SignalScope};
use muster_runtime::space::SpaceKey;
use muster_runtime::unit::UnitKey;

use super::launches::Readiness;
use super::{AgentAction, Engine};
use crate::core::{Action, Reach};
use crate::launch::Launch;
use crate::report;

impl Engine {
    /// `durable`: whether the watermark is on disk, so that launches may go out.
    pub(super) fn carry_out(&mut self, action: AgentAction, durable: &std::io::Result<()>) {
        match action {
            Action::Start(key, launch) => match durable {
                Ok(()) => self.start(key, launch),
                Err(error) => {
                    let why = format!("write the launch number into SlurmdSpoolDir: {error}");
                    self.ended(key, report::not_started(key, why, true));
                }
            },
            Action::Signal { key, signal, reach } => {
                let scope = match reach {
                    Reach::Tasks => SignalScope::Tasks,
                    Reach::All => SignalScope::All,
                };
                self.requests.push(Request::Signal { key, signal, scope });
            }
            Action::Terminate { key, kill_wait_ms, message } => self.terminate(key, kill_wait_ms, message),
            Action::Pause { key, resume: false } => self.requests.push(Request::Suspend { key }),
            Action::Pause { key, resume: true } => self.requests.push(Request::Resume { key }),
            Action::Say { key, line } if self.supervisor_says => self.requests.push(Request::Say { key, line }),
            Action::Say { key, .. } => {
                tracing::warn!(unit = %key, "a message for a job is lost: the supervisor is of a release that takes none");
            }
            Action::Forget(key) => self.forget(key),
            Action::Unknown(key) => self.ended(key, report::not_started(key, "the node knows nothing of it", false)),
            Action::Reconnect => self.reconnect(),
            Action::ReportEnd { key, end, job_is_clean } => self.report_end(key, end, job_is_clean),
            Action::ReportClean { job_id, restart, epilog } => {
                self.close_space((job_id, restart));
                let cleaned = report::job_cleaned(job_id, restart, epilog.as_ref());
                self.tell(from_agent::Message::JobCleaned(cleaned));
            }
        }
    }

    /// Starts a unit, or asks for what it lacks.
    pub(super) fn start(&mut self, key: UnitKey, launch: Arc<Launch>) {
        match self.launches.prepare(key, launch) {
            Readiness::Ready(prepared) => {
                if let Some(record) = prepared.record {
                    self.outputs.add(record);
                    self.outputs.set_live(key.job_id, key.restart, true);
                }
                for (id, content) in prepared.contents {
                    self.put(&id, &content);
                }
                if let Some(spaces) = self.spaces.as_mut().filter(|_| prepared.unit.space.is_some()) {
                    spaces.insert((key.job_id, key.restart));
                }
                self.requests.push(Request::Launch(prepared.unit));
            }
            Readiness::Waiting(wanted) => {
                wanted.into_iter().for_each(|wanted| self.tell(from_agent::Message::BlobNeeded(wanted)));
            }
            Readiness::Hopeless(end) => {
                tracing::error!(unit = %key, failure = end.failure, "a unit cannot be started");
                self.ended(key, *end);
            }
        }
    }

    /// Gives the supervisor a script or an environment. That it is away shows when the launch is sent.
    fn put(&mut self, id: &BlobId, content: &[u8]) {
        if let Some(supervisor) = &self.supervisor
            && let Err(error) = supervisor.put(id, content)
        {
            tracing::warn!(%error, "the supervisor is away");
            self.supervisor = None;
        }
    }

    fn terminate(&mut self, key: UnitKey, kill_wait_ms: u64, message: Option<String>) {
        if let Some(end) = self.launches.cancel(&key) {
            return self.ended(key, end);
        }
        let message = message.and_then(|line| self.farewell(key, line));
        self.requests.push(Request::Terminate { key, kill_wait_ms, message });
    }

    /// The last line that a unit finds in its error stream. A job's line becomes a step's for its steps; a step says
    /// it once, on its first node.
    fn farewell(&self, key: UnitKey, line: String) -> Option<String> {
        let StepId::Number(step) = key.step else {
            return Some(line);
        };
        let job = format!("*** JOB {} ", key.job_id);
        self.launches.is_first_node(&key).then(|| line.replacen(&job, &format!("*** STEP {}.{step} ", key.job_id), 1))
    }

    fn forget(&mut self, key: UnitKey) {
        self.launches.forget(&key);
        match self.requests.last_mut() {
            Some(Request::Acknowledge { keys }) => keys.push(key),
            _ => self.requests.push(Request::Acknowledge { keys: vec![key] }),
        }
    }

    fn report_end(&mut self, key: UnitKey, end: wire::UnitEnded, job_is_clean: bool) {
        if key.step == StepId::Batch {
            self.outputs.set_live(key.job_id, key.restart, false);
        }
        if job_is_clean {
            self.close_space((key.job_id, key.restart));
        }
        self.tell(from_agent::Message::UnitEnded(wire::UnitEnded { job_is_clean, ..end }));
    }

    /// What a job had to itself is removed before anybody hears that the job is clean: once that is told, nobody asks again.
    fn close_space(&mut self, key: SpaceKey) {
        if self.spaces.as_mut().is_some_and(|spaces| spaces.remove(&key)) {
            self.requests.push(Request::CloseSpace { job_id: key.0, restart: key.1 });
            self.send_requests();
        }
    }

    /// A script or context has come.
    pub(super) fn content(&mut self, id: &BlobId, content: &[u8]) {
        for (key, launch) in self.launches.content_came(id, content) {
            self.start(key, launch);
        }
    }

    /// Ends the wait of launches whose script never came.
    pub(super) fn give_up_waiting(&mut self) {
        for (key, end) in self.launches.expired() {
            tracing::error!(unit = %key, failure = end.failure, "a unit cannot be started");
            self.ended(key, end);
        }
    }
}
