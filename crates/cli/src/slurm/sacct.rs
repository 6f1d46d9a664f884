//! `sacct`.

use std::ffi::OsString;
use std::process::ExitCode;

use muster_client::{Client, ClientError};
use muster_slurm::output::Outcome;
use muster_slurm::output::sacct::{Sacct, Wanted};

use super::ask::{Call, ask, failure, print, reason};
use crate::runtime::block_on;

/// What Slurm says when the keeper of its records does not answer.
const NO_DATABASE: &str = "sacct: error: Problem talking to the database: Connection refused\n";

/// Stored scripts or environments, one after the other.
async fn contents(wanted: &[Wanted]) -> Outcome {
    let client = match Client::connect().await {
        Ok(client) => client,
        Err(error) => return failure("sacct", "sacct: error: Problem talking to the database", &error),
    };
    let mut outcome = Outcome::default();
    for one in wanted {
        let stored = match &one.blob {
            Some(blob) => match client.fetch_blob(blob, one.job_id).await {
                Ok(stored) => Some(stored),
                Err(error) => {
                    outcome.stderr.push_str(&format!("sacct: error: job {}: {}\n", one.job_id, reason(&error)));
                    outcome.code = 1;
                    continue;
                }
            },
            None => None,
        };
        outcome.stdout.push_str(&one.text(stored.as_deref()));
    }
    outcome
}

/// Runs `sacct`.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    let call = Call::new(args);
    let sacct = match Sacct::new(&call.args, &call.environment, &call.context) {
        Ok(sacct) => sacct,
        Err(outcome) => return print(&outcome),
    };
    block_on(async {
        print(&match ask(sacct.queries()).await {
            Ok(answers) => match sacct.contents(&answers) {
                Some(Ok(wanted)) => contents(&wanted).await,
                Some(Err(outcome)) => outcome,
                None => sacct.render(&answers, &call.context),
            },
            Err(ClientError::Unreachable { .. } | ClientError::Broken(_)) => Outcome::failure(NO_DATABASE, 1),
            Err(error) => failure("sacct", "sacct: error: Problem talking to the database", &error),
        })
    })
}
