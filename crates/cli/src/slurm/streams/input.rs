//! Standard input of a step: read here, given to all tasks or to one.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::time::Duration;

use muster_runtime::wire::ALL_RANKS;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{getpgrp, tcgetpgrp};
use tokio::sync::mpsc;

use super::connection::InputWay;

/// Bytes read at once.
const CHUNK_BYTES: usize = 64 << 10;
/// How often a `srun` in the background looks whether the terminal is its again; nobody tells it when it never stood still.
const BACKGROUND_PAUSE: Duration = Duration::from_millis(250);
/// Chunks that may wait for nodes with room.
const CHUNKS_WAITING_MAX: usize = 4;

/// Who gets standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InputTo {
    /// Every task.
    All,
    /// One task.
    Rank(u32),
    /// Nobody: their input is empty or a file on the node.
    Nobody,
}

impl InputTo {
    /// The rank as it is sent.
    pub(super) fn rank(self) -> u32 {
        match self {
            InputTo::Rank(rank) => rank,
            InputTo::All | InputTo::Nobody => ALL_RANKS,
        }
    }

    /// Whether a node with these ranks gets it.
    pub(super) fn reaches(self, ranks: &[u32]) -> bool {
        match self {
            InputTo::All => true,
            InputTo::Rank(rank) => ranks.contains(&rank),
            InputTo::Nobody => false,
        }
    }
}

/// Passes on what is read, until its end or until nobody is left.
pub(super) async fn feed(mut chunks: mpsc::Receiver<(u32, Vec<u8>)>, ways: Vec<InputWay>) {
    while let Some((rank, bytes)) = chunks.recv().await {
        for way in &ways {
            way.send(rank, bytes.clone()).await;
        }
    }
}

/// Reads standard input, or `file` in its place, on a thread of its own; an empty chunk is its end. The channel stays silent for nobody.
pub(super) fn open(to: InputTo, file: Option<File>) -> mpsc::Receiver<(u32, Vec<u8>)> {
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING_MAX);
    if to != InputTo::Nobody {
        // A read from a terminal cannot be interrupted; the thread ends with the process.
        std::thread::spawn(move || {
            let mut buffer = vec![0; CHUNK_BYTES];
            let mut source: Box<dyn Read> = match file {
                Some(file) => Box::new(file),
                None => Box::new(std::io::stdin().lock()),
            };
            // In the background a read fails then, where it would stop the whole of `srun` otherwise.
            let _ = SigSet::from(Signal::SIGTTIN).thread_block();
            loop {
                let count = match source.read(&mut buffer) {
                    Ok(count) => count,
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(_) if is_in_background() => {
                        std::thread::park_timeout(BACKGROUND_PAUSE);
                        continue;
                    }
                    Err(_) => 0,
                };
                if sender.blocking_send((to.rank(), buffer[..count].to_vec())).is_err() || count == 0 {
                    return;
                }
            }
        });
    }
    receiver
}

/// Whether the terminal is for another job of the user's shell now.
fn is_in_background() -> bool {
    tcgetpgrp(std::io::stdin()).is_ok_and(|foreground| foreground != getpgrp())
}
