//! Finding runs: among the jobs in the controller's memory, and in its history.

use std::sync::Arc;

use anyhow::bail;
use muster_client::{Client, ClientError};
use muster_dstack::run::{identity, is_run, status};
use muster_model::job::Job;
use muster_model::request::{HistoryFilter, Query, Reply};
use muster_model::time::Timestamp;

/// The present time.
pub(crate) fn now() -> Timestamp {
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
}

/// The project that the user works in, if any is named: `--project`, else `DSTACK_PROJECT`.
pub(crate) fn project(option: Option<String>) -> Option<String> {
    option.or_else(|| std::env::var("DSTACK_PROJECT").ok()).filter(|project| !project.is_empty())
}

/// The runs in memory, newest first: all that have not ended, and those that ended a short while ago.
pub(crate) async fn present(client: &Client, project: Option<&str>) -> Result<Vec<Arc<Job>>, ClientError> {
    let replies = client.inquire(&Query::Jobs { ids: None, uids: None, active_only: false }).await?;
    let jobs = replies.into_iter().flat_map(|reply| match reply {
        Reply::Jobs(jobs) => jobs,
        _ => Vec::new(),
    });
    Ok(sorted(jobs.filter(|job| belongs(job, project)).collect()))
}

/// All runs that were ever, newest first.
pub(crate) async fn all(client: &Client, project: Option<&str>) -> anyhow::Result<Vec<Arc<Job>>> {
    let mut runs = present(client, project).await?;
    let replies = client.inquire(&Query::History(HistoryFilter::default())).await?;
    let rows = replies.into_iter().flat_map(|reply| match reply {
        Reply::History(rows) => rows,
        _ => Vec::new(),
    });
    for row in rows {
        if belongs(&row.job, project) && !runs.iter().any(|run| run.id == row.job.id) {
            runs.push(row.job);
        }
    }
    Ok(sorted(runs))
}

fn belongs(job: &Job, project: Option<&str>) -> bool {
    is_run(job) && project.is_none_or(|project| job.spec.run.as_ref().is_some_and(|run| &*run.project == project))
}

fn sorted(mut runs: Vec<Arc<Job>>) -> Vec<Arc<Job>> {
    runs.sort_by_key(|job| std::cmp::Reverse(job.id));
    runs
}

/// The newest run of that name; one that has not ended before one that has.
pub(crate) async fn find(client: &Client, name: &str, project: Option<&str>) -> anyhow::Result<Arc<Job>> {
    let has_name = |job: &&Arc<Job>| job.spec.run.as_ref().is_some_and(|run| &*run.run_name == name);
    let newest = |runs: &[Arc<Job>]| {
        let mut named = runs.iter().filter(has_name);
        let first = named.clone().next();
        named.find(|job| !status(job).is_finished()).or(first).cloned()
    };
    if let Some(run) = newest(&present(client, project).await?) {
        return Ok(run);
    }
    match newest(&all(client, project).await?) {
        Some(run) => Ok(run),
        None => bail!("Run {name} not found"),
    }
}

/// The run with that identifier.
pub(crate) async fn find_by_id(client: &Client, id: &str, project: Option<&str>) -> anyhow::Result<Arc<Job>> {
    let id = id.to_ascii_lowercase();
    let has_id = |job: &Arc<Job>| job.spec.run.as_ref().is_some_and(|run| identity::run_id(job.id, run) == id);
    if let Some(run) = present(client, project).await?.into_iter().find(has_id) {
        return Ok(run);
    }
    match all(client, project).await?.into_iter().find(has_id) {
        Some(run) => Ok(run),
        None => bail!("Run {id} not found"),
    }
}
