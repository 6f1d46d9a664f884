//! The client's end of a live step: tasks' output comes straight from the nodes, input goes straight to them.
//!
//! Each node of the step makes one connection to the port opened here; see `muster_runtime::wire` for what is said on
//! it. Nothing passes through the controller.

pub(crate) mod attached;
pub(crate) mod broadcast;
mod connection;
mod ends;
mod input;
mod lines;
mod peers;
mod progress;
mod reports;
mod sink;
mod visit;

use std::collections::BTreeMap;
use std::io::Read;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use muster_model::resources::IndexSet;
use muster_model::state::ExitStatus;
use muster_runtime::labels::Labels;
use muster_runtime::pmi::Hub;
use muster_runtime::pmix;
use muster_runtime::unit::OUT_OF_MEMORY;
use muster_runtime::wire::{ALL_RANKS, Frame, PAYLOAD_BYTES_MAX};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use ends::EndMessages;
pub(crate) use input::InputTo;
pub(crate) use progress::Progress;
pub(crate) use sink::Sink;

use connection::{Connection, FromNode, InputWay};
use lines::Lines;

/// Frames of all nodes that may wait to be written. Nodes wait beyond that, and their tasks in turn.
const FRAMES_WAITING_MAX: usize = 64;
/// How long ends of tasks are gathered, so that equal ones make one message.
const END_GATHER_TIME: Duration = Duration::from_millis(50);

/// What is allowed for the end of a step beyond `KillWait`, as real srun says it.
const AFTER_KILL_SECONDS: u64 = 2;

/// Who ends a job asks its `srun` to end as well as its tasks: the word of the nodes gets this long to arrive first.
const FORCE_PAUSE: Duration = Duration::from_millis(200);

const INTERRUPT: u8 = 2;
const KILL: u8 = 9;
const TERMINATE: u8 = 15;

/// An open port on which the nodes of one step will call.
pub(crate) struct Streams {
    listener: TcpListener,
    cookie: String,
}

/// How the streams of a step are shown.
pub(crate) struct Presentation {
    /// `--label`: each line begins with its rank.
    pub label: bool,
    /// `--unbuffered`: what comes is shown at once, also where lines of several tasks mix.
    pub unbuffered: bool,
    /// Where standard output goes.
    pub stdout: Sink,
    /// Where standard error goes.
    pub stderr: Sink,
    /// `--output=N`, `--error=N`: only what these ranks write is shown.
    pub ranks_shown: RanksShown,
    /// Who gets standard input.
    pub input: InputTo,
    /// What is read in place of the client's own standard input.
    pub input_file: Option<std::fs::File>,
    /// `--kill-on-bad-exit`: the first bad end ends the step.
    pub kill_on_bad_exit: bool,
    /// `--wait`: the step ends so long after the first end of a task; `None` for never.
    pub wait_after_first_end: Option<Duration>,
    /// `KillWait`: what tasks get between TERM and KILL.
    pub kill_wait: Duration,
    /// `--quiet`: only errors are told.
    pub quiet: bool,
    /// `--bcast`: the program, which is sent to all nodes before any task starts, and its path for messages.
    pub program: Option<(broadcast::Source, String)>,
    /// `--debugger-test`: this program stands still on all nodes, and it is told where.
    pub debugged: Option<String>,
    /// `--verbose`: starts and good ends are told, too.
    pub progress: Option<Progress>,
}

/// The one rank whose output is shown, where only one is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RanksShown {
    /// Of standard output.
    pub stdout: Option<u32>,
    /// Of standard error.
    pub stderr: Option<u32>,
}

/// What the caller of [`Streams::attend`] asks for while the step runs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wish {
    /// Send this signal to all tasks.
    Signal(u8),
    /// End the step: gently by INT, at once by KILL.
    End(u8),
    /// The terminal has this size now.
    WindowSize(u16, u16),
}

/// How the caller of [`Streams::attend`] hears that there is nothing left to attend.
pub(crate) struct Over<Job, Step> {
    /// The job has ended.
    pub job: Job,
    /// The step has ended. Looked at only while a node has not called: what does not call says nothing.
    pub step: Step,
}

