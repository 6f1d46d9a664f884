//! What can go wrong with the store, said so that an operator knows which file and what to do.

use std::io;
use std::path::{Path, PathBuf};

use muster_model::ids::{CommitSequence, SpecId};
use rusqlite::ErrorCode;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory or a file in it cannot be used.
    #[error("cannot {action} {path}", path = path.display())]
    Io {
        /// What was tried: `create`, `open`, ….
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Another controller has the directory.
    #[error(
        "{path} is in use by another controller{holder}; stop that one first, or give this one a directory of its own",
        path = path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// ` (process 12 on host n1)`, or empty where it left no note.
        holder: String,
    },
    /// The file is damaged or is no database at all.
    #[error(
        "{path} is damaged or not a database of ours; move it together with {name}-wal and {name}-shm aside and put \
         a backup in its place, or save what is left with `sqlite3 {name} .recover`",
        path = path.display(), name = file_name(path)
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What the database says.
        #[source]
        source: rusqlite::Error,
    },
    /// A row cannot be understood.
    #[error(
        "{path}: row {row} of table {table} cannot be read; it was written by a newer version of this program, or the \
         file is damaged: use that version or restore a backup",
        path = path.display()
    )]
    Row {
        /// The file.
        path: PathBuf,
        /// Which table.
        table: &'static str,
        /// Key of the row.
        row: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The tables cannot be brought to the form this version needs.
    #[error(
        "cannot bring the tables of {path} to the form of this version; where a newer version wrote them, use that \
         version",
        path = path.display()
    )]
    Schema {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<refinery::Error>,
    },
    /// The numbers of commits must ascend; this one does not. A bug, or a second writer.
    #[error("commit {attempted} does not follow {last}", attempted = attempted.0, last = last.0)]
    Order {
        /// The number given.
        attempted: CommitSequence,
        /// The number of the last commit.
        last: CommitSequence,
    },
    /// A specification was stored before with other content. A bug: what jobs refer to would change under them.
    #[error("specification {id} is already stored with other content", id = id.0)]
    SpecChanged {
        /// Its number.
        id: SpecId,
    },
    /// A fact cannot be written as a row.
    #[error("cannot write {what} as JSON")]
    Encode {
        /// Which fact.
        what: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The database failed otherwise: no space, no rights, busy.
    #[error("cannot {action} in {path}", path = path.display())]
    Database {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: rusqlite::Error,
    },
}

impl StoreError {
    /// Sorts an error of the database into damage and other failures.
    pub(crate) fn database(action: &'static str, path: &Path, source: rusqlite::Error) -> StoreError {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt { path, source },
            _ => StoreError::Database { action, path, source },
        }
    }

    /// As [`StoreError::database`] for what went wrong while the tables were brought up to date.
    pub(crate) fn schema(path: &Path, source: refinery::Error) -> StoreError {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&source);
        while let Some(error) = cause {
            if let Some(database) = error.downcast_ref::<rusqlite::Error>()
                && let Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) = database.sqlite_error_code()
            {
                let copy = rusqlite::Error::SqliteFailure(
                    database
                        .sqlite_error()
                        .copied()
                        .unwrap_or_else(|| rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT)),
                    Some(database.to_string()),
                );
                return StoreError::Corrupt { path: path.to_owned(), source: copy };
            }
            cause = error.source();
        }
        StoreError::Schema { path: path.to_owned(), source: Box::new(source) }
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
