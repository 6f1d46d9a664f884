//! The streams of one live step on this node: pipes, a terminal and sockets of MPI libraries on one side, the client's
//! connection on the other.
//!
//! Each such step has a thread. It waits for whatever is ready, buffers little, and stops reading where the other side is
//! slow, so that a fast writer is held back and nothing is lost. What the client says is read at almost any time: it sends no more
//! input than this side has said it has room for, and is held back only where it does not keep to that, or where the PMIx server
//! takes nothing. The protocol is [`crate::wire`].

mod outgoing;
mod service;
mod task;
mod watch;
mod watchers;

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use muster_model::state::ExitStatus;

use self::outgoing::Outgoing;
use self::service::Service;
use self::task::{Task, Watches, Which};
use self::watchers::Watchers;
use super::inbox::{Inbox, Mailbox, Message};
use crate::labels::Labels;
use crate::pmi::{Action, Server, StepFacts};
use crate::system;
use crate::unit::{FileLabels, UnitKey};
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
    /// A line for the error stream.
    Say(Vec<u8>),
    /// The unit is ended from outside: the last line of its error stream.
    Farewell(Vec<u8>),
    /// All processes are gone: send the rest and finish.
    Finish,
    /// A further client wants to see what the tasks write.
    Watch(Client),
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
    /// Where what is read of these goes to with labels, instead of to the client.
    pub(crate) output_file: Option<Arc<OwnedFd>>,
    pub(crate) error_file: Option<Arc<OwnedFd>>,
    pub(crate) labels: Option<FileLabels>,
    /// Input and output in one.
    pub(crate) terminal: Option<OwnedFd>,
    /// The socket of its MPI library.
    pub(crate) pmi: Option<OwnedFd>,
}

impl TaskStreams {
    /// None yet.
    pub(crate) fn none(rank: u32) -> TaskStreams {
        TaskStreams {
            rank,
            pid: None,
            input: None,
            output: None,
            error: None,
            output_file: None,
            error_file: None,
            labels: None,
            terminal: None,
            pmi: None,
        }
    }
}

/// A client that has said welcome, and what it sent right behind that.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) decoder: wire::Decoder,
}

impl Client {
    /// Says something before the streams of the step are taken over.
    pub(crate) fn say(&mut self, frame: &Frame) -> io::Result<()> {
        let mut bytes = Vec::new();
        wire::encode(frame, &mut bytes);
        self.stream.write_all(&bytes)
    }
}

/// How the tasks of a step find each other.
#[derive(Debug, Default)]
pub(crate) struct Mpi {
    /// Over sockets that the relay attends itself.
    pub(crate) pmi: Option<StepFacts>,
    /// By a server, to which this is the pipe.
    pub(crate) service: Option<OwnedFd>,
}