/// The step as it was created.
pub(crate) struct StepFacts {
    /// `12.0`, for messages.
    pub step_name: String,
    /// Ranks of the step.
    pub tasks: u32,
    /// Nodes that will call.
    pub nodes: usize,
}

/// How the step ended, as its tasks told.
#[derive(Debug, Default)]
pub(crate) struct StepEnd {
    /// End of each task that reported one.
    pub exits: BTreeMap<u32, ExitStatus>,
    /// A node could not set the step up, with its error number.
    pub failure: Option<(u32, String)>,
    /// A task ended the step by its MPI library, and wanted this exit code.
    pub abort_code: Option<u8>,
}

impl StepEnd {
    /// The exit code of srun: the highest of the tasks; 128 and the number for a signal, 1 for a lack of memory.
    pub(crate) fn exit_code(&self) -> u8 {
        let code = |exit: &ExitStatus| match exit.signal {
            _ if *exit == OUT_OF_MEMORY => 1,
            0 => exit.code,
            signal => 128_u8.saturating_add(signal),
        };
        let worst = self.exits.values().map(code).max().unwrap_or(0);
        if let Some(code) = self.abort_code {
            return code;
        }
        match &self.failure {
            Some((errno, _)) if worst == 0 => ends::code_of_failure(*errno),
            _ => worst,
        }
    }

    /// The worst end as a job records it.
    pub(crate) fn exit(&self) -> ExitStatus {
        let worst = self.exits.values().fold(ExitStatus::SUCCESS, |worst, exit| worst.worse(*exit));
        match &self.failure {
            Some((errno, _)) if worst.is_success() => ExitStatus::exited(ends::code_of_failure(*errno)),
            _ => worst,
        }
    }
}

impl Streams {
    /// Opens a port on `address` and makes the secret that opens it.
    pub(crate) async fn open(address: &str) -> anyhow::Result<Streams> {
        let listener =
            TcpListener::bind((address, 0)).await.with_context(|| format!("cannot open a port on {address}"))?;
        let mut bytes = [0_u8; 16];
        std::fs::File::open("/dev/urandom")
            .and_then(|mut source| source.read_exact(&mut bytes))
            .context("cannot read /dev/urandom")?;
        Ok(Streams { listener, cookie: bytes.iter().map(|byte| format!("{byte:02x}")).collect() })
    }

    /// Where nodes have to call.
    pub(crate) fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// The secret they have to know.
    pub(crate) fn cookie(&self) -> &str {
        &self.cookie
    }

    /// Attends the step until all its nodes are finished, or `over` says that it ended without them.
    pub(crate) async fn attend(
        self,
        step: &StepFacts,
        mut presentation: Presentation,
        mut wishes: mpsc::Receiver<Wish>,
        over: Over<impl Future<Output = ()>, impl Future<Output = ()>>,
    ) -> anyhow::Result<StepEnd> {
        let (sender, mut frames) = mpsc::channel(FRAMES_WAITING_MAX);
        let program = presentation.program.as_ref().map(|(source, _)| source.clone());
        let accepting = tokio::spawn(connection::accept_all(self.listener, self.cookie, sender, program));
        let input = input::open(presentation.input, presentation.input_file.take());
        let mut stage = Stage::new(step, presentation, input);
        let (job_over, step_over) = (over.job, over.step);
        tokio::pin!(job_over, step_over);
        while stage.nodes_finished < step.nodes {
            tokio::select! {
                Some(message) = frames.recv() => stage.take(message)?,
                Some(wish) = wishes.recv() => stage.wish(wish)?,
                () = tokio::time::sleep_until(stage.next_deadline()) => stage.deadline()?,
                // The controller saw the end first: what is still on its way gets a moment.
                () = &mut job_over, if !stage.is_over => stage.grant_grace(),
                () = &mut step_over, if !stage.is_over && stage.waits_for_calls() => stage.grant_grace(),
            }
            if stage.gave_up() {
                stage.tell_who_is_missing();
                break;
            }
            if stage.is_not_broadcast {
                break;
            }
        }
        accepting.abort();
        if let Some(feeding) = stage.feeding.take() {
            feeding.abort();
        }
        stage.finish()
    }
}

