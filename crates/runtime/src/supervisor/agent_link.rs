//! The connected agent: bytes in, bytes out, never waiting.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use crate::frame::{self, FrameReader};
use crate::protocol::{Notice, Request};
use crate::system;

/// Bytes kept for an agent that does not read. Ends are kept on disk anyway; it will get them when it connects again.
const OUTPUT_BYTES_MAX: usize = 64 << 20;

/// Bytes read in one turn, so that a flood of launches does not delay ends.
const TURN_BYTES: usize = 256 << 10;

/// The connection.
pub(crate) struct AgentLink {
    stream: UnixStream,
    frames: FrameReader,
    output: VecDeque<u8>,
}

impl AgentLink {
    /// Accepts root and the supervisor's own user, nobody else.
    pub(crate) fn new(stream: UnixStream) -> io::Result<AgentLink> {
        let uid = system::peer_uid(stream.as_raw_fd())?;
        // SAFETY: cannot fail.
        let own = unsafe { libc::geteuid() };
        if uid != 0 && uid != own {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("user {uid} is not the agent")));
        }
        stream.set_nonblocking(true)?;
        Ok(AgentLink { stream, frames: FrameReader::default(), output: VecDeque::new() })
    }

    /// For `poll`.
    pub(crate) fn pollfd(&self) -> libc::pollfd {
        let events = libc::POLLIN | if self.output.is_empty() { 0 } else { libc::POLLOUT };
        system::pollfd(self.stream.as_raw_fd(), events)
    }

    /// Reads what is there, and writes what is left. An error is the end of the connection.
    pub(crate) fn receive(&mut self) -> io::Result<Vec<(Request, Vec<u8>)>> {
        self.flush();
        let mut requests = Vec::new();
        let mut buffer = [0; 64 << 10];
        let mut count_all = 0;
        while count_all < TURN_BYTES {
            match self.stream.read(&mut buffer) {
                // Requests that came before the end are still to be carried out; the end is seen again next time.
                Ok(0) if requests.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(0) => break,
                Ok(count) => {
                    count_all += count;
                    self.frames.feed(buffer.get(..count).unwrap_or_default());
                    while let Some((document, blob)) = self.frames.next_frame()? {
                        requests.push((serde_json::from_slice(&document)?, blob));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if requests.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(requests)
    }

    /// Sends notices, as far as the socket takes them now.
    pub(crate) fn send(&mut self, notices: &[Notice]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for notice in notices {
            frame::encode_into(&mut bytes, notice, &[])?;
        }
        self.output.extend(bytes);
        self.flush();
        if self.output.len() > OUTPUT_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "agent does not read"));
        }
        Ok(())
    }

    fn flush(&mut self) {
        while !self.output.is_empty() {
            let (front, _) = self.output.as_slices();
            match self.stream.write(front) {
                Ok(count) => drop(self.output.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Nobody listens. What he said before is still to be read, and after it his end.
                Err(_) => self.output.clear(),
            }
        }
    }
}
