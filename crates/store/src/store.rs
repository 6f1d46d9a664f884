//! The two doors of the store, independent of the database behind them.

use std::ops::ControlFlow;

use muster_model::fact::{Fact, StoredState};
use muster_model::ids::{BlobId, CommitSequence};
use muster_model::request::{HistoryFilter, HistoryRow};

use crate::error::StoreError;

/// The writer. There is one in a cluster.
pub trait Store: Send {
    /// Makes `facts` durable as one batch: after a crash either all of them are there or none.
    ///
    /// A later fact about a row replaces an earlier one. `sequence` must be greater than that of the last commit.
    ///
    /// # Errors
    /// When the batch could not be made durable. Nothing of it is stored then, and it may be tried again.
    fn commit(&mut self, sequence: CommitSequence, facts: &[Fact]) -> Result<(), StoreError>;

    /// Everything a controller needs to go on.
    ///
    /// # Errors
    /// When the database or a row of it cannot be read; nothing is left out in silence.
    fn load(&mut self) -> Result<LoadedState, StoreError>;
}

/// What [`Store::load`] gives.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoadedState {
    /// Number of the last commit; zero for a new store.
    pub sequence: CommitSequence,
    /// The rows. Jobs ascend by number; steps come with their jobs, earlier starts first. Among the counters is
    /// always `next_spec_id`, above all specifications ever stored.
    pub state: StoredState,
}

/// Takes the next rows of a search; [`ControlFlow::Break`] ends it.
pub type HistoryConsumer<'a> = dyn FnMut(Vec<HistoryRow>) -> ControlFlow<()> + 'a;

/// Readers of the past and the present. Never waits for the writer and never makes it wait.
pub trait History: Send + Sync {
    /// Finds jobs with their steps and gives them to `consumer` in parts, ascending by job number and start.
    ///
    /// Each part is read for itself: rows that change during a long search are given as they are when it comes to
    /// them.
    ///
    /// # Errors
    /// When the database or a row of it cannot be read. Parts given before stay valid.
    fn history(&self, filter: &HistoryFilter, consumer: &mut HistoryConsumer<'_>) -> Result<(), StoreError>;

    /// Content of a script or an execution context; `None` where it was never stored.
    ///
    /// # Errors
    /// When the database cannot be read.
    fn blob(&self, id: &BlobId) -> Result<Option<Vec<u8>>, StoreError>;
}
