//! Control groups: they hold the processes of a unit together, stop them, and hold them to memory, CPUs and devices.
//!
//! Both versions are used through one face. Groups are made below the supervisor's own group, in a directory named
//! after the supervisor, so that several supervisors and other owners of the hierarchy do not meet:
//! `OWN/muster-ID/12.0.batch`, and `OWN/muster-ID/job_12.0/12.0.batch` where all units of a job are limited together. The
//! unified hierarchy is preferred for tracking; controllers are taken from wherever they are mounted, and only where a unit
//! needs them.
//!
//! What a site insists on ([`Confinement`]) is enforced, or the unit is not made. Without a word of the site limits are set
//! where that can be done.

mod device_filter;
mod devices;
mod memory;
mod place;

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::confinement::{Confinement, MemoryBounds};
use crate::supervisor::CgroupPlace;
use crate::system;
use crate::unit::UnitKey;

/// How often a group is tried to be made whose job's group was just removed with the last unit before it.
const CREATE_TRIES: u32 = 20;

/// Where groups can be made on this machine.
#[derive(Debug)]
pub(crate) struct Cgroups {
    tracking: Hierarchy,
    memory: Option<Hierarchy>,
    cpuset: Option<Hierarchy>,
    devices: Option<Hierarchy>,
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
    /// Version 1 groups besides the tracking one.
    others: Vec<PathBuf>,
    /// Groups of the job above it, to be removed with the last unit.
    of_job: Vec<PathBuf>,
    /// Where its memory is limited.
    memory: Option<Hierarchy>,
}

/// What a unit is to be held to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// Where possible: memory in bytes.
    pub(crate) memory_limit: Option<u64>,
    /// CPUs as a list; empty for any. Where possible, unless the site insists.
    pub(crate) cpus: &'a str,
    /// What the site insists on.
    pub(crate) confinement: Option<&'a Confinement>,
}

impl Wanted<'_> {
    fn job_memory(&self) -> Option<MemoryBounds> {
        self.confinement.and_then(|confinement| confinement.job_memory)
    }
}

impl Cgroups {
    /// Finds the hierarchies and makes the supervisor's directory; `Err` says why groups cannot be used.
    pub(crate) fn detect(id: &str, place: &CgroupPlace) -> Result<Cgroups, String> {
        place::detect(id, place)
    }

