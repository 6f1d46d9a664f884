//! What the Slurm commands that read and steer print: `squeue`, `sinfo`, `scontrol`, `sacct`, `sacctmgr`, `scancel`,
//! `sprio`, `sshare`, `sdiag`, `sstat`, and what `sbcast` and `sattach` are asked to do.
//!
//! Everything here is pure: arguments and environment go in and a plan comes out; the plan names the questions for
//! the controller; the answers go in and text comes out. The clock, the time zone and the caller come in through
//! [`Context`]. Carrying out plans (connecting, waiting, writing) is the business of the command line crate.
//!
//! One field of a table is one entry: letter or name, heading, and the function that finds its text. Formats and
//! their parsing are in [`format`]; what is shared between tables about one job is in [`job_text`].

mod billing;
pub mod context;
pub mod explanation;
pub mod format;
pub mod getopt;
pub mod ids;
pub mod job_text;
pub mod json;
mod measured;
pub mod node_text;
pub mod order;
pub mod sacct;
pub mod sacctmgr;
pub mod sattach;
pub mod sbcast;
pub mod scancel;
pub mod scontrol;
pub mod sdiag;
pub mod sinfo;
pub mod sprio;
pub mod squeue;
pub mod sshare;
pub mod sstat;
pub mod states;
pub mod time_text;
pub mod tres;
pub mod units;

pub use context::{Answers, Context, Environment, Outcome};

/// What `-V` prints: the name clients look for and the version whose behaviour is reproduced.
pub const VERSION_LINE: &str = "slurm-wlm 22.05.8\n";

/// The version alone, as nodes and the configuration show it. Clients decide by it what they may expect; the version
/// of the program itself is told by `muster --version`.
pub const VERSION: &str = "22.05.8";

/// What every command says on stderr, after its own prefix, when nobody answers at the controller's socket.
pub const CONNECT_FAILURE: &str = "Unable to contact slurm controller (connect failure)";

/// What `program -M NAME` prints where `name` is not the cluster that answers.
pub fn unknown_cluster(program: &str, name: &str) -> Outcome {
    Outcome::failure(
        format!(
            "{program}: error: No cluster '{name}' known by database.\n{program}: error: '{name}' can't be reached now, or it is an \
             invalid entry for --cluster.  Use 'sacctmgr list clusters' to see available clusters.\n"
        ),
        1,
    )
}

#[cfg(test)]
mod tests;
