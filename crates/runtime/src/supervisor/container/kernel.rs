//! System calls for namespaces and mounts that neither the standard library nor the C library has.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// `struct mount_attr` of linux/mount.h, as of Linux 5.12.
#[repr(C)]
#[derive(Default)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    namespace_fd: u64,
}

/// `struct open_how` of linux/openat2.h, as of Linux 5.6.
#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

/// Attributes of mounts (linux/mount.h).
pub(crate) const READ_ONLY: u64 = 0x1;
pub(crate) const NO_SUID: u64 = 0x2;
pub(crate) const NO_DEVICES: u64 = 0x4;
pub(crate) const NO_EXECUTE: u64 = 0x8;

/// How a path within a container may be resolved (linux/openat2.h): never out of its root, and never by a link of
/// `/proc`, which leads anywhere.
const RESOLVE_INSIDE: u64 = 0x10 | 0x02;

/// What a path within a container may lead through besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Anything.
    Any,
    /// Only one file system.
    OneFileSystem,
    /// No link.
    NoLinks,
}

impl Way {
    fn flags(self) -> u64 {
        match self {
            Way::Any => 0,
            Way::OneFileSystem => 0x01,
            Way::NoLinks => 0x04,
        }
    }
}

/// Copies a mount, or a part of one, so that it can be put elsewhere. The path is resolved with the rights of this thread.
pub(crate) fn open_tree(path: &CString, recursive: bool) -> io::Result<OwnedFd> {
    const OPEN_TREE_CLONE: libc::c_uint = 1;
    let recursive = if recursive { libc::AT_RECURSIVE } else { 0 };
    let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC as libc::c_uint | recursive as libc::c_uint;
    // SAFETY: the path ends with NUL; the new descriptor is ours alone.
    unsafe { owned(libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags)) }
}

/// Puts a mount onto a directory or file.
pub(crate) fn move_mount(mount: &OwnedFd, target: &OwnedFd) -> io::Result<()> {
    // MOVE_MOUNT_F_EMPTY_PATH, MOVE_MOUNT_T_EMPTY_PATH
    const FLAGS: libc::c_uint = 0x4 | 0x40;
    let (empty, from, to) = (c"", mount.as_raw_fd(), target.as_raw_fd());
    // SAFETY: both paths end with NUL.
    let result = unsafe { libc::syscall(libc::SYS_move_mount, from, empty.as_ptr(), to, empty.as_ptr(), FLAGS) };
    done(result)
}

/// Sets attributes of a mount, `at` and `path` being its root.
pub(crate) fn set_attributes(at: RawFd, path: &CString, recursive: bool, set: u64) -> io::Result<()> {
    change(at, path, recursive, &MountAttributes { set, ..MountAttributes::default() })
}

/// What is mounted or unmounted in one place has no effect here; or here it has, if `follows`, but never back.
pub(crate) fn set_propagation(mount: &OwnedFd, follows: bool) -> io::Result<()> {
    let propagation = if follows { libc::MS_SLAVE } else { libc::MS_PRIVATE };
    let attributes = MountAttributes { propagation, ..MountAttributes::default() };
    change(mount.as_raw_fd(), &CString::default(), true, &attributes)
}

fn change(at: RawFd, path: &CString, recursive: bool, attributes: &MountAttributes) -> io::Result<()> {
    let recursive = if recursive { libc::AT_RECURSIVE } else { 0 };
    let flags = (libc::AT_EMPTY_PATH | recursive) as libc::c_uint;
    let size = size_of::<MountAttributes>();
    // SAFETY: the path ends with NUL; the structure is our own and as long as told.
    let result = unsafe {
        libc::syscall(libc::SYS_mount_setattr, at, path.as_ptr(), flags, std::ptr::from_ref(attributes), size)
    };
    done(result)
}

/// A new file system in memory, not yet put anywhere.
pub(crate) fn memory_file_system(megabytes: Option<u64>) -> io::Result<OwnedFd> {
    /// `FSCONFIG_SET_STRING`
    const SET_STRING: libc::c_uint = 1;
    /// `FSCONFIG_CMD_CREATE`
    const CREATE: libc::c_uint = 6;
    const CLOSE_ON_EXEC: libc::c_uint = 1;
    let null = std::ptr::null::<libc::c_char>();
    let size = megabytes.map(|megabytes| CString::new(format!("{megabytes}m"))).transpose()?;
    // SAFETY: names and values end with NUL; the two descriptors are ours alone.
    unsafe {
        let context = owned(libc::syscall(libc::SYS_fsopen, c"tmpfs".as_ptr(), CLOSE_ON_EXEC))?;
        if let Some(size) = &size {
            let (name, value) = (c"size".as_ptr(), size.as_ptr());
            done(libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), SET_STRING, name, value, 0))?;
        }
        done(libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), CREATE, null, null, 0))?;
        let attributes = (NO_SUID | NO_DEVICES) as libc::c_uint;
        owned(libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), CLOSE_ON_EXEC, attributes))
    }
}

