//! The streams of one live step on this node: pipes and a terminal on one side, the client's connection on the other.
//!
//! Each such step has a thread. It waits with `poll`, buffers little, and stops reading where the other side is slow, so
//! that a fast writer is held back and nothing is lost. The protocol is [`crate::wire`].

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use muster_model::state::ExitStatus;

use super::inbox::{Inbox, Mailbox, Message};
use crate::system;
use crate::unit::UnitKey;
use crate::wire::{self, ALL_RANKS, Frame};

/// Bytes kept for a slow client before tasks are held back.
const OUTPUT_BYTES_MAX: usize = 1 << 20;

/// Bytes of input kept for slow tasks before the client is held back.
const INPUT_BYTES_MAX: usize = 256 << 10;

/// One read from a task.
const READ_BYTES: usize = wire::PAYLOAD_BYTES_MAX;

/// When all processes are gone, a pipe that stays open (some process elsewhere got it) is given up after this silence.
const LAST_WORDS_MS: i32 = 500;

/// What a terminal takes as the end of input.
const END_OF_TRANSMISSION: u8 = 4;

/// What the main thread tells a relay.
#[derive(Debug)]
pub(crate) enum RelayCommand {
    /// The task's process has ended.
    TaskEnded(u32, ExitStatus),
    /// The unit could not be set up.
    Failed { errno: u32, message: String },
    /// The unit is ended from outside: the last line of its error stream.
    Farewell(Vec<u8>),
    /// All processes are gone: send the rest and finish.
    Finish,
    /// Do not wait for the client any longer.
    Abandon,
}

/// The ends of a task's streams that the relay holds.
#[derive(Debug)]
pub(crate) struct TaskStreams {
    pub(crate) rank: u32,
    pub(crate) pid: Option<u32>,
    pub(crate) input: Option<OwnedFd>,
    pub(crate) output: Option<OwnedFd>,
    pub(crate) error: Option<OwnedFd>,
    /// Input and output in one.
    pub(crate) terminal: Option<OwnedFd>,
}

/// A client that has said welcome, and what it sent right behind that.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) decoder: wire::Decoder,
}

/// Starts the thread of a step.
pub(crate) fn start(
    key: UnitKey,
    client: Client,
    tasks: Vec<TaskStreams>,
    main: Arc<Inbox>,
) -> io::Result<Arc<Mailbox<RelayCommand>>> {
    let commands = Arc::new(Mailbox::new()?);
    client.stream.set_nonblocking(true)?;
    let mut relay = Relay {
        key,
        client: client.stream,
        tasks: tasks.into_iter().map(Task::new).collect::<io::Result<_>>()?,
        decoder: client.decoder,
        output: VecDeque::new(),
        commands: Arc::clone(&commands),
        main,
        is_client_gone: false,
        state: State::Open,
    };
    std::thread::Builder::new().name(format!("relay {key}")).stack_size(256 << 10).spawn(move || relay.run())?;
    Ok(commands)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Reading the rest.
    Draining,
    /// All is read and encoded; sending the rest.
    Flushing,
    Over,
}

struct Task {
    streams: TaskStreams,
    pending: VecDeque<u8>,
    is_input_ended: bool,
}

struct Relay {
    key: UnitKey,
    client: TcpStream,
    tasks: Vec<Task>,
    decoder: wire::Decoder,
    output: VecDeque<u8>,
    commands: Arc<Mailbox<RelayCommand>>,
    main: Arc<Inbox>,
    is_client_gone: bool,
    state: State,
}

/// What an entry of the poll list is.
#[derive(Debug, Clone, Copy)]
enum Source {
    Commands,
    Client,
    Input(usize),
    Output(usize, Which),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Output,
    Error,
    Terminal,
}

impl Task {
    fn new(streams: TaskStreams) -> io::Result<Task> {
        for fd in [&streams.input, &streams.output, &streams.error, &streams.terminal].into_iter().flatten() {
            system::set_nonblocking(fd.as_raw_fd())?;
        }
        Ok(Task { streams, pending: VecDeque::new(), is_input_ended: false })
    }

    fn stream(&mut self, which: Which) -> &mut Option<OwnedFd> {
        match which {
            Which::Output => &mut self.streams.output,
            Which::Error => &mut self.streams.error,
            Which::Terminal => &mut self.streams.terminal,
        }
    }

    fn input_fd(&self) -> Option<RawFd> {
        self.streams.input.as_ref().or(self.streams.terminal.as_ref()).map(AsRawFd::as_raw_fd)
    }

    fn close_input(&mut self) {
        self.streams.input = None;
        self.pending.clear();
        self.is_input_ended = true;
    }
}

