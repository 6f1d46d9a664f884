//! `muster completions SHELL`.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use clap_complete::Shell;

use super::arguments::refuse;
use super::description;

/// Print completions of `muster` for a shell.
#[derive(Debug, Parser)]
#[command(name = "muster completions", version)]
struct Arguments {
    /// Which shell.
    shell: Shell,
}

/// `muster completions SHELL`.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    match Arguments::try_parse_from(std::iter::once(OsString::from("muster completions")).chain(args)) {
        Ok(arguments) => {
            clap_complete::generate(arguments.shell, &mut description::whole(), "muster", &mut std::io::stdout());
            ExitCode::SUCCESS
        }
        Err(error) => refuse(&error),
    }
}
