//! The whole program as one description, for completions and man pages.

use clap::{Command, CommandFactory};

use super::simulate;
use crate::command::{ALL, Family};

/// The arguments of a command, where they are told to shells and in pages of their own.
fn arguments_of(name: &str) -> Option<Command> {
    match name {
        "simulate" => Some(simulate::Arguments::command()),
        _ => None,
    }
}

/// `muster` with all its commands. Slurm-named commands read their own arguments, so only their names are known here.
pub(super) fn whole() -> Command {
    let mut whole =
        Command::new("muster").version(env!("CARGO_PKG_VERSION")).about("One workload manager for AI and HPC clusters");
    for command in ALL {
        let described = arguments_of(command.name).unwrap_or_default().name(command.name).about(command.about);
        whole = whole.subcommand(match command.family {
            Family::Slurm => described.disable_help_flag(true),
            Family::Native | Family::Run => described,
        });
    }
    whole
}
