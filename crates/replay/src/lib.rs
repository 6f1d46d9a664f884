//! Replays of workloads in virtual time: what would have happened under another policy or configuration.
//!
//! A [`Workload`] says which jobs came when, what they asked for and how long they ran. A replay gives the time at which
//! each of them starts, under one [`Policy`]: that of this product, which is its very planner driven over a view kept as
//! the controller keeps it, or one of the well-known policies, each implemented simply and by itself so that it can be
//! compared with. [`Figures`] sum a replay up in the terms of the literature.
//!
//! # What a replay assumes
//!
//! Jobs come when they came and run as long as they ran, whatever the policy: users who react to waiting times are not
//! modelled. A job that ran beyond its limit is given that run time as its limit. Nodes do not fail, and what a job held
//! is free at the moment at which it ends.
//!
//! # Where to look
//!
//! | subject | module |
//! |---|---|
//! | jobs, however they were read | `workload` |
//! | the Standard Workload Format | `swf` |
//! | history of this product | `history` |
//! | made-up workloads, from a seed | `synthetic` |
//! | what they run on | `machine` |
//! | the planner of this product | `product` |
//! | FCFS, EASY, conservative, SJF-EASY | `reference` |
//! | figures of quality | `figures` |
//! | JSON, CSV, SVG | `report`, `plot` |

mod figures;
mod history;
mod machine;
mod plot;
mod product;
pub mod reference;
mod report;
mod schedule;
mod swf;
mod synthetic;
mod workload;

pub use figures::{Figures, UserFigures};
pub use history::from_history;
pub use machine::{Machine, MachineError};
pub use plot::{Plotted, svg};
pub use product::{Passes, Product, Stuck};
pub use report::{csv, json};
pub use schedule::{Policy, Schedule};
pub use swf::{SwfError, parse as parse_swf};
pub use synthetic::{Synthetic, make as make_synthetic};
pub use workload::{Demand, Submission, Unit, Workload};
