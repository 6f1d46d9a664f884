//! Speaking with Docker or Podman: HTTP over a Unix socket, one connection for each request.
//!
//! The supervisor has no async runtime, and what is asked here is little; so requests are written and answers read in plain
//! blocking calls that look up now and then, since a daemon may hang and a user may not want to wait any longer.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::supervisor::namespace;
use crate::system;

/// Where a daemon listens, unless the node says otherwise.
const SOCKETS: [&str; 2] = ["/var/run/docker.sock", "/run/podman/podman.sock"];

/// How often a wait looks up.
const LOOK_UP: Duration = Duration::from_millis(200);

/// Largest head of an answer.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Header fields of an answer.
const HEADERS_MAX: usize = 64;

/// Largest document that is read whole.
const DOCUMENT_BYTES_MAX: u64 = 16 << 20;

/// The status that says that something is not there.
pub(crate) const ABSENT: u16 = 404;

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    /// There is none, or it does not speak as it should.
    #[error("cannot talk with the container engine at {socket}: {error}")]
    Away {
        /// Where it was looked for.
        socket: String,
        /// What went wrong.
        error: io::Error,
    },
    /// It says no.
    #[error("{message}")]
    Refused {
        /// Status of the answer.
        status: u16,
        /// What it says.
        message: String,
    },
    /// Nobody wants it any more.
    #[error("cancelled")]
    Cancelled,
}

impl EngineError {
    /// Whether it says that something is not there.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(self, EngineError::Refused { status: ABSENT, .. })
    }
}

/// How long a request may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience<'a> {
    /// Ends it.
    pub(crate) cancelled: &'a AtomicBool,
    /// The longest silence.
    pub(crate) silence: Duration,
}

/// A container engine of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Engine {
    socket: PathBuf,
}

impl Engine {
    /// The one that `host` names (the value of `DOCKER_HOST`), or the one whose socket is there.
    pub(crate) fn find(host: Option<&str>) -> Result<Engine, String> {
        if let Some(host) = host {
            let path = host.strip_prefix("unix://").filter(|path| path.starts_with('/'));
            let path = path.ok_or_else(|| format!("DOCKER_HOST={host}: only unix:// is supported"))?;
            return Ok(Engine { socket: path.into() });
        }
        // Not the first that answers: one that is away for a moment is still the one that has the containers.
        Engine::present().into_iter().next().ok_or_else(|| {
            format!("no container engine: none of {} is there, and DOCKER_HOST names none", SOCKETS.join(", "))
        })
    }

    /// All whose containers may be ours: the one that `host` names, or those whose sockets are there.
    pub(crate) fn all(host: Option<&str>) -> Vec<Engine> {
        match host {
            Some(host) => Engine::find(Some(host)).into_iter().collect(),
            None => Engine::present(),
        }
    }

    fn present() -> Vec<Engine> {
        let is_there = |path: &PathBuf| namespace::outside(|| path.try_exists()).unwrap_or(false);
        let found = SOCKETS.into_iter().map(PathBuf::from).filter(is_there);
        found.map(|socket| Engine { socket }).collect()
    }

    /// Whether it is Podman: it takes what Docker takes, but for GPUs.
    pub(crate) fn is_podman(&self, patience: Patience<'_>) -> Result<bool, EngineError> {
        let document = self.send("GET", "/version", "", None, patience)?.document()?;
        let parts = document.get("Components").and_then(Value::as_array).into_iter().flatten();
        let names = parts.filter_map(|part| part.get("Name").and_then(Value::as_str));
        Ok(names.into_iter().any(|name| name.starts_with("Podman")))
    }

