//! The terminal while a command of `salloc` has it. As with real Slurm the command is a process group of its own that the terminal
//! belongs to, so that keys reach it alone; afterwards the terminal is as it was. Ctrl-Z does nothing to a command that has no use
//! for it: nobody would bring it back.

use std::io::IsTerminal;

use nix::sys::signal::{Signal, killpg};
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp};
use tokio::signal::unix::{SignalKind, signal};

/// A terminal that was handed to a command.
pub(super) struct Terminal {
    before: Option<Termios>,
    /// The command's process group.
    group: Pid,
    /// Hands it over once salloc itself is brought to the front.
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
    if in_front {
        give(group);
    }
    let waiting = signal(SignalKind::from_raw(libc::SIGCONT)).ok().map(|mut continued| {
        tokio::spawn(async move {
            while continued.recv().await.is_some() {
                if is_in_front() {
                    give(group);
                }
            }
        })
    });
    Some(Terminal { before: before.filter(|_| in_front), group, waiting })
}

impl Terminal {
    /// The process group in front, where that is one that a shell of the command has started.
    pub(super) fn foreign_group(&self) -> Option<Pid> {
        let front = tcgetpgrp(std::io::stdin()).ok()?;
        (front != self.group && front != getpgrp() && self.is_ours()).then_some(front)
    }

    /// Whether the command was in front at first. Else whoever is there has nothing to do with it.
    fn is_ours(&self) -> bool {
        self.before.is_some()
    }

    /// Takes it back, as it was.
    pub(super) fn take_back(self) {
        if let Some(waiting) = &self.waiting {
            waiting.abort();
        }
        let Some(before) = &self.before else { return };
        let stdin = std::io::stdin();
        let _ = tcsetpgrp(&stdin, getpgrp());
        let _ = tcsetattr(&stdin, SetArg::TCSADRAIN, before);
    }
}

fn is_in_front() -> bool {
    tcgetpgrp(std::io::stdin()).is_ok_and(|front| front == getpgrp())
}

/// The command may have asked for a key already, and stands then.
fn give(group: Pid) {
    if tcsetpgrp(std::io::stdin(), group).is_ok() {
        let _ = killpg(group, Signal::SIGCONT);
    }
}

fn ignore(signal: libc::c_int) {
    // SAFETY: to ignore a signal touches no memory of ours; no handler of it is installed anywhere in this program.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}
