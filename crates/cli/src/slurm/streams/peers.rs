//! What the PMIx servers of the nodes say: passed on from one to another, and what it means for the step.

use std::collections::BTreeMap;

use muster_runtime::pmix::HubAction;
use muster_runtime::wire::{ALL_RANKS, Frame, PAYLOAD_BYTES_MAX};

use super::{KILL, Stage};

/// Bytes kept for nodes that have not called yet: questions of the tasks of others, a hundred bytes each.
const EARLY_BYTES_MAX: usize = 16 << 20;

/// What was said to nodes that have not called yet. Their tasks start a little later than those who ask for them.
#[derive(Debug, Default)]
pub(super) struct Early {
    frames: BTreeMap<String, Vec<Frame>>,
    bytes: usize,
}

impl Early {
    /// Keeps `parts`; `false` when it is too much.
    fn keep(&mut self, node: String, parts: Vec<Vec<u8>>) -> bool {
        self.bytes = self.bytes.saturating_add(parts.iter().map(Vec::len).sum());
        let is_kept = self.bytes <= EARLY_BYTES_MAX;
        if is_kept {
            self.frames.entry(node).or_default().extend(parts.into_iter().map(|bytes| Frame::Peers { bytes }));
        }
        is_kept
    }

    /// What is for a node that calls now, in order.
    pub(super) fn take(&mut self, node: &str) -> Vec<Frame> {
        self.frames.remove(node).unwrap_or_default()
    }
}

/// The code of libpmix for a broken connection is all that is known of a task that has gone.
const STREAM: &str = "slurmstepd: error: mpi/pmix";

impl Stage<'_> {
    /// The server of a node has said something.
    pub(super) fn hear_peer(&mut self, node: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let actions = match self.peers.take(node, bytes) {
            Ok(actions) => actions,
            Err(error) => return self.lose_peers(node, &error.to_string()),
        };
        for action in actions {
            match action {
                HubAction::Send { node, bytes } => {
                    let parts = bytes.chunks(PAYLOAD_BYTES_MAX).map(<[u8]>::to_vec);
                    match self.nodes.iter().find(|known| known.node == node) {
                        Some(known) => known.send_all(parts.map(|bytes| Frame::Peers { bytes }).collect()),
                        None if self.early.keep(node.clone(), parts.collect()) => {}
                        None => self.lose_peers(&node, "too much is said to it before it has called")?,
                    }
                }
                HubAction::Abort { status, .. } => {
                    // The low byte is what a process can end with; whoever aborts does not want success.
                    let code = status.to_le_bytes()[0];
                    self.end.abort_code.get_or_insert(if code == 0 { 1 } else { code });
                    self.end_by_task()?;
                }
                HubAction::Lost { rank, status } => {
                    let source = format!("slurm.pmix.{}:{rank}", self.step.step_name);
                    let words = format!("Error handler invoked: status = {status}, source = [{source}]");
                    self.lose_peers(node, &words)?;
                }
            }
        }
        Ok(())
    }

    /// Tasks would wait for ever: the step ends. What is said when it ends already is no news.
    pub(super) fn lose_peers(&mut self, node: &str, words: &str) -> anyhow::Result<()> {
        if self.is_ended || self.is_aborted {
            return Ok(());
        }
        self.flush_messages();
        self.write(node, ALL_RANKS, format!("{STREAM}: {node}: {words}\n").as_bytes(), true)?;
        self.end_by_task()
    }

    fn end_by_task(&mut self) -> anyhow::Result<()> {
        self.abort();
        self.end_step(KILL)
    }
}

#[cfg(test)]
mod tests {
    use muster_runtime::pmix::{Decoder, Head, Message};
    use muster_runtime::wire::{self, NodeHello, WIRE_VERSION};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::mpsc;

    use super::super::{InputTo, Over, Presentation, RanksShown, Sink, StepFacts, Streams};
    use super::*;

    /// A node that calls.
    struct Node {
        stream: TcpStream,
        frames: wire::Decoder,
        messages: Decoder,
    }

