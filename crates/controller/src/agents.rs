//! Connections of agents: who is connected, and what comes from them.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use muster_core::event::{HookEnd, UnitEnd, UnitFailure};
use muster_core::{AgentReport, Event, NodeCommand, ReadView, UnitKey};
use muster_model::ids::{BlobId, Identity, JobId, NodeIndex, RestartCount, StepId};
use muster_model::node::{Hardware, NodeReport};
use muster_model::resources::Megabytes;
use muster_model::state::{ExitStatus, Usage};
use muster_model::statistics::{self, CallKind};
use muster_model::time::Timestamp;
use muster_proto::agent_link_server::AgentLink;
use muster_proto::{self as wire, FromAgent, ToAgent, from_agent, to_agent};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};
use tracing::{info, warn};

use crate::blobs::Blobs;
use crate::inbox::Inbox;
use crate::node_commands::Writer;
use crate::outbox::{Outbox, Outgoings};
use crate::published::Published;
use crate::statistics::Meters;

/// How often an agent says that it is alive.
const HEARTBEAT_MS: u32 = 10_000;
/// Messages to one agent that may wait for the network.
const SEND_QUEUE_SIZE: usize = 1024;

/// What the link service tells a session's writer to send.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// A decision of the core.
    Command(NodeCommand),
    /// A message that is ready as it is.
    Ready(to_agent::Message),
    /// The agent lacks a script or an execution context.
    Blob(BlobId),
}

/// Bytes of a job's output on their way to a reader.
pub(crate) type OutputSender = mpsc::UnboundedSender<wire::OutputPart>;

/// Agents that are connected, and output that is being read from them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sessions {
    connected: Arc<Mutex<HashMap<NodeIndex, Session>>>,
    outputs: Arc<Mutex<HashMap<u64, OutputSender>>>,
    next_number: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Session {
    number: u64,
    outbox: Outbox,
}

impl Sessions {
    /// Sends to a node, if its agent is connected. What matters is sent again when it connects.
    pub(crate) fn send(&self, node: NodeIndex, command: NodeCommand) {
        self.send_outgoing(node, Outgoing::Command(command));
    }

    /// Sends a ready message; `false` when the agent is not connected.
    pub(crate) fn send_outgoing(&self, node: NodeIndex, outgoing: Outgoing) -> bool {
        lock(&self.connected).get(&node).is_some_and(|session| session.outbox.send(outgoing))
    }

