//! `sshare`.

use std::ffi::OsString;
use std::process::ExitCode;

use muster_slurm::output::sshare::Sshare;

use super::ask::{Call, ask, failure, print};
use crate::runtime::block_on;

/// Runs `sshare`.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    let call = Call::new(args);
    let command = match Sshare::new(&call.args, &call.environment, &call.context) {
        Ok(command) => command,
        Err(outcome) => return print(&outcome),
    };
    block_on(async {
        print(&match ask(command.queries()).await {
            Ok(answers) => command.render(&answers),
            Err(error) => failure("sshare", "Couldn't get shares from controller", &error),
        })
    })
}
