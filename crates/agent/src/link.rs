//! The connection to the controller: made by the agent, made again for ever, and never asked to be quick.

use std::future::pending;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use anyhow::Context;
use muster_model::time::Timestamp;
use muster_proto::agent_link_client::AgentLinkClient;
use muster_proto::{FromAgent, ToAgent, from_agent, to_agent};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

use crate::engine::{Input, LinkWish};
use crate::health::Health;
use crate::relay::{self, Place};
use crate::report;

/// Messages that wait for the network. The engine stops when there are more, rather than fill the memory.
const SEND_QUEUE_SIZE: usize = 1024;

/// Largest message: a script or an environment.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// How long a controller may take to accept a connection.
const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// After this much silence the other side is asked whether it is there, and given up after as much again.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// First and longest time between attempts.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Least time between heartbeats, whatever the controller says.
const HEARTBEAT_MIN: Duration = Duration::from_millis(100);

/// Longest time before a live connection is given up for one by way of a relay, so that not all move at once.
const MOVE_WITHIN: Duration = Duration::from_secs(1);

/// How long what is still on its way over the connection before is waited for.
const DRAIN_WAIT: Duration = Duration::from_secs(30);

/// By which way a connection goes; to the controller itself unless a relay is named.
#[derive(Debug, Clone, Default)]
pub(crate) struct LinkWay {
    /// Address of the relay.
    pub(crate) relay: Option<String>,
    /// Address of a relay that was named and could not be reached.
    pub(crate) unreachable: Option<String>,
    /// To the relay, where it stands already.
    channel: Option<Channel>,
}

/// One side of the connection.
pub(crate) struct Link {
    pub(crate) controller: String,
    pub(crate) token_file: PathBuf,
    pub(crate) inputs: Sender<Input>,
    pub(crate) wish: watch::Receiver<LinkWish>,
    pub(crate) start_time: Timestamp,
    pub(crate) health: Arc<Health>,
}

/// Why a connection ended.
enum End {
    /// The controller wants the agent to end.
    Shutdown,
    /// The engine wants a new connection.
    Renewed,
    /// The other side closed it.
    Closed,
    /// The controller names a relay instead of a welcome.
    Redirected(String),
    /// The controller named a relay, which has been reached; what is still on its way comes over the connection before.
    Moves { relay: String, channel: Channel, inbound: Box<Streaming<ToAgent>> },
}

impl Link {
    /// Keeps a connection until the controller asks the agent to end.
    pub(crate) async fn keep(mut self) -> anyhow::Result<()> {
        self.wish.wait_for(|wish| wish.is_ready).await.context("the engine has ended")?;
        let mut retry = RETRY_MIN;
        let mut was_connected = true;
        let mut way = LinkWay::default();
        let mut place = Place::new(&self.token_file);
        for number in 1.. {
            let mut is_welcome = false;
            let end = self.connection(number, &way, &mut place, &mut is_welcome).await;
            self.report(&end, &way, is_welcome || was_connected);
            was_connected = is_welcome;
            way = match end {
                Ok(End::Shutdown) => return Ok(()),
                Ok(End::Moves { relay, channel, inbound }) => {
                    tokio::spawn(drain(number, inbound, self.inputs.clone()));
                    way = LinkWay { relay: Some(relay), channel: Some(channel), unreachable: None };
                    continue;
                }
                Ok(End::Redirected(relay)) => {
                    self.down(number)?;
                    way = LinkWay { relay: Some(relay), ..LinkWay::default() };
                    continue;
                }
                Err(_) if !is_welcome => LinkWay { unreachable: way.relay, ..LinkWay::default() },
                Ok(End::Renewed | End::Closed) | Err(_) => LinkWay::default(),
            };
            self.down(number)?;
            retry = if is_welcome { RETRY_MIN } else { (retry * 2).min(RETRY_MAX) };
            sleep(retry + jitter(retry)).await;
        }
        Ok(())
    }

    fn down(&self, number: u64) -> anyhow::Result<()> {
        self.inputs.send(Input::LinkDown { number }).map_err(|_| anyhow::anyhow!("the engine has ended"))
    }

    /// Says why a connection has ended; once, where none can be made.
    fn report(&self, end: &anyhow::Result<End>, way: &LinkWay, is_news: bool) {
        match end {
            Ok(End::Shutdown) => {}
            Ok(End::Redirected(relay) | End::Moves { relay, .. }) => {
                tracing::info!(relay, "connecting by way of a relay");
            }
            Ok(End::Renewed | End::Closed) => tracing::info!("connection to the controller ended, connecting again"),
            Err(error) if is_news => {
                let relay = way.relay.as_deref().unwrap_or("none");
                tracing::warn!(controller = self.controller, relay, "no connection to the controller: {error:#}");
            }
            Err(error) => tracing::debug!("still no connection to the controller: {error:#}"),
        }
    }

