//! `muster explain`: why a job waits, and when it starts.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use jiff::tz::TimeZone;
use muster_client::Client;
use muster_model::ids::JobId;
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
    let Some(query) = question(&arguments.job) else {
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

/// `36` or `36_4`.
fn question(text: &str) -> Option<Query> {
    match text.split_once('_') {
        None => Some(Query::Explain(JobId(text.parse().ok()?))),
        Some((array, index)) => Some(Query::ExplainTask(JobId(array.parse().ok()?), index.parse().ok()?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_named_by_its_number_or_as_a_task() {
        assert_eq!(question("36"), Some(Query::Explain(JobId(36))));
        assert_eq!(question("36_4"), Some(Query::ExplainTask(JobId(36), 4)));
        for text in ["", "_", "36_", "_4", "36_4_5", "99999999999", "36.batch", "-1"] {
            assert_eq!(question(text), None, "{text}");
        }
    }
}
