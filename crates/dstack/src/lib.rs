//! The dstack dialect: its configuration files into jobs, and jobs into what its users look at.
//!
//! Pure translation. Text, the caller's environment and the present state of the cluster come in as arguments; values,
//! notices and text go out. What dstack accepts is read completely and strictly; what this version does not act upon is
//! said in a notice, never dropped in silence.
//!
//! Start at [`Configuration::from_yaml`], then [`task::submission`] for the way in and [`run`] for the way out.

pub mod configuration;
mod document;
pub mod environment;
pub mod interpolation;
pub mod run;
pub mod task;
pub mod values;

pub use configuration::Configuration;
pub use document::{Location, Problem, Problems};
