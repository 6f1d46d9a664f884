//! Waiting for a job, and saying what must not be lost, across restarts of the controller.

use std::time::Duration;

use muster_client::{Client, ClientError, NewsStream};
use muster_model::ids::JobId;
use muster_model::request::{Answer, Command, JobNews, Query, Reply};

/// How long a controller may be away before one gives up on it.
const ABSENCE_MAX: Duration = Duration::from_secs(120);
/// Pause between attempts to reach it.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// News about one job that outlast the connection they come over.
pub(super) struct Patient {
    job_id: JobId,
    holds: bool,
    news: NewsStream,
    /// The last news of all has come.
    is_complete: bool,
}

impl Patient {
    /// Listens from now on, also where the controller is just being started again. With `holds`, the allocation lives as long as this.
    ///
    /// # Errors
    /// When the controller cannot be reached.
    pub(super) async fn listen(client: &Client, job_id: JobId, holds: bool) -> Result<Patient, ClientError> {
        let news = match client.watch_job(job_id, holds).await {
            Err(ClientError::Broken(_) | ClientError::Unreachable { .. }) => watch(job_id, holds).await?,
            news => news?,
        };
        Ok(Patient { job_id, holds, news, is_complete: false })
    }

    /// The next news; `None` after the last. A controller that restarts is waited for.
    ///
    /// # Errors
    /// When the controller stays away, or does not know the job.
    pub(super) async fn next(&mut self) -> Result<Option<JobNews>, ClientError> {
        loop {
            match self.news.next().await {
                Ok(Some(piece)) => {
                    self.is_complete = piece.last;
                    return Ok(Some(piece));
                }
                // One that is asked to stop ends its streams in good order, wherever they are.
                Ok(None) if !self.is_complete => tokio::time::sleep(RETRY_PAUSE).await,
                Err(ClientError::Broken(_) | ClientError::Unreachable { .. }) => {}
                other => return other,
            }
            self.news = watch(self.job_id, self.holds).await?;
        }
    }
}

/// News from a controller that is waited for.
async fn watch(job_id: JobId, holds: bool) -> Result<NewsStream, ClientError> {
    outlast(async || Client::connect().await?.watch_job(job_id, holds).await).await
}

/// Says something that may be said twice to a controller, once more wherever that goes away meanwhile: who answers first may be the one that is
/// on its way out.
///
/// # Errors
/// What the controller refuses; or when it stays away.
pub(super) async fn insist(client: &Client, command: &Command) -> Result<Answer, ClientError> {
    match client.command(command).await {
        Err(ClientError::Broken(_) | ClientError::Unreachable { .. }) => {
            outlast(async || Client::connect().await?.command(command).await).await
        }
        answer => answer,
    }
}

/// Asks a question, once more wherever the controller goes away before it has answered.
///
/// # Errors
/// What the controller refuses; or when it stays away.
pub(super) async fn inquire(client: &Client, query: &Query) -> Result<Vec<Reply>, ClientError> {
    match client.query(query).await {
        Err(ClientError::Broken(_) | ClientError::Unreachable { .. }) => {
            outlast(async || Client::connect().await?.query(query).await).await
        }
        replies => replies,
    }
}

/// Tries until it works, is refused, or the controller has been away for too long.
async fn outlast<T>(attempt: impl AsyncFn() -> Result<T, ClientError>) -> Result<T, ClientError> {
    let end = tokio::time::Instant::now() + ABSENCE_MAX;
    loop {
        match attempt().await {
            Err(ClientError::Broken(_) | ClientError::Unreachable { .. }) if tokio::time::Instant::now() < end => {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            result => return result,
        }
    }
}
