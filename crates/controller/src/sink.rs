//! The end of a connection at which messages leave: to one agent, or to a relay for many.

use muster_proto::{Parting, ToAgent, ToMember, ToRelay, to_agent};
use prost::Message;
use tokio::sync::mpsc;
use tonic::Status;

use crate::outbox::Target;

/// Where a writer puts what it has put into words.
#[derive(Debug)]
pub(crate) enum Sink {
    /// The connection is the agent's own, and each message has this one target.
    Agent(mpsc::Sender<Result<ToAgent, Status>>),
    /// A relay hands everything on to those it names.
    Relay(mpsc::Sender<Result<ToRelay, Status>>),
}

impl Sink {
    /// Sends a message to all targets. A launch gets the number that it has on each node.
    pub(crate) async fn write(&self, targets: &[Target], mut message: to_agent::Message) -> Result<(), ()> {
        match self {
            Sink::Agent(sender) => {
                if let (to_agent::Message::Launch(launch), Some(target)) = (&mut message, targets.first()) {
                    launch.launch_sequence = target.sequence;
                }
                sender.send(Ok(ToAgent { message: Some(message) })).await.map_err(drop)
            }
            Sink::Relay(sender) => {
                let message = ToAgent { message: Some(message) }.encode_to_vec().into();
                let frame = ToRelay { members: members(targets), message, parting: None };
                sender.send(Ok(frame)).await.map_err(drop)
            }
        }
    }

    /// Ends the sessions of all targets; an error where the connection ends with them.
    pub(crate) async fn part(&self, targets: &[Target], status: &Status) -> Result<(), ()> {
        match self {
            Sink::Agent(sender) => {
                let _ = sender.send(Err(status.clone())).await;
                Err(())
            }
            Sink::Relay(sender) => {
                let parting = Parting { code: status.code().into(), message: status.message().to_owned() };
                let (members, message) = (members(targets), prost::bytes::Bytes::new());
                sender.send(Ok(ToRelay { members, message, parting: Some(parting) })).await.map_err(drop)
            }
        }
    }
}

fn members(targets: &[Target]) -> Vec<ToMember> {
    let member = |target: &Target| ToMember { member: target.member, launch_sequence: target.sequence };
    targets.iter().map(member).collect()
}
