//! `muster logs NAME`.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use muster_client::Client;

use super::arguments::{check_replica, main, parse};
use super::follow::{Wish, follow};
use super::runs;
use super::watch::copy_output;

/// Show the output of a run.
#[derive(Debug, Parser)]
struct Arguments {
    /// Stay until the run is over.
    #[arg(short, long)]
    follow: bool,
    /// Replica; a task has only number 0.
    #[arg(long, value_name = "N", default_value_t = 0)]
    replica: u32,
    /// Node of the run, from 0.
    #[arg(long, value_name = "N", default_value_t = 0)]
    job: u32,
    /// Only among the runs of this project.
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// Name of the run.
    run_name: String,
}

/// `muster logs NAME`.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    match parse::<Arguments>("logs", args) {
        Ok(arguments) => main(logs(arguments)),
        Err(code) => code,
    }
}

async fn logs(arguments: Arguments) -> anyhow::Result<ExitCode> {
    check_replica(arguments.replica)?;
    let client = Client::connect().await?;
    let project = runs::project(arguments.project);
    let job = runs::find(&client, &arguments.run_name, project.as_deref()).await?;
    if arguments.follow {
        let wish = Wish { output: true, node_rank: arguments.job, table: false, ask_to_stop: false };
        return follow(&client, &arguments.run_name, job.id, wish).await;
    }
    if job.allocation.is_none() {
        eprintln!("{} has not started yet", arguments.run_name);
        return Ok(ExitCode::SUCCESS);
    }
    copy_output(&client, &job, arguments.job, false).await?;
    Ok(ExitCode::SUCCESS)
}
