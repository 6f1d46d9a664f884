//! The stream protocol of live steps: between each node of a step and the `srun` that waits for it.
//!
//! Without input or output of its own (sans I/O): [`encode`] makes bytes, [`Decoder`] takes bytes and gives
//! [`Frame`]s. Any transport and any runtime can carry it.
//!
//! # Conversation
//!
//! `srun` listens on a TCP port and gives its address and a random cookie with the step. **Each node makes one
//! connection** and sends [`Frame::Hello`]; `srun` checks the cookie and answers [`Frame::Welcome`], or closes. Then
//! the node sends, in any mixture,
//!
//! - [`Frame::Started`] once for each task with its process number,
//! - [`Frame::Stdout`] and [`Frame::Stderr`] with what tasks write (rank [`ALL_RANKS`] for messages of the launcher
//!   itself, already with end of line),
//! - [`Frame::Ended`] once for each task, after all that it wrote itself (children that it left behind may go on
//!   writing until the step is over),
//! - [`Frame::Failed`] when the step could not be set up on this node; [`Frame::Ended`] follows for each task that had
//!   been started,
//! - [`Frame::Ending`] when somebody else than the client ends the step; the reason in words comes as `Stderr`,
//! - [`Frame::Taken`] when the slowest task has taken input,
//! - [`Frame::Values`] and [`Frame::Fence`] when the tasks of the node wait for those of the others ([`crate::pmi`]),
//!   [`Frame::Abort`] when one of them ends the step,
//! - [`Frame::Peers`] with the words of its PMIx server ([`crate::pmix`]),
//! - [`Frame::Report`] to a client that only asks what the node knows (`sstat`),
//! - [`Frame::Finished`] as the last one: nothing of the step is left on this node. Then the node closes.
//!
//! and `srun` sends
//!
//! - [`Frame::Stdin`] to one rank or to [`ALL_RANKS`]; an empty payload is the end of input,
//! - [`Frame::Signal`] to be sent to the processes of one task or of all,
//! - [`Frame::Values`] of all nodes and [`Frame::Fence`], when all nodes have asked for it,
//! - [`Frame::Peers`] for the PMIx server of the node,
//! - [`Frame::WindowSize`] when its terminal changes (only with `--pty`).
//!
//! Input that the node has not told to be taken is at most [`INPUT_WINDOW_BYTES`]; so signals are never stuck behind input, and
//! tasks that write before they read hold nobody up. A node of version 1 tells nothing and is sent input as it reads it.
//!
//! The nodes of a running step call further clients (`sattach`) in the same way: they are sent what was written last and what is
//! written from then on, and what they send goes to the tasks as well. When such a connection breaks, nothing happens to the step. A
//! node on which no task runs any more says only that it is finished.
//!
//! When the connection of `srun` breaks before [`Frame::Finished`], the node ends the step there (TERM, then KILL). A program that
//! cannot be executed is started and ended as far as this protocol goes: its exit code is the error number, and the
//! reason comes as `Stderr` (`slurmstepd: error: execve(): …`).
//!
//! # Bytes
//!
//! `kind: u8, rank: u32, length: u32, payload[length]`, numbers little endian. Unknown kinds are skipped, so that later
//! versions may add some. A payload is at most [`PAYLOAD_BYTES_MAX`].

use bytes::{Buf, Bytes, BytesMut};
use muster_model::state::ExitStatus;
use serde::{Deserialize, Serialize};

/// In place of a rank: all tasks, or none in particular.
pub const ALL_RANKS: u32 = u32::MAX;

/// Largest payload of a frame.
pub const PAYLOAD_BYTES_MAX: usize = 64 << 10;

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 9;

/// What is read at once, where much comes.
const READ_BYTES: usize = 4 * PAYLOAD_BYTES_MAX;

/// Version of this protocol. 2 tells of input that is taken.
pub const WIRE_VERSION: u32 = 2;

/// Most bytes of input on their way to the tasks of a node: several pipes full.
pub const INPUT_WINDOW_BYTES: usize = 256 << 10;

