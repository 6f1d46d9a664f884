//! The engine: one thread that owns the state machine, the watermark and the connection to the supervisor.
//!
//! It drains its inputs in batches. For each batch the watermark is made durable once, before any launch of it goes
//! out; then everything for the supervisor leaves with one write. Plain blocking calls are right here: nothing else
//! runs on this thread, and the reactor never waits for a disk or a local socket.

mod actions;
pub(crate) mod calls;
mod inputs;
mod launches;
mod reconfigure;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use muster_proto::{self as wire, FromAgent, from_agent, to_agent};
use muster_runtime::client::RequestWriter;
use muster_runtime::protocol::{Hello, Notice, Request};
use muster_runtime::space::SpaceKey;
use muster_runtime::unit::UnitKey;
use tokio::sync::{mpsc, watch};

use self::launches::Launches;
use crate::calling::Calling;
use crate::core::{Action, Event, Machine};
use crate::health::Health;
use crate::launch::Launch;
use crate::link::LinkWay;
use crate::options::AgentOptions;
use crate::outputs::Outputs;
use crate::spool::Spool;
use crate::supervisor::{self, Place, Stopper};
use crate::watermark::Watermark;

/// How long a supervisor may take for the last orders of an agent that stops.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Inputs taken in before the disk is written and the supervisor is told.
const BATCH_MAX: usize = 512;

/// How often launches that wait for their script are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Input {
    /// A connection to the controller is being made; the first message into `outbound` is the hello.
    LinkUp { number: u64, outbound: mpsc::Sender<FromAgent>, way: LinkWay },
    /// The controller says something.
    FromController { number: u64, message: to_agent::Message },
    /// The connection to the controller broke.
    LinkDown { number: u64 },
    /// A connection to the supervisor was made.
    SupervisorUp { requests: RequestWriter, hello: Box<Hello> },
    /// The supervisor says something.
    Notice(Notice),
    /// The connection to the supervisor broke.
    SupervisorGone,
    /// The configuration is to be read again.
    Reconfigure,
    /// The agent ends; units go on.
    Stop,
}

/// What the engine wants of the connection to the controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LinkWish {
    /// What runs here is known, so that a hello can be said.
    pub(crate) is_ready: bool,
    /// When this changes, a new connection is to be made.
    pub(crate) generation: u64,
}

