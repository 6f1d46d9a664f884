//! Opening files with the rights of a user: a link in a job's directory must not lead the agent, which may be root,
//! to what the user could not read.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use muster_runtime::unit::UnitUser;

/// Opens a regular file for reading as `user`. Blocks; not for the reactor.
pub(crate) fn open_as(user: &UnitUser, path: &Path) -> io::Result<File> {
    if !nix::unistd::Uid::effective().is_root() || user.uid == 0 {
        return open_regular(path);
    }
    // The rights of a thread of its own are changed; it ends with the file open, so nothing has to be undone.
    let (user, path): (UnitUser, PathBuf) = (user.clone(), path.to_owned());
    let opening = std::thread::Builder::new().name("open as user".to_owned()).spawn(move || {
        take_over(&user)?;
        open_regular(&path)
    })?;
    opening.join().unwrap_or_else(|_| Err(io::Error::other("the thread that opens a file failed")))
}

/// Neither waits for the other end of a named pipe nor takes a terminal.
fn open_regular(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file")) }
}

/// Gives the calling thread, and only it, the groups and the file rights of `user`.
fn take_over(user: &UnitUser) -> io::Result<()> {
    let groups: &[u32] = if user.groups.is_empty() { std::slice::from_ref(&user.gid) } else { &user.groups };
    // SAFETY: raw system calls on numbers and on a slice that is as long as told. The C library's setgroups would
    // change all threads.
    unsafe {
        if libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) < 0 {
            return Err(io::Error::last_os_error());
        }
        libc::syscall(libc::SYS_setfsgid, user.gid);
        libc::syscall(libc::SYS_setfsuid, user.uid);
        // These two give the former value and no error, so it is asked what came of it.
        let gid = libc::syscall(libc::SYS_setfsgid, u32::MAX);
        let uid = libc::syscall(libc::SYS_setfsuid, u32::MAX);
        if (gid, uid) == (i64::from(user.gid), i64::from(user.uid)) {
            Ok(())
        } else {
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_cannot_have_the_agent_read_what_is_not_the_users() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "x").unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let own = UnitUser { uid: nix::unistd::Uid::effective().as_raw(), gid: 0, groups: Vec::new() };
        assert!(open_as(&own, &path).is_ok());
        assert!(open_as(&own, dir.path()).is_err(), "a directory is no output");
        if nix::unistd::Uid::effective().is_root() {
            let nobody = UnitUser { uid: 65534, gid: 65534, groups: Vec::new() };
            let error = open_as(&nobody, &path).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            assert!(open_as(&own, &path).is_ok(), "other threads keep their rights");
        }
    }
}
