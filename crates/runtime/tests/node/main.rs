//! The supervisor from outside, with real processes.

mod common;
mod failure;
mod live;
mod units;
