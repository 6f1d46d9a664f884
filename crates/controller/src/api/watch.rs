//! News about a job, from its present state to its end.

use std::collections::BTreeSet;
use std::sync::Arc;

use muster_core::Event;
use muster_model::ids::JobId;
use muster_model::job::{ArrayRole, Job};
use muster_model::request::JobNews;
use muster_model::state::ExitStatus;
use muster_model::statistics::CallKind;
use muster_proto as wire;
use muster_proto::document::encode;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{Answers, ApiService};
use crate::inbox::Inbox;
use crate::published::Published;
use crate::watchers::Heard;

/// News that may wait for a slow client.
const NEWS_WAITING_MAX: usize = 64;

impl ApiService {
    pub(super) async fn watch(
        &self,
        request: Request<wire::WatchRequest>,
    ) -> Result<Response<Answers<wire::News>>, Status> {
        let identity = self.identities.caller(&request)?;
        let wanted = request.into_inner();
        let _open = self.meters.begin(CallKind::WatchJob, &identity);
        let job_id = JobId(wanted.job_id);
        // Listen first and look second, so that nothing falls between.
        let news = self.dispatch.watchers.listen(job_id);
        let (known, present) = present_state(&self.published, job_id);
        if !known {
            return Err(Status::not_found(format!("no job {job_id}")));
        }
        let owned = present.iter().all(|job| identity.is_operator() || job.spec.identity.uid == identity.uid);
        let holder = (wanted.hold_allocation && owned).then(|| Holder { inbox: self.inbox.clone(), job_id });
        if let Some(holder) = &holder {
            drop(holder.inbox.send(Event::HolderPresent(job_id).into()).await);
        }
        let (sender, receiver) = mpsc::channel(NEWS_WAITING_MAX);
        tokio::spawn(tell(present, news, sender, holder));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

/// Says that the client of an allocation is gone as soon as its stream is.
struct Holder {
    inbox: Inbox,
    job_id: JobId,
}

impl Drop for Holder {
    fn drop(&mut self) {
        let (inbox, job_id) = (self.inbox.clone(), self.job_id);
        tokio::spawn(async move { inbox.send(Event::HolderGone(job_id).into()).await });
    }
}

/// The records of a job or array as they are now.
fn present_state(published: &Published, job_id: JobId) -> (bool, Vec<Arc<Job>>) {
    let view = published.view();
    let tasks = view.array_tasks.get(&job_id).into_iter().flat_map(|tasks| tasks.values());
    let ids: BTreeSet<JobId> = tasks.copied().chain([job_id]).collect();
    let records: Vec<Arc<Job>> = ids.iter().filter_map(|id| view.job(*id)).collect();
    (!records.is_empty(), records)
}

async fn tell(
    present: Vec<Arc<Job>>,
    mut news: mpsc::UnboundedReceiver<Heard>,
    sender: mpsc::Sender<Result<wire::News, Status>>,
    holder: Option<Holder>,
) {
    let mut progress = Progress::default();
    let mut queue = present.into_iter();
    loop {
        let heard = match queue.next() {
            Some(job) => Heard::Changed(job),
            None => tokio::select! {
                heard = news.recv() => match heard {
                    Some(heard) => heard,
                    None => return,
                },
                () = sender.closed() => return,
            },
        };
        let (job, message, last) = match heard {
            Heard::Changed(job) => {
                let last = progress.note(&job);
                (job, None, last)
            }
            Heard::Said(job, text) => (job, Some(text.to_string()), false),
        };
        let piece = JobNews { last, exit: progress.exit, reason: job.reason, job, message };
        if sender.send(Ok(wire::News { news_json: encode(&piece).into() })).await.is_err() || last {
            break;
        }
    }
    drop(holder);
}

/// How far a job, or an array as a whole, has come.
#[derive(Default)]
struct Progress {
    exit: ExitStatus,
    ended_tasks: BTreeSet<u32>,
    /// Tasks that were ended before they had records of their own.
    ended_waiting: u32,
}

impl Progress {
    /// Takes in a record; whether the job, or all tasks of the array, have ended.
    fn note(&mut self, job: &Job) -> bool {
        let ended = job.state.is_final() && !job.completing;
        if ended {
            self.exit = self.exit.worse(job.exit);
        }
        match &job.array {
            None => return ended,
            Some(ArrayRole::Task { task_index, .. }) if ended => drop(self.ended_tasks.insert(*task_index)),
            Some(ArrayRole::Task { task_index, .. }) => drop(self.ended_tasks.remove(task_index)),
            Some(ArrayRole::Waiting { tasks }) => self.ended_waiting = if ended { tasks.len() } else { 0 },
        }
        let all = job.spec.array.as_ref().map_or(1, |array| array.tasks.len());
        u32::try_from(self.ended_tasks.len()).unwrap_or(u32::MAX).saturating_add(self.ended_waiting) >= all
    }
}
