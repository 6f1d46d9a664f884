//! A job that changed its size while it ran: what it had before, and what it gave up and is not yet gone from.
//!
//! It gives up nodes, or gets what another job has that was submitted for that.
//!
//! The allocation of a job is what it has from now on. What it gives up is held for it until the node says that nothing of the
//! job is left there, so that nobody else gets a CPU on which its processes still run; real Slurm gives it away at once.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::hostlist;
use crate::ids::{Name, NodeIndex};
use crate::job::Job;
use crate::resources::{Allocation, NodeShare};
use crate::time::{Span, Timestamp};

/// Earlier sizes of a job that are remembered. A job that gives up its nodes one by one would otherwise remember about half
/// the square of their number; beyond this the oldest become one, with what the first of them had.
pub const PAST_SIZES_MAX: usize = 16;

/// What is known of the changes of size of one start of a job.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Resize {
    /// When it last changed (Slurm: `ResizeTime`).
    pub time: Timestamp,
    /// How long it had run by then, without the time it was suspended.
    pub run: Span,
    /// What it had before, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past: Vec<PastSize>,
    /// What it gave up on nodes that are not clean of it yet, with their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub released: Vec<Released>,
    /// Names of all nodes that it gave up. They cannot come back to it: an agent starts nothing of what it was told to end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<Name>,
}

/// A share that a job gave up while it ran. Its processes there are being ended, and count as running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// Name of the node, which outlives a change of the configuration.
    pub name: Name,
    /// What is held there.
    pub share: NodeShare,
}

/// A size that a job had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastSize {
    /// From when.
    pub start: Timestamp,
    /// Until when.
    pub end: Timestamp,
    /// What it held.
    pub allocation: Arc<Allocation>,
    /// Names of the nodes as a host list.
    pub node_list: Name,
}

impl Job {
    /// What it gave up on nodes that are not clean of it yet.
    pub fn released(&self) -> &[Released] {
        self.resize.as_ref().map_or(&[], |resize| &resize.released)
    }

    /// Whether it gave up what it had on `node`, which is not clean of it yet.
    pub fn is_leaving(&self, node: NodeIndex) -> bool {
        self.released().iter().any(|released| released.share.node == node)
    }

    /// What is held for it on `node`: of its allocation, or what it gave up there.
    pub fn share_on(&self, node: NodeIndex) -> Option<&NodeShare> {
        let own = self.allocation.as_ref().and_then(|allocation| allocation.share(node));
        own.or_else(|| self.released().iter().map(|released| &released.share).find(|share| share.node == node))
    }

    /// Its allocation, and what it gave up and is not gone from.
    pub fn shares_with_released(&self) -> impl Iterator<Item = &NodeShare> {
        let own = self.allocation.iter().flat_map(|allocation| &allocation.shares);
        own.chain(self.released().iter().map(|released| &released.share))
    }

    /// The job as its end on `node` is to see it: where it leaves only that node, what it gave up is all that it had.
    pub fn ending_on(&self, node: NodeIndex) -> Job {
        let mut job = self.clone();
        if self.is_leaving(node) {
            let names: Vec<&str> = self.released().iter().map(|released| &*released.name).collect();
            let shares: Vec<_> = self.released().iter().map(|released| released.share.clone()).collect();
            job.node_list = Some(hostlist::compress(names).into());
            job.allocation = Some(Arc::new(Allocation::from(shares)));
        }
        job
    }

    /// From when it has had its present size.
    pub fn size_since(&self) -> Option<Timestamp> {
        self.resize.as_ref().map(|resize| resize.time).or(self.start_time)
    }

    /// Gives it another allocation at `now`, with the names of its nodes, and notes what it had.
    pub fn change_size(&mut self, now: Timestamp, allocation: Arc<Allocation>, node_list: Name) {
        let start = self.size_since().unwrap_or(now);
        let run = self.run_time(now);
        let had = self.allocation.replace(allocation);
        let had_list = self.node_list.replace(node_list);
        let resize = self.resize.get_or_insert_default();
        if let (Some(allocation), Some(node_list)) = (had, had_list) {
            if resize.past.len() >= PAST_SIZES_MAX {
                let second = resize.past.remove(1);
                resize.past[0].end = second.end;
            }
            resize.past.push(PastSize { start, end: now, allocation, node_list });
        }
        (resize.time, resize.run) = (now, run);
    }

    /// The node is clean of it: nothing is held for it there any more.
    pub fn forget_released(&mut self, node: NodeIndex) {
        if let Some(resize) = &mut self.resize {
            resize.released.retain(|released| released.share.node != node);
        }
    }
}
