//! The connection to the controller: made by the agent, made again for ever, and never asked to be quick.

use std::sync::mpsc::Sender;
use std::time::Duration;

use anyhow::Context;
use muster_model::time::Timestamp;
use muster_proto::agent_link_client::AgentLinkClient;
use muster_proto::{FromAgent, ToAgent, Welcome, from_agent, to_agent};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Endpoint;

use crate::engine::{Input, LinkWish};
use crate::report;

/// Messages that wait for the network. The engine stops when there are more, rather than fill the memory.
const SEND_QUEUE_SIZE: usize = 1024;

/// Largest message: a script or an environment.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// How long a controller may take to accept a connection.
const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// After this much silence the other side is asked whether it is there, and given up after as much again.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// First and longest time between attempts.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Least time between heartbeats, whatever the controller says.
const HEARTBEAT_MIN: Duration = Duration::from_millis(100);

/// One side of the connection.
pub(crate) struct Link {
    pub(crate) controller: String,
    pub(crate) inputs: Sender<Input>,
    pub(crate) wish: watch::Receiver<LinkWish>,
    pub(crate) start_time: Timestamp,
}

/// Why a connection ended.
enum End {
    /// The controller wants the agent to end.
    Shutdown,
    /// The engine wants a new connection.
    Renewed,
    /// The other side closed it.
    Closed,
}

impl Link {
    /// Keeps a connection until the controller asks the agent to end.
    pub(crate) async fn keep(mut self) -> anyhow::Result<()> {
        self.wish.wait_for(|wish| wish.is_ready).await.context("the engine has ended")?;
        let mut retry = RETRY_MIN;
        let mut was_connected = true;
        for number in 1.. {
            let mut is_welcome = false;
            match self.connection(number, &mut is_welcome).await {
                Ok(End::Shutdown) => return Ok(()),
                Ok(End::Renewed | End::Closed) => {
                    tracing::info!("connection to the controller ended, connecting again")
                }
                Err(error) if is_welcome || was_connected => {
                    tracing::warn!(controller = self.controller, "no connection to the controller: {error:#}");
                }
                Err(error) => tracing::debug!("still no connection to the controller: {error:#}"),
            }
            let down = self.inputs.send(Input::LinkDown { number });
            down.map_err(|_| anyhow::anyhow!("the engine has ended"))?;
            retry = if is_welcome { RETRY_MIN } else { (retry * 2).min(RETRY_MAX) };
            was_connected = is_welcome;
            sleep(retry + jitter(retry)).await;
        }
        Ok(())
    }

    /// One connection from hello to its end.
    async fn connection(&mut self, number: u64, is_welcome: &mut bool) -> anyhow::Result<End> {
        let generation = self.wish.borrow_and_update().generation;
        let channel = self.endpoint()?.connect().await.context("cannot connect")?;
        let mut client = AgentLinkClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let (outbound, queue) = mpsc::channel(SEND_QUEUE_SIZE);
        let up = self.inputs.send(Input::LinkUp { number, outbound: outbound.clone() });
        up.map_err(|_| anyhow::anyhow!("the engine has ended"))?;
        let mut inbound = client.link(ReceiverStream::new(queue)).await.map_err(refusal)?.into_inner();
        let welcome = welcome(&mut inbound).await?;
        *is_welcome = true;
        tracing::info!(controller = self.controller, cluster = welcome.cluster_name, "connected to the controller");
        let heartbeats = heartbeats(outbound, Duration::from_millis(welcome.heartbeat_ms.into()), self.start_time);
        let mut wish = self.wish.clone();
        tokio::select! {
            end = self.receive(number, &mut inbound) => end,
            () = heartbeats => Ok(End::Closed),
            changed = wish.wait_for(|wish| wish.generation != generation) => {
                changed.context("the engine has ended")?;
                Ok(End::Renewed)
            }
        }
    }

    fn endpoint(&self) -> anyhow::Result<Endpoint> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.controller))
            .with_context(|| format!("{:?} is no address of a controller", self.controller))?;
        Ok(endpoint
            .connect_timeout(CONNECT_WAIT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true))
    }

    async fn receive(&self, number: u64, inbound: &mut Streaming<ToAgent>) -> anyhow::Result<End> {
        while let Some(message) = inbound.message().await.map_err(refusal)? {
            match message.message {
                Some(to_agent::Message::Shutdown(_)) => return Ok(End::Shutdown),
                Some(message) => {
                    let input = Input::FromController { number, message };
                    self.inputs.send(input).map_err(|_| anyhow::anyhow!("the engine has ended"))?;
                }
                // Of a newer controller.
                None => {}
            }
        }
        Ok(End::Closed)
    }
}

async fn welcome(inbound: &mut Streaming<ToAgent>) -> anyhow::Result<Welcome> {
    match inbound.message().await.map_err(refusal)?.and_then(|message| message.message) {
        Some(to_agent::Message::Welcome(welcome)) => Ok(welcome),
        _ => anyhow::bail!("the controller did not begin with a welcome"),
    }
}

/// Tells how the machine is until nobody listens any more.
async fn heartbeats(outbound: mpsc::Sender<FromAgent>, every: Duration, start_time: Timestamp) {
    let mut ticks = interval(every.max(HEARTBEAT_MIN));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is now, and the hello has just told.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let Ok(report) = tokio::task::spawn_blocking(move || report::machine(start_time)).await else {
            continue;
        };
        let heartbeat = FromAgent { message: Some(from_agent::Message::Heartbeat(report)) };
        if outbound.send(heartbeat).await.is_err() {
            return;
        }
    }
}

/// A status in words that help.
fn refusal(status: tonic::Status) -> anyhow::Error {
    match status.message() {
        "" => anyhow::anyhow!("{}", status.code()),
        message => anyhow::anyhow!("{message}"),
    }
}

/// Up to a quarter of `time`, so that a thousand agents do not come back in the same millisecond.
fn jitter(time: Duration) -> Duration {
    let nanos =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    time / 4 * (nanos % 1000) / 1000
}
