//! The supervisor from outside, with real processes.

mod bundles;
mod common;
mod failure;
mod full_disk;
mod live;
mod recorded;
mod units;
