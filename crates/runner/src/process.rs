//! Starting a process as a user of the container, in a session of its own.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::account::Account;

/// The search path of a session whose image sets none.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What its streams are.
pub(crate) enum Streams {
    /// All three are the terminal whose processes' end this is.
    Terminal(OwnedFd),
    /// Three pipes.
    Pipes,
    /// Two pipes; nothing to read.
    OutputOnly,
}

/// The environment of processes of `account`: what the container has, what an account has, and `given` over both.
pub(crate) fn environment(account: &Account, given: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    all.entry("PATH".to_owned()).or_insert_with(|| PATH.to_owned());
    let of_account = [
        ("HOME", account.home.to_string_lossy().into_owned()),
        ("USER", account.name.clone()),
        ("LOGNAME", account.name.clone()),
        ("SHELL", account.usable_shell().to_string_lossy().into_owned()),
    ];
    all.extend(of_account.map(|(name, value)| (name.to_owned(), value)));
    all.extend(given.iter().map(|(name, value)| (name.clone(), value.clone())));
    all
}

/// Starts `command`, whose program, arguments and environment are set, as `account` in `directory`.
///
/// # Errors
/// When the program cannot be started, or the user cannot be become or may not enter the directory.
pub(crate) fn start(
    command: &mut Command,
    account: &Account,
    directory: Option<&Path>,
    streams: Streams,
) -> io::Result<Child> {
    let is_terminal = matches!(streams, Streams::Terminal(_));
    match streams {
        Streams::Terminal(end) => {
            command.stdin(Stdio::from(end.try_clone()?)).stdout(Stdio::from(end.try_clone()?)).stderr(Stdio::from(end));
        }
        Streams::Pipes => {
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        Streams::OutputOnly => {
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        }
    }
    let directory = directory.map(|path| CString::new(path.as_os_str().as_bytes())).transpose()?;
    let (uid, gid, groups) = (account.uid, account.gid, account.groups.clone());
    // Who is that user already needs no right to become it, which a rootless container does not give.
    let becomes = (uid, gid) != (nix::unistd::Uid::effective().as_raw(), nix::unistd::Gid::effective().as_raw());
    // SAFETY: between fork and exec only system calls on numbers and on memory that is there already.
    unsafe {
        command.pre_exec(move || {
            check(libc::setsid())?;
            if is_terminal {
                check(libc::ioctl(io::stdin().as_raw_fd(), libc::TIOCSCTTY, 0))?;
            }
            if becomes {
                check(libc::setgroups(groups.len(), groups.as_ptr()))?;
                check(libc::setgid(gid))?;
                check(libc::setuid(uid))?;
            }
            if let Some(directory) = &directory {
                check(libc::chdir(directory.as_ptr()))?;
            }
            Ok(())
        });
    }
    command.spawn()
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sends a signal to a process and all of its group. That they have gone is no error.
pub(crate) fn signal_group(leader: Option<u32>, signal: libc::c_int) {
    if let Some(pid) = leader.and_then(|pid| i32::try_from(pid).ok()) {
        // SAFETY: a system call on numbers.
        unsafe { libc::kill(-pid, signal) };
    }
}

/// The exit code as a shell tells it: 128 and the signal where there was one.
pub(crate) fn exit_code(status: std::process::ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    u8::try_from(code & 0xff).unwrap_or(u8::MAX)
}
