//! Waiting for many descriptors at a cost that does not grow with how many they are: a step may have thousands of tasks on
//! a node, and mostly one of them has something to say.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::system;

/// Most descriptors told of at once; the others come with the next look.
const READY_MAX: usize = 64;

/// A set of descriptors, which is readable itself while one of them is ready.
#[derive(Debug)]
pub(super) struct Watch {
    epoll: OwnedFd,
}

impl Watch {
    /// An empty set.
    pub(super) fn new() -> io::Result<Watch> {
        // SAFETY: the new descriptor is ours alone.
        let epoll = unsafe { OwnedFd::from_raw_fd(system::check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) };
        Ok(Watch { epoll })
    }

    /// To be polled for reading.
    pub(super) fn fd(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }

    /// Tells of `fd` by `token` while it can be read from.
    pub(super) fn add_readable(&self, fd: RawFd, token: u64) -> io::Result<()> {
        self.change(libc::EPOLL_CTL_ADD, fd, libc::EPOLLIN as u32, token)
    }

    /// Tells of `fd` by `token` while it can be written to.
    pub(super) fn add_writable(&self, fd: RawFd, token: u64) -> io::Result<()> {
        self.change(libc::EPOLL_CTL_ADD, fd, libc::EPOLLOUT as u32, token)
    }

    /// Forgets `fd`. To be called before it is closed: a child that is just being started may have it open still.
    pub(super) fn remove(&self, fd: RawFd) {
        // A descriptor that is not in the set is as good as removed.
        let _ = self.change(libc::EPOLL_CTL_DEL, fd, 0, 0);
    }

    /// Tokens of descriptors that are ready now.
    pub(super) fn ready(&self) -> io::Result<Vec<u64>> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; READY_MAX];
        // SAFETY: there is room for as many events as is said.
        let count = unsafe { libc::epoll_wait(self.fd(), events.as_mut_ptr(), READY_MAX as i32, 0) };
        match system::check(count) {
            Ok(count) => Ok(events.iter().take(count as usize).map(|event| event.u64).collect()),
            Err(error) if system::is_retry(&error) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn change(&self, operation: i32, fd: RawFd, events: u32, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events, u64: token };
        // SAFETY: the event is our own and is only read.
        system::check(unsafe { libc::epoll_ctl(self.fd(), operation, fd, &mut event) }).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_ones_are_told_until_removed() {
        let watch = Watch::new().unwrap();
        let (read, write) = system::pipe().unwrap();
        watch.add_readable(read.as_raw_fd(), 7).unwrap();
        assert!(watch.ready().unwrap().is_empty());
        system::write(write.as_raw_fd(), b"x").unwrap();
        assert_eq!(watch.ready().unwrap(), [7]);
        watch.remove(read.as_raw_fd());
        assert!(watch.ready().unwrap().is_empty());
        watch.remove(read.as_raw_fd());
    }
}
