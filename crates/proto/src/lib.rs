//! The wire between clients, controller and agents: generated messages and services, and the one place where documents
//! of the vocabulary are turned into bytes and back.

pub mod document;
pub mod v1;

pub use v1::*;
