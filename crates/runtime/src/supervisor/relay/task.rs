//! One task as its relay sees it: what it writes, what it is to be given, and the socket of its MPI library.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use super::TaskStreams;
use super::watch::Watch;
use crate::system;

/// Bytes of answers kept for an MPI library that does not read them, before its questions are left unread.
const ANSWERS_BYTES_MAX: usize = 1 << 20;

/// What can be read of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Output,
    Error,
    Terminal,
    Pmi,
}

impl Which {
    const ALL: [Which; 4] = [Which::Output, Which::Error, Which::Terminal, Which::Pmi];

    /// Those that carry what the task writes.
    pub(super) const OUTPUTS: [Which; 3] = [Which::Output, Which::Error, Which::Terminal];
}

/// What can be written to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Into {
    Input,
    Pmi,
}

/// Both sets of descriptors of a step.
#[derive(Debug)]
pub(super) struct Watches {
    pub(super) readable: Watch,
    pub(super) writable: Watch,
}

impl Watches {
    pub(super) fn new() -> io::Result<Watches> {
        Ok(Watches { readable: Watch::new()?, writable: Watch::new()? })
    }

    /// What can be read now: the place of the task in the list, and what of it.
    pub(super) fn readable_now(&self) -> io::Result<Vec<(usize, Which)>> {
        let ready = self.readable.ready()?.into_iter();
        let count = Which::ALL.len();
        Ok(ready.filter_map(|token| Some((token as usize / count, *Which::ALL.get(token as usize % count)?))).collect())
    }

    /// What can be written to now.
    pub(super) fn writable_now(&self) -> io::Result<Vec<(usize, Into)>> {
        let which = |token: u64| if token.is_multiple_of(2) { Into::Input } else { Into::Pmi };
        Ok(self.writable.ready()?.into_iter().map(|token| (token as usize / 2, which(token))).collect())
    }
}

/// Bytes that wait until a descriptor takes them.
#[derive(Debug, Default)]
struct Waiting {
    bytes: VecDeque<u8>,
    is_watched: bool,
}

/// A task with its place in the list.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) index: usize,
    pub(super) streams: TaskStreams,
    /// Its process has ended.
    pub(super) is_over: bool,
    input: Waiting,
    is_input_ended: bool,
    answers: Waiting,
    /// It has to take answers before more of its questions are read.
    owes_reading: bool,
}

impl Task {
    pub(super) fn new(index: usize, streams: TaskStreams, watches: &Watches) -> io::Result<Task> {
        let task = Task {
            index,
            streams,
            is_over: false,
            input: Waiting::default(),
            is_input_ended: false,
            answers: Waiting::default(),
            owes_reading: false,
        };
        for which in Which::ALL {
            if let Some(fd) = task.reading_end(which) {
                system::set_nonblocking(fd)?;
                watches.readable.add_readable(fd, task.token(which))?;
            }
        }
        if let Some(fd) = &task.streams.input {
            system::set_nonblocking(fd.as_raw_fd())?;
        }
        Ok(task)
    }

    /// By which [`Watches::readable_now`] knows one of its streams.
    fn token(&self, which: Which) -> u64 {
        self.index as u64 * Which::ALL.len() as u64 + which as u64
    }

    fn slot(&mut self, which: Which) -> &mut Option<OwnedFd> {
        match which {
            Which::Output => &mut self.streams.output,
            Which::Error => &mut self.streams.error,
            Which::Terminal => &mut self.streams.terminal,
            Which::Pmi => &mut self.streams.pmi,
        }
    }

