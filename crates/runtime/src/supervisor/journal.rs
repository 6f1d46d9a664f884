//! What must survive the supervisor: which units were begun, and how they ended until that is acknowledged.
//!
//! An append-only file of `length: u32, checksum: u32, JSON`. A torn tail (the supervisor or the machine died in the
//! middle of a write) is cut off when read. Records are written but not synced: a death of the supervisor loses
//! nothing; after a death of the machine the processes are gone too, and the controller sees a new boot.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use muster_model::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::unit::{UnitEnd, UnitKey};

/// Name of the file in the spool directory.
const NAME: &str = "ends.journal";

/// Length and checksum.
const HEADER_BYTES: usize = 8;

/// Longest record: an end with some hundred thousand tasks.
const RECORD_BYTES_MAX: usize = 64 << 20;

/// The file is written anew when it is longer than this and at least half of it is of no more use.
const COMPACT_BYTES: u64 = 1 << 20;

/// One record.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Record {
    Begin { key: UnitKey, at: Timestamp },
    End(UnitEnd),
    Acknowledge { key: UnitKey },
}

/// What the records say about a key that is not yet forgotten.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Known {
    /// Begun, no end seen.
    Begun(Timestamp),
    /// Ended, not acknowledged.
    Ended(Box<UnitEnd>),
}

/// The open journal. Records are collected and written together by [`Journal::flush`].
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    /// Bytes in the file.
    length: u64,
    /// Bytes of records that are of no more use.
    stale: u64,
    buffer: Vec<u8>,
    known: BTreeMap<UnitKey, (Known, u64)>,
}

impl Journal {
    /// Opens the journal of `dir`, reads it, and cuts off a torn tail.
    pub(crate) fn open(dir: &Path) -> io::Result<Journal> {
        let path = dir.join(NAME);
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut journal = Journal { path, file, length: 0, stale: 0, buffer: Vec::new(), known: BTreeMap::new() };
        let mut rest = bytes.as_slice();
        while let Some((record, size)) = parse(rest) {
            journal.note(record, size as u64);
            journal.length += size as u64;
            rest = rest.get(size..).unwrap_or_default();
        }
        if !rest.is_empty() {
            tracing::warn!(bytes = rest.len(), path = %journal.path.display(), "cut off a torn tail");
            journal.file.set_len(journal.length)?;
        }
        Ok(journal)
    }

    /// Keys not yet forgotten, ascending.
    pub(crate) fn known(&self) -> impl Iterator<Item = (&UnitKey, &Known)> {
        self.known.iter().map(|(key, (known, _))| (key, known))
    }

    /// What is known of `key`.
    pub(crate) fn get(&self, key: &UnitKey) -> Option<&Known> {
        self.known.get(key).map(|(known, _)| known)
    }

    /// Notes that `key` is about to be started. Takes effect with [`Journal::flush`].
    pub(crate) fn begin(&mut self, key: UnitKey, at: Timestamp) {
        self.add(Record::Begin { key, at });
    }

    /// Notes an end. Takes effect with [`Journal::flush`].
    pub(crate) fn end(&mut self, end: UnitEnd) {
        self.add(Record::End(end));
    }

    /// Forgets an end; `false` when there was none.
    pub(crate) fn acknowledge(&mut self, key: UnitKey) -> bool {
        let is_ended = matches!(self.get(&key), Some(Known::Ended(_)));
        if is_ended {
            self.add(Record::Acknowledge { key });
        }
        is_ended
    }

    /// Takes back a [`Journal::begin`] that could not be flushed: should it reach the disk later, so does this.
    pub(crate) fn forget(&mut self, key: UnitKey) {
        self.add(Record::Acknowledge { key });
    }

    /// Writes what was noted. On error nothing of it counts as written; it is tried again with the next flush.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let mut written = 0;
        while let Some(rest) = self.buffer.get(written..).filter(|rest| !rest.is_empty()) {
            match self.file.write(rest) {
                Ok(count) if count > 0 => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => {
                    // A part of a record must not stay in front of later ones.
                    self.file.set_len(self.length)?;
                    return other.and(Err(io::ErrorKind::WriteZero.into()));
                }
            }
        }
        self.length += self.buffer.len() as u64;
        self.buffer.clear();
        if self.length > COMPACT_BYTES && self.stale > self.length / 2 {
            // Everything is on disk already; a longer file is the only harm.
            self.compact().unwrap_or_else(|error| tracing::warn!(%error, "cannot compact the journal"));
        }
        Ok(())
    }

    /// Writes only what is still of use into a new file that takes the place of the old one.
    fn compact(&mut self) -> io::Result<()> {
        if self.known.is_empty() {
            self.file.set_len(0)?;
            (self.length, self.stale) = (0, 0);
            return Ok(());
        }
        let mut bytes = Vec::new();
        for (key, (known, size)) in &mut self.known {
            let record = match known {
                Known::Begun(at) => Record::Begin { key: *key, at: *at },
                Known::Ended(end) => Record::End((**end).clone()),
            };
            *size = append(&mut bytes, &record);
        }
        let new_path = self.path.with_extension("new");
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(true).mode(0o600).open(&new_path)?;
        file.write_all(&bytes)?;
        // The old file must not be replaced by one whose content is not yet there.
        file.sync_data()?;
        std::fs::rename(&new_path, &self.path)?;
        file.seek(SeekFrom::End(0))?;
        self.file = file;
        (self.length, self.stale) = (bytes.len() as u64, 0);
        Ok(())
    }

    fn add(&mut self, record: Record) {
        let size = append(&mut self.buffer, &record);
        self.note(record, size);
    }

    fn note(&mut self, record: Record, size: u64) {
        let replaced = match record {
            Record::Begin { key, at } => self.known.insert(key, (Known::Begun(at), size)),
            Record::End(end) => self.known.insert(end.key, (Known::Ended(Box::new(end)), size)),
            Record::Acknowledge { key } => {
                self.stale += size;
                self.known.remove(&key)
            }
        };
        self.stale += replaced.map_or(0, |(_, size)| size);
    }
}

