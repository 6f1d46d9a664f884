//! The streams of one live step on this node: pipes, a terminal and sockets of MPI libraries on one side, the client's
//! connection on the other.
//!
//! Each such step has a thread. It waits for whatever is ready, buffers little, and stops reading where the other side is
//! slow, so that a fast writer is held back and nothing is lost. What the client says is read at any time: it sends no more
//! input than this side has said it has room for. The protocol is [`crate::wire`].

mod task;
mod watch;

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use muster_model::state::ExitStatus;

use self::task::{Task, Watches, Which};
use super::inbox::{Inbox, Mailbox, Message};
use crate::pmi::{Action, Server, StepFacts};
use crate::system;
use crate::unit::UnitKey;
use crate::wire::{self, ALL_RANKS, Frame, INPUT_WINDOW_BYTES};

/// Bytes kept for a slow client before tasks are held back.
const OUTPUT_BYTES_MAX: usize = 1 << 20;

/// Bytes of input kept for slow tasks before a client is held back that does not know of the window.
const INPUT_BYTES_MAX: usize = 8 * INPUT_WINDOW_BYTES;

/// Taken input is told of in pieces of this size, or when all is taken.
const TAKEN_BYTES_MIN: u64 = INPUT_WINDOW_BYTES as u64 / 8;

/// One read from a task.
const READ_BYTES: usize = wire::PAYLOAD_BYTES_MAX;

/// When all processes are gone, a pipe that stays open (some process elsewhere got it) is given up after this silence.
const LAST_WORDS_MS: i32 = 500;

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
    /// The socket of its MPI library.
    pub(crate) pmi: Option<OwnedFd>,
}