/// First words of a node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NodeHello {
    /// [`WIRE_VERSION`].
    pub version: u32,
    /// The cookie that came with the step.
    pub cookie: String,
    /// Job number.
    pub job_id: u32,
    /// Step as printed: `0`, `batch`, ….
    pub step: String,
    /// Name of the node.
    pub node: String,
    /// Ranks that will be started there.
    pub ranks: Vec<u32>,
}

/// One message in either direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Node: first message.
    Hello(NodeHello),
    /// Client: the cookie is right, go on.
    Welcome,
    /// Node: the task runs with this process number.
    Started {
        /// Which task.
        rank: u32,
        /// Its process.
        pid: u32,
    },
    /// Node: bytes of standard output.
    Stdout {
        /// Of which task.
        rank: u32,
        /// What it wrote.
        bytes: Bytes,
    },
    /// Node: bytes of standard error.
    Stderr {
        /// Of which task; [`ALL_RANKS`] for messages of the launcher.
        rank: u32,
        /// What it wrote.
        bytes: Bytes,
    },
    /// Node: the task ended.
    Ended {
        /// Which task.
        rank: u32,
        /// How.
        exit: ExitStatus,
    },
    /// Node: the step could not be set up here.
    Failed {
        /// Linux error number, 0 where there is none.
        errno: u32,
        /// What was tried and why it failed, for logs.
        message: String,
    },
    /// Node: the step is being ended from outside (cancelled, over its time limit, ...).
    Ending,
    /// Node: all is over here.
    Finished,
    /// Node: so much more of the input has been taken by all its tasks.
    Taken {
        /// Bytes since this was last said.
        bytes: u32,
    },
    /// Node: what its tasks have put since the last fence. Client: what all tasks have put. Large ones come in several parts.
    Values {
        /// Names and values, each ended by NUL.
        bytes: Vec<u8>,
    },
    /// Node: its tasks wait for the others. Client: all have come.
    Fence,
    /// Node: from its PMIx server. Client: for it. A part of a stream, of any length.
    Peers {
        /// The part.
        bytes: Vec<u8>,
    },
    /// Node: a part of a document, which is complete when it is finished.
    Report {
        /// The part.
        bytes: Vec<u8>,
    },
    /// Node: a task ends the step by its MPI library.
    Abort {
        /// Which task.
        rank: u32,
        /// What it said.
        message: String,
    },
    /// Client: bytes for standard input; empty for its end.
    Stdin {
        /// Which task, or [`ALL_RANKS`].
        rank: u32,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Client: send this signal.
    Signal {
        /// To which task, or [`ALL_RANKS`] for all processes of the step on the node.
        rank: u32,
        /// Signal number.
        signal: u8,
    },
    /// Client: the terminal has this size now.
    WindowSize {
        /// Lines.
        rows: u16,
        /// Columns.
        columns: u16,
    },
}

/// Why bytes are not this protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Payload longer than [`PAYLOAD_BYTES_MAX`].
    #[error("stream frame of {0} bytes is longer than allowed")]
    TooLong(u32),
    /// Payload of the wrong shape for its kind.
    #[error("malformed stream frame of kind {0}")]
    Malformed(u8),
}

mod kind {
    pub const HELLO: u8 = 1;
    pub const STDOUT: u8 = 2;
    pub const STDERR: u8 = 3;
    pub const STARTED: u8 = 4;
    pub const ENDED: u8 = 5;
    pub const FINISHED: u8 = 6;
    pub const FAILED: u8 = 7;
    pub const ENDING: u8 = 8;
    pub const TAKEN: u8 = 9;
    pub const ABORT: u8 = 10;
    pub const REPORT: u8 = 11;
    pub const VALUES: u8 = 16;
    pub const FENCE: u8 = 17;
    pub const PEERS: u8 = 18;
    pub const WELCOME: u8 = 32;
    pub const STDIN: u8 = 33;
    pub const SIGNAL: u8 = 34;
    pub const WINDOW_SIZE: u8 = 35;
}

