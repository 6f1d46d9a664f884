//! The store in one SQLite file.
//!
//! Write-ahead log with a full sync at each commit: a batch is on disk when [`commit`](crate::Store::commit) returns,
//! and readers on connections of their own neither wait nor are waited for. A lock of the directory keeps a second
//! writer away; SQLite's own locks would only make the two take turns.

mod commit;
mod history;
mod load;
mod schema;
mod search;

use std::path::{Path, PathBuf};

use muster_model::fact::Fact;
use muster_model::ids::CommitSequence;
use rusqlite::Connection;

pub use self::history::SqliteHistory;
use crate::document::JobDocuments;
use crate::error::StoreError;
use crate::lock::DirectoryLock;
use crate::store::{LoadedState, Store};

/// Name of the database in the directory of the store.
pub const DATABASE_NAME: &str = "muster.sqlite3";

/// The writer on an SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    connection: Connection,
    documents: JobDocuments,
    last: CommitSequence,
    /// Dropped last, after the connection.
    _lock: DirectoryLock,
}

impl SqliteStore {
    /// Opens the store in `dir` and makes it where there is none. Tables of an older version are brought up to date.
    ///
    /// # Errors
    /// When another controller has the directory, or the file is damaged, newer than this program or not accessible.
    pub fn open(dir: &Path) -> Result<SqliteStore, StoreError> {
        std::fs::create_dir_all(dir).map_err(|source| StoreError::Io {
            action: "create",
            path: dir.to_owned(),
            source,
        })?;
        let lock = DirectoryLock::take(dir)?;
        let path = dir.join(DATABASE_NAME);
        let mut connection = schema::open_writer(&path)?;
        schema::migrate(&mut connection, &path)?;
        let last = load::last_sequence(&connection).map_err(|source| StoreError::database("read", &path, source))?;
        tracing::info!(path = %path.display(), sequence = last.0, "store opened");
        Ok(SqliteStore { documents: documents()?, path, connection, last, _lock: lock })
    }

    /// A reader of the same file. Clones share its connections.
    ///
    /// # Errors
    /// As [`SqliteHistory::open`].
    pub fn history(&self) -> Result<SqliteHistory, StoreError> {
        SqliteHistory::open_file(&self.path)
    }
}

impl Store for SqliteStore {
    fn commit(&mut self, sequence: CommitSequence, facts: &[Fact]) -> Result<(), StoreError> {
        if sequence <= self.last {
            return Err(StoreError::Order { attempted: sequence, last: self.last });
        }
        commit::commit(&mut self.connection, &self.path, &self.documents, sequence, facts)?;
        self.last = sequence;
        Ok(())
    }

    fn load(&mut self) -> Result<LoadedState, StoreError> {
        load::load(&self.connection, &self.path, &self.documents)
    }
}

fn documents() -> Result<JobDocuments, StoreError> {
    JobDocuments::new().map_err(|source| StoreError::Encode { what: "the smallest specification".to_owned(), source })
}
