//! Searching and fetching on connections of its own, a part at a time, so that no snapshot is held while somebody
//! slow takes the rows: a long snapshot would keep the log from being moved into the file.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use muster_model::ids::BlobId;
use muster_model::request::{HistoryFilter, HistoryRow};
use rusqlite::{Connection, OptionalExtension, params};

use super::load::{Rows, Specs};
use super::{DATABASE_NAME, documents, schema, search};
use crate::document::JobDocuments;
use crate::error::StoreError;
use crate::store::{History, HistoryConsumer};

/// Rows given to the consumer at once; some hundred kilobytes.
const ROWS_IN_PART: usize = 256;

/// Idle connections kept for the next question.
const IDLE_MAX: usize = 4;

/// A reader of an SQLite store. Cheap to clone and to open; each question in progress has a connection of its own.
#[derive(Debug, Clone)]
pub struct SqliteHistory {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    documents: JobDocuments,
    idle: Mutex<Vec<Connection>>,
}

impl SqliteHistory {
    /// Opens the store in `dir` for reading. It must have been made by a [`SqliteStore`](crate::SqliteStore).
    ///
    /// # Errors
    /// When there is no such database or it cannot be read.
    pub fn open(dir: &Path) -> Result<SqliteHistory, StoreError> {
        SqliteHistory::open_file(&dir.join(DATABASE_NAME))
    }

    pub(super) fn open_file(path: &Path) -> Result<SqliteHistory, StoreError> {
        let idle = Mutex::new(Vec::new());
        let history =
            SqliteHistory { shared: Arc::new(Shared { path: path.to_owned(), documents: documents()?, idle }) };
        // Trouble shows here rather than at the first question.
        history.with_connection(|connection| {
            let tables = "SELECT count(*) FROM sqlite_schema WHERE name = 'job'";
            let _: i64 =
                connection.query_row(tables, [], |row| row.get(0)).map_err(|source| history.database(source))?;
            Ok(())
        })?;
        Ok(history)
    }

    fn database(&self, source: rusqlite::Error) -> StoreError {
        StoreError::database("read", &self.shared.path, source)
    }

    fn with_connection<R>(&self, work: impl FnOnce(&Connection) -> Result<R, StoreError>) -> Result<R, StoreError> {
        let idle = || self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle().pop();
        let connection = match kept {
            Some(connection) => connection,
            None => schema::open_reader(&self.shared.path).map_err(|source| self.database(source))?,
        };
        let result = work(&connection);
        let mut idle = idle();
        // After an error the connection may be what is wrong.
        if result.is_ok() && idle.len() < IDLE_MAX {
            idle.push(connection);
        }
        result
    }

    fn keys(&self, filter: &HistoryFilter) -> Result<Vec<(i64, i64)>, StoreError> {
        let (sql, parameters) = search::keys(filter);
        self.with_connection(|connection| {
            let mut statement = connection.prepare(&sql).map_err(|source| self.database(source))?;
            let rows =
                statement.query_map(rusqlite::params_from_iter(parameters), |row| Ok((row.get(0)?, row.get(1)?)));
            let mut keys: Vec<(i64, i64)> = rows.and_then(Iterator::collect).map_err(|source| self.database(source))?;
            keys.sort_unstable();
            Ok(keys)
        })
    }

    fn part(&self, keys: &[(i64, i64)]) -> Result<Vec<HistoryRow>, StoreError> {
        const JOB: &str = "SELECT job_id, restart, spec_id, document FROM job WHERE job_id = ?1 AND restart = ?2";
        const STEPS: &str = "
            SELECT job_id, restart, step, document FROM step WHERE job_id = ?1 AND restart = ?2
            ORDER BY start_time IS NULL, start_time, step";
        self.with_connection(|connection| {
            let snapshot = connection.unchecked_transaction().map_err(|source| self.database(source))?;
            let rows = Rows { connection: &snapshot, path: &self.shared.path, documents: &self.shared.documents };
            let mut specs = Specs::new();
            let mut part = Vec::with_capacity(keys.len());
            for key in keys {
                let mut steps = Vec::new();
                rows.each(STEPS, params![key.0, key.1], |row| {
                    steps.push(rows.step(row)?);
                    Ok(())
                })?;
                rows.each(JOB, params![key.0, key.1], |row| {
                    let job = Arc::new(rows.job(row, &mut specs)?);
                    part.push(HistoryRow { job, steps: std::mem::take(&mut steps) });
                    Ok(())
                })?;
            }
            Ok(part)
        })
    }
}

impl History for SqliteHistory {
    fn history(&self, filter: &HistoryFilter, consumer: &mut HistoryConsumer<'_>) -> Result<(), StoreError> {
        for keys in self.keys(filter)?.chunks(ROWS_IN_PART) {
            if consumer(self.part(keys)?).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn blob(&self, id: &BlobId) -> Result<Option<Vec<u8>>, StoreError> {
        self.with_connection(|connection| {
            connection
                .prepare_cached("SELECT content FROM blob WHERE id = ?1")
                .and_then(|mut statement| statement.query_row([&*id.0], |row| row.get(0)).optional())
                .map_err(|source| self.database(source))
        })
    }
}