/// Where encoded frames are put.
pub trait Sink: for<'a> Extend<&'a u8> {}

impl Sink for Vec<u8> {}
impl Sink for std::collections::VecDeque<u8> {}

/// Appends the bytes of `frame` to `out`. Streams longer than [`PAYLOAD_BYTES_MAX`] become several frames.
pub fn encode(frame: &Frame, out: &mut impl Sink) {
    match frame {
        Frame::Hello(hello) => {
            put(out, kind::HELLO, ALL_RANKS, &serde_json::to_vec(hello).unwrap_or_default());
        }
        Frame::Welcome => put(out, kind::WELCOME, ALL_RANKS, &[]),
        Frame::Started { rank, pid } => put(out, kind::STARTED, *rank, &pid.to_le_bytes()),
        Frame::Stdout { rank, bytes } => encode_stream(out, kind::STDOUT, *rank, bytes),
        Frame::Stderr { rank, bytes } => encode_stream(out, kind::STDERR, *rank, bytes),
        Frame::Ended { rank, exit } => put(out, kind::ENDED, *rank, &[exit.code, exit.signal]),
        Frame::Failed { errno, message } => {
            put(out, kind::FAILED, *errno, cut(message));
        }
        Frame::Ending => put(out, kind::ENDING, ALL_RANKS, &[]),
        Frame::Finished => put(out, kind::FINISHED, ALL_RANKS, &[]),
        Frame::Taken { bytes } => put(out, kind::TAKEN, ALL_RANKS, &bytes.to_le_bytes()),
        Frame::Values { bytes } => encode_stream(out, kind::VALUES, ALL_RANKS, bytes),
        Frame::Peers { bytes } => encode_stream(out, kind::PEERS, ALL_RANKS, bytes),
        Frame::Report { bytes } => encode_stream(out, kind::REPORT, ALL_RANKS, bytes),
        Frame::Fence => put(out, kind::FENCE, ALL_RANKS, &[]),
        Frame::Abort { rank, message } => put(out, kind::ABORT, *rank, cut(message)),
        Frame::Stdin { rank, bytes } if bytes.is_empty() => put(out, kind::STDIN, *rank, &[]),
        Frame::Stdin { rank, bytes } => encode_stream(out, kind::STDIN, *rank, bytes),
        Frame::Signal { rank, signal } => put(out, kind::SIGNAL, *rank, &[*signal]),
        Frame::WindowSize { rows, columns } => {
            let [a, b] = rows.to_le_bytes();
            let [c, d] = columns.to_le_bytes();
            put(out, kind::WINDOW_SIZE, ALL_RANKS, &[a, b, c, d]);
        }
    }
}

/// Appends standard output (`stderr` false) or error of a task without making a [`Frame`] first.
pub fn encode_output(out: &mut impl Sink, stderr: bool, rank: u32, bytes: &[u8]) {
    encode_stream(out, if stderr { kind::STDERR } else { kind::STDOUT }, rank, bytes);
}

/// What stands before `length` bytes, at most [`PAYLOAD_BYTES_MAX`], of standard output (`stderr` false) or error of a task.
pub fn output_header(stderr: bool, rank: u32, length: usize) -> [u8; HEADER_BYTES] {
    let [r0, r1, r2, r3] = rank.to_le_bytes();
    let [l0, l1, l2, l3] = (length as u32).to_le_bytes();
    [if stderr { kind::STDERR } else { kind::STDOUT }, r0, r1, r2, r3, l0, l1, l2, l3]
}

fn encode_stream(out: &mut impl Sink, kind: u8, rank: u32, bytes: &[u8]) {
    for part in bytes.chunks(PAYLOAD_BYTES_MAX) {
        put(out, kind, rank, part);
    }
}

/// As much of a message as one frame takes.
fn cut(message: &str) -> &[u8] {
    message.as_bytes().get(..PAYLOAD_BYTES_MAX).unwrap_or(message.as_bytes())
}

