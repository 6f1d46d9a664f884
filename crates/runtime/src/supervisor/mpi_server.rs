//! Starts the PMIx server of a step on this node, and hears from it what tasks are to have in their environments.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::environment::Environment;
use super::files;
use super::spawn::{self, Plan, Stack};
use crate::pmix::{Decoder, Head, Message, SERVER_ARGUMENT, Setup, StepFacts};
use crate::system;
use crate::unit::{LaunchUnit, UnitKey};

/// How long the library may take to get ready. It takes a tenth of a second on a machine that does little else.
const PATIENCE: Duration = Duration::from_secs(60);

/// This program, whatever has become of its file.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// A running server.
pub(super) struct MpiServer {
    /// The way to it, which is the relay's from now on. It ends when this is closed.
    pub(super) pipe: OwnedFd,
    /// What each rank is to have in its environment.
    pub(super) variables: BTreeMap<u32, Vec<String>>,
}

/// Its directory in the spool: `pmix.12.0`.
fn directory(spool: &Path, key: UnitKey) -> PathBuf {
    spool.join(format!("pmix.{}.{}", key.job_id, key.step))
}

/// Removes that directory, where there is one.
pub(super) fn remove_directory(spool: &Path, key: UnitKey) {
    let dir = directory(spool, key);
    match fs::remove_dir_all(&dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, directory = %dir.display(), "cannot remove the directory of a PMIx server");
        }
        _ => {}
    }
}

/// Starts it. `no_files`: tasks see other files than it does.
///
/// # Errors
/// With words for the user: the library is not there, or refuses.
pub(super) fn start(
    spool: &Path,
    unit: &LaunchUnit,
    facts: &StepFacts,
    no_files: bool,
    stack: &mut Stack,
) -> io::Result<MpiServer> {
    remove_directory(spool, unit.key);
    let directory = directory(spool, unit.key);
    fs::DirBuilder::new().mode(0o700).create(&directory)?;
    if files::must_switch(&unit.user) {
        std::os::unix::fs::chown(&directory, Some(unit.user.uid), Some(unit.user.gid))?;
    }
    let (ours, theirs) = system::socket_pair()?;
    let pid = execute(unit, facts, &directory, no_files, &theirs, stack)?;
    drop(theirs);
    introduce(unit, facts, &directory, no_files, ours).inspect_err(|error| {
        // One that hangs in the library does not notice that its pipe is closed. One that has ended may have been waited for.
        if error.kind() == io::ErrorKind::TimedOut {
            // SAFETY: a plain system call on the number of our own child, whose end of the pipe was open a moment ago.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
    })
}

/// Tells the server what it is for, and waits until it is ready.
fn introduce(
    unit: &LaunchUnit,
    facts: &StepFacts,
    directory: &Path,
    no_files: bool,
    ours: OwnedFd,
) -> io::Result<MpiServer> {
    let setup = Setup {
        facts: facts.clone(),
        directory: directory.display().to_string(),
        uid: unit.user.uid,
        gid: unit.user.gid,
        groups: files::all_groups(&unit.user),
        no_files,
    };
    write_all(&ours, &Message::of(Head::Setup(Box::new(setup))).encode())?;
    match first_message(&ours, Instant::now() + PATIENCE)?.head {
        Head::Ready(variables) => {
            let mut variables: BTreeMap<u32, Vec<String>> = variables.into_iter().collect();
            if no_files {
                variables.values_mut().for_each(|own| own.push(HASH_ONLY.to_owned()));
            }
            Ok(MpiServer { pipe: ours, variables })
        }
        Head::Failed(reason) => Err(io::Error::other(reason)),
        _ => Err(io::Error::other("its server does not keep to the protocol")),
    }
}

/// Makes the library tell tasks everything over their connection.
const HASH_ONLY: &str = "PMIX_MCA_gds=hash";

/// The library looks for settings and components in the home of whose rights it has; what a user keeps there is not to run
/// outside of the job.
const NO_HOME: &[u8] = b"HOME=/nonexistent";

fn execute(
    unit: &LaunchUnit,
    facts: &StepFacts,
    directory: &Path,
    no_files: bool,
    pipe: &OwnedFd,
    stack: &mut Stack,
) -> io::Result<libc::pid_t> {
    let text = |text: &[u8]| CString::new(text).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    let arguments = [text(OWN_PROGRAM.as_bytes())?, text(SERVER_ARGUMENT.as_bytes())?];
    let temporary = [b"TMPDIR=", directory.as_os_str().as_bytes()].concat();
    let mut additions: Vec<&[u8]> = vec![b"PATH=/usr/local/bin:/usr/bin:/bin", NO_HOME, &temporary];
    if facts.settings.debug {
        additions.push(b"PMIX_DEBUG=1");
    }
    if no_files {
        additions.push(HASH_ONLY.as_bytes());
    }
    additions.extend(facts.settings.environment.iter().map(String::as_bytes));
    let environment = Environment::new(None, &additions);
    let null = fs::OpenOptions::new().write(true).open("/dev/null")?;
    let root = fs::File::open("/")?;
    let streams = [pipe.as_raw_fd(), null.as_raw_fd(), libc::STDERR_FILENO];
    // It takes over the user's identity when it runs, so that others of this user cannot get at it.
    let plan = Plan::helper(&arguments, &environment, streams, root.as_raw_fd(), 0o077);
    let child = spawn::spawn(&plan, stack)?;
    tracing::debug!(unit = %unit.key, pid = child.pid, "PMIx server");
    match child.failure {
        None => Ok(child.pid),
        Some(spawn::Failure::Setup(errno) | spawn::Failure::Execute(errno)) => Err(io::Error::from_raw_os_error(errno)),
    }
}

fn write_all(pipe: &OwnedFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = system::write(pipe.as_raw_fd(), bytes)?;
        bytes = bytes.get(count..).unwrap_or_default();
    }
    Ok(())
}

/// It says nothing more before a task has been started.
fn first_message(pipe: &OwnedFd, until: Instant) -> io::Result<Message> {
    let mut decoder = Decoder::default();
    let mut buffer = vec![0; 64 << 10];
    loop {
        if let Some(message) = decoder.next_message().map_err(io::Error::other)? {
            return Ok(message);
        }
        let left = until.saturating_duration_since(Instant::now()).as_millis();
        let mut fds = [system::pollfd(pipe.as_raw_fd(), libc::POLLIN)];
        system::poll(&mut fds, i32::try_from(left).unwrap_or(i32::MAX))?;
        if fds[0].revents == 0 {
            if Instant::now() >= until {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "its server does not get ready"));
            }
            continue;
        }
        match system::read(pipe.as_raw_fd(), &mut buffer)? {
            0 => return Err(io::Error::other("its server has ended")),
            count => decoder.feed(buffer.get(..count).unwrap_or_default()),
        }
    }
}
