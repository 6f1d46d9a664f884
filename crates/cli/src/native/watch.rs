//! Waiting for a run and following its output, across restarts of the controller.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use muster_client::{Client, ClientError, NewsStream};
use muster_dstack::run::{RunStatus, status};
use muster_model::ids::{JobId, RestartCount};
use muster_model::job::Job;
use muster_model::state::JobState;
use tokio::time::{Instant, sleep};

/// How long a controller that has gone away is waited for.
const RECONNECT_TIME_MAX: Duration = Duration::from_secs(120);
/// Time between two tries to reach it.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);
/// A connection that stood longer than this was not refused.
const REFUSAL_TIME_MAX: Duration = Duration::from_secs(20);
/// How long a node may take until the output of a job that has just started can be read.
const OUTPUT_TIME_MAX: Duration = Duration::from_secs(10);
/// Time between two tries to read it.
const OUTPUT_PAUSE: Duration = Duration::from_millis(200);

/// One run, as it changes.
pub(super) struct Watch {
    client: Client,
    job_id: JobId,
    news: Option<NewsStream>,
    present: Option<Arc<Job>>,
}

impl Watch {
    /// Begins to watch.
    pub(super) fn new(client: &Client, job_id: JobId) -> Watch {
        Watch { client: client.clone(), job_id, news: None, present: None }
    }

    /// Waits until `done` holds for the run, and gives it as it is then. `on_change` sees each state in between.
    pub(super) async fn until(
        &mut self,
        done: impl Fn(&Job) -> bool,
        mut on_change: impl FnMut(&Job),
    ) -> Result<Arc<Job>, ClientError> {
        loop {
            if let Some(job) = &self.present {
                on_change(job);
                if done(job) {
                    return Ok(job.clone());
                }
            }
            self.present = Some(self.next().await?);
        }
    }

    /// The run as it is after the next change, or again as it is now after the connection broke.
    async fn next(&mut self) -> Result<Arc<Job>, ClientError> {
        let mut deadline = None;
        loop {
            match self.try_next().await {
                Ok(job) => return Ok(job),
                Err(error @ (ClientError::Broken(_) | ClientError::Unreachable { .. })) => {
                    self.news = None;
                    let deadline = *deadline.get_or_insert_with(|| Instant::now() + RECONNECT_TIME_MAX);
                    if Instant::now() >= deadline {
                        return Err(error);
                    }
                    sleep(RECONNECT_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn try_next(&mut self) -> Result<Arc<Job>, ClientError> {
        let news = match &mut self.news {
            Some(news) => news,
            None => self.news.insert(self.client.watch_job(self.job_id, false).await?),
        };
        match news.next().await? {
            Some(news) => Ok(news.job),
            None => Err(ClientError::Broken("the controller ended the news".to_owned())),
        }
    }
}

/// Whether a run has output: it runs, or has run and is over.
pub(super) fn has_started(job: &Job) -> bool {
    !matches!(status(job), RunStatus::Pending | RunStatus::Submitted | RunStatus::Provisioning)
}

/// Whether nothing will change any more.
pub(super) fn is_over(job: &Job) -> bool {
    status(job).is_finished()
}

/// Writes the output of one node of a run to stdout; with `follow`, until that start of the run has ended.
pub(super) async fn copy_output(client: &Client, job: &Job, node_rank: u32, follow: bool) -> Result<(), ClientError> {
    let mut offset = 0;
    let mut retries = Retries::new();
    loop {
        let (began, before) = (Instant::now(), offset);
        let copied = copy_from(client, job.id, node_rank, &mut offset, follow).await;
        if offset > before || began.elapsed() > REFUSAL_TIME_MAX {
            // It was there in between: the next absence is another one.
            retries = Retries::new();
        }
        match copied {
            Ok(()) => return Ok(()),
            Err(error @ (ClientError::Broken(_) | ClientError::Unreachable { .. })) if follow => {
                retries.pause(error, RECONNECT_TIME_MAX, RECONNECT_PAUSE).await?;
            }
            // The node has the job, but its output is not there yet.
            Err(error @ ClientError::Protocol(_)) if follow && offset == 0 && job.state == JobState::Running => {
                retries.pause(error, OUTPUT_TIME_MAX, OUTPUT_PAUSE).await?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Tries again for a limited time.
struct Retries {
    since: Option<Instant>,
}

impl Retries {
    fn new() -> Retries {
        Retries { since: None }
    }

    async fn pause(&mut self, error: ClientError, time_max: Duration, pause: Duration) -> Result<(), ClientError> {
        let since = *self.since.get_or_insert_with(Instant::now);
        if since.elapsed() >= time_max {
            return Err(error);
        }
        sleep(pause).await;
        Ok(())
    }
}

async fn copy_from(
    client: &Client,
    job_id: JobId,
    node_rank: u32,
    offset: &mut u64,
    follow: bool,
) -> Result<(), ClientError> {
    let mut output = client.read_output(job_id, node_rank, *offset, follow).await?;
    while let Some(bytes) = output.next().await? {
        let mut stdout = std::io::stdout().lock();
        if stdout.write_all(&bytes).and_then(|()| stdout.flush()).is_err() {
            // Nobody reads any more (`muster logs x | head`); that is no mistake.
            return Ok(());
        }
        *offset = offset.saturating_add(bytes.len() as u64);
    }
    Ok(())
}

/// Whether `job` is the same start of the run as `restart`.
pub(super) fn is_later_start(job: &Job, restart: RestartCount) -> bool {
    job.restart > restart
}