fn put(out: &mut impl Sink, kind: u8, rank: u32, payload: &[u8]) {
    out.extend(&[kind]);
    out.extend(&rank.to_le_bytes());
    out.extend(&(payload.len() as u32).to_le_bytes());
    out.extend(payload);
}

/// Collects bytes and gives frames. What tasks write is given out where it lies, so that it is copied once less.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: BytesMut,
}

impl Decoder {
    /// Adds bytes as they came.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Where bytes are to be appended as they come, with room for a frame at least, and mostly for several: saves a copy of each.
    pub fn tail(&mut self) -> &mut BytesMut {
        if self.buffer.capacity() - self.buffer.len() < PAYLOAD_BYTES_MAX {
            self.buffer.reserve(READ_BYTES);
        }
        &mut self.buffer
    }

    /// Bytes that are not yet part of a complete frame given out.
    pub fn pending_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// The next complete frame; `None` when more bytes are needed.
    ///
    /// After an error the connection is of no more use.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, WireError> {
        loop {
            let Some((header, rest)) = self.buffer.split_first_chunk::<HEADER_BYTES>() else {
                return Ok(None);
            };
            let [kind, r0, r1, r2, r3, l0, l1, l2, l3] = *header;
            let rank = u32::from_le_bytes([r0, r1, r2, r3]);
            let length = u32::from_le_bytes([l0, l1, l2, l3]);
            if length as usize > PAYLOAD_BYTES_MAX && kind != kind::HELLO {
                return Err(WireError::TooLong(length));
            }
            if length as usize > HELLO_BYTES_MAX {
                return Err(WireError::TooLong(length));
            }
            let Some(payload) = rest.get(..length as usize) else {
                return Ok(None);
            };
            if kind == kind::STDOUT || kind == kind::STDERR {
                self.buffer.advance(HEADER_BYTES);
                let bytes = self.buffer.split_to(length as usize).freeze();
                let is_error = kind == kind::STDERR;
                let frame = if is_error { Frame::Stderr { rank, bytes } } else { Frame::Stdout { rank, bytes } };
                return Ok(Some(frame));
            }
            let frame = parse(kind, rank, payload)?;
            self.buffer.advance(HEADER_BYTES + length as usize);
            if let Some(frame) = frame {
                return Ok(Some(frame));
            }
        }
    }
}

/// A hello lists all ranks of a node in decimal; this is room for some hundred thousand.
const HELLO_BYTES_MAX: usize = 4 << 20;

