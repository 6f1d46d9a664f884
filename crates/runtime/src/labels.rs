//! `--label`: each line of output begins with the rank of its task.

use std::collections::BTreeMap;

/// A longer line is divided: so much is kept of each stream at most.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Lines that are not complete yet, by rank and stream, and the width of the labels.
#[derive(Debug)]
pub struct Labels {
    width: usize,
    partial: BTreeMap<(u32, bool), Vec<u8>>,
}

impl Labels {
    /// For ranks below `tasks`.
    pub fn new(tasks: u32) -> Labels {
        let highest = tasks.saturating_sub(1).max(1);
        Labels { width: highest.ilog10() as usize + 1, partial: BTreeMap::new() }
    }

    /// The complete lines that `bytes` bring, labelled; the rest is kept.
    pub fn label(&mut self, rank: u32, is_error: bool, bytes: &[u8]) -> Vec<u8> {
        let label = self.prefix(rank);
        let partial = self.partial.entry((rank, is_error)).or_default();
        let mut labelled = Vec::with_capacity(bytes.len() + label.len());
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            partial.extend_from_slice(part);
            let is_complete = partial.ends_with(b"\n");
            if is_complete || partial.len() > LINE_BYTES_MAX {
                labelled.extend_from_slice(label.as_bytes());
                labelled.append(partial);
                labelled.extend_from_slice(if is_complete { b"" } else { b"\n" });
            }
        }
        labelled
    }

    /// What is left of one stream at its end, completed to a line.
    pub fn end(&mut self, rank: u32, is_error: bool) -> Vec<u8> {
        let partial = self.partial.remove(&(rank, is_error)).filter(|partial| !partial.is_empty());
        partial.map_or(Vec::new(), |partial| self.line(rank, &partial))
    }

    fn line(&self, rank: u32, partial: &[u8]) -> Vec<u8> {
        [self.prefix(rank).as_bytes(), partial, b"\n"].concat()
    }

    /// What stands before the lines of a rank.
    fn prefix(&self, rank: u32) -> String {
        format!("{rank:width$}: ", width = self.width)
    }

    /// What is left at the end of the step, each completed to a line: standard output and standard error.
    pub fn rest(&mut self) -> (Vec<u8>, Vec<u8>) {
        let mut rest = (Vec::new(), Vec::new());
        for ((rank, is_error), partial) in std::mem::take(&mut self.partial) {
            if !partial.is_empty() {
                let target = if is_error { &mut rest.1 } else { &mut rest.0 };
                target.append(&mut self.line(rank, &partial));
            }
        }
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_labelled_as_they_become_complete() {
        let mut labels = Labels::new(12);
        assert_eq!(labels.label(3, false, b"one\ntw"), b" 3: one\n");
        assert_eq!(labels.label(3, false, b"o\n"), b" 3: two\n");
        assert_eq!(labels.label(11, true, b"end"), b"");
        assert_eq!(labels.rest(), (Vec::new(), b"11: end\n".to_vec()));
        assert_eq!(labels.label(1, false, b"a"), b"");
        assert_eq!((labels.end(1, false), labels.end(1, false)), (b" 1: a\n".to_vec(), Vec::new()));
        let long = vec![b'x'; LINE_BYTES_MAX + 1];
        assert_eq!(labels.label(1, false, &long).len(), LINE_BYTES_MAX + 6);
    }
}
