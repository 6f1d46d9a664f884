//! Agents whose links come by way of a relay: one stream, many sessions.

use std::collections::HashMap;
use std::sync::Arc;

use muster_model::ids::NodeIndex;
use muster_proto::{self as wire, FromAgent, FromMember, FromRelay, from_agent, from_member, to_agent};
use tonic::{Status, Streaming};
use tracing::info;

use crate::agents::{LinkService, connected, no_hello};
use crate::outbox::{Outgoing, Parcel, Recipient, Target};
use crate::sessions::{ParcelSender, Way};

/// The sessions on the stream of one relay, by the numbers that the relay gave them.
pub(crate) struct RelayedMembers {
    service: LinkService,
    connection: u64,
    parcels: ParcelSender,
    members: HashMap<u64, Member>,
}

struct Member {
    node: NodeIndex,
    session: u64,
    name: String,
}

impl RelayedMembers {
    /// Nobody yet. What goes down is put into `parcels`.
    pub(crate) fn new(service: LinkService, parcels: ParcelSender) -> RelayedMembers {
        let connection = service.sessions.number();
        RelayedMembers { service, connection, parcels, members: HashMap::new() }
    }

    /// Takes what all of them say until the stream ends, and their sessions with it.
    pub(crate) async fn read(mut self, mut incoming: Streaming<FromRelay>) {
        'stream: while let Ok(Some(frame)) = incoming.message().await {
            for part in frame.parts {
                if !self.take(part).await {
                    break 'stream;
                }
            }
        }
        for member in self.members.into_values() {
            self.service.close(member.node, member.session, &member.name).await;
        }
    }

    /// `false` when the controller ends.
    async fn take(&mut self, part: FromMember) -> bool {
        let number = part.member;
        match (self.members.get(&number), part.part) {
            (Some(member), Some(from_member::Part::Message(message))) => {
                // One in whose place there is another has been told to end.
                !self.service.sessions.is_current(member.node, member.session)
                    || self.service.take(member.node, member.session, message).await
            }
            (None, Some(from_member::Part::Message(message))) => self.open(number, message).await,
            (_, Some(from_member::Part::Gone(_))) => {
                if let Some(member) = self.members.remove(&number) {
                    self.service.close(member.node, member.session, &member.name).await;
                }
                true
            }
            // Of a newer relay.
            (_, None) => true,
        }
    }

    async fn open(&mut self, number: u64, message: FromAgent) -> bool {
        let Some(from_agent::Message::Hello(hello)) = message.message else {
            self.send(number, NodeIndex(0), Outgoing::Part(no_hello()));
            return true;
        };
        let node = match self.service.admit(&hello) {
            Ok(node) => node,
            Err(status) => {
                self.send(number, NodeIndex(0), Outgoing::Part(status));
                return true;
            }
        };
        if let Some(address) = self.service.better_way(node, &hello) {
            self.send(number, node, Outgoing::Ready(to_agent::Message::Redirect(wire::Redirect { address })));
            self.send(number, node, Outgoing::Part(Status::aborted("another relay is nearer")));
            return true;
        }
        let way = Way { connection: self.connection, member: number, sender: self.parcels.clone() };
        let session = self.service.sessions.open(node, &hello, way, self.service.welcome(node));
        let name = hello.node_name.clone();
        info!(
            node = name,
            pid = hello.pid,
            units = hello.units.len(),
            relay = hello.relay,
            "agent connected by way of a relay"
        );
        self.members.insert(number, Member { node, session, name });
        self.service.tell(node, connected(session, hello)).await
    }

    /// Tells one that has no session.
    fn send(&self, member: u64, node: NodeIndex, outgoing: Outgoing) {
        let target = Target { node, member, sequence: 0, recipient: Arc::new(Recipient::default()) };
        // When the stream has ended, so has the link of the member.
        drop(self.parcels.send(Parcel::new(vec![target], outgoing)));
    }
}
