//! Scenarios written as text: what is planned, and what is refused.

mod common;
mod explain;
mod feasible;
mod placement;
mod preemption;
mod properties;
mod queue;
