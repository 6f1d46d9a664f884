//! Questions: answered from the published view or from the history, in parts, without touching the sequencer.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use muster_core::ReadView;
use muster_model::document::Document;
use muster_model::ids::{Identity, JobId};
use muster_model::job::Job;
use muster_model::request::{HistoryFilter, Pong, Query, Refusal, RefusalCode, Reply};
use muster_model::statistics::CallKind;
use muster_proto as wire;
use muster_proto::document::{decode, encode};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use tracing::error;

use super::{Answers, ApiService};
use crate::clock;

/// Jobs of one part of an answer.
const JOBS_PER_PART: usize = 1000;
/// Parts that may wait for a slow reader.
const PARTS_WAITING_MAX: usize = 4;

impl ApiService {
    pub(super) fn answer(
        &self,
        request: &Request<wire::Question>,
    ) -> Result<Response<Answers<wire::AnswerPart>>, Status> {
        let caller = self.identities.caller(request)?;
        let question = decode::<Query>(&request.get_ref().query_json, "query")
            .map_err(|problem| Status::invalid_argument(format!("{problem}: {}", problem.source)))?;
        let (sender, receiver) = mpsc::channel(PARTS_WAITING_MAX);
        let service = self.clone();
        let open = self.meters.begin(CallKind::of_query(&question), &caller);
        // Writing out a hundred thousand jobs takes a while; it must not hold up the reactor.
        tokio::task::spawn_blocking(move || {
            service.write_answer(question, &caller, &sender);
            drop(open);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    fn write_answer(
        &self,
        question: Query,
        caller: &Identity,
        sender: &mpsc::Sender<Result<wire::AnswerPart, Status>>,
    ) {
        let view = self.published.view();
        match question {
            Query::Jobs { ids, uids, active_only } => {
                for part in select_jobs(&view, ids, uids, active_only).chunks(JOBS_PER_PART) {
                    if !give(sender, &Reply::Jobs(part.to_vec())) {
                        return;
                    }
                }
            }
            Query::Nodes => {
                let (nodes, partitions) = (view.nodes_told(), view.partitions.iter().cloned().collect());
                give(sender, &Reply::Nodes { nodes, partitions });
            }
            Query::Partitions => {
                give(sender, &Reply::Partitions(view.partitions.iter().cloned().collect()));
            }
            Query::Steps { job_id } => {
                let steps = view.steps.values().filter(|step| job_id.is_none_or(|job_id| step.job_id == job_id));
                give(sender, &Reply::Steps(steps.cloned().collect()));
            }
            Query::Explain(job_id) => {
                give(sender, &self.explained(&view, job_id));
            }
            Query::ExplainTask(array_id, index) => {
                give(sender, &self.task_explained(&view, array_id, index));
            }
            Query::Reservations => {
                give(sender, &Reply::Reservations(view.reservations.values().cloned().collect()));
            }
            Query::Config => {
                give(sender, &Reply::Config(view.config.shown.clone()));
            }
            Query::Priorities => {
                give(sender, &Reply::Priorities(Box::new(view.priority_report(clock::now()))));
            }
            Query::Shares => {
                give(sender, &Reply::Shares(Box::new(view.share_report(clock::now()))));
            }
            Query::Topology => {
                give(sender, &Reply::Topology(view.config.topology.clone()));
            }
            Query::Accounting => {
                give(sender, &Reply::Accounting(view.accounting.documents().collect()));
            }
            Query::RemoteLicenses => {
                give(sender, &remote_licenses(&view));
            }
            Query::Crontab(uid) => {
                let is_open = caller.uid == uid || caller.is_operator();
                let denied = Reply::Refused(RefusalCode::AccessDenied.into());
                give(sender, &if is_open { Reply::Crontab(view.crontabs.get(&uid).cloned()) } else { denied });
            }
            Query::Statistics => {
                give(sender, &Reply::Statistics(Box::new(self.statistics(&view))));
            }
            Query::ResetStatistics => {
                give(sender, &self.reset_statistics(caller));
            }
            Query::Ping => {
                give(sender, &Reply::Pong(self.pong(&view)));
            }
            Query::History(filter) => self.write_history(&filter, sender),
        }
    }

    fn pong(&self, view: &ReadView) -> Pong {
        Pong {
            cluster_name: view.config.cluster_name.clone(),
            host: self.host.as_ref().into(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").into(),
            now: clock::now(),
            started: self.started,
            job_id_next: view.job_id_next,
        }
    }

    fn write_history(&self, filter: &HistoryFilter, sender: &mpsc::Sender<Result<wire::AnswerPart, Status>>) {
        let searched = self.history.history(filter, &mut |rows| {
            if give(sender, &Reply::History(rows)) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        if let Err(problem) = searched {
            error!("cannot read the history: {problem}");
            give(sender, &Reply::Refused(Refusal::new(RefusalCode::Internal, problem.to_string())));
        }
    }
}

fn remote_licenses(view: &ReadView) -> Reply {
    Reply::Accounting(view.accounting.resources.values().cloned().map(Document::Resource).collect())
}

/// Sends one part; `false` when the reader has gone.
fn give(sender: &mpsc::Sender<Result<wire::AnswerPart, Status>>, reply: &Reply) -> bool {
    sender.blocking_send(Ok(wire::AnswerPart { reply_json: encode(reply).into() })).is_ok()
}

fn select_jobs(view: &ReadView, ids: Option<Vec<JobId>>, uids: Option<Vec<u32>>, active_only: bool) -> Vec<Arc<Job>> {
    let wanted = |job: &Arc<Job>| {
        uids.as_ref().is_none_or(|uids| uids.contains(&job.spec.identity.uid))
            && (!active_only || !job.state.is_final() || job.completing)
    };
    let Some(ids) = ids else {
        return view.jobs.values().filter(|job| wanted(job)).map(|job| view.outlook.told(job)).collect();
    };
    let mut all: BTreeSet<JobId> = BTreeSet::new();
    for id in ids {
        all.insert(id);
        all.extend(view.array_tasks.get(&id).into_iter().flat_map(|tasks| tasks.values()));
        // The leader of a heterogeneous job stands for all of it.
        let leader = view.jobs.get(&id).filter(|job| !job.is_led());
        all.extend(leader.into_iter().flat_map(|job| job.components()));
    }
    all.iter().filter_map(|id| view.job(*id)).filter(|job| wanted(job)).collect()
}
