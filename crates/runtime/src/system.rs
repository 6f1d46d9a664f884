//! Thin wrappers around system calls that the standard library does not offer, with errors as [`io::Error`].

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use muster_model::time::Timestamp;

/// Longest path that fits into a Unix socket address with its closing NUL.
const SOCKET_PATH_MAX: usize = 107;

/// The result of a system call that gives -1 on error.
pub(crate) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// No file that is open now stays open in programs that are executed, but for the standard streams.
pub(crate) fn keep_from_children() {
    // SAFETY: only sets a flag of descriptors.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result < 0 {
        // Before Linux 5.11 one by one.
        let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
        let numbers = open.filter_map(|entry| entry.file_name().to_str()?.parse::<RawFd>().ok());
        for fd in numbers.filter(|fd| *fd > 2).collect::<Vec<_>>() {
            // SAFETY: as above; a number that is closed by now gives an error.
            unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
}

/// Mounts a file system.
pub(crate) fn mount(source: &str, target: &Path, kind: &str, flags: libc::c_ulong, options: &str) -> io::Result<()> {
    let text = |bytes: &[u8]| CString::new(bytes).map_err(io::Error::from);
    let (source, kind, options) = (text(source.as_bytes())?, text(kind.as_bytes())?, text(options.as_bytes())?);
    let target = text(target.as_os_str().as_bytes())?;
    // SAFETY: all strings end with NUL and live until the call returns.
    let result =
        unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, options.as_ptr().cast()) };
    check(result).map(drop)
}

/// Wall clock time.
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Error number of `error`, 0 where there is none.
pub(crate) fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(0)
}

/// Calls `use_path` with a path that fits into a socket address: `path` itself, or one through `/proc/self/fd`.
pub(crate) fn with_short_socket_path<T>(path: &Path, use_path: impl FnOnce(PathBuf) -> io::Result<T>) -> io::Result<T> {
    if path.as_os_str().as_bytes().len() <= SOCKET_PATH_MAX {
        return use_path(path.to_owned());
    }
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "socket path without directory"));
    };
    let dir = std::fs::File::open(dir)?;
    use_path(Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name))
}

/// To be called in a fresh child: makes a session, and leaves only the grandchild, which so belongs to nobody.
///
/// Makes only system calls that are safe after fork.
pub(crate) fn detach() -> io::Result<()> {
    // SAFETY: plain system calls without pointers; the parent part ends at once without running destructors.
    unsafe {
        check(libc::setsid())?;
        match check(libc::fork())? {
            0 => Ok(()),
            _ => libc::_exit(0),
        }
    }
}

/// A pair of pipe ends that are closed on exec: (read, write).
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds: [RawFd; 2] = [-1; 2];
    // SAFETY: the array has room for the two descriptors; on success both are ours alone.
    unsafe {
        check(libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC))?;
        Ok((OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])))
    }
}

/// Two connected sockets that are closed on exec.
pub(crate) fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds: [RawFd; 2] = [-1; 2];
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
    // SAFETY: the array has room for the two descriptors; on success both are ours alone.
    unsafe {
        check(libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()))?;
        Ok((OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])))
    }
}

/// Makes reads and writes of `fd` return instead of waiting.
pub(crate) fn set_nonblocking(fd: RawFd) -> io::Result<()> {
    // SAFETY: plain system calls on a descriptor number; a bad number gives an error.
    unsafe {
        let flags = check(libc::fcntl(fd, libc::F_GETFL))?;
        check(libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK))?;
    }
    Ok(())
}

