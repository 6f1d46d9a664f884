//! Being attached to a run: its output until the end, what to do on Ctrl-C, and the exit code.

use std::process::ExitCode;
use std::sync::Arc;

use muster_client::Client;
use muster_dstack::run::{RunStatus, TableOptions, error_message, runs_table, status, status_message};
use muster_model::ids::JobId;
use muster_model::job::Job;

use super::runs::now;
use super::stop::{Force, stop_run, wait_until_over};
use super::terminal::{self, Reply, Spinner, put, say};
use super::watch::{Watch, copy_output, has_started, is_later_start, is_over};

/// What is wanted of being attached.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    /// Print the output.
    pub(super) output: bool,
    /// Of which node.
    pub(super) node_rank: u32,
    /// Print the table of the run when it has started.
    pub(super) table: bool,
    /// On Ctrl-C: ask whether to stop the run, or only detach.
    pub(super) ask_to_stop: bool,
}

/// Stays with a run until it is over, or until the user leaves it.
pub(super) async fn follow(client: &Client, name: &str, job_id: JobId, wish: Wish) -> anyhow::Result<ExitCode> {
    tokio::select! {
        result = follow_to_end(client, name, job_id, wish) => {
            let job = result?;
            say(&finished_message(&job));
            Ok(exit_code(&job))
        }
        _ = tokio::signal::ctrl_c() => interrupted(client, name, job_id, wish.ask_to_stop).await,
    }
}

/// Follows each start of the run; one that goes back to the queue is waited for again.
async fn follow_to_end(client: &Client, name: &str, job_id: JobId, wish: Wish) -> anyhow::Result<Arc<Job>> {
    let mut watch = Watch::new(client, job_id);
    loop {
        let started = {
            let spinner = Spinner::start(format!("Launching {name}..."));
            watch.until(has_started, |job| spinner.say(waiting_message(name, job))).await?
        };
        if wish.table {
            let options =
                TableOptions { now: now(), width: terminal::width(), verbose: status(&started) == RunStatus::Failed };
            put(&runs_table(&[&started], options));
            say(&format!("\n{name} provisioning completed ({})\n", status(&started)));
        }
        let ran = started.allocation.is_some();
        if wish.output
            && ran
            && let Err(error) = copy_output(client, &started, wish.node_rank, true).await
        {
            eprintln!("cannot read the output of {name}: {error}");
        }
        let restart = started.restart;
        let done = |job: &Job| is_over(job) || is_later_start(job, restart);
        let job = watch.until(done, |_| {}).await?;
        if is_over(&job) {
            return Ok(job);
        }
        eprintln!("{name} goes back to the queue");
    }
}

/// What one waits for.
fn waiting_message(name: &str, job: &Job) -> String {
    match job.reason {
        muster_model::state::Reason::None => format!("Launching {name}... ({})", status_message(job)),
        reason => {
            let detail = job.reason_detail.as_deref().map(|detail| format!(": {detail}")).unwrap_or_default();
            format!("Launching {name}... ({}, {reason}{detail})", status_message(job))
        }
    }
}

/// `Exited (1)`, with what went wrong beyond that.
fn finished_message(job: &Job) -> String {
    let message = capitalised(&status_message(job));
    match error_message(job) {
        Some(error) => format!("{message} ({})", capitalised(error)),
        None => message,
    }
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    first + characters.as_str()
}

/// 0 only for a run that is done.
fn exit_code(job: &Job) -> ExitCode {
    if status(job) == RunStatus::Done { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The user wants to leave. A second Ctrl-C ends the run at once.
async fn interrupted(client: &Client, name: &str, job_id: JobId, ask_to_stop: bool) -> anyhow::Result<ExitCode> {
    let reply = if ask_to_stop {
        terminal::ask(&format!("\nStop the run {name} before detaching?")).await
    } else {
        say("");
        Reply::No
    };
    match reply {
        Reply::Yes => {
            stop_run(client, job_id, Force::Gently).await?;
            let spinner = Spinner::start("Stopping...");
            let interrupted = tokio::select! {
                result = wait_until_over(client, job_id) => result.map(|_| false)?,
                _ = tokio::signal::ctrl_c() => true,
            };
            drop(spinner);
            if interrupted { abort(client, job_id).await } else { Ok(stopped()) }
        }
        Reply::No | Reply::Nobody => {
            say("Detached");
            Ok(ExitCode::SUCCESS)
        }
        Reply::Interrupted => abort(client, job_id).await,
    }
}

fn stopped() -> ExitCode {
    say("Stopped");
    ExitCode::SUCCESS
}

async fn abort(client: &Client, job_id: JobId) -> anyhow::Result<ExitCode> {
    stop_run(client, job_id, Force::AtOnce).await?;
    say("Aborted");
    Ok(ExitCode::FAILURE)
}

#[cfg(test)]
mod tests {
    #[test]
    fn messages_begin_with_a_capital() {
        assert_eq!(super::capitalised("exited (1)"), "Exited (1)");
        assert_eq!(super::capitalised(""), "");
    }
}
