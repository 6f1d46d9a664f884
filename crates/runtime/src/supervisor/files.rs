//! Opening what users name, with the rights of the user, and putting batch scripts in place.

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::system;
use crate::unit::{UnitKey, UnitUser};

/// While this lives, files are opened by the calling **thread** with the rights of the user.
///
/// The C library's functions would change all threads, so the system calls are made directly; the kernel keeps these
/// numbers for each thread.
pub(crate) struct UserRights {
    is_switched: bool,
    groups: Vec<libc::gid_t>,
}

impl UserRights {
    /// Takes over the rights of `user` where this process is root and the user is not.
    pub(crate) fn of(user: &UnitUser) -> io::Result<UserRights> {
        if !must_switch(user) {
            return Ok(UserRights { is_switched: false, groups: Vec::new() });
        }
        let rights = UserRights { is_switched: true, groups: own_groups()? };
        set_groups(&all_groups(user))?;
        // SAFETY: plain system calls on numbers. They give the former value and no error: a refused change shows
        // when the number is asked for again with an invalid one.
        unsafe {
            libc::syscall(libc::SYS_setfsgid, user.gid);
            libc::syscall(libc::SYS_setfsuid, user.uid);
            let gid = libc::syscall(libc::SYS_setfsgid, u32::MAX);
            let uid = libc::syscall(libc::SYS_setfsuid, u32::MAX);
            if (gid, uid) != (i64::from(user.gid), i64::from(user.uid)) {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
        }
        Ok(rights)
    }
}

impl Drop for UserRights {
    fn drop(&mut self) {
        if self.is_switched {
            // SAFETY: plain system calls on numbers.
            unsafe {
                libc::syscall(libc::SYS_setfsuid, libc::geteuid());
                libc::syscall(libc::SYS_setfsgid, libc::getegid());
            }
            if let Err(error) = set_groups(&self.groups) {
                tracing::error!(%error, "cannot take the own groups back");
            }
        }
    }
}

/// Whether processes of `user` need another identity than the supervisor's.
pub(crate) fn must_switch(user: &UnitUser) -> bool {
    // SAFETY: cannot fail.
    let own = unsafe { libc::geteuid() };
    own == 0 && user.uid != 0
}

/// The groups to take over: those given, or only the primary one.
pub(crate) fn all_groups(user: &UnitUser) -> Vec<libc::gid_t> {
    if user.groups.is_empty() { vec![user.gid] } else { user.groups.clone() }
}

fn own_groups() -> io::Result<Vec<libc::gid_t>> {
    // SAFETY: with a count of zero only the number is given.
    let count = system::check(unsafe { libc::getgroups(0, std::ptr::null_mut()) })?;
    let mut groups = vec![0; count as usize];
    // SAFETY: the vector has room for as many as told.
    let count = system::check(unsafe { libc::getgroups(count, groups.as_mut_ptr()) })?;
    groups.truncate(count as usize);
    Ok(groups)
}

fn set_groups(groups: &[libc::gid_t]) -> io::Result<()> {
    // SAFETY: the slice is ours and as long as told; the raw call changes this thread only.
    let result = unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The directory in which a unit starts, open, and where it is.
pub(crate) struct WorkDir {
    pub(crate) fd: Arc<OwnedFd>,
    pub(crate) path: PathBuf,
    /// Why the wanted directory could not be entered.
    pub(crate) problem: Option<io::Error>,
}

impl WorkDir {
    /// Opens `wanted`, else `/tmp`. To be called with the user's rights.
    pub(crate) fn open(wanted: &str) -> io::Result<WorkDir> {
        match open_dir(wanted) {
            Ok(fd) => Ok(WorkDir { fd: fd.into(), path: PathBuf::from(wanted), problem: None }),
            Err(problem) => Ok(WorkDir { fd: open_dir("/tmp")?.into(), path: "/tmp".into(), problem: Some(problem) }),
        }
    }
}

/// The dot makes the kernel check that the directory may be entered, which opening it as such does not.
fn open_dir(path: &str) -> io::Result<OwnedFd> {
    let path = CString::new(format!("{path}/."))?;
    // SAFETY: the path is NUL-terminated; the new descriptor is ours alone.
    unsafe {
        let fd = system::check(libc::open(path.as_ptr(), libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Files opened for one unit. Streams that name the same file share one descriptor.
pub(crate) struct OpenFiles {
    work_dir: PathBuf,
    umask: u32,
    outputs: HashMap<PathBuf, Arc<OwnedFd>>,
    null: Option<Arc<OwnedFd>>,
}

impl OpenFiles {
    /// Relative names are taken from `work_dir`.
    pub(crate) fn new(work_dir: &Path, umask: u32) -> OpenFiles {
        OpenFiles { work_dir: work_dir.to_owned(), umask, outputs: HashMap::new(), null: None }
    }

    /// `/dev/null`, for reading and writing.
    pub(crate) fn null(&mut self) -> io::Result<Arc<OwnedFd>> {
        if let Some(null) = &self.null {
            return Ok(Arc::clone(null));
        }
        let null: Arc<OwnedFd> = Arc::new(OpenOptions::new().read(true).write(true).open("/dev/null")?.into());
        self.null = Some(Arc::clone(&null));
        Ok(null)
    }

    /// Opens an input file.
    pub(crate) fn input(&self, name: &str) -> io::Result<Arc<OwnedFd>> {
        let file = fs::File::open(self.work_dir.join(name)).map_err(|error| with_name(error, name))?;
        Ok(Arc::new(file.into()))
    }

    /// Opens an output file; always in append mode, so that several writers never overwrite each other.
    pub(crate) fn output(&mut self, name: &str, keep: bool) -> io::Result<Arc<OwnedFd>> {
        let path = normal(&self.work_dir.join(name));
        if let Some(file) = self.outputs.get(&path) {
            return Ok(Arc::clone(file));
        }
        // The umask belongs to the whole process (which has none), so the mode is computed here.
        let mode = 0o666 & !self.umask;
        let flags = libc::O_NOCTTY | if keep { 0 } else { libc::O_TRUNC };
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(mode).custom_flags(flags);
        let file = options.open(&path).map_err(|error| with_name(error, name))?;
        let file: Arc<OwnedFd> = Arc::new(file.into());
        self.outputs.insert(path, Arc::clone(&file));
        Ok(file)
    }
}

fn with_name(error: io::Error, name: &str) -> io::Error {
    // Keeps the error number for the agent; the name goes to the log.
    tracing::info!(%error, name, "cannot open a file of a unit");
    error
}

/// Without `.` components and doubled slashes; `..` stays, because links may change its meaning.
fn normal(path: &Path) -> PathBuf {
    path.components().filter(|component| !matches!(component, Component::CurDir)).collect()
}

/// Directory of a job in the spool directory: `job00012`.
fn job_dir(spool: &Path, key: UnitKey) -> PathBuf {
    spool.join(format!("job{:05}", key.job_id.0))
}

/// Puts a batch script into the spool directory, owned by the user and executable for nobody else.
pub(crate) fn write_script(spool: &Path, key: UnitKey, user: &UnitUser, bytes: &[u8]) -> io::Result<PathBuf> {
    let dir = job_dir(spool, key);
    match fs::DirBuilder::new().mode(0o750).create(&dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let path = dir.join("slurm_script");
    // What an earlier start left there may be in use still; a new file does not disturb it.
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o700).open(&path)?;
    file.write_all(bytes)?;
    if must_switch(user) {
        // SAFETY: plain system calls; the path is NUL-terminated.
        unsafe {
            system::check(libc::fchown(file.as_raw_fd(), user.uid, libc::gid_t::MAX))?;
            let dir = CString::new(dir.as_os_str().as_bytes())?;
            system::check(libc::chown(dir.as_ptr(), libc::uid_t::MAX, user.gid))?;
        }
    }
    Ok(path)
}

/// Removes what [`write_script`] made.
pub(crate) fn remove_script(spool: &Path, key: UnitKey) {
    let dir = job_dir(spool, key);
    let _ = fs::remove_file(dir.join("slurm_script"));
    let _ = fs::remove_dir(dir);
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_model::ids::{JobId, RestartCount, StepId};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn one_file_is_opened_once_by_any_of_its_names() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("log"), "old\n").unwrap();
        let mut files = OpenFiles::new(dir.path(), 0o027);
        let first = files.output("log", false).unwrap();
        let second = files.output("./log", false).unwrap();
        let absolute = files.output(dir.path().join("log").to_str().unwrap(), false).unwrap();
        assert!(Arc::ptr_eq(&first, &second) && Arc::ptr_eq(&first, &absolute));
        assert_eq!(fs::read(dir.path().join("log")).unwrap(), b"");
        let fresh = files.output("fresh", true).unwrap();
        system::write(fresh.as_raw_fd(), b"x").unwrap();
        assert_eq!(fs::metadata(dir.path().join("fresh")).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(files.output("no/such", false).unwrap_err().raw_os_error(), Some(libc::ENOENT));
    }

    #[test]
    fn a_directory_that_cannot_be_entered_becomes_tmp() {
        let here = WorkDir::open("/usr").unwrap();
        assert!(here.problem.is_none() && here.path == Path::new("/usr"));
        let tmp = WorkDir::open("/no/such").unwrap();
        assert_eq!((tmp.problem.unwrap().raw_os_error(), tmp.path), (Some(libc::ENOENT), "/tmp".into()));
    }

    #[test]
    fn scripts_come_and_go() {
        let spool = tempfile::tempdir().unwrap();
        let key = UnitKey { job_id: JobId(12), restart: RestartCount(0), step: StepId::Batch };
        let path = write_script(spool.path(), key, &UnitUser::default(), b"#!/bin/sh\n").unwrap();
        assert_eq!(path, spool.path().join("job00012/slurm_script"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        write_script(spool.path(), key, &UnitUser::default(), b"#!/bin/bash\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"#!/bin/bash\n");
        remove_script(spool.path(), key);
        assert!(!spool.path().join("job00012").exists());
    }
}
