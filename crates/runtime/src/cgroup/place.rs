//! Where groups can be made on this machine: which hierarchies there are, and the supervisor's directory in each.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::supervisor::{CgroupPlace, CgroupVersion};
use crate::system;

use super::{Cgroups, Hierarchy, at, make_dir};

/// Hierarchies of version 1 that are used.
const CONTROLLERS: [&str; 4] = ["freezer", "memory", "cpuset", "devices"];

/// Where Linux systems mount the hierarchies.
const MOUNTPOINT_DEFAULT: &str = "/sys/fs/cgroup";

/// Group of version 2 for the daemons themselves, where controllers could not be handed down otherwise.
const DAEMONS: &str = "muster-daemons";

/// Finds the hierarchies and makes the supervisor's directory; `Err` says why groups cannot be used.
pub(super) fn detect(id: &str, place: &CgroupPlace) -> Result<Cgroups, String> {
    let read = |path: &str| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
    if place.automount && place.version != CgroupVersion::V2 {
        mount_missing(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?, place)?;
    }
    let found = locate(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?, id, place)?;
    prepare(&found)?;
    Ok(found)
}

/// Works out the places from two files of `/proc/self`. Makes nothing yet.
fn locate(mountinfo: &str, own: &str, id: &str, place: &CgroupPlace) -> Result<Cgroups, String> {
    let find = |controller: &str| {
        let own_path = own_path(own, controller)?;
        let (root, mount) = mount_of(mountinfo, controller, place.mountpoint.as_deref())?;
        // A container may see only a part of the hierarchy.
        let below = own_path.strip_prefix(root.trim_end_matches('/')).unwrap_or(own_path);
        let below = below.trim_start_matches('/').trim_end_matches(DAEMONS);
        let base = Path::new(&mount).join(below).join(format!("muster-{id}"));
        Some(Hierarchy { is_v2: controller.is_empty(), base })
    };
    let unified = find("").filter(|_| place.version != CgroupVersion::V1);
    let older = |controller: &str| find(controller).filter(|_| place.version != CgroupVersion::V2);
    let missing = || {
        let version = match place.version {
            CgroupVersion::Any => "no control group hierarchy",
            CgroupVersion::V1 => "no freezer hierarchy of cgroup/v1",
            CgroupVersion::V2 => "no hierarchy of cgroup/v2",
        };
        let below = place.mountpoint.as_ref().map(|path| format!(" at {}", path.display())).unwrap_or_default();
        format!("{version} is mounted{below}")
    };
    let tracking = unified.clone().or_else(|| older("freezer")).ok_or_else(missing)?;
    let controller = |name: &str| older(name).or_else(|| unified.clone());
    Ok(Cgroups { tracking, memory: controller("memory"), cpuset: controller("cpuset"), devices: controller("devices") })
}

fn prepare(groups: &Cgroups) -> Result<(), String> {
    let base = &groups.tracking.base;
    make_dir(base).map_err(|error| format!("cannot make {}: {error}", base.display()))?;
    if groups.tracking.is_v2 {
        for level in [base.parent(), Some(base.as_path())].into_iter().flatten() {
            hand_down(level, &["memory", "cpuset"]);
        }
    }
    let procs = base.join("cgroup.procs");
    fs::OpenOptions::new().write(true).open(&procs).map_err(|error| format!("{}: {error}", procs.display()))?;
    Ok(())
}

/// Controllers must be handed down level by level. Where that is refused, tracking works all the same, and limits that a site
/// insists on are refused when they are set.
pub(super) fn hand_down(level: &Path, controllers: &[&str]) {
    let file = level.join("cgroup.subtree_control");
    for controller in controllers {
        let enable = || {
            let opened = fs::OpenOptions::new().write(true).open(&file);
            opened.and_then(|file| io::Write::write_all(&mut &file, format!("+{controller}").as_bytes()))
        };
        match enable() {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                let moved = leave(level).and_then(|()| enable());
                moved.unwrap_or_else(|error| {
                    tracing::info!(%error, controller, level = %level.display(), "controller is not handed down");
                });
            }
            // Those that are not there, or are no business of ours here.
            Ok(()) | Err(_) => {}
        }
    }
}

/// A group with processes hands nothing down. If these are only daemons of this program, they move into a group below.
fn leave(level: &Path) -> io::Result<()> {
    let own = fs::read_link("/proc/self/exe")?;
    let text = fs::read_to_string(level.join("cgroup.procs"))?;
    let pids: Vec<&str> = text.lines().filter(|pid| *pid != "0").collect();
    if pids.iter().any(|pid| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|program| program != own)) {
        return Err(io::Error::other("other processes live in the group"));
    }
    let daemons = level.join(DAEMONS);
    make_dir(&daemons)?;
    pids.iter().try_for_each(|pid| fs::write(daemons.join("cgroup.procs"), pid))
}

