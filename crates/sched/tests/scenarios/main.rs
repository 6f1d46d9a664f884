//! Scenarios written as text: what is planned, and what is refused.

mod beside;
mod common;
mod cores;
mod explain;
mod feasible;
mod gpu_types;
mod heterogeneous;
mod laws;
mod partial;
mod placement;
mod preemption;
mod properties;
mod queue;
mod reservations;
mod wiring;
mod withheld;