impl Relay {
    fn run(&mut self) {
        for index in 0..self.tasks.len() {
            if let Some(Task { streams: TaskStreams { rank, pid: Some(pid), .. }, .. }) = self.tasks.get(index) {
                let frame = Frame::Started { rank: *rank, pid: *pid };
                self.send(&frame);
            }
        }
        self.take_frames();
        while self.state != State::Over {
            if let Err(error) = self.turn() {
                tracing::warn!(unit = %self.key, %error, "stream relay failed");
                self.client_gone();
                self.state = State::Over;
            }
        }
        let _ = self.client.shutdown(std::net::Shutdown::Write);
        self.main.send(Message::RelayDone { key: self.key });
    }

    fn turn(&mut self) -> io::Result<()> {
        let mut sources = Vec::with_capacity(2 + self.tasks.len() * 3);
        let mut fds = Vec::with_capacity(sources.capacity());
        self.list_sources(&mut sources, &mut fds);
        let timeout = if self.state == State::Draining { LAST_WORDS_MS } else { -1 };
        // While the client holds us back, silence says nothing about the tasks.
        let timeout = if self.output.len() >= OUTPUT_BYTES_MAX { -1 } else { timeout };
        system::poll(&mut fds, timeout)?;
        let mut is_quiet = true;
        for (source, fd) in sources.into_iter().zip(&fds) {
            if fd.revents == 0 {
                continue;
            }
            is_quiet = false;
            match source {
                Source::Commands => self.obey(),
                Source::Client => self.serve_client(fd.revents),
                Source::Input(task) => self.feed_task(task),
                Source::Output(task, which) => {
                    self.read_task(task, which);
                }
            }
        }
        if self.state == State::Draining && (timeout >= 0 && is_quiet || !self.has_open_outputs()) {
            self.send(&Frame::Finished);
            self.state = State::Flushing;
        }
        self.flush();
        if self.state == State::Flushing && (self.output.is_empty() || self.is_client_gone) {
            self.state = State::Over;
        }
        Ok(())
    }

    fn list_sources(&self, sources: &mut Vec<Source>, fds: &mut Vec<libc::pollfd>) {
        let mut add = |source: Source, fd: RawFd, events: libc::c_short| {
            sources.push(source);
            fds.push(system::pollfd(fd, events));
        };
        add(Source::Commands, self.commands.fd(), libc::POLLIN);
        if !self.is_client_gone {
            let mut events = libc::POLLRDHUP;
            if self.tasks.iter().map(|task| task.pending.len()).max().unwrap_or(0) < INPUT_BYTES_MAX {
                events |= libc::POLLIN;
            }
            if !self.output.is_empty() {
                events |= libc::POLLOUT;
            }
            add(Source::Client, self.client.as_raw_fd(), events);
        }
        let may_read = self.output.len() < OUTPUT_BYTES_MAX && self.state != State::Flushing;
        for (index, task) in self.tasks.iter().enumerate() {
            if let (Some(fd), false) = (task.input_fd(), task.pending.is_empty()) {
                add(Source::Input(index), fd, libc::POLLOUT);
            }
            let streams = &task.streams;
            let outputs = [
                (Which::Output, &streams.output),
                (Which::Error, &streams.error),
                (Which::Terminal, &streams.terminal),
            ];
            for (which, fd) in outputs {
                if let (Some(fd), true) = (fd, may_read) {
                    add(Source::Output(index, which), fd.as_raw_fd(), libc::POLLIN);
                }
            }
        }
    }

    fn has_open_outputs(&self) -> bool {
        self.tasks.iter().any(|Task { streams, .. }| {
            streams.output.is_some() || streams.error.is_some() || streams.terminal.is_some()
        })
    }

    fn obey(&mut self) {
        for command in self.commands.take() {
            match command {
                RelayCommand::TaskEnded(rank, exit) => self.task_ended(rank, exit),
                RelayCommand::Failed { errno, message } => self.send(&Frame::Failed { errno, message }),
                RelayCommand::Farewell(bytes) => {
                    self.send(&Frame::Stderr { rank: ALL_RANKS, bytes });
                    self.send(&Frame::Ending);
                }
                RelayCommand::Finish => self.state = State::Draining,
                RelayCommand::Abandon => self.state = State::Over,
            }
        }
    }

    /// What the task wrote before it ended is in its pipes now and must reach the client before its end does.
    fn task_ended(&mut self, rank: u32, exit: ExitStatus) {
        if let Some(index) = self.tasks.iter().position(|task| task.streams.rank == rank) {
            for which in [Which::Output, Which::Error, Which::Terminal] {
                // A pipe holds at most a megabyte; more comes from other processes, which may go on for ever.
                let mut left = 1 << 20;
                while left > 0 {
                    match self.read_task(index, which) {
                        0 => break,
                        count => left -= count.min(left),
                    }
                }
            }
            if let Some(task) = self.tasks.get_mut(index) {
                task.close_input();
            }
        }
        self.send(&Frame::Ended { rank, exit });
    }

