//! Connections of nodes.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use muster_runtime::wire::{self, Decoder, Frame, INPUT_WINDOW_BYTES, NodeHello};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};

use super::broadcast::{self, Source};

/// Frames to one node that may wait for the network. Input alone fills less than half of it.
const FRAMES_TO_NODE_MAX: usize = 64;

/// The first version that tells which input has been taken.
const VERSION_WITH_WINDOW: u32 = 2;

/// What comes from the nodes of a step.
pub(super) enum FromNode {
    /// A node called and knew the secret; it has the program if that is sent to it.
    Connected(Connection),
    /// The program could not be put on a node, with the error number.
    NotBroadcast(String, i32),
    /// It sent something.
    Frame(String, Frame),
    /// Its connection is over; whether it had said that it was finished.
    Closed(String, bool),
}

/// The way to one node.
pub(super) struct Connection {
    /// Its name.
    pub node: String,
    /// Ranks of its tasks.
    pub ranks: Vec<u32>,
    sender: mpsc::Sender<Frame>,
    /// For what must arrive, in order. MPI libraries of a node ask for a fence or a value and wait for it, which is its bound.
    in_order: mpsc::UnboundedSender<Frame>,
    /// Bytes of input that the node has room for.
    room: Arc<Semaphore>,
}

impl Connection {
    /// Sends if there is room; signals and window sizes to a node that takes nothing are of no use.
    pub(super) fn send(&mut self, frame: Frame) {
        drop(self.sender.try_send(frame));
    }

    /// Sends all of them, one after the other, as soon as there is room.
    pub(super) fn send_all(&self, frames: Vec<Frame>) {
        // When the node has gone, nobody waits for it.
        frames.into_iter().for_each(|frame| drop(self.in_order.send(frame)));
    }

    /// The way for input.
    pub(super) fn input(&self) -> InputWay {
        InputWay { sender: self.sender.clone(), room: self.room.clone() }
    }

    /// The node has gone: nobody waits for it to take input.
    pub(super) fn close_input(&self) {
        self.room.close();
    }

    /// The tasks of the node have taken so much input.
    pub(super) fn taken(&self, bytes: u32) {
        self.room.add_permits(bytes as usize);
    }
}

/// The way of input to one node.
#[derive(Clone)]
pub(super) struct InputWay {
    sender: mpsc::Sender<Frame>,
    room: Arc<Semaphore>,
}

impl InputWay {
    /// Sends as soon as the node has room for it.
    pub(super) async fn send(&self, rank: u32, bytes: Vec<u8>) {
        let wanted = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        // It is closed when the node has gone.
        let Ok(room) = self.room.acquire_many(wanted).await else { return };
        room.forget();
        drop(self.sender.send(Frame::Stdin { rank, bytes }).await);
    }
}

/// Takes calls until it is aborted. Callers that do not know the secret are dropped.
pub(super) async fn accept_all(
    listener: TcpListener,
    cookie: String,
    sender: mpsc::Sender<FromNode>,
    program: Option<Source>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(attend(stream, cookie.clone(), sender.clone(), program.clone()));
    }
}

/// What a node says first, if it knows the secret; it has been answered.
pub(super) async fn greet(
    reader: &mut OwnedReadHalf,
    writer: &mut OwnedWriteHalf,
    decoder: &mut Decoder,
    cookie: &str,
) -> Option<NodeHello> {
    let hello = match next(reader, decoder).await {
        Some(Frame::Hello(hello)) if hello.cookie == cookie => hello,
        _ => return None,
    };
    let mut bytes = Vec::new();
    wire::encode(&Frame::Welcome, &mut bytes);
    writer.write_all(&bytes).await.ok()?;
    Some(hello)
}

async fn attend(stream: TcpStream, cookie: String, sender: mpsc::Sender<FromNode>, program: Option<Source>) {
    drop(stream.set_nodelay(true));
    let (mut reader, mut writer) = stream.into_split();
    let mut decoder = Decoder::default();
    let Some(hello) = greet(&mut reader, &mut writer, &mut decoder, &cookie).await else { return };
    if let Some(program) = program {
        let sent = broadcast::send(&program, &AtomicU64::new(0), &mut reader, &mut writer, &mut decoder).await;
        if let Err(errno) = sent {
            drop(sender.send(FromNode::NotBroadcast(hello.node, errno)).await);
            return;
        }
    }
    let (to_node, frames) = mpsc::channel(FRAMES_TO_NODE_MAX);
    tokio::spawn(write_all(writer, frames));
    let (in_order, waiting) = mpsc::unbounded_channel();
    tokio::spawn(pass_on(waiting, to_node.clone()));
    let knows_window = hello.version >= VERSION_WITH_WINDOW;
    let room = Arc::new(Semaphore::new(if knows_window { INPUT_WINDOW_BYTES } else { Semaphore::MAX_PERMITS }));
    let connection = Connection { node: hello.node.clone(), ranks: hello.ranks, sender: to_node, in_order, room };
    if sender.send(FromNode::Connected(connection)).await.is_err() {
        return;
    }
    let mut finished = false;
    while let Some(frame) = next(&mut reader, &mut decoder).await {
        finished = frame == Frame::Finished;
        if finished || sender.send(FromNode::Frame(hello.node.clone(), frame)).await.is_err() {
            break;
        }
    }
    drop(sender.send(FromNode::Closed(hello.node, finished)).await);
}

/// The next frame; `None` at the end, or when the bytes are none of ours.
pub(super) async fn next(reader: &mut OwnedReadHalf, decoder: &mut Decoder) -> Option<Frame> {
    loop {
        if let Some(frame) = decoder.next_frame().ok()? {
            return Some(frame);
        }
        match reader.read_buf(decoder.tail()).await {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

async fn pass_on(mut waiting: mpsc::UnboundedReceiver<Frame>, to_node: mpsc::Sender<Frame>) {
    while let Some(frame) = waiting.recv().await {
        if to_node.send(frame).await.is_err() {
            return;
        }
    }
}

async fn write_all(mut writer: OwnedWriteHalf, mut frames: mpsc::Receiver<Frame>) {
    let mut bytes = Vec::new();
    while let Some(frame) = frames.recv().await {
        bytes.clear();
        wire::encode(&frame, &mut bytes);
        if writer.write_all(&bytes).await.is_err() {
            return;
        }
    }
}
