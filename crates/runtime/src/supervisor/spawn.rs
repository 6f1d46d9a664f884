//! Starting one process, fast.
//!
//! The child shares the memory of the supervisor until it executes its program (as `posix_spawn` does), because copying
//! page tables would cost half of all launches per second. So the child may only make system calls: everything is
//! prepared before, and what goes wrong is left in the [`Plan`] for the launcher to put into words.

use std::cell::Cell;
use std::ffi::CString;
use std::io;
use std::os::fd::RawFd;

use libc::{c_char, c_int, c_void};

use super::birth;
use super::environment::Environment;
use crate::system;

/// Enough for a handful of system calls without recursion.
const STACK_BYTES: usize = 64 << 10;

/// How often to try again while a script is still open for writing in a process that is just being started.
const BUSY_TRIES_MAX: u32 = 500;

/// Number of the socket of the MPI library in a task: beyond those that shells take for themselves.
pub(crate) const PMI_DESCRIPTOR: RawFd = 19;

/// A stack for children. Each launcher thread has one: its children use it one after the other.
pub(crate) struct Stack {
    memory: Box<[u8]>,
}

impl Stack {
    /// A new stack.
    pub(crate) fn new() -> Stack {
        Stack { memory: vec![0; STACK_BYTES].into_boxed_slice() }
    }

    fn top(&mut self) -> *mut c_void {
        let end = self.memory.as_mut_ptr_range().end as usize;
        (end & !15) as *mut c_void
    }
}

/// Everything that a child needs.
pub(crate) struct Plan<'a> {
    /// Paths to try, in order.
    pub(crate) programs: &'a [CString],
    /// Arguments; the first becomes the path that is executed.
    pub(crate) arguments: &'a [CString],
    /// Environment.
    pub(crate) environment: &'a Environment,
    /// Become 0, 1 and 2.
    pub(crate) streams: [RawFd; 3],
    /// Whether stream 0 is a terminal that the child is to control.
    pub(crate) terminal: bool,
    /// Becomes [`PMI_DESCRIPTOR`].
    pub(crate) pmi: Option<RawFd>,
    /// Mount namespace to enter: that of a container, in which nothing gives a user more rights.
    pub(crate) mounts: Option<RawFd>,
    /// Directory to be in.
    pub(crate) work_dir: RawFd,
    /// File mode creation mask.
    pub(crate) umask: u32,
    /// Identity to take over, if another.
    pub(crate) identity: Option<(libc::uid_t, libc::gid_t, &'a [libc::gid_t])>,
    /// Resource, soft limit.
    pub(crate) limits: &'a [(u32, u64)],
    /// Mask of CPUs to run on; empty for any.
    pub(crate) affinity: &'a [u8],
    /// Where it gets memory: the policy's number and the mask of domains.
    pub(crate) memory: Option<(c_int, &'a [libc::c_ulong])>,
    /// What it says of its memory in its error stream: before and behind its process number.
    pub(crate) memory_announcement: Option<(&'a str, &'a str)>,
    /// What it says of its CPUs in its error stream: before and behind its process number.
    pub(crate) announcement: Option<(&'a str, &'a str)>,
    /// Lines that it writes there too, each with its end.
    pub(crate) notes: &'a [u8],
    /// Files into which the child writes `0`.
    pub(crate) groups: &'a [CString],
    /// It may be started in its group, where there is but one. Otherwise it moves there: kernels since 6.14 kill at once whatever is
    /// born in a group of which the members were killed before.
    pub(crate) is_born_in_group: bool,
    /// Process number of the supervisor.
    pub(crate) supervisor: libc::pid_t,
}

impl<'a> Plan<'a> {
    /// One for a program that is run beside tasks: `arguments` with its path first, bound and held to nothing, and with the identity
    /// of the supervisor.
    pub(crate) fn helper(
        arguments: &'a [CString],
        environment: &'a Environment,
        streams: [RawFd; 3],
        work_dir: RawFd,
        umask: u32,
    ) -> Plan<'a> {
        Plan {
            programs: arguments.get(..1).unwrap_or_default(),
            arguments,
            environment,
            streams,
            terminal: false,
            pmi: None,
            mounts: None,
            work_dir,
            umask,
            identity: None,
            limits: &[],
            affinity: &[],
            memory: None,
            memory_announcement: None,
            announcement: None,
            notes: &[],
            groups: &[],
            is_born_in_group: false,
            supervisor: std::process::id() as i32,
        }
    }
}

