//! Signals of the supervisor itself, taken as events instead of interruptions.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use crate::system;

/// What came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pending {
    /// TERM or INT: end all units and exit.
    pub(crate) terminate: bool,
}

/// Blocks the signals that are events, in this thread and those it starts, and gives a descriptor to take them from.
/// HUP is ignored: the supervisor outlives whoever started it.
pub(crate) fn take_over() -> io::Result<OwnedFd> {
    // SAFETY: all-zero is a valid value; the sets are our own; the new descriptor is ours alone.
    unsafe {
        libc::signal(libc::SIGHUP, libc::SIG_IGN);
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for signal in [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT] {
            libc::sigaddset(&mut set, signal);
        }
        // Inherited as ignored, ended children would vanish with their exit codes.
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        match libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) {
            0 => {}
            error => return Err(io::Error::from_raw_os_error(error)),
        }
        let fd = system::check(libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Takes all that came.
pub(crate) fn take(fd: RawFd) -> Pending {
    const RECORD: usize = size_of::<libc::signalfd_siginfo>();
    let mut pending = Pending::default();
    let mut buffer = [0u8; RECORD * 16];
    while let Ok(count) = system::read(fd, &mut buffer) {
        for record in buffer.get(..count).unwrap_or_default().chunks_exact(RECORD) {
            // The signal number is the first field.
            let number = record.first_chunk::<4>().map(|bytes| u32::from_ne_bytes(*bytes));
            pending.terminate |= number.is_some_and(|number| number != libc::SIGCHLD as u32);
        }
        if count < buffer.len() {
            break;
        }
    }
    pending
}
