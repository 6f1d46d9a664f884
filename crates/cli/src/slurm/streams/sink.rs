//! Where a stream of a step ends up on the client's side.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::Context;
use nix::poll::{PollFd, PollFlags, PollTimeout};

/// The end of a stream.
#[derive(Debug)]
pub(crate) enum Sink {
    /// The client's own standard output.
    Stdout,
    /// The client's own standard error.
    Stderr,
    /// A file for all tasks together.
    File(File, String),
}

impl Sink {
    /// A file, emptied or continued.
    pub(crate) fn file(path: &Path, append: bool) -> std::io::Result<Sink> {
        let mut options = File::options();
        options.create(true).write(true).append(append).truncate(!append);
        Ok(Sink::File(options.open(path)?, path.display().to_string()))
    }

    /// A second way to the same end.
    pub(crate) fn try_clone(&self) -> std::io::Result<Sink> {
        Ok(match self {
            Sink::Stdout => Sink::Stdout,
            Sink::Stderr => Sink::Stderr,
            Sink::File(file, path) => Sink::File(file.try_clone()?, path.clone()),
        })
    }

    /// Writes all of `bytes`. A reader of ours that has gone is no error of the step.
    pub(super) fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let (written, name) = match self {
            Sink::Stdout => {
                // Straight to the descriptor: what looks for ends of lines would read all of it once more.
                let stdout = std::io::stdout().lock();
                (write_all(&stdout, bytes), "standard output")
            }
            Sink::Stderr => (write_all(&std::io::stderr().lock(), bytes), "standard error"),
            Sink::File(file, path) => (file.write_all(bytes), path.as_str()),
        };
        match written {
            Err(problem) if problem.kind() == ErrorKind::BrokenPipe => Ok(()),
            result => result.with_context(|| format!("cannot write to {name}")),
        }
    }

    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        match self {
            Sink::File(file, path) => file.flush().with_context(|| format!("cannot write to {path}")),
            Sink::Stdout | Sink::Stderr => Ok(()),
        }
    }
}

fn write_all(end: &impl AsFd, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match nix::unistd::write(end, bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(nix::errno::Errno::EINTR) => {}
            // Whoever gave it to us does not want to wait; we do.
            Err(nix::errno::Errno::EAGAIN) => {
                let mut waiting = [PollFd::new(end.as_fd(), PollFlags::POLLOUT)];
                match nix::poll::poll(&mut waiting, PollTimeout::NONE) {
                    Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}
