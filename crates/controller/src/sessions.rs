//! Agents that are connected, by which way, and output that is being read from them.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use muster_core::{NodeCommand, ReadView};
use muster_model::config::ClusterConfig;
use muster_model::ids::NodeIndex;
use muster_model::statistics;
use muster_proto::{self as wire, to_agent};
use tokio::sync::mpsc;
use tonic::Status;

use crate::outbox::{Order, Outgoing, Parcel, Recipient, Target};
use crate::tree;

/// Bytes of a job's output on their way to a reader.
pub(crate) type OutputSender = mpsc::UnboundedSender<Result<wire::OutputPart, Status>>;

/// Way of messages to the writer of a connection.
pub(crate) type ParcelSender = mpsc::UnboundedSender<Parcel>;

/// Agents that are connected, and output that is being read from them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sessions {
    connected: Arc<Mutex<HashMap<NodeIndex, Session>>>,
    outputs: Arc<Mutex<HashMap<u64, (NodeIndex, OutputSender)>>>,
    next_number: Arc<AtomicU64>,
}

/// The link of one agent.
#[derive(Debug)]
struct Session {
    number: u64,
    way: Way,
    recipient: Arc<Recipient>,
    /// Whether it may be told to come by way of a relay.
    takes_redirect: bool,
    /// Address of the relay it comes by; empty for none.
    via: String,
    /// Where it carries the links of others.
    relay: Option<String>,
}

/// The connection that messages to an agent take.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    /// Number of the connection: one that many sessions share has one number.
    pub connection: u64,
    /// Number of the agent on it; 0 where the connection is its own.
    pub member: u64,
    pub sender: ParcelSender,
}

impl Sessions {
    /// A number that is used once.
    pub(crate) fn number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Sends a decision to nodes whose agents are connected, each with the number of a launch there. What matters is sent
    /// again when one connects.
    pub(crate) fn send(&self, nodes: &[(NodeIndex, u64)], command: NodeCommand) {
        let order = Arc::new(Order { command, launch: OnceLock::new() });
        let connected = lock(&self.connected);
        let mut ways: BTreeMap<u64, (&ParcelSender, Vec<Target>)> = BTreeMap::new();
        for (node, sequence) in nodes {
            let Some(session) = connected.get(node) else { continue };
            let way = ways.entry(session.way.connection).or_insert_with(|| (&session.way.sender, Vec::new()));
            way.1.push(session.target(*node, *sequence));
        }
        for (sender, targets) in ways.into_values() {
            // When the connection has ended, the session is about to be.
            drop(sender.send(Parcel::new(targets, Outgoing::Command(order.clone()))));
        }
    }

    /// Sends something else; `false` when the agent is not connected.
    pub(crate) fn send_outgoing(&self, node: NodeIndex, outgoing: Outgoing) -> bool {
        lock(&self.connected).get(&node).is_some_and(|session| session.send(node, outgoing))
    }

    /// Notes a reader of output of a node and gives the number under which parts will come.
    pub(crate) fn open_output(&self, node: NodeIndex, sender: OutputSender) -> u64 {
        let number = self.number();
        lock(&self.outputs).insert(number, (node, sender));
        number
    }

    /// The reader has gone.
    pub(crate) fn close_output(&self, number: u64) {
        lock(&self.outputs).remove(&number);
    }

    /// The agent of `node` has said hello: a new session, whose first message is the welcome. An older one is dropped.
    pub(crate) fn open(&self, node: NodeIndex, hello: &wire::Hello, way: Way, welcome: wire::Welcome) -> u64 {
        let session = Session {
            number: self.number(),
            way,
            recipient: Arc::default(),
            takes_redirect: hello.takes_redirect,
            via: hello.relay.clone(),
            relay: None,
        };
        let number = session.number;
        session.send(node, Outgoing::Ready(to_agent::Message::Welcome(welcome)));
        if let Some(before) = lock(&self.connected).insert(node, session) {
            before.send(node, Outgoing::Part(Status::aborted("the agent has made another connection")));
            self.break_outputs(node);
        }
        number
    }

