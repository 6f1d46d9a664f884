//! The Slurm dialect: Slurm's texts in, our values out, and our views out as Slurm's texts.
//!
//! Pure translation: nothing here reads a clock, a file or the environment by itself. What a command needs from
//! outside comes as arguments; see [`submit::Surroundings`]. The foreign words stay in this crate.
//!
//! - [`grammar`]: the small languages of single values (times, memory, gres, signals, file name patterns, …);
//! - [`options`]: the option table of `sbatch`, `srun` and `salloc`;
//! - [`directives`]: `#SBATCH` lines of a batch script;
//! - [`foreign`]: `#PBS` and `#BSUB` lines as options of `sbatch`;
//! - [`submit`]: options to a job or step;
//! - [`environment`]: the environment of batch scripts, steps and tasks;
//! - [`binding`]: which CPUs the tasks of a step may use;
//! - [`conf`]: `slurm.conf` and `gres.conf`;
//! - [`output`]: the tables and records that the query commands print.

pub mod binding;
pub mod conf;
pub mod directives;
pub mod environment;
pub mod foreign;
pub mod grammar;
pub mod options;
pub mod output;
pub mod submit;

#[cfg(test)]
mod documented;
