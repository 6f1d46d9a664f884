//! The way to one agent, with a count of what waits on it: when an agent or the network is slow, `sdiag` shows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use muster_core::NodeCommand;
use muster_model::statistics::CallKind;
use tokio::sync::mpsc;

use crate::agents::Outgoing;

/// The kinds that are told apart.
const KINDS: [CallKind; 6] = [
    CallKind::LaunchBatch,
    CallKind::LaunchStep,
    CallKind::SignalUnits,
    CallKind::CleanJob,
    CallKind::PauseJob,
    CallKind::OtherToNode,
];

type Waiting = Arc<[AtomicU32; KINDS.len()]>;

/// The end at which messages are put in.
#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    sender: mpsc::UnboundedSender<Outgoing>,
    waiting: Waiting,
}

/// The end at which they are taken out to be sent.
#[derive(Debug)]
pub(crate) struct Outgoings {
    receiver: mpsc::UnboundedReceiver<Outgoing>,
    waiting: Waiting,
    /// What was taken out last, and is on its way until the next is asked for.
    taken: Option<usize>,
}

impl Outbox {
    pub(crate) fn open() -> (Outbox, Outgoings) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let waiting = Waiting::default();
        (Outbox { sender, waiting: waiting.clone() }, Outgoings { receiver, waiting, taken: None })
    }

    /// Puts a message in; `false` when nobody takes them out any more.
    pub(crate) fn send(&self, outgoing: Outgoing) -> bool {
        let at = kind(&outgoing);
        self.waiting[at].fetch_add(1, Ordering::Relaxed);
        self.sender.send(outgoing).is_ok()
    }

    /// How many wait of each kind of which any does.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (CallKind, u32)> + '_ {
        let counts = self.waiting.iter().map(|count| count.load(Ordering::Relaxed));
        KINDS.into_iter().zip(counts).filter(|(_, count)| *count > 0)
    }
}

impl Outgoings {
    /// The next message; the one before has been handed to the network by now.
    pub(crate) async fn next(&mut self) -> Option<Outgoing> {
        if let Some(at) = self.taken.take() {
            self.waiting[at].fetch_sub(1, Ordering::Relaxed);
        }
        let next = self.receiver.recv().await?;
        self.taken = Some(kind(&next));
        Some(next)
    }
}

/// The position of its kind in [`KINDS`].
fn kind(outgoing: &Outgoing) -> usize {
    match outgoing {
        Outgoing::Command(NodeCommand::Launch { step: None, .. }) => 0,
        Outgoing::Command(NodeCommand::Launch { step: Some(_), .. }) => 1,
        Outgoing::Command(NodeCommand::Signal { .. }) => 2,
        Outgoing::Command(NodeCommand::Clean { .. }) => 3,
        Outgoing::Command(NodeCommand::Pause { .. }) => 4,
        Outgoing::Command(NodeCommand::Acknowledge(_)) | Outgoing::Blob(_) | Outgoing::Ready(_) => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_model::ids::{BlobId, JobId, RestartCount};

    #[test]
    fn a_message_waits_until_the_next_is_asked_for() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (outbox, mut outgoings) = Outbox::open();
        let pause = NodeCommand::Pause { job_id: JobId(1), restart: RestartCount(0), resume: false };
        assert!(outbox.send(Outgoing::Command(pause)));
        assert!(outbox.send(Outgoing::Blob(BlobId("b".into()))));
        let waiting = |outbox: &Outbox| outbox.waiting().collect::<Vec<_>>();
        assert_eq!(waiting(&outbox), [(CallKind::PauseJob, 1), (CallKind::OtherToNode, 1)]);
        assert!(matches!(runtime.block_on(outgoings.next()), Some(Outgoing::Command(_))));
        assert_eq!(waiting(&outbox), [(CallKind::PauseJob, 1), (CallKind::OtherToNode, 1)], "it is being written");
        assert!(matches!(runtime.block_on(outgoings.next()), Some(Outgoing::Blob(_))));
        assert_eq!(waiting(&outbox), [(CallKind::OtherToNode, 1)]);
        drop(outgoings);
        assert!(!outbox.send(Outgoing::Blob(BlobId("c".into()))));
    }
}
