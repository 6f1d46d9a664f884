//! Further clients of a step (`sattach`): they see what its tasks write, and may give them input.
//!
//! Whatever becomes of one of them, the step goes on: who does not listen loses output and is told how much, and who goes away is
//! forgotten. What was written last is kept for those who come later.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::Duration;

use super::{Client, InputCount};
use crate::system;
use crate::wire::{self, ALL_RANKS, Frame};

/// Most clients of one step on a node.
const WATCHERS_MAX: usize = 16;

/// What was written last, kept for who comes later: some screens full.
const RECENT_BYTES_MAX: usize = 64 << 10;

/// Of one large piece only so much of the end is kept, so that keeping costs little beside sending.
const RECENT_PIECE_MAX: usize = 16 << 10;

/// Bytes kept for a client that does not listen.
const OUTPUT_BYTES_MAX: usize = 1 << 20;

/// How long a client may take for the rest once the step is over.
const PATIENCE: Duration = Duration::from_secs(5);

/// One piece of output.
#[derive(Debug)]
struct Piece {
    is_error: bool,
    rank: u32,
    bytes: Vec<u8>,
}

/// The further clients of a step, and what is kept for them.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    all: Vec<Watcher>,
    recent: VecDeque<Piece>,
    recent_bytes: usize,
}

#[derive(Debug)]
struct Watcher {
    stream: TcpStream,
    decoder: wire::Decoder,
    output: VecDeque<u8>,
    input: InputCount,
    /// Bytes of output that it lost since it was last told.
    left_out: usize,
    is_gone: bool,
}

impl Watchers {
    /// Takes in what a task wrote.
    pub(super) fn note(&mut self, is_error: bool, rank: u32, bytes: &[u8]) {
        for watcher in &mut self.all {
            watcher.put(bytes.len(), |output| wire::encode_output(output, is_error, rank, bytes));
        }
        let tail = bytes.get(bytes.len().saturating_sub(RECENT_PIECE_MAX)..).unwrap_or_default();
        // What is cut begins with a line of its own, where there is one.
        let begin =
            tail.iter().position(|byte| *byte == b'\n').filter(|_| tail.len() < bytes.len()).map_or(0, |at| at + 1);
        let kept = tail.get(begin..).unwrap_or_default();
        self.recent_bytes += kept.len();
        self.recent.push_back(Piece { is_error, rank, bytes: kept.to_vec() });
        while self.recent_bytes > RECENT_BYTES_MAX
            && let Some(oldest) = self.recent.pop_front()
        {
            self.recent_bytes -= oldest.bytes.len();
        }
    }

    /// Tells all of them something.
    pub(super) fn send(&mut self, frame: &Frame) {
        self.all.iter_mut().for_each(|watcher| watcher.send(frame));
    }

    /// Takes in a client. `living` are ranks and process numbers of the tasks that run; without any there is nothing to watch.
    /// Gives input for the tasks that came with its first words: nothing more need come that it could be read with.
    pub(super) fn add(&mut self, client: Client, living: &[(u32, u32)]) -> Vec<(u32, Vec<u8>)> {
        if client.stream.set_nonblocking(true).is_err() {
            return Vec::new();
        }
        let mut watcher = Watcher {
            stream: client.stream,
            decoder: client.decoder,
            output: VecDeque::new(),
            input: InputCount::default(),
            left_out: 0,
            is_gone: false,
        };
        let is_full = self.all.len() >= WATCHERS_MAX;
        if is_full {
            let bytes = format!("slurmstepd: error: {WATCHERS_MAX} clients are attached to this step already\n");
            watcher.send(&Frame::Stderr { rank: ALL_RANKS, bytes: bytes.into_bytes().into() });
        }
        if is_full || living.is_empty() {
            watcher.finish();
            return Vec::new();
        }
        for (rank, pid) in living {
            watcher.send(&Frame::Started { rank: *rank, pid: *pid });
        }
        for piece in &self.recent {
            wire::encode_output(&mut watcher.output, piece.is_error, piece.rank, &piece.bytes);
        }
        let mut input = Vec::new();
        watcher.take_frames(&mut input);
        self.all.push(watcher);
        input
    }