/// `CgroupAutomount`: mounts what is not mounted, each hierarchy in a directory of its name.
fn mount_missing(mountinfo: &str, own: &str, place: &CgroupPlace) -> Result<(), String> {
    let under = place.mountpoint.clone().unwrap_or_else(|| PathBuf::from(MOUNTPOINT_DEFAULT));
    for controller in CONTROLLERS {
        // The kernel may not have it, or have it in version 2.
        let is_missing = mount_of(mountinfo, controller, place.mountpoint.as_deref()).is_none();
        let is_taken = own_path(own, controller).is_none() && place.version == CgroupVersion::Any;
        if is_missing && !is_taken {
            let target = under.join(controller);
            let mounted =
                fs::create_dir_all(&target).and_then(|()| system::mount("cgroup", &target, "cgroup", 0, controller));
            mounted.map_err(at("mount", &target)).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

/// Path of this process in the hierarchy of `controller` (empty for version 2) in `/proc/self/cgroup`.
fn own_path<'a>(own: &'a str, controller: &str) -> Option<&'a str> {
    own.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        controllers.split(',').any(|name| name == controller).then_some(path)
    })
}

/// Root and mount point of the hierarchy of `controller` in `/proc/self/mountinfo`, at or below `under`.
fn mount_of(mountinfo: &str, controller: &str, under: Option<&Path>) -> Option<(String, String)> {
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
        let is_there = under.is_none_or(|under| Path::new(mount).starts_with(under));
        (is_it && is_there).then(|| (root.to_owned(), mount.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID_MOUNTS: &str = "\
26 20 0:23 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
27 26 0:24 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n\
28 26 0:25 /ctr /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n\
29 26 0:24 / /own/freezer rw - cgroup cgroup rw,freezer\n\
30 26 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
    const UNIFIED_MOUNT: &str = "30 20 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    fn check_at(place: &CgroupPlace, mounts: &str, own: &str, expected: &str) {
        let found = match locate(mounts, own, "ab", place) {
            Ok(groups) => {
                let show =
                    |hierarchy: &Hierarchy| format!("v{} {}", 1 + u8::from(hierarchy.is_v2), hierarchy.base.display());
                let memory = groups.memory.as_ref().map_or_else(|| "-".to_owned(), show);
                format!("{}; memory {memory}", show(&groups.tracking))
            }
            Err(error) => error,
        };
        assert_eq!(found, expected, "{place:?}");
    }

    #[test]
    fn hierarchies_are_found_where_they_are() {
        let check = |mounts: &str, own: &str, expected: &str| check_at(&CgroupPlace::default(), mounts, own, expected);
        let service = "/sys/fs/cgroup/system.slice/muster.service/muster-ab";
        let both = format!("v2 {service}; memory v2 {service}");
        check(UNIFIED_MOUNT, "0::/system.slice/muster.service\n", &both);
        // The daemons had to move out of the way before.
        check(UNIFIED_MOUNT, "0::/system.slice/muster.service/muster-daemons\n", &both);
        check(
            HYBRID_MOUNTS,
            "6:freezer:/\n4:memory:/ctr/x\n",
            "v1 /sys/fs/cgroup/freezer/muster-ab; memory v1 /sys/fs/cgroup/memory/x/muster-ab",
        );
        check(HYBRID_MOUNTS, "3:cpu,cpuacct:/\n", "no control group hierarchy is mounted");
        check("", "0::/\n", "no control group hierarchy is mounted");
    }

    #[test]
    fn a_site_says_which_version_and_where() {
        let own = "6:freezer:/\n4:memory:/ctr/x\n0::/y\n";
        let check = |version: CgroupVersion, mountpoint: Option<&str>, expected: &str| {
            let place = CgroupPlace { version, mountpoint: mountpoint.map(PathBuf::from), automount: false };
            check_at(&place, HYBRID_MOUNTS, own, expected);
        };
        let unified = "/sys/fs/cgroup/unified/y/muster-ab";
        let memory = "/sys/fs/cgroup/memory/x/muster-ab";
        check(CgroupVersion::Any, None, &format!("v2 {unified}; memory v1 {memory}"));
        check(CgroupVersion::V2, None, &format!("v2 {unified}; memory v2 {unified}"));
        check(CgroupVersion::V1, None, &format!("v1 /sys/fs/cgroup/freezer/muster-ab; memory v1 {memory}"));
        check(CgroupVersion::V1, Some("/own"), "v1 /own/freezer/muster-ab; memory -");
        check(CgroupVersion::V2, Some("/own"), "no hierarchy of cgroup/v2 is mounted at /own");
        check(CgroupVersion::V1, Some("/elsewhere"), "no freezer hierarchy of cgroup/v1 is mounted at /elsewhere");
    }
}
