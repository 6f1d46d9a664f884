//! Everything a person or a script calls: Slurm-named commands, native commands, the dstack-named ones, and the
//! development cluster. Each command is one file and one line in [`command::ALL`].

mod caller;
pub mod command;
mod dev;
mod native;
mod runtime;
mod slurm;
