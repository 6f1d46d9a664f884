//! What a side shows of its queue.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::side::Side;

/// A job by name, or a task of an array by name and index.
pub(super) type Key = String;

/// A line of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) state: String,
    pub(super) reason: String,
    pub(super) nodes: String,
    /// Of a job that waits all that it may run in, of one that runs the one in which it does.
    pub(super) partition: String,
}

impl Row {
    pub(super) fn is_running(&self) -> bool {
        self.state == "RUNNING"
    }

    pub(super) fn text(row: &Row) -> String {
        if row.is_running() { format!("runs on {}", row.nodes) } else { format!("waits for {}", row.reason) }
    }
}

/// All jobs that have not ended.
pub(super) type Snapshot = BTreeMap<Key, Row>;

/// For so long nothing may change: several rounds of Slurm's two schedulers.
const QUIET: Duration = Duration::from_secs(7);
/// When it has not settled by then, something is wrong.
const PATIENCE: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(500);

/// Both queues, when nothing has moved in them for a while.
pub(super) fn settled(sides: &[&Side; 2]) -> Result<[Snapshot; 2]> {
    let begun = Instant::now();
    let mut since = Instant::now();
    let mut last = [sides[0].queue()?, sides[1].queue()?];
    loop {
        std::thread::park_timeout(POLL);
        let next = [sides[0].queue()?, sides[1].queue()?];
        let moving = next != last || next.iter().flat_map(|snapshot| snapshot.values()).any(is_ending);
        if moving {
            since = Instant::now();
        }
        if since.elapsed() >= QUIET {
            return Ok(next);
        }
        ensure!(begun.elapsed() < PATIENCE, "the queues have not settled within {} s", PATIENCE.as_secs());
        last = next;
    }
}

/// Waits until a queue looks as wanted.
pub(super) fn wait_until(side: &Side, wanted: impl Fn(&Snapshot) -> bool) -> Result<()> {
    let begun = Instant::now();
    while !wanted(&side.queue()?) {
        ensure!(begun.elapsed() < PATIENCE, "the queue has not become as wanted within {} s", PATIENCE.as_secs());
        std::thread::park_timeout(POLL / 4);
    }
    Ok(())
}

/// Waits until no node is being cleaned up: real Slurm may drop a job from its queue a moment before that, and starts nobody
/// there meanwhile.
pub(super) fn wait_until_clean(side: &Side) -> Result<()> {
    let begun = Instant::now();
    while side.call("scontrol", &["-o", "show", "node"])?.contains("COMPLETING") {
        ensure!(begun.elapsed() < PATIENCE, "nodes are still being cleaned up after {} s", PATIENCE.as_secs());
        std::thread::park_timeout(POLL / 4);
    }
    Ok(())
}

fn is_ending(row: &Row) -> bool {
    row.state == "COMPLETING" || row.state == "CONFIGURING"
}

impl Side {
    fn queue(&self) -> Result<Snapshot> {
        let text = self.call("squeue", &["-h", "-a", "-r", "-t", "all", "-o", "%j|%K|%T|%r|%N|%i|%P"])?;
        let row = |line: &str| {
            let fields: Vec<&str> = line.split('|').collect();
            let [name, index, state, reason, nodes, id, partition] = fields.as_slice() else {
                return None;
            };
            let waits_or_runs = ["PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING"].contains(state);
            let key = if *index == "N/A" { (*name).to_owned() } else { format!("{name}_{index}") };
            let row = Row {
                id: (*id).to_owned(),
                state: (*state).to_owned(),
                reason: (*reason).to_owned(),
                nodes: (*nodes).to_owned(),
                partition: (*partition).to_owned(),
            };
            waits_or_runs.then_some((key, row))
        };
        Ok(text.lines().filter_map(row).collect())
    }
}
