//! Pseudo terminals: for the job's command, and for sessions of people who asked for one.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use nix::sys::termios::{self, SetArg};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::ssh::modes;

/// Lines and columns, and the same in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) rows: u16,
    pub(crate) columns: u16,
    pub(crate) width_pixels: u16,
    pub(crate) height_pixels: u16,
}

impl Default for Size {
    fn default() -> Self {
        Size { rows: 24, columns: 80, width_pixels: 0, height_pixels: 0 }
    }
}

/// A new terminal: our end, and the end of its processes, which `owner` may open by name.
pub(crate) fn open(size: Size, owner: u32) -> io::Result<(OwnedFd, OwnedFd)> {
    // SAFETY: new descriptors are ours alone; the calls take numbers by value.
    let (ours, theirs) = unsafe {
        let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
        let ours = OwnedFd::from_raw_fd(check(libc::posix_openpt(flags))?);
        check(libc::grantpt(ours.as_raw_fd()))?;
        check(libc::unlockpt(ours.as_raw_fd()))?;
        let theirs = check(libc::ioctl(ours.as_raw_fd(), libc::TIOCGPTPEER, flags))?;
        (ours, OwnedFd::from_raw_fd(theirs))
    };
    set_size(ours.as_fd(), size);
    if owner != nix::unistd::Uid::effective().as_raw() {
        // SAFETY: plain system calls on numbers.
        unsafe {
            check(libc::fchown(theirs.as_raw_fd(), owner, libc::gid_t::MAX))?;
            check(libc::fchmod(theirs.as_raw_fd(), 0o620))?;
        }
    }
    Ok((ours, theirs))
}

/// Tells a terminal its size; the kernel tells the processes on it. That it has gone is no error.
pub(crate) fn set_size(terminal: BorrowedFd<'_>, size: Size) {
    let size = libc::winsize {
        ws_row: size.rows,
        ws_col: size.columns,
        ws_xpixel: size.width_pixels,
        ws_ypixel: size.height_pixels,
    };
    // SAFETY: the structure is our own.
    unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &size) };
}

/// Sets what a client says of its own terminal: keys, echo, line ends.
pub(crate) fn set_modes(terminal: BorrowedFd<'_>, wanted: &[(russh::Pty, u32)]) -> io::Result<()> {
    let mut settings = termios::tcgetattr(terminal)?;
    modes::apply(wanted, &mut settings);
    termios::tcsetattr(terminal, SetArg::TCSANOW, &settings)?;
    Ok(())
}

/// The name of a terminal by our end of it, such as `/dev/pts/3`.
pub(crate) fn name(ours: BorrowedFd<'_>) -> Option<String> {
    let mut buffer = [0; 64];
    // SAFETY: the buffer is our own and its length is told.
    let failed = unsafe { libc::ptsname_r(ours.as_raw_fd(), buffer.as_mut_ptr(), buffer.len()) } != 0;
    if failed {
        return None;
    }
    // SAFETY: the call has ended the text within the buffer.
    let name = unsafe { std::ffi::CStr::from_ptr(buffer.as_ptr()) };
    name.to_str().ok().map(str::to_owned)
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Our end of a terminal for asynchronous code. Copies share it; the terminal hangs up when the last one goes.
#[derive(Debug, Clone)]
pub(crate) struct Terminal(Arc<AsyncFd<OwnedFd>>);

impl Terminal {
    /// Takes our end over.
    pub(crate) fn new(ours: OwnedFd) -> io::Result<Terminal> {
        // SAFETY: plain system calls on a descriptor of ours.
        unsafe {
            let flags = check(libc::fcntl(ours.as_raw_fd(), libc::F_GETFL))?;
            check(libc::fcntl(ours.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK))?;
        }
        // SAFETY: the descriptor is owned, and closed only when the registration has gone.
        let registered = unsafe { AsyncFd::register(ours)? };
        Ok(Terminal(Arc::new(registered)))
    }

    pub(crate) fn set_size(&self, size: Size) {
        set_size(self.0.get_ref().as_fd(), size);
    }
}

impl AsyncRead for Terminal {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(context))?;
            let room = buffer.initialize_unfilled();
            match guard.try_io(|inner| nix::unistd::read(inner.get_ref(), room).map_err(io::Error::from)) {
                Ok(Ok(count)) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                // The kernel's word for "nobody has this terminal open any more".
                Ok(Err(error)) if error.raw_os_error() == Some(libc::EIO) => return Poll::Ready(Ok(())),
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }
}

impl AsyncWrite for Terminal {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.0.poll_write_ready(context))?;
            match guard.try_io(|inner| nix::unistd::write(inner.get_ref(), bytes).map_err(io::Error::from)) {
                Ok(result) => return Poll::Ready(result),
                Err(_would_block) => {}
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
