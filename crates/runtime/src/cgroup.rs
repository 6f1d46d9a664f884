//! Control groups: they hold the processes of a unit together, stop them, and limit memory and CPUs.
//!
//! Both versions are used through one face. Groups are made below the supervisor's own group, in a directory named
//! after the supervisor, so that several supervisors and other owners of the hierarchy do not meet:
//! `OWN/muster-ID/12.0.batch`. The unified hierarchy is preferred for tracking; controllers are taken from wherever
//! they are mounted, and only where a unit needs them.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::system;

/// Where groups can be made on this machine.
#[derive(Debug)]
pub(crate) struct Cgroups {
    tracking: Hierarchy,
    memory: Option<Hierarchy>,
    cpuset: Option<Hierarchy>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchy {
    is_v2: bool,
    /// The directory that belongs to this supervisor.
    base: PathBuf,
}

/// The group of one unit.
#[derive(Debug)]
pub(crate) struct UnitGroup {
    tracking: Hierarchy,
    /// Version 1 groups besides the tracking one, and whether they limit memory.
    others: Vec<PathBuf>,
    memory: Option<PathBuf>,
    memory_is_v2: bool,
}

impl Cgroups {
    /// Finds the hierarchies and makes the supervisor's directory; `Err` says why groups cannot be used.
    pub(crate) fn detect(id: &str) -> Result<Cgroups, String> {
        let read = |path: &str| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
        let found = Cgroups::locate(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?, id)?;
        found.prepare()?;
        Ok(found)
    }

    /// `cgroup/v2` or `cgroup/v1`.
    pub(crate) fn name(&self) -> &'static str {
        if self.tracking.is_v2 { "cgroup/v2" } else { "cgroup/v1" }
    }

    /// Reads the two files of `/proc/self`. Makes nothing yet.
    fn locate(mountinfo: &str, own: &str, id: &str) -> Result<Cgroups, String> {
        let find = |controller: &str| {
            let own_path = own_path(own, controller)?;
            let (root, mount) = mount_of(mountinfo, controller)?;
            // A container may see only a part of the hierarchy.
            let below = own_path.strip_prefix(root.trim_end_matches('/')).unwrap_or(own_path);
            let base = Path::new(&mount).join(below.trim_start_matches('/')).join(format!("muster-{id}"));
            Some(Hierarchy { is_v2: controller.is_empty(), base })
        };
        let unified = find("");
        let tracking = unified.clone().or_else(|| find("freezer")).ok_or("no control group hierarchy is mounted")?;
        let controller = |name: &str| find(name).or_else(|| unified.clone());
        Ok(Cgroups { tracking, memory: controller("memory"), cpuset: controller("cpuset") })
    }

    fn prepare(&self) -> Result<(), String> {
        let base = &self.tracking.base;
        make_dir(base).map_err(|error| format!("cannot make {}: {error}", base.display()))?;
        if self.tracking.is_v2 {
            // Controllers must be handed down level by level. Where that is refused (other processes live in the
            // upper group), tracking works all the same and limits are reported as not enforced.
            for level in [base.parent(), Some(base.as_path())].into_iter().flatten() {
                for controller in ["+memory", "+cpuset"] {
                    let _ = fs::write(level.join("cgroup.subtree_control"), controller);
                }
            }
        }
        let procs = base.join("cgroup.procs");
        fs::OpenOptions::new().write(true).open(&procs).map_err(|error| format!("{}: {error}", procs.display()))?;
        Ok(())
    }

    /// Makes the group of the unit `name`. Limits that cannot be set are logged and not enforced.
    pub(crate) fn create(&self, name: &str, memory_limit: Option<u64>, cpus: &str) -> io::Result<UnitGroup> {
        let tracking = Hierarchy { is_v2: self.tracking.is_v2, base: self.tracking.base.join(name) };
        fs::create_dir(&tracking.base)?;
        let mut group = UnitGroup { tracking, others: Vec::new(), memory: None, memory_is_v2: false };
        if let Some(limit) = memory_limit {
            self.limit_memory(&mut group, name, limit).unwrap_or_else(|error| {
                tracing::warn!(unit = name, %error, "memory limit is not enforced");
            });
        }
        if !cpus.is_empty() {
            self.limit_cpus(&mut group, name, cpus).unwrap_or_else(|error| {
                tracing::warn!(unit = name, %error, "CPUs are bound by affinity only");
            });
        }
        Ok(group)
    }

    fn limit_memory(&self, group: &mut UnitGroup, name: &str, limit: u64) -> io::Result<()> {
        let hierarchy = self.memory.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        let dir = group.dir_in(hierarchy, name)?;
        let file = if hierarchy.is_v2 { "memory.max" } else { "memory.limit_in_bytes" };
        fs::OpenOptions::new().write(true).open(dir.join(file)).and_then(|file| write_number(&file, limit))?;
        group.memory = Some(dir);
        group.memory_is_v2 = hierarchy.is_v2;
        Ok(())
    }

