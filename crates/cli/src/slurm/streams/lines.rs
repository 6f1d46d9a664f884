//! Lines of several tasks do not mix: what a task writes is shown up to the end of its last line, as real Slurm does without
//! `--unbuffered`.

use std::collections::BTreeMap;

/// Longest beginning of a line that is kept back.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Beginnings of lines, by rank and stream (standard error or not).
#[derive(Debug, Default)]
pub(super) struct Lines {
    begun: BTreeMap<(u32, bool), Vec<u8>>,
}

impl Lines {
    /// What may be shown now that `bytes` have come: what was kept back, and how much of them.
    pub(super) fn take<'a>(&mut self, rank: u32, is_error: bool, bytes: &'a [u8]) -> (Vec<u8>, &'a [u8]) {
        let begun = self.begun.entry((rank, is_error)).or_default();
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let (whole, rest) = bytes.split_at(end);
        let before = if end > 0 { std::mem::take(begun) } else { Vec::new() };
        begun.extend_from_slice(rest);
        if begun.len() > LINE_BYTES_MAX {
            return ([before, whole.to_vec(), std::mem::take(begun)].concat(), &[]);
        }
        (before, whole)
    }

    /// What is left of a task that has ended, on one of its streams.
    pub(super) fn rest(&mut self, rank: u32, is_error: bool) -> Vec<u8> {
        self.begun.remove(&(rank, is_error)).unwrap_or_default()
    }

    /// Everything that is left, of standard error or of standard output.
    pub(super) fn all(&mut self, is_error: bool) -> Vec<u8> {
        self.begun
            .iter_mut()
            .filter(|(key, _)| key.1 == is_error)
            .flat_map(|(_, begun)| std::mem::take(begun))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole() {
        let mut lines = Lines::default();
        let mut shown = Vec::new();
        for (rank, bytes) in [(0, "one\ntw"), (1, "a"), (0, "o"), (1, "b\nc"), (0, "!\n"), (1, "d")] {
            let (before, whole) = lines.take(rank, false, bytes.as_bytes());
            shown.extend([before.as_slice(), whole].concat());
        }
        assert_eq!(String::from_utf8(shown).unwrap(), "one\nab\ntwo!\n");
        assert_eq!((lines.rest(1, false), lines.rest(1, true)), (b"cd".to_vec(), Vec::new()));
        let long = vec![b'x'; LINE_BYTES_MAX + 1];
        assert_eq!(lines.take(0, true, &long).0, long);
        lines.take(2, true, b"end");
        assert_eq!((lines.all(false), lines.all(true)), (Vec::new(), b"end".to_vec()));
    }
}
