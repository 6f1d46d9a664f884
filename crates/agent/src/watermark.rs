//! The greatest launch number ever taken in, durable before any such launch is carried out.
//!
//! Two places in one file are written in turn, each within one sector, so that a torn write leaves the number before;
//! its launch was then not carried out either.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, ensure};

/// Distance of the two places: no sector of a disk is larger than this.
const PLACE_BYTES: u64 = 4096;

/// `launch 00000000000000000012\n`
const TEXT_BYTES: usize = 28;

/// The file that holds the number.
#[derive(Debug)]
pub(crate) struct Watermark {
    file: File,
    sequence: u64,
    /// Where the next number goes: 0 or 1.
    place: u64,
}

impl Watermark {
    /// Opens the number kept in `dir`; 0 in a new one.
    pub(crate) fn open(dir: &Path) -> anyhow::Result<Watermark> {
        let path = dir.join("launch-sequence");
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.with_context(|| format!("cannot open {}", path.display()))?;
        let is_new = file.metadata().with_context(|| format!("cannot read {}", path.display()))?.len() == 0;
        let places = [read(&file, 0), read(&file, 1)];
        let newest = places.iter().flatten().max().copied();
        ensure!(
            is_new || newest.is_some(),
            "{} is damaged; make sure that no job runs on this node, then remove the file",
            path.display()
        );
        let sequence = newest.unwrap_or(0);
        Ok(Watermark { file, sequence, place: u64::from(places[0] == Some(sequence)) })
    }

    /// The number that is durable.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Makes `sequence` durable.
    pub(crate) fn raise(&mut self, sequence: u64) -> std::io::Result<()> {
        if sequence > self.sequence {
            let text = format!("launch {sequence:020}\n");
            self.file.write_all_at(text.as_bytes(), self.place * PLACE_BYTES)?;
            self.file.sync_data()?;
            self.sequence = sequence;
            self.place = 1 - self.place;
        }
        Ok(())
    }
}

fn read(file: &File, place: u64) -> Option<u64> {
    let mut text = [0; TEXT_BYTES];
    file.read_exact_at(&mut text, place * PLACE_BYTES).ok()?;
    let text = std::str::from_utf8(&text).ok()?;
    text.strip_prefix("launch ")?.strip_suffix('\n')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_number_is_kept_and_a_torn_write_leaves_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Watermark::open(dir.path()).unwrap();
        assert_eq!(open().sequence(), 0);
        for sequence in [3, 7, 7, 5, u64::MAX - 1] {
            open().raise(sequence).unwrap();
        }
        assert_eq!(open().sequence(), u64::MAX - 1);
        open().raise(u64::MAX).unwrap();
        let path = dir.path().join("launch-sequence");
        let bytes = std::fs::read(&path).unwrap();
        let newest = if bytes.windows(20).position(|part| part == u64::MAX.to_string().as_bytes()).unwrap() > 4096 {
            4096
        } else {
            0
        };
        let mut torn = bytes.clone();
        torn[newest + 9] = 0;
        std::fs::write(&path, &torn).unwrap();
        assert_eq!(open().sequence(), u64::MAX - 1);
        std::fs::write(&path, vec![b'x'; bytes.len()]).unwrap();
        assert!(Watermark::open(dir.path()).unwrap_err().to_string().contains("damaged"));
    }
}
