//! Native commands.

mod applicant;
pub(crate) mod apply;
pub(crate) mod arguments;
pub(crate) mod attach;
pub(crate) mod completions;
mod description;
pub(crate) mod explain;
mod follow;
mod keys;
pub(crate) mod logs;
pub(crate) mod man;
mod profiles;
pub(crate) mod ps;
pub(crate) mod run;
mod runs;
pub(crate) mod simulate;
pub(crate) mod ssh;
pub(crate) mod stop;
mod terminal;
mod watch;
