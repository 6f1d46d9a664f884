//! Limits of memory, and the count of processes that the kernel killed for them.

use std::io;
use std::path::Path;

use super::write;
use crate::confinement::MemoryBounds;

/// Sets the bounds of a group.
pub(super) fn set(dir: &Path, is_v2: bool, bounds: &MemoryBounds) -> io::Result<()> {
    if is_v2 {
        write(dir, "memory.max", bounds.hard)?;
        // Equal bounds would only slow a process down before it is killed.
        if bounds.soft < bounds.hard {
            write(dir, "memory.high", bounds.soft)?;
        }
        return match bounds.with_swap {
            Some(both) => write(dir, "memory.swap.max", both.saturating_sub(bounds.hard)),
            None => Ok(()),
        };
    }
    write(dir, "memory.soft_limit_in_bytes", bounds.soft)?;
    match (write(dir, "memory.limit_in_bytes", bounds.hard), bounds.with_swap) {
        // It may not exceed that of both, which the group may have from before.
        (Err(error), Some(both)) if error.kind() == io::ErrorKind::InvalidInput => {
            write(dir, "memory.memsw.limit_in_bytes", both)?;
            write(dir, "memory.limit_in_bytes", bounds.hard)?;
        }
        (result, Some(both)) => result.and_then(|()| write(dir, "memory.memsw.limit_in_bytes", both))?,
        (result, None) => result?,
    }
    bounds.swappiness.map_or(Ok(()), |swappiness| write(dir, "memory.swappiness", swappiness.into()))
}

/// Processes of a group that the kernel killed for a limit, of the group or of one above it.
pub(super) fn oom_kills(dir: &Path, is_v2: bool) -> u64 {
    let file = if is_v2 { "memory.events" } else { "memory.oom_control" };
    let text = std::fs::read_to_string(dir.join(file)).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Ordinary files stand for those of the kernel.
    fn check(is_v2: bool, bounds: MemoryBounds, expected: &[(&str, &str)]) {
        let dir = tempfile::tempdir().unwrap();
        for name in
            ["max", "high", "swap.max", "soft_limit_in_bytes", "limit_in_bytes", "memsw.limit_in_bytes", "swappiness"]
        {
            fs::write(dir.path().join(format!("memory.{name}")), "").unwrap();
        }
        set(dir.path(), is_v2, &bounds).unwrap();
        let mut written: Vec<(String, String)> = fs::read_dir(dir.path())
            .unwrap()
            .flatten()
            .map(|entry| (entry.file_name().to_string_lossy().into_owned(), fs::read_to_string(entry.path()).unwrap()))
            .filter(|(_, text)| !text.is_empty())
            .collect();
        written.sort();
        let expected: Vec<_> =
            expected.iter().map(|(name, text)| (format!("memory.{name}"), (*text).to_owned())).collect();
        assert_eq!(written, expected);
    }

    #[test]
    fn each_version_has_files_of_its_own() {
        let bounds = MemoryBounds { hard: 200, soft: 100, with_swap: Some(250), swappiness: Some(5) };
        check(true, bounds, &[("high", "100"), ("max", "200"), ("swap.max", "50")]);
        let first = [("limit_in_bytes", "200"), ("memsw.limit_in_bytes", "250")];
        let all: Vec<_> = first.into_iter().chain([("soft_limit_in_bytes", "100"), ("swappiness", "5")]).collect();
        check(false, bounds, &all);
        let bounds = MemoryBounds { hard: 200, soft: 200, ..MemoryBounds::default() };
        check(true, bounds, &[("max", "200")]);
        check(false, bounds, &[("limit_in_bytes", "200"), ("soft_limit_in_bytes", "200")]);
    }

    #[test]
    fn kills_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(oom_kills(dir.path(), true), 0);
        fs::write(dir.path().join("memory.events"), "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\n").unwrap();
        fs::write(dir.path().join("memory.oom_control"), "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n").unwrap();
        assert_eq!((oom_kills(dir.path(), true), oom_kills(dir.path(), false)), (2, 1));
    }
}