    /// `cgroup/v2` or `cgroup/v1`.
    pub(crate) fn name(&self) -> &'static str {
        if self.tracking.is_v2 { "cgroup/v2" } else { "cgroup/v1" }
    }

    /// Makes the group of the unit `key`.
    pub(crate) fn create(&self, key: UnitKey, wanted: &Wanted<'_>) -> io::Result<UnitGroup> {
        let mut tries = 0;
        loop {
            let mut group = self.group_of(key, wanted);
            let made = group.make().and_then(|()| self.limit(&mut group, key, wanted));
            let Err(error) = made else { return Ok(group) };
            // What is left of it would look like a unit.
            let _ = group.remove();
            tries += 1;
            if error.kind() != io::ErrorKind::NotFound || tries >= CREATE_TRIES {
                return Err(error);
            }
        }
    }

    /// Where the group is to be; nothing is made yet.
    fn group_of(&self, key: UnitKey, wanted: &Wanted<'_>) -> UnitGroup {
        let is_below_job = wanted.job_memory().is_some() && self.memory.as_ref() == Some(&self.tracking);
        let mut of_job = Vec::new();
        let mut base = self.tracking.base.clone();
        if is_below_job {
            base.push(job_name(key));
            of_job.push(base.clone());
        }
        base.push(key.to_string());
        let tracking = Hierarchy { is_v2: self.tracking.is_v2, base };
        UnitGroup { tracking, others: Vec::new(), of_job, memory: None }
    }

    fn limit(&self, group: &mut UnitGroup, key: UnitKey, wanted: &Wanted<'_>) -> io::Result<()> {
        let Some(confinement) = wanted.confinement.filter(|confinement| !confinement.limits_as_possible) else {
            if let Some(hard) = wanted.memory_limit {
                let bounds = MemoryBounds { hard, soft: hard, ..MemoryBounds::default() };
                self.limit_memory(group, key, Some(&bounds), None).unwrap_or_else(|error| {
                    tracing::warn!(unit = %key, %error, "memory limit is not enforced");
                });
            }
            if !wanted.cpus.is_empty() {
                self.limit_cpus(group, key, wanted.cpus).unwrap_or_else(|error| {
                    tracing::warn!(unit = %key, %error, "CPUs are bound by affinity only");
                });
            }
            return Ok(());
        };
        if confinement.memory.is_some() || confinement.job_memory.is_some() {
            self.limit_memory(group, key, confinement.memory.as_ref(), confinement.job_memory.as_ref())?;
        }
        if confinement.cpus && !wanted.cpus.is_empty() {
            self.limit_cpus(group, key, wanted.cpus)?;
        }
        if !confinement.devices_denied.is_empty() {
            let hierarchy = existing(self.devices.as_ref(), "devices")?;
            let dir = group.dir_in(hierarchy, key, false)?;
            devices::deny(&dir, hierarchy.is_v2, &confinement.devices_denied, &confinement.devices_allowed)?;
        }
        Ok(())
    }

    fn limit_memory(
        &self,
        group: &mut UnitGroup,
        key: UnitKey,
        bounds: Option<&MemoryBounds>,
        of_job: Option<&MemoryBounds>,
    ) -> io::Result<()> {
        let hierarchy = existing(self.memory.as_ref(), "memory")?;
        if let Some(of_job) = of_job {
            let dir = hierarchy.base.join(job_name(key));
            if !group.of_job.contains(&dir) {
                group.of_job.push(dir.clone());
            }
            make_dir(&hierarchy.base).and_then(|()| make_dir(&dir)).map_err(at("make", &dir))?;
            memory::set(&dir, hierarchy.is_v2, of_job)?;
        }
        let dir = group.dir_in(hierarchy, key, of_job.is_some())?;
        if let Some(bounds) = bounds {
            memory::set(&dir, hierarchy.is_v2, bounds)?;
        }
        group.memory = Some(Hierarchy { is_v2: hierarchy.is_v2, base: dir });
        Ok(())
    }

    fn limit_cpus(&self, group: &mut UnitGroup, key: UnitKey, cpus: &str) -> io::Result<()> {
        let hierarchy = existing(self.cpuset.as_ref(), "cpuset")?;
        if !hierarchy.is_v2 {
            // In version 1 a group without memory nodes accepts no process.
            make_dir(&hierarchy.base).map_err(at("make", &hierarchy.base))?;
            for file in ["cpuset.cpus", "cpuset.mems"] {
                inherit(&hierarchy.base, file)?;
            }
        }
        let dir = group.dir_in(hierarchy, key, false)?;
        if !hierarchy.is_v2 {
            inherit(&dir, "cpuset.mems")?;
        }
        write_text(&dir, "cpuset.cpus", cpus)
    }

    /// Groups that an earlier supervisor of this directory left behind.
    pub(crate) fn leftovers(&self) -> Vec<UnitGroup> {
        let mut names: Vec<_> = self.bases().iter().flat_map(|base| subdirectories(base)).collect();
        names.sort();
        let leftover = |path: PathBuf| UnitGroup {
            tracking: Hierarchy { is_v2: path.join("cgroup.kill").exists(), base: path },
            others: Vec::new(),
            of_job: Vec::new(),
            memory: None,
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
        let mut bases: Vec<&Path> =
            [Some(&self.tracking), self.memory.as_ref(), self.cpuset.as_ref(), self.devices.as_ref()]
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
    /// Makes the group by which processes are tracked.
    fn make(&self) -> io::Result<()> {
        for dir in &self.of_job {
            make_dir(dir).map_err(at("make", dir))?;
            if self.tracking.is_v2 {
                place::hand_down(dir, &["memory", "cpuset"]);
            }
        }
        // Without words of its own: the number of the error says whether the node is at fault.
        new_dir(&self.tracking.base)
    }

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

    /// Where [`pids_below`] finds the members, for whoever outlives the group.
    pub(crate) fn members_dir(&self) -> &Path {
        &self.tracking.base
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
        write_text(&self.tracking.base, file, word)
    }

    /// How many members the kernel has killed for a limit of memory.
    pub(crate) fn oom_kills(&self) -> u64 {
        self.memory.as_ref().map_or(0, |memory| memory::oom_kills(&memory.base, memory.is_v2))
    }

    /// Removes the group; fails while a member is left. To be repeated then.
    pub(crate) fn remove(&self) -> io::Result<()> {
        for dir in self.dirs() {
            remove_tree(dir)?;
        }
        for dir in &self.of_job {
            // Another unit of the job may be there.
            let _ = fs::remove_dir(dir);
        }
        Ok(())
    }

    fn dirs(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(self.tracking.base.as_path()).chain(self.others.iter().map(PathBuf::as_path))
    }

    /// The unit's directory in `hierarchy`; made if it is not the tracking one.
    fn dir_in(&mut self, hierarchy: &Hierarchy, key: UnitKey, is_below_job: bool) -> io::Result<PathBuf> {
        if self.tracking.base.starts_with(&hierarchy.base) {
            return Ok(self.tracking.base.clone());
        }
        make_dir(&hierarchy.base).map_err(at("make", &hierarchy.base))?;
        let mut dir = hierarchy.base.clone();
        if is_below_job {
            dir.push(job_name(key));
        }
        dir.push(key.to_string());
        if !self.others.contains(&dir) {
            make_dir(&dir).map_err(at("make", &dir))?;
            self.others.push(dir.clone());
        }
        Ok(dir)
    }
}

/// Directory of all units of a start of a job.
fn job_name(key: UnitKey) -> String {
    format!("job_{}.{}", key.job_id, key.restart.0)
}

/// Processes in the group at `dir` and in those below it; none where it is gone.
pub(crate) fn pids_below(dir: &Path) -> Vec<i32> {
    let mut pids = Vec::new();
    collect_pids(dir, &mut pids);
    pids
}

fn existing<'a>(hierarchy: Option<&'a Hierarchy>, controller: &str) -> io::Result<&'a Hierarchy> {
    let missing = || io::Error::new(io::ErrorKind::Unsupported, format!("the {controller} controller is not mounted"));
    hierarchy.ok_or_else(missing)
}