/// Starts the thread of a step.
pub(crate) fn start(
    key: UnitKey,
    client: Client,
    tasks: Vec<TaskStreams>,
    mpi: Mpi,
    main: Arc<Inbox>,
) -> io::Result<Arc<Mailbox<RelayCommand>>> {
    let commands = Arc::new(Mailbox::new()?);
    client.stream.set_nonblocking(true)?;
    let watches = Watches::new()?;
    let pmi = mpi.pmi.map(|facts| Server::new(facts, tasks.iter().map(|task| task.rank)));
    let tasks = tasks.into_iter().enumerate().map(|(index, streams)| Task::new(index, streams, &watches));
    let tasks = tasks.collect::<io::Result<Vec<Task>>>()?;
    let mut relay = Relay {
        key,
        client: client.stream,
        places: tasks.iter().map(|task| (task.streams.rank, task.index)).collect(),
        open_outputs: tasks.iter().map(Task::open_outputs).sum(),
        labels: Labels::new(tasks.iter().find_map(|task| task.streams.labels).map_or(1, |labels| labels.tasks)),
        tasks,
        watches,
        decoder: client.decoder,
        output: Outgoing::default(),
        input: InputCount::default(),
        watchers: Watchers::default(),
        pmi,
        service: Service::new(mpi.service)?,
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

impl InputCount {
    /// What is to be told as taken now, where the slowest task has not taken `waiting` bytes.
    fn news(&mut self, waiting: usize) -> Option<u32> {
        self.waiting = waiting;
        let taken = self.received.saturating_sub(waiting as u64);
        let news = taken.saturating_sub(self.told);
        let is_due = news >= TAKEN_BYTES_MIN || news > 0 && waiting == 0;
        is_due.then(|| {
            self.told = taken;
            u32::try_from(news).unwrap_or(u32::MAX)
        })
    }
}

/// Writes all of it into a file. What the disk does not take is lost to the task as it would be if it wrote there itself.
fn put_into(file: &OwnedFd, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match system::write(file.as_raw_fd(), bytes) {
            Ok(count) if count > 0 => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            _ => return,
        }
    }
}

struct Relay {
    key: UnitKey,
    client: TcpStream,
    tasks: Vec<Task>,
    /// Places of tasks in the list, by rank.
    places: HashMap<u32, usize>,
    watches: Watches,
    open_outputs: usize,
    /// For lines in files.
    labels: Labels,
    decoder: wire::Decoder,
    output: Outgoing,
    input: InputCount,
    watchers: Watchers,
    pmi: Option<Server>,
    service: Service,
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
        self.watchers.finish();
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
        if self.input.waiting < INPUT_BYTES_MAX && !self.service.is_full() {
            events |= libc::POLLIN;
        }
        if !self.output.is_empty() {
            events |= libc::POLLOUT;
        }
        // A negative number is passed over.
        let is_open = |is_open: bool, fd| if is_open { fd } else { -1 };
        let may_read = !is_held_back && self.state != State::Flushing;
        let own = [
            system::pollfd(self.commands.fd(), libc::POLLIN),
            system::pollfd(is_open(!self.is_client_gone, self.client.as_raw_fd()), events),
            system::pollfd(self.watches.writable.fd(), libc::POLLIN),
            system::pollfd(is_open(may_read, self.watches.readable.fd()), libc::POLLIN),
            self.service.pollfd(!may_read),
        ];
        let mut fds: Vec<libc::pollfd> = own.into();
        fds.extend(self.watchers.pollfds(self.input.waiting < INPUT_BYTES_MAX));
        // While the client holds us back, silence says nothing about the tasks.
        let timeout = if self.state == State::Draining && !is_held_back { LAST_WORDS_MS } else { -1 };
        system::poll(&mut fds, timeout)?;
        let (own, further) = fds.split_at(own.len());
        let ready = |at: usize| own.get(at).map_or(0, |fd| fd.revents);
        let (commands, client, writable, readable) = (ready(0), ready(1), ready(2), ready(3));
        self.attend_service(ready(4));
        // Before a new one comes and changes their order.
        for (rank, bytes) in self.watchers.serve(further) {
            self.put_input(rank, &bytes);
        }
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
                RelayCommand::Say(bytes) => {
                    let rank = self.tasks.first().map_or(ALL_RANKS, |task| task.streams.rank);
                    self.send(&Frame::Stderr { rank, bytes: bytes.into() });
                }
                RelayCommand::Farewell(bytes) => {
                    let farewell = Frame::Stderr { rank: ALL_RANKS, bytes: bytes.into() };
                    self.watchers.send(&farewell);
                    self.send(&farewell);
                    self.send(&Frame::Ending);
                }
                RelayCommand::Finish => self.state = State::Draining,
                RelayCommand::Watch(client) => self.watch(client),
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
                task.is_over = true;
            }
        }
        let ended = Frame::Ended { rank, exit };
        self.watchers.send(&ended);
        self.send(&ended);
    }

    /// A further client has called.
    fn watch(&mut self, client: Client) {
        let living = self.tasks.iter().filter(|task| !task.is_over && self.state == State::Open);
        let living: Vec<(u32, u32)> = living.filter_map(|task| Some((task.streams.rank, task.streams.pid?))).collect();
        for (rank, bytes) in self.watchers.add(client, &living) {
            self.put_input(rank, &bytes);
        }
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
        let is_error = which == Which::Error;
        let file = task.labelled_file(which);
        let mut buffer = Vec::new();
        let read = match which {
            Which::Pmi => system::append(fd, &mut buffer, READ_BYTES),
            _ if file.is_some() => system::append(fd, &mut buffer, READ_BYTES),
            // Nobody wants it any more, but the task has to get rid of it.
            _ if self.is_client_gone => system::append(fd, &mut buffer, READ_BYTES),
            _ => self.output.read(fd, is_error, rank).map(|bytes| {
                self.watchers.note(is_error, rank, bytes);
                bytes.len()
            }),
        };
        match read {
            Ok(count) if count > 0 => {
                if which == Which::Pmi {
                    self.ask_pmi(rank, &buffer);
                } else if let Some((file, shown)) = file {
                    put_into(&file, &self.labels.label(shown, is_error, &buffer));
                } else if self.is_client_gone {
                    self.watchers.note(is_error, rank, &buffer);
                }
                count
            }
            Err(error) if system::is_retry(&error) => 0,
            // The end. A terminal gives EIO when its last process is gone.
            _ => {
                self.open_outputs -= usize::from(which != Which::Pmi);
                task.close(which, &self.watches);
                if let Some((file, shown)) = file {
                    put_into(&file, &self.labels.end(shown, is_error));
                }
                0
            }
        }
    }

    /// The PMIx server of the step says something, takes something, or has gone.
    fn attend_service(&mut self, events: libc::c_short) {
        if events & libc::POLLOUT != 0 {
            self.service.write();
        }
        if events & (libc::POLLIN | libc::POLLHUP | libc::POLLERR) == 0 {
            return;
        }
        match self.service.read() {
            Some(bytes) if bytes.is_empty() => {}
            Some(bytes) => self.send(&Frame::Peers { bytes }),
            None => {
                let message = "the PMIx server of the node has ended".to_owned();
                self.send(&Frame::Abort { rank: ALL_RANKS, message });
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
                    self.send(&Frame::Stderr { rank: ALL_RANKS, bytes: bytes.into() });
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
                self.put_input(rank, &bytes);
            }
            Frame::Signal { rank, signal } => self.main.send(Message::ClientSignal { key: self.key, rank, signal }),
            Frame::WindowSize { rows, columns } => {
                for fd in self.tasks.iter().filter_map(|task| task.streams.terminal.as_ref()) {
                    super::terminal::set_size(fd.as_raw_fd(), rows, columns);
                }
            }
            Frame::Values { bytes } => {
                let is_sound = self.pmi.as_mut().is_none_or(|server| server.add_values(&bytes));
                if !is_sound {
                    tracing::warn!(unit = %self.key, "client sends more values than a step can have");
                    self.client_gone();
                }
            }
            Frame::Peers { bytes } => self.service.put(&bytes),
            Frame::Fence => {
                let actions = self.pmi.as_mut().map(Server::pass_fence).unwrap_or_default();
                self.carry_out(actions);
            }
            // Only nodes send the others.
            _ => {}
        }
    }

    /// Gives bytes to the tasks that they are for.
    fn put_input(&mut self, rank: u32, bytes: &[u8]) {
        for task in &mut self.tasks {
            if (rank == ALL_RANKS || rank == task.streams.rank) && task.takes_input() {
                task.put_input(bytes, &self.watches);
            }
        }
    }

    /// The clients may send as much again as the slowest task has taken.
    fn tell_taken(&mut self) {
        // After the end nobody sends any more, and nothing is said.
        let is_all_told = self.input.received == self.input.told && !self.watchers.has_untold_input();
        if is_all_told || matches!(self.state, State::Flushing | State::Over) {
            return;
        }
        let waiting = self.tasks.iter().map(Task::input_waiting).max().unwrap_or(0);
        self.watchers.tell_taken(waiting);
        if let Some(bytes) = self.input.news(waiting) {
            self.send(&Frame::Taken { bytes });
        }
    }

    fn send(&mut self, frame: &Frame) {
        if !self.is_client_gone {
            self.output.put(frame);
        }
    }

    fn flush(&mut self) {
        self.watchers.flush();
        if !self.is_client_gone && self.output.write(&mut self.client).is_err() {
            self.client_gone();
        }
    }

    /// The step cannot go on without its client. What tasks write from now on is read and dropped, so that they can end.
    fn client_gone(&mut self) {
        if !self.is_client_gone {
            self.is_client_gone = true;
            self.output = Outgoing::default();
            if self.state == State::Open {
                self.main.send(Message::ClientGone { key: self.key });
            }
        }
    }
}
