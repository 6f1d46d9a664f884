//! The small languages in which Slurm's users write single values: one file for each, text in, value out.
//!
//! A function returns `None` (or its own error) for text that real Slurm refuses; which message that makes is the
//! matter of the option that holds the value. Nothing here knows of options.

pub mod array;
pub mod cron;
pub mod dependency;
pub mod distribution;
pub mod export;
pub mod frequency;
pub mod gres;
pub mod mail;
pub mod nodes;
pub mod numbers;
pub mod patterns;
pub mod reservation_flags;
pub mod rlimits;
pub mod signal;
pub mod tasks_per_node;
pub mod time_point;