    /// What is waited for; `reads` whether input of them may come.
    pub(super) fn pollfds(&self, reads: bool) -> impl Iterator<Item = libc::pollfd> + '_ {
        self.all.iter().map(move |watcher| {
            let read = if reads { libc::POLLIN } else { 0 };
            let write = if watcher.output.is_empty() { 0 } else { libc::POLLOUT };
            system::pollfd(watcher.stream.as_raw_fd(), libc::POLLRDHUP | read | write)
        })
    }

    /// Serves those that are ready, in the order of [`Watchers::pollfds`]; gives input for the tasks.
    pub(super) fn serve(&mut self, ready: &[libc::pollfd]) -> Vec<(u32, Vec<u8>)> {
        let mut input = Vec::new();
        for (watcher, ready) in self.all.iter_mut().zip(ready) {
            if ready.revents != 0 {
                watcher.read(ready.revents, &mut input);
            }
        }
        input
    }

    /// Whether a client has sent input that it does not know to be taken.
    pub(super) fn has_untold_input(&self) -> bool {
        self.all.iter().any(|watcher| watcher.input.received != watcher.input.told)
    }

    /// Tells them how much of their input has been taken, where the slowest task still has to take `waiting` bytes.
    pub(super) fn tell_taken(&mut self, waiting: usize) {
        for watcher in &mut self.all {
            if let Some(bytes) = watcher.input.news(waiting) {
                watcher.send(&Frame::Taken { bytes });
            }
        }
    }

    /// Sends what they take now.
    pub(super) fn flush(&mut self) {
        self.all.iter_mut().for_each(Watcher::flush);
        self.all.retain(|watcher| !watcher.is_gone);
    }

    /// The step is over.
    pub(super) fn finish(&mut self) {
        std::mem::take(&mut self.all).into_iter().for_each(Watcher::finish);
    }
}

impl Watcher {
    fn send(&mut self, frame: &Frame) {
        // Short ones are always put: they say how tasks end.
        wire::encode(frame, &mut self.output);
    }

    /// Puts output, unless it has not taken much that came before.
    fn put(&mut self, size: usize, encode: impl FnOnce(&mut VecDeque<u8>)) {
        if self.output.len() >= OUTPUT_BYTES_MAX {
            self.left_out += size;
            return;
        }
        self.tell_left_out();
        encode(&mut self.output);
    }

    fn tell_left_out(&mut self) {
        let count = std::mem::take(&mut self.left_out);
        if count > 0 {
            let text =
                format!("\nslurmstepd: error: {count} bytes of output were not taken in time and are left out here\n");
            self.send(&Frame::Stderr { rank: ALL_RANKS, bytes: text.into_bytes().into() });
        }
    }

    fn read(&mut self, events: libc::c_short, input: &mut Vec<(u32, Vec<u8>)>) {
        if events & libc::POLLIN != 0 {
            let mut buffer = [0; super::READ_BYTES];
            match self.stream.read(&mut buffer) {
                Ok(0) => self.is_gone = true,
                Ok(count) => {
                    self.decoder.feed(buffer.get(..count).unwrap_or_default());
                    self.take_frames(input);
                }
                Err(error) if system::is_retry(&error) => {}
                Err(_) => self.is_gone = true,
            }
        } else if events & (libc::POLLERR | libc::POLLHUP | libc::POLLRDHUP) != 0 {
            self.is_gone = true;
        }
    }

    fn take_frames(&mut self, input: &mut Vec<(u32, Vec<u8>)>) {
        loop {
            match self.decoder.next_frame() {
                Ok(Some(Frame::Stdin { rank, bytes })) => {
                    self.input.received += bytes.len() as u64;
                    input.push((rank, bytes));
                }
                // It has no say in anything else.
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(_) => {
                    self.is_gone = true;
                    return;
                }
            }
        }
    }