/// How far a child came that could not execute its program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It could not be made what it should be.
    Setup(i32),
    /// The program could not be executed. The child has ended with this error number as its exit code.
    Execute(i32),
}

/// A started child.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Child {
    pub(crate) pid: libc::pid_t,
    /// It has ended already.
    pub(crate) failure: Option<Failure>,
}

struct Shared<'a> {
    plan: &'a Plan<'a>,
    arguments: Vec<*const c_char>,
    programs: Vec<*const c_char>,
    /// The child has to move itself into its groups.
    moves: Cell<bool>,
    failure: Cell<Option<Failure>>,
}

/// Starts a child and waits until it has executed its program or failed.
pub(crate) fn spawn(plan: &Plan, stack: &mut Stack) -> io::Result<Child> {
    let pointers = |texts: &[CString]| -> Vec<*const c_char> {
        texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let shared = Shared {
        plan,
        arguments: pointers(plan.arguments),
        programs: pointers(plan.programs),
        moves: Cell::new(true),
        failure: Cell::new(None),
    };
    let _signals = BlockedSignals::all();
    let born = if plan.is_born_in_group { born_in_group(&shared, stack) } else { None };
    let pid = born.map_or_else(|| moved_into_groups(&shared, stack), Ok)?;
    Ok(Child { pid, failure: shared.failure.get() })
}

/// Starts the child in its only group, where that is one of cgroup v2; `None` where this cannot be done.
fn born_in_group(shared: &Shared<'_>, stack: &mut Stack) -> Option<libc::pid_t> {
    let [procs] = shared.plan.groups else {
        return None;
    };
    let directory = birth::directory(procs)?;
    shared.moves.set(false);
    let argument = std::ptr::from_ref(shared).cast_mut().cast();
    // SAFETY: the stack is used by one child at a time, since this thread does not go on before the child has left it
    // (CLONE_VFORK). `shared` lives that long. `child` makes only system calls on what was prepared, and ends itself.
    let pid = unsafe { birth::clone_into(&directory, &mut stack.memory, child, argument) };
    if pid <= 0 {
        shared.moves.set(true);
        return None;
    }
    libc::pid_t::try_from(pid).ok()
}

/// Starts the child where we are; it moves itself.
fn moved_into_groups(shared: &Shared<'_>, stack: &mut Stack) -> io::Result<libc::pid_t> {
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let argument = std::ptr::from_ref(shared).cast_mut().cast();
    // SAFETY: as in `born_in_group`.
    system::check(unsafe { libc::clone(child, stack.top(), flags, argument) })
}

/// No signal handler may run in a child that shares our memory.
struct BlockedSignals {
    before: libc::sigset_t,
}

impl BlockedSignals {
    fn all() -> BlockedSignals {
        // SAFETY: all-zero is a valid value; both sets are our own.
        unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            let mut before: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_BLOCK, &all, &mut before);
            BlockedSignals { before }
        }
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        // SAFETY: the set is our own.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, std::ptr::null_mut()) };
    }
}

extern "C" fn child(argument: *mut c_void) -> c_int {
    // SAFETY: `spawn` gave this pointer and waits while it is used.
    let shared = unsafe { &*argument.cast_const().cast::<Shared>() };
    // SAFETY: this is the child of `spawn`.
    let failure = unsafe {
        match prepare(shared.plan, shared.moves.get()) {
            Err(errno) => Failure::Setup(errno),
            Ok(()) => Failure::Execute(execute(shared)),
        }
    };
    shared.failure.set(Some(failure));
    let (Failure::Setup(errno) | Failure::Execute(errno)) = failure;
    // SAFETY: ends the child without touching what it shares with the parent.
    unsafe { libc::_exit(errno) }
}

