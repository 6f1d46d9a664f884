//! Output of a job, read on the node that wrote it.

use muster_model::ids::JobId;
use muster_model::job::Job;
use muster_model::statistics::CallKind;
use muster_proto::{self as wire, to_agent};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Request, Response, Status};

use super::{Answers, ApiService};
use crate::outbox::Outgoing;
use crate::sessions::Sessions;

/// Tells the node to stop reading when the reader has gone.
struct Reader {
    sessions: Sessions,
    node: muster_model::ids::NodeIndex,
    number: u64,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.sessions.close_output(self.number);
        self.sessions.send_outgoing(self.node, Outgoing::Ready(to_agent::Message::OutputCancel(self.number)));
    }
}

impl ApiService {
    pub(super) fn output(
        &self,
        request: &Request<wire::OutputRequest>,
    ) -> Result<Response<Answers<wire::OutputChunk>>, Status> {
        let identity = self.identities.caller(request)?;
        let wanted = request.get_ref();
        let _open = self.meters.begin(CallKind::ReadOutput, &identity);
        let job_id = JobId(wanted.job_id);
        let job = self.job(job_id)?;
        if !identity.is_operator() && identity.uid != job.spec.identity.uid {
            return Err(Status::permission_denied(format!("job {job_id} belongs to {}", job.spec.identity.user)));
        }
        let share = job.allocation.as_ref().and_then(|allocation| allocation.shares.get(wanted.node_rank as usize));
        let node = share.map(|share| share.node).ok_or_else(|| {
            Status::failed_precondition(format!("job {job_id} has not run on a node of rank {}", wanted.node_rank))
        })?;
        let (sender, receiver) = mpsc::unbounded_channel();
        let number = self.dispatch.sessions.open_output(node, sender);
        let reader = Reader { sessions: self.dispatch.sessions.clone(), node, number };
        let question = wire::OutputWanted {
            request_id: number,
            job_id: job_id.0,
            restart: job.restart.0,
            offset: wanted.offset,
            follow: wanted.follow,
            standard_error: wanted.standard_error,
            path: String::new(),
        };
        if !self.dispatch.sessions.send_outgoing(node, Outgoing::Ready(to_agent::Message::OutputWanted(question))) {
            return Err(Status::unavailable(format!("the agent of the node that ran job {job_id} is not connected")));
        }
        let chunks = UnboundedReceiverStream::new(receiver).map_while(move |part| {
            let _keep_reading = &reader;
            let part: wire::OutputPart = match part {
                Ok(part) => part,
                Err(status) => return Some(Err(status)),
            };
            let over = part.end && part.data.is_empty() && part.error.is_empty();
            (!over).then_some(Ok(wire::OutputChunk { data: part.data, error: part.error }))
        });
        Ok(Response::new(Box::pin(chunks)))
    }

    /// A job in memory, or of the history.
    fn job(&self, job_id: JobId) -> Result<std::sync::Arc<Job>, Status> {
        let view = self.published.view();
        view.jobs.get(&job_id).cloned().ok_or_else(|| Status::not_found(format!("no job {job_id}")))
    }
}