/// How long output may still arrive after the controller has seen the end of the step.
const GRACE: Duration = Duration::from_secs(2);

/// State of an attended step.
struct Stage<'a> {
    step: &'a StepFacts,
    nodes: Vec<Connection>,
    nodes_finished: usize,
    labels: Option<Labels>,
    lines: Option<Lines>,
    stdout: Sink,
    stderr: Sink,
    ranks_shown: RanksShown,
    input: InputTo,
    /// What is read for the tasks; taken when all who get it are there.
    chunks: Option<mpsc::Receiver<(u32, Vec<u8>)>>,
    feeding: Option<tokio::task::JoinHandle<()>>,
    hub: Hub,
    /// Between the PMIx servers of the nodes.
    peers: pmix::Hub,
    early: peers::Early,
    kill_on_bad_exit: bool,
    wait_after_first_end: Option<Duration>,
    kill_wait: Duration,
    quiet: bool,
    end: StepEnd,
    messages: EndMessages,
    progress: Option<Progress>,
    flush_messages_at: Option<tokio::time::Instant>,
    end_step_at: Option<tokio::time::Instant>,
    kill_at: Option<tokio::time::Instant>,
    give_up_at: Option<tokio::time::Instant>,
    is_over: bool,
    force_at: Option<tokio::time::Instant>,
    /// Its nodes end the step by themselves.
    nodes_end_it: bool,
    /// We ended the step ourselves.
    is_ended: bool,
    /// That somebody ended the step has been told.
    is_aborted: bool,
    /// Path of the program that is sent to the nodes first.
    program: Option<String>,
    /// The program that stands still, for a debugger.
    debugged: Option<String>,
    /// It could not be sent to a node, so that no task starts.
    is_not_broadcast: bool,
}

impl<'a> Stage<'a> {
    fn new(step: &'a StepFacts, presentation: Presentation, chunks: mpsc::Receiver<(u32, Vec<u8>)>) -> Self {
        Stage {
            step,
            nodes: Vec::new(),
            nodes_finished: 0,
            labels: presentation.label.then(|| Labels::new(step.tasks)),
            lines: (step.tasks > 1 && !presentation.unbuffered).then(Lines::default),
            stdout: presentation.stdout,
            stderr: presentation.stderr,
            ranks_shown: presentation.ranks_shown,
            input: presentation.input,
            chunks: Some(chunks),
            feeding: None,
            hub: Hub::new(step.nodes),
            peers: pmix::Hub::default(),
            early: peers::Early::default(),
            kill_on_bad_exit: presentation.kill_on_bad_exit,
            wait_after_first_end: presentation.wait_after_first_end,
            kill_wait: presentation.kill_wait,
            quiet: presentation.quiet,
            end: StepEnd::default(),
            messages: EndMessages::default(),
            progress: presentation.progress,
            debugged: presentation.debugged,
            flush_messages_at: None,
            end_step_at: None,
            kill_at: None,
            give_up_at: None,
            is_over: false,
            force_at: None,
            nodes_end_it: false,
            is_ended: false,
            is_aborted: false,
            program: presentation.program.map(|(_, path)| path),
            is_not_broadcast: false,
        }
    }

    fn take(&mut self, message: FromNode) -> anyhow::Result<()> {
        match message {
            FromNode::Connected(node) => {
                node.send_all(self.early.take(&node.node));
                self.nodes.push(node);
                if self.program.is_some() && self.nodes.len() >= self.step.nodes {
                    self.nodes.iter().for_each(|node| node.send_all(vec![Frame::Welcome]));
                }
                self.start_feeding();
            }
            FromNode::NotBroadcast(node, errno) => self.not_broadcast(&node, errno),
            FromNode::Frame(node, frame) => self.take_frame(&node, frame)?,
            FromNode::Closed(node, finished) => {
                self.nodes_finished += 1;
                self.nodes.iter().filter(|known| known.node == node).for_each(Connection::close_input);
                if !finished {
                    eprintln!("srun: error: Node failure on {node}");
                    self.end.failure.get_or_insert((0, format!("the connection of {node} broke")));
                }
            }
        }
        Ok(())
    }

