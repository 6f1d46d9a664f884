//! Bars that move as the jobs do. They follow news from the controller; nothing is polled.

use std::collections::BTreeSet;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use muster_client::Client;
use muster_model::ids::JobId;
use muster_model::job::{ArrayRole, Job};
use muster_model::state::JobState;
use tokio::task::JoinSet;

/// Runs `work` behind a spinner.
pub(super) fn spinner<T>(text: &'static str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let bar = ProgressBar::new_spinner().with_message(text);
    bar.enable_steady_tick(Duration::from_millis(80));
    let result = work();
    bar.finish_and_clear();
    result
}

/// Follows all jobs until they have ended.
///
/// # Errors
/// When a job ends in another way than COMPLETED, or the controller goes away.
pub(super) async fn follow(client: &Client, jobs: &[(&'static str, JobId)]) -> anyhow::Result<()> {
    let bars = MultiProgress::new();
    let mut following = JoinSet::new();
    for (name, job_id) in jobs.iter().copied() {
        let bar = bars.add(ProgressBar::new(1).with_prefix(name).with_style(style()));
        bar.enable_steady_tick(Duration::from_millis(100));
        following.spawn(follow_one(client.clone(), job_id, bar));
    }
    let mut ends = Vec::new();
    while let Some(joined) = following.join_next().await {
        ends.push(joined??);
    }
    ends.sort();
    drop(bars.clear());
    for (job_id, state) in &ends {
        let name = jobs.iter().find(|(_, id)| id == job_id).map_or("job", |(name, _)| *name);
        println!("{name:<8} job {job_id:<5} {state}");
    }
    let failed = ends.iter().find(|(_, state)| *state != JobState::Completed);
    anyhow::ensure!(failed.is_none(), "a job of the demo did not complete: {failed:?}");
    Ok(())
}

async fn follow_one(client: Client, job_id: JobId, bar: ProgressBar) -> anyhow::Result<(JobId, JobState)> {
    let mut news = client.watch_job(job_id, false).await?;
    let mut ended = BTreeSet::new();
    let mut worst = JobState::Completed;
    while let Some(piece) = news.next().await? {
        let job = &piece.job;
        let total = job.spec.array.as_ref().map_or(1, |array| u64::from(array.tasks.len()));
        bar.set_length(total);
        bar.set_message(describe(job));
        if job.state.is_final() && !job.completing {
            ended.insert(job.task_index());
            worst = if job.state == JobState::Completed { worst } else { job.state };
        }
        bar.set_position((ended.len() as u64).min(total));
        if piece.last {
            bar.finish();
            return Ok((job_id, worst));
        }
    }
    anyhow::bail!("no more news about job {job_id}")
}

fn describe(job: &Job) -> String {
    let which = job.task_index().map_or_else(String::new, |index| format!("task {index} "));
    match (&job.node_list, job.state) {
        (Some(nodes), JobState::Running) => format!("{which}runs on {nodes}"),
        (_, JobState::Pending) if matches!(job.array, Some(ArrayRole::Waiting { .. })) => "tasks wait".to_owned(),
        (_, JobState::Pending) => format!("{which}waits ({})", job.reason),
        (_, state) => format!("{which}{}", state.as_str().to_lowercase()),
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {prefix:8} {bar:32} {pos:>2}/{len:<2} {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}
