//! The pipe to the PMIx server of the step, whose words go to the client and back as they are.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use crate::system;
use crate::wire::PAYLOAD_BYTES_MAX;

/// Bytes kept for a server that does not take them, before its client is held back. A fence may bring more than this: it then comes
/// as fast as the server takes it.
const WAITING_BYTES_MAX: usize = 4 << 20;

/// The server, as the relay sees it.
#[derive(Debug, Default)]
pub(super) struct Service {
    pipe: Option<OwnedFd>,
    /// What it has not taken yet.
    waiting: VecDeque<u8>,
}

impl Service {
    /// Without a pipe there is none.
    pub(super) fn new(pipe: Option<OwnedFd>) -> io::Result<Service> {
        if let Some(pipe) = &pipe {
            system::set_nonblocking(pipe.as_raw_fd())?;
        }
        Ok(Service { pipe, waiting: VecDeque::new() })
    }

    /// What to wait for; while the client is slow nothing more is read.
    pub(super) fn pollfd(&self, is_held_back: bool) -> libc::pollfd {
        let mut events = if is_held_back { 0 } else { libc::POLLIN };
        if !self.waiting.is_empty() {
            events |= libc::POLLOUT;
        }
        system::pollfd(self.pipe.as_ref().map_or(-1, AsRawFd::as_raw_fd), events)
    }

    /// What it says; `None` at its end.
    pub(super) fn read(&mut self) -> Option<Vec<u8>> {
        let pipe = self.pipe.as_ref()?;
        let mut buffer = vec![0; PAYLOAD_BYTES_MAX];
        match system::read(pipe.as_raw_fd(), &mut buffer) {
            Ok(count) if count > 0 => {
                buffer.truncate(count);
                Some(buffer)
            }
            Err(error) if system::is_retry(&error) => Some(Vec::new()),
            _ => {
                self.pipe = None;
                self.waiting.clear();
                None
            }
        }
    }

    /// Whether so much waits for it that nothing more is to be read from who talks with it.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING_BYTES_MAX
    }

    /// Says something to it.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.waiting.extend(bytes);
        self.write();
    }

    /// Writes as much as it takes now. Where it has gone, reading tells so.
    pub(super) fn write(&mut self) {
        let Some(pipe) = &self.pipe else { return self.waiting.clear() };
        while !self.waiting.is_empty() {
            let (front, _) = self.waiting.as_slices();
            match system::write(pipe.as_raw_fd(), front) {
                Ok(count) => drop(self.waiting.drain(..count)),
                Err(error) if system::is_retry(&error) => return,
                Err(_) => return self.waiting.clear(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_takes_nothing_is_full_until_it_takes_something() {
        let (ours, theirs) = system::socket_pair().unwrap();
        let mut service = Service::new(Some(ours)).unwrap();
        let piece = vec![7; PAYLOAD_BYTES_MAX];
        let mut count = 0;
        while !service.is_full() {
            service.put(&piece);
            count += piece.len();
        }
        assert!(service.waiting.len() < WAITING_BYTES_MAX + PAYLOAD_BYTES_MAX);
        // Nothing is lost, and whoever was held back goes on.
        let (mut taken, mut buffer) = (0, vec![0; 1 << 20]);
        while taken < count {
            taken += system::read(theirs.as_raw_fd(), &mut buffer).unwrap();
            service.write();
        }
        assert!(taken == count && !service.is_full());
        // What is for one that has gone waits for nobody.
        drop(theirs);
        (0..100).for_each(|_| service.put(&piece));
        assert!(!service.is_full());
    }
}
