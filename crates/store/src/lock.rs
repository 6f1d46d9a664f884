//! One writer for each directory, held by a lock of the kernel: it goes away with the process, however that ends.
//!
//! A killed process shows as a zombie while its last threads, in the middle of a write to the disk say, still hold
//! its files. A successor started at once would find the lock taken by a process that no longer is, so it waits
//! for a holder that is ending, and only for such a one.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::error::StoreError;

/// Name of the locked file in the directory.
const LOCK_NAME: &str = "lock";

/// The note of a holder is short; more is not read.
const NOTE_BYTES_MAX: u64 = 256;

/// How long a holder that is ending is waited for. Longer only where its threads hang in the kernel.
const ENDING_PATIENCE: Duration = Duration::from_secs(10);

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
        if let Err(error) = file.try_lock() {
            match error {
                TryLockError::WouldBlock => {}
                TryLockError::Error(source) => return Err(io("lock", source)),
            }
            let holder = read_note(&mut file);
            let in_use = |holder: String| StoreError::InUse {
                path: dir.to_owned(),
                holder: if holder.is_empty() { holder } else { format!(" ({holder})") },
            };
            if !is_ending(&holder) {
                return Err(in_use(holder));
            }
            file = lock_within(file, ENDING_PATIENCE).ok_or_else(|| in_use(holder))?;
        }
        // The note is a help only; that it may be torn or missing does no harm.
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(note().as_bytes()));
        Ok(DirectoryLock { _file: file })
    }
}

/// Waits for the lock. After the patience the thread that waits stays behind and gives up what it may still get.
fn lock_within(file: File, patience: Duration) -> Option<File> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        if file.lock().is_ok() {
            let _ = sender.send(file);
        }
    });
    receiver.recv_timeout(patience).ok()
}

fn note() -> String {
    note_of(std::process::id())
}

fn note_of(pid: u32) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("process {pid} on host {}", host.trim())
}

/// What the holder says of itself; empty where it left no note.
fn read_note(file: &mut File) -> String {
    let mut note = String::new();
    let read = file.rewind().and_then(|()| file.take(NOTE_BYTES_MAX).read_to_string(&mut note));
    if read.is_ok() { note.trim().to_owned() } else { String::new() }
}

/// Whether the process that a note names was of this host and is gone or going: a zombie keeps its files until
/// its last thread has ended.
fn is_ending(note: &str) -> bool {
    let pid = note.strip_prefix("process ").and_then(|rest| rest.split(' ').next()).and_then(|pid| pid.parse().ok());
    let Some(pid) = pid.filter(|pid: &u32| note == note_of(*pid)) else { return false };
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['Z', 'X'])),
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_that_ends_is_waited_for_and_one_that_lives_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let held = DirectoryLock::take(dir.path()).unwrap();
        let error = DirectoryLock::take(dir.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("(process {} on host ", std::process::id())), "{error}");

        // A killed child that nobody has waited for stands for a holder whose last thread still holds the file.
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        child.kill().unwrap();
        // The signal is sent; it still has to get there.
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while !is_ending(&note_of(child.id())) {
            assert!(std::time::Instant::now() < deadline, "the killed process does not end");
            thread::yield_now();
        }
        std::fs::write(dir.path().join(LOCK_NAME), note_of(child.id())).unwrap();
        let successor = thread::spawn({
            let dir = dir.path().to_owned();
            move || DirectoryLock::take(&dir).map(drop)
        });
        drop(held);
        successor.join().unwrap().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn only_a_process_of_this_host_can_be_seen_to_end() {
        assert!(!is_ending(""));
        assert!(!is_ending("process 4194305 on host another.example"));
        assert!(!is_ending(&note()));
        // Beyond what the kernel hands out.
        assert!(is_ending(&note_of(4_194_305)));
    }
}
