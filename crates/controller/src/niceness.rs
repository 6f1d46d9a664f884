//! How much the threads of the planner stand back.
//!
//! Where there are few cores, a thread that has just been woken waits until the one that runs has had its slice: a pass
//! would cost a completion or a read some milliseconds now and then. Threads of a lower priority are interrupted at once.
//! They are not given what is idle only: on a crowded machine jobs would stop starting.

use nix::libc;
use tracing::warn;

/// Of the thread that decides what starts: about a tenth of what others get, where there is not enough for all.
pub(crate) const QUICK_PASSES: i32 = 10;
/// Of the thread that makes the passes over everything, for which nobody waits.
pub(crate) const LONG_PASSES: i32 = 15;

/// Lowers the priority of the calling thread. Where that is refused it goes on as it is.
pub(crate) fn stand_back(nice: i32) {
    // SAFETY: the call takes three numbers and touches no memory of ours; on Linux, zero names the calling thread alone.
    let refused = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) } != 0;
    if refused {
        warn!("cannot lower the priority of a thread of the planner: {}", std::io::Error::last_os_error());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_stands_back_alone() {
        // SAFETY: as above.
        let own = || unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
        let before = own();
        let other = std::thread::spawn(move || {
            stand_back(QUICK_PASSES);
            own()
        });
        assert_eq!(other.join().ok(), Some(before.max(QUICK_PASSES)));
        assert_eq!(own(), before);
    }
}