    /// Notes a reader of output and gives the number under which parts will come.
    pub(crate) fn open_output(&self, sender: OutputSender) -> u64 {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed) + 1;
        lock(&self.outputs).insert(number, sender);
        number
    }

    /// The reader has gone.
    pub(crate) fn close_output(&self, number: u64) {
        lock(&self.outputs).remove(&number);
    }

    /// A new connection of the agent of `node`; an older one is dropped.
    fn open(&self, node: NodeIndex) -> (u64, Outgoings) {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed) + 1;
        let (outbox, outgoings) = Outbox::open();
        lock(&self.connected).insert(node, Session { number, outbox });
        (number, outgoings)
    }

    /// What waits to be sent, by node of `view` and kind.
    pub(crate) fn outgoing(&self, view: &ReadView) -> Vec<statistics::Outgoing> {
        let mut all = Vec::new();
        for (node, session) in lock(&self.connected).iter() {
            let Some(row) = view.nodes.get(node.0 as usize) else { continue };
            let message = |(kind, count)| statistics::Outgoing { node: row.name().clone(), kind, count };
            all.extend(session.outbox.waiting().map(message));
        }
        all.sort_by(|one, other| (&one.node, one.kind).cmp(&(&other.node, other.kind)));
        all
    }

    fn is_current(&self, node: NodeIndex, number: u64) -> bool {
        lock(&self.connected).get(&node).is_some_and(|session| session.number == number)
    }

    /// Ends a connection; `false` when a newer one has taken its place.
    fn close(&self, node: NodeIndex, number: u64) -> bool {
        let mut connected = lock(&self.connected);
        let current = connected.get(&node).is_some_and(|session| session.number == number);
        if current {
            connected.remove(&node);
        }
        current
    }

    fn output_part(&self, part: wire::OutputPart) {
        let mut outputs = lock(&self.outputs);
        let (number, end) = (part.request_id, part.end);
        let gone = outputs.get(&number).is_none_or(|sender| sender.send(part).is_err());
        if gone || end {
            outputs.remove(&number);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The service that agents call.
#[derive(Clone)]
pub(crate) struct LinkService {
    pub inbox: Inbox,
    pub sessions: Sessions,
    pub published: Published,
    pub blobs: Arc<Blobs>,
    pub token: Arc<str>,
    pub host: Arc<str>,
    pub port: u16,
    pub meters: Meters,
    /// As whom agents are counted.
    pub agents_user: Identity,
}

#[tonic::async_trait]
impl AgentLink for LinkService {
    type LinkStream = Pin<Box<dyn Stream<Item = Result<ToAgent, Status>> + Send>>;

    async fn link(&self, request: Request<Streaming<FromAgent>>) -> Result<Response<Self::LinkStream>, Status> {
        let mut incoming = request.into_inner();
        let hello = match incoming.message().await?.and_then(|first| first.message) {
            Some(from_agent::Message::Hello(hello)) => hello,
            _ => {
                return Err(Status::invalid_argument("the first message of an agent is its hello"));
            }
        };
        let node = self.admit(&hello)?;
        let (number, outgoing) = self.sessions.open(node);
        let (sender, receiver) = mpsc::channel(SEND_QUEUE_SIZE);
        let writer = Writer {
            node,
            published: self.published.clone(),
            blobs: self.blobs.clone(),
            host: self.host.clone(),
            port: self.port,
            sender,
            sent_blobs: std::collections::HashSet::new(),
        };
        let welcome = wire::Welcome {
            node_index: node.0,
            cluster_name: self.published.view().config.cluster_name.to_string(),
            heartbeat_ms: HEARTBEAT_MS,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        tokio::spawn(writer.run(welcome, outgoing));
        info!(node = hello.node_name, pid = hello.pid, units = hello.units.len(), "agent connected");
        let service = self.clone();
        tokio::spawn(async move { service.read(node, number, hello, incoming).await });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver).map(Ok))))
    }
}

impl LinkService {
    /// Checks the token and finds the node.
    fn admit(&self, hello: &wire::Hello) -> Result<NodeIndex, Status> {
        // Hashes are compared, so that the time taken tells nothing about the token.
        if blake3::hash(hello.token.as_bytes()) != blake3::hash(self.token.as_bytes()) {
            warn!(node = hello.node_name, "an agent with a wrong token was turned away");
            return Err(Status::permission_denied(
                "wrong agent token; give the agent the token file of this controller",
            ));
        }
        let view = self.published.view();
        let position = view.nodes.iter().position(|node| **node.name() == *hello.node_name);
        let index = position.and_then(|at| u32::try_from(at).ok()).map(NodeIndex);
        index.ok_or_else(|| {
            Status::not_found(format!("no node {} in the configuration of this cluster", hello.node_name))
        })
    }

    async fn read(self, node: NodeIndex, number: u64, hello: wire::Hello, mut incoming: Streaming<FromAgent>) {
        let name = hello.node_name.clone();
        let mut open = self.tell(node, connected(number, hello)).await;
        while open && self.sessions.is_current(node, number) {
            match incoming.message().await {
                Ok(Some(message)) => open = self.take(node, message).await,
                Ok(None) => break,
                Err(status) => {
                    info!(node = name, "connection of the agent broke: {}", status.message());
                    break;
                }
            }
        }
        if self.sessions.close(node, number) {
            info!(node = name, "agent disconnected");
            self.tell(node, AgentReport::Disconnected { session: number }).await;
        }
    }

