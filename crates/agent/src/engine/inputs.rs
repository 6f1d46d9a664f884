//! From what the controller and the supervisor say to events of the state machine.

use std::sync::Arc;

use muster_model::ids::{BlobId, JobId, RestartCount, StepId};
use muster_proto::{self as wire, FromAgent, from_agent, signal_unit, to_agent};
use muster_runtime::client::RequestWriter;
use muster_runtime::protocol::{Hello, Notice, Refused, Request};
use muster_runtime::unit::{Outcome, UnitKey};
use tokio::sync::mpsc;

use super::{Engine, Input};
use crate::calling::Calling;
use crate::core::{Event, Scope};
use crate::launch::Launch;
use crate::link::LinkWay;
use crate::{hooks, output, report};

impl Engine {
    pub(super) fn take(&mut self, input: Input) {
        match input {
            Input::LinkUp { number, outbound, way } => self.link_up(number, outbound, &way),
            Input::FromController { number, message } if self.is_current(number) => self.controller_says(message),
            // What is a matter of the moment is not said again over the connection that has taken its place.
            Input::FromController {
                number,
                message: message @ (to_agent::Message::Signal(_) | to_agent::Message::CallClient(_)),
            } if self.link_before == Some(number) => self.controller_says(message),
            Input::LinkDown { number } if self.is_current(number) => self.link = None,
            // Of a connection before this one.
            Input::FromController { .. } | Input::LinkDown { .. } => {}
            Input::SupervisorUp { requests, hello } => self.supervisor_up(requests, &hello),
            Input::Notice(notice) => self.notice(notice),
            Input::SupervisorGone => {
                self.supervisor = None;
                self.cannot_measure();
            }
            Input::Reconfigure => self.reconfigure(),
            Input::Stop => {}
        }
    }

    fn is_current(&self, number: u64) -> bool {
        self.link.as_ref().is_some_and(|(current, _)| *current == number)
    }

    fn link_up(&mut self, number: u64, outbound: mpsc::Sender<FromAgent>, way: &LinkWay) {
        // What the batch brought so far belongs into the hello.
        self.flush();
        self.readers.drain().for_each(|(_, reader)| reader.abort());
        self.link_before = self.link.replace((number, outbound)).map(|(before, _)| before);
        let hello = self.hello(way);
        self.tell(from_agent::Message::Hello(hello));
        for wanted in self.launches.wanted() {
            self.tell(from_agent::Message::BlobNeeded(wanted));
        }
        self.events.push_back(Event::Connected);
    }

    fn hello(&self, way: &LinkWay) -> wire::Hello {
        let token = std::fs::read_to_string(&self.options.token_file).unwrap_or_else(|error| {
            tracing::error!(%error, file = %self.options.token_file.display(), "cannot read the token");
            String::new()
        });
        wire::Hello {
            node_name: self.options.node_name.clone(),
            token: token.trim().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            report: Some(report::machine(self.start_time, &self.health)),
            hardware_json: report::hardware(&self.options).into(),
            launch_sequence_seen: self.machine.launch_sequence(),
            units: self.machine.known().chain(self.space_keys()).map(report::wire_key).collect(),
            pid: std::process::id(),
            takes_redirect: true,
            relay: way.relay.clone().unwrap_or_default(),
            unreachable_relay: way.unreachable.clone().unwrap_or_default(),
        }
    }

