//! A view of the file system in which some directories are a job's own.
//!
//! It is a mount namespace that exists as long as somebody has it open or lives in it. Nothing of it is mounted where others could
//! see it, so nothing stays mounted when its last user is gone, however that came.

use std::cell::RefCell;
use std::ffi::CString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::space::PrivateDirs;
use crate::system;
use crate::unit::UnitUser;

/// Where programs share memory by files; it is private in memory too.
const SHARED_MEMORY: &str = "/dev/shm";

/// Makes a view where the directories of `private` are those below `content`, which belong to `user`. `before` is called in the new
/// view while it is still the old one.
pub(super) fn create(
    private: &PrivateDirs,
    content: &Path,
    user: &UnitUser,
    before: impl FnOnce() -> io::Result<()> + Send,
) -> io::Result<OwnedFd> {
    make_content(private, content, user)?;
    // The thread goes over into the new view and ends in it.
    let make = || -> io::Result<OwnedFd> {
        // SAFETY: changes only what this thread sees.
        system::check(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
        // Nothing of it is to be seen outside; what is mounted outside later only if that is wanted.
        let propagation = if private.shared { libc::MS_SLAVE } else { libc::MS_PRIVATE };
        system::mount("none", Path::new("/"), "", libc::MS_REC | propagation, "")
            .map_err(failed("detach mounts at /"))?;
        before()?;
        for dir in &private.dirs {
            let doing = format!("mount a private {}", dir.display());
            let mounted = match dir == Path::new(SHARED_MEMORY) {
                true => system::mount("tmpfs", dir, "tmpfs", libc::MS_NOSUID | libc::MS_NODEV, "mode=1777"),
                false => bind(&content_of(content, dir), dir),
            };
            mounted.map_err(failed(&doing))?;
        }
        Ok(File::open("/proc/thread-self/ns/mnt")?.into())
    };
    std::thread::scope(|scope| {
        let making = std::thread::Builder::new().name("namespace".into()).spawn_scoped(scope, make)?;
        making.join().unwrap_or_else(|_| Err(io::Error::other("the thread that makes private directories failed")))
    })
}

/// The calling thread alone goes into `namespace`. From then on it has a root, a working directory and a umask of its own: who shares
/// these, be it only with a thread that it has started, cannot go.
pub(crate) fn enter(namespace: &OwnedFd) -> io::Result<()> {
    // SAFETY: changes only what this thread sees.
    unsafe {
        system::check(libc::unshare(libc::CLONE_FS))?;
        system::check(libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNS)).map(drop)
    }
}

/// While this lives, the calling thread is in another namespace than its own.
pub(crate) struct Visit<'a> {
    own: &'a OwnedFd,
}

/// Between which namespaces a visiting thread can go.
struct Visited {
    own: OwnedFd,
    other: OwnedFd,
}

thread_local! {
    /// Where the calling thread is visiting.
    static VISITED: RefCell<Option<Visited>> = const { RefCell::new(None) };
}

impl Visit<'_> {
    /// Goes into `namespace`, and back to `own` in the end.
    pub(crate) fn enter<'a>(namespace: &OwnedFd, own: &'a OwnedFd) -> io::Result<Visit<'a>> {
        let visited = Visited { own: own.try_clone()?, other: namespace.try_clone()? };
        enter(namespace)?;
        VISITED.set(Some(visited));
        Ok(Visit { own })
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        VISITED.set(None);
        enter_or_rest(self.own);
    }
}

fn enter_or_rest(namespace: &OwnedFd) {
    if let Err(error) = enter(namespace) {
        tracing::error!(%error, "a thread cannot enter or leave the private directories of a job and rests from now on");
        // It must start nothing where it is, and must not end, since its tasks would die with it.
        loop {
            std::thread::park();
        }
    }
}

/// Does `act` where all of the node is seen as it is, also while the calling thread is visiting.
///
/// # Errors
/// The thread cannot go there, and `act` is not done.
pub(crate) fn outside<T>(act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let Some(visited) = VISITED.take() else { return act() };
    let done = enter(&visited.own).and_then(|()| act());
    enter_or_rest(&visited.other);
    VISITED.set(Some(visited));
    done
}

/// The directories that will be seen, all of the user and closed to others.
fn make_content(private: &PrivateDirs, content: &Path, user: &UnitUser) -> io::Result<()> {
    for dir in private.dirs.iter().filter(|dir| **dir != Path::new(SHARED_MEMORY)) {
        let path = content_of(content, dir);
        match DirBuilder::new().mode(0o700).create(&path) {
            // From before the supervisor was exchanged.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(&format!("make {}", path.display()))(error)),
            Ok(()) => give(&path, user)?,
        }
    }
    Ok(())
}

/// `/var/tmp` is in `CONTENT/_var_tmp`.
fn content_of(content: &Path, dir: &Path) -> PathBuf {
    content.join(dir.to_string_lossy().replace('/', "_"))
}

/// Gives a directory to a user, as far as this process can.
pub(super) fn give(path: &Path, user: &UnitUser) -> io::Result<()> {
    if super::files::must_switch(user) {
        let text = CString::new(path.as_os_str().as_bytes())?;
        // SAFETY: the path ends with NUL.
        system::check(unsafe { libc::lchown(text.as_ptr(), user.uid, user.gid) })?;
    }
    Ok(())
}

fn bind(from: &Path, to: &Path) -> io::Result<()> {
    let source = from.to_str().ok_or(io::ErrorKind::InvalidInput)?;
    system::mount(source, to, "", libc::MS_BIND, "")
}

fn failed(doing: &str) -> impl FnOnce(io::Error) -> io::Error {
    let doing = doing.to_owned();
    move |error| io::Error::new(error.kind(), format!("cannot {doing}: {error}"))
}

/// Removes what [`create`] put below `content`, and `content` itself.
pub(super) fn remove_content(content: &Path) -> io::Result<()> {
    match fs::remove_dir_all(content) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