    /// The other nodes see their connections close before their tasks start.
    fn not_broadcast(&mut self, node: &str, errno: i32) {
        let words = super::end::words(errno);
        eprintln!("srun: error: REQUEST_FILE_BCAST({node}): {words}");
        eprintln!(
            "srun: fatal: Failed to broadcast '{}'. Step launch aborted.",
            self.program.as_deref().unwrap_or_default()
        );
        self.is_not_broadcast = true;
        self.end.failure.get_or_insert((0, words));
    }

    fn take_frame(&mut self, node: &str, frame: Frame) -> anyhow::Result<()> {
        match frame {
            Frame::Stdout { rank, bytes } => self.write(node, rank, &bytes, false)?,
            Frame::Stderr { rank, bytes } => self.write(node, rank, &bytes, true)?,
            Frame::Started { rank, pid } => {
                if let Some(program) = &self.debugged {
                    self.say(&format!("task:{rank}, host:{node}, pid:{pid}, executable:{program}"));
                }
                self.task_started(node);
            }
            Frame::Ending if !self.is_ended => {
                self.nodes_end_it = true;
                self.abort();
            }
            Frame::Ended { rank, exit } => self.task_ended(node, rank, exit)?,
            Frame::Taken { bytes } => {
                self.nodes.iter().filter(|known| known.node == node).for_each(|node| node.taken(bytes))
            }
            Frame::Values { bytes } => self.hub.share(node, &bytes),
            Frame::Fence => {
                if let Some(values) = self.hub.fence(node) {
                    let parts = values.chunks(PAYLOAD_BYTES_MAX).map(|part| Frame::Values { bytes: part.to_vec() });
                    let frames: Vec<Frame> = parts.chain([Frame::Fence]).collect();
                    self.nodes.iter().for_each(|node| node.send_all(frames.clone()));
                }
            }
            Frame::Peers { bytes } => self.hear_peer(node, &bytes)?,
            Frame::Abort { rank: ALL_RANKS, message } => self.lose_peers(node, &message)?,
            Frame::Abort { .. } => self.end_step(KILL)?,
            Frame::Failed { errno, message } => {
                for line in ends::launch_failure(&self.step.step_name, node, errno, &message) {
                    eprintln!("srun: {line}");
                }
                self.end.failure.get_or_insert((errno, message));
            }
            // The rest is never sent by nodes.
            _ => {}
        }
        Ok(())
    }

    /// Shows what a task wrote. Words of the launcher go under the label of the first task of its node.
    fn write(&mut self, node: &str, rank: u32, bytes: &[u8], is_error: bool) -> anyhow::Result<()> {
        let only = if is_error { self.ranks_shown.stderr } else { self.ranks_shown.stdout };
        if rank != ALL_RANKS && only.is_some_and(|only| only != rank) {
            return Ok(());
        }
        let sink = if is_error { &mut self.stderr } else { &mut self.stdout };
        let Some(labels) = &mut self.labels else {
            let Some(lines) = self.lines.as_mut().filter(|_| rank != ALL_RANKS) else {
                return sink.write(bytes);
            };
            let (before, whole) = lines.take(rank, is_error, bytes);
            sink.write(&before)?;
            return sink.write(whole);
        };
        let first =
            self.nodes.iter().find(|known| known.node == node).and_then(|known| known.ranks.iter().min().copied());
        let rank = if rank == ALL_RANKS { first.unwrap_or(0) } else { rank };
        sink.write(&labels.label(rank, is_error, bytes))
    }

    fn say(&self, text: &str) {
        if !self.quiet {
            eprintln!("srun: {text}");
        }
    }

    fn task_started(&mut self, node: &str) {
        let tasks = self.nodes.iter().find(|known| known.node == node).map_or(0, |known| known.ranks.len());
        if let Some(line) = self.progress.as_mut().and_then(|progress| progress.started(node, tasks)) {
            self.say(&line);
        }
    }