/// Says at what something failed; the kind of the error stays.
fn at<'a>(doing: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> io::Error + 'a {
    move |error| io::Error::new(error.kind(), format!("cannot {doing} {}: {error}", path.display()))
}

/// Nobody else may make groups in it, whatever the mask of this process is.
fn new_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o755).create(path)
}

fn make_dir(path: &Path) -> io::Result<()> {
    match new_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Writes to a control file, which has to be there.
fn write_text(dir: &Path, file: &str, text: &str) -> io::Result<()> {
    let path = dir.join(file);
    let opened = fs::OpenOptions::new().write(true).open(&path);
    opened.and_then(|file| io::Write::write_all(&mut &file, text.as_bytes())).map_err(at("write", &path))
}

fn write(dir: &Path, file: &str, number: u64) -> io::Result<()> {
    write_text(dir, file, &number.to_string())
}

/// Copies a setting from the group above where it is empty.
fn inherit(dir: &Path, file: &str) -> io::Result<()> {
    let path = dir.join(file);
    if fs::read_to_string(&path).map_err(at("read", &path))?.trim().is_empty() {
        let above = dir.parent().ok_or(io::ErrorKind::NotFound)?;
        let setting = fs::read_to_string(above.join(file)).map_err(at("read", above))?;
        write_text(dir, file, setting.trim())?;
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
    use muster_model::ids::{JobId, RestartCount, StepId};

    const KEY: UnitKey = UnitKey { job_id: JobId(1), restart: RestartCount(0), step: StepId::Batch };

    fn groups(base: &Path) -> Cgroups {
        fs::create_dir(base).unwrap();
        let v2 = Hierarchy { is_v2: true, base: base.to_owned() };
        Cgroups { tracking: v2.clone(), memory: Some(v2.clone()), cpuset: Some(v2.clone()), devices: Some(v2) }
    }

    #[test]
    fn without_a_word_of_the_site_limits_are_set_where_they_can_be() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("muster-ab");
        let groups = groups(&base);
        // An ordinary directory has no control files: the limit is not enforced, the group exists all the same.
        let wanted = Wanted { memory_limit: Some(1 << 20), cpus: "0-1", confinement: None };
        let group = groups.create(KEY, &wanted).unwrap();
        assert!(base.join("1.0.batch").is_dir() && group.memory.is_none());
        fs::write(base.join("1.0.batch/cgroup.procs"), "12\n7\n").unwrap();
        fs::create_dir(base.join("1.0.batch/below")).unwrap();
        fs::write(base.join("1.0.batch/below/cgroup.procs"), "3\n").unwrap();
        assert_eq!(group.pids(), [3, 7, 12]);
        let joined: Vec<_> = group.join_files().iter().map(|path| path.to_string_lossy().into_owned()).collect();
        assert_eq!(joined, [format!("{}/1.0.batch/cgroup.procs", base.display())]);
        assert_eq!(groups.leftovers().len(), 1);
    }

    #[test]
    fn what_a_site_insists_on_is_there_or_nothing_is() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("muster-ab");
        let groups = groups(&base);
        let bounds = MemoryBounds { hard: 1 << 20, soft: 1 << 20, ..MemoryBounds::default() };
        let confinement =
            Confinement { memory: Some(bounds), job_memory: Some(bounds), cpus: true, ..Confinement::default() };
        let wanted = Wanted { memory_limit: None, cpus: "0", confinement: Some(&confinement) };
        let error = groups.create(KEY, &wanted).unwrap_err().to_string();
        let expected = format!("cannot write {}/job_1.0/memory.max: No such file or directory", base.display());
        assert!(error.starts_with(&expected), "{error}");
        let left: Vec<_> = subdirectories(&base);
        assert!(left.is_empty(), "{left:?}");
        let missing = Cgroups { devices: None, ..groups };
        let confinement = Confinement { devices_denied: vec!["/dev/null".to_owned()], ..Confinement::default() };
        let wanted = Wanted { memory_limit: None, cpus: "", confinement: Some(&confinement) };
        let error = missing.create(KEY, &wanted).unwrap_err().to_string();
        assert_eq!(error, "the devices controller is not mounted");
    }
}