impl TaskStreams {
    /// None yet.
    pub(crate) fn none(rank: u32) -> TaskStreams {
        TaskStreams { rank, pid: None, input: None, output: None, error: None, terminal: None, pmi: None }
    }
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
    pmi: Option<StepFacts>,
    main: Arc<Inbox>,
) -> io::Result<Arc<Mailbox<RelayCommand>>> {
    let commands = Arc::new(Mailbox::new()?);
    client.stream.set_nonblocking(true)?;
    let watches = Watches::new()?;
    let pmi = pmi.map(|facts| Server::new(facts, tasks.iter().map(|task| task.rank)));
    let tasks = tasks.into_iter().enumerate().map(|(index, streams)| Task::new(index, streams, &watches));
    let tasks = tasks.collect::<io::Result<Vec<Task>>>()?;
    let mut relay = Relay {
        key,
        client: client.stream,
        places: tasks.iter().map(|task| (task.streams.rank, task.index)).collect(),
        open_outputs: tasks.iter().map(Task::open_outputs).sum(),
        tasks,
        watches,
        decoder: client.decoder,
        output: VecDeque::new(),
        input: InputCount::default(),
        pmi,
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

/// How much input has come, and how much of it the client knows to be taken.
#[derive(Debug, Default)]
struct InputCount {
    received: u64,
    told: u64,
    /// What the slowest task has not taken yet.
    waiting: usize,
}

struct Relay {
    key: UnitKey,
    client: TcpStream,
    tasks: Vec<Task>,
    /// Places of tasks in the list, by rank.
    places: HashMap<u32, usize>,
    watches: Watches,
    open_outputs: usize,
    decoder: wire::Decoder,
    output: VecDeque<u8>,
    input: InputCount,
    pmi: Option<Server>,
    commands: Arc<Mailbox<RelayCommand>>,
    main: Arc<Inbox>,
    is_client_gone: bool,
    state: State,
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
        let is_held_back = self.output.len() >= OUTPUT_BYTES_MAX;
        let is_quiet = self.wait(is_held_back)?;
        if self.state == State::Draining && (is_quiet && !is_held_back || self.open_outputs == 0) {
            self.send(&Frame::Finished);
            self.state = State::Flushing;
        }
        self.tell_taken();
        self.flush();
        if self.state == State::Flushing && (self.output.is_empty() || self.is_client_gone) {
            self.state = State::Over;
        }
        Ok(())
    }

    /// Waits and serves what is ready; `true` when nothing was.
    fn wait(&mut self, is_held_back: bool) -> io::Result<bool> {
        let mut events = libc::POLLRDHUP;
        if self.input.waiting < INPUT_BYTES_MAX {
            events |= libc::POLLIN;
        }
        if !self.output.is_empty() {
            events |= libc::POLLOUT;
        }
        // A negative number is passed over.
        let is_open = |is_open: bool, fd| if is_open { fd } else { -1 };
        let may_read = !is_held_back && self.state != State::Flushing;
        let mut fds = [
            system::pollfd(self.commands.fd(), libc::POLLIN),
            system::pollfd(is_open(!self.is_client_gone, self.client.as_raw_fd()), events),
            system::pollfd(self.watches.writable.fd(), libc::POLLIN),
            system::pollfd(is_open(may_read, self.watches.readable.fd()), libc::POLLIN),
        ];
        // While the client holds us back, silence says nothing about the tasks.
        let timeout = if self.state == State::Draining && !is_held_back { LAST_WORDS_MS } else { -1 };
        system::poll(&mut fds, timeout)?;
        let [commands, client, writable, readable] = fds.map(|fd| fd.revents);
        if commands != 0 {
            self.obey();
        }
        if client != 0 {
            self.serve_client(client);
        }
        if writable != 0 {
            for (index, into) in self.watches.writable_now()? {
                if let Some(task) = self.tasks.get_mut(index) {
                    task.write(into, &self.watches);
                }
            }
        }
        if readable != 0 {
            for (index, which) in self.watches.readable_now()? {
                self.read_task(index, which);
            }
        }
        Ok(commands == 0 && client == 0 && writable == 0 && readable == 0)
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
        if let Some(index) = self.places.get(&rank).copied() {
            for which in Which::OUTPUTS {
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
                task.close_input(&self.watches);
            }
        }
        self.send(&Frame::Ended { rank, exit });
    }

    /// Reads once from a task; gives the number of bytes, 0 for none now or none ever.
    fn read_task(&mut self, index: usize, which: Which) -> usize {
        let Some(task) = self.tasks.get_mut(index) else {
            return 0;
        };
        let Some(fd) = task.reading_end(which) else {
            return 0;
        };
        let rank = task.streams.rank;
        let mut buffer = [0; READ_BYTES];
        match system::read(fd, &mut buffer) {
            Ok(count) if count > 0 => {
                let bytes = buffer.get(..count).unwrap_or_default();
                if which == Which::Pmi {
                    self.ask_pmi(rank, bytes);
                } else if !self.is_client_gone {
                    wire::encode_output(&mut self.output, which == Which::Error, rank, bytes);
                }
                count
            }
            Err(error) if system::is_retry(&error) => 0,
            // The end. A terminal gives EIO when its last process is gone.
            _ => {
                self.open_outputs -= usize::from(which != Which::Pmi);
                task.close(which, &self.watches);
                0
            }
        }
    }

    fn ask_pmi(&mut self, rank: u32, bytes: &[u8]) {
        let actions = self.pmi.as_mut().map(|server| server.take(rank, bytes)).unwrap_or_default();
        self.carry_out(actions);
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Answer { rank, bytes } => {
                    if let Some(task) = self.places.get(&rank).and_then(|index| self.tasks.get_mut(*index)) {
                        task.put_answer(&bytes, &self.watches);
                    }
                }
                Action::Fence(values) => {
                    self.send(&Frame::Values { bytes: values });
                    self.send(&Frame::Fence);
                }
                Action::Abort { rank, message } => self.send(&Frame::Abort { rank, message }),
                Action::Complain(text) => {
                    let bytes = format!("slurmstepd: error: mpi/pmi2: {text}\n").into_bytes();
                    self.send(&Frame::Stderr { rank: ALL_RANKS, bytes });
                }
                Action::Close { rank } => {
                    if let Some(task) = self.places.get(&rank).and_then(|index| self.tasks.get_mut(*index)) {
                        task.close(Which::Pmi, &self.watches);
                    }
                }
            }
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
                self.input.received += bytes.len() as u64;
                for task in &mut self.tasks {
                    if (rank == ALL_RANKS || rank == task.streams.rank) && task.takes_input() {
                        task.put_input(&bytes, &self.watches);
                    }
                }
            }
            Frame::Signal { rank, signal } => self.main.send(Message::ClientSignal { key: self.key, rank, signal }),
            Frame::WindowSize { rows, columns } => {
                for fd in self.tasks.iter().filter_map(|task| task.streams.terminal.as_ref()) {
                    super::terminal::set_size(fd.as_raw_fd(), rows, columns);
                }
            }
            Frame::Values { bytes } => self.pmi.as_mut().into_iter().for_each(|server| server.add_values(&bytes)),
            Frame::Fence => {
                let actions = self.pmi.as_mut().map(Server::pass_fence).unwrap_or_default();
                self.carry_out(actions);
            }
            // Only nodes send the others.
            _ => {}
        }
    }

    /// The client may send as much again as the slowest task has taken.
    fn tell_taken(&mut self) {
        // After the end nobody sends any more, and nothing is said.
        if self.input.received == self.input.told || matches!(self.state, State::Flushing | State::Over) {
            return;
        }
        self.input.waiting = self.tasks.iter().map(Task::input_waiting).max().unwrap_or(0);
        let taken = self.input.received.saturating_sub(self.input.waiting as u64);
        let news = taken.saturating_sub(self.input.told);
        if news >= TAKEN_BYTES_MIN || news > 0 && self.input.waiting == 0 {
            self.input.told = taken;
            self.send(&Frame::Taken { bytes: u32::try_from(news).unwrap_or(u32::MAX) });
        }
    }

    fn send(&mut self, frame: &Frame) {
        if !self.is_client_gone {
            wire::encode(frame, &mut self.output);
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
