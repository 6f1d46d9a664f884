//! `muster attach NAME`.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use muster_client::Client;
use muster_dstack::run::{RunStatus, status};

use super::arguments::{check_replica, main, parse};
use super::follow::{Wish, follow};
use super::runs;

/// Stay with a run until it is over. The exit code is 0 only if it is done.
#[derive(Debug, Parser)]
struct Arguments {
    /// Print its output as it comes.
    #[arg(long)]
    logs: bool,
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

/// `muster attach NAME`.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    match parse::<Arguments>("attach", args) {
        Ok(arguments) => main(attach(arguments)),
        Err(code) => code,
    }
}

async fn attach(arguments: Arguments) -> anyhow::Result<ExitCode> {
    check_replica(arguments.replica)?;
    let client = Client::connect().await?;
    let project = runs::project(arguments.project);
    let name = arguments.run_name;
    let job = runs::find(&client, &name, project.as_deref()).await?;
    let present = status(&job);
    if present.is_finished() && present != RunStatus::Done {
        anyhow::bail!("Run {name} is {present}");
    }
    if !arguments.logs {
        eprintln!(
            "Attached to run {name}; its ports are those of its nodes. With --logs its output is shown too. Ctrl-C detaches."
        );
    }
    let wish = Wish { output: arguments.logs, node_rank: arguments.job, table: false, ask_to_stop: false };
    follow(&client, &name, job.id, wish).await
}
