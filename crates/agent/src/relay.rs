//! An agent that carries the links of others, so that the controller holds few connections and says once what goes to many
//! (`TreeWidth`).
//!
//! To the agents below, a relay is what the controller is: they make the same call. Upwards all of them share one stream
//! on the connection of the relay itself; a relay below another hands on the numbers of its members. Whatever breaks takes
//! the links below it along, and those agents connect to the controller, which names the next best relay.

use std::convert::Infallible;
use std::future::pending;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use anyhow::Context;
use muster_proto::agent_link_client::AgentLinkClient;
use muster_proto::agent_link_server::{AgentLink, AgentLinkServer};
use muster_proto::{FromAgent, FromMember, FromRelay, OfferRelay, ToAgent, ToRelay, from_agent, from_member};
use prost::Message;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream, UnboundedReceiverStream};
use tokio_stream::{Stream, StreamExt};
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status, Streaming};

use crate::link::{KEEP_ALIVE, MESSAGE_BYTES_MAX};

mod members;

use members::Members;

/// Messages of all members that may wait for the way up. Members wait when there are more.
const UPWARD_QUEUE_SIZE: usize = 4096;

/// Most bytes of messages that travel up together, but for one that is longer by itself.
const FRAME_BYTES: usize = 1 << 20;

/// Longest message of a member, and of the members of a relay below: far above what agents say, and with what is gathered far
/// below what the controller takes.
const MEMBER_BYTES_MAX: usize = 16 << 20;

/// Carries the links of others if that is wanted, for as long as it is polled. Where it cannot, or no longer can, the log
/// says why, the controller is told, and the agent's own link goes on.
pub(crate) async fn offer(
    offer: Option<OfferRelay>,
    upstream: Channel,
    place: &mut Place,
    own_link: mpsc::Sender<FromAgent>,
) -> Infallible {
    if let Some(offer) = offer {
        match carry(&offer, upstream, place, &own_link).await {
            Ok(()) => tracing::info!("this agent no longer is a relay"),
            Err(error) => tracing::warn!("this agent is no relay: {error:#}"),
        }
        // When the link has ended, nobody needs to be told.
        let _ = own_link.send(port_message(0)).await;
    }
    pending().await
}

async fn carry(
    offer: &OfferRelay,
    upstream: Channel,
    place: &mut Place,
    own_link: &mpsc::Sender<FromAgent>,
) -> anyhow::Result<()> {
    let listener = place.listener(offer).await?;
    let port = listener.local_addr()?.port();
    let token = place.token().await?;
    let (upward, parts) = mpsc::channel(UPWARD_QUEUE_SIZE);
    let mut client = AgentLinkClient::new(upstream)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    // The way up would outlive a link that is given up for another; it ends when this is dropped.
    let (_open, over) = oneshot::channel();
    let down = client.relay(gather(parts, over)).await.context("the way up is closed")?.into_inner();
    let members = Arc::new(Members::default());
    let service = RelayService { members: Arc::clone(&members), upward, token };
    let service = AgentLinkServer::new(service)
        .max_decoding_message_size(MEMBER_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    own_link.send(port_message(port)).await.context("the link has ended")?;
    tracing::info!(port, "this agent is a relay");
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .add_service(service)
        .serve_with_incoming(prompt(listener));
    tokio::select! {
        served = server => served.context("cannot serve those below"),
        ended = hand_down(down, &members) => ended,
    }
}

/// Where an agent is a relay, when it is one.
#[derive(Debug)]
pub(crate) struct Place {
    token_file: PathBuf,
    /// Kept from one link to the next, so that nobody else on the node takes the port while members still come to it.
    listener: Option<std::net::TcpListener>,
}

impl Place {
    pub(crate) fn new(token_file: &Path) -> Place {
        Place { token_file: token_file.to_owned(), listener: None }
    }

    async fn listener(&mut self, offer: &OfferRelay) -> anyhow::Result<TcpListener> {
        let listener = match self.listener.take() {
            Some(listener) => listener,
            None => listen(offer).await?.into_std()?,
        };
        let copy = listener.try_clone().context("cannot open the port for those below")?;
        self.listener = Some(listener);
        Ok(TcpListener::from_std(copy)?)
    }

    /// A hash of the token that members have to say.
    async fn token(&self) -> anyhow::Result<blake3::Hash> {
        let file = &self.token_file;
        let text = tokio::fs::read_to_string(file).await;
        let text = text.with_context(|| format!("cannot read the token {}", file.display()))?;
        Ok(blake3::hash(text.trim().as_bytes()))
    }
}

/// Where those below connect. A node that is reached by the loopback alone listens there alone.
async fn listen(offer: &OfferRelay) -> anyhow::Result<TcpListener> {
    let wanted = u16::try_from(offer.port).unwrap_or(0);
    let own = tokio::net::lookup_host((offer.address.as_str(), wanted)).await.ok().and_then(|mut found| found.next());
    let hosts = match own {
        Some(own) if own.ip().is_loopback() => vec![own.ip()],
        // The first takes both, where the machine has both.
        _ => vec![IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::UNSPECIFIED)],
    };
    let mut refused = None;
    for port in [wanted, 0] {
        for host in &hosts {
            match TcpListener::bind((*host, port)).await {
                Ok(listener) => return Ok(listener),
                Err(error) => refused = Some(error),
            }
        }
        tracing::info!(port, "cannot listen there for those below, so at any port");
    }
    Err(refused.map_or_else(|| anyhow::anyhow!("no address"), anyhow::Error::from)).context("cannot listen")
}

