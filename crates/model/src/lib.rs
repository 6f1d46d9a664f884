//! The vocabulary of Muster: identifiers, job specifications, resources, states, and how they are read and printed.
//!
//! Pure data and pure functions. Nothing here reads a clock, draws a random number or does I/O, and no other crate
//! of the project is known here.

pub mod accounting;
pub mod array;
pub mod batch_features;
pub mod config;
pub mod container;
pub mod cron;
pub mod dependency;
pub mod document;
pub mod explain;
pub mod fact;
pub mod heterogeneous;
pub mod hooks;
pub mod hostlist;
pub mod ids;
pub mod job;
pub mod licenses;
pub mod mail;
pub mod mcs;
pub mod measure;
pub mod node;
pub mod node_call;
pub mod partition;
pub mod planning;
pub mod preemption;
pub mod priority;
pub mod refusal;
pub mod request;
pub mod reservation;
pub mod resize;
pub mod resources;
pub mod state;
pub mod statistics;
pub mod step;
pub mod time;
pub mod topology;
mod unset;
