//! The runner as a process, and the real clients of those who visit it.

mod command;
mod support;
mod visits;
