//! Finding processes of units where no control group holds them.
//!
//! Three facts together leave no hiding place for ordinary programs: tasks are sessions of their own; the supervisor
//! is a *subreaper*, so that whatever daemonises becomes its child; and each task's environment carries a mark that
//! children inherit. Only a program that leaves its session, orphans itself and clears its environment while its
//! unit runs cannot be told to which unit it belongs.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, Read};
use std::time::{Duration, Instant};

use crate::system;

/// Name of the environment variable that marks the processes of a unit: `MUSTER_UNIT=12.0.batch@5f3a…`. The part
/// after `@` tells supervisors of one machine apart.
pub(crate) const MARK_NAME: &str = "MUSTER_UNIT";

/// What `/proc/PID/stat` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessStat {
    pub(crate) pid: i32,
    pub(crate) is_zombie: bool,
    pub(crate) parent: i32,
    pub(crate) session: i32,
    /// Page faults that needed the disk, with waited-for children.
    pub(crate) pages: u64,
    /// User and system CPU time with waited-for children, clock ticks.
    pub(crate) cpu_ticks: u64,
    /// When it was started, clock ticks after boot: tells processes apart that had the same number.
    pub(crate) started_ticks: u64,
    /// Virtual memory, bytes.
    pub(crate) vm_bytes: u64,
    /// Resident set, pages.
    pub(crate) rss_pages: u64,
}

/// Bytes and calls of a process by system calls, from `/proc/PID/io`, with waited-for children.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ProcessIo {
    pub(crate) read_bytes: u64,
    pub(crate) write_bytes: u64,
}

/// Longest line of `/proc/PID/stat`: fifty numbers and a name.
const STAT_BYTES_MAX: usize = 2048;

/// Fields of `/proc/PID/stat` that are looked at, behind the name.
const STAT_FIELDS: usize = 22;

/// The size of the memory among the fields behind the name, and where the environment in it starts and ends.
const STAT_VM_BYTES: usize = 20;
const STAT_ENVIRONMENT: [usize; 2] = [47, 48];

/// Few environments are longer.
const ENVIRONMENT_BYTES_USUAL: usize = 16 << 10;

/// How long the loading of a program is waited for. It takes a millisecond unless the machine or its disks are very busy.
const LOADING_PATIENCE: Duration = Duration::from_millis(100);

/// Reads one process; `None` when it is gone.
pub(crate) fn stat(pid: i32) -> Option<ProcessStat> {
    let mut buffer = [0; STAT_BYTES_MAX];
    parse_stat(&read_small(&format!("/proc/{pid}/stat"), &mut buffer)?)
}

/// What a process read and wrote; of one that has ended until it is waited for. `None` when it is gone, or where the kernel does
/// not count or does not tell.
pub(crate) fn io(pid: i32) -> Option<ProcessIo> {
    let mut buffer = [0; STAT_BYTES_MAX];
    parse_io(&read_small(&format!("/proc/{pid}/io"), &mut buffer)?)
}

/// Reads a file of the kernel that comes with one read. Only names of processes may be no text, and nobody looks at them.
fn read_small<'a>(path: &str, buffer: &'a mut [u8]) -> Option<Cow<'a, str>> {
    let count = fs::File::open(path).ok()?.read(buffer).ok()?;
    Some(String::from_utf8_lossy(buffer.get(..count)?))
}

/// Pages of a process that it shares with others; 0 where that is not known.
pub(crate) fn shared_pages(pid: i32) -> u64 {
    let mut buffer = [0; STAT_BYTES_MAX];
    let text = read_small(&format!("/proc/{pid}/statm"), &mut buffer);
    text.and_then(|text| text.split(' ').nth(2)?.parse().ok()).unwrap_or(0)
}

/// Memory of a process in KiB, of shared pages its part; `None` where the kernel does not tell.
pub(crate) fn proportional_kb(pid: i32) -> Option<u64> {
    let mut buffer = [0; STAT_BYTES_MAX];
    let text = read_small(&format!("/proc/{pid}/smaps_rollup"), &mut buffer)?;
    text.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().split(' ').next()?.parse().ok())
}

fn parse_io(text: &str) -> Option<ProcessIo> {
    let number = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")?.trim().parse::<u64>().ok())
    };
    Some(ProcessIo { read_bytes: number("rchar")?, write_bytes: number("wchar")? })
}

