//! Sending a file to nodes that have called (`sbcast`, `srun --bcast`); see `muster_runtime::receipt` for what is said.
//!
//! Each node is sent the file at its own pace, straight from here: nothing is kept for a slow one but one block.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use muster_runtime::wire::{self, ALL_RANKS, Decoder, Frame};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use super::Streams;

/// A file that is sent.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// The file; only read at given places, so that many can read it at a time.
    pub file: Arc<File>,
    /// Bytes of it.
    pub size: u64,
    /// Bytes read at a time.
    pub block_bytes: u64,
    /// How long a node may make no progress.
    pub patience: Duration,
}

/// The nodes that call for a file.
pub(crate) struct Calls {
    /// By name, with the number of bytes on their way to it.
    pub nodes: BTreeMap<String, Arc<AtomicU64>>,
    /// How many are served at a time; 0 for all.
    pub at_a_time: usize,
}

impl Streams {
    /// Serves all nodes that call; gives the error numbers of those that could not be served.
    pub(crate) async fn serve(self, source: Source, calls: Calls) -> Vec<(String, i32)> {
        let (sender, mut ends) = mpsc::channel(calls.nodes.len().max(1));
        let mut waiting: BTreeSet<String> = calls.nodes.keys().cloned().collect();
        let permits = if calls.at_a_time == 0 { Semaphore::MAX_PERMITS } else { calls.at_a_time };
        let (permits, calls, cookie) = (Arc::new(Semaphore::new(permits)), Arc::new(calls), Arc::new(self.cookie));
        let (patience, listener) = (source.patience, self.listener);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = Serving {
                    source: source.clone(),
                    calls: calls.clone(),
                    cookie: cookie.clone(),
                    permits: permits.clone(),
                    sender: sender.clone(),
                };
                tokio::spawn(serving.attend(stream));
            }
        });
        let mut failures = Vec::new();
        let mut called = BTreeSet::new();
        let deadline = tokio::time::Instant::now() + patience;
        while !waiting.is_empty() {
            tokio::select! {
                Some(end) = ends.recv() => match end {
                    Served::Called(node) => drop(called.insert(node)),
                    Served::Over(node, result) => {
                        waiting.remove(&node);
                        failures.extend(result.err().map(|errno| (node, errno)));
                    }
                },
                // Who has called has deadlines of its own.
                () = tokio::time::sleep_until(deadline), if waiting.iter().any(|node| !called.contains(node)) => {
                    let missing: Vec<String> = waiting.difference(&called).cloned().collect();
                    waiting.retain(|node| called.contains(node));
                    failures.extend(missing.into_iter().map(|node| (node, libc::ETIMEDOUT)));
                }
            }
        }
        accepting.abort();
        failures
    }
}

/// How far a node is.
enum Served {
    /// It has called.
    Called(String),
    /// It has the file, or has not for this error.
    Over(String, Result<(), i32>),
}

/// What is needed to serve one node.
struct Serving {
    source: Source,
    calls: Arc<Calls>,
    cookie: Arc<String>,
    permits: Arc<Semaphore>,
    sender: mpsc::Sender<Served>,
}

impl Serving {
    /// Callers that do not know the secret, or were not asked, are dropped.
    async fn attend(self, stream: TcpStream) {
        drop(stream.set_nodelay(true));
        let (mut reader, mut writer) = stream.into_split();
        let mut decoder = Decoder::default();
        let hello = super::connection::greet(&mut reader, &mut writer, &mut decoder, &self.cookie).await;
        let Some(hello) = hello else { return };
        let Some(sent) = self.calls.nodes.get(&hello.node) else { return };
        drop(self.sender.send(Served::Called(hello.node.clone())).await);
        // It is never closed.
        let Ok(_permit) = self.permits.acquire().await else { return };
        let result = send(&self.source, sent, &mut reader, &mut writer, &mut decoder).await;
        drop(self.sender.send(Served::Over(hello.node, result)).await);
    }
}

/// Sends the file and waits for what the node says; `sent` counts the bytes on their way.
///
/// # Errors
/// Linux's error number, from the node or from here.
pub(crate) async fn send(
    source: &Source,
    sent: &AtomicU64,
    reader: &mut OwnedReadHalf,
    writer: &mut OwnedWriteHalf,
    decoder: &mut Decoder,
) -> Result<(), i32> {
    let mut offset = 0;
    let mut bytes = Vec::new();
    while offset < source.size {
        let block = read_block(source, offset).await.map_err(|error| error.raw_os_error().unwrap_or(libc::EIO))?;
        offset += block.len() as u64;
        bytes.clear();
        wire::encode(&Frame::Stdin { rank: ALL_RANKS, bytes: block }, &mut bytes);
        write(source, writer, &bytes).await?;
        sent.store(offset, Ordering::Relaxed);
    }
    bytes.clear();
    wire::encode(&Frame::Stdin { rank: ALL_RANKS, bytes: Vec::new() }, &mut bytes);
    write(source, writer, &bytes).await?;
    loop {
        match timeout(source.patience, super::connection::next(reader, decoder)).await {
            Err(_) => return Err(libc::ETIMEDOUT),
            Ok(None) => return Err(libc::ECONNRESET),
            Ok(Some(Frame::Ended { rank: ALL_RANKS, .. })) => return Ok(()),
            Ok(Some(Frame::Failed { errno, .. })) => return Err(i32::try_from(errno).unwrap_or(libc::EIO).max(1)),
            Ok(Some(_)) => {}
        }
    }
}

async fn write(source: &Source, writer: &mut OwnedWriteHalf, bytes: &[u8]) -> Result<(), i32> {
    match timeout(source.patience, writer.write_all(bytes)).await {
        Err(_) => Err(libc::ETIMEDOUT),
        Ok(Err(error)) => Err(error.raw_os_error().unwrap_or(libc::EIO)),
        Ok(Ok(())) => Ok(()),
    }
}

/// The block at `offset`, never empty: a file that became shorter is an error.
async fn read_block(source: &Source, offset: u64) -> io::Result<Vec<u8>> {
    let wanted = source.block_bytes.min(source.size.saturating_sub(offset));
    let file = source.file.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let mut block = vec![0; usize::try_from(wanted).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut block, offset).map(|()| block)
    });
    reading.await.map_err(io::Error::other)?
}