/// Reads once. `Ok(0)` is the end.
pub(crate) fn read(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the buffer is ours and as long as told.
    let count = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Reads what a helper prints until `is_end` says so of what is kept and of what came last, or the end has come; `bytes_max` are kept. What a
/// helper leaves behind may keep its output open, so the end may never come.
///
/// # Errors
/// `TimedOut`, also where something is printed without end.
pub(crate) fn read_until(
    read: &OwnedFd,
    until: Instant,
    bytes_max: usize,
    is_end: impl Fn(&[u8], &[u8]) -> bool,
) -> io::Result<Vec<u8>> {
    let mut output = Vec::new();
    let mut buffer = vec![0; 16 << 10];
    loop {
        let left = until.saturating_duration_since(Instant::now()).as_millis();
        let mut fds = [pollfd(read.as_raw_fd(), libc::POLLIN)];
        poll(&mut fds, i32::try_from(left).unwrap_or(i32::MAX))?;
        if Instant::now() >= until {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if fds[0].revents == 0 {
            continue;
        }
        let count = self::read(read.as_raw_fd(), &mut buffer)?;
        let part = buffer.get(..count).unwrap_or_default();
        if output.len() < bytes_max {
            output.extend_from_slice(part);
        }
        if part.is_empty() || is_end(&output, part) {
            return Ok(output);
        }
    }
}

/// Reads once, at most `most` bytes, and appends them. `Ok(0)` is the end.
pub(crate) fn append(fd: RawFd, bytes: &mut Vec<u8>, most: usize) -> io::Result<usize> {
    bytes.reserve(most);
    let room = bytes.spare_capacity_mut();
    let length = room.len().min(most);
    // SAFETY: the room is ours and at least as long as told; what the kernel has written there is not read before.
    let count = unsafe { libc::read(fd, room.as_mut_ptr().cast(), length) };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the kernel has written so many bytes behind those that were there.
    unsafe { bytes.set_len(bytes.len() + count) };
    Ok(count)
}

/// Gives a pipe room for so many bytes, if it may have as many: a writer then waits less often for its reader.
pub(crate) fn widen_pipe(fd: RawFd, bytes: i32) {
    // SAFETY: a plain system call on a descriptor number.
    unsafe { libc::fcntl(fd, libc::F_SETPIPE_SZ, bytes) };
}

/// Writes once.
pub(crate) fn write(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the bytes are ours and as many as told.
    let count = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Waits until one of `fds` is ready or `timeout_ms` (negative for ever) has passed. An interruption counts as ready.
pub(crate) fn poll(fds: &mut [libc::pollfd], timeout_ms: i32) -> io::Result<()> {
    // SAFETY: the slice is ours and as long as told.
    match check(unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout_ms) }) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        _ => Ok(()),
    }
}

/// An entry for [`poll`].
pub(crate) fn pollfd(fd: RawFd, events: libc::c_short) -> libc::pollfd {
    libc::pollfd { fd, events, revents: 0 }
}

/// Sends a signal to a process, or with a negative number to a process group. That it is gone is no error.
pub(crate) fn kill(pid: i32, signal: i32) {
    // SAFETY: a plain system call without pointers.
    unsafe { libc::kill(pid, signal) };
}

/// Whether a process catches or ignores a signal.
pub(crate) fn minds(pid: i32, signal: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let masks = status.lines().filter_map(|line| line.strip_prefix("SigIgn:").or_else(|| line.strip_prefix("SigCgt:")));
    masks.filter_map(|mask| u64::from_str_radix(mask.trim(), 16).ok()).any(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Whether an error only says "not now".
pub(crate) fn is_retry(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// User of the process at the other end of a Unix socket.
pub(crate) fn peer_uid(fd: RawFd) -> io::Result<u32> {
    // SAFETY: all-zero is a valid value; the structure is our own and as long as told.
    unsafe {
        let mut peer: libc::ucred = std::mem::zeroed();
        let mut length = size_of::<libc::ucred>() as libc::socklen_t;
        let place = std::ptr::from_mut(&mut peer).cast();
        check(libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERCRED, place, &mut length))?;
        Ok(peer.uid)
    }
}

/// The C library's words for an error number, as Slurm's messages end with.
pub(crate) fn error_text(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    let suffix = format!(" (os error {errno})");
    text.strip_suffix(suffix.as_str()).unwrap_or(&text).to_owned()
}

/// This moment as the machine's clock shows it: `YYYY-MM-DDTHH:MM:SS`.
pub(crate) fn local_time() -> String {
    let seconds = now().0.div_euclid(1000);
    // SAFETY: all-zero is a valid value of this plain C structure.
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both point to our own variables; this form of the function shares nothing between threads.
    unsafe { libc::localtime_r(&seconds, &mut parts) };
    let (year, month) = (parts.tm_year + 1900, parts.tm_mon + 1);
    let (day, hour, minute, second) = (parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}
