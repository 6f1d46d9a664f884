//! What the command wrote, for whoever listens now or comes later.
//!
//! Bytes are kept in files without names, so that they cost no memory and go with the process. The oldest go when there
//! are too many; who reads slower than that misses them and is told so.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Bytes of one file.
const SEGMENT_BYTES: u64 = 16 << 20;

/// Files kept: 256 MiB of output, which is more than anybody scrolls back.
const SEGMENTS_MAX: usize = 16;

/// Bytes given to a reader at once.
const PIECE_BYTES: usize = 64 << 10;

/// Milliseconds for which bytes share one entry of the index of times.
const INDEX_MS: i64 = 100;

/// The output of one command.
#[derive(Debug)]
pub struct Logs {
    kept: Mutex<Kept>,
    grown: watch::Sender<Mark>,
}

/// How far the output has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    length: u64,
    is_over: bool,
}

#[derive(Debug)]
struct Kept {
    segments: VecDeque<Segment>,
    segment_bytes: u64,
    length: u64,
}

#[derive(Debug)]
struct Segment {
    file: Arc<File>,
    start: u64,
    length: u64,
    /// When (milliseconds since 1970) the byte at an offset was written; ascending.
    times: Vec<(i64, u64)>,
}

impl Default for Logs {
    fn default() -> Self {
        Logs::with_segments_of(SEGMENT_BYTES)
    }
}

impl Logs {
    fn with_segments_of(segment_bytes: u64) -> Self {
        let kept = Kept { segments: VecDeque::new(), segment_bytes, length: 0 };
        Logs { kept: Mutex::new(kept), grown: watch::Sender::new(Mark { length: 0, is_over: false }) }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds bytes that were written at `now_ms`.
    ///
    /// # Errors
    /// When they cannot be kept, for instance because the disk is full. They are then missing for readers.
    pub fn append(&self, bytes: &[u8], now_ms: i64) -> io::Result<()> {
        let mut kept = self.kept();
        kept.append(bytes, now_ms)?;
        let mark = Mark { length: kept.length, is_over: false };
        drop(kept);
        self.grown.send_replace(mark);
        Ok(())
    }

    /// Says that nothing will come any more.
    pub fn end(&self) {
        self.grown.send_modify(|mark| mark.is_over = true);
    }

    /// Somebody who reads from the beginning, or from what was written at `start_ms` and later.
    #[must_use]
    pub fn follow(self: &Arc<Self>, start_ms: Option<i64>) -> Follower {
        let position = start_ms.map_or(0, |start| self.kept().position_at(start));
        Follower { logs: Arc::clone(self), grown: self.grown.subscribe(), position }
    }
}

impl Kept {
    fn append(&mut self, mut bytes: &[u8], now_ms: i64) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.segments.back().is_none_or(|last| last.length >= self.segment_bytes) {
                let file = Arc::new(unnamed_file()?);
                self.segments.push_back(Segment { file, start: self.length, length: 0, times: Vec::new() });
                if self.segments.len() > SEGMENTS_MAX {
                    self.segments.pop_front();
                }
            }
            let Some(last) = self.segments.back_mut() else { return Ok(()) };
            let room = usize::try_from(self.segment_bytes - last.length).unwrap_or(usize::MAX);
            let (fitting, rest) = bytes.split_at(bytes.len().min(room));
            last.file.write_all_at(fitting, last.length)?;
            if last.times.last().is_none_or(|(at, _)| now_ms >= at + INDEX_MS) {
                last.times.push((now_ms, self.length));
            }
            last.length += fitting.len() as u64;
            self.length += fitting.len() as u64;
            bytes = rest;
        }
        Ok(())
    }

    fn position_at(&self, start_ms: i64) -> u64 {
        let mut times = self.segments.iter().flat_map(|segment| &segment.times);
        times.find(|(at, _)| *at >= start_ms).map_or(self.length, |(_, position)| *position)
    }

    /// Where the bytes at `position` are: the file, the place in it, how many there are, and how many were missed.
    fn locate(&self, position: u64) -> Option<(Arc<File>, u64, u64, u64)> {
        let first = self.segments.front()?;
        let missed = first.start.saturating_sub(position);
        let position = position + missed;
        let segment = self.segments.iter().find(|segment| position < segment.start + segment.length)?;
        let offset = position - segment.start;
        Some((Arc::clone(&segment.file), offset, segment.length - offset, missed))
    }
}

/// A file that nobody else can open: on disk, or in memory where the container has no writable disk.
fn unnamed_file() -> io::Result<File> {
    tempfile::tempfile().or_else(|_| {
        let name = c"muster-runner-log";
        nix::sys::memfd::memfd_create(name, nix::sys::memfd::MFdFlags::MFD_CLOEXEC)
            .map(File::from)
            .map_err(io::Error::from)
    })
}

/// One reader.
#[derive(Debug)]
pub struct Follower {
    logs: Arc<Logs>,
    grown: watch::Receiver<Mark>,
    position: u64,
}

impl Follower {
    /// The next bytes, as soon as there are some; `None` when nothing will come any more.
    ///
    /// # Errors
    /// When what was kept cannot be read.
    pub async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let position = self.position;
        let ready = self.grown.wait_for(|mark| mark.length > position || mark.is_over).await;
        if ready.is_err() {
            return Ok(None);
        }
        drop(ready);
        let Some((file, offset, available, missed)) = self.logs.kept().locate(position) else { return Ok(None) };
        if missed > 0 {
            self.position += missed;
            return Ok(Some(format!("\r\n[{missed} bytes of output are no longer kept]\r\n").into_bytes()));
        }
        let mut piece = vec![0; PIECE_BYTES.min(usize::try_from(available).unwrap_or(PIECE_BYTES))];
        file.read_exact_at(&mut piece, offset)?;
        self.position += piece.len() as u64;
        Ok(Some(piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(mut follower: Follower) -> String {
        let mut text = Vec::new();
        while let Some(piece) = follower.next().await.unwrap() {
            text.extend(piece);
        }
        String::from_utf8(text).unwrap()
    }

    #[tokio::test]
    async fn who_comes_late_reads_from_the_beginning_or_from_a_time() {
        let logs = Arc::new(Logs::with_segments_of(5));
        logs.append(b"one ", 1_000).unwrap();
        logs.append(b"two ", 1_050).unwrap();
        logs.append(b"three", 2_000).unwrap();
        let early = tokio::spawn(all(logs.follow(None)));
        logs.append(b" four", 3_000).unwrap();
        logs.end();
        assert_eq!(early.await.unwrap(), "one two three four");
        assert_eq!(all(logs.follow(Some(2_000))).await, "three four");
        assert_eq!(all(logs.follow(Some(9_000))).await, "");
    }

    #[tokio::test]
    async fn the_oldest_output_goes_and_its_readers_are_told() {
        let logs = Arc::new(Logs::with_segments_of(2));
        for _ in 0..SEGMENTS_MAX + 3 {
            logs.append(b"ab", 0).unwrap();
        }
        logs.end();
        let text = all(logs.follow(None)).await;
        assert_eq!(text, format!("\r\n[6 bytes of output are no longer kept]\r\n{}", "ab".repeat(SEGMENTS_MAX)));
    }
}
