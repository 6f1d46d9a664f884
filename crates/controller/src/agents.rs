//! Connections of agents: who is connected, and what comes from them.

use std::pin::Pin;
use std::sync::Arc;

use muster_core::event::{HookEnd, KillFailure, UnitEnd, UnitFailure};
use muster_core::{AgentReport, Event, UnitKey};
use muster_model::ids::{BlobId, Identity, JobId, NodeIndex, RestartCount, StepId};
use muster_model::measure::{Measured, TaskMeasure};
use muster_model::node::{Hardware, NodeConfig, NodePower, NodeReport};
use muster_model::resources::Megabytes;
use muster_model::state::{ExitStatus, Usage};
use muster_model::statistics::CallKind;
use muster_model::time::Timestamp;
use muster_proto::agent_link_server::AgentLink;
use muster_proto::{self as wire, FromAgent, FromRelay, ToAgent, ToRelay, from_agent, to_agent};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tracing::{info, warn};

use crate::blobs::Blobs;
use crate::inbox::Inbox;
use crate::node_commands::Writer;
use crate::node_names::NodeNames;
use crate::outbox::Outgoing;
use crate::published::Published;
use crate::relayed::RelayedMembers;
use crate::sessions::{Sessions, Way};
use crate::sink::Sink;
use crate::statistics::Meters;
use crate::tree;

/// How often an agent says that it is alive.
const HEARTBEAT_MS: u32 = 10_000;
/// Messages to one agent that may wait for the network.
const SEND_QUEUE_SIZE: usize = 1024;

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
    pub names: Arc<NodeNames>,
}

