//! The controller: the pure core and scheduler, composed with the store, the clock and the network.
//!
//! # How a change travels
//!
//! 1. [`api`] takes it from a client, or [`agents`] from a node, and puts it into the inbox of the [`sequencer`].
//! 2. The sequencer thread, the only owner of the state, steps the core through a batch of what has arrived.
//! 3. The [`committer`] thread makes the facts of the batch durable in one transaction, publishes the new read view,
//!    and only then hands out replies, commands to nodes and news.
//! 4. The [`planner`] thread works on a copy of the state whenever something changed that it should look at; its plan
//!    comes back through the same inbox and is checked piece by piece. Passes over everything have a thread of their own.
//!
//! Readers only ever see published views and the history; they never reach the sequencer.

mod agents;
mod api;
mod blobs;
mod clock;
mod committer;
mod dispatch;
mod giving_way;
mod hooks;
mod http;
mod identity;
mod inbox;
mod mail;
mod niceness;
mod node_commands;
mod node_names;
mod outbox;
mod pace;
mod planner;
mod published;
mod relayed;
mod sequencer;
mod server;
mod sessions;
mod sink;
mod statistics;
mod tree;
mod watchers;

pub use api::ReadConfig;
pub use pace::{Pace, Planning};
pub use server::{ControllerOptions, run};
