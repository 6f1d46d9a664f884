//! The start of a heterogeneous job: all components at the same instant, or none of them.
//!
//! Each component is checked beside those before it, as if these held their shares already; then everything is put back as
//! it was. Only when all of them fit they are started, and the script of the first is launched when the last one runs.

use std::collections::BTreeSet;
use std::sync::Arc;

use muster_model::accounting::Tallies;
use muster_model::ids::{JobId, NodeIndex};
use muster_model::node::Node;
use muster_model::planning::PlannedStart;
use muster_model::state::JobState;
use muster_model::time::Timestamp;

use super::{Checked, Start, begin, check, hooks, running, turns};
use crate::cluster::Cluster;
use crate::effect::Outcome;
use crate::licenses::LicensesHeld;

/// Starts all components that `start` names, which must be all that there are.
pub(super) fn start(cluster: &mut Cluster, now: Timestamp, start: &PlannedStart, out: &mut Outcome) -> Start {
    let Some(leader) = cluster.jobs.get(&start.job_id).cloned() else { return Start::Stale };
    let planned: BTreeSet<JobId> = start.all().map(|part| part.job_id).collect();
    let is_whole = planned.len() == start.together.len() + 1 && leader.components().eq(planned.iter().copied());
    if leader.het.is_none() || leader.is_led() || !is_whole {
        return Start::Stale;
    }
    let (tallies, licenses) = (cluster.tallies.clone(), cluster.licenses_held.clone());
    let mut trial = Trial { tallies, licenses, nodes: Vec::new() };
    let parts = start.all().map(|part| {
        let checked = check(cluster, now, part)?;
        trial.take(cluster, now, part, &checked);
        Ok(checked)
    });
    let parts: Result<Vec<Checked>, Start> = parts.collect();
    trial.undo(cluster);
    let parts = match parts {
        Ok(parts) => parts,
        Err(outcome) => return outcome,
    };
    for (part, checked) in start.all().zip(&parts) {
        begin(cluster, now, (*checked.record).clone(), part, checked, out);
    }
    let components = cluster.components(&leader);
    hooks::launch_or_configure(cluster, now, &components, out);
    for waiting in components.iter().filter(|component| component.state == JobState::Suspended) {
        turns::pause(waiting, false, out);
    }
    Start::Done
}

/// What has to be put back after a trial.
struct Trial {
    tallies: Tallies,
    licenses: LicensesHeld,
    /// Nodes as they were, and who was on them.
    nodes: Vec<(NodeIndex, Arc<Node>, Option<BTreeSet<JobId>>)>,
}

impl Trial {
    /// Lets one component hold its shares.
    fn take(&mut self, cluster: &mut Cluster, now: Timestamp, start: &PlannedStart, checked: &Checked) {
        let job = running(cluster, now, (*checked.record).clone(), start, checked);
        cluster.tally_job(Some(&checked.record), &job);
        cluster.index_licenses(Some(&checked.record), &job);
        for share in &checked.shares {
            let Some(node) = cluster.nodes.get(share.node.0 as usize).cloned() else { continue };
            self.nodes.push((share.node, node, cluster.node_jobs.get(&share.node).cloned()));
            cluster.take_share(share, &job);
        }
    }

    /// Puts everything back, the last first.
    fn undo(self, cluster: &mut Cluster) {
        cluster.tallies = self.tallies;
        cluster.licenses_held = self.licenses;
        for (index, node, jobs) in self.nodes.into_iter().rev() {
            cluster.nodes.set(index.0 as usize, node);
            match jobs {
                Some(jobs) => drop(cluster.node_jobs.insert(index, jobs)),
                None => drop(cluster.node_jobs.remove(&index)),
            }
        }
    }
}
