//! Effects after a commit: replies to requests, commands to nodes, news to those who wait.

use std::sync::{Arc, Mutex};

use muster_core::{Effect, NodeCommand};
use tokio::sync::oneshot;

use crate::hooks;
use crate::inbox::{Pending, ReplyTo, Verdict};
use crate::mail;
use crate::sessions::Sessions;
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
    /// Sends mails; `None` where nobody is written to.
    pub mails: Option<mail::Sender>,
}

impl Dispatch {
    /// Hands all effects out, in order. Never blocks.
    pub(crate) fn carry_out(&self, effects: Vec<Effect>) {
        let mut effects = effects.into_iter().peekable();
        while let Some(effect) = effects.next() {
            match effect {
                Effect::Reply { request, result } => {
                    let reply_to = self.lock().take(request);
                    if let Some(reply_to) = reply_to {
                        reply_to.send(result);
                    }
                }
                Effect::Send { node, command } => {
                    let mut nodes = vec![(node, launch_sequence(&command))];
                    while let Some(Effect::Send { node, command }) = effects.next_if(|next| is_same(next, &command)) {
                        nodes.push((node, launch_sequence(&command)));
                    }
                    self.sessions.send(&nodes, command);
                }
                Effect::News(job) => self.watchers.tell(&job),
                Effect::Message { job, text } => self.watchers.say(&job, &text),
                // They end only with the controller.
                Effect::Mail(mail) => drop(self.mails.as_ref().map(|mails| mails.send(*mail))),
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

/// The number of a launch on its node.
fn launch_sequence(command: &NodeCommand) -> u64 {
    match command {
        NodeCommand::Launch { sequence, .. } => *sequence,
        _ => 0,
    }
}

/// Whether the effect tells another node the same. Launches are compared by identity: to look at whole jobs costs more than
/// it saves.
fn is_same(effect: &Effect, command: &NodeCommand) -> bool {
    let Effect::Send { command: other, .. } = effect else { return false };
    match (command, other) {
        (
            NodeCommand::Launch { job, step, components, .. },
            NodeCommand::Launch { job: other_job, step: other_step, components: other_components, .. },
        ) => {
            let is_same_step = match (step, other_step) {
                (Some(step), Some(other)) => Arc::ptr_eq(step, other),
                (None, None) => true,
                _ => false,
            };
            is_same_step && Arc::ptr_eq(job, other_job) && components.is_empty() && other_components.is_empty()
        }
        (NodeCommand::Launch { .. }, _) | (_, NodeCommand::Launch { .. }) => false,
        _ => command == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_model::ids::{JobId, NodeIndex, RestartCount};
    use muster_model::job::Job;
    use muster_model::resources::ResourceRequest;
    use muster_testkit::builders::{pending, spec};

    fn launch(job: &Arc<Job>, sequence: u64) -> NodeCommand {
        NodeCommand::Launch { sequence, job: job.clone(), step: None, components: Vec::new() }
    }

    fn sent(command: NodeCommand) -> Effect {
        Effect::Send { node: NodeIndex(1), command }
    }

    #[test]
    fn what_goes_to_many_is_one_thing() {
        let job = || Arc::new(pending(1, spec(ResourceRequest::default()), "all"));
        let (job, other) = (job(), job());
        assert!(is_same(&sent(launch(&job, 2)), &launch(&job, 1)), "only the numbers on the nodes differ");
        assert!(!is_same(&sent(launch(&other, 2)), &launch(&job, 1)), "it may be another start of it");
        let pause = |resume| NodeCommand::Pause { job_id: JobId(1), restart: RestartCount(0), resume };
        assert!(is_same(&sent(pause(true)), &pause(true)));
        assert!(!is_same(&sent(pause(false)), &pause(true)));
        assert!(!is_same(&sent(launch(&job, 1)), &pause(true)));
        assert!(!is_same(&Effect::News(job.clone()), &pause(true)));
    }
}
