//! Open files and directories of one client, by the handles it was given.

use std::collections::BTreeMap;
use std::fs::{File, ReadDir};

use russh_sftp::protocol::StatusCode;

/// Handles of one client at a time.
const HANDLES_MAX: usize = 1_024;

/// What a handle stands for.
pub(super) enum Open {
    File { file: File, appends: bool },
    Directory(ReadDir),
}

/// All handles.
#[derive(Default)]
pub(super) struct Handles {
    open: BTreeMap<String, Open>,
    next: u64,
}

impl Handles {
    /// A new handle.
    ///
    /// # Errors
    /// When the client has too many.
    pub(super) fn add(&mut self, open: Open) -> Result<String, StatusCode> {
        if self.open.len() >= HANDLES_MAX {
            return Err(StatusCode::Failure);
        }
        self.next += 1;
        let handle = self.next.to_string();
        self.open.insert(handle.clone(), open);
        Ok(handle)
    }

    pub(super) fn file(&self, handle: &str) -> Result<(&File, bool), StatusCode> {
        match self.open.get(handle) {
            Some(Open::File { file, appends }) => Ok((file, *appends)),
            _ => Err(StatusCode::Failure),
        }
    }

    pub(super) fn directory(&mut self, handle: &str) -> Result<&mut ReadDir, StatusCode> {
        match self.open.get_mut(handle) {
            Some(Open::Directory(entries)) => Ok(entries),
            _ => Err(StatusCode::Failure),
        }
    }

    pub(super) fn close(&mut self, handle: &str) -> Result<(), StatusCode> {
        self.open.remove(handle).map(drop).ok_or(StatusCode::Failure)
    }
}