/// The running engine. Dropping it ends its threads; units go on.
#[derive(Debug)]
pub(crate) struct EngineHandle {
    pub(crate) inputs: Sender<Input>,
    pub(crate) wish: watch::Receiver<LinkWish>,
    stopper: Stopper,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl EngineHandle {
    /// Starts the engine and its connection to the supervisor.
    pub(crate) fn start(
        options: &AgentOptions,
        spool: Spool,
        health: Arc<Health>,
        reactor: tokio::runtime::Handle,
    ) -> anyhow::Result<EngineHandle> {
        let (inputs, receiver) = std::sync::mpsc::channel();
        let (wish_sender, wish) = watch::channel(LinkWish::default());
        let watermark = Watermark::open(spool.dir())?;
        let stopper = Stopper::default();
        let place = Place {
            dir: spool.dir().to_owned(),
            program: options.supervisor.clone(),
            options: options.supervisor_options.clone(),
        };
        let engine = Engine {
            machine: Machine::new(watermark.sequence()),
            watermark,
            launches: Launches::open(options, &spool),
            outputs: Outputs::open(spool.dir()),
            readers: HashMap::new(),
            reactor,
            link: None,
            link_before: None,
            supervisor: None,
            requests: Vec::new(),
            spaces: None,
            supervisor_says: false,
            measuring: BTreeMap::new(),
            samples_asked: 0,
            unsent: Vec::new(),
            events: VecDeque::new(),
            wish: wish_sender,
            options: options.clone(),
            start_time: crate::clock::now(),
            health,
            spool,
        };
        let (stopping, sender) = (stopper.clone(), inputs.clone());
        std::thread::Builder::new()
            .name("supervisor link".to_owned())
            .spawn(move || supervisor::keep_connected(&place, &stopping, &sender))?;
        let thread = std::thread::Builder::new().name("engine".to_owned()).spawn(move || engine.run(&receiver))?;
        Ok(EngineHandle { inputs, wish, stopper, thread: Some(thread) })
    }

    /// Ends the engine and waits for it.
    pub(crate) async fn stop(mut self) {
        // What it still has to say to the supervisor is said first; dropping `self` closes the connection.
        let _ = self.inputs.send(Input::Stop);
        let Some(thread) = self.thread.take() else { return };
        // A panic of the engine was printed when it happened.
        let mut ending = tokio::task::spawn_blocking(move || thread.join());
        if tokio::time::timeout(STOP_PATIENCE, &mut ending).await.is_err() {
            self.stopper.stop();
            let _ = ending.await;
        }
    }

    fn tell_stop(&self) {
        self.stopper.stop();
        let _ = self.inputs.send(Input::Stop);
    }
}

impl Drop for EngineHandle {
    fn drop(&mut self) {
        self.tell_stop();
    }
}

/// Orders and ends as the state machine carries them.
type AgentEvent = Event<Arc<Launch>, wire::UnitEnded>;
type AgentAction = Action<Arc<Launch>, wire::UnitEnded>;

struct Engine {
    machine: Machine<Arc<Launch>, wire::UnitEnded>,
    watermark: Watermark,
    launches: Launches,
    outputs: Outputs,
    /// Tasks that send output, by the number of the request.
    readers: HashMap<u64, tokio::task::AbortHandle>,
    reactor: tokio::runtime::Handle,
    link: Option<(u64, mpsc::Sender<FromAgent>)>,
    /// Number of the connection whose place the present one took while it still stood.
    link_before: Option<u64>,
    supervisor: Option<RequestWriter>,
    /// For the supervisor, to be sent at the end of the batch.
    requests: Vec<Request>,
    /// Jobs that have something to themselves here; `None` while the supervisor is one that knows of no such thing.
    spaces: Option<BTreeSet<SpaceKey>>,
    /// The supervisor is one that writes lines into the error streams of units.
    supervisor_says: bool,
    /// Clients that are called as soon as the supervisor has said what units use, by the number of the question.
    measuring: BTreeMap<u64, Calling>,
    samples_asked: u64,
    /// Could not be sent while there was no supervisor. Never launches: the machine gives those again.
    unsent: Vec<Request>,
    /// What carrying out actions led to.
    events: VecDeque<AgentEvent>,
    wish: watch::Sender<LinkWish>,
    options: AgentOptions,
    start_time: muster_model::time::Timestamp,
    /// What is wrong with this node.
    health: Arc<Health>,
    /// Holds the lock of the directory until this thread has ended.
    spool: Spool,
}

impl Engine {
    fn run(mut self, inputs: &Receiver<Input>) {
        tracing::info!(spool = %self.spool.dir().display(), launch_sequence = self.watermark.sequence(), "agent started");
        loop {
            match inputs.recv_timeout(LOOK_INTERVAL) {
                Ok(Input::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(first) => self.take(first),
                Err(RecvTimeoutError::Timeout) => self.give_up_waiting(),
            }
            for _ in 1..BATCH_MAX {
                match inputs.try_recv() {
                    Ok(Input::Stop) => return self.flush(),
                    Ok(next) => self.take(next),
                    Err(_) => break,
                }
            }
            self.flush();
        }
        self.flush();
    }

    /// Carries out what the inputs of the batch asked for.
    fn flush(&mut self) {
        let mut actions = Vec::new();
        while !self.events.is_empty() {
            while let Some(event) = self.events.pop_front() {
                self.machine.step(event, &mut actions);
            }
            let durable = self.watermark.raise(self.machine.launch_sequence());
            if let Err(error) = &durable {
                tracing::error!(%error, "cannot write the number of the last launch");
            }
            for action in std::mem::take(&mut actions) {
                self.carry_out(action, &durable);
            }
        }
        self.outputs.flush();
        self.send_requests();
    }

    fn send_requests(&mut self) {
        if self.requests.is_empty() {
            return;
        }
        let requests = std::mem::take(&mut self.requests);
        let sent = match &self.supervisor {
            Some(supervisor) => supervisor.send_all(&requests),
            None => Err(std::io::ErrorKind::NotConnected.into()),
        };
        if let Err(error) = sent {
            tracing::warn!(%error, "the supervisor is away; its orders wait");
            self.supervisor = None;
            self.unsent.extend(requests.into_iter().filter(|request| !matches!(request, Request::Launch(_))));
        }
    }

    /// Says something to the controller, if there is a connection. What matters is said again on the next one.
    fn tell(&mut self, message: from_agent::Message) {
        if let Some((_, outbound)) = &self.link
            && outbound.blocking_send(FromAgent { message: Some(message) }).is_err()
        {
            self.link = None;
        }
    }

    /// Asks for a new connection to the controller.
    fn reconnect(&mut self) {
        self.wish.send_modify(|wish| wish.generation += 1);
    }

    /// Notes the end of a unit that the supervisor does not know of.
    fn ended(&mut self, key: UnitKey, end: wire::UnitEnded) {
        self.events.push_back(Event::Ended(key, end));
    }
}
