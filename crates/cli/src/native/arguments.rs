//! What all native commands have in common: reading their arguments, running, and saying what went wrong.

use std::ffi::OsString;
use std::future::Future;
use std::process::ExitCode;

use clap::Parser;
use muster_client::ClientError;

use super::terminal::program;

/// Prints clap's message (help and version to stdout, mistakes to stderr) and gives the exit code for it.
pub(crate) fn refuse(error: &clap::Error) -> ExitCode {
    // A closed pipe is no reason to complain about the complaint.
    drop(error.print());
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Reads the arguments of the command `name`; the exit code where there is nothing to do (help) or to read.
pub(super) fn parse<A: Parser>(name: &'static str, args: Vec<OsString>) -> Result<A, ExitCode> {
    let called = format!("{} {name}", program());
    let command = A::command().name(name).bin_name(called.clone()).version(env!("CARGO_PKG_VERSION"));
    let matches = command.try_get_matches_from(std::iter::once(OsString::from(called)).chain(args));
    matches.and_then(|matches| A::from_arg_matches(&matches)).map_err(|error| refuse(&error))
}

/// Runs a command to its end; what went wrong goes to stderr.
pub(super) fn main(command: impl Future<Output = anyhow::Result<ExitCode>>) -> ExitCode {
    crate::runtime::block_on(command).unwrap_or_else(|error| {
        eprintln!("{}", explain(&error));
        ExitCode::FAILURE
    })
}

/// An error with its causes, and a refusal with what it was about.
fn explain(error: &anyhow::Error) -> String {
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::Refused(refusal)) if !refusal.detail.is_empty() => {
            format!("{refusal}: {}", refusal.detail)
        }
        _ => format!("{error:#}"),
    }
}

/// Tasks have no replicas but the first.
pub(super) fn check_replica(replica: u32) -> anyhow::Result<()> {
    if replica > 0 {
        anyhow::bail!("there is no replica {replica}; a task has only number 0");
    }
    Ok(())
}
