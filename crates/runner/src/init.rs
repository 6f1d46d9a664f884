//! The duties of a first process: to bury orphans and to pass signals on.
//!
//! In a container whoever is started first inherits every process whose parent has gone. If nobody waits for those they stay as
//! zombies until the container has no numbers left. The runner itself waits only for its own children; so where it is the
//! first process it forks, and the parent does nothing but this.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use crate::process;

/// Signals that the first process hands to the runner. A first process gets only signals it asks for.
const PASSED_ON: &[libc::c_int] =
    &[libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2, libc::SIGWINCH];

/// Where this is the first process of a container, leaves that role to a parent. Returns `None` in the child, and elsewhere;
/// in the parent, when the child has ended, its exit code: with the first process the kernel ends all others.
///
/// # Errors
/// When the fork fails. Call it before any thread is started.
pub fn stand_in_front() -> io::Result<Option<u8>> {
    if std::process::id() != 1 {
        return Ok(None);
    }
    // SAFETY: no other thread exists yet, so the child may do whatever this process might have done.
    unsafe {
        let set = waited_for();
        libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
        match libc::fork() {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                libc::sigprocmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut());
                Ok(None)
            }
            runner => Ok(Some(watch(runner, &set))),
        }
    }
}

fn waited_for() -> libc::sigset_t {
    // SAFETY: a set of signals is plain memory that sigemptyset makes valid.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGCHLD);
        for signal in PASSED_ON {
            libc::sigaddset(&mut set, *signal);
        }
        set
    }
}

/// Waits until `runner` has ended; its exit code.
fn watch(runner: libc::pid_t, set: &libc::sigset_t) -> u8 {
    loop {
        let mut signal = 0;
        // SAFETY: system calls on our own memory.
        unsafe { libc::sigwait(set, &mut signal) };
        if signal == libc::SIGCHLD {
            if let Some(code) = bury(runner) {
                return code;
            }
        } else {
            // SAFETY: as above.
            unsafe { libc::kill(runner, signal) };
        }
    }
}

/// Waits for everybody who has ended; the exit code of `runner` if it was among them.
fn bury(runner: libc::pid_t) -> Option<u8> {
    let mut code = None;
    loop {
        let mut status = 0;
        // SAFETY: a system call on our own memory.
        let pid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) };
        if pid <= 0 {
            return code;
        }
        if pid == runner {
            code = Some(process::exit_code(ExitStatus::from_raw(status)));
        }
    }
}
