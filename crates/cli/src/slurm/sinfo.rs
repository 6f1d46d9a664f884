//! `sinfo`.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use muster_slurm::output::Outcome;
use muster_slurm::output::sinfo::Sinfo;

use super::ask::{Call, ask, failure, print};
use crate::runtime::block_on;

/// Runs `sinfo`.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    let mut call = Call::new(args);
    let sinfo = match Sinfo::new(&call.args, &call.environment) {
        Ok(sinfo) => sinfo,
        Err(outcome) => return print(&outcome),
    };
    block_on(async {
        loop {
            call.refresh();
            let outcome = match ask(sinfo.queries()).await {
                Ok(answers) => sinfo.render(&answers, &call.context),
                Err(error) => failure("sinfo", "slurm_load_partitions", &error),
            };
            let code = print(&outcome);
            let Some(seconds) = sinfo.iterate_seconds().filter(|_| outcome.code == 0) else {
                return code;
            };
            print(&Outcome::success("\n"));
            tokio::time::sleep(Duration::from_secs(seconds)).await;
        }
    })
}