type Down<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AgentLink for LinkService {
    type LinkStream = Down<ToAgent>;
    type RelayStream = Down<ToRelay>;

    async fn link(&self, request: Request<Streaming<FromAgent>>) -> Result<Response<Self::LinkStream>, Status> {
        let mut incoming = request.into_inner();
        let hello = match incoming.message().await?.and_then(|first| first.message) {
            Some(from_agent::Message::Hello(hello)) => hello,
            _ => return Err(no_hello()),
        };
        let node = self.admit(&hello)?;
        let (sender, receiver) = mpsc::channel(SEND_QUEUE_SIZE);
        if let Some(address) = self.better_way(node, &hello) {
            let redirect = to_agent::Message::Redirect(wire::Redirect { address });
            // The queue is empty.
            let _ = sender.send(Ok(ToAgent { message: Some(redirect) })).await;
            return Ok(Response::new(Box::pin(ReceiverStream::new(receiver))));
        }
        let (parcels, outgoing) = mpsc::unbounded_channel();
        let way = Way { connection: self.sessions.number(), member: 0, sender: parcels };
        let number = self.sessions.open(node, &hello, way, self.welcome(node));
        tokio::spawn(self.writer(Sink::Agent(sender)).run(outgoing));
        info!(node = hello.node_name, pid = hello.pid, units = hello.units.len(), "agent connected");
        let service = self.clone();
        tokio::spawn(async move { service.read(node, number, hello, incoming).await });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn relay(&self, request: Request<Streaming<FromRelay>>) -> Result<Response<Self::RelayStream>, Status> {
        let (sender, receiver) = mpsc::channel(SEND_QUEUE_SIZE);
        let (parcels, outgoing) = mpsc::unbounded_channel();
        tokio::spawn(self.writer(Sink::Relay(sender)).run(outgoing));
        let members = RelayedMembers::new(self.clone(), parcels);
        tokio::spawn(members.read(request.into_inner()));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

/// What is said to whoever begins with something else.
pub(crate) fn no_hello() -> Status {
    Status::invalid_argument("the first message of an agent is its hello")
}

impl LinkService {
    fn writer(&self, sink: Sink) -> Writer {
        let (published, blobs, host) = (self.published.clone(), self.blobs.clone(), self.host.clone());
        Writer { published, blobs, host, port: self.port, sink }
    }

    /// The first message to the agent of a node.
    pub(crate) fn welcome(&self, node: NodeIndex) -> wire::Welcome {
        let config = &self.published.view().config;
        let is_head = tree::is_head(node, config.nodes.len(), config.tree_width as usize);
        let offer = |row: &NodeConfig| wire::OfferRelay { port: row.port.into(), address: row.address.to_string() };
        wire::Welcome {
            node_index: node.0,
            cluster_name: config.cluster_name.to_string(),
            heartbeat_ms: HEARTBEAT_MS,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            offer_relay: config.nodes.get(node.0 as usize).filter(|_| is_head).map(offer),
        }
    }

    /// The relay by which the agent is to come instead.
    pub(crate) fn better_way(&self, node: NodeIndex, hello: &wire::Hello) -> Option<String> {
        self.sessions.better_way(&self.published.view().config, node, hello)
    }

    /// Checks the token and finds the node.
    pub(crate) fn admit(&self, hello: &wire::Hello) -> Result<NodeIndex, Status> {
        // Hashes are compared, so that the time taken tells nothing about the token.
        if blake3::hash(hello.token.as_bytes()) != blake3::hash(self.token.as_bytes()) {
            warn!(node = hello.node_name, "an agent with a wrong token was turned away");
            return Err(Status::permission_denied(
                "wrong agent token; give the agent the token file of this controller",
            ));
        }
        let view = self.published.view();
        let index = self.names.find(&view.config, &hello.node_name);
        index.ok_or_else(|| {
            Status::not_found(format!("no node {} in the configuration of this cluster", hello.node_name))
        })
    }

    async fn read(self, node: NodeIndex, number: u64, hello: wire::Hello, mut incoming: Streaming<FromAgent>) {
        let name = hello.node_name.clone();
        let mut open = self.tell(node, connected(number, hello)).await;
        while open && self.sessions.is_current(node, number) {
            match incoming.message().await {
                Ok(Some(message)) => open = self.take(node, number, message).await,
                Ok(None) => break,
                Err(status) => {
                    info!(node = name, "connection of the agent broke: {}", status.message());
                    break;
                }
            }
        }
        self.close(node, number, &name).await;
    }

    /// The session is over. Of one in whose place there is another, nobody needs to hear.
    pub(crate) async fn close(&self, node: NodeIndex, number: u64, name: &str) {
        if self.sessions.close(node, number) {
            info!(node = name, "agent disconnected");
            self.tell(node, AgentReport::Disconnected { session: number }).await;
        }
    }

    /// `false` when the controller ends.
    pub(crate) async fn take(&self, node: NodeIndex, number: u64, message: FromAgent) -> bool {
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
            Some(from_agent::Message::RelayPort(port)) => {
                self.set_relay(node, number, port);
                return true;
            }
            // Starts need no answer; a second hello and messages of a newer agent are passed over.
            Some(from_agent::Message::UnitStarted(_) | from_agent::Message::Hello(_)) | None => return true,
        };
        self.tell(node, report).await
    }

    /// The agent carries the links of others at this port of its node, or no longer does.
    fn set_relay(&self, node: NodeIndex, number: u64, port: u32) {
        let config = &self.published.view().config;
        let Some(row) = config.nodes.get(node.0 as usize) else { return };
        let host = match row.address.contains(':') {
            true => format!("[{}]", row.address),
            false => row.address.to_string(),
        };
        let address = (port != 0).then(|| format!("{host}:{port}"));
        match &address {
            Some(address) => info!(node = &*row.name, address, "this agent carries the links of others"),
            None => info!(node = &*row.name, "this agent no longer carries the links of others"),
        }
        self.sessions.set_relay(config, node, number, address);
    }

    pub(crate) async fn tell(&self, node: NodeIndex, report: AgentReport) -> bool {
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

pub(crate) fn connected(session: u64, hello: wire::Hello) -> AgentReport {
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
        fault: report.fault.as_str().into(),
        power: report.current_watts.map(|current_watts| NodePower {
            current_watts,
            average_watts: report.average_watts.unwrap_or(current_watts),
        }),
    }
}

fn unit_key(key: &wire::UnitKey) -> Option<UnitKey> {
    Some(UnitKey { job_id: JobId(key.job_id), restart: RestartCount(key.restart), step: key.step.parse().ok()? })
}

fn unit_end(end: &wire::UnitEnded) -> Option<UnitEnd> {
    let byte = |value: u32| u8::try_from(value).unwrap_or(u8::MAX);
    let mut exit = ExitStatus::SUCCESS;
    let mut usage = Usage::default();
    let mut measured = Measured::default();
    for task in &end.tasks {
        exit = exit.worse(ExitStatus { code: byte(task.code), signal: byte(task.signal) });
        usage.add(Usage {
            user_cpu_us: task.user_cpu_us,
            system_cpu_us: task.system_cpu_us,
            rss_kb_max: task.rss_kb_max,
        });
        task.measure.iter().for_each(|measure| measured.add_task(task.rank, &task_measure(measure)));
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
        measured: (!measured.is_empty()).then(|| Box::new(measured)),
        failure,
        job_is_clean: end.job_is_clean,
        out_of_memory: end.out_of_memory,
        over_memory: end.over_memory,
        kill_failure: match end.kill_failure() {
            wire::KillFailure::None => None,
            wire::KillFailure::Descendants => Some(KillFailure::Descendants),
            wire::KillFailure::Task => Some(KillFailure::Task),
        },
    })
}

fn task_measure(measure: &wire::TaskMeasure) -> TaskMeasure {
    let both = |peak: Option<u64>, last: Option<u64>| peak.map(|peak| (peak, last.unwrap_or(peak)));
    TaskMeasure {
        cpu_us: measure.cpu_us,
        rss_kb: both(measure.rss_kb_max, measure.rss_kb_last),
        vm_kb: both(measure.vm_kb_max, measure.vm_kb_last),
        pages: measure.pages,
        read_bytes: measure.read_bytes,
        write_bytes: measure.write_bytes,
        energy_mj: measure.energy_mj,
        gpu_percent: both(measure.gpu_percent_max, measure.gpu_percent_last),
        gpu_memory_kb: both(measure.gpu_memory_kb_max, measure.gpu_memory_kb_last),
    }
}
