//! Counts for the nodes of a job in Slurm's short form: `2(x3),1`.

use std::fmt::Write;

/// Most nodes that a text may stand for.
const NODES_MAX: u32 = 1 << 20;

/// Writes counts in order, runs of equal ones together: `2(x3),1`.
pub fn print(counts: impl IntoIterator<Item = u32>) -> String {
    let mut text = String::new();
    let mut counts = counts.into_iter().peekable();
    while let Some(count) = counts.next() {
        let mut repeated = 1u32;
        while counts.next_if_eq(&count).is_some() {
            repeated += 1;
        }
        if !text.is_empty() {
            text.push(',');
        }
        let written = if repeated == 1 { write!(text, "{count}") } else { write!(text, "{count}(x{repeated})") };
        debug_assert!(written.is_ok(), "writing to a string cannot fail");
    }
    text
}

/// Reads what [`print`] writes, as `srun` does with `SLURM_TASKS_PER_NODE`; `None` when malformed.
pub fn parse(text: &str) -> Option<Vec<u32>> {
    let mut counts = Vec::new();
    for part in text.split(',') {
        let (count, repeated) = match part.split_once("(x") {
            Some((count, rest)) => (count, rest.strip_suffix(')')?.parse().ok()?),
            None => (part, 1u32),
        };
        let count: u32 = count.parse().ok()?;
        if repeated > NODES_MAX || counts.len() + repeated as usize > NODES_MAX as usize {
            return None;
        }
        counts.extend(std::iter::repeat_n(count, repeated as usize));
    }
    Some(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs() {
        let check = |counts: &[u32], text: &str| {
            assert_eq!(print(counts.iter().copied()), text);
            assert_eq!(parse(text).as_deref(), Some(counts));
        };
        check(&[1], "1");
        check(&[3, 1], "3,1");
        check(&[2, 2], "2(x2)");
        check(&[2, 2, 2, 1, 4, 4], "2(x3),1,4(x2)");
        for bad in ["", "x", "2(x", "2(x2", "2(x99999999)", "1,,2"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }
}
