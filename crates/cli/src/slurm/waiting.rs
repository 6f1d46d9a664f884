//! Waiting for a job across restarts of the controller.

use muster_client::{Client, ClientError, NewsStream, RETRY_PAUSE, outlast};
use muster_model::ids::JobId;
use muster_model::request::JobNews;

/// The program that holds an allocation.
#[derive(Clone, Copy)]
pub(super) struct Holder {
    /// `srun` or `salloc`.
    pub program: &'static str,
    /// `--quiet`: what is said to the job is not shown.
    pub quiet: bool,
}

/// News about one job that outlast the connection they come over.
pub(super) struct Patient {
    job_id: JobId,
    holder: Option<Holder>,
    news: NewsStream,
    /// The last news of all has come.
    is_complete: bool,
}

impl Patient {
    /// Listens from now on, also where the controller is just being started again. With a holder, the allocation
    /// lives as long as this, and what is said to it is shown.
    ///
    /// # Errors
    /// When the controller cannot be reached.
    pub(super) async fn listen(client: &Client, job_id: JobId, holder: Option<Holder>) -> Result<Patient, ClientError> {
        let holds = holder.is_some();
        let news = match client.watch_job(job_id, holds).await {
            Err(error) if error.is_absence() => watch(job_id, holds).await?,
            news => news?,
        };
        Ok(Patient { job_id, holder, news, is_complete: false })
    }

    /// The next news; `None` after the last. A controller that restarts is waited for.
    ///
    /// # Errors
    /// When the controller stays away, or does not know the job.
    pub(super) async fn next(&mut self) -> Result<Option<JobNews>, ClientError> {
        loop {
            match self.news.next().await {
                Ok(Some(JobNews { message: Some(message), .. })) => {
                    if let Some(Holder { program, quiet: false }) = self.holder {
                        eprintln!("{program}: {message}");
                    }
                    continue;
                }
                Ok(Some(piece)) => {
                    self.is_complete = piece.last;
                    return Ok(Some(piece));
                }
                // One that is asked to stop ends its streams in good order, wherever they are.
                Ok(None) if !self.is_complete => tokio::time::sleep(RETRY_PAUSE).await,
                Err(error) if error.is_absence() => {}
                other => return other,
            }
            self.news = watch(self.job_id, self.holder.is_some()).await?;
        }
    }
}

/// News from a controller that is waited for.
async fn watch(job_id: JobId, holds: bool) -> Result<NewsStream, ClientError> {
    outlast(async || Client::connect().await?.watch_job(job_id, holds).await).await
}
