//! What hardware and system a node has, read from `/sys`, `/proc` and `uname`.
//!
//! Nothing here needs rights. What cannot be read is given as its harmless value (one socket, zero memory), never
//! as an error: a node with an odd kernel should still be able to register.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use muster_model::node::Hardware;
use muster_model::resources::Megabytes;
use muster_model::time::Timestamp;

/// The system of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemFacts {
    /// Host name up to the first dot.
    pub host_name: String,
    /// `x86_64`, `aarch64`, ….
    pub architecture: String,
    /// Name, release and version of the kernel as `uname -srv` prints them.
    pub operating_system: String,
    /// When the machine booted.
    pub boot_time: Timestamp,
    /// Changes with each boot; empty where the kernel does not tell.
    pub boot_id: String,
}

/// What is used of a node right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LoadFacts {
    /// One-minute load average in hundredths.
    pub load_hundredths: u32,
    /// Memory that processes could get without swapping.
    pub memory_available: Megabytes,
    /// Memory not used for anything (what Slurm calls `FreeMem`).
    pub memory_free: Megabytes,
}

/// Detects the hardware. `tmp_dir` is the temporary file system whose size is told (`TmpFS`, `/tmp`).
pub fn hardware(tmp_dir: &Path) -> Hardware {
    let topology = topology(Path::new("/sys/devices/system/cpu"));
    Hardware {
        cpus: topology.cpus,
        boards: 1,
        sockets: topology.sockets,
        cores_per_socket: topology.cores_per_socket,
        threads_per_core: topology.threads_per_core,
        memory: Megabytes(meminfo("MemTotal") / 1024),
        tmp_disk: Megabytes(file_system_bytes(tmp_dir) >> 20),
        ..Hardware::of_cpus(topology.cpus)
    }
}

/// Detects the system.
pub fn system() -> SystemFacts {
    let names = uname();
    SystemFacts {
        host_name: names.node.split('.').next().unwrap_or_default().to_owned(),
        architecture: names.machine,
        operating_system: format!("{} {} {}", names.system, names.release, names.version),
        boot_time: boot_time(&fs::read_to_string("/proc/stat").unwrap_or_default()),
        boot_id: fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned(),
    }
}

/// Reads the present load.
pub fn load() -> LoadFacts {
    LoadFacts {
        load_hundredths: load_hundredths(&fs::read_to_string("/proc/loadavg").unwrap_or_default()),
        memory_available: Megabytes(meminfo("MemAvailable") / 1024),
        memory_free: Megabytes(meminfo("MemFree") / 1024),
    }
}

/// Numbers of the CPUs that processes of this machine may use, ascending.
pub fn usable_cpus() -> Vec<u32> {
    let list = fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    let cpus = parse_cpu_list(&list);
    if cpus.is_empty() { vec![0] } else { cpus }
}

/// Numbers of the CPUs of this machine socket by socket, core by core, thread by thread: as allocations count them.
pub fn cpu_order() -> Vec<u32> {
    cpu_order_below(Path::new("/"))
}

/// The same for a machine whose `sys` is below `root`.
pub fn cpu_order_below(root: &Path) -> Vec<u32> {
    order(&root.join("sys/devices/system/cpu"))
}

fn order(root: &Path) -> Vec<u32> {
    let online = parse_cpu_list(&fs::read_to_string(root.join("online")).unwrap_or_default());
    let number = |cpu: u32, file: &str| -> i64 {
        let path = root.join(format!("cpu{cpu}/topology/{file}"));
        fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(-1)
    };
    let place = |cpu: u32| {
        let core = number(cpu, "core_id");
        let core = if core < 0 { i64::from(cpu) } else { core };
        (number(cpu, "physical_package_id"), number(cpu, "die_id"), core, cpu)
    };
    let mut places: Vec<_> = online.into_iter().map(place).collect();
    places.sort_unstable();
    places.into_iter().map(|(.., cpu)| cpu).collect()
}

/// CPUs of each domain of memory (NUMA node), by its number. One of all CPUs where the kernel knows none.
pub fn memory_domains() -> Vec<Vec<u32>> {
    domains(Path::new("/sys/devices/system/node")).unwrap_or_else(|| vec![usable_cpus()])
}

fn domains(root: &Path) -> Option<Vec<Vec<u32>>> {
    let numbers = parse_cpu_list(&fs::read_to_string(root.join("online")).ok()?);
    let mut all = vec![Vec::new(); *numbers.last()? as usize + 1];
    for number in numbers {
        let list = fs::read_to_string(root.join(format!("node{number}/cpulist"))).ok()?;
        if let Some(place) = all.get_mut(number as usize) {
            *place = parse_cpu_list(&list);
        }
    }
    Some(all)
}

#[derive(Debug, PartialEq, Eq)]
struct Topology {
    cpus: u32,
    sockets: u32,
    cores_per_socket: u32,
    threads_per_core: u32,
}

/// Counts distinct packages and cores over the online CPUs. Uneven machines are rounded down to an even product, as
/// `slurmd -C` does.
fn topology(root: &Path) -> Topology {
    let online = parse_cpu_list(&fs::read_to_string(root.join("online")).unwrap_or_default());
    let online = if online.is_empty() { vec![0] } else { online };
    let number = |cpu: u32, file: &str| -> i64 {
        let path = root.join(format!("cpu{cpu}/topology/{file}"));
        fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(-1)
    };
    let mut packages = BTreeSet::new();
    let mut cores = BTreeSet::new();
    for &cpu in &online {
        let package = number(cpu, "physical_package_id").max(0);
        let core = match number(cpu, "core_id") {
            // Without topology each CPU counts as a core.
            -1 => i64::from(cpu),
            core => core,
        };
        // Dies of one package may number their cores alike.
        packages.insert(package);
        cores.insert((package, number(cpu, "die_id"), core));
    }
    let cpus = online.len() as u32;
    let sockets = (packages.len() as u32).max(1);
    let cores = (cores.len() as u32).max(1);
    Topology { cpus, sockets, cores_per_socket: (cores / sockets).max(1), threads_per_core: (cpus / cores).max(1) }
}