fn parse_stat(text: &str) -> Option<ProcessStat> {
    // The name in parentheses may hold anything, parentheses too.
    let (front, rest) = text.rsplit_once(") ")?;
    let pid = front.split(' ').next()?.parse().ok()?;
    let mut fields = [""; STAT_FIELDS];
    for (slot, word) in fields.iter_mut().zip(rest.split(' ')) {
        *slot = word.trim();
    }
    let number = |index: usize| -> Option<u64> { fields.get(index)?.parse().ok() };
    let sum = |indices: [usize; 2]| Some(number(indices[0])?.saturating_add(number(indices[1])?));
    Some(ProcessStat {
        pid,
        is_zombie: matches!(*fields.first()?, "Z" | "X"),
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        pages: sum([9, 10])?,
        cpu_ticks: sum([11, 12])?.saturating_add(sum([13, 14])?),
        started_ticks: number(19).unwrap_or(0),
        vm_bytes: number(STAT_VM_BYTES).unwrap_or(0),
        rss_pages: number(21).unwrap_or(0),
    })
}

/// All processes of this machine.
pub(crate) fn all() -> Vec<ProcessStat> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries.flatten().filter_map(|entry| stat(entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// Children of the supervisor's main thread. Tasks are children of launcher threads, so these are only processes that
/// lost their parents, and the list is almost always empty.
pub(crate) fn orphans() -> Vec<i32> {
    let own = std::process::id();
    match fs::read_to_string(format!("/proc/self/task/{own}/children")) {
        Ok(text) => text.split_whitespace().filter_map(|word| word.parse().ok()).collect(),
        // A kernel without CONFIG_PROC_CHILDREN. Includes the tasks, which the caller knows.
        Err(_) => all().iter().filter(|process| process.parent == own as i32).map(|process| process.pid).collect(),
    }
}

/// The value of [`MARK_NAME`] in the environment with which a process was started.
pub(crate) fn mark(pid: i32) -> Option<String> {
    let bytes = environment(pid)?;
    let value = bytes
        .split(|byte| *byte == 0)
        .find_map(|variable| variable.strip_prefix(MARK_NAME.as_bytes()).and_then(|rest| rest.strip_prefix(b"=")))?;
    String::from_utf8(value.to_vec()).ok()
}

/// The environment with which a process was started, as the kernel tells it; `None` where it cannot be told.
///
/// While a program is being loaded, its process has no environment that could be read. Such a process must not be taken for one
/// without a mark: it would outlive its unit.
fn environment(pid: i32) -> Option<Vec<u8>> {
    let until = Instant::now() + LOADING_PATIENCE;
    loop {
        let bytes = read_at_once(&format!("/proc/{pid}/environ")).ok()?;
        if !bytes.is_empty() || !may_have_environment(pid) || Instant::now() > until {
            return Some(bytes);
        }
        let _ = system::poll(&mut [], 1);
    }
}

/// Reads a file of the kernel by one call: what a process loads a program over ends with the call in which that happens.
fn read_at_once(path: &str) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; ENVIRONMENT_BYTES_USUAL];
    loop {
        let count = fs::File::open(path)?.read(&mut buffer)?;
        if count < buffer.len() {
            buffer.truncate(count);
            return Ok(buffer);
        }
        buffer.resize(buffer.len() * 4, 0);
    }
}

/// Whether a process has memory and its environment is not known to be empty: it has some by now, there is no place for it yet, or
/// that is being filled.
fn may_have_environment(pid: i32) -> bool {
    let mut buffer = [0; STAT_BYTES_MAX];
    let Some(text) = read_small(&format!("/proc/{pid}/stat"), &mut buffer) else {
        return false;
    };
    let fields: Vec<&str> = text.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect()).unwrap_or_default();
    let field = |index: usize| fields.get(index).copied().unwrap_or("0");
    let [start, end] = STAT_ENVIRONMENT.map(field);
    // Threads of the kernel and the dead have no memory. Who fills the place does not sleep.
    field(STAT_VM_BYTES) != "0" && (end == "0" || start != end || matches!(field(0), "R" | "D"))
}

