//! How much the threads of the planner stand back.
//!
//! Where there are few cores, a thread that has just been woken waits until the one that runs has had its slice: a pass
//! would cost a completion or a read some milliseconds now and then. A thread of a lower priority is mostly interrupted at
//! once, and one that is given only what is idle always is. That is right for the passes over everything, for which nobody waits.
//! The quick ones, which decide what starts, keep a share of a crowded machine. What is left of the waiting is up to
//! [`giving_way`](crate::giving_way).

use nix::libc;
use tracing::warn;

/// Of the thread that decides what starts: about a tenth of what others get, where there is not enough for all.
const QUICK_PASSES: i32 = 10;

/// The calling thread makes quick passes. Where a lower priority is refused it goes on as it is.
pub(crate) fn of_quick_passes() {
    // SAFETY: the call takes three numbers and touches no memory of ours; on Linux, zero names the calling thread alone.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, QUICK_PASSES) };
    complain(result);
}

/// The calling thread makes passes over everything, with what nobody else wants.
pub(crate) fn of_long_passes() {
    // SAFETY: all-zero is a valid value, as this policy has no priorities; zero names the calling thread alone.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &std::mem::zeroed()) };
    complain(result);
}

fn complain(result: libc::c_int) {
    if result != 0 {
        warn!("cannot lower the priority of a thread of the planner: {}", std::io::Error::last_os_error());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_stands_back_alone() {
        // SAFETY: as above.
        let own = || unsafe { (libc::getpriority(libc::PRIO_PROCESS, 0), libc::sched_getscheduler(0)) };
        let before = own();
        let other = |stand_back: fn()| {
            let thread = std::thread::spawn(move || {
                stand_back();
                own()
            });
            thread.join().unwrap()
        };
        assert_eq!(other(of_quick_passes).0, before.0.max(QUICK_PASSES));
        assert_eq!(other(of_long_passes).1, libc::SCHED_IDLE);
        assert_eq!(own(), before);
    }
}