/// Appends a record; gives its size.
fn append(out: &mut Vec<u8>, record: &Record) -> u64 {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    if serde_json::to_writer(&mut *out, record).is_err() {
        // Cannot happen with these plain types and a vector; an empty record would be cut off as torn.
        debug_assert!(false, "a journal record does not serialise");
        out.truncate(start);
        return 0;
    }
    let payload = out.get(start + HEADER_BYTES..).unwrap_or_default();
    let (length, sum) = (payload.len() as u32, checksum(payload));
    if let Some(header) = out.get_mut(start..start + HEADER_BYTES) {
        header[..4].copy_from_slice(&length.to_le_bytes());
        header[4..].copy_from_slice(&sum.to_le_bytes());
    }
    (out.len() - start) as u64
}

/// The first record and its size; `None` where no whole, undamaged record begins.
fn parse(bytes: &[u8]) -> Option<(Record, usize)> {
    let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let [l0, l1, l2, l3, s0, s1, s2, s3] = *header;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if length > RECORD_BYTES_MAX {
        return None;
    }
    let payload = rest.get(..length)?;
    if checksum(payload) != u32::from_le_bytes([s0, s1, s2, s3]) {
        return None;
    }
    Some((serde_json::from_slice(payload).ok()?, HEADER_BYTES + length))
}

/// FNV-1a; enough to tell a torn record, and never 0 for an empty one (a hole in a file reads as zeros).
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::Outcome;
    use muster_model::ids::{JobId, RestartCount, StepId};
    use muster_model::state::{ExitStatus, Usage};

    fn key(job: u32) -> UnitKey {
        UnitKey { job_id: JobId(job), restart: RestartCount(0), step: StepId::Batch }
    }

    fn end(job: u32) -> UnitEnd {
        UnitEnd {
            key: key(job),
            outcome: Outcome::Ran,
            exit: ExitStatus::exited(3),
            tasks: Vec::new(),
            usage: Usage::default(),
            start_time: Timestamp(1),
            end_time: Timestamp(2),
            out_of_memory: false,
            terminated: false,
            over_memory: false,
            unkillable: None,
        }
    }

    fn summary(journal: &Journal) -> Vec<String> {
        let text = |known: &Known| match known {
            Known::Begun(_) => "begun",
            Known::Ended(_) => "ended",
        };
        journal.known().map(|(key, known)| format!("{key} {}", text(known))).collect()
    }

    #[test]
    fn what_was_flushed_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        for job in 1..=4 {
            journal.begin(key(job), Timestamp(job.into()));
        }
        journal.end(end(2));
        journal.end(end(3));
        journal.flush().unwrap();
        assert!(journal.acknowledge(key(3)) && !journal.acknowledge(key(1)) && !journal.acknowledge(key(9)));
        journal.flush().unwrap();
        journal.begin(key(7), Timestamp(7)); // never flushed
        let journal = Journal::open(dir.path()).unwrap();
        assert_eq!(summary(&journal), ["1.0.batch begun", "2.0.batch ended", "4.0.batch begun"]);
        assert_eq!(journal.get(&key(2)), Some(&Known::Ended(Box::new(end(2)))));
    }

    #[test]
    fn a_torn_tail_is_cut_off_at_every_length() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        journal.begin(key(1), Timestamp(1));
        journal.flush().unwrap();
        let whole = journal.length as usize;
        journal.end(end(1));
        journal.flush().unwrap();
        let bytes = std::fs::read(dir.path().join(NAME)).unwrap();
        for cut in whole..bytes.len() {
            std::fs::write(dir.path().join(NAME), &bytes[..cut]).unwrap();
            let mut journal = Journal::open(dir.path()).unwrap();
            assert_eq!(summary(&journal), ["1.0.batch begun"], "cut at {cut}");
            journal.end(end(1));
            journal.flush().unwrap();
            assert_eq!(summary(&Journal::open(dir.path()).unwrap()), ["1.0.batch ended"], "cut at {cut}");
        }
    }

    #[test]
    fn damage_and_holes_end_the_reading() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        journal.begin(key(1), Timestamp(1));
        journal.begin(key(2), Timestamp(1));
        journal.flush().unwrap();
        let mut bytes = std::fs::read(dir.path().join(NAME)).unwrap();
        let last = bytes.len() - 3;
        bytes[last] ^= 1;
        bytes.extend([0; 100]);
        std::fs::write(dir.path().join(NAME), &bytes).unwrap();
        assert_eq!(summary(&Journal::open(dir.path()).unwrap()), ["1.0.batch begun"]);
    }

    #[test]
    fn the_file_stays_small() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        journal.begin(key(0), Timestamp(0));
        for job in 1..30_000 {
            journal.begin(key(job), Timestamp(1));
            journal.end(end(job));
            journal.acknowledge(key(job));
            journal.flush().unwrap();
            assert!(journal.length <= COMPACT_BYTES + 1000);
        }
        assert_eq!(std::fs::metadata(dir.path().join(NAME)).unwrap().len(), journal.length);
        journal.end(end(0));
        journal.flush().unwrap();
        assert_eq!(summary(&Journal::open(dir.path()).unwrap()), ["0.0.batch ended"]);
    }
}
