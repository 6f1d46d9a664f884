//! What waits to be sent to agents, with a count for each: when an agent or the network is slow, `sdiag` shows it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use muster_core::NodeCommand;
use muster_model::ids::{BlobId, NodeIndex};
use muster_model::statistics::CallKind;
use muster_proto::{self as wire, to_agent};
use tonic::Status;

/// The kinds that are told apart.
const KINDS: [CallKind; 6] = [
    CallKind::LaunchBatch,
    CallKind::LaunchStep,
    CallKind::SignalUnits,
    CallKind::CleanJob,
    CallKind::PauseJob,
    CallKind::OtherToNode,
];

/// What a session's writer is told to send.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// A decision of the core.
    Command(Arc<Order>),
    /// A message that is ready as it is.
    Ready(to_agent::Message),
    /// The agent lacks a script or an execution context.
    Blob(BlobId),
    /// The session is over, and why.
    Part(Status),
}

/// A decision of the core that may be for many nodes: a launch is put into words once for all of them.
#[derive(Debug)]
pub(crate) struct Order {
    pub command: NodeCommand,
    /// The launch without a sequence number.
    pub launch: OnceLock<wire::Launch>,
}

/// One session as its writer sees it.
#[derive(Debug, Default)]
pub(crate) struct Recipient {
    waiting: [AtomicU32; KINDS.len()],
    /// Contents it has been given; the agent asks when it has dropped one.
    sent_blobs: Mutex<HashSet<BlobId>>,
}

impl Recipient {
    /// How many messages wait of each kind of which any does.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (CallKind, u32)> + '_ {
        let counts = self.waiting.iter().map(|count| count.load(Ordering::Relaxed));
        KINDS.into_iter().zip(counts).filter(|(_, count)| *count > 0)
    }

    /// Notes that the content is sent now; `false` when it had been.
    pub(crate) fn note_blob(&self, id: &BlobId) -> bool {
        self.sent_blobs.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone())
    }
}

/// For whom a message is.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub node: NodeIndex,
    /// Its number on the connection of a relay; 0 where the connection is its own.
    pub member: u64,
    /// Of a launch: its number on the node.
    pub sequence: u64,
    pub recipient: Arc<Recipient>,
}

/// A message on its way to sessions of one connection. It waits until it is dropped, when the network has it.
#[derive(Debug)]
pub(crate) struct Parcel {
    targets: Vec<Target>,
    outgoing: Outgoing,
}

impl Parcel {
    pub(crate) fn new(targets: Vec<Target>, outgoing: Outgoing) -> Parcel {
        let parcel = Parcel { targets, outgoing };
        for count in parcel.counters() {
            count.fetch_add(1, Ordering::Relaxed);
        }
        parcel
    }

    pub(crate) fn targets(&self) -> &[Target] {
        &self.targets
    }

    pub(crate) fn outgoing(&self) -> &Outgoing {
        &self.outgoing
    }

    fn counters(&self) -> impl Iterator<Item = &AtomicU32> {
        let at = kind(&self.outgoing);
        self.targets.iter().map(move |target| &target.recipient.waiting[at])
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        for count in self.counters() {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// The position of its kind in [`KINDS`].
fn kind(outgoing: &Outgoing) -> usize {
    let Outgoing::Command(order) = outgoing else { return 5 };
    match order.command {
        NodeCommand::Launch { step: None, .. } => 0,
        NodeCommand::Launch { step: Some(_), .. } => 1,
        NodeCommand::Signal { .. } => 2,
        NodeCommand::Clean { .. } => 3,
        NodeCommand::Pause { .. } => 4,
        NodeCommand::Acknowledge(_) | NodeCommand::Reconfigure | NodeCommand::Say { .. } => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_model::ids::{JobId, RestartCount};

    #[test]
    fn a_message_waits_for_each_of_its_recipients_until_the_network_has_it() {
        let recipients = [Arc::new(Recipient::default()), Arc::new(Recipient::default())];
        let target =
            |at: usize| Target { node: NodeIndex(0), member: 0, sequence: 0, recipient: recipients[at].clone() };
        let waiting = |at: usize| recipients[at].waiting().collect::<Vec<_>>();
        let command = NodeCommand::Pause { job_id: JobId(1), restart: RestartCount(0), resume: false };
        let order = Outgoing::Command(Arc::new(Order { command, launch: OnceLock::new() }));
        let pause = Parcel::new(vec![target(0), target(1)], order);
        let blob = Parcel::new(vec![target(1)], Outgoing::Blob(BlobId("b".into())));
        assert_eq!(waiting(0), [(CallKind::PauseJob, 1)]);
        assert_eq!(waiting(1), [(CallKind::PauseJob, 1), (CallKind::OtherToNode, 1)]);
        drop(pause);
        assert_eq!(waiting(0), []);
        assert_eq!(waiting(1), [(CallKind::OtherToNode, 1)]);
        drop(blob);
        assert_eq!(waiting(1), []);
    }

    #[test]
    fn a_content_is_sent_once() {
        let recipient = Recipient::default();
        let id = BlobId("b".into());
        assert!(recipient.note_blob(&id));
        assert!(!recipient.note_blob(&id));
    }
}
