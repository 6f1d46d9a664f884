//! How far a large file has come, told on a terminal.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What is smaller is there before anybody looks.
const LARGE_BYTES: u64 = 64 << 20;

/// How often it is told.
const INTERVAL: Duration = Duration::from_millis(250);

/// Tells until it is dropped.
pub(super) struct Progress {
    telling: Option<tokio::task::JoinHandle<()>>,
}

impl Progress {
    /// Begins to tell how far the slowest of `nodes` is, if the file is large and standard error is a terminal.
    pub(super) fn show(size: u64, nodes: Vec<Arc<AtomicU64>>) -> Progress {
        let is_shown = size >= LARGE_BYTES && !nodes.is_empty() && std::io::stderr().is_terminal();
        Progress { telling: is_shown.then(|| tokio::spawn(tell(size, nodes))) }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(telling) = self.telling.take() {
            telling.abort();
            // The line is taken away again.
            eprint!("\r\x1b[K");
        }
    }
}

async fn tell(size: u64, nodes: Vec<Arc<AtomicU64>>) {
    loop {
        let sent: Vec<u64> = nodes.iter().map(|node| node.load(Ordering::Relaxed)).collect();
        eprint!("\r{}\x1b[K", line(size, &sent));
        // A terminal that takes nothing is not worth a word.
        let _ = std::io::stderr().flush();
        tokio::time::sleep(INTERVAL).await;
    }
}

fn line(size: u64, sent: &[u64]) -> String {
    let (least, done) = (sent.iter().min().copied().unwrap_or(0), sent.iter().filter(|bytes| **bytes >= size).count());
    let percent = least.saturating_mul(100) / size.max(1);
    let nodes = sent.len();
    format!("sbcast: {percent}% of {} MB sent to the slowest node, all to {done} of {nodes}", size >> 20)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_slowest_node_counts() {
        let megabyte = 1 << 20;
        let told = super::line(200 * megabyte, &[50 * megabyte, 200 * megabyte]);
        assert_eq!(told, "sbcast: 25% of 200 MB sent to the slowest node, all to 1 of 2");
    }
}
