//! `squeue`.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use muster_slurm::output::Outcome;
use muster_slurm::output::squeue::Squeue;

use super::ask::{Call, ask, failure, print};
use crate::runtime::block_on;

/// Runs `squeue`.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    let mut call = Call::new(args);
    let squeue = match Squeue::new(&call.args, &call.environment, &call.context) {
        Ok(squeue) => squeue,
        Err(outcome) => return print(&outcome),
    };
    block_on(async {
        loop {
            call.refresh();
            let outcome = match ask(squeue.queries()).await {
                Ok(answers) => squeue.render(&answers, &call.context),
                Err(error) => failure("squeue", "slurm_load_jobs error", &error),
            };
            let code = print(&outcome);
            let Some(seconds) = squeue.iterate_seconds().filter(|_| outcome.code == 0) else {
                return code;
            };
            print(&Outcome::success("\n"));
            tokio::time::sleep(Duration::from_secs(seconds)).await;
        }
    })
}
