//! What goes to the sequencer, and where its answer goes.

use muster_core::{Event, RequestId};
use muster_model::fact::Fact;
use muster_model::request::{Answer, Refusal};
use tokio::sync::{mpsc, oneshot};

use crate::statistics::OpenCall;

/// Most events that wait for the sequencer. Senders wait when it is full, so a flood slows its source, not the cluster.
pub(crate) const INBOX_SIZE: usize = 1 << 16;

/// One event on its way to the sequencer.
#[derive(Debug)]
pub(crate) struct Letter {
    /// What happened.
    pub event: Event,
    /// Contents that have to be durable together with what the event leads to; dropped when it leads to nothing.
    pub attachments: Vec<Fact>,
}

impl From<Event> for Letter {
    fn from(event: Event) -> Self {
        Letter { event, attachments: Vec::new() }
    }
}

/// Way into the sequencer.
pub(crate) type Inbox = mpsc::Sender<Letter>;

/// What a request comes to.
pub(crate) type Verdict = Result<Answer, Refusal>;

/// Where the answer to a request goes.
#[derive(Debug)]
pub(crate) enum ReplyTo {
    /// To the one who waits for it.
    Once(oneshot::Sender<Verdict>),
    /// To a stream of answers, with the tag of the request; it is open until then.
    Stream(mpsc::UnboundedSender<(u64, Verdict)>, u64, OpenCall),
}

impl ReplyTo {
    /// Hands the answer over; nobody minds when the asker has gone.
    pub(crate) fn send(self, verdict: Verdict) {
        match self {
            ReplyTo::Once(sender) => drop(sender.send(verdict)),
            ReplyTo::Stream(sender, tag, _open) => drop(sender.send((tag, verdict))),
        }
    }
}

/// Requests that wait for their answer.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    next: u64,
    waiting: std::collections::HashMap<u64, ReplyTo>,
}

impl Pending {
    /// Notes where the answer goes and gives the number of the request.
    pub(crate) fn add(&mut self, reply_to: ReplyTo) -> RequestId {
        self.next += 1;
        self.waiting.insert(self.next, reply_to);
        RequestId(self.next)
    }

    /// Takes out where the answer to `request` goes.
    pub(crate) fn take(&mut self, request: RequestId) -> Option<ReplyTo> {
        self.waiting.remove(&request.0)
    }
}