/// # Safety
/// Only in the child: changes the identity, the descriptors and the signals of the calling process.
unsafe fn prepare(plan: &Plan, moves: bool) -> Result<(), i32> {
    // SAFETY: system calls on prepared memory; see above.
    unsafe {
        must(libc::setsid())?;
        if moves {
            for group in plan.groups {
                join(group)?;
            }
        }
        if plan.terminal {
            must(libc::ioctl(plan.streams[0], libc::TIOCSCTTY, 0))?;
        }
        for (target, source) in (0..).zip(plan.streams) {
            must(libc::dup2(source, target))?;
        }
        if let Some(mounts) = plan.mounts {
            must(libc::setns(mounts, libc::CLONE_NEWNS))?;
            must(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        }
        libc::umask(plan.umask);
        for (resource, soft) in plan.limits {
            limit(*resource, *soft);
        }
        // A machine may have lost these CPUs; the task runs all the same.
        let is_bound = plan.affinity.is_empty()
            || libc::syscall(libc::SYS_sched_setaffinity, 0, plan.affinity.len(), plan.affinity.as_ptr()) >= 0;
        let has_memory = plan.memory.is_none_or(|(policy, mask)| bind_memory(policy, mask));
        if let Some((uid, gid, groups)) = plan.identity {
            // Raw calls: the C library's would tell "all threads", which are the supervisor's.
            must_long(libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()))?;
            must_long(libc::syscall(libc::SYS_setresgid, gid, gid, gid))?;
            must_long(libc::syscall(libc::SYS_setresuid, uid, uid, uid))?;
        }
        must(libc::fchdir(plan.work_dir))?;
        // Only now, for the number may be that of the directory.
        match plan.pmi {
            Some(PMI_DESCRIPTOR) => must(libc::fcntl(PMI_DESCRIPTOR, libc::F_SETFD, 0))?,
            Some(socket) => must(libc::dup2(socket, PMI_DESCRIPTOR))?,
            None => 0,
        };
        // After the change of identity, which clears it.
        must(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
        if libc::getppid() != plan.supervisor {
            return Err(libc::ESRCH);
        }
        reset_signals();
        write_decimal(plan.environment.pid_digits(), libc::getpid() as u32);
        if let Some((before, behind)) = plan.announcement {
            announce(before, plan.environment.pid_digits(), behind, is_bound);
        }
        if let Some((before, behind)) = plan.memory_announcement {
            announce(before, plan.environment.pid_digits(), behind, has_memory);
        }
        if !plan.notes.is_empty() {
            libc::write(2, plan.notes.as_ptr().cast(), plan.notes.len());
        }
    }
    Ok(())
}

/// A machine may lack these domains; the task runs all the same.
unsafe fn bind_memory(policy: c_int, mask: &[libc::c_ulong]) -> bool {
    // The kernel looks at one bit less than it is told.
    let bits = std::mem::size_of_val(mask) as libc::c_ulong * 8 + 1;
    // SAFETY: the mask is ours and as long as told; the policy is that of this task alone.
    unsafe { libc::syscall(libc::SYS_set_mempolicy, policy, mask.as_ptr(), bits) >= 0 }
}

/// One line, in one piece. Nobody may read it; the task runs all the same.
unsafe fn announce(before: &str, digits: *const c_char, behind: &str, is_bound: bool) {
    let end: &[u8] = if is_bound { b"\n" } else { b" FAILED\n" };
    let piece = |text: &[u8]| libc::iovec { iov_base: text.as_ptr().cast_mut().cast(), iov_len: text.len() };
    // SAFETY: `write_decimal` has put at least one digit there, and a NUL stands behind them.
    let number = unsafe { libc::iovec { iov_base: digits.cast_mut().cast(), iov_len: libc::strlen(digits) } };
    let pieces = [piece(before.as_bytes()), number, piece(behind.as_bytes()), piece(end)];
    // SAFETY: all pieces live until the call returns.
    unsafe { libc::writev(2, pieces.as_ptr(), pieces.len() as c_int) };
}

/// Gives the error number of the last program tried.
unsafe fn execute(shared: &Shared) -> i32 {
    let arguments = shared.arguments.as_ptr();
    let mut denied = false;
    let mut last = libc::ENOENT;
    for program in &shared.programs {
        if program.is_null() {
            break;
        }
        // SAFETY: the list has at least one place before its null: `Launcher` refuses empty commands. Only this child
        // uses it now.
        unsafe { arguments.cast_mut().write(*program) };
        for _ in 0..BUSY_TRIES_MAX {
            // SAFETY: all lists end with null and their strings with NUL.
            unsafe { libc::execve(*program, arguments, shared.plan.environment.as_ptr()) };
            last = errno();
            if last != libc::ETXTBSY {
                break;
            }
            let pause = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };
            // SAFETY: the time is our own; no remainder is asked for.
            unsafe { libc::nanosleep(&pause, std::ptr::null_mut()) };
        }
        match last {
            libc::ENOENT | libc::ENOTDIR => {}
            libc::EACCES => denied = true,
            _ => return last,
        }
    }
    if denied { libc::EACCES } else { last }
}