    /// What jobs have to themselves is told like a step, so that the controller has it removed where it knows of no such job.
    fn space_keys(&self) -> impl Iterator<Item = UnitKey> + '_ {
        let keys = self.spaces.iter().flatten();
        keys.map(|(job_id, restart)| UnitKey { job_id: *job_id, restart: *restart, step: StepId::Extern })
    }

    fn controller_says(&mut self, message: to_agent::Message) {
        match message {
            to_agent::Message::Launch(launch) => self.order(launch),
            to_agent::Message::Signal(signal) => self.signal(&signal),
            to_agent::Message::CleanJob(clean) => self.clean(clean),
            to_agent::Message::Acknowledge(key) => {
                self.events.extend(report::unit_key(&key).map(Event::Acknowledge));
            }
            to_agent::Message::Pause(pause) => self.events.push_back(Event::Pause {
                job_id: JobId(pause.job_id),
                restart: RestartCount(pause.restart),
                resume: pause.resume,
            }),
            to_agent::Message::Say(say) => self.events.push_back(Event::Say {
                job_id: JobId(say.job_id),
                restart: RestartCount(say.restart),
                line: say.line,
            }),
            to_agent::Message::Blob(blob) => self.content(&BlobId(blob.id.into()), &blob.content),
            to_agent::Message::OutputWanted(wanted) => self.output_wanted(wanted),
            to_agent::Message::Reconfigure(_) => self.reconfigure(),
            to_agent::Message::CallClient(call) => self.call_client(call),
            to_agent::Message::OutputCancel(request_id) => {
                if let Some(reader) = self.readers.remove(&request_id) {
                    reader.abort();
                }
            }
            // These are for the connection itself.
            to_agent::Message::Welcome(_) | to_agent::Message::Shutdown(_) | to_agent::Message::Redirect(_) => {}
        }
    }

    fn order(&mut self, message: wire::Launch) {
        let sequence = message.launch_sequence;
        match Launch::decode(message) {
            Ok(launch) => {
                let launch = Arc::new(launch);
                let (key, ends_job, stands) = (launch.key(), launch.ends_job(), launch.stands());
                let has_prolog = launch.hooks.prolog.is_some();
                self.events.push_back(Event::Launch { sequence, key, ends_job, stands, has_prolog, launch });
            }
            // Not even its name can be told from it, so nobody can be told.
            Err(error) => {
                tracing::error!(%error, source = %error.source, sequence, "an order to start cannot be read")
            }
        }
    }

    fn signal(&mut self, message: &wire::SignalUnit) {
        let scope = match message.scope() {
            signal_unit::Scope::Steps => Scope::Steps,
            signal_unit::Scope::Batch => Scope::Batch,
            signal_unit::Scope::All => Scope::All,
        };
        let (Ok(step), Ok(signal)) = (optional_step(&message.step), u8::try_from(message.signal)) else {
            tracing::error!(?message, "an order to signal makes no sense");
            return;
        };
        let (job_id, restart) = (JobId(message.job_id), RestartCount(message.restart));
        self.events.push_back(Event::Signal { job_id, restart, step, signal, scope });
    }

    fn clean(&mut self, message: wire::CleanJob) {
        let Ok(step) = optional_step(&message.step) else {
            tracing::error!(?message, "an order to end a step makes no sense");
            return;
        };
        let epilog = match message.epilog.map(|epilog| Launch::decode(*epilog)).transpose() {
            Ok(epilog) => epilog.map(Arc::new),
            Err(error) => {
                tracing::error!(%error, source = %error.source, job = message.job_id, "an order for an epilog cannot be read");
                None
            }
        };
        self.events.push_back(Event::Clean {
            job_id: JobId(message.job_id),
            restart: RestartCount(message.restart),
            step,
            kill_wait_ms: message.kill_wait_ms.into(),
            message: Some(message.message).filter(|line| !line.is_empty()),
            epilog,
        });
    }

    fn output_wanted(&mut self, wanted: wire::OutputWanted) {
        let Some((_, outbound)) = &self.link else { return };
        self.readers.retain(|_, reader| !reader.is_finished());
        let request_id = wanted.request_id;
        let reading = output::send(wanted, self.outputs.clone(), outbound.clone());
        self.readers.insert(request_id, self.reactor.spawn(reading).abort_handle());
    }

    /// Calls a client that waits for this node; nothing of it is kept, and the client hears of what goes wrong.
    fn call_client(&mut self, call: wire::CallClient) {
        match Calling::read(call, &self.options.node_name) {
            Ok((target, calling)) => self.make_call(target, calling),
            Err(problem) => tracing::error!(problem, "an order to call a client makes no sense"),
        }
    }

    fn supervisor_up(&mut self, requests: RequestWriter, hello: &Hello) {
        self.supervisor = Some(requests);
        self.launches.supervisor_is_new();
        if let Some(launched) = hello.launched.filter(|_| !self.wish.borrow().is_ready) {
            self.machine.none_launched_after(launched);
        }
        self.spaces = hello.spaces.as_ref().map(|spaces| spaces.iter().copied().collect());
        self.supervisor_says = hello.says;
        let mut lost = Vec::new();
        let mut ends = Vec::new();
        for end in &hello.ends {
            match end.outcome {
                Outcome::Lost => lost.push(end.key),
                Outcome::Ran | Outcome::NotStarted { .. } => ends.push((end.key, report::unit_ended(end))),
            }
        }
        if !lost.is_empty() {
            tracing::warn!(units = lost.len(), "a supervisor died under these units");
            // The controller hears of them by their absence from the next hello.
            self.requests.push(Request::Acknowledge { keys: lost.clone() });
        }
        let running: Vec<UnitKey> = hello.running.iter().map(|unit| unit.key).collect();
        for key in running.iter().filter(|key| key.step == StepId::Batch) {
            self.outputs.set_live(key.job_id, key.restart, true);
        }
        self.events.push_back(Event::Supervisor { running, ends, lost });
        self.flush();
        // After launches that go out again, so that what they are about is there.
        self.requests.append(&mut self.unsent);
        self.wish.send_if_modified(|wish| !std::mem::replace(&mut wish.is_ready, true));
    }

    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Started { key, pids, .. } => {
                self.launches.confirmed(&key);
                self.events.push_back(Event::Started(key));
                if key.step.is_hook() {
                    return;
                }
                let pids = pids.into_iter().map(|(_, pid)| pid).collect();
                self.tell(from_agent::Message::UnitStarted(wire::UnitStarted {
                    key: Some(report::wire_key(key)),
                    pids,
                }));
            }
            Notice::Ended(end) => {
                self.launches.confirmed(&end.key);
                if end.outcome != Outcome::Ran {
                    tracing::warn!(unit = %end.key, outcome = ?end.outcome, "a unit did not run");
                }
                let report = report::unit_ended(&end);
                if end.key.step.is_hook() {
                    hooks::tell(&self.spool, end.key, &report);
                }
                self.ended(end.key, report);
            }
            Notice::Refused { key, why } => self.refused(key, why),
            Notice::Sampled { number, units } => self.sampled(number, &units),
            // A second one says nothing new.
            Notice::Hello(_) => {}
        }
    }

    fn refused(&mut self, key: UnitKey, why: Refused) {
        let end = match why {
            Refused::UnknownBlob(id) => match self.launches.lacks_content(&key, &id) {
                Some(launch) => return self.start(key, launch),
                None => report::not_started(key, "the supervisor has no room for its script", false),
            },
            // It stays in the table as not started and is launched again on the next supervisor.
            Refused::Retiring => return,
            Refused::AlreadyEnded => report::not_started(key, "it has run before", false),
            Refused::Invalid(text) => report::not_started(key, text, false),
            Refused::Journal(text) => {
                report::not_started(key, format!("write the journal in SlurmdSpoolDir: {text}"), true)
            }
        };
        tracing::warn!(unit = %key, failure = end.failure, "a unit was not started");
        self.launches.confirmed(&key);
        self.ended(key, end);
    }
}

/// Empty for none.
fn optional_step(text: &str) -> Result<Option<StepId>, String> {
    if text.is_empty() { Ok(None) } else { text.parse().map(Some) }
}