    fn limit_cpus(&self, group: &mut UnitGroup, name: &str, cpus: &str) -> io::Result<()> {
        let hierarchy = self.cpuset.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        if !hierarchy.is_v2 {
            // In version 1 a group without memory nodes accepts no process.
            make_dir(&hierarchy.base)?;
            for file in ["cpuset.cpus", "cpuset.mems"] {
                inherit(&hierarchy.base, file)?;
            }
        }
        let dir = group.dir_in(hierarchy, name)?;
        if !hierarchy.is_v2 {
            inherit(&dir, "cpuset.mems")?;
        }
        fs::write(dir.join("cpuset.cpus"), cpus)
    }

    /// Groups that an earlier supervisor of this directory left behind.
    pub(crate) fn leftovers(&self) -> Vec<UnitGroup> {
        let mut names: Vec<_> = self.bases().iter().flat_map(|base| subdirectories(base)).collect();
        names.sort();
        let leftover = |path: PathBuf| UnitGroup {
            tracking: Hierarchy { is_v2: path.join("cgroup.kill").exists(), base: path },
            others: Vec::new(),
            memory: None,
            memory_is_v2: false,
        };
        names.into_iter().map(leftover).collect()
    }

    /// Removes the supervisor's own directories.
    pub(crate) fn remove(&self) {
        for base in self.bases() {
            let _ = fs::remove_dir(base);
        }
    }

    fn bases(&self) -> Vec<&Path> {
        let mut bases: Vec<&Path> = [Some(&self.tracking), self.memory.as_ref(), self.cpuset.as_ref()]
            .into_iter()
            .flatten()
            .map(|hierarchy| hierarchy.base.as_path())
            .collect();
        bases.sort();
        bases.dedup();
        bases
    }
}

impl UnitGroup {
    /// Files into which a process writes `0` to become a member.
    pub(crate) fn join_files(&self) -> Vec<CString> {
        self.dirs().filter_map(|dir| CString::new(dir.join("cgroup.procs").as_os_str().as_bytes()).ok()).collect()
    }

    /// Member processes, those of groups below included. Zombies are not among them.
    pub(crate) fn pids(&self) -> Vec<i32> {
        let mut pids = Vec::new();
        collect_pids(&self.tracking.base, &mut pids);
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// Kills all members. Some may appear while this works: look at [`UnitGroup::pids`] and repeat.
    pub(crate) fn kill(&self) {
        if self.tracking.is_v2 && fs::write(self.tracking.base.join("cgroup.kill"), "1").is_ok() {
            return;
        }
        for pid in self.pids() {
            system::kill(pid, libc::SIGKILL);
        }
        // Frozen processes of version 1 die only when thawed.
        let _ = self.freeze(false);
    }

    /// Stops or continues all members.
    pub(crate) fn freeze(&self, stop: bool) -> io::Result<()> {
        let (file, word) = match (self.tracking.is_v2, stop) {
            (true, true) => ("cgroup.freeze", "1"),
            (true, false) => ("cgroup.freeze", "0"),
            (false, true) => ("freezer.state", "FROZEN"),
            (false, false) => ("freezer.state", "THAWED"),
        };
        fs::OpenOptions::new()
            .write(true)
            .open(self.tracking.base.join(file))
            .and_then(|file| io::Write::write_all(&mut &file, word.as_bytes()))
    }

    /// Whether the kernel killed a member for the memory limit.
    pub(crate) fn out_of_memory(&self) -> bool {
        let Some(dir) = &self.memory else { return false };
        let file = if self.memory_is_v2 { "memory.events" } else { "memory.oom_control" };
        let text = fs::read_to_string(dir.join(file)).unwrap_or_default();
        text.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count.trim() != "0"))
    }

    /// Removes the group; fails while a member is left. To be repeated then.
    pub(crate) fn remove(&self) -> io::Result<()> {
        for dir in self.dirs() {
            remove_tree(dir)?;
        }
        Ok(())
    }

    fn dirs(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(self.tracking.base.as_path()).chain(self.others.iter().map(PathBuf::as_path))
    }

    /// The unit's directory in `hierarchy`; made if it is not the tracking one.
    fn dir_in(&mut self, hierarchy: &Hierarchy, name: &str) -> io::Result<PathBuf> {
        let dir = hierarchy.base.join(name);
        if dir != self.tracking.base && !self.others.contains(&dir) {
            make_dir(&hierarchy.base)?;
            make_dir(&dir)?;
            self.others.push(dir.clone());
        }
        Ok(dir)
    }
}

/// Path of this process in the hierarchy of `controller` (empty for version 2) in `/proc/self/cgroup`.
fn own_path<'a>(own: &'a str, controller: &str) -> Option<&'a str> {
    own.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        controllers.split(',').any(|name| name == controller).then_some(path)
    })
}

