//! Gives the processor to whoever waits for it, again and again while something long is worked out.
//!
//! Where there are few processors, a thread that has just been interrupted by another waits until the kernel looks again, at its
//! next tick some milliseconds later, while a planner that it has once preferred runs on, however low its priority. A planner that
//! offers its processor now and then holds nobody up for longer than that. The work itself knows nothing of it: a timer
//! interrupts the thread, which yields and goes on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::libc;
use tracing::warn;

/// How long a planner keeps a processor that others wait for. Less costs more of its own time: each time the timer is set and goes
/// off takes some microseconds, in a virtual machine above all.
const KEEPS_FOR: Duration = Duration::from_micros(500);
/// Which of the signals that are free for programs.
const SIGNAL_OFFSET: libc::c_int = 3;

/// How often any thread has given way.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// The calling thread gives way for as long as this exists. It stays on its thread, where the timer belongs.
#[derive(Debug)]
pub(crate) struct GivingWay {
    timer: libc::timer_t,
}

impl GivingWay {
    /// From now on. `None` where the kernel refuses: then the thread goes on as it is.
    pub(crate) fn begin() -> Option<GivingWay> {
        begin(KEEPS_FOR).inspect_err(|problem| warn!("a planner does not give way to others: {problem}")).ok()
    }
}

impl Drop for GivingWay {
    fn drop(&mut self) {
        // SAFETY: the timer is ours and used no more. A signal that is on its way still finds its handler, which stays.
        unsafe { libc::timer_delete(self.timer) };
    }
}

extern "C" fn give_way(_: libc::c_int) {
    COUNT.fetch_add(1, Ordering::Relaxed);
    // SAFETY: a system call without arguments that may be made in a handler, and that cannot fail, so `errno` stays as it is.
    unsafe { libc::sched_yield() };
}

fn begin(keeps_for: Duration) -> std::io::Result<GivingWay> {
    let check = |result: libc::c_int| if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) };
    let signal = libc::SIGRTMIN() + SIGNAL_OFFSET;
    let step = libc::timespec { tv_sec: 0, tv_nsec: keeps_for.subsec_nanos().into() };
    let times = libc::itimerspec { it_interval: step, it_value: step };
    // SAFETY: all-zero values of these structures are valid, and they live until the calls return. The handler makes only a
    // system call that may be made there; system calls that it interrupts are taken up again.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = give_way as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        check(libc::sigaction(signal, &action, std::ptr::null_mut()))?;
        let mut event: libc::sigevent = std::mem::zeroed();
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = signal;
        event.sigev_notify_thread_id = libc::gettid();
        let mut timer: libc::timer_t = std::mem::zeroed();
        check(libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut timer))?;
        let giving_way = GivingWay { timer };
        check(libc::timer_settime(timer, 0, &times, std::ptr::null_mut()))?;
        Ok(giving_way)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// Works until it has given way so often.
    fn work_until(count: u64) {
        let end = Instant::now() + Duration::from_secs(60);
        while COUNT.load(Ordering::Relaxed) < count {
            assert!(Instant::now() < end, "the thread never gives way");
        }
    }

    #[test]
    fn a_thread_gives_way_while_it_works_and_no_longer() {
        let giving_way = GivingWay::begin().unwrap();
        work_until(3);
        let timer = giving_way.timer;
        drop(giving_way);
        // SAFETY: the structure is ours; a timer that is gone gives an error.
        let left = unsafe { libc::timer_gettime(timer, &mut std::mem::zeroed()) };
        assert_ne!(left, 0, "the timer is still there");
    }

    #[test]
    fn a_call_that_is_interrupted_goes_on() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let waiting = std::thread::spawn(move || {
            let giving_way = GivingWay::begin().unwrap();
            let before = COUNT.load(Ordering::Relaxed);
            let read = std::io::read_to_string(reader);
            (read.unwrap(), COUNT.load(Ordering::Relaxed) > before, drop(giving_way))
        });
        let before = COUNT.load(Ordering::Relaxed);
        while COUNT.load(Ordering::Relaxed) < before + 5 {
            assert!(!waiting.is_finished());
            std::thread::yield_now();
        }
        std::io::Write::write_all(&mut writer, b"through").unwrap();
        drop(writer);
        assert_eq!(waiting.join().unwrap(), ("through".to_owned(), true, ()));
    }
}
