//! A child that is born into its cgroup.
//!
//! Moving a process into a cgroup makes the kernel wait for all its CPUs, 10 to 20 ms on most machines; a child that begins
//! there costs nothing (`clone3` with `CLONE_INTO_CGROUP`, Linux 5.7, cgroup v2). The C library has no function for it, so
//! the call is made here, where the processor is known; elsewhere children are moved.

use std::ffi::{CStr, c_int, c_void};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Entry of a child on a stack of its own.
pub(super) type Entry = extern "C" fn(*mut c_void) -> c_int;

/// The cgroup v2 directory that a `cgroup.procs` path belongs to; `None` for one of version 1.
pub(super) fn directory(procs: &CStr) -> Option<OwnedFd> {
    /// Magic number of the cgroup v2 file system, from linux/magic.h.
    const CGROUP2_SUPER_MAGIC: i64 = 0x6367_7270;
    let path = procs.to_str().ok()?.strip_suffix("/cgroup.procs")?;
    let path = std::ffi::CString::new(path).ok()?;
    // SAFETY: the path is NUL-terminated; the descriptor is ours alone; statfs writes into our own memory.
    unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC);
        if fd < 0 {
            return None;
        }
        let fd = OwnedFd::from_raw_fd(fd);
        let mut found: libc::statfs = std::mem::zeroed();
        let known = libc::fstatfs(fd.as_raw_fd(), &mut found) == 0;
        #[allow(clippy::unnecessary_cast, reason = "the type differs between platforms")]
        let is_v2 = known && found.f_type as i64 == CGROUP2_SUPER_MAGIC;
        is_v2.then_some(fd)
    }
}

/// Starts a child in the cgroup `directory`, sharing our memory until it executes or ends. Gives its process number, or
/// minus an error number: then nothing was started, and the child has to be moved instead.
///
/// # Safety
/// As for `clone(2)` with `CLONE_VM | CLONE_VFORK`: `stack` is used by nobody else until this returns, `entry` makes only
/// system calls and never returns, and `argument` lives until then.
#[cfg(target_arch = "x86_64")]
pub(super) unsafe fn clone_into(directory: &OwnedFd, stack: &mut [u8], entry: Entry, argument: *mut c_void) -> isize {
    /// From linux/sched.h; the libc crate has it as a number that does not fit its type of flags.
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    /// `struct clone_args` of linux/sched.h, 88 bytes, as of Linux 5.7.
    #[repr(C, align(8))]
    #[derive(Default)]
    struct CloneArgs {
        flags: u64,
        pidfd: u64,
        child_tid: u64,
        parent_tid: u64,
        exit_signal: u64,
        stack: u64,
        stack_size: u64,
        tls: u64,
        set_tid: u64,
        set_tid_size: u64,
        cgroup: u64,
    }
    let range = stack.as_mut_ptr_range();
    let (low, high) = ((range.start as u64).next_multiple_of(16), range.end as u64 & !15);
    let flags = u64::try_from(libc::CLONE_VM | libc::CLONE_VFORK).unwrap_or(0) | CLONE_INTO_CGROUP;
    let arguments = CloneArgs {
        flags,
        exit_signal: u64::try_from(libc::SIGCHLD).unwrap_or(0),
        stack: low,
        stack_size: high.saturating_sub(low),
        cgroup: u64::try_from(directory.as_raw_fd()).unwrap_or(u64::MAX),
        ..CloneArgs::default()
    };
    let result: isize;
    // SAFETY: the child begins after the system call on its own stack, which is aligned as a call expects, and leaves this
    // block only into `entry`, which does not return. The parent goes on with its registers as they were, but for those
    // that the system call is known to change.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 as isize => result,
            in("rdi") &raw const arguments,
            in("rsi") size_of::<CloneArgs>(),
            in("r12") argument,
            in("r13") entry,
            out("rcx") _,
            out("r11") _,
        );
    }
    result
}

/// Not known how on this processor.
#[cfg(not(target_arch = "x86_64"))]
pub(super) unsafe fn clone_into(_: &OwnedFd, _: &mut [u8], _: Entry, _: *mut c_void) -> isize {
    -(libc::ENOSYS as isize)
}
