//! What the daemons on the nodes of a cluster use of memory, as the kernel counts it.
//!
//! Resident is what `ps` shows: pages that several processes share, of the program above all, count for each of them. The
//! proportional figure divides such pages by those who share them, so it is smaller the more nodes are played on one machine.

use std::path::Path;

/// Which processes are the daemons of a cluster's nodes.
pub(super) struct Daemons {
    /// Stands in the command lines or in the environments of all.
    mark: String,
    kind: fn(&str) -> Option<Kind>,
}

#[derive(Clone, Copy)]
enum Kind {
    Agent,
    Supervisor,
}

/// Of all daemons of a kind.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Used {
    pub(super) count: usize,
    pub(super) resident_kb: u64,
    pub(super) proportional_kb: u64,
}

/// Of all daemons.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Memory {
    pub(super) agents: Used,
    pub(super) supervisors: Used,
}

impl Memory {
    pub(super) fn resident_kb(&self) -> u64 {
        self.agents.resident_kb + self.supervisors.resident_kb
    }

    pub(super) fn proportional_kb(&self) -> u64 {
        self.agents.proportional_kb + self.supervisors.proportional_kb
    }
}

impl Daemons {
    /// Of a development cluster in `directory`: an agent and a supervisor on each node.
    pub(super) fn ours(directory: &Path) -> Daemons {
        Daemons { mark: directory.display().to_string(), kind: kind_of_ours }
    }

    /// Of a real Slurm in `directory`: a daemon on each node, and one for each step.
    pub(super) fn slurms(directory: &Path) -> Daemons {
        Daemons { mark: directory.display().to_string(), kind: kind_of_slurms }
    }

    /// What they use now.
    pub(super) fn memory(&self) -> Memory {
        let mut memory = Memory::default();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some((kind, resident_kb, proportional_kb)) = self.one(&entry.path()) else { continue };
            let used = match kind {
                Kind::Agent => &mut memory.agents,
                Kind::Supervisor => &mut memory.supervisors,
            };
            used.count += 1;
            used.resident_kb += resident_kb;
            used.proportional_kb += proportional_kb;
        }
        memory
    }

    /// Of one process, if it is one of them.
    fn one(&self, process: &Path) -> Option<(Kind, u64, u64)> {
        let text =
            |name: &str| Some(String::from_utf8_lossy(&std::fs::read(process.join(name)).ok()?).replace('\0', " "));
        let line = text("cmdline")?;
        let kind = (self.kind)(&line)?;
        // Daemons of steps name themselves anew, but their environment is as it was.
        if !line.contains(&self.mark) && !text("environ")?.contains(&self.mark) {
            return None;
        }
        let all = text("smaps_rollup")?;
        Some((kind, kilobytes(&all, "Rss:")?, kilobytes(&all, "Pss:")?))
    }
}

/// The number behind a name.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
}

fn program(line: &str) -> &str {
    let first = line.split(' ').next().unwrap_or_default();
    first.rsplit('/').next().unwrap_or_default().trim_end_matches(':')
}

fn kind_of_ours(line: &str) -> Option<Kind> {
    match program(line) {
        "slurmd" => Some(Kind::Agent),
        "muster" if line.contains(" agent ") => Some(Kind::Agent),
        "muster" if line.contains(" supervisor ") => Some(Kind::Supervisor),
        _ => None,
    }
}

fn kind_of_slurms(line: &str) -> Option<Kind> {
    match program(line) {
        "slurmd" => Some(Kind::Agent),
        "slurmstepd" => Some(Kind::Supervisor),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_tell_who_is_who() {
        let ours = |line| kind_of_ours(line).map(|kind| matches!(kind, Kind::Agent));
        assert_eq!(ours("/x/bin/slurmd -D -N n1 -f /x/slurm.conf"), Some(true));
        assert_eq!(ours("/x/muster agent --spool /x/n1"), Some(true));
        assert_eq!(ours("/x/muster supervisor --dir /x/n1"), Some(false));
        assert_eq!(ours("/x/muster controller --state /x"), None);
        assert_eq!(ours("vi agent"), None);
        let slurms = |line| kind_of_slurms(line).map(|kind| matches!(kind, Kind::Agent));
        assert_eq!(slurms("/p/sbin/slurmd -N n1 -d /p/sbin/slurmstepd"), Some(true));
        assert_eq!(slurms("slurmstepd: [3.0]"), Some(false));
        assert_eq!(slurms("/usr/bin/srun sleep 600"), None);
    }

    #[test]
    fn the_kernels_count_is_read() {
        let text = "5-7 ---p 0 00:00 0 [rollup]\nRss:    2048 kB\nPss:     100 kB\nPss_Anon: 7 kB\n";
        assert_eq!(
            (kilobytes(text, "Rss:"), kilobytes(text, "Pss:"), kilobytes(text, "Uss:")),
            (Some(2048), Some(100), None)
        );
    }
}