    /// Where to read from, if it is open.
    pub(super) fn reading_end(&self, which: Which) -> Option<RawFd> {
        let slot = match which {
            Which::Output => &self.streams.output,
            Which::Error => &self.streams.error,
            Which::Terminal => &self.streams.terminal,
            Which::Pmi => &self.streams.pmi,
        };
        slot.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// The file into which what is read of a stream goes with labels, and the rank that stands there.
    pub(super) fn labelled_file(&self, which: Which) -> Option<(Arc<OwnedFd>, u32)> {
        let file = match which {
            Which::Output => self.streams.output_file.as_ref(),
            Which::Error => self.streams.error_file.as_ref(),
            Which::Terminal | Which::Pmi => None,
        };
        let first_rank = self.streams.labels.map_or(0, |labels| labels.first_rank);
        file.map(|file| (Arc::clone(file), first_rank.saturating_add(self.streams.rank)))
    }

    /// How many of its outputs are open.
    pub(super) fn open_outputs(&self) -> usize {
        Which::OUTPUTS.iter().filter(|which| self.reading_end(**which).is_some()).count()
    }

    /// Reads no more from it.
    pub(super) fn close(&mut self, which: Which, watches: &Watches) {
        if let Some(fd) = self.reading_end(which) {
            watches.readable.remove(fd);
            watches.writable.remove(fd);
        }
        *self.slot(which) = None;
    }

    /// Bytes of standard input that it has not taken yet.
    pub(super) fn input_waiting(&self) -> usize {
        self.input.bytes.len()
    }

    /// Whether it takes input still.
    pub(super) fn takes_input(&self) -> bool {
        !self.is_input_ended
    }

    /// Gives it input; an empty piece is the end.
    pub(super) fn put_input(&mut self, bytes: &[u8], watches: &Watches) {
        /// What a terminal takes as the end of input.
        const END_OF_TRANSMISSION: u8 = 4;
        if !bytes.is_empty() {
            self.input.bytes.extend(bytes);
        } else if self.streams.terminal.is_some() {
            self.input.bytes.push_back(END_OF_TRANSMISSION);
        } else {
            self.is_input_ended = true;
        }
        self.write(Into::Input, watches);
    }

    /// Gives its MPI library an answer.
    pub(super) fn put_answer(&mut self, bytes: &[u8], watches: &Watches) {
        self.answers.bytes.extend(bytes);
        self.write(Into::Pmi, watches);
    }

    /// Leaves its questions unread while it does not read the answers, and reads them again once it does.
    fn hold_questions(&mut self, watches: &Watches) {
        let Some(fd) = self.reading_end(Which::Pmi) else { return };
        let waiting = self.answers.bytes.len();
        if !self.owes_reading && waiting > ANSWERS_BYTES_MAX {
            watches.readable.remove(fd);
            self.owes_reading = true;
        } else if self.owes_reading && waiting == 0 {
            self.owes_reading = false;
            if watches.readable.add_readable(fd, self.token(Which::Pmi)).is_err() {
                self.give_up(Into::Pmi, watches);
            }
        }
    }

    /// Nobody reads its input any more.
    pub(super) fn close_input(&mut self, watches: &Watches) {
        if let Some(fd) = self.streams.input.take() {
            watches.writable.remove(fd.as_raw_fd());
        }
        self.input.bytes.clear();
        self.is_input_ended = true;
    }

    fn writing_end(&self, into: Into) -> Option<RawFd> {
        let slot = match into {
            Into::Input => self.streams.input.as_ref().or(self.streams.terminal.as_ref()),
            Into::Pmi => self.streams.pmi.as_ref(),
        };
        slot.map(AsRawFd::as_raw_fd)
    }

    /// Writes as much as is taken now, and sees to it that the rest follows.
    pub(super) fn write(&mut self, into: Into, watches: &Watches) {
        let Some(fd) = self.writing_end(into) else {
            return self.waiting(into).bytes.clear();
        };
        let token = self.index as u64 * 2 + u64::from(into == Into::Pmi);
        let waiting = self.waiting(into);
        while !waiting.bytes.is_empty() {
            let (front, _) = waiting.bytes.as_slices();
            match system::write(fd, front) {
                Ok(count) => drop(waiting.bytes.drain(..count)),
                Err(error) if system::is_retry(&error) => break,
                Err(_) => return self.give_up(into, watches),
            }
        }
        if waiting.bytes.is_empty() == waiting.is_watched {
            waiting.is_watched = !waiting.is_watched;
            let is_watched = waiting.is_watched;
            if !is_watched {
                watches.writable.remove(fd);
            } else if watches.writable.add_writable(fd, token).is_err() {
                return self.give_up(into, watches);
            }
        }
        if into == Into::Pmi {
            self.hold_questions(watches);
        }
        if into == Into::Input && self.is_input_ended && self.input.bytes.is_empty() && self.streams.input.is_some() {
            self.close_input(watches);
        }
    }

    fn waiting(&mut self, into: Into) -> &mut Waiting {
        match into {
            Into::Input => &mut self.input,
            Into::Pmi => &mut self.answers,
        }
    }

    fn give_up(&mut self, into: Into, watches: &Watches) {
        match into {
            Into::Input => self.close_input(watches),
            Into::Pmi => self.close(Which::Pmi, watches),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_left_unread_while_their_answers_are() {
        let (ours, theirs) = system::socket_pair().unwrap();
        let watches = Watches::new().unwrap();
        let mut task = Task::new(1, TaskStreams { pmi: Some(ours), ..TaskStreams::none(5) }, &watches).unwrap();
        system::write(theirs.as_raw_fd(), b"cmd=get").unwrap();
        let readable = || watches.readable_now().unwrap();
        assert_eq!(readable(), [(1, Which::Pmi)]);
        let mut count = 0;
        while !readable().is_empty() {
            task.put_answer(&[0; 4096], &watches);
            count += 4096;
        }
        assert!(task.answers.bytes.len() <= ANSWERS_BYTES_MAX + 4096);
        let (mut taken, mut buffer) = (0, vec![0; 1 << 20]);
        while taken < count {
            taken += system::read(theirs.as_raw_fd(), &mut buffer).unwrap();
            task.write(Into::Pmi, &watches);
        }
        assert_eq!((taken, readable()), (count, vec![(1, Which::Pmi)]));
    }
}
