//! `muster explain`: why a job waits, and when it starts.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use jiff::tz::TimeZone;
use muster_client::Client;
use muster_model::request::{Query, Reply};
use muster_slurm::output::explanation;

use super::arguments::{main, parse};
use super::terminal::{put, say};

/// Say why a waiting job does not start, what stands in its way, when it is to start, and when it would start otherwise.
#[derive(Debug, Parser)]
struct Arguments {
    /// Number of the job, or of an array and a task of it, as in 36_4.
    #[arg(value_name = "JOB")]
    job: String,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// `muster explain`.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    match parse::<Arguments>("explain", args) {
        Ok(arguments) => main(explain(arguments)),
        Err(code) => code,
    }
}

async fn explain(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Some(query) = Query::explanation_of(&arguments.job) else {
        anyhow::bail!("{:?} is not the number of a job, or of a task as in 36_4", arguments.job);
    };
    let client = Client::connect().await?;
    for reply in client.query(&query).await? {
        match reply {
            Reply::Explained(explanation) if arguments.json => say(&serde_json::to_string_pretty(&*explanation)?),
            Reply::Explained(explanation) => put(&explanation::text(&explanation, &TimeZone::system())),
            Reply::Refused(refusal) if refusal.detail.is_empty() => anyhow::bail!("{refusal}"),
            Reply::Refused(refusal) => anyhow::bail!("{}", refusal.detail),
            _ => {}
        }
    }
    Ok(ExitCode::SUCCESS)
}