    fn task_ended(&mut self, node: &str, rank: u32, exit: ExitStatus) -> anyhow::Result<()> {
        self.end.exits.insert(rank, exit);
        if let Some(lines) = &mut self.lines {
            self.stdout.write(&lines.rest(rank, false))?;
            self.stderr.write(&lines.rest(rank, true))?;
        }
        if !exit.is_success() || self.progress.is_some() {
            self.messages.add(node, rank, exit);
            self.flush_messages_at.get_or_insert_with(|| tokio::time::Instant::now() + END_GATHER_TIME);
        }
        if !exit.is_success()
            && self.kill_on_bad_exit
            && !self.is_ended
            && !self.is_aborted
            && self.end.exits.len() < self.step.tasks as usize
        {
            self.flush_messages();
            self.say(&format!("launch/slurm: _step_signal: Terminating StepId={}", self.step.step_name));
            self.end_step(TERMINATE)?;
        }
        if let Some(wait) = self.wait_after_first_end {
            self.end_step_at.get_or_insert_with(|| tokio::time::Instant::now() + wait);
        }
        Ok(())
    }

    fn wish(&mut self, wish: Wish) -> anyhow::Result<()> {
        match wish {
            Wish::Signal(signal) => self.signal_all(signal),
            Wish::End(INTERRUPT) => {
                // That they died of it is no news to who pressed Ctrl-C. What outlives it is killed.
                self.messages.hide_signals();
                self.abort();
                self.end_step(INTERRUPT)?;
                self.kill_at = Some(tokio::time::Instant::now() + FORCE_PAUSE);
            }
            Wish::End(_) => {
                self.abort();
                self.force_at.get_or_insert_with(|| tokio::time::Instant::now() + FORCE_PAUSE);
            }
            Wish::WindowSize(rows, columns) => {
                self.nodes.iter_mut().for_each(|node| node.send(Frame::WindowSize { rows, columns }))
            }
        }
        Ok(())
    }

    fn signal_all(&mut self, signal: u8) {
        for node in &mut self.nodes {
            node.send(Frame::Signal { rank: ALL_RANKS, signal });
        }
    }

    /// Ends the step, with the line that each end of a step from outside leaves in its error stream.
    fn end_step(&mut self, signal: u8) -> anyhow::Result<()> {
        if self.is_ended || self.nodes_end_it {
            return Ok(());
        }
        self.is_ended = true;
        let first = self.nodes.iter().min_by_key(|node| node.ranks.iter().min().copied());
        let node = first.map_or_else(String::new, |node| node.node.clone());
        let now = jiff::Zoned::now().strftime("%Y-%m-%dT%H:%M:%S");
        let line = format!("slurmstepd: error: *** STEP {} ON {node} CANCELLED AT {now} ***\n", self.step.step_name);
        self.write(&node, ALL_RANKS, line.as_bytes(), true)?;
        self.signal_all(signal);
        self.kill_at = (signal != KILL).then(|| tokio::time::Instant::now() + self.kill_wait);
        Ok(())
    }

    /// The step is being ended: how long it may take.
    fn abort(&mut self) {
        if !self.is_aborted {
            self.is_aborted = true;
            let seconds = self.kill_wait.as_secs().saturating_add(AFTER_KILL_SECONDS);
            self.say(&format!("Job step aborted: Waiting up to {seconds} seconds for job step to finish."));
            self.give_up_at.get_or_insert_with(|| tokio::time::Instant::now() + Duration::from_secs(seconds));
        }
    }

    /// Input flows as soon as all who get it are there, beside everything else: whoever takes it slowly holds up only that.
    fn start_feeding(&mut self) {
        let ways: Vec<InputWay> =
            self.nodes.iter().filter(|node| self.input.reaches(&node.ranks)).map(Connection::input).collect();
        let is_complete = match self.input {
            InputTo::Rank(_) => !ways.is_empty(),
            InputTo::All | InputTo::Nobody => self.nodes.len() >= self.step.nodes,
        };
        if is_complete && let Some(chunks) = self.chunks.take() {
            self.feeding = Some(tokio::spawn(input::feed(chunks, ways)));
        }
    }