/// Of all kinds but output; `None` for one that this version does not know.
fn parse(kind: u8, rank: u32, payload: &[u8]) -> Result<Option<Frame>, WireError> {
    let malformed = WireError::Malformed(kind);
    let frame = match (kind, payload) {
        (kind::HELLO, json) => Frame::Hello(serde_json::from_slice(json).map_err(|_| malformed)?),
        (kind::WELCOME, _) => Frame::Welcome,
        (kind::STARTED, &[a, b, c, d]) => Frame::Started { rank, pid: u32::from_le_bytes([a, b, c, d]) },
        (kind::ENDED, &[code, signal]) => Frame::Ended { rank, exit: ExitStatus { code, signal } },
        (kind::FAILED, text) => Frame::Failed { errno: rank, message: String::from_utf8_lossy(text).into_owned() },
        (kind::ENDING, _) => Frame::Ending,
        (kind::FINISHED, _) => Frame::Finished,
        (kind::TAKEN, &[a, b, c, d]) => Frame::Taken { bytes: u32::from_le_bytes([a, b, c, d]) },
        (kind::VALUES, bytes) => Frame::Values { bytes: bytes.to_vec() },
        (kind::FENCE, _) => Frame::Fence,
        (kind::PEERS, bytes) => Frame::Peers { bytes: bytes.to_vec() },
        (kind::REPORT, bytes) => Frame::Report { bytes: bytes.to_vec() },
        (kind::ABORT, text) => Frame::Abort { rank, message: String::from_utf8_lossy(text).into_owned() },
        (kind::STDIN, bytes) => Frame::Stdin { rank, bytes: bytes.to_vec() },
        (kind::SIGNAL, &[signal]) => Frame::Signal { rank, signal },
        (kind::WINDOW_SIZE, &[a, b, c, d]) => {
            Frame::WindowSize { rows: u16::from_le_bytes([a, b]), columns: u16::from_le_bytes([c, d]) }
        }
        (kind::STARTED | kind::ENDED | kind::SIGNAL | kind::WINDOW_SIZE | kind::TAKEN, _) => return Err(malformed),
        _ => return Ok(None),
    };
    Ok(Some(frame))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames() -> Vec<Frame> {
        vec![
            Frame::Hello(NodeHello {
                version: WIRE_VERSION,
                cookie: "c".into(),
                job_id: 7,
                step: "0".into(),
                node: "n1".into(),
                ranks: vec![0, 3],
            }),
            Frame::Welcome,
            Frame::Started { rank: 3, pid: 99 },
            Frame::Stdout { rank: 0, bytes: b"out\n".to_vec().into() },
            Frame::Stderr { rank: ALL_RANKS, bytes: b"err\n".to_vec().into() },
            Frame::Ended { rank: 3, exit: ExitStatus::signaled(9) },
            Frame::Stdin { rank: ALL_RANKS, bytes: Vec::new() },
            Frame::Signal { rank: 1, signal: 15 },
            Frame::WindowSize { rows: 24, columns: 80 },
            Frame::Failed { errno: 2, message: "open".into() },
            Frame::Taken { bytes: 99_999 },
            Frame::Values { bytes: b"a\x001\0".to_vec() },
            Frame::Fence,
            Frame::Report { bytes: b"[]".to_vec() },
            Frame::Peers { bytes: vec![0, 255] },
            Frame::Abort { rank: 2, message: "no luck".into() },
            Frame::Ending,
            Frame::Finished,
        ]
    }

    #[test]
    fn frames_survive_any_cutting() {
        let mut bytes = Vec::new();
        frames().iter().for_each(|frame| encode(frame, &mut bytes));
        for size in [1, 2, 7, 64, bytes.len()] {
            let mut decoder = Decoder::default();
            let mut seen = Vec::new();
            for part in bytes.chunks(size) {
                decoder.feed(part);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    seen.push(frame);
                }
            }
            assert_eq!(seen, frames(), "in pieces of {size}");
            let mut decoder = Decoder::default();
            let mut again = Vec::new();
            for part in bytes.chunks(size) {
                decoder.tail().extend_from_slice(part);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    again.push(frame);
                }
            }
            assert_eq!(again, seen);
            assert_eq!(decoder.pending_bytes(), 0);
        }
    }

    #[test]
    fn long_output_is_cut_and_unknown_kinds_are_skipped() {
        let mut bytes = vec![200, 0, 0, 0, 0, 2, 0, 0, 0, 1, 2];
        encode(&Frame::Stdout { rank: 1, bytes: vec![7; PAYLOAD_BYTES_MAX + 1].into() }, &mut bytes);
        let mut decoder = Decoder::default();
        decoder.feed(&bytes);
        let mut sizes = Vec::new();
        while let Some(Frame::Stdout { bytes, .. }) = decoder.next_frame().unwrap() {
            sizes.push(bytes.len());
        }
        assert_eq!(sizes, [PAYLOAD_BYTES_MAX, 1]);
    }

    #[test]
    fn nonsense_is_an_error_and_never_a_panic() {
        let check = |bytes: &[u8], error: WireError| {
            let mut decoder = Decoder::default();
            decoder.feed(bytes);
            assert_eq!(decoder.next_frame(), Err(error));
        };
        check(&[2, 0, 0, 0, 0, 255, 255, 255, 255], WireError::TooLong(u32::MAX));
        check(&[5, 0, 0, 0, 0, 1, 0, 0, 0, 9], WireError::Malformed(5));
        check(&[1, 0, 0, 0, 0, 1, 0, 0, 0, b'{'], WireError::Malformed(1));
    }
}
