//! The cluster as a pure state machine: an event and the time go in, facts and effects come out.
//!
//! Nothing here reads a clock, draws a random number or does I/O, and everything iterates in a defined order. So the same
//! code runs in production and in the simulator, and a failure is a seed. The policy (who starts next, and where) is
//! not here: it comes in as a [`Plan`](muster_model::planning::Plan), and each piece of it is checked against the present.

pub mod cluster;
pub mod effect;
pub mod event;
mod handlers;
mod het_queue;
mod index;
pub mod invariants;
mod licenses;
mod mail;
mod placement;
mod queue;
mod restore;
mod shares;
mod standing;
pub mod submits;
mod tallies;
mod timers;
pub mod view;

pub use cluster::Cluster;
pub use effect::{Effect, NodeCommand, Outcome};
pub use event::{AgentReport, Event, RequestId, UnitKey};
pub use submits::Submits;
pub use view::ReadView;