    async fn take(&self, node: NodeIndex, message: FromAgent) -> bool {
        let report = match message.message {
            Some(from_agent::Message::Heartbeat(report)) => AgentReport::Heartbeat(machine(&report)),
            Some(from_agent::Message::UnitEnded(end)) => match unit_end(&end) {
                Some(end) => AgentReport::UnitEnded(end),
                None => return true,
            },
            Some(from_agent::Message::JobCleaned(cleaned)) => {
                let failure = Some(cleaned.epilog_failure).filter(|text| !text.is_empty());
                let epilog = cleaned.epilog_ran.then_some(HookEnd { failure });
                let (job_id, restart) = (JobId(cleaned.job_id), RestartCount(cleaned.restart));
                AgentReport::JobCleaned { job_id, restart, epilog }
            }
            Some(from_agent::Message::OutputPart(part)) => {
                self.sessions.output_part(part);
                return true;
            }
            Some(from_agent::Message::BlobNeeded(wanted)) => {
                self.sessions.send_outgoing(node, Outgoing::Blob(BlobId(wanted.id.into())));
                return true;
            }
            // Starts need no answer; a second hello and messages of a newer agent are passed over.
            Some(from_agent::Message::UnitStarted(_) | from_agent::Message::Hello(_)) | None => return true,
        };
        self.tell(node, report).await
    }

    async fn tell(&self, node: NodeIndex, report: AgentReport) -> bool {
        let kind = match &report {
            AgentReport::UnitEnded(end) if end.key.step == StepId::Batch => CallKind::BatchEnded,
            AgentReport::UnitEnded(_) => CallKind::StepEnded,
            AgentReport::JobCleaned { .. } => CallKind::JobCleaned,
            _ => CallKind::NodeReport,
        };
        let _open = self.meters.begin(kind, &self.agents_user);
        self.inbox.send(Event::Agent(node, report).into()).await.is_ok()
    }
}

fn connected(session: u64, hello: wire::Hello) -> AgentReport {
    AgentReport::Connected {
        session,
        hardware: serde_json::from_slice::<Hardware>(&hello.hardware_json).ok(),
        report: NodeReport {
            version: hello.version.as_str().into(),
            ..hello.report.as_ref().map(machine).unwrap_or_default()
        },
        launch_sequence_seen: hello.launch_sequence_seen,
        units: hello.units.iter().filter_map(unit_key).collect(),
    }
}

fn machine(report: &wire::MachineReport) -> NodeReport {
    NodeReport {
        architecture: report.architecture.as_str().into(),
        operating_system: report.operating_system.as_str().into(),
        version: env!("CARGO_PKG_VERSION").into(),
        boot_time: Timestamp(report.boot_time_ms),
        agent_start_time: Timestamp(report.agent_start_time_ms),
        load_hundredths: report.load_hundredths,
        memory_free: Megabytes(report.memory_free_mb),
    }
}

fn unit_key(key: &wire::UnitKey) -> Option<UnitKey> {
    Some(UnitKey { job_id: JobId(key.job_id), restart: RestartCount(key.restart), step: key.step.parse().ok()? })
}

fn unit_end(end: &wire::UnitEnded) -> Option<UnitEnd> {
    let byte = |value: u32| u8::try_from(value).unwrap_or(u8::MAX);
    let mut exit = ExitStatus::SUCCESS;
    let mut usage = Usage::default();
    for task in &end.tasks {
        exit = exit.worse(ExitStatus { code: byte(task.code), signal: byte(task.signal) });
        usage.add(Usage {
            user_cpu_us: task.user_cpu_us,
            system_cpu_us: task.system_cpu_us,
            rss_kb_max: task.rss_kb_max,
        });
    }
    let failure = (!end.failure.is_empty()).then(|| UnitFailure {
        text: end.failure.clone(),
        node_at_fault: end.node_at_fault,
        prolog: end.prolog_failed,
    });
    Some(UnitEnd {
        key: unit_key(end.key.as_ref()?)?,
        exit,
        usage,
        failure,
        job_is_clean: end.job_is_clean,
        out_of_memory: end.out_of_memory,
    })
}