/// Living processes of a unit, ascending: those in the sessions of its tasks, their descendants, and those with its
/// mark that became orphans, with their descendants.
pub(crate) fn of_unit(processes: &[ProcessStat], tasks: &HashSet<i32>, unit_mark: &str) -> Vec<i32> {
    let own = std::process::id() as i32;
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    let mut found: Vec<i32> = Vec::new();
    for process in processes {
        children.entry(process.parent).or_default().push(process.pid);
        let is_member = tasks.contains(&process.pid)
            || tasks.contains(&process.session)
            || (process.parent == own && mark(process.pid).as_deref() == Some(unit_mark));
        if is_member {
            found.push(process.pid);
        }
    }
    let mut members: HashSet<i32> = HashSet::new();
    while let Some(pid) = found.pop() {
        if pid != own && members.insert(pid) {
            found.extend(children.get(&pid).into_iter().flatten());
        }
    }
    let mut living: Vec<i32> = processes
        .iter()
        .filter(|process| !process.is_zombie && members.contains(&process.pid))
        .map(|process| process.pid)
        .collect();
    living.sort_unstable();
    living
}

/// Living processes with the mark of any unit of the supervisor `mark_suffix` (`@…`), whoever their parents are.
pub(crate) fn with_mark_suffix(mark_suffix: &str) -> Vec<i32> {
    marked(|mark| mark.ends_with(mark_suffix))
}

/// The same of one unit.
pub(crate) fn with_mark(unit_mark: &str) -> Vec<i32> {
    marked(|mark| mark == unit_mark)
}

fn marked(is_meant: impl Fn(&str) -> bool) -> Vec<i32> {
    let own = std::process::id() as i32;
    all()
        .iter()
        .filter(|process| !process.is_zombie && process.pid != own)
        .filter(|process| mark(process.pid).is_some_and(|mark| is_meant(&mark)))
        .map(|process| process.pid)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_behind_any_name() {
        let line = "42 (a) b (c) S 7 41 40 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 99 1000 55 18446744073709551615 1";
        let expected = ProcessStat {
            pid: 42,
            is_zombie: false,
            parent: 7,
            session: 40,
            pages: 7,
            cpu_ticks: 100,
            started_ticks: 99,
            vm_bytes: 1000,
            rss_pages: 55,
        };
        assert_eq!(parse_stat(line), Some(expected));
        assert_eq!(parse_stat("42 (a"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn input_and_output_are_those_of_system_calls() {
        let text = "rchar: 11087\nwchar: 1\nsyscr: 18\nread_bytes: 4096\nwrite_bytes: 0\n";
        assert_eq!(parse_io(text), Some(ProcessIo { read_bytes: 11_087, write_bytes: 1 }));
        assert_eq!(parse_io(""), None);
        assert!(io(std::process::id() as i32).is_some_and(|io| io.read_bytes > 0));
    }

    #[test]
    fn descendants_belong_to_their_unit() {
        let process = |pid, parent, session, is_zombie| ProcessStat {
            pid,
            is_zombie,
            parent,
            session,
            pages: 0,
            cpu_ticks: 0,
            started_ticks: 0,
            vm_bytes: 0,
            rss_pages: 0,
        };
        let own = std::process::id() as i32;
        let processes = [
            process(-10, own, -10, false), // a task
            process(-11, -10, -10, false), // its child
            process(-12, -11, -12, false), // in a session of its own, parent still there
            process(-13, -12, -12, true),  // a zombie below
            process(-20, own, -10, false), // orphan, same session
            process(-30, own, -30, false), // another unit
        ];
        assert_eq!(of_unit(&processes, &HashSet::from([-10]), "x"), [-20, -12, -11, -10]);
    }

    #[test]
    fn a_process_has_its_mark_while_its_program_is_loaded() {
        for round in 0..200 {
            let value = format!("{round}.0.batch@x");
            let mut sleeper = std::process::Command::new("/bin/sh")
                .args(["-c", "exec sleep 1000"])
                .env(MARK_NAME, &value)
                .spawn()
                .expect("a shell");
            let pid = sleeper.id() as i32;
            let name = || fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            let mut marks = Vec::new();
            while name() != "sleep\n" || marks.is_empty() {
                marks.push(mark(pid));
            }
            sleeper.kill().and_then(|()| sleeper.wait()).expect("it ends");
            assert!(marks.iter().all(|mark| mark.as_deref() == Some(&value)), "{marks:?}");
        }
    }

    #[test]
    fn this_process_is_seen() {
        let own = std::process::id() as i32;
        assert!(all().iter().any(|process| process.pid == own));
        assert_eq!(mark(own), std::env::var(MARK_NAME).ok());
    }
}
