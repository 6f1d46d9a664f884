//! The agent of a node: takes orders from the controller, has the supervisor start and end processes, and reports.
//!
//! - [`core`] decides, without touching anything outside;
//! - [`run`] puts the parts together: a connection to the controller on tokio, and one thread, the *engine*, that owns
//!   the state machine and talks with the supervisor in plain blocking calls;
//! - `launch` turns an order into a unit: environment, file names, user, CPUs.
//!
//! The agent may die or be replaced at any time. Processes belong to the supervisor; ends stay on its disk until the
//! controller has them; the agent itself keeps only a number ([`core::Machine::launch_sequence`]), a cache of scripts
//! and a list of output files.

pub mod bare;
pub mod core;

mod blobs;
mod calling;
mod clock;
mod configure;
mod engine;
mod gres;
mod health;
mod hooks;
mod launch;
mod link;
mod options;
mod output;
mod outputs;
mod relay;
mod report;
mod rights;
mod run;
mod spool;
mod supervisor;
mod users;
mod watermark;

pub use gres::GresSource;
pub use options::{AgentOptions, Overrides};
pub use run::{run, run_until};
