//! What an agent decides: which unit to start, what to end, what to report, and when a job is clean.
//!
//! Pure: messages and notices go in as [`Event`]s, what is to be done comes out as [`Action`]s. Nothing here knows a
//! clock, a socket or a process, so that the simulator can drive the same code through lost, late and doubled
//! messages. The promises it keeps:
//!
//! - a key is started at most once, whatever is sent how often;
//! - an end is reported until it is acknowledged;
//! - a start of a job is called clean only when nothing of it runs here, and nothing of it is started afterwards;
//! - a prolog is run before everything of a start of a job, and an epilog after it, each at most once.

mod event;
mod hooks;
mod machine;
mod tombstones;

pub use event::{Action, Event, Reach, Scope};
pub use machine::Machine;
