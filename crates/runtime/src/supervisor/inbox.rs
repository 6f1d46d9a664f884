//! Messages between the threads of the supervisor: a queue that wakes a `poll`.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, PoisonError};

use super::container::Lease;
use super::launcher::Launched;
use crate::protocol::UnitSample;
use crate::system;
use crate::unit::UnitKey;

/// What other threads tell the main thread.
#[derive(Debug)]
pub(crate) enum Message {
    /// A launch was made, or failed.
    Launched(Box<Launched>),
    /// A message was written to a unit's error file, or could not be.
    Written { key: UnitKey },
    /// What is run after the task with this index of the unit has ended, or could not be run.
    TaskEpilogEnded { key: UnitKey, index: usize },
    /// The client of a live step asks for a signal to one rank or to all.
    ClientSignal { key: UnitKey, rank: u32, signal: u8 },
    /// The client of a live step has closed its connection.
    ClientGone { key: UnitKey },
    /// The unit has more memory than it may, in bytes.
    OverMemory { key: UnitKey, used: u64, limit: u64 },
    /// The units that were asked for have been looked at.
    Looked { number: u64, units: Vec<UnitSample> },
    /// The energy of a unit that ends has been read, as far as it can be.
    EnergyRead { key: UnitKey },
    /// The relay has sent all there was and ended.
    RelayDone { key: UnitKey },
    /// The container of a unit was given back, or could not be.
    Released { key: Option<UnitKey>, left: Option<Box<Lease>> },
    /// The containers of an earlier supervisor were removed, or could not be.
    Swept { is_done: bool },
    /// A container was given back that was not there; its daemon may make it yet.
    ContainerMayCome,
}

/// The main thread's queue.
pub(crate) type Inbox = Mailbox<Message>;

/// A queue with a descriptor that is readable while the queue holds something.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    queue: Mutex<Vec<T>>,
    event: OwnedFd,
}

impl<T> Mailbox<T> {
    /// An empty queue.
    pub(crate) fn new() -> io::Result<Mailbox<T>> {
        // SAFETY: the new descriptor is ours alone.
        let event =
            unsafe { OwnedFd::from_raw_fd(system::check(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK))?) };
        Ok(Mailbox { queue: Mutex::new(Vec::new()), event })
    }

    /// To be polled for reading.
    pub(crate) fn fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }

    /// Puts a message in and wakes the reader.
    pub(crate) fn send(&self, message: T) {
        let was_empty = {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.push(message);
            queue.len() == 1
        };
        if was_empty {
            // Can fail only when the counter is full, and then the reader is awake.
            let _ = system::write(self.fd(), &1u64.to_ne_bytes());
        }
    }

    /// Takes all messages out.
    pub(crate) fn take(&self) -> Vec<T> {
        let _ = system::read(self.fd(), &mut [0; 8]);
        std::mem::take(&mut *self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_makes_the_descriptor_readable_until_taken() {
        let mailbox = Mailbox::new().unwrap();
        let is_readable = || {
            let mut fds = [system::pollfd(mailbox.fd(), libc::POLLIN)];
            system::poll(&mut fds, 0).unwrap();
            fds[0].revents != 0
        };
        assert!(!is_readable());
        mailbox.send(1);
        mailbox.send(2);
        assert!(is_readable());
        assert_eq!(mailbox.take(), [1, 2]);
        assert!(!is_readable());
    }
}
