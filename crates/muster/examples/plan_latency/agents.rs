//! Connections that play agents: they say that they run what the database says, and end it when they are told to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use muster_model::ids::JobId;
use muster_proto::agent_link_client::AgentLinkClient;
use muster_proto::{self as wire, FromAgent, from_agent, to_agent};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

use crate::Failure;
use crate::cluster::is_spare;

/// Agents that share one connection; servers take no more streams over one.
const AGENTS_PER_CONNECTION: usize = 100;
/// The longest that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// All of them.
pub(crate) struct Agents {
    all: Vec<Agent>,
    ends: Arc<News>,
    starts: Arc<News>,
}

struct Agent {
    sender: mpsc::Sender<FromAgent>,
    running: Mutex<Vec<JobId>>,
}

/// Where an agent tells what it is told.
#[derive(Clone)]
struct Told {
    ends: Arc<News>,
    /// Only where somebody waits for starts: reading every launch would cost more than all else here.
    starts: Option<Arc<News>>,
}

/// Jobs that somebody waits for, and those of which there was news before anybody did.
#[derive(Default)]
struct News(Mutex<BTreeMap<u32, Option<oneshot::Sender<()>>>>);

impl News {
    fn tell(&self, job: u32) {
        let mut waiting = lock(&self.0);
        match waiting.remove(&job) {
            // Whoever waited may have lost patience.
            Some(Some(sender)) => drop(sender.send(())),
            _ => drop(waiting.insert(job, None)),
        }
    }

    async fn wait_for(&self, job: u32) -> Result<(), Failure> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut waiting = lock(&self.0);
            if waiting.remove(&job).is_some() {
                return Ok(());
            }
            waiting.insert(job, Some(sender));
        }
        tokio::time::timeout(PATIENCE, receiver).await?.map_err(|_| "the connections of the agents are gone".into())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Agents {
    /// Connects one for each name, with the jobs that run there by position.
    pub(crate) async fn connect(
        port: u16,
        names: &[String],
        mut running: BTreeMap<u32, Vec<JobId>>,
    ) -> Result<Agents, Failure> {
        let mut agents = Agents { all: Vec::new(), ends: Arc::default(), starts: Arc::default() };
        let mut channel: Option<Channel> = None;
        for (at, name) in names.iter().enumerate() {
            if at % AGENTS_PER_CONNECTION == 0 {
                channel = Some(Endpoint::from_shared(format!("http://127.0.0.1:{port}"))?.connect().await?);
            }
            let Some(channel) = channel.clone() else { continue };
            let jobs = running.remove(&(at as u32)).unwrap_or_default();
            let told = Told { ends: agents.ends.clone(), starts: is_spare(name).then(|| agents.starts.clone()) };
            agents.all.push(connect(channel, name, jobs, told).await?);
        }
        Ok(agents)
    }

    /// The end of a job of node number `at`, until the controller says that it is durable. `false` where nothing runs there
    /// any more.
    pub(crate) async fn complete(&self, at: usize) -> Result<bool, Failure> {
        let Some(job) = self.all.get(at).and_then(|agent| lock(&agent.running).pop()) else { return Ok(false) };
        self.tell_end(at, job.0).await?;
        self.ends.wait_for(job.0).await.map(|()| true)
    }

    /// Until a spare node is told to start a job.
    pub(crate) async fn started(&self, job: u32) -> Result<(), Failure> {
        self.starts.wait_for(job).await
    }

    /// Ends a job of node number `at`, for which nobody waits.
    pub(crate) async fn tell_end(&self, at: usize, job: u32) -> Result<(), Failure> {
        let key = wire::UnitKey { job_id: job, restart: 0, step: "batch".to_owned() };
        let end = wire::UnitEnded { key: Some(key), job_is_clean: true, ..wire::UnitEnded::default() };
        let agent = self.all.get(at).ok_or("no such agent")?;
        agent.sender.send(FromAgent { message: Some(from_agent::Message::UnitEnded(end)) }).await?;
        Ok(())
    }
}

async fn connect(channel: Channel, name: &str, running: Vec<JobId>, told: Told) -> Result<Agent, Failure> {
    let (sender, receiver) = mpsc::channel(16);
    let key = |job: &JobId| wire::UnitKey { job_id: job.0, restart: 0, step: "batch".to_owned() };
    let hello = wire::Hello {
        node_name: name.to_owned(),
        token: "bench".to_owned(),
        version: "bench".to_owned(),
        launch_sequence_seen: 0,
        units: running.iter().map(key).collect(),
        ..wire::Hello::default()
    };
    sender.send(FromAgent { message: Some(from_agent::Message::Hello(hello)) }).await?;
    let mut incoming = AgentLinkClient::new(channel).link(ReceiverStream::new(receiver)).await?.into_inner();
    tokio::spawn(async move {
        while let Ok(Some(message)) = incoming.message().await {
            match message.message {
                Some(to_agent::Message::Acknowledge(key)) => told.ends.tell(key.job_id),
                Some(to_agent::Message::Launch(launch)) => {
                    if let Some(starts) = &told.starts {
                        starts.tell(number_of(&launch.job_json));
                    }
                }
                _ => {}
            }
        }
    });
    Ok(Agent { sender, running: Mutex::new(running) })
}

fn number_of(job: &[u8]) -> u32 {
    let job: serde_json::Value = serde_json::from_slice(job).unwrap_or_default();
    job["id"].as_u64().and_then(|id| u32::try_from(id).ok()).unwrap_or_default()
}
