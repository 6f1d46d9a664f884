//! What the node's user database says, looked up once in a while: a directory service may need seconds to answer.

use std::collections::HashMap;
use std::ffi::CString;
use std::time::{Duration, Instant};

use muster_model::ids::Identity;
use muster_runtime::unit::UnitUser;
use nix::unistd::{Gid, Uid, User, getgrouplist};

/// How long an answer is believed.
const LIFE: Duration = Duration::from_secs(300);

/// Users remembered; beyond it all are forgotten.
const USERS_MAX: usize = 10_000;

/// What a login of a user begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) home: String,
    pub(crate) shell: String,
}

/// The cache.
#[derive(Debug, Default)]
pub(crate) struct Users {
    groups: HashMap<(String, u32), (Instant, Vec<u32>)>,
    logins: HashMap<u32, (Instant, Option<Login>)>,
}

impl Users {
    /// The user as whom processes of `identity` run.
    pub(crate) fn unit_user(&mut self, identity: &Identity) -> UnitUser {
        UnitUser { uid: identity.uid, gid: identity.gid, groups: self.groups(identity) }
    }

    /// What a login of `identity` begins with; `None` for a user that the node does not know.
    pub(crate) fn login(&mut self, identity: &Identity) -> Option<Login> {
        if let Some((_, login)) = self.logins.get(&identity.uid).filter(|(at, _)| at.elapsed() < LIFE) {
            return login.clone();
        }
        let login = User::from_uid(Uid::from_raw(identity.uid)).ok().flatten().map(|user| Login {
            home: user.dir.to_string_lossy().into_owned(),
            shell: user.shell.to_string_lossy().into_owned(),
        });
        if self.logins.len() >= USERS_MAX {
            self.logins.clear();
        }
        self.logins.insert(identity.uid, (Instant::now(), login.clone()));
        login
    }

    /// All groups of a user; empty where only the primary one is known or none can be taken over.
    fn groups(&mut self, identity: &Identity) -> Vec<u32> {
        if !Uid::effective().is_root() {
            return Vec::new();
        }
        let key = (identity.user.to_string(), identity.gid);
        if let Some((_, groups)) = self.groups.get(&key).filter(|(at, _)| at.elapsed() < LIFE) {
            return groups.clone();
        }
        let groups = look_up(&identity.user, identity.gid);
        if self.groups.len() >= USERS_MAX {
            self.groups.clear();
        }
        self.groups.insert(key, (Instant::now(), groups.clone()));
        groups
    }
}

fn look_up(user: &str, gid: u32) -> Vec<u32> {
    let Ok(name) = CString::new(user) else {
        return Vec::new();
    };
    match getgrouplist(&name, Gid::from_raw(gid)) {
        Ok(groups) => {
            let mut groups: Vec<u32> = groups.into_iter().map(Gid::as_raw).collect();
            // As in Slurm also where the job has another primary group (`--gid`, `--uid` without it).
            let own = User::from_name(user).ok().flatten().map(|user| user.gid.as_raw());
            groups.extend(own.filter(|own| !groups.contains(own)));
            groups
        }
        Err(error) => {
            tracing::warn!(%error, user, "cannot find the groups of a user");
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_keeps_his_own_group_beside_another() {
        // Both are on every machine: `root` has the group of this number, and nobody has the other.
        assert_eq!(look_up("root", 0).first(), Some(&0));
        let other = look_up("root", 4_000_000_000);
        assert!(other.first() == Some(&4_000_000_000) && other.contains(&0), "{other:?}");
        assert!(look_up("no\0such", 1).is_empty());
    }
}