    /// The relay that an agent is to come by, when it comes by another way or none, and that one is connected.
    pub(crate) fn better_way(&self, config: &ClusterConfig, node: NodeIndex, hello: &wire::Hello) -> Option<String> {
        if !hello.takes_redirect {
            return None;
        }
        best_relay(&lock(&self.connected), config, node)
            .filter(|relay| ![&hello.relay, &hello.unreachable_relay].contains(&relay))
    }

    /// The agent carries the links of others at `address`, or no longer does. Those who have no nearer relay are told.
    pub(crate) fn set_relay(&self, config: &ClusterConfig, node: NodeIndex, number: u64, address: Option<String>) {
        let mut connected = lock(&self.connected);
        let Some(session) = connected.get_mut(&node).filter(|session| session.number == number) else { return };
        session.relay.clone_from(&address);
        let Some(address) = address else { return };
        for (other, session) in connected.iter() {
            let is_better = session.takes_redirect && session.via != address;
            if is_better && best_relay(&connected, config, *other).as_ref() == Some(&address) {
                let redirect = wire::Redirect { address: address.clone() };
                session.send(*other, Outgoing::Ready(to_agent::Message::Redirect(redirect)));
            }
        }
    }

    /// What waits to be sent, by node of `view` and kind.
    pub(crate) fn outgoing(&self, view: &ReadView) -> Vec<statistics::Outgoing> {
        let mut all = Vec::new();
        for (node, session) in lock(&self.connected).iter() {
            let Some(row) = view.nodes.get(node.0 as usize) else { continue };
            let message = |(kind, count)| statistics::Outgoing { node: row.name().clone(), kind, count };
            all.extend(session.recipient.waiting().map(message));
        }
        all.sort_by(|one, other| (&one.node, one.kind).cmp(&(&other.node, other.kind)));
        all
    }

    pub(crate) fn is_current(&self, node: NodeIndex, number: u64) -> bool {
        lock(&self.connected).get(&node).is_some_and(|session| session.number == number)
    }

    /// Ends a session; `false` when a newer one has taken its place.
    pub(crate) fn close(&self, node: NodeIndex, number: u64) -> bool {
        let mut connected = lock(&self.connected);
        let current = connected.get(&node).is_some_and(|session| session.number == number);
        if current {
            connected.remove(&node);
            self.break_outputs(node);
        }
        current
    }

    /// An agent gives up what it reads with its connection; whoever waits for more asks again.
    fn break_outputs(&self, node: NodeIndex) {
        lock(&self.outputs).retain(|_, (of, sender)| {
            let stays = *of != node;
            if !stays {
                drop(sender.send(Err(Status::unavailable("the agent of the node connects anew"))));
            }
            stays
        });
    }

    pub(crate) fn output_part(&self, part: wire::OutputPart) {
        let mut outputs = lock(&self.outputs);
        let (number, end) = (part.request_id, part.end);
        let gone = outputs.get(&number).is_none_or(|(_, sender)| sender.send(Ok(part)).is_err());
        if gone || end {
            outputs.remove(&number);
        }
    }
}

impl Session {
    fn send(&self, node: NodeIndex, outgoing: Outgoing) -> bool {
        self.way.sender.send(Parcel::new(vec![self.target(node, 0)], outgoing)).is_ok()
    }

    fn target(&self, node: NodeIndex, sequence: u64) -> Target {
        Target { node, member: self.way.member, sequence, recipient: self.recipient.clone() }
    }
}

/// The nearest head above the node that is a relay now.
fn best_relay(connected: &HashMap<NodeIndex, Session>, config: &ClusterConfig, node: NodeIndex) -> Option<String> {
    let heads = tree::heads_above(node, config.nodes.len(), config.tree_width as usize);
    heads.iter().find_map(|head| connected.get(head)?.relay.clone())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
