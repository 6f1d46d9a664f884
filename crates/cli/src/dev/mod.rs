//! The development cluster: one controller and some agents on this machine, in one command.
//!
//! Everything lives in one directory: configuration, state, logs, links to the commands. So two clusters in two
//! directories never meet, and `muster dev up` on an old directory goes on where it stopped.

mod arguments;
pub(crate) mod cluster;
mod configuration;
pub(crate) mod demo;
mod down;
pub(crate) mod environment;
pub(crate) mod layout;
pub(crate) mod links;
mod process;
mod status;
pub(crate) mod up;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Verb};

/// `muster dev …`.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(std::iter::once(OsString::from("muster dev")).chain(args)) {
        Ok(arguments) => arguments,
        Err(error) => return crate::native::arguments::refuse(&error),
    };
    let result = match arguments.verb {
        Verb::Up(up) => up::run(&up),
        Verb::Env { directory } => environment::run(&directory),
        Verb::Status { directory, json } => status::run(&directory, json),
        Verb::Down { directory } => down::run(&directory),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("muster dev: {error:#}");
            ExitCode::FAILURE
        }
    }
}