/// Root and mount point of the hierarchy of `controller` in `/proc/self/mountinfo`.
fn mount_of(mountinfo: &str, controller: &str) -> Option<(String, String)> {
    mountinfo.lines().find_map(|line| {
        let (front, back) = line.split_once(" - ")?;
        let mut front = front.split(' ').skip(3);
        let (root, mount) = (front.next()?, front.next()?);
        let mut back = back.split(' ');
        let kind = back.next()?;
        let options = back.nth(1)?;
        let is_it = match controller {
            "" => kind == "cgroup2",
            name => kind == "cgroup" && options.split(',').any(|option| option == name),
        };
        is_it.then(|| (root.to_owned(), mount.to_owned()))
    })
}

fn make_dir(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn write_number(file: &fs::File, number: u64) -> io::Result<()> {
    io::Write::write_all(&mut &*file, number.to_string().as_bytes())
}

/// Copies a setting from the group above where it is empty.
fn inherit(dir: &Path, file: &str) -> io::Result<()> {
    if fs::read_to_string(dir.join(file))?.trim().is_empty() {
        let above = dir.parent().ok_or(io::ErrorKind::NotFound)?;
        fs::write(dir.join(file), fs::read_to_string(above.join(file))?)?;
    }
    Ok(())
}

fn subdirectories(dir: &Path) -> Vec<PathBuf> {
    // Listing a group's many control files takes longer than all else; the link count tells that there is nothing.
    if fs::metadata(dir).is_ok_and(|facts| std::os::unix::fs::MetadataExt::nlink(&facts) == 2) {
        return Vec::new();
    }
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn collect_pids(dir: &Path, pids: &mut Vec<i32>) {
    let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0));
    for below in subdirectories(dir) {
        collect_pids(&below, pids);
    }
}

/// Removes a group and the groups that its processes made below it.
fn remove_tree(dir: &Path) -> io::Result<()> {
    match fs::remove_dir(dir) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(_) => {}
    }
    for below in subdirectories(dir) {
        remove_tree(&below)?;
    }
    fs::remove_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID_MOUNTS: &str = "\
26 20 0:23 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
27 26 0:24 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n\
28 26 0:25 /ctr /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n";
    const UNIFIED_MOUNT: &str = "30 20 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    fn locate(mounts: &str, own: &str) -> String {
        match Cgroups::locate(mounts, own, "ab") {
            Ok(groups) => {
                let show =
                    |hierarchy: &Hierarchy| format!("v{} {}", 1 + u8::from(hierarchy.is_v2), hierarchy.base.display());
                let memory = groups.memory.as_ref().map_or_else(|| "-".to_owned(), show);
                format!("{}; memory {memory}", show(&groups.tracking))
            }
            Err(error) => error,
        }
    }

    #[test]
    fn hierarchies_are_found_where_they_are() {
        let check = |mounts: &str, own: &str, expected: &str| assert_eq!(locate(mounts, own), expected);
        check(
            UNIFIED_MOUNT,
            "0::/system.slice/muster.service\n",
            "v2 /sys/fs/cgroup/system.slice/muster.service/muster-ab; \
             memory v2 /sys/fs/cgroup/system.slice/muster.service/muster-ab",
        );
        check(
            HYBRID_MOUNTS,
            "6:freezer:/\n4:memory:/ctr/x\n",
            "v1 /sys/fs/cgroup/freezer/muster-ab; memory v1 /sys/fs/cgroup/memory/x/muster-ab",
        );
        check(HYBRID_MOUNTS, "3:cpu,cpuacct:/\n", "no control group hierarchy is mounted");
        check("", "0::/\n", "no control group hierarchy is mounted");
    }

    #[test]
    fn limits_are_written_where_the_version_wants_them() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("muster-ab");
        fs::create_dir(&base).unwrap();
        let v2 = Hierarchy { is_v2: true, base: base.clone() };
        let groups = Cgroups { tracking: v2.clone(), memory: Some(v2.clone()), cpuset: Some(v2) };
        // An ordinary directory has no control files: the limit is not enforced, the group exists all the same.
        let group = groups.create("1.0.batch", Some(1 << 20), "0-1").unwrap();
        assert!(base.join("1.0.batch").is_dir() && group.memory.is_none());
        fs::remove_file(base.join("1.0.batch/cpuset.cpus")).unwrap();
        fs::write(base.join("1.0.batch/cgroup.procs"), "12\n7\n").unwrap();
        fs::create_dir(base.join("1.0.batch/below")).unwrap();
        fs::write(base.join("1.0.batch/below/cgroup.procs"), "3\n").unwrap();
        assert_eq!(group.pids(), [3, 7, 12]);
        let joined: Vec<_> = group.join_files().iter().map(|path| path.to_string_lossy().into_owned()).collect();
        assert_eq!(joined, [format!("{}/1.0.batch/cgroup.procs", base.display())]);
        assert_eq!(groups.leftovers().len(), 1);
    }
}
