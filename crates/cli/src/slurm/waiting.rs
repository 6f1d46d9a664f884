//! Waiting for a job, across restarts of the controller.

use std::time::Duration;

use muster_client::{Client, ClientError, NewsStream};
use muster_model::ids::JobId;
use muster_model::request::JobNews;

/// How long a controller may be away before one gives up on it.
const ABSENCE_MAX: Duration = Duration::from_secs(120);
/// Pause between attempts to reach it.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// News about one job that outlast the connection they come over.
pub(super) struct Patient {
    job_id: JobId,
    holds: bool,
    news: NewsStream,
}

impl Patient {
    /// Listens from now on, also where the controller is just being started again. With `holds`, the allocation lives as long as this.
    ///
    /// # Errors
    /// When the controller cannot be reached.
    pub(super) async fn listen(client: &Client, job_id: JobId, holds: bool) -> Result<Patient, ClientError> {
        let news = match client.watch_job(job_id, holds).await {
            Err(ClientError::Broken(_) | ClientError::Unreachable { .. }) => {
                Client::connect().await?.watch_job(job_id, holds).await?
            }
            news => news?,
        };
        Ok(Patient { job_id, holds, news })
    }

    /// The next news; `None` after the last. A controller that restarts is waited for.
    ///
    /// # Errors
    /// When the controller stays away, or does not know the job.
    pub(super) async fn next(&mut self) -> Result<Option<JobNews>, ClientError> {
        loop {
            match self.news.next().await {
                Err(ClientError::Broken(_) | ClientError::Unreachable { .. }) => self.come_back().await?,
                other => return other,
            }
        }
    }

    async fn come_back(&mut self) -> Result<(), ClientError> {
        let end = tokio::time::Instant::now() + ABSENCE_MAX;
        loop {
            let attempt = async {
                let client = Client::connect().await?;
                client.watch_job(self.job_id, self.holds).await
            };
            match attempt.await {
                Ok(news) => {
                    self.news = news;
                    return Ok(());
                }
                Err(problem @ (ClientError::Broken(_) | ClientError::Unreachable { .. })) => {
                    if tokio::time::Instant::now() >= end {
                        return Err(problem);
                    }
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Err(other) => return Err(other),
            }
        }
    }
}
