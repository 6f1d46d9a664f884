//! `sacct`.

use std::ffi::OsString;
use std::process::ExitCode;

use muster_client::ClientError;
use muster_slurm::output::Outcome;
use muster_slurm::output::sacct::Sacct;

use super::ask::{Call, ask, failure, print};
use crate::runtime::block_on;

/// What Slurm says when the keeper of its records does not answer.
const NO_DATABASE: &str = "sacct: error: Problem talking to the database: Connection refused\n";

/// Runs `sacct`.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    let call = Call::new(args);
    let sacct = match Sacct::new(&call.args, &call.environment, &call.context) {
        Ok(sacct) => sacct,
        Err(outcome) => return print(&outcome),
    };
    block_on(async {
        print(&match ask(sacct.queries()).await {
            Ok(answers) => sacct.render(&answers, &call.context),
            Err(ClientError::Unreachable { .. } | ClientError::Broken(_)) => Outcome::failure(NO_DATABASE, 1),
            Err(error) => failure("sacct", "sacct: error: Problem talking to the database", &error),
        })
    })
}
