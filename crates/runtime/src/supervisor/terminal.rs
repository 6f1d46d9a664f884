//! Pseudo terminals for `--pty`.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use crate::system;

/// A new terminal of the given size: the supervisor's end and the task's end. `owner` gets the task's end.
pub(crate) fn open(rows: u16, columns: u16, owner: Option<libc::uid_t>) -> io::Result<(OwnedFd, OwnedFd)> {
    // SAFETY: new descriptors are ours alone; the ioctl takes flags by value.
    let (ours, tasks) = unsafe {
        let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
        let ours = OwnedFd::from_raw_fd(system::check(libc::posix_openpt(flags))?);
        let fd = std::os::fd::AsRawFd::as_raw_fd(&ours);
        system::check(libc::grantpt(fd))?;
        system::check(libc::unlockpt(fd))?;
        let peer = system::check(libc::ioctl(fd, libc::TIOCGPTPEER, flags))?;
        (ours, OwnedFd::from_raw_fd(peer))
    };
    let fd = std::os::fd::AsRawFd::as_raw_fd(&tasks);
    set_size(fd, rows, columns);
    if let Some(uid) = owner {
        // SAFETY: plain system calls on numbers.
        unsafe {
            system::check(libc::fchown(fd, uid, libc::gid_t::MAX))?;
            system::check(libc::fchmod(fd, 0o620))?;
        }
    }
    Ok((ours, tasks))
}

/// A new terminal that changes nothing of what is written to it, and shows nothing of its own.
pub(crate) fn open_raw(owner: Option<libc::uid_t>) -> io::Result<(OwnedFd, OwnedFd)> {
    let (ours, tasks) = open(24, 80, owner)?;
    let fd = std::os::fd::AsRawFd::as_raw_fd(&tasks);
    // SAFETY: all-zero is a valid value; the structure is our own.
    unsafe {
        let mut settings: libc::termios = std::mem::zeroed();
        system::check(libc::tcgetattr(fd, &mut settings))?;
        libc::cfmakeraw(&mut settings);
        system::check(libc::tcsetattr(fd, libc::TCSANOW, &settings))?;
    }
    Ok((ours, tasks))
}

/// Tells a terminal its size; the kernel tells the processes on it.
pub(crate) fn set_size(fd: RawFd, rows: u16, columns: u16) {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the structure is our own. That a terminal has gone is no error.
    unsafe { libc::ioctl(fd, libc::TIOCSWINSZ, &size) };
}