    /// Sends a request and gives the answer, unless it is a refusal. `headers` are complete lines.
    pub(crate) fn send<'a>(
        &'a self,
        method: &str,
        path: &str,
        headers: &str,
        body: Option<&Value>,
        patience: Patience<'a>,
    ) -> Result<Answer<'a>, EngineError> {
        let away = |error| self.away(error);
        // A job may have a directory to itself where the socket lies.
        let connect = || system::with_short_socket_path(&self.socket, UnixStream::connect);
        let stream = namespace::outside(connect).map_err(away)?;
        stream.set_read_timeout(Some(LOOK_UP)).map_err(away)?;
        stream.set_write_timeout(Some(patience.silence)).map_err(away)?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n{headers}\r\n{body}",
            body.len()
        );
        (&stream).write_all(request.as_bytes()).map_err(away)?;
        let mut answer = Answer::read_head(self, BufReader::new(Patient { stream, patience }))?;
        if (200..400).contains(&answer.status) {
            return Ok(answer);
        }
        let status = answer.status;
        let message = match answer.document() {
            Ok(document) => document.get("message").and_then(Value::as_str).map(|text| text.trim().to_owned()),
            Err(EngineError::Cancelled) => return Err(EngineError::Cancelled),
            Err(_) => None,
        };
        Err(EngineError::Refused { status, message: message.unwrap_or_else(|| format!("status {status}")) })
    }

    fn away(&self, error: io::Error) -> EngineError {
        if is_cancelled(&error) {
            return EngineError::Cancelled;
        }
        EngineError::Away { socket: self.socket.display().to_string(), error }
    }
}

/// Waits for bytes, and looks up now and then.
struct Patient<'a> {
    stream: UnixStream,
    patience: Patience<'a>,
}

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let until = Instant::now() + self.patience.silence;
        loop {
            match self.stream.read(buffer) {
                Err(error) if system::is_retry(&error) => {}
                result => return result,
            }
            if self.patience.cancelled.load(Ordering::SeqCst) {
                return Err(io::Error::other(Cancelled));
            }
            if Instant::now() >= until {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("cancelled")]
struct Cancelled;

fn is_cancelled(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Cancelled>())
}

/// How long a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Known(u64),
    /// In chunks; so much of the present one is left, `None` before its head.
    Chunked(Option<u64>),
    UntilEnd,
}

/// An answer; reading it gives its body.
pub(crate) struct Answer<'a> {
    engine: &'a Engine,
    status: u16,
    length: Length,
    reader: BufReader<Patient<'a>>,
}

impl<'a> Answer<'a> {
    fn read_head(engine: &'a Engine, mut reader: BufReader<Patient<'a>>) -> Result<Answer<'a>, EngineError> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let count = read_line(&mut reader, &mut head).map_err(|error| engine.away(error))?;
            if count == 0 || head.len() > HEAD_BYTES_MAX {
                return Err(engine.away(malformed("no complete answer")));
            }
        }
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        response.parse(&head).map_err(|error| engine.away(malformed(error)))?;
        let status = response.code.unwrap_or(0);
        let value = |name: &str| {
            let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(header.value).ok()
        };
        let is_chunked = value("Transfer-Encoding").is_some_and(|how| how.eq_ignore_ascii_case("chunked"));
        let length = match value("Content-Length").map(str::parse) {
            _ if matches!(status, 204 | 304) => Length::Known(0),
            _ if is_chunked => Length::Chunked(None),
            Some(Ok(length)) => Length::Known(length),
            Some(Err(_)) => return Err(engine.away(malformed("a length that is no number"))),
            None => Length::UntilEnd,
        };
        Ok(Answer { engine, status, length, reader })
    }

    /// The whole body as a document; null for an empty one.
    pub(crate) fn document(&mut self) -> Result<Value, EngineError> {
        let mut bytes = Vec::new();
        let read = self.take(DOCUMENT_BYTES_MAX).read_to_end(&mut bytes);
        read.map_err(|error| self.engine.away(error))?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|error| self.engine.away(error.into()))
    }

    /// Gives the documents of a stream to `use_one` as they come.
    pub(crate) fn documents(
        self,
        mut use_one: impl FnMut(Value) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let engine = self.engine;
        for document in serde_json::Deserializer::from_reader(self).into_iter::<Value>() {
            use_one(document.map_err(|error| engine.away(error.into()))?)?;
        }
        Ok(())
    }
}