unsafe fn join(group: &CString) -> Result<(), i32> {
    // SAFETY: the path is NUL-terminated; the descriptor is closed again.
    unsafe {
        let fd = must(libc::open(group.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC))?;
        let written = libc::write(fd, c"0".as_ptr().cast(), 1);
        let error = errno();
        libc::close(fd);
        if written == 1 { Ok(()) } else { Err(error) }
    }
}

/// Sets the soft limit, or as much of it as the hard limit allows. Unknown resources are left alone.
unsafe fn limit(resource: u32, soft: u64) {
    // SAFETY: all-zero is a valid value, and the structure is our own.
    unsafe {
        let mut limit: libc::rlimit64 = std::mem::zeroed();
        let no_new = std::ptr::null::<libc::rlimit64>();
        if libc::syscall(libc::SYS_prlimit64, 0, resource, no_new, &mut limit) == 0 {
            limit.rlim_cur = soft.min(limit.rlim_max);
            libc::syscall(libc::SYS_prlimit64, 0, resource, &limit, std::ptr::null_mut::<libc::rlimit64>());
        }
    }
}

/// The supervisor ignores SIGPIPE and whatever it was told to ignore; programs expect the defaults, and none blocked.
unsafe fn reset_signals() {
    // SAFETY: all-zero is SIG_DFL with an empty mask; the sets are our own.
    unsafe {
        let default: libc::sigaction = std::mem::zeroed();
        for signal in 1..32 {
            libc::sigaction(signal, &default, std::ptr::null_mut());
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
    }
}

/// Writes `number` in decimal at `at`, which has room for ten digits.
unsafe fn write_decimal(at: *mut c_char, number: u32) {
    let mut divisor = 1_000_000_000;
    let mut length = 0;
    while divisor > 0 {
        let digit = (number / divisor % 10) as u8;
        if digit > 0 || length > 0 || divisor == 1 {
            // SAFETY: at most ten digits are written.
            unsafe { at.add(length).write((b'0' + digit) as c_char) };
            length += 1;
        }
        divisor /= 10;
    }
}

fn must(result: c_int) -> Result<c_int, i32> {
    if result < 0 { Err(errno()) } else { Ok(result) }
}

fn must_long(result: libc::c_long) -> Result<(), i32> {
    if result < 0 { Err(errno()) } else { Ok(()) }
}

fn errno() -> i32 {
    // SAFETY: the location is this thread's own.
    unsafe { *libc::__errno_location() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_decimal() {
        for number in [0, 7, 10, 4_194_304, u32::MAX] {
            let mut room = [0 as c_char; 11];
            // SAFETY: there is room for ten digits and a NUL.
            unsafe { write_decimal(room.as_mut_ptr(), number) };
            let text: String = room.iter().take_while(|c| **c != 0).map(|c| *c as u8 as char).collect();
            assert_eq!(text, number.to_string());
        }
    }
}
