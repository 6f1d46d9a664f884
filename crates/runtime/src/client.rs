//! The agent's side of the connection to its supervisor: start it if need be, connect, talk.
//!
//! Blocking on purpose, so that no runtime is imposed: an asynchronous agent gives [`NoticeReader::next`] a thread
//! of its own and sends requests from where it likes (a request is one small write to a local socket).
//!
//! ```no_run
//! # use std::path::Path; use muster_runtime::{client, protocol::*};
//! # fn main() -> std::io::Result<()> {
//! let dir = Path::new("/var/spool/muster");
//! let program = [std::env::current_exe()?.into_os_string(), "supervisor".into()];
//! let (requests, mut notices, hello) = client::connect_or_start(dir, &program, &Default::default())?;
//! requests.send(&Request::Acknowledge { keys: hello.ends.iter().map(|end| end.key).collect() })?;
//! while let Some(notice) = notices.next()? { println!("{notice:?}"); }
//! # Ok(()) }
//! ```

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use muster_model::ids::BlobId;

use crate::frame::{self, FrameReader};
use crate::protocol::{Hello, Notice, Request};
use crate::supervisor::Options;

/// Name of the socket in the spool directory.
pub const SOCKET_NAME: &str = "supervisor.sock";

/// How long a supervisor may take until it listens. It first clears away what a killed predecessor left behind.
const START_SECONDS_MAX: u64 = 30;

/// How often to try again to start one.
const START_INTERVAL: Duration = Duration::from_secs(1);

/// How long to wait between looks at a socket that is about to appear.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// Sends requests. Clones share the connection; each request is written whole.
#[derive(Debug, Clone)]
pub struct RequestWriter {
    stream: Arc<Mutex<UnixStream>>,
}

impl RequestWriter {
    /// Sends one request. For [`Request::Put`] use [`RequestWriter::put`].
    pub fn send(&self, request: &Request) -> io::Result<()> {
        self.write(&frame::encode(request, &[])?)
    }

    /// Sends several requests with one write.
    pub fn send_all<'a>(&self, requests: impl IntoIterator<Item = &'a Request>) -> io::Result<()> {
        let mut bytes = Vec::new();
        for request in requests {
            frame::encode_into(&mut bytes, request, &[])?;
        }
        self.write(&bytes)
    }

    /// Gives a script or an environment to the supervisor.
    pub fn put(&self, id: &BlobId, bytes: &[u8]) -> io::Result<()> {
        self.write(&frame::encode(&Request::Put { id: id.clone() }, bytes)?)
    }

    /// Closes the connection in both directions; the reader then sees the end. Units go on.
    pub fn close(&self) {
        let _ = self.lock().shutdown(std::net::Shutdown::Both);
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        self.lock().write_all(bytes)
    }

    fn lock(&self) -> MutexGuard<'_, UnixStream> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Receives notices, one after the other.
#[derive(Debug)]
pub struct NoticeReader {
    stream: UnixStream,
    frames: FrameReader,
}

impl NoticeReader {
    /// Waits for the next notice; `None` when the supervisor is gone or another agent has taken over.
    #[expect(clippy::should_implement_trait, reason = "an iterator would hide the difference of end and error")]
    pub fn next(&mut self) -> io::Result<Option<Notice>> {
        loop {
            if let Some((document, _)) = self.frames.next_frame()? {
                return serde_json::from_slice(&document).map(Some).map_err(io::Error::from);
            }
            let mut buffer = [0; 64 << 10];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(None),
                Ok(count) => self.frames.feed(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// As [`NoticeReader::next`], but gives up with [`io::ErrorKind::TimedOut`].
    pub fn next_within(&mut self, limit: Duration) -> io::Result<Option<Notice>> {
        self.stream.set_read_timeout(Some(limit.max(Duration::from_millis(1))))?;
        let result = self.next();
        self.stream.set_read_timeout(None)?;
        result.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => io::Error::new(io::ErrorKind::TimedOut, "no notice from the supervisor"),
            _ => error,
        })
    }
}

/// Connects to the supervisor of `dir`, and starts one with `program` if none listens.
///
/// `program` is the command to which `--dir DIR` is added. It is detached from the caller: its own session, no
/// terminal, and the caller is not its parent. `options` take effect only where a supervisor is started.
pub fn connect_or_start(
    dir: &Path,
    program: &[OsString],
    options: &Options,
) -> io::Result<(RequestWriter, NoticeReader, Hello)> {
    match connect(dir) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {}
        other => return other,
    }
    options.save(dir)?;
    let deadline = Instant::now() + Duration::from_secs(START_SECONDS_MAX);
    let mut next_start = Instant::now();
    loop {
        // A supervisor in the middle of its retirement makes a new one go at once; so it is tried again.
        if Instant::now() >= next_start {
            start_detached(dir, program)?;
            next_start = Instant::now() + START_INTERVAL;
        }
        match connect(dir) {
            Ok(connection) => return Ok(connection),
            Err(error) if Instant::now() > deadline => {
                let log = dir.join(crate::supervisor::LOG_NAME);
                let hint = format!("supervisor did not start, see {}: {error}", log.display());
                return Err(io::Error::new(error.kind(), hint));
            }
            Err(_) => std::thread::park_timeout(LOOK_INTERVAL),
        }
    }
}

/// Connects to the supervisor of `dir` and takes over from an agent connected before.
///
/// Fails with `NotFound` or `ConnectionRefused` where none listens.
pub fn connect(dir: &Path) -> io::Result<(RequestWriter, NoticeReader, Hello)> {
    let stream = connect_socket(&dir.join(SOCKET_NAME))?;
    let writer = RequestWriter { stream: Arc::new(Mutex::new(stream.try_clone()?)) };
    let mut reader = NoticeReader { stream, frames: FrameReader::default() };
    match reader.next_within(Duration::from_secs(START_SECONDS_MAX))? {
        Some(Notice::Hello(hello)) => Ok((writer, reader, *hello)),
        Some(other) => Err(io::Error::new(io::ErrorKind::InvalidData, format!("expected a hello, got {other:?}"))),
        None => Err(io::Error::new(io::ErrorKind::ConnectionRefused, "the supervisor closed the connection")),
    }
}

/// Socket addresses hold about 100 bytes; a longer path is reached through the open directory.
fn connect_socket(path: &Path) -> io::Result<UnixStream> {
    crate::system::with_short_socket_path(path, |short: PathBuf| UnixStream::connect(short))
}

/// Runs `program --dir DIR` so that it belongs to nobody: the child makes a session, starts the program and exits.
fn start_detached(dir: &Path, program: &[OsString]) -> io::Result<()> {
    let Some((name, arguments)) = program.split_first() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no program to start as supervisor"));
    };
    let log = std::fs::OpenOptions::new().create(true).append(true).open(dir.join(crate::supervisor::LOG_NAME))?;
    let mut command = Command::new(name);
    command.args(arguments).arg("--dir").arg(dir).current_dir("/");
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    // SAFETY: the closure makes only system calls that are safe after fork.
    unsafe { command.pre_exec(crate::system::detach) };
    // The detaching child exits at once; the program itself goes on as an orphan.
    match command.status() {
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    }
}
