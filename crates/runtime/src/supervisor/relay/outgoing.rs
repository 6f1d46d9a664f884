//! What waits for the client. What tasks write is read straight into it, behind its header, so that it is copied once less.

use std::io::{self, Write};
use std::os::fd::RawFd;

use crate::system;
use crate::wire::{self, Frame, HEADER_BYTES};

/// So much that has been sent is kept in front of what has not; then the rest is moved.
const SENT_BYTES_MAX: usize = 1 << 20;

/// Bytes on their way.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outgoing {
    /// Bytes that were not sent yet.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn put(&mut self, frame: &Frame) {
        wire::encode(frame, &mut self.bytes);
    }

    /// Reads once from a task, as one frame. Gives what was read; empty at the end of the stream.
    ///
    /// # Errors
    /// Of the read; nothing is added then.
    pub(super) fn read(&mut self, fd: RawFd, is_error: bool, rank: u32) -> io::Result<&[u8]> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; HEADER_BYTES]);
        let result = system::append(fd, &mut self.bytes, wire::PAYLOAD_BYTES_MAX);
        let count = *result.as_ref().unwrap_or(&0);
        if count == 0 {
            self.bytes.truncate(start);
        } else if let Some(header) = self.bytes.get_mut(start..start + HEADER_BYTES) {
            header.copy_from_slice(&wire::output_header(is_error, rank, count));
        }
        result?;
        Ok(self.bytes.get(start + HEADER_BYTES..).unwrap_or_default())
    }

    /// Writes as much as goes.
    ///
    /// # Errors
    /// Of the write, but for those that only say "not now".
    pub(super) fn write(&mut self, client: &mut impl Write) -> io::Result<()> {
        while !self.is_empty() {
            match client.write(self.bytes.get(self.sent..).unwrap_or_default()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if self.is_empty() {
            self.bytes.clear();
            self.sent = 0;
        } else if self.sent > SENT_BYTES_MAX {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    /// Takes a few bytes at a time, and none every other time.
    struct Slow(Vec<u8>, bool);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let count = bytes.len().min(3);
            self.0.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_read_comes_as_frames_in_order() {
        let (reader, writer) = system::pipe().unwrap();
        system::set_nonblocking(reader.as_raw_fd()).unwrap();
        let mut outgoing = Outgoing::default();
        outgoing.put(&Frame::Started { rank: 4, pid: 9 });
        assert!(system::is_retry(&outgoing.read(reader.as_raw_fd(), false, 4).unwrap_err()));
        system::write(writer.as_raw_fd(), b"one").unwrap();
        assert_eq!(outgoing.read(reader.as_raw_fd(), false, 4).unwrap(), b"one");
        system::write(writer.as_raw_fd(), b"two").unwrap();
        assert_eq!(outgoing.read(reader.as_raw_fd(), true, 4).unwrap(), b"two");
        drop(writer);
        assert_eq!(outgoing.read(reader.as_raw_fd(), false, 4).unwrap(), b"");
        outgoing.put(&Frame::Finished);
        let mut client = Slow(Vec::new(), false);
        while !outgoing.is_empty() {
            outgoing.write(&mut client).unwrap();
        }
        let mut decoder = wire::Decoder::default();
        decoder.feed(&client.0);
        let frames: Vec<Frame> = std::iter::from_fn(|| decoder.next_frame().unwrap()).collect();
        let expected = [
            Frame::Started { rank: 4, pid: 9 },
            Frame::Stdout { rank: 4, bytes: b"one".to_vec().into() },
            Frame::Stderr { rank: 4, bytes: b"two".to_vec().into() },
            Frame::Finished,
        ];
        assert_eq!(frames, expected);
    }
}
