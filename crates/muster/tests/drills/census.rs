//! What must not be left behind: processes, control groups, sockets and files of nodes, and nodes that take no jobs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::Cluster;

/// Everything of a cluster at rest.
#[derive(Debug, PartialEq, Eq)]
pub struct Census {
    /// Files and sockets in the directories of the nodes.
    files: BTreeSet<PathBuf>,
    /// Processes of units.
    processes: BTreeMap<i32, String>,
    /// Control groups of units.
    groups: BTreeSet<PathBuf>,
    /// Nodes with their states.
    nodes: String,
    /// Open sockets of each daemon.
    sockets: BTreeMap<String, usize>,
}

/// Open sockets that a daemon may have beyond those of the first count: a connection that is being given up.
const SOCKETS_SPARE: usize = 2;

impl Census {
    pub fn take(cluster: &Cluster) -> Census {
        let spool = cluster.path().join("spool");
        let mut files = BTreeSet::new();
        collect(&spool, &mut files);
        let ids = ids(&spool);
        Census {
            files,
            processes: marked(&ids),
            groups: groups(Path::new("/sys/fs/cgroup"), &ids, 0),
            nodes: cluster.out("sinfo -h -N -p debug -o '%N %T %E'"),
            sockets: sockets(cluster),
        }
    }

    /// Waits until the cluster is as it was.
    #[track_caller]
    pub fn compare(&self, cluster: &Cluster, when: &str) {
        let mut now = Census::take(cluster);
        let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while !self.allows(&now) && std::time::Instant::now() < end {
            #[expect(clippy::disallowed_methods, reason = "the interval of a wait with a deadline")]
            std::thread::sleep(std::time::Duration::from_millis(100));
            now = Census::take(cluster);
        }
        assert!(self.allows(&now), "{when}: left behind\nbefore: {self:#?}\nnow: {now:#?}\n{}", cluster.logs());
    }

    fn allows(&self, now: &Census) -> bool {
        let more = |(name, count): (&String, &usize)| *count > self.sockets.get(name).unwrap_or(&0) + SOCKETS_SPARE;
        now.files.is_subset(&self.files)
            && now.processes == self.processes
            && now.groups.is_subset(&self.groups)
            && now.nodes == self.nodes
            && !now.sockets.iter().any(more)
    }
}

/// Everything below a directory, but what the agent keeps on purpose: scripts and environments, for the next job that has the same, and
/// logs of runs.
fn collect(dir: &Path, files: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        files.insert(entry.path());
        let is_cache = entry.file_name() == "blobs" || entry.file_name() == "logs";
        if !is_cache && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), files);
        }
    }
}

/// Numbers of the supervisors.
fn ids(spool: &Path) -> BTreeSet<String> {
    let nodes = fs::read_dir(spool).into_iter().flatten().flatten();
    nodes.filter_map(|node| fs::read_to_string(node.path().join("supervisor.id")).ok()).collect()
}

/// The runners in containers.
pub fn runners(cluster: &Cluster) -> Vec<i32> {
    let found = marked(&ids(&cluster.path().join("spool"))).into_iter();
    found.filter(|(_, words)| words.contains("/.muster/runner run")).map(|(pid, _)| pid).collect()
}

/// Processes whose environment says that they belong to a unit of these supervisors.
fn marked(ids: &BTreeSet<String>) -> BTreeMap<i32, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        let mark = environment.split(|byte| *byte == 0).find_map(|variable| {
            let text = std::str::from_utf8(variable).ok()?.strip_prefix("MUSTER_UNIT=")?;
            ids.contains(text.split_once('@')?.1).then(|| text.to_owned())
        });
        if let Some(mark) = mark {
            let command = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            found.insert(pid, format!("{mark} {}", command.replace('\0', " ")));
        }
    }
    found
}

/// How deep the hierarchy of control groups is searched.
const DEPTH_MAX: usize = 8;

/// Control groups below those of these supervisors.
fn groups(dir: &Path, ids: &BTreeSet<String>, depth: usize) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if depth >= DEPTH_MAX || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_ours = name.strip_prefix("muster-").is_some_and(|id| ids.contains(id));
        let below = groups(&path, ids, depth + 1);
        let is_inside = path
            .iter()
            .any(|part| part.to_str().and_then(|part| part.strip_prefix("muster-")).is_some_and(|id| ids.contains(id)));
        if is_inside && !is_ours {
            found.insert(path);
        }
        found.extend(below);
    }
    found
}

/// Open sockets of the controller, the agents and the supervisors.
fn sockets(cluster: &Cluster) -> BTreeMap<String, usize> {
    let run = cluster.path().join("run");
    let names = fs::read_dir(run).into_iter().flatten().flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        name.strip_suffix(".pid").map(str::to_owned)
    });
    let mut found: BTreeMap<String, usize> =
        names.map(|name| (name.clone(), count_sockets(cluster.pid(&name)))).collect();
    for node in ["n1", "n2", "n3"] {
        if let Some(pid) = supervisor(cluster, node) {
            found.insert(format!("supervisor of {node}"), count_sockets(pid));
        }
    }
    found
}

fn count_sockets(pid: i32) -> usize {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    entries
        .filter(|entry| fs::read_link(entry.path()).is_ok_and(|target| target.to_string_lossy().starts_with("socket:")))
        .count()
}

/// The process of the supervisor of a node.
pub fn supervisor(cluster: &Cluster, node: &str) -> Option<i32> {
    let spool = fs::canonicalize(cluster.path().join("spool").join(node)).ok()?;
    let wanted = spool.to_string_lossy().into_owned();
    processes().into_iter().find_map(|(pid, words)| {
        let is_supervisor = words.iter().any(|word| word == "supervisor") && words.contains(&wanted);
        is_supervisor.then_some(pid)
    })
}

/// All processes with their command lines.
pub fn processes() -> Vec<(i32, Vec<String>)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let read = |entry: fs::DirEntry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read_to_string(entry.path().join("cmdline")).ok()?;
        Some((pid, line.split('\0').map(str::to_owned).collect()))
    };
    entries.filter_map(read).collect()
}
