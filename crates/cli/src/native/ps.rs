//! `muster ps`.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use muster_client::Client;
use muster_dstack::run::{TableOptions, runs_json, runs_table, status};
use muster_dstack::task::PROJECT_DEFAULT;
use muster_model::job::Job;

use super::arguments::{main, parse};
use super::terminal::{put, say};
use super::{runs, terminal};

/// List runs: those that have not ended, or else the last one.
#[derive(Debug, Parser)]
struct Arguments {
    /// Also those that have ended.
    #[arg(short, long)]
    all: bool,
    /// With resources, nodes and errors.
    #[arg(short, long)]
    verbose: bool,
    /// Again and again, until Ctrl-C.
    #[arg(short, long)]
    watch: bool,
    /// Only the last N; also those that have ended.
    #[arg(short = 'n', long, value_name = "N")]
    last: Option<usize>,
    /// Form of the list.
    #[arg(long, value_enum, default_value_t = Format::Plain)]
    format: Format,
    /// The same as --format json.
    #[arg(long)]
    json: bool,
    /// Only the runs of this project.
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Plain,
    Json,
}

/// Time between two looks.
const WATCH_PAUSE: Duration = Duration::from_secs(2);

/// `muster ps`.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    match parse::<Arguments>("ps", args) {
        Ok(arguments) => main(ps(arguments)),
        Err(code) => code,
    }
}

async fn ps(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let as_json = arguments.json || arguments.format == Format::Json;
    if as_json && arguments.watch {
        anyhow::bail!("JSON output is not supported together with --watch");
    }
    let client = Client::connect().await?;
    let project = runs::project(arguments.project.clone());
    if as_json {
        let jobs = select(&client, project.as_deref(), &arguments).await?;
        let jobs: Vec<&Job> = jobs.iter().map(|job| &**job).collect();
        let name = project.as_deref().unwrap_or(PROJECT_DEFAULT);
        say(&runs_json(name, &jobs, runs::now()).to_string());
        return Ok(ExitCode::SUCCESS);
    }
    if !arguments.watch {
        put(&table(&client, project.as_deref(), &arguments).await?);
        return Ok(ExitCode::SUCCESS);
    }
    tokio::select! {
        result = watch(&client, project.as_deref(), &arguments) => result.map(|()| ExitCode::SUCCESS),
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::SUCCESS),
    }
}

/// Prints the table over itself; one below the other where stdout is no terminal.
async fn watch(client: &Client, project: Option<&str>, arguments: &Arguments) -> anyhow::Result<()> {
    let mut shown = 0;
    loop {
        let table = table(client, project, arguments).await?;
        if std::io::stdout().is_terminal() && shown > 0 {
            put(&format!("\x1b[{shown}A\x1b[J"));
        }
        put(&table);
        shown = table.lines().count();
        tokio::time::sleep(WATCH_PAUSE).await;
    }
}

async fn table(client: &Client, project: Option<&str>, arguments: &Arguments) -> anyhow::Result<String> {
    let jobs = select(client, project, arguments).await?;
    let jobs: Vec<&Job> = jobs.iter().map(|job| &**job).collect();
    let options = TableOptions { now: runs::now(), width: terminal::width(), verbose: arguments.verbose };
    Ok(runs_table(&jobs, options))
}

/// The runs that are asked for, newest first.
async fn select(client: &Client, project: Option<&str>, arguments: &Arguments) -> anyhow::Result<Vec<Arc<Job>>> {
    if arguments.all || arguments.last.is_some() {
        let mut all = runs::all(client, project).await?;
        all.truncate(arguments.last.unwrap_or(usize::MAX));
        return Ok(all);
    }
    let present = runs::present(client, project).await?;
    let active: Vec<Arc<Job>> = present.iter().filter(|job| !status(job).is_finished()).cloned().collect();
    if !active.is_empty() {
        return Ok(active);
    }
    let last = match present.into_iter().next() {
        Some(last) => Some(last),
        None => runs::all(client, project).await?.into_iter().next(),
    };
    Ok(last.into_iter().collect())
}
