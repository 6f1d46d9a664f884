//! What must happen within a time: nodes that stay away are given up, allocations end with their clients, and what was
//! stopped goes on. Looked at now and then, since nobody can say the exact moment.

use std::collections::BTreeMap;

use muster_core::{Cluster, ReadView};
use muster_model::ids::{JobId, NodeIndex};
use muster_model::node::NodeHealth;
use muster_model::state::JobState;
use muster_model::time::{Span, Timestamp};
use muster_runtime::unit::UnitKey;

use crate::node::SimNode;
use crate::world::{Happening, World, node_index};

/// Time between two looks.
pub(crate) const WATCH_INTERVAL: Span = Span::from_seconds(20);
/// How much later than it should something may happen: broken connections are noticed late, and messages are slow.
const SLACK: Span = Span::from_seconds(30);
/// How long a controller that has just started waits for the client of an allocation.
const HOLDER_ABSENCE: Span = Span::from_seconds(60);
/// Looks in a row after which something has lasted too long.
const LOOKS_MAX: u32 = 4;

/// Things that should not last.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    /// When an operator last did something to a node, which gives it time again.
    touched: BTreeMap<NodeIndex, Timestamp>,
    /// Clients of allocations that died, and when.
    dead_holders: BTreeMap<JobId, Timestamp>,
    /// Stopped processes of jobs that run, and in how many looks they were.
    stopped: BTreeMap<(NodeIndex, UnitKey), u32>,
}

impl World {
    pub(crate) fn operator_touched(&mut self, node: NodeIndex) {
        self.patience.touched.insert(node, self.now);
    }

    pub(crate) fn holder_died(&mut self, job_id: JobId) {
        self.patience.dead_holders.insert(job_id, self.now);
    }

    pub(crate) fn watch(&mut self) {
        self.after(WATCH_INTERVAL, Happening::Watch);
        let Some(view) = self.controller.cluster().map(Cluster::read_view) else { return };
        let problem = self
            .kept_too_long(&view)
            .or_else(|| self.not_heard(&view))
            .or_else(|| self.outlives_its_client(&view))
            .or_else(|| self.stays_stopped(&view));
        if let Some(problem) = problem {
            self.fail(problem);
        }
    }

    /// A node that is away for longer than allowed is down, and nobody holds anything there.
    fn kept_too_long(&self, view: &ReadView) -> Option<String> {
        (0..self.nodes.len()).map(node_index).find_map(|index| {
            let node = &self.nodes[index.0 as usize];
            let touched = self.patience.touched.get(&index).copied().unwrap_or_default();
            let since = node.away_since.max(self.controller.since()).max(touched);
            let due = since + self.config.node_timeout + SLACK;
            let row = view.nodes.get(index.0 as usize)?;
            let holds = row.used.jobs_running + row.used.jobs_completing > 0;
            let given_up = row.health == NodeHealth::Down && !holds;
            (node.connection.is_none() && self.now > due && !given_up)
                .then(|| format!("node {} stays away, and is {:?}, with jobs: {holds}", index.0, row.health))
        })
    }

    /// A node whose agent is connected, and known to be by both sides, counts as answering, as soon as it has got rid of
    /// what was left there.
    fn not_heard(&self, view: &ReadView) -> Option<String> {
        let long = |since: Timestamp| self.now > since.max(self.controller.since()) + self.config.kill_wait + SLACK;
        let connected = |node: &&SimNode| {
            node.connection.is_some() && self.controller.sessions.get(&node.index) == node.connection.as_ref()
        };
        self.nodes.iter().filter(connected).filter(|node| long(node.away_since)).find_map(|node| {
            let row = view.nodes.get(node.index.0 as usize)?;
            row.not_responding.then(|| format!("node {} is connected and counts as not answering", node.index.0))
        })
    }

    /// An allocation does not outlive its client.
    fn outlives_its_client(&self, view: &ReadView) -> Option<String> {
        self.patience.dead_holders.iter().find_map(|(job_id, died)| {
            let due = (*died).max(self.controller.since()) + HOLDER_ABSENCE + SLACK;
            let job = view.jobs.get(job_id).filter(|job| !job.state.is_final())?;
            (self.now > due).then(|| format!("job {job_id} is {} although its client has died", job.state))
        })
    }

    /// What was continued does continue, and what is to stand stands.
    fn stays_stopped(&mut self, view: &ReadView) -> Option<String> {
        let mut wrong = BTreeMap::new();
        for node in self.nodes.iter().filter(|node| node.connection.is_some()) {
            for (key, process) in &node.supervisor.running {
                let job = view.jobs.get(&key.job_id).filter(|job| job.restart == key.restart && !job.completing);
                let is_wrong = job.is_some_and(|job| match job.state {
                    JobState::Running => process.is_stopped(),
                    JobState::Suspended => !process.is_stopped() && !process.gave_way,
                    _ => false,
                });
                if is_wrong {
                    let before = self.patience.stopped.get(&(node.index, *key)).copied().unwrap_or(0);
                    wrong.insert((node.index, *key), before + 1);
                }
            }
        }
        self.patience.stopped = wrong;
        let long = self.patience.stopped.iter().find(|(_, looks)| **looks > LOOKS_MAX)?;
        Some(format!("{} on node {} does not do what its job does: stand or run", long.0.1, long.0.0.0))
    }
}