    impl Node {
        async fn call(address: std::net::SocketAddr, cookie: &str, name: &str, rank: u32) -> Node {
            let stream = TcpStream::connect(address).await.unwrap();
            let mut node = Node { stream, frames: wire::Decoder::default(), messages: Decoder::default() };
            let hello = NodeHello {
                version: WIRE_VERSION,
                cookie: cookie.to_owned(),
                job_id: 1,
                step: "0".to_owned(),
                node: name.to_owned(),
                ranks: vec![rank],
            };
            node.send(Frame::Hello(hello)).await;
            assert_eq!(node.next().await, Frame::Welcome);
            node
        }

        async fn send(&mut self, frame: Frame) {
            let mut bytes = Vec::new();
            wire::encode(&frame, &mut bytes);
            self.stream.write_all(&bytes).await.unwrap();
        }

        async fn say(&mut self, head: Head) {
            self.send(Frame::Peers { bytes: Message::of(head).encode() }).await;
        }

        async fn next(&mut self) -> Frame {
            loop {
                if let Some(frame) = self.frames.next_frame().unwrap() {
                    return frame;
                }
                let mut buffer = [0; 4096];
                let count = self.stream.read(&mut buffer).await.unwrap();
                assert!(count > 0, "the connection is closed");
                self.frames.feed(&buffer[..count]);
            }
        }

        async fn hear(&mut self) -> Head {
            loop {
                if let Some(message) = self.messages.next_message().unwrap() {
                    return message.head;
                }
                match self.next().await {
                    Frame::Peers { bytes } => self.messages.feed(&bytes),
                    other => panic!("unexpected {other:?}"),
                }
            }
        }
    }

    #[tokio::test]
    async fn questions_wait_for_the_node_that_can_answer() {
        let streams = Streams::open("127.0.0.1").await.unwrap();
        let (address, cookie) = (streams.address().unwrap(), streams.cookie().to_owned());
        let presentation = Presentation {
            label: false,
            stdout: Sink::Stdout,
            stderr: Sink::Stderr,
            ranks_shown: RanksShown::default(),
            input: InputTo::Nobody,
            input_file: None,
            kill_on_bad_exit: false,
            wait_after_first_end: None,
            kill_wait: std::time::Duration::ZERO,
            quiet: true,
            program: None,
            debugged: None,
            progress: None,
            unbuffered: false,
        };
        let facts = StepFacts { step_name: "1.0".to_owned(), tasks: 2, nodes: 2 };
        let (_wishes, wishes) = mpsc::channel(1);
        let over = Over { job: std::future::pending(), step: std::future::pending() };
        let nodes = async {
            let mut first = Node::call(address, &cookie, "n1", 0).await;
            let ask = |token| Head::Ask { token, from: "n1".into(), to: "n2".into(), rank: 1 };
            first.say(ask(1)).await;
            first.say(ask(2)).await;
            // Once this is answered, the questions have been heard.
            first.say(Head::Lookup { token: 3, names: vec!["x".into()], wait: 0 }).await;
            assert!(matches!(first.hear().await, Head::Found { token: 3, .. }));
            let mut second = Node::call(address, &cookie, "n2", 1).await;
            assert_eq!([second.hear().await, second.hear().await], [ask(1), ask(2)]);
            second.say(Head::Answer { token: 2, to: "n1".into(), status: 0 }).await;
            assert!(matches!(first.hear().await, Head::Answer { token: 2, .. }));
            first.send(Frame::Finished).await;
            second.send(Frame::Finished).await;
        };
        let (end, ()) = tokio::join!(streams.attend(&facts, presentation, wishes, over), nodes);
        assert!(end.unwrap().failure.is_none());
    }

    #[test]
    fn not_more_is_kept_than_may_be() {
        let mut early = Early::default();
        let parts = || vec![vec![0; 1 << 20]; 8];
        assert!(early.keep("n2".into(), parts()) && early.keep("n3".into(), parts()));
        assert!(!early.keep("n2".into(), vec![vec![0]]));
        assert_eq!((early.take("n2").len(), early.take("n2").len()), (8, 0));
    }
}
