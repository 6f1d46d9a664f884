//! The whole program as one description, for completions and man pages.

use clap::Command;

use crate::command::{ALL, Family};

/// `muster` with all its commands. Slurm-named commands read their own arguments, so only their names are known here.
pub(super) fn whole() -> Command {
    let mut whole =
        Command::new("muster").version(env!("CARGO_PKG_VERSION")).about("One workload manager for AI and HPC clusters");
    for command in ALL {
        let described = Command::new(command.name).about(command.about);
        whole = whole.subcommand(match command.family {
            Family::Slurm => described.disable_help_flag(true),
            Family::Native | Family::Run => described,
        });
    }
    whole
}
