//! The one binary of Muster. By the name under which it is called, or by its first argument, it is a Slurm command, a
//! native command, the controller, an agent, or an agent's supervisor.

mod daemons;
mod help;

use std::ffi::OsString;
use std::process::ExitCode;

use muster_cli::command::{self, Family};

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let called_as = args.next().map(|path| file_name(&path)).unwrap_or_default();
    let args: Vec<OsString> = args.collect();
    match called_as.as_str() {
        "slurmctld" => daemons::controller(args),
        "slurmd" => daemons::agent(args),
        "dstack" => subcommand("dstack", args, |family| family == Family::Run),
        name => match command::find(name).filter(|command| command.family == Family::Slurm) {
            Some(command) => (command.run)(args),
            None => subcommand("muster", args, |_| true),
        },
    }
}

/// `muster NAME …` and `dstack NAME …`.
fn subcommand(program: &str, mut args: Vec<OsString>, offered: fn(Family) -> bool) -> ExitCode {
    if args.is_empty() {
        help::print(program, offered);
        return ExitCode::from(2);
    }
    let first = args.remove(0);
    match first.to_str().unwrap_or_default() {
        "-h" | "--help" | "help" => {
            help::print(program, offered);
            ExitCode::SUCCESS
        }
        "-V" | "-v" | "--version" => {
            println!("{program} {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        "controller" if program == "muster" => daemons::controller(args),
        "agent" if program == "muster" => daemons::agent(args),
        "supervisor" if program == "muster" => daemons::supervisor(&args),
        muster_runtime::pmix::SERVER_ARGUMENT if program == "muster" => muster_runtime::pmix::server::run().into(),
        name => match command::find(name).filter(|command| offered(command.family)) {
            Some(command) => (command.run)(args),
            None => {
                eprintln!("{program}: no command {name:?}; see: {program} --help");
                ExitCode::from(2)
            }
        },
    }
}

fn file_name(path: &OsString) -> String {
    let name = std::path::Path::new(path).file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