/// Opens what is at `path` within the directory `root`, as if that were the root of all.
pub(crate) fn open_inside(root: &OwnedFd, path: &str, flags: libc::c_int, way: Way) -> io::Result<OwnedFd> {
    let path = CString::new(path)?;
    let resolve = RESOLVE_INSIDE | way.flags();
    let how = OpenHow { flags: (flags | libc::O_CLOEXEC) as u64, mode: 0, resolve };
    let size = size_of::<OpenHow>();
    // SAFETY: the path ends with NUL; the structure is our own and as long as told.
    unsafe { owned(libc::syscall(libc::SYS_openat2, root.as_raw_fd(), path.as_ptr(), std::ptr::from_ref(&how), size)) }
}

/// Opens without any restriction.
pub(crate) fn open(path: &str, flags: libc::c_int) -> io::Result<OwnedFd> {
    open_at(libc::AT_FDCWD, path, flags)
}

/// Opens relative to a directory, without any restriction.
pub(crate) fn open_at(directory: RawFd, path: &str, flags: libc::c_int) -> io::Result<OwnedFd> {
    let path = CString::new(path)?;
    // SAFETY: the path ends with NUL; the new descriptor is ours alone.
    unsafe { owned(libc::openat(directory, path.as_ptr(), flags | libc::O_CLOEXEC).into()) }
}

/// Makes a directory, or an empty file, in a directory.
pub(crate) fn make_in(directory: &OwnedFd, name: &str, is_directory: bool) -> io::Result<()> {
    let name = CString::new(name)?;
    // SAFETY: the name ends with NUL; a new descriptor is ours alone.
    unsafe {
        if is_directory {
            return done(libc::mkdirat(directory.as_raw_fd(), name.as_ptr(), 0o755).into());
        }
        let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY | libc::O_CLOEXEC | libc::O_NOFOLLOW;
        owned(libc::openat(directory.as_raw_fd(), name.as_ptr(), flags, 0o644).into()).map(drop)
    }
}

/// Takes away what is mounted at the directory or file that is open.
pub(crate) fn unmount(at: &OwnedFd) -> io::Result<()> {
    // SAFETY: plain system calls; the directory is that of this thread alone, see `namespace`.
    unsafe {
        done(libc::fchdir(at.as_raw_fd()).into())?;
        done(libc::umount2(c".".as_ptr(), libc::MNT_DETACH).into())
    }
}

/// Number of the mount in which an open file lies.
pub(crate) fn mount_number(fd: &OwnedFd) -> io::Result<u64> {
    /// `STATX_MNT_ID`
    const MOUNT_NUMBER: libc::c_uint = 0x1000;
    // SAFETY: all-zero is a valid value; the path ends with NUL and the structure is our own.
    unsafe {
        let mut facts: libc::statx = std::mem::zeroed();
        done(libc::statx(fd.as_raw_fd(), c"".as_ptr(), libc::AT_EMPTY_PATH, MOUNT_NUMBER, &mut facts).into())?;
        Ok(facts.stx_mnt_id)
    }
}

/// Whether an open file is a directory.
pub(crate) fn is_directory(fd: &OwnedFd) -> io::Result<bool> {
    // SAFETY: all-zero is a valid value; the structure is our own.
    unsafe {
        let mut facts: libc::stat = std::mem::zeroed();
        done(libc::fstat(fd.as_raw_fd(), &mut facts).into())?;
        Ok(facts.st_mode & libc::S_IFMT == libc::S_IFDIR)
    }
}

/// Goes on in a copy of the present mount namespace, in which changes are seen by nobody else.
pub(crate) fn copy_mounts() -> io::Result<()> {
    let flags = libc::MS_REC | libc::MS_PRIVATE;
    let null = std::ptr::null();
    // SAFETY: the path ends with NUL, all else is nothing or numbers.
    unsafe {
        done(libc::unshare(libc::CLONE_NEWNS).into())?;
        done(libc::mount(c"none".as_ptr(), c"/".as_ptr(), null, flags, null.cast()).into())
    }
}

/// # Safety
/// The number is an error or a descriptor that nobody else has.
unsafe fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    match RawFd::try_from(result) {
        // SAFETY: as promised.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

fn done(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