    /// One connection from hello to its end.
    async fn connection(
        &mut self,
        number: u64,
        way: &LinkWay,
        place: &mut Place,
        is_welcome: &mut bool,
    ) -> anyhow::Result<End> {
        let generation = self.wish.borrow_and_update().generation;
        let channel = match &way.channel {
            Some(channel) => channel.clone(),
            None => connect(way.relay.as_deref().unwrap_or(&self.controller)).await?,
        };
        let mut client = AgentLinkClient::new(channel.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let (outbound, queue) = mpsc::channel(SEND_QUEUE_SIZE);
        let up = self.inputs.send(Input::LinkUp { number, outbound: outbound.clone(), way: way.clone() });
        up.map_err(|_| anyhow::anyhow!("the engine has ended"))?;
        let mut inbound = client.link(ReceiverStream::new(queue)).await.map_err(refusal)?.into_inner();
        let welcome = match first(&mut inbound).await? {
            to_agent::Message::Welcome(welcome) => welcome,
            to_agent::Message::Redirect(redirect) => return Ok(End::Redirected(redirect.address)),
            _ => anyhow::bail!("the controller did not begin with a welcome"),
        };
        *is_welcome = true;
        tracing::info!(controller = self.controller, cluster = welcome.cluster_name, "connected to the controller");
        let relaying = relay::offer(welcome.offer_relay, channel, place, outbound.clone());
        let heartbeats = heartbeats(
            outbound,
            Duration::from_millis(welcome.heartbeat_ms.into()),
            self.start_time,
            Arc::clone(&self.health),
        );
        let mut wish = self.wish.clone();
        let moved = tokio::select! {
            moved = self.receive(number, &mut inbound) => moved?,
            () = heartbeats => return Ok(End::Closed),
            never = relaying => match never {},
            changed = wish.wait_for(|wish| wish.generation != generation) => {
                changed.context("the engine has ended")?;
                return Ok(End::Renewed);
            }
        };
        Ok(match moved {
            Received::Shutdown => End::Shutdown,
            Received::Closed => End::Closed,
            Received::Moves(relay, channel) => End::Moves { relay, channel, inbound: Box::new(inbound) },
        })
    }

    /// Takes what the controller says. Where it names a better relay, that one is tried meanwhile; if it cannot be reached,
    /// the connection stays.
    async fn receive(&self, number: u64, inbound: &mut Streaming<ToAgent>) -> anyhow::Result<Received> {
        let mut trial: Option<Trial> = None;
        loop {
            let message = tokio::select! {
                message = inbound.message() => message.map_err(refusal)?,
                (relay, reached) = finish(&mut trial) => match reached {
                    Ok(channel) => return Ok(Received::Moves(relay, channel)),
                    Err(error) => {
                        tracing::warn!(relay, "the relay cannot be reached, so the connection stays: {error:#}");
                        trial = None;
                        continue;
                    }
                },
            };
            match message.map(|message| message.message) {
                None => return Ok(Received::Closed),
                Some(Some(to_agent::Message::Shutdown(_))) => return Ok(Received::Shutdown),
                Some(Some(to_agent::Message::Redirect(redirect))) => trial = Some(try_relay(redirect.address)),
                Some(Some(message)) => {
                    let input = Input::FromController { number, message };
                    self.inputs.send(input).map_err(|_| anyhow::anyhow!("the engine has ended"))?;
                }
                // Of a newer controller.
                Some(None) => {}
            }
        }
    }
}

/// What ended the reading of a connection.
enum Received {
    Shutdown,
    Closed,
    Moves(String, Channel),
}

/// The address of a relay, and whether it was reached.
type Trial = Pin<Box<dyn Future<Output = (String, anyhow::Result<Channel>)> + Send>>;

fn try_relay(address: String) -> Trial {
    Box::pin(async move {
        sleep(jitter(MOVE_WITHIN * 4)).await;
        let reached = connect(&address).await;
        (address, reached)
    })
}

async fn finish(trial: &mut Option<Trial>) -> (String, anyhow::Result<Channel>) {
    match trial {
        Some(trial) => trial.await,
        None => pending().await,
    }
}

/// Passes on what the controller said before it heard of the connection that has taken the place of this one.
async fn drain(number: u64, mut inbound: Box<Streaming<ToAgent>>, inputs: Sender<Input>) {
    let passing = async {
        while let Ok(Some(ToAgent { message: Some(message) })) = inbound.message().await {
            if inputs.send(Input::FromController { number, message }).is_err() {
                return;
            }
        }
    };
    // One that does not end by then is held up somewhere, and nothing comes of it any more.
    let _ = timeout(DRAIN_WAIT, passing).await;
}

async fn connect(address: &str) -> anyhow::Result<Channel> {
    endpoint(address)?.connect().await.context("cannot connect")
}

fn endpoint(address: &str) -> anyhow::Result<Endpoint> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .with_context(|| format!("{address:?} is no address of a controller"))?;
    Ok(endpoint
        .connect_timeout(CONNECT_WAIT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true))
}

/// The first message of the controller.
async fn first(inbound: &mut Streaming<ToAgent>) -> anyhow::Result<to_agent::Message> {
    let message = inbound.message().await.map_err(refusal)?.and_then(|message| message.message);
    message.context("the controller ended the connection without a welcome")
}

/// Tells how the machine is until nobody listens any more.
async fn heartbeats(outbound: mpsc::Sender<FromAgent>, every: Duration, start_time: Timestamp, health: Arc<Health>) {
    let mut ticks = interval(every.max(HEARTBEAT_MIN));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is now, and the hello has just told.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let health = Arc::clone(&health);
        let Ok(report) = tokio::task::spawn_blocking(move || report::machine(start_time, &health)).await else {
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
