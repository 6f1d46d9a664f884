//! Connections of nodes.

use muster_runtime::wire::{self, Decoder, Frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Frames to one node that may wait for the network.
const FRAMES_TO_NODE_MAX: usize = 64;

/// What comes from the nodes of a step.
pub(super) enum FromNode {
    /// A node called and knew the secret.
    Connected(Connection),
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
}

impl Connection {
    /// Sends if there is room; signals and window sizes to a node that takes nothing are of no use.
    pub(super) fn send(&mut self, frame: Frame) {
        drop(self.sender.try_send(frame));
    }

    /// Sends as soon as there is room.
    pub(super) async fn send_when_ready(&mut self, frame: Frame) {
        drop(self.sender.send(frame).await);
    }
}

/// Takes calls until it is aborted. Callers that do not know the secret are dropped.
pub(super) async fn accept_all(listener: TcpListener, cookie: String, sender: mpsc::Sender<FromNode>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(attend(stream, cookie.clone(), sender.clone()));
    }
}

async fn attend(stream: TcpStream, cookie: String, sender: mpsc::Sender<FromNode>) {
    drop(stream.set_nodelay(true));
    let (mut reader, writer) = stream.into_split();
    let mut decoder = Decoder::default();
    let hello = match next(&mut reader, &mut decoder).await {
        Some(Frame::Hello(hello)) if hello.cookie == cookie => hello,
        _ => return,
    };
    let (to_node, frames) = mpsc::channel(FRAMES_TO_NODE_MAX);
    drop(to_node.send(Frame::Welcome).await);
    tokio::spawn(write_all(writer, frames));
    let connection = Connection { node: hello.node.clone(), ranks: hello.ranks, sender: to_node };
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
async fn next(reader: &mut OwnedReadHalf, decoder: &mut Decoder) -> Option<Frame> {
    let mut buffer = vec![0; wire::PAYLOAD_BYTES_MAX];
    loop {
        if let Some(frame) = decoder.next_frame().ok()? {
            return Some(frame);
        }
        match reader.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => decoder.feed(&buffer[..count]),
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
