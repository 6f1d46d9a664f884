//! Requests that nodes call a client: passed on to the agents of a running job, changing nothing.

use muster_model::ids::{Identity, NodeIndex, StepId};
use muster_model::node_call::{NodeCall, NodesCalled};
use muster_model::request::{Answer, RefusalCode};
use muster_model::state::JobState;
use muster_proto::document::encode;
use muster_proto::{self as wire, to_agent};

use super::ApiService;
use crate::inbox::Verdict;
use crate::outbox::Outgoing;

impl ApiService {
    /// Only the owner of the job may ask, and root, because the nodes act as the owner.
    pub(super) fn call_nodes(&self, caller: &Identity, call: &NodeCall) -> Verdict {
        let view = self.published.view();
        let job = view.jobs.get(&call.job_id).ok_or(RefusalCode::InvalidJobId)?;
        if caller.uid != job.spec.identity.uid && caller.uid != 0 {
            return Err(RefusalCode::InvalidUser.into());
        }
        let allocation = job.allocation.as_ref().filter(|_| !job.state.is_final() && job.state != JobState::Pending);
        let allocation = allocation.ok_or(match job.state.is_final() {
            true => RefusalCode::AlreadyDone,
            false => RefusalCode::JobPending,
        })?;
        let nodes: Vec<NodeIndex> = match call.step {
            None => allocation.shares.iter().map(|share| share.node).collect(),
            Some(StepId::Batch) => allocation.shares.iter().take(1).map(|share| share.node).collect(),
            Some(step) => {
                let step = view.steps.get(&(call.job_id, step)).ok_or(RefusalCode::InvalidJobId)?;
                step.layout.iter().map(|node| node.node).collect()
            }
        };
        let step = call.step.map_or_else(String::new, |step| step.to_string());
        let message = wire::CallClient {
            key: Some(wire::UnitKey { job_id: call.job_id.0, restart: job.restart.0, step }),
            identity_json: encode(&job.spec.identity).into(),
            address: call.address.clone(),
            cookie: call.cookie.clone(),
            purpose_json: encode(&call.purpose).into(),
        };
        let mut answer = NodesCalled::default();
        for node in nodes {
            let name = view.nodes.get(node.0 as usize).map_or_else(String::new, |row| row.name().to_string());
            let ready = Outgoing::Ready(to_agent::Message::CallClient(message.clone()));
            match self.dispatch.sessions.send_outgoing(node, ready) {
                true => answer.called.push(name),
                false => answer.absent.push(name),
            }
        }
        Ok(Answer::NodesCalled(answer))
    }
}
