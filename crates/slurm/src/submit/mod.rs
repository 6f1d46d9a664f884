//! From words to a job or a step: what `sbatch`, `salloc` and `srun` are asked to do, worked out and checked.
//!
//! Pure: a command gathers what must be known ([`Surroundings`]), calls [`sbatch::plan`], [`salloc::plan`] or
//! [`srun::plan`], and carries out what comes back. Messages and exit codes are those of real Slurm 22.05; both come
//! back as values ([`CliExit`], and the `stderr` of a plan).
//!
//! The order of precedence is Slurm's: defaults, then directives of the script, then the environment, then the
//! command line.

mod arbitrary;
pub mod crontab;
pub mod exit;
pub mod multi_prog;
pub mod salloc;
pub mod sbatch;
pub mod script;
pub mod srun;

mod environment;
mod gpus;
mod job_spec;
mod reading;
mod resolve;
mod surroundings;

#[cfg(test)]
mod tests;

pub use environment::StepAdditions;
pub use exit::{CliExit, explanation, refused};
pub use surroundings::{Host, ReadError, Surroundings, World};
