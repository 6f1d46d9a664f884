//! Effects after a commit: replies to requests, commands to nodes, news to those who wait.

use std::sync::{Arc, Mutex};

use muster_core::Effect;
use tokio::sync::oneshot;

use crate::agents::Sessions;
use crate::hooks;
use crate::inbox::{Pending, ReplyTo, Verdict};
use crate::statistics::OpenCall;
use crate::watchers::Watchers;

/// Everybody who may be told something.
#[derive(Clone, Default)]
pub(crate) struct Dispatch {
    pub pending: Arc<Mutex<Pending>>,
    pub sessions: Sessions,
    pub watchers: Watchers,
    /// Runs prologs and epilogs here; `None` where nothing of the kind is ever asked for.
    pub hooks: Option<hooks::Sender>,
}

impl Dispatch {
    /// Hands all effects out, in order. Never blocks.
    pub(crate) fn carry_out(&self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Reply { request, result } => {
                    let reply_to = self.lock().take(request);
                    if let Some(reply_to) = reply_to {
                        reply_to.send(result);
                    }
                }
                Effect::Send { node, command } => self.sessions.send(node, command),
                Effect::News(job) => self.watchers.tell(&job),
                Effect::RunHook { moment, job } => {
                    // It ends only with the controller, and after a restart what is needed is asked for again.
                    let _ = self.hooks.as_ref().map(|hooks| hooks.send((moment, job)));
                }
            }
        }
    }

    /// A new request whose answer comes through the receiver.
    pub(crate) fn expect_reply(&self) -> (muster_core::RequestId, oneshot::Receiver<Verdict>) {
        let (sender, receiver) = oneshot::channel();
        (self.lock().add(ReplyTo::Once(sender)), receiver)
    }

    /// A new request whose answer goes to a stream.
    pub(crate) fn expect_tagged(
        &self,
        stream: tokio::sync::mpsc::UnboundedSender<(u64, Verdict)>,
        tag: u64,
        open: OpenCall,
    ) -> muster_core::RequestId {
        self.lock().add(ReplyTo::Stream(stream, tag, open))
    }

    /// Nobody waits for that answer any more.
    pub(crate) fn forget(&self, request: muster_core::RequestId) {
        drop(self.lock().take(request));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