/// Connections that send each message at once.
fn prompt(listener: TcpListener) -> impl Stream<Item = std::io::Result<TcpStream>> {
    TcpListenerStream::new(listener).map(|connection| connection.inspect(|stream| drop(stream.set_nodelay(true))))
}

/// What has come meanwhile travels together.
fn gather(
    mut parts: mpsc::Receiver<FromMember>,
    mut over: oneshot::Receiver<Infallible>,
) -> impl Stream<Item = FromRelay> {
    let (sender, frames) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let first = tokio::select! {
                first = parts.recv() => first,
                // The way up has ended; with the receiver the links of all members end.
                () = sender.closed() => return,
                _ = &mut over => return,
            };
            let Some(first) = first else { return };
            let mut bytes = first.encoded_len();
            let mut gathered = vec![first];
            while bytes < FRAME_BYTES
                && let Ok(next) = parts.try_recv()
            {
                bytes += next.encoded_len();
                gathered.push(next);
            }
            if sender.send(FromRelay { parts: gathered }).await.is_err() {
                return;
            }
        }
    });
    ReceiverStream::new(frames)
}

async fn hand_down(mut down: Streaming<ToRelay>, members: &Members) -> anyhow::Result<()> {
    while let Some(frame) = down.message().await.context("the way up broke")? {
        members.hand_down(frame);
    }
    Ok(())
}

fn port_message(port: u16) -> FromAgent {
    FromAgent { message: Some(from_agent::Message::RelayPort(port.into())) }
}

/// What agents below call.
#[derive(Clone)]
struct RelayService {
    members: Arc<Members>,
    upward: mpsc::Sender<FromMember>,
    token: blake3::Hash,
}

impl RelayService {
    /// The controller judges who may have a link; those who do not know the token of this relay do not get so far.
    fn check(&self, message: &FromAgent) -> Result<(), Status> {
        match &message.message {
            Some(from_agent::Message::Hello(hello)) if blake3::hash(hello.token.as_bytes()) == self.token => Ok(()),
            _ => Err(Status::permission_denied("wrong agent token, or no hello")),
        }
    }
}

type Down<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AgentLink for RelayService {
    type LinkStream = Down<ToAgent>;
    type RelayStream = Down<ToRelay>;

    async fn link(&self, request: Request<Streaming<FromAgent>>) -> Result<Response<Self::LinkStream>, Status> {
        let mut incoming = request.into_inner();
        let hello = incoming.message().await?.unwrap_or_default();
        self.check(&hello)?;
        let (sender, receiver) = mpsc::unbounded_channel();
        let (members, upward) = (Arc::clone(&self.members), self.upward.clone());
        let member = members.add_agent(sender.clone());
        tokio::spawn(async move {
            let part = Some(from_member::Part::Message(hello));
            let _ = upward.send(FromMember { member, part }).await;
            loop {
                let message = tokio::select! {
                    message = incoming.message() => message,
                    // The controller has ended it, or the agent no longer listens.
                    () = sender.closed() => break,
                    () = upward.closed() => break,
                };
                let Ok(Some(message)) = message else { break };
                let part = Some(from_member::Part::Message(message));
                if upward.send(FromMember { member, part }).await.is_err() {
                    break;
                }
            }
            leave(&members, &upward, member).await;
        });
        Ok(Response::new(Box::pin(UnboundedReceiverStream::new(receiver))))
    }

    async fn relay(&self, request: Request<Streaming<FromRelay>>) -> Result<Response<Self::RelayStream>, Status> {
        let mut incoming = request.into_inner();
        let (sender, receiver) = mpsc::unbounded_channel();
        let (members, upward) = (Arc::clone(&self.members), self.upward.clone());
        let (service, relay) = (self.clone(), members.add_relay(sender));
        tokio::spawn(async move {
            loop {
                let frame = tokio::select! {
                    frame = incoming.message() => frame,
                    () = upward.closed() => break,
                };
                let Ok(Some(frame)) = frame else { break };
                for part in frame.parts {
                    // Nobody becomes a member without a hello that knows the token.
                    let known = members.is_member(relay, part.member);
                    let hello = match &part.part {
                        Some(from_member::Part::Message(message)) => service.check(message).is_ok(),
                        _ => false,
                    };
                    if !known && !hello {
                        continue;
                    }
                    // A way up that has ended shows above.
                    let _ = upward.send(members.hand_up(relay, part)).await;
                }
            }
            for member in members.remove_relay(relay) {
                leave(&members, &upward, member).await;
            }
        });
        Ok(Response::new(Box::pin(UnboundedReceiverStream::new(receiver))))
    }
}

/// Says that the connection of a member has ended, unless the way up has.
async fn leave(members: &Members, upward: &mpsc::Sender<FromMember>, member: u64) {
    members.remove(member);
    let _ = upward.send(FromMember { member, part: Some(from_member::Part::Gone(true)) }).await;
}