    /// Reads once from a task; gives the number of bytes, 0 for none now or none ever.
    fn read_task(&mut self, index: usize, which: Which) -> usize {
        let Some(task) = self.tasks.get_mut(index) else {
            return 0;
        };
        let rank = task.streams.rank;
        let stream = task.stream(which);
        let Some(fd) = stream.as_ref().map(AsRawFd::as_raw_fd) else {
            return 0;
        };
        let mut buffer = [0; READ_BYTES];
        match system::read(fd, &mut buffer) {
            Ok(count) if count > 0 => {
                if !self.is_client_gone {
                    let mut frame = Vec::with_capacity(count + wire::HEADER_BYTES);
                    wire::encode_output(
                        &mut frame,
                        which == Which::Error,
                        rank,
                        buffer.get(..count).unwrap_or_default(),
                    );
                    self.output.extend(frame);
                }
                count
            }
            Err(error) if system::is_retry(&error) => 0,
            // The end. A terminal gives EIO when its last process is gone.
            _ => {
                *stream = None;
                0
            }
        }
    }

    fn feed_task(&mut self, index: usize) {
        let Some(task) = self.tasks.get_mut(index) else {
            return;
        };
        let Some(fd) = task.input_fd() else {
            return task.pending.clear();
        };
        let (front, _) = task.pending.as_slices();
        match system::write(fd, front) {
            Ok(count) => {
                task.pending.drain(..count);
            }
            Err(error) if system::is_retry(&error) => {}
            Err(_) => task.close_input(),
        }
        if task.pending.is_empty() && task.is_input_ended {
            task.close_input();
        }
    }

    fn serve_client(&mut self, events: libc::c_short) {
        if events & libc::POLLIN != 0 {
            let mut buffer = [0; READ_BYTES];
            match self.client.read(&mut buffer) {
                Ok(0) => self.client_gone(),
                Ok(count) => {
                    self.decoder.feed(buffer.get(..count).unwrap_or_default());
                    self.take_frames();
                }
                Err(error) if system::is_retry(&error) => {}
                Err(_) => self.client_gone(),
            }
        } else if events & (libc::POLLERR | libc::POLLHUP | libc::POLLRDHUP) != 0 {
            self.client_gone();
        }
    }

    fn take_frames(&mut self) {
        loop {
            match self.decoder.next_frame() {
                Ok(Some(frame)) => self.take_frame(frame),
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(unit = %self.key, %error, "client does not keep to the protocol");
                    return self.client_gone();
                }
            }
        }
    }

    fn take_frame(&mut self, frame: Frame) {
        match frame {
            Frame::Stdin { rank, bytes } => {
                for task in &mut self.tasks {
                    if (rank == ALL_RANKS || rank == task.streams.rank) && !task.is_input_ended {
                        put_input(task, &bytes);
                    }
                }
            }
            Frame::Signal { rank, signal } => self.main.send(Message::ClientSignal { key: self.key, rank, signal }),
            Frame::WindowSize { rows, columns } => {
                for fd in self.tasks.iter().filter_map(|task| task.streams.terminal.as_ref()) {
                    super::terminal::set_size(fd.as_raw_fd(), rows, columns);
                }
            }
            // Only nodes send the others.
            _ => {}
        }
    }

    fn send(&mut self, frame: &Frame) {
        if !self.is_client_gone {
            let mut bytes = Vec::new();
            wire::encode(frame, &mut bytes);
            self.output.extend(bytes);
        }
    }

    fn flush(&mut self) {
        while !self.output.is_empty() && !self.is_client_gone {
            let (front, _) = self.output.as_slices();
            match self.client.write(front) {
                Ok(count) => drop(self.output.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.client_gone(),
            }
        }
    }

    /// The step cannot go on without its client. What tasks write from now on is read and dropped, so that they can end.
    fn client_gone(&mut self) {
        if !self.is_client_gone {
            self.is_client_gone = true;
            self.output = VecDeque::new();
            if self.state == State::Open {
                self.main.send(Message::ClientGone { key: self.key });
            }
        }
    }
}

fn put_input(task: &mut Task, bytes: &[u8]) {
    if !bytes.is_empty() {
        task.pending.extend(bytes);
    } else if task.streams.terminal.is_some() {
        task.pending.push_back(END_OF_TRANSMISSION);
    } else {
        task.is_input_ended = true;
        if task.pending.is_empty() {
            task.close_input();
        }
    }
}