impl Read for Answer<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.length == Length::Chunked(None) {
            self.length = match next_chunk(&mut self.reader)? {
                0 => Length::Known(0),
                size => Length::Chunked(Some(size)),
            };
        }
        let left = match self.length {
            Length::Known(left) | Length::Chunked(Some(left)) => left,
            Length::UntilEnd | Length::Chunked(None) => u64::MAX,
        };
        let room = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = self.reader.read(buffer.get_mut(..room).unwrap_or_default())?;
        if count == 0 && room > 0 && self.length != Length::UntilEnd {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let left = left.saturating_sub(count as u64);
        self.length = match self.length {
            Length::Known(_) => Length::Known(left),
            Length::Chunked(_) if left == 0 => {
                read_line(&mut self.reader, &mut Vec::new())?;
                Length::Chunked(None)
            }
            Length::Chunked(_) => Length::Chunked(Some(left)),
            Length::UntilEnd => Length::UntilEnd,
        };
        Ok(count)
    }
}

/// Reads the head of a chunk: its size, 0 for the last.
fn next_chunk(reader: &mut impl BufRead) -> io::Result<u64> {
    let mut line = Vec::new();
    read_line(reader, &mut line)?;
    match httparse::parse_chunk_size(&line) {
        Ok(httparse::Status::Complete((_, size))) => Ok(size),
        _ => Err(malformed("a chunk without a size")),
    }
}

/// Reads one line of bounded length.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    reader.take(HEAD_BYTES_MAX as u64).read_until(b'\n', line)
}

fn malformed(why: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not an answer of HTTP: {why}"))
}

/// A path or value within an address, with everything escaped that has a meaning there.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'/' | b':' => escaped.push(byte as char),
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// What is made of an answer with these bytes.
    fn check(answer: &'static str, expected: &str) {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("engine.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let count = stream.read(&mut request).unwrap();
            // One byte at a time, to be read in as many pieces.
            answer.bytes().for_each(|byte| drop(stream.write(&[byte])));
            String::from_utf8_lossy(&request[..count]).into_owned()
        });
        let engine = Engine::find(Some(&format!("unix://{}", socket.display()))).unwrap();
        let cancelled = AtomicBool::new(false);
        let patience = Patience { cancelled: &cancelled, silence: Duration::from_secs(10) };
        let mut seen = Vec::new();
        let result = engine.send("GET", "/x", "A: b\r\n", None, patience).and_then(|answer| {
            answer.documents(|document| {
                seen.push(document.to_string());
                Ok(())
            })
        });
        let request = server.join().unwrap();
        assert!(request.starts_with("GET /x HTTP/1.1\r\n") && request.contains("\r\nA: b\r\n\r\n"), "{request}");
        let shown = match result {
            Ok(()) => seen.join(" "),
            Err(error) => error.to_string().replace(&socket.display().to_string(), "SOCKET"),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn answers_come_in_all_their_forms() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}", r#"{"a":1}"#);
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n1 2\r\n4;x\r\n\n3 4\r\n0\r\n\r\n", "1 2 3 4");
        check("HTTP/1.0 200 OK\r\n\r\n[1]", "[1]");
        check("HTTP/1.1 204 No Content\r\n\r\n", "");
        check("HTTP/1.1 404 Not Found\r\nContent-Length: 18\r\n\r\n{\"message\":\"gone\"}", "gone");
        check("HTTP/1.1 500 Oops\r\nContent-Length: 1\r\n\r\n-", "status 500");
        let away = "cannot talk with the container engine at SOCKET: ";
        check("HTTP/1.1 200 OK\r\n", &format!("{away}not an answer of HTTP: no complete answer"));
        check("garbage\r\n\r\n", &format!("{away}not an answer of HTTP: invalid HTTP version"));
        check(
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            &format!("{away}not an answer of HTTP: a length that is no number"),
        );
        check("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[1", &format!("{away}unexpected end of file"));
    }

    #[test]
    fn only_sockets_of_this_node_are_spoken_to() {
        let error = Engine::find(Some("tcp://host:2375")).unwrap_err();
        assert_eq!(error, "DOCKER_HOST=tcp://host:2375: only unix:// is supported");
        assert_eq!(escaped("a b/c:d@e"), "a%20b/c:d%40e");
    }
}