    fn flush(&mut self) {
        while !self.output.is_empty() && !self.is_gone {
            let (front, _) = self.output.as_slices();
            match self.stream.write(front) {
                Ok(count) => drop(self.output.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.is_gone = true,
            }
        }
    }

    /// Says that it is over. The rest is sent beside everything else: nobody waits for a client that only watches.
    fn finish(mut self) {
        self.tell_left_out();
        self.send(&Frame::Finished);
        self.flush();
        if self.is_gone || self.output.is_empty() {
            return;
        }
        let rest: Vec<u8> = self.output.into();
        let mut stream = self.stream;
        let sending = std::thread::Builder::new().name("last words".into()).stack_size(64 << 10).spawn(move || {
            let sent = stream
                .set_nonblocking(false)
                .and_then(|()| stream.set_write_timeout(Some(PATIENCE)))
                .and_then(|()| stream.write_all(&rest));
            if let Err(error) = sent {
                tracing::info!(%error, "an attached client did not take the rest");
            }
        });
        if let Err(error) = sending {
            tracing::info!(%error, "an attached client does not get the rest");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn pair() -> (Client, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let there = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (Client { stream: listener.accept().unwrap().0, decoder: wire::Decoder::default() }, there)
    }

    /// All frames until the end.
    fn frames(mut there: TcpStream) -> Vec<Frame> {
        let (mut bytes, mut decoder, mut frames) = (Vec::new(), wire::Decoder::default(), Vec::new());
        there.read_to_end(&mut bytes).unwrap();
        decoder.feed(&bytes);
        while let Some(frame) = decoder.next_frame().unwrap() {
            frames.push(frame);
        }
        frames
    }

    #[test]
    fn who_comes_later_sees_what_was_written_last() {
        let mut watchers = Watchers::default();
        let long = format!("{}\nend\n", "x".repeat(RECENT_PIECE_MAX));
        watchers.note(false, 0, long.as_bytes());
        watchers.note(true, 1, b"err\n");
        let (client, there) = pair();
        watchers.add(client, &[(0, 9)]);
        watchers.note(false, 0, b"live\n");
        watchers.finish();
        let expected = [
            Frame::Started { rank: 0, pid: 9 },
            Frame::Stdout { rank: 0, bytes: b"end\n".to_vec().into() },
            Frame::Stderr { rank: 1, bytes: b"err\n".to_vec().into() },
            Frame::Stdout { rank: 0, bytes: b"live\n".to_vec().into() },
            Frame::Finished,
        ];
        assert_eq!(frames(there), expected);
        let (client, there) = pair();
        watchers.add(client, &[]);
        assert_eq!(frames(there), [Frame::Finished], "nothing runs any more");
    }

    #[test]
    fn input_that_came_with_the_first_words_is_not_forgotten() {
        let mut watchers = Watchers::default();
        let (mut client, _there) = pair();
        let mut early = VecDeque::new();
        for bytes in [b"mine\n".to_vec(), Vec::new()] {
            wire::encode(&Frame::Stdin { rank: ALL_RANKS, bytes }, &mut early);
        }
        client.decoder.feed(early.make_contiguous());
        let input = watchers.add(client, &[(0, 9)]);
        assert_eq!(input, [(ALL_RANKS, b"mine\n".to_vec()), (ALL_RANKS, Vec::new())]);
        assert!(watchers.has_untold_input());
    }

    #[test]
    fn who_does_not_listen_loses_output_and_is_told() {
        let mut watchers = Watchers::default();
        let (client, there) = pair();
        watchers.add(client, &[(0, 9)]);
        for _ in 0..40 {
            watchers.note(false, 0, &[b'x'; 60_000]);
        }
        watchers.finish();
        let frames = frames(there);
        let written: usize =
            frames.iter().map(|frame| if let Frame::Stdout { bytes, .. } = frame { bytes.len() } else { 0 }).sum();
        let told = frames.iter().find_map(|frame| match frame {
            Frame::Stderr { bytes, .. } => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        });
        let left_out = 40 * 60_000 - written;
        assert!(left_out > 0 && told.is_some_and(|text| text.contains(&format!("{left_out} bytes"))), "{left_out}");
        assert!(watchers.recent_bytes <= RECENT_BYTES_MAX);
        assert_eq!(frames.last(), Some(&Frame::Finished));
    }
}
