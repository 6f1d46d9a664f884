//! The option table of `sbatch`, `srun` and `salloc`.
//!
//! One entry ([`OptionSpec`]) holds all that is known about an option; command lines ([`parse`]), environments
//! ([`environment`]), help ([`help`]), completions and the listing of `-v` derive from it. The values gather in
//! [`SubmitOptions`]; what they mean together is worked out in [`crate::submit`].
//!
//! To add an option: one entry in the file of its subject, one field in [`values`], and the place where it acts. An
//! entry that does not act yet is marked [`Effect::NotYet`], and the user is told.

pub mod environment;
pub mod help;
pub mod parse;
pub mod spec;
pub mod values;

mod affinity;
mod client;
mod components;
mod container;
mod files;
mod gres;
mod names;
mod newer;
mod placement;
mod process;
mod queue;
mod resources;
mod step;
mod time;

#[cfg(test)]
mod tests;

use std::sync::LazyLock;

pub use client::check_talk;
pub use container::{for_steps as container_variables, request as container_request};
pub use files::absolute;
pub use gres::invalid_gres;
pub use spec::{Argument, Command, Effect, Fault, Host, Input, Line, OptionSpec, Origin, Section, World};
pub use values::SubmitOptions;

/// What `--version` prints: Slurm's own form, so that tools which compare versions work.
pub const VERSION_LINE: &str = "slurm-wlm 22.05.8\n";

/// All options in the order in which real Slurm lists candidates for an abbreviation.
static TABLE: LazyLock<Vec<OptionSpec>> = LazyLock::new(|| {
    let files = [
        affinity::OPTIONS,
        client::OPTIONS,
        container::OPTIONS,
        files::OPTIONS,
        gres::OPTIONS,
        names::OPTIONS,
        newer::OPTIONS,
        placement::OPTIONS,
        process::OPTIONS,
        queue::OPTIONS,
        resources::OPTIONS,
        step::OPTIONS,
        time::OPTIONS,
    ];
    let mut table: Vec<OptionSpec> = files.concat();
    table.sort_by_key(|spec| spec.sorted_as);
    table
});

/// The options that `command` accepts, in the order of the table.
pub fn of(command: Command) -> impl Iterator<Item = &'static OptionSpec> {
    TABLE.iter().filter(move |spec| spec.commands.contains(command))
}
