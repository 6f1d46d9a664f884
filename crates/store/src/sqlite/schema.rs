//! Connections and tables: how the file is opened, and how it is brought to the form of this version.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::error::StoreError;

mod embedded {
    refinery::embed_migrations!("migrations/sqlite");
}

/// How long to wait for somebody else who holds the file, such as an operator with a shell in it.
const BUSY_WAIT: Duration = Duration::from_secs(10);

/// Statements kept prepared; more than this module has.
const STATEMENTS_MAX: usize = 64;

/// Settings of the writer. `FULL` syncs the log at each commit. The log is moved into the file each 4,000 pages
/// (16 MiB) rather than each 1,000, which halves what is written for rows that change soon again, and is cut back to
/// 64 MiB when a burst made it longer. The cache of 64 MiB holds the inner pages of many million rows.
const WRITER_SETTINGS: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA wal_autocheckpoint = 4000;
    PRAGMA journal_size_limit = 67108864;
    PRAGMA cache_size = -65536;
    PRAGMA temp_store = MEMORY;
";

/// The connection of the writer.
pub(super) fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_WAIT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        connection.execute_batch(WRITER_SETTINGS)?;
        Ok(connection)
    };
    open().map_err(|source| StoreError::database("open the database", path, source))
}

/// A connection that cannot write.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_WAIT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

/// Runs the migrations that the file has not seen.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let report = embedded::migrations::runner().run(connection).map_err(|source| StoreError::schema(path, source))?;
    for migration in report.applied_migrations() {
        tracing::info!(path = %path.display(), %migration, "tables brought up to date");
    }
    Ok(())
}
