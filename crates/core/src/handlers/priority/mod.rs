//! The order of the queue: when the priority of a job is found, and when those of all are found anew.
//!
//! What a priority is made of is told by [`muster_model::priority`]; here are only the moments. A job gets its priority
//! when it enters the queue, is released or changed; a timer counts what ran, takes a new snapshot, and goes through the
//! waiting jobs in small portions, so that nothing else has to wait for it.

mod assign;
mod calculate;
mod count;
mod top;

pub(crate) use assign::{ARRIVAL_FIRST, assign, change, restore_arrivals};
pub(super) use calculate::calculate;
pub(crate) use calculate::{Calculation, begin, is_counted, policy_changed, wake};
pub(crate) use count::past_run;
pub(super) use count::reset;
pub(super) use top::top;
