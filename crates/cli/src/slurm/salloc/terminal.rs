//! The terminal while a command of `salloc` has it. As with real Slurm the command is a process group of its own that the terminal
//! belongs to, so that keys reach it alone; afterwards the terminal is as it was. Ctrl-Z does nothing to a command that has no use
//! for it: nobody would bring it back.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{Signal, killpg};
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};

/// A terminal that was handed to a command.
pub(super) struct Terminal {
    before: Option<Termios>,
    /// The command has it, as far as is known.
    is_given: Arc<AtomicBool>,
    /// The command's process group.
    group: Pid,
    /// Hands it over once salloc itself is brought to the front, and stops with the command.
    waiting: Option<tokio::task::JoinHandle<()>>,
}

/// What has to be so when the command is started, which takes it over.
pub(super) fn prepare() {
    ignore(libc::SIGTSTP);
}

/// Hands the terminal to the process group of the command that has just been started; `None` where there is no terminal. In the
/// background that waits until salloc is brought to the front.
pub(super) fn hand_to(group: Pid) -> Option<Terminal> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return None;
    }
    // From now on only, so that the command does not take these over. Whoever is not in front could not take it back.
    ignore(libc::SIGTTIN);
    ignore(libc::SIGTTOU);
    let before = tcgetattr(&stdin).ok();
    let in_front = is_in_front();
    let is_given = Arc::new(AtomicBool::new(false));
    if in_front {
        give(group, &is_given);
    }
    let signals = (signal(SignalKind::from_raw(libc::SIGCONT)).ok(), signal(SignalKind::child()).ok());
    let waiting = match signals {
        (Some(continued), Some(changed)) => {
            Some(tokio::spawn(follow(group, Arc::clone(&is_given), continued, changed)))
        }
        _ => None,
    };
    Some(Terminal { before: before.filter(|_| in_front), is_given, group, waiting })
}

impl Terminal {
    /// The process group in front, where that is one that a shell of the command has started.
    pub(super) fn foreign_group(&self) -> Option<Pid> {
        let front = tcgetpgrp(std::io::stdin()).ok()?;
        (front != self.group && front != getpgrp() && self.is_ours()).then_some(front)
    }

    /// Whether the command had it last. Else whoever is in front has nothing to do with it.
    fn is_ours(&self) -> bool {
        self.is_given.load(Ordering::SeqCst)
    }

    /// Takes it back, as it was.
    pub(super) fn take_back(self) {
        if let Some(waiting) = &self.waiting {
            waiting.abort();
        }
        if !self.is_ours() {
            return;
        }
        let stdin = std::io::stdin();
        let _ = tcsetpgrp(&stdin, getpgrp());
        if let Some(before) = &self.before {
            let _ = tcsetattr(&stdin, SetArg::TCSADRAIN, before);
        }
    }
}

fn is_in_front() -> bool {
    tcgetpgrp(std::io::stdin()).is_ok_and(|front| front == getpgrp())
}

/// Stops together with the command, for a shell looks at salloc alone, and goes on with it. A command in the background that asks for
/// a key is stopped by the terminal.
async fn follow(group: Pid, is_given: Arc<AtomicBool>, mut continued: Signals, mut changed: Signals) {
    loop {
        let goes_on = tokio::select! {
            told = continued.recv() => told.map(|()| true),
            told = changed.recv() => told.map(|()| false),
        };
        match goes_on {
            None => return,
            Some(true) if is_in_front() => give(group, &is_given),
            Some(true) => drop(killpg(group, Signal::SIGCONT)),
            Some(false) if is_stopped(group) => {
                is_given.store(false, Ordering::SeqCst);
                // Whoever started salloc, a script for instance, is looked at in its place.
                let _ = killpg(getpgrp(), Signal::SIGSTOP);
            }
            Some(false) => {}
        }
    }
}

/// Whether the command stands still.
fn is_stopped(command: Pid) -> bool {
    let flags = WaitPidFlag::WSTOPPED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    matches!(waitid(Id::Pid(command), flags), Ok(WaitStatus::Stopped(..)))
}

/// The command may have asked for a key already, and stands then.
fn give(group: Pid, is_given: &AtomicBool) {
    if tcsetpgrp(std::io::stdin(), group).is_ok() {
        is_given.store(true, Ordering::SeqCst);
        let _ = killpg(group, Signal::SIGCONT);
    }
}

fn ignore(signal: libc::c_int) {
    // SAFETY: to ignore a signal touches no memory of ours; no handler of it is installed anywhere in this program.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}
