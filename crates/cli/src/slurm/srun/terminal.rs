//! The user's terminal while a task has it (`--pty`).

use std::sync::Mutex;

use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

/// The settings to go back to.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Rows and columns of the terminal; 24 by 80 where there is none.
pub(super) fn size() -> (u16, u16) {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one winsize, which `size` is.
    let result = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &mut size) };
    if result == 0 && size.ws_row > 0 { (size.ws_row, size.ws_col) } else { (24, 80) }
}

/// Why there is no terminal, if there is none.
pub(super) fn missing() -> Option<nix::errno::Errno> {
    tcgetattr(std::io::stdout()).err()
}

/// Every key goes to the task, Ctrl-C included.
pub(in crate::slurm) fn make_raw() {
    let stdin = std::io::stdin();
    let Ok(before) = tcgetattr(&stdin) else { return };
    let mut raw = before.clone();
    cfmakeraw(&mut raw);
    if tcsetattr(&stdin, SetArg::TCSANOW, &raw).is_ok() {
        *BEFORE.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(before);
    }
}

/// Back to what it was; `false` where there was nothing to go back to.
pub(in crate::slurm) fn restore() -> bool {
    let before = BEFORE.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    before.is_some_and(|before| tcsetattr(std::io::stdin(), SetArg::TCSADRAIN, &before).is_ok())
}
