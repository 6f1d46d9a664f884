//! `muster run get NAME`.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use muster_client::Client;
use muster_dstack::run::run_json;

use super::arguments::{main, parse};
use super::runs;
use super::terminal::say;

/// Show one run.
#[derive(Debug, Parser)]
struct Arguments {
    /// Only among the runs of this project.
    #[arg(long, value_name = "NAME", global = true)]
    project: Option<String>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Print a run as JSON.
    Get(Get),
}

#[derive(Debug, Args)]
struct Get {
    /// Name of the run.
    #[arg(required_unless_present = "id", conflicts_with = "id")]
    name: Option<String>,
    /// Identifier of the run (UUID).
    #[arg(long)]
    id: Option<String>,
    /// As JSON: the only form there is.
    #[arg(long)]
    json: bool,
}

/// `muster run get NAME`.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    match parse::<Arguments>("run", args) {
        Ok(arguments) => main(get(arguments)),
        Err(code) => code,
    }
}

async fn get(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Verb::Get(get) = arguments.verb;
    if !get.json {
        eprintln!("the only form is JSON; say --json to be sure of it");
    }
    let client = Client::connect().await?;
    let project = runs::project(arguments.project);
    let job = match (&get.id, &get.name) {
        (Some(id), _) => runs::find_by_id(&client, id, project.as_deref()).await?,
        (None, Some(name)) => runs::find(&client, name, project.as_deref()).await?,
        (None, None) => anyhow::bail!("a name or --id is needed"),
    };
    say(&serde_json::to_string_pretty(&run_json(&job, runs::now()))?);
    Ok(ExitCode::SUCCESS)
}