/// Reads `0-3,8`; malformed parts are left out.
pub(crate) fn parse_cpu_list(text: &str) -> Vec<u32> {
    /// No machine has more; protects against a range that would fill the memory.
    const CPUS_MAX: u32 = 1 << 16;
    let mut cpus = Vec::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) {
            cpus.extend(first..=last.min(CPUS_MAX));
        }
    }
    cpus
}

/// KiB of one line of `/proc/meminfo`.
fn meminfo(name: &str) -> u64 {
    meminfo_line(&fs::read_to_string("/proc/meminfo").unwrap_or_default(), name)
}

fn meminfo_line(text: &str, name: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

fn load_hundredths(text: &str) -> u32 {
    let load: f64 = text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0.0);
    (load * 100.0).round() as u32
}

fn boot_time(stat: &str) -> Timestamp {
    let seconds = stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok()).unwrap_or(0);
    Timestamp::from_seconds(seconds)
}

/// Total size of the file system that holds `path`; zero where that cannot be found out.
fn file_system_bytes(path: &Path) -> u64 {
    use std::os::unix::ffi::OsStrExt;
    let Ok(path) = std::ffi::CString::new(path.as_os_str().as_bytes()) else {
        return 0;
    };
    // SAFETY: all-zero is a valid value of this plain C structure.
    let mut facts: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path is NUL-terminated and the result is written into our own structure.
    if unsafe { libc::statvfs(path.as_ptr(), &mut facts) } != 0 {
        return 0;
    }
    facts.f_blocks.saturating_mul(facts.f_frsize)
}

struct Uname {
    system: String,
    node: String,
    release: String,
    version: String,
    machine: String,
}

fn uname() -> Uname {
    // SAFETY: all-zero is a valid value of this plain C structure.
    let mut names: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: the call only writes into our structure; should it fail, all names stay empty.
    unsafe { libc::uname(&mut names) };
    let text = |field: &[libc::c_char]| -> String {
        let bytes: Vec<u8> = field.iter().take_while(|c| **c != 0).map(|c| *c as u8).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Uname {
        system: text(&names.sysname),
        node: text(&names.nodename),
        release: text(&names.release),
        version: text(&names.version),
        machine: text(&names.machine),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topology_counts_packages_and_cores() {
        let check = |layout: &[(i64, i64)], expected: (u32, u32, u32, u32)| {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("online"), format!("0-{}\n", layout.len() - 1)).unwrap();
            for (cpu, (package, core)) in layout.iter().enumerate() {
                let topology = dir.path().join(format!("cpu{cpu}/topology"));
                fs::create_dir_all(&topology).unwrap();
                fs::write(topology.join("physical_package_id"), format!("{package}\n")).unwrap();
                fs::write(topology.join("core_id"), format!("{core}\n")).unwrap();
            }
            let seen = topology(dir.path());
            assert_eq!((seen.cpus, seen.sockets, seen.cores_per_socket, seen.threads_per_core), expected);
        };
        check(&[(0, 0)], (1, 1, 1, 1));
        check(&[(0, 0), (0, 0), (0, 1), (0, 1)], (4, 1, 2, 2));
        check(&[(0, 0), (0, 1), (1, 0), (1, 1), (0, 0), (0, 1), (1, 0), (1, 1)], (8, 2, 2, 2));
        check(&[(-1, 0), (-1, 1)], (2, 1, 2, 1));
    }

    #[test]
    fn a_machine_without_topology_is_one_socket() {
        let dir = tempfile::tempdir().unwrap();
        let expected = Topology { cpus: 1, sockets: 1, cores_per_socket: 1, threads_per_core: 1 };
        assert_eq!(topology(dir.path()), expected);
        fs::write(dir.path().join("online"), "0-3\n").unwrap();
        let expected = Topology { cpus: 4, sockets: 1, cores_per_socket: 4, threads_per_core: 1 };
        assert_eq!(topology(dir.path()), expected);
    }

    #[test]
    fn proc_files_are_read_leniently() {
        assert_eq!(parse_cpu_list("0-2,5\n"), [0, 1, 2, 5]);
        assert_eq!(parse_cpu_list("x,3-,4"), [4]);
        assert_eq!(meminfo_line("MemTotal:       1024 kB\nMemFree: 7 kB\n", "MemFree"), 7);
        assert_eq!(meminfo_line("", "MemFree"), 0);
        assert_eq!(load_hundredths("1.25 0.9 0.8 1/2 3"), 125);
        assert_eq!(boot_time("cpu 1 2\nbtime 100\n"), Timestamp::from_seconds(100));
    }

    #[test]
    fn this_machine_has_something() {
        let hardware = hardware(Path::new("/tmp"));
        assert!(hardware.cpus >= 1 && hardware.memory.0 > 0 && hardware.tmp_disk.0 > 0, "{hardware:?}");
        assert!(!system().host_name.is_empty() && system().boot_time.0 > 0);
        assert!(load().memory_available.0 > 0);
    }
}
