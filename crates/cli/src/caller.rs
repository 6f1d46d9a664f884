//! Who calls a command, and how: asked of the system once.

use muster_model::ids::Identity;
use nix::unistd::{Gid, Group, Uid, User};

/// The user and group of this process, by name where they have one.
pub(crate) fn identity() -> Identity {
    let (uid, gid) = (Uid::current(), Gid::current());
    let user = User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
    let group = Group::from_gid(gid).ok().flatten().map_or_else(|| gid.to_string(), |group| group.name);
    Identity { uid: uid.as_raw(), gid: gid.as_raw(), user: user.into(), group: group.into() }
}

/// The mask of this process. Read from the system, since asking the kernel means to change it for a moment.
pub(crate) fn umask() -> u32 {
    const USUAL: u32 = 0o022;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    mask.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok()).unwrap_or(USUAL)
}
