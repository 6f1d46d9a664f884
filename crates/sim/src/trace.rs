//! What happened, line by line: the same seed gives the same lines, byte for byte.

use std::collections::VecDeque;

use muster_model::time::Timestamp;

/// Lines kept when the whole trace is not wanted: enough to see what led to a failure.
const TAIL_LINES: usize = 400;

/// The lines of one run.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    lines: VecDeque<String>,
    keep_all: bool,
    hash: u64,
    count: u64,
}

impl Trace {
    pub(crate) fn new(keep_all: bool) -> Trace {
        Trace { keep_all, hash: 0xcbf2_9ce4_8422_2325, ..Trace::default() }
    }

    pub(crate) fn line(&mut self, now: Timestamp, text: &str) {
        let line = format!("{:6}.{:03} {text}", now.0 / 1000, now.0 % 1000);
        for byte in line.bytes().chain([b'\n']) {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.count += 1;
        if !self.keep_all && self.lines.len() == TAIL_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// FNV-1a over all lines, kept or not.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }
}
