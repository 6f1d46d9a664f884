//! Stored scripts and execution contexts, for their owners.

use std::ops::ControlFlow;
use std::sync::Arc;

use muster_model::ids::{BlobId, JobId};
use muster_model::job::Job;
use muster_model::request::HistoryFilter;
use muster_model::statistics::CallKind;
use muster_proto as wire;
use tonic::{Request, Response, Status};

use super::ApiService;

impl ApiService {
    pub(super) async fn blob(&self, request: Request<wire::BlobRequest>) -> Result<Response<wire::Blob>, Status> {
        let identity = self.identities.caller(&request)?;
        let wanted = request.into_inner();
        let _open = self.meters.begin(CallKind::FetchBlob, &identity);
        let id = BlobId(wanted.id.as_str().into());
        let not_found = || Status::not_found(format!("job {} has no such script or environment", wanted.job_id));
        let job = self.job_known(JobId(wanted.job_id)).await.ok_or_else(not_found)?;
        if !identity.is_operator() && identity.uid != job.spec.identity.uid {
            return Err(Status::permission_denied(format!("job {} belongs to {}", job.id, job.spec.identity.user)));
        }
        if job.spec.script.as_ref() != Some(&id) && job.spec.context.as_ref() != Some(&id) {
            return Err(not_found());
        }
        let blobs = self.blobs.clone();
        let found = tokio::task::spawn_blocking(move || blobs.get(&id)).await;
        match found {
            Ok(Ok(Some(content))) => Ok(Response::new(wire::Blob { id: wanted.id, content: content.to_vec().into() })),
            Ok(Ok(None)) => Err(not_found()),
            Ok(Err(problem)) => Err(Status::data_loss(format!("cannot read it from the store: {problem}"))),
            Err(_) => Err(Status::data_loss("reading it failed")),
        }
    }

    /// The job as it is in memory, or else as the history has it.
    async fn job_known(&self, id: JobId) -> Option<Arc<Job>> {
        if let Some(job) = self.published.view().jobs.get(&id) {
            return Some(job.clone());
        }
        let history = self.history.clone();
        let filter = HistoryFilter { ids: Some(vec![id]), ..HistoryFilter::default() };
        let searched = tokio::task::spawn_blocking(move || {
            let mut found = None;
            let searched = history.history(&filter, &mut |rows| {
                found = rows.into_iter().map(|row| row.job).find(|job| job.id == id).or(found.take());
                ControlFlow::Continue(())
            });
            searched.map(|_| found)
        });
        searched.await.ok()?.ok()?
    }
}
