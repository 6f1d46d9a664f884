//! Durable state and history: what the controller knows after a crash, and what `sacct` can still tell in a year.
//!
//! Two small doors, so that a second database can stand behind them:
//!
//! - [`Store`]: one writer commits batches of facts, each batch whole or not at all, and loads them after a restart;
//! - [`History`]: any number of readers search and fetch without ever holding up the writer.
//!
//! What is stored are current rows, never requests, so new code never decides old things again. [`SqliteStore`]
//! keeps them in one file of a directory that it locks; a second controller on the same directory is refused.

mod document;
mod error;
mod lock;
mod sqlite;
mod store;

pub use error::StoreError;
pub use sqlite::{DATABASE_NAME, SqliteHistory, SqliteStore};
pub use store::{History, HistoryConsumer, LoadedState, Store};
