//! Jobs of dstack runs as their users look at them: statuses, tables, plans, JSON.

pub mod identity;
mod json;
mod offers;
mod plan;
mod status;
mod table;
mod times;

pub use json::{run_json, runs_json};
pub use offers::{Availability, Offer, offers};
pub use plan::{PlanView, plan_text};
pub use status::{RunStatus, error_message, is_run, status, status_message, termination_reason};
pub use table::{TableOptions, runs_table};
pub use times::{iso_time, time_ago};

#[cfg(test)]
pub(crate) mod samples;
