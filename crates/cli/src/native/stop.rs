//! `muster stop NAME`.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use muster_client::{Client, ClientError};
use muster_dstack::run::status;
use muster_model::ids::JobId;
use muster_model::job::Job;
use muster_model::request::{Cancel, Command, JobTarget, RefusalCode};

use super::arguments::{main, parse};
use super::terminal::{self, Reply, say};
use super::watch::{Watch, is_over};
use super::{runs, terminal::program};

/// Stop a run.
#[derive(Debug, Parser)]
struct Arguments {
    /// Kill its processes at once instead of asking them to end.
    #[arg(short = 'x', long)]
    abort: bool,
    /// Do not ask for confirmation.
    #[arg(short, long)]
    yes: bool,
    /// Only among the runs of this project.
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// Name of the run.
    run_name: String,
}

/// `muster stop NAME`.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    match parse::<Arguments>("stop", args) {
        Ok(arguments) => main(stop(arguments)),
        Err(code) => code,
    }
}

async fn stop(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let client = Client::connect().await?;
    let project = runs::project(arguments.project);
    let job = runs::find(&client, &arguments.run_name, project.as_deref()).await?;
    if status(&job).is_finished() {
        say(&format!("Run {} is {} already", arguments.run_name, status(&job)));
        return Ok(ExitCode::SUCCESS);
    }
    if !arguments.yes {
        match terminal::ask(&format!("Stop the run {}?", arguments.run_name)).await {
            Reply::Yes => {}
            Reply::No => return Ok(ExitCode::SUCCESS),
            Reply::Nobody => anyhow::bail!("nobody is there to answer; use `{} stop -y`", program()),
            Reply::Interrupted => anyhow::bail!("cancelled"),
        }
    }
    stop_run(&client, job.id, if arguments.abort { Force::AtOnce } else { Force::Gently }).await?;
    say(if arguments.abort { "Aborted" } else { "Stopped" });
    Ok(ExitCode::SUCCESS)
}

/// How a run is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Force {
    /// Its processes are asked, and killed when they take too long.
    Gently,
    /// They are killed.
    AtOnce,
}

/// Signal number of SIGKILL.
const KILL: u8 = 9;

/// Stops a run; one that has ended is fine.
pub(super) async fn stop_run(client: &Client, job_id: JobId, force: Force) -> Result<(), ClientError> {
    let cancel = |signal: Option<u8>| Cancel {
        target: JobTarget::job(job_id),
        signal,
        batch_only: signal.is_some(),
        full: false,
        states: Vec::new(),
    };
    let kill = (force == Force::AtOnce).then_some(Some(KILL));
    // One right after the other: the job counts as cancelled before the death of its processes is reported.
    for signal in kill.into_iter().chain([None]) {
        match client.insist(&Command::Cancel(cancel(signal))).await {
            // A run that waits has no processes to kill.
            Err(ClientError::Refused(_)) if signal.is_some() => {}
            Err(ClientError::Refused(refusal)) if refusal.code == RefusalCode::AlreadyDone => {}
            result => drop(result?),
        }
    }
    Ok(())
}

/// Waits until a run is over.
pub(super) async fn wait_until_over(client: &Client, job_id: JobId) -> Result<Arc<Job>, ClientError> {
    Watch::new(client, job_id).until(is_over, |_| {}).await
}
