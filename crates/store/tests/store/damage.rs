//! Damaged, foreign and newer files give an error that names the file and says what to do.

use std::path::Path;

use muster_model::ids::CommitSequence;
use muster_store::{DATABASE_NAME, SqliteStore, Store, StoreError};

use crate::rows::*;

/// A store with some rows, closed.
fn filled(dir: &Path) {
    let mut store = SqliteStore::open(dir).unwrap();
    let spec = spec(1, "a");
    let mut facts = vec![spec_fact(1, &spec), node_fact("n1", node(1))];
    facts.extend((1..200).map(|id| job_fact(&job(id, 1, &spec))));
    store.commit(CommitSequence(1), &facts).unwrap();
}

fn advice(error: &StoreError) -> String {
    let text = error.to_string();
    assert!(text.contains(DATABASE_NAME), "{text}");
    text
}

fn open_and_load(dir: &Path) -> Result<(), StoreError> {
    SqliteStore::open(dir)?.load().map(|_| ())
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(DATABASE_NAME), "this is no database, but it is long enough ".repeat(100)).unwrap();
    let error = open_and_load(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    assert!(advice(&error).contains("backup"));
}

#[test]
fn overwritten_pages_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let path = dir.path().join(DATABASE_NAME);
    let mut bytes = std::fs::read(&path).unwrap();
    // The first page tells where the others are; they are lost.
    let rest = bytes.len() - 4096;
    bytes[4096..].copy_from_slice(&vec![0xA5; rest]);
    std::fs::write(&path, bytes).unwrap();
    let error = open_and_load(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    advice(&error);
}

#[test]
fn a_file_cut_short_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let path = dir.path().join(DATABASE_NAME);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let error = open_and_load(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
}

#[test]
fn a_torn_log_gives_the_last_whole_batch() {
    let (dir, torn) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut store = SqliteStore::open(dir.path()).unwrap();
    let spec = spec(1, "a");
    store.commit(CommitSequence(1), &[spec_fact(1, &spec), job_fact(&job(1, 1, &spec))]).unwrap();
    let log = format!("{DATABASE_NAME}-wal");
    let whole = std::fs::metadata(dir.path().join(&log)).unwrap().len();
    store.commit(CommitSequence(2), &[job_fact(&job(2, 1, &spec)), job_fact(&job(3, 1, &spec))]).unwrap();
    // As a crash of the machine leaves it: the file as it was, the log with half of the second batch.
    std::fs::copy(dir.path().join(DATABASE_NAME), torn.path().join(DATABASE_NAME)).unwrap();
    let bytes = std::fs::read(dir.path().join(&log)).unwrap();
    let cut = (usize::try_from(whole).unwrap() + bytes.len()) / 2;
    std::fs::write(torn.path().join(&log), &bytes[..cut]).unwrap();
    let loaded = SqliteStore::open(torn.path()).unwrap().load().unwrap();
    assert_eq!((loaded.sequence, loaded.state.jobs.len()), (CommitSequence(1), 1));
}

#[test]
fn a_row_that_cannot_be_read_is_named() {
    let check = |sql: &str, expected: &str| {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        rusqlite::Connection::open(dir.path().join(DATABASE_NAME)).unwrap().execute_batch(sql).unwrap();
        let error = open_and_load(dir.path()).unwrap_err();
        assert!(matches!(error, StoreError::Row { .. }), "{error:?}");
        assert!(advice(&error).contains(expected), "{error}");
    };
    check("UPDATE job SET document = '{' WHERE job_id = 7", "row 7 restart 0 of table job");
    check("UPDATE job SET document = '' WHERE job_id = 7", "row 7 restart 0 of table job");
    check("UPDATE job SET document = '{\"id\":7}' WHERE job_id = 7", "row 7 restart 0 of table job");
    check("UPDATE spec SET document = '[]'", "row 1 of table spec");
    check("DELETE FROM spec", "row 1 of table spec");
    check("UPDATE node SET document = '{\"health\":\"dreaming\",\"drain\":false}'", "row n1 of table node");
}

#[test]
fn tables_of_a_newer_version_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let newer = "INSERT INTO refinery_schema_history VALUES (999, 'future', '2030-01-01T00:00:00Z', '1')";
    rusqlite::Connection::open(dir.path().join(DATABASE_NAME)).unwrap().execute_batch(newer).unwrap();
    let error = open_and_load(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Schema { .. }), "{error:?}");
    assert!(advice(&error).contains("newer version"));
}
