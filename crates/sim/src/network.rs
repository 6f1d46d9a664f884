//! Connections between agents and the controller: in order within one, without any order between two, and lost at any
//! moment, noticed by each side in its own time.

use std::collections::BTreeMap;

use muster_core::{AgentReport, NodeCommand};
use muster_model::ids::NodeIndex;
use muster_model::time::{Span, Timestamp};

use crate::world::{Happening, World};

/// One connection, made by an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// What agents send.
pub(crate) type FromAgent = AgentReport;
/// What the controller sends.
pub(crate) type ToAgent = NodeCommand;

/// All connections that some side still believes in.
#[derive(Debug, Default)]
pub(crate) struct Network {
    connections: BTreeMap<ConnectionId, Connection>,
    next: u64,
}

#[derive(Debug)]
struct Connection {
    node: NodeIndex,
    /// Carries messages.
    works: bool,
    /// What was on the way when it broke still arrives, up to the moment when the side notices.
    drains: bool,
    agent_listens: bool,
    controller_listens: bool,
    /// When the last message in each direction arrives; the next comes no earlier.
    last_to_agent: Timestamp,
    last_to_controller: Timestamp,
}

impl World {
    pub(crate) fn open_connection(&mut self, node: NodeIndex) -> ConnectionId {
        self.network.next += 1;
        let id = ConnectionId(self.network.next);
        let connection = Connection {
            node,
            works: true,
            drains: false,
            agent_listens: true,
            controller_listens: true,
            last_to_agent: self.now,
            last_to_controller: self.now,
        };
        self.network.connections.insert(id, connection);
        // The controller sends to a new connection as soon as it knows whose it is, before it has looked at the hello.
        let delay = self.message_delay();
        self.after(delay, Happening::SessionOpens(id));
        if let Some(connection) = self.network.connections.get_mut(&id) {
            connection.last_to_controller = self.now + delay;
        }
        id
    }

    pub(crate) fn send_to_agent(&mut self, id: ConnectionId, message: ToAgent) {
        let doubled = self.is_doubled(!matches!(
            message,
            NodeCommand::Signal { .. } | NodeCommand::Pause { .. } | NodeCommand::Say { .. }
        ));
        for message in std::iter::repeat_n(message, doubled) {
            let delay = self.message_delay();
            let Some(connection) = self.network.connections.get_mut(&id).filter(|connection| connection.works) else {
                return;
            };
            let at = (self.now + delay).max(connection.last_to_agent);
            connection.last_to_agent = at;
            self.at(at, Happening::ToAgent(id, message));
        }
        self.maybe_lose(id);
    }

    pub(crate) fn send_to_controller(&mut self, id: ConnectionId, message: FromAgent) {
        let doubled = self.is_doubled(!matches!(message, AgentReport::Connected { .. }));
        for message in std::iter::repeat_n(message, doubled) {
            let delay = self.message_delay();
            let Some(connection) = self.network.connections.get_mut(&id).filter(|connection| connection.works) else {
                return;
            };
            let at = (self.now + delay).max(connection.last_to_controller);
            connection.last_to_controller = at;
            self.at(at, Happening::ToController(id, message));
        }
        self.maybe_lose(id);
    }

    fn is_doubled(&mut self, may_be: bool) -> usize {
        if may_be && self.random.chance(self.hazards.doubled) { 2 } else { 1 }
    }

    pub(crate) fn message_delay(&mut self) -> Span {
        let most = self.hazards.delay_ms_max;
        // Mostly fast, now and then as slow as it gets.
        if self.random.chance(900) { self.random.span(0, most.min(10)) } else { self.random.span(0, most) }
    }

    fn maybe_lose(&mut self, id: ConnectionId) {
        if self.random.chance(self.hazards.connection_loss) {
            self.break_connection(id);
        }
    }

    /// The connection breaks. Each side notices in its own time, or when it makes another.
    pub(crate) fn break_connection(&mut self, id: ConnectionId) {
        let drains = self.random.chance(500);
        let Some(connection) = self.network.connections.get_mut(&id).filter(|connection| connection.works) else {
            return;
        };
        connection.works = false;
        connection.drains = drains;
        self.counts.connections_lost += 1;
        let node = connection.node;
        self.note(format!("connection {} of node {} breaks", id.0, node.0));
        let (agent, controller) = (self.random.span(0, 3_000), self.random.span(0, 15_000));
        self.after(agent, Happening::AgentHangsUp(id));
        self.after(controller, Happening::ControllerHangsUp(id));
    }

    /// The machine or process at the agent's end is gone, so nobody reads there any more.
    pub(crate) fn agent_end_dies(&mut self, id: ConnectionId) {
        self.break_connection(id);
        if let Some(connection) = self.network.connections.get_mut(&id) {
            connection.agent_listens = false;
        }
    }

    /// The controller has died: none of its connections is read any more.
    pub(crate) fn controller_ends_die(&mut self) {
        let all: Vec<ConnectionId> = self.network.connections.keys().copied().collect();
        for id in all {
            self.break_connection(id);
            if let Some(connection) = self.network.connections.get_mut(&id) {
                connection.controller_listens = false;
            }
        }
    }

    /// The node of a connection, if a message may still arrive at its agent.
    pub(crate) fn heard_by_agent(&self, id: ConnectionId) -> Option<NodeIndex> {
        let arrives = |connection: &&Connection| connection.agent_listens && (connection.works || connection.drains);
        self.network.connections.get(&id).filter(arrives).map(|connection| connection.node)
    }

    /// The node of a connection, if a message may still arrive at the controller.
    pub(crate) fn heard_by_controller(&self, id: ConnectionId) -> Option<NodeIndex> {
        let arrives =
            |connection: &&Connection| connection.controller_listens && (connection.works || connection.drains);
        self.network.connections.get(&id).filter(arrives).map(|connection| connection.node)
    }

    pub(crate) fn agent_stops_listening(&mut self, id: ConnectionId) -> Option<NodeIndex> {
        let connection = self.network.connections.get_mut(&id)?;
        connection.agent_listens = false;
        let node = connection.node;
        self.forget_connection(id);
        Some(node)
    }

    pub(crate) fn controller_stops_listening(&mut self, id: ConnectionId) -> Option<NodeIndex> {
        let connection = self.network.connections.get_mut(&id)?;
        connection.controller_listens = false;
        let node = connection.node;
        self.forget_connection(id);
        Some(node)
    }

    fn forget_connection(&mut self, id: ConnectionId) {
        let over =
            |connection: &Connection| !connection.works && !connection.agent_listens && !connection.controller_listens;
        if self.network.connections.get(&id).is_some_and(over) {
            self.network.connections.remove(&id);
        }
    }
}
