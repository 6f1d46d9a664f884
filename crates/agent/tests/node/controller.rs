//! A controller that does and says only what the test tells it to.

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use muster_model::ids::{BlobId, JobId, RestartCount, StepId};
use muster_proto::agent_link_server::{AgentLink, AgentLinkServer};
use muster_proto::{self as wire, FromAgent, FromRelay, Hello, ToAgent, ToRelay, from_agent, to_agent};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::Stream;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

/// Longest wait for anything; only a failing test waits so long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The secret of the tests.
pub const TOKEN: &str = "secret-of-the-test";

/// Waits for agents.
pub struct Controller {
    pub address: SocketAddr,
    sessions: mpsc::Receiver<Session>,
}

/// One connection of an agent.
pub struct Session {
    pub hello: Hello,
    inbound: Streaming<FromAgent>,
    outbound: mpsc::Sender<Result<ToAgent, Status>>,
}

struct Service {
    sessions: mpsc::Sender<Session>,
}

#[tonic::async_trait]
impl AgentLink for Service {
    type LinkStream = Pin<Box<dyn Stream<Item = Result<ToAgent, Status>> + Send>>;

    type RelayStream = Pin<Box<dyn Stream<Item = Result<ToRelay, Status>> + Send>>;

    async fn relay(&self, _: Request<Streaming<FromRelay>>) -> Result<Response<Self::RelayStream>, Status> {
        Err(Status::unimplemented("no agent is asked to be a relay"))
    }

    async fn link(&self, request: Request<Streaming<FromAgent>>) -> Result<Response<Self::LinkStream>, Status> {
        let mut inbound = request.into_inner();
        let Some(from_agent::Message::Hello(hello)) = inbound.message().await?.and_then(|first| first.message) else {
            return Err(Status::invalid_argument("no hello"));
        };
        if hello.token != TOKEN {
            return Err(Status::permission_denied("wrong token"));
        }
        let (outbound, queue) = mpsc::channel(1024);
        let session = Session { hello, inbound, outbound };
        self.sessions.send(session).await.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(Box::pin(ReceiverStream::new(queue))))
    }
}

impl Controller {
    pub async fn start() -> Controller {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, sessions) = mpsc::channel(8);
        let service = AgentLinkServer::new(Service { sessions: sender });
        let incoming = TcpListenerStream::new(listener);
        tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
        Controller { address, sessions }
    }

    /// The next connection, which has been told nothing yet.
    pub async fn unwelcome_session(&mut self) -> Session {
        timeout(PATIENCE, self.sessions.recv()).await.expect("no agent came").unwrap()
    }

    /// The next connection, welcomed.
    pub async fn session(&mut self) -> Session {
        let session = self.unwelcome_session().await;
        let welcome = wire::Welcome { heartbeat_ms: 100, cluster_name: "test".into(), ..Default::default() };
        session.send(to_agent::Message::Welcome(welcome)).await;
        session
    }
}

impl Session {
    pub async fn send(&self, message: to_agent::Message) {
        self.outbound.send(Ok(ToAgent { message: Some(message) })).await.expect("the agent is gone");
    }

    /// The next message that `wanted` takes; others are passed over.
    pub async fn expect<T>(&mut self, what: &str, mut wanted: impl FnMut(from_agent::Message) -> Option<T>) -> T {
        let find = async {
            while let Some(message) = self.inbound.next().await {
                let message = message.unwrap_or_else(|status| panic!("waiting for {what}: {status}"));
                if let Some(found) = message.message.and_then(&mut wanted) {
                    return found;
                }
            }
            panic!("the connection ended while waiting for {what}");
        };
        timeout(PATIENCE, find).await.unwrap_or_else(|_| panic!("{what} did not come"))
    }

    /// The next end of a unit.
    pub async fn ended(&mut self) -> wire::UnitEnded {
        self.expect("the end of a unit", |message| match message {
            from_agent::Message::UnitEnded(end) => Some(end),
            from_agent::Message::JobCleaned(_) => panic!("cleaned before the end"),
            _ => None,
        })
        .await
    }

    pub async fn started(&mut self) -> wire::UnitStarted {
        let started = |message| match message {
            from_agent::Message::UnitStarted(started) => Some(started),
            _ => None,
        };
        self.expect("the start of a unit", started).await
    }

    pub async fn cleaned(&mut self) -> wire::JobCleaned {
        let cleaned = |message| match message {
            from_agent::Message::JobCleaned(cleaned) => Some(cleaned),
            _ => None,
        };
        self.expect("a clean job", cleaned).await
    }

    pub async fn blob_needed(&mut self) -> String {
        let wanted = |message| match message {
            from_agent::Message::BlobNeeded(wanted) => Some(wanted.id),
            _ => None,
        };
        self.expect("a question for a script", wanted).await
    }

    pub async fn heartbeat(&mut self) -> wire::MachineReport {
        let heartbeat = |message| match message {
            from_agent::Message::Heartbeat(report) => Some(report),
            _ => None,
        };
        self.expect("a heartbeat", heartbeat).await
    }

    /// Output from now on until its end: the bytes and the error.
    pub async fn output(&mut self, request_id: u64) -> (String, String) {
        let mut bytes = Vec::new();
        let mut error = String::new();
        self.expect("the end of the output", |message| match message {
            from_agent::Message::OutputPart(part) if part.request_id == request_id => {
                bytes.extend_from_slice(&part.data);
                error.push_str(&part.error);
                part.end.then_some(())
            }
            _ => None,
        })
        .await;
        (String::from_utf8(bytes).unwrap(), error)
    }

    pub async fn launch(&self, launch: wire::Launch) {
        self.send(to_agent::Message::Launch(launch)).await;
    }

    pub async fn blob(&self, id: &BlobId, content: &[u8]) {
        let blob = wire::Blob { id: id.0.to_string(), content: content.to_vec().into() };
        self.send(to_agent::Message::Blob(blob)).await;
    }

    pub async fn acknowledge(&self, end: &wire::UnitEnded) {
        self.send(to_agent::Message::Acknowledge(end.key.clone().unwrap())).await;
    }

    pub async fn clean(&self, job_id: JobId, restart: RestartCount, step: Option<StepId>, message: &str) {
        let step = step.map(|step| step.to_string()).unwrap_or_default();
        let (job_id, restart, message) = (job_id.0, restart.0, message.to_owned());
        let clean = wire::CleanJob { job_id, restart, step, kill_wait_ms: 5000, message, epilog: None };
        self.send(to_agent::Message::CleanJob(clean)).await;
    }
}