    fn next_deadline(&self) -> tokio::time::Instant {
        let all = [self.flush_messages_at, self.end_step_at, self.force_at, self.kill_at, self.give_up_at];
        let far = tokio::time::Instant::now() + Duration::from_secs(3600);
        all.into_iter().flatten().min().unwrap_or(far)
    }

    fn deadline(&mut self) -> anyhow::Result<()> {
        let now = tokio::time::Instant::now();
        if self.flush_messages_at.is_some_and(|at| at <= now) {
            self.flush_messages();
        }
        if self.kill_at.take_if(|at| *at <= now).is_some() {
            self.signal_all(KILL);
        }
        if self.force_at.take_if(|at| *at <= now).is_some() {
            self.end_step(KILL)?;
        }
        if self.end_step_at.take_if(|at| *at <= now).is_some() && !self.is_ended {
            let seconds = self.wait_after_first_end.map_or(0, |wait| wait.as_secs());
            self.say(&format!("First task exited {seconds}s ago"));
            self.tell_tasks();
            self.say(&format!("launch/slurm: _step_signal: Terminating StepId={}", self.step.step_name));
            self.end_step(KILL)?;
            self.abort();
        }
        Ok(())
    }

    /// Which tasks run and which have ended.
    fn tell_tasks(&self) {
        let mut ranks = [IndexSet::default(), IndexSet::default(), IndexSet::default()];
        for rank in 0..self.step.tasks {
            let state = match self.end.exits.get(&rank) {
                None => 0,
                Some(exit) if exit.is_success() => 1,
                Some(_) => 2,
            };
            ranks[state].insert(rank);
        }
        for (ranks, state) in ranks.into_iter().zip(["running", "exited", "exited abnormally"]) {
            if !ranks.is_empty() {
                let tasks = if ranks.len() == 1 { "task" } else { "tasks" };
                self.say(&format!("StepId={} {tasks} {ranks}: {state}", self.step.step_name));
            }
        }
    }

    fn flush_messages(&mut self) {
        self.flush_messages_at = None;
        for line in self.messages.take_lines(self.progress.as_ref()) {
            eprintln!("srun: {line}");
        }
    }

    fn grant_grace(&mut self) {
        self.is_over = true;
        self.give_up_at = Some(tokio::time::Instant::now() + GRACE);
    }

    /// Whether a node of the step has never called.
    fn waits_for_calls(&self) -> bool {
        self.nodes.len() < self.step.nodes
    }

    /// The end did not come from all nodes.
    fn tell_who_is_missing(&mut self) {
        if !self.is_over {
            eprintln!("srun: error: Timed out waiting for job step to complete");
            self.end.failure.get_or_insert((0, "timed out".to_owned()));
        } else if self.waits_for_calls() {
            if self.end.failure.is_none() && !self.is_aborted {
                eprintln!(
                    "srun: error: Task launch for StepId={} failed on a node that never called",
                    self.step.step_name
                );
                eprintln!("srun: error: Application launch failed: see the log of that node");
            }
            self.end.failure.get_or_insert((0, "a node never called".to_owned()));
        }
    }

    fn gave_up(&self) -> bool {
        self.give_up_at.is_some_and(|at| at <= tokio::time::Instant::now())
    }

    fn finish(mut self) -> anyhow::Result<StepEnd> {
        if let Some(labels) = &mut self.labels {
            let (out, err) = labels.rest();
            self.stdout.write(&out)?;
            self.stderr.write(&err)?;
        }
        if let Some(lines) = &mut self.lines {
            self.stdout.write(&lines.all(false))?;
            self.stderr.write(&lines.all(true))?;
        }
        self.stdout.flush()?;
        self.stderr.flush()?;
        self.flush_messages();
        let is_killed = self.end.exits.values().any(|exit| [KILL, TERMINATE].contains(&exit.signal));
        if is_killed && !self.is_aborted {
            self.say(&format!("Force Terminated StepId={}", self.step.step_name));
        }
        Ok(self.end)
    }
}
