//! One writer for each directory, held by a lock of the kernel: it goes away with the process, however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::error::StoreError;

/// Name of the locked file in the directory.
const LOCK_NAME: &str = "lock";

/// The note of a holder is short; more is not read.
const NOTE_BYTES_MAX: u64 = 256;

/// Holds the directory until dropped.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Takes the directory, or says who has it.
    pub(crate) fn take(dir: &Path) -> Result<DirectoryLock, StoreError> {
        let path = dir.join(LOCK_NAME);
        let io = |action, source| StoreError::Io { action, path: path.clone(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|source| io("open", source))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::InUse { path: dir.to_owned(), holder: read_note(&mut file) });
            }
            Err(TryLockError::Error(source)) => return Err(io("lock", source)),
        }
        // The note is for people only; that it may be torn or missing does no harm.
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(note().as_bytes()));
        Ok(DirectoryLock { _file: file })
    }
}

fn note() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("process {} on host {}", std::process::id(), host.trim())
}

fn read_note(file: &mut File) -> String {
    let mut note = String::new();
    match file.take(NOTE_BYTES_MAX).read_to_string(&mut note) {
        Ok(_) if !note.trim().is_empty() => format!(" ({})", note.trim()),
        _ => String::new(),
    }
}
