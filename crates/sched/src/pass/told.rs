//! What the last plan said is kept where nothing speaks against it.
//!
//! Often several choices of nodes let a job start at the same time. When the next plan takes another one, the job itself
//! loses nothing, but a job behind it for which that choice was left does. So of such choices the one told before is
//! taken: what is expected comes true unless something happens.

use muster_model::hostlist;
use muster_model::planning::PlanView;
use muster_model::time::Timestamp;

use super::Entry;
use crate::fleet::Fleet;
use crate::nodeset::NodeSet;

/// The nodes that the last plan named for a job that is to start at `start`; at any time by then where that is now.
pub(super) fn nodes_told(view: &PlanView, fleet: &Fleet, entry: Entry<'_>, start: Timestamp) -> Option<NodeSet> {
    if entry.task_index.is_some() {
        // What is said of an array is said of its first task only.
        return None;
    }
    let wait = view.outlook.get(entry.job.id).filter(|wait| wait.restart == entry.job.restart)?;
    let before = wait.expected_start?;
    let is_same = if start <= view.now { before <= view.now } else { before == start };
    let names = wait.expected_nodes.as_deref().filter(|_| is_same)?;
    let names = hostlist::expand(names).ok()?;
    names.iter().map(|name| fleet.node_named(name)).collect()
}
