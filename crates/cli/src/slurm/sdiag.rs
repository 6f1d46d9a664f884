//! `sdiag`.

use std::ffi::OsString;
use std::process::ExitCode;

use muster_client::{Client, ClientError};
use muster_model::request::{Query, Reply};
use muster_slurm::output::sdiag::Sdiag;
use muster_slurm::output::{Answers, Outcome};

use super::ask::{Call, failure, print};
use crate::runtime::block_on;

/// How it exits when the controller does not answer (Slurm: -1).
const UNANSWERED: u8 = 255;

/// Runs `sdiag`.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    let call = Call::new(args);
    let command = match Sdiag::new(&call.args, &call.environment) {
        Ok(command) => command,
        Err(outcome) => return print(&outcome),
    };
    block_on(async {
        print(&match ask(&command).await {
            Ok(Ok(answers)) => command.render(&answers, &call.context),
            Ok(Err(outcome)) => outcome,
            Err(error @ ClientError::Unconfigured) => failure("sdiag", command.failure_prefix(), &error),
            Err(error) => Outcome { code: UNANSWERED, ..failure("sdiag", command.failure_prefix(), &error) },
        })
    })
}

/// The answers, or what to print where a question is refused.
async fn ask(command: &Sdiag) -> Result<Result<Answers, Outcome>, ClientError> {
    let client = Client::connect().await?;
    let mut replies = Vec::new();
    let mut queries: Vec<Query> = command.queries();
    while !queries.is_empty() {
        for query in std::mem::take(&mut queries) {
            replies.extend(client.query(&query).await?);
        }
        if let Some(Reply::Refused(refusal)) = replies.last() {
            return Ok(Err(command.refused(refusal)));
        }
        let is_done = replies.iter().any(|reply| matches!(reply, Reply::Done | Reply::Statistics(_)));
        if !is_done {
            queries = command.second_queries(&Answers::gather(replies.iter().cloned()));
        }
    }
    Ok(Ok(Answers::gather(replies)))
}
