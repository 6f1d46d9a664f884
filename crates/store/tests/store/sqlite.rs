//! SQLite passes what every database must pass, and keeps its directory to itself.

use muster_store::{History, SqliteHistory, SqliteStore, Store, StoreError};
use tempfile::TempDir;

use crate::conformance::{self, Backend};

struct Sqlite {
    dir: TempDir,
}

impl Backend for Sqlite {
    fn open(&self) -> (Box<dyn Store>, Box<dyn History>) {
        let store = SqliteStore::open(self.dir.path()).unwrap();
        let history = store.history().unwrap();
        (Box::new(store), Box::new(history))
    }
}

#[test]
fn does_what_every_database_must_do() {
    conformance::all(|| Sqlite { dir: tempfile::tempdir().unwrap() });
}

#[test]
fn a_second_writer_is_refused_and_told_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let first = SqliteStore::open(dir.path()).unwrap();
    let error = SqliteStore::open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
    assert!(SqliteHistory::open(dir.path()).is_ok(), "readers may come");
    drop(first);
    SqliteStore::open(dir.path()).unwrap();
}

#[test]
fn a_directory_is_made_and_a_file_in_its_place_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    SqliteStore::open(&dir.path().join("a/b")).unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let text = SqliteStore::open(&dir.path().join("file")).unwrap_err().to_string();
    assert!(text.contains("file"), "{text}");
    assert!(SqliteHistory::open(&dir.path().join("nothing")).is_err());
}
