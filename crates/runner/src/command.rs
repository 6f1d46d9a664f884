//! The job's own command: started, listened to, and ended when asked.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::process::{Child, Command};

use crate::account::Account;
use crate::job::Job;
use crate::logs::Logs;
use crate::process::{self, Streams};
use crate::terminal::{self, Size};

/// Bytes read at once.
const PIECE_BYTES: usize = 64 << 10;

/// A started command and the threads that listen to it.
pub(crate) struct Running {
    child: Child,
    grace: Duration,
    listeners: Vec<JoinHandle<()>>,
    /// Closed when the command has ended: listeners then take what is there, and no longer wait for more.
    over: OwnedFd,
}

/// Where output goes besides the logs.
#[derive(Debug, Clone, Copy)]
enum Onward {
    Output,
    Error,
}

/// Starts the command of `job`.
///
/// # Errors
/// When it cannot be started: what, and where.
pub(crate) fn start(job: &Job, account: &Account, logs: &Arc<Logs>) -> Result<Running> {
    let directory = job.working_directory.as_deref();
    if let Some(directory) = directory.filter(|directory| !directory.exists()) {
        make_directory(directory, account)?;
    }
    let (terminal, streams) = if job.terminal {
        let (ours, theirs) = terminal::open(Size::default(), account.uid).context("cannot make a terminal")?;
        (Some(ours), Streams::Terminal(theirs))
    } else {
        (None, Streams::OutputOnly)
    };
    let environment = process::environment(account, &job.environment);
    let mut command = Command::new(&job.command[0]);
    command.args(&job.command[1..]).env_clear().envs(&environment);
    if job.terminal && !environment.contains_key("TERM") {
        command.env("TERM", "xterm-256color");
    }
    let mut child = process::start(&mut command, account, directory, streams).with_context(|| {
        let place = directory.map(|path| format!(" in {}", path.display())).unwrap_or_default();
        format!("cannot start {:?}{place} as {}", job.command[0], account.name)
    })?;
    // The builder holds the processes' end of the terminal, which must be theirs alone.
    drop(command);

    let (over_seen, over) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).context("cannot make a pipe")?;
    let mut sources: Vec<(OwnedFd, Onward)> = Vec::new();
    sources.extend(terminal.map(|ours| (ours, Onward::Output)));
    if let Some(output) = child.stdout.take() {
        sources.push((blocking(output.into_owned_fd())?, Onward::Output));
    }
    if let Some(error) = child.stderr.take() {
        sources.push((blocking(error.into_owned_fd())?, Onward::Error));
    }
    let listeners = sources.into_iter().map(|(source, onward)| {
        let (logs, over) = (Arc::clone(logs), over_seen.try_clone()?);
        Ok(std::thread::spawn(move || listen(&source, &over, onward, &logs)))
    });
    let listeners = listeners.collect::<io::Result<Vec<_>>>().context("cannot listen to the command")?;
    Ok(Running { child, grace: Duration::from_secs(job.grace_seconds), listeners, over })
}

/// Makes a directory that the user can write to, as Docker does for a working directory that is not there.
fn make_directory(directory: &std::path::Path, account: &Account) -> Result<()> {
    let told = || format!("cannot make the working directory {}", directory.display());
    std::fs::create_dir_all(directory).with_context(told)?;
    if nix::unistd::Uid::effective().is_root() {
        std::os::unix::fs::chown(directory, Some(account.uid), Some(account.gid)).with_context(told)?;
    }
    Ok(())
}

/// The threads here wait in `poll`, and then read what is there.
fn blocking(descriptor: io::Result<OwnedFd>) -> Result<OwnedFd> {
    let descriptor = descriptor.context("cannot take over the command's output")?;
    let flags = nix::fcntl::OFlag::empty();
    nix::fcntl::fcntl(descriptor.as_fd(), nix::fcntl::FcntlArg::F_SETFL(flags))?;
    Ok(descriptor)
}

/// Passes what comes from `source` on until it ends, or until the command is over and nothing is left.
fn listen(source: &OwnedFd, over: &OwnedFd, onward: Onward, logs: &Logs) {
    let mut piece = vec![0; PIECE_BYTES];
    let mut is_heard = true;
    loop {
        let mut waited = [PollFd::new(source.as_fd(), PollFlags::POLLIN), PollFd::new(over.as_fd(), PollFlags::POLLIN)];
        match poll(&mut waited, PollTimeout::NONE) {
            Err(nix::errno::Errno::EINTR) => continue,
            Err(_) => return,
            Ok(_) => {}
        }
        if !waited[0].any().unwrap_or(false) {
            return;
        }
        let Ok(count @ 1..) = nix::unistd::read(source, &mut piece) else { return };
        let bytes = &piece[..count];
        if let Err(error) = logs.append(bytes, now_ms()) {
            tracing::warn!("{count} bytes of output are not kept for readers: {error}");
        }
        // Whoever started this may no longer listen; the readers of the logs still do.
        is_heard = is_heard && pass_on(onward, bytes).is_ok();
    }
}

fn pass_on(onward: Onward, bytes: &[u8]) -> io::Result<()> {
    match onward {
        Onward::Output => {
            let mut output = io::stdout().lock();
            output.write_all(bytes)?;
            output.flush()
        }
        Onward::Error => io::stderr().lock().write_all(bytes),
    }
}

/// Milliseconds since 1970.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl Running {
    /// Waits for the command's end; when `stop` yields a signal, sends it to the command and, after the time of
    /// grace, ends it. Returns the exit code, when all of its output has been passed on.
    ///
    /// # Errors
    /// When the end cannot be waited for.
    pub(crate) async fn end(mut self, mut stop: impl AsyncFnMut() -> libc::c_int) -> Result<u8> {
        let pid = self.child.id();
        let mut deadline = None;
        let status = loop {
            let late = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                status = self.child.wait() => break status.context("cannot wait for the command")?,
                signal = stop() => {
                    process::signal_group(pid, signal);
                    deadline.get_or_insert_with(|| tokio::time::Instant::now() + self.grace);
                }
                () = late => {
                    process::signal_group(pid, libc::SIGKILL);
                    deadline = None;
                }
            }
        };
        drop(self.over);
        let listeners = self.listeners;
        let joined = tokio::task::spawn_blocking(move || listeners.into_iter().try_for_each(JoinHandle::join));
        if joined.await.is_ok_and(|result| result.is_err()) {
            tracing::warn!("a listener to the command's output has failed; its last output may be missing");
        }
        Ok(process::exit_code(status))
    }
}
