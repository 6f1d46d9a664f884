//! Watching a step that belongs to another client (`sattach`): what its tasks write is shown, input is passed on, and nothing
//! happens to it when this side goes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use muster_model::state::ExitStatus;
use muster_runtime::labels::Labels;
use muster_runtime::wire::{ALL_RANKS, Frame};
use tokio::sync::mpsc;

use super::connection::{self, Connection, FromNode};
use super::{FRAMES_WAITING_MAX, InputTo, RanksShown, Sink, Streams, input};

/// How long a node may take to call.
const PATIENCE: Duration = Duration::from_secs(10);

/// How the step is watched.
pub(crate) struct Watching {
    /// Ranks of the step, for labels; `None` without labels.
    pub labels: Option<u32>,
    /// Whose output is shown.
    pub ranks_shown: RanksShown,
    /// Who gets input.
    pub input: InputTo,
    /// Only errors are told.
    pub quiet: bool,
}

impl Streams {
    /// Watches until all `nodes` are finished; gives the highest exit code of the tasks that ended meanwhile.
    pub(crate) async fn watch(self, nodes: &[String], watching: Watching) -> anyhow::Result<u8> {
        let (sender, mut frames) = mpsc::channel(FRAMES_WAITING_MAX);
        let accepting = tokio::spawn(connection::accept_all(self.listener, self.cookie, sender, None));
        let chunks = input::open(watching.input, None);
        let mut view = View {
            labels: watching.labels.map(Labels::new),
            watching,
            chunks: Some(chunks),
            waiting: nodes.iter().cloned().collect(),
            open: BTreeMap::new(),
            started: BTreeSet::new(),
            feeding: None,
            code: 0,
        };
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !view.waiting.is_empty() || !view.open.is_empty() {
            tokio::select! {
                Some(message) = frames.recv() => view.take(message)?,
                () = tokio::time::sleep_until(deadline), if !view.waiting.is_empty() => view.give_up_waiting(),
            }
        }
        accepting.abort();
        if let Some(feeding) = view.feeding.take() {
            feeding.abort();
        }
        view.finish()
    }
}

struct View {
    watching: Watching,
    labels: Option<Labels>,
    /// What is read for the tasks; taken when all nodes are there.
    chunks: Option<mpsc::Receiver<(u32, Vec<u8>)>>,
    /// Nodes that have not called.
    waiting: BTreeSet<String>,
    /// Nodes that have called and are not finished.
    open: BTreeMap<String, Connection>,
    /// Nodes on which a task runs.
    started: BTreeSet<String>,
    feeding: Option<tokio::task::JoinHandle<()>>,
    code: u8,
}

impl View {
    fn take(&mut self, message: FromNode) -> anyhow::Result<()> {
        match message {
            FromNode::Connected(node) => {
                self.waiting.remove(&node.node);
                self.open.insert(node.node.clone(), node);
                self.start_feeding();
            }
            FromNode::Frame(node, frame) => self.take_frame(&node, frame)?,
            FromNode::Closed(node, finished) => {
                if let Some(connection) = self.open.remove(&node) {
                    connection.close_input();
                }
                if !finished {
                    eprintln!("sattach: error: the connection of {node} broke");
                } else if !self.started.contains(&node) && !self.watching.quiet {
                    eprintln!("sattach: Node {node}: no tasks running");
                }
            }
            // No program is sent to them.
            FromNode::NotBroadcast(..) => {}
        }
        Ok(())
    }

    /// Input waits for all nodes, so that all their tasks get it.
    fn start_feeding(&mut self) {
        if self.waiting.is_empty()
            && let Some(chunks) = self.chunks.take()
        {
            let reached = self.open.values().filter(|node| self.watching.input.reaches(&node.ranks));
            self.feeding = Some(tokio::spawn(input::feed(chunks, reached.map(Connection::input).collect())));
        }
    }

    fn give_up_waiting(&mut self) {
        for node in std::mem::take(&mut self.waiting) {
            eprintln!("sattach: error: Node {node}: {}", super::super::end::words(libc::ETIMEDOUT));
        }
        self.start_feeding();
    }

    fn take_frame(&mut self, node: &str, frame: Frame) -> anyhow::Result<()> {
        match frame {
            Frame::Started { .. } => drop(self.started.insert(node.to_owned())),
            Frame::Stdout { rank, bytes } => self.write(node, rank, &bytes, false)?,
            Frame::Stderr { rank, bytes } => self.write(node, rank, &bytes, true)?,
            Frame::Taken { bytes } => self.open.get(node).into_iter().for_each(|node| node.taken(bytes)),
            Frame::Ended { rank, exit } => self.task_ended(rank, exit),
            // The rest is for the client that the step belongs to.
            _ => {}
        }
        Ok(())
    }

    /// A task that a signal ended is passed over, as real sattach does.
    fn task_ended(&mut self, rank: u32, exit: ExitStatus) {
        if exit.signal == 0 && exit.code != 0 {
            eprintln!("sattach: error: task {rank} exited with exit code {}", exit.code);
            self.code = self.code.max(exit.code);
        }
    }

    fn write(&mut self, node: &str, rank: u32, bytes: &[u8], is_error: bool) -> anyhow::Result<()> {
        let shown = self.watching.ranks_shown;
        let only = if is_error { shown.stderr } else { shown.stdout };
        if rank != ALL_RANKS && only.is_some_and(|only| only != rank) {
            return Ok(());
        }
        let mut sink = if is_error { Sink::Stderr } else { Sink::Stdout };
        let Some(labels) = &mut self.labels else {
            return sink.write(bytes);
        };
        // Words of the launcher go under the label of the first task of its node.
        let first = || self.open.get(node).and_then(|known| known.ranks.iter().min().copied()).unwrap_or(0);
        let rank = if rank == ALL_RANKS { first() } else { rank };
        sink.write(&labels.label(rank, is_error, bytes))
    }

    fn finish(mut self) -> anyhow::Result<u8> {
        if let Some(labels) = &mut self.labels {
            let (stdout, stderr) = labels.rest();
            Sink::Stdout.write(&stdout)?;
            Sink::Stderr.write(&stderr)?;
        }
        Ok(self.code)
    }
}
