//! Generic resources of a step: units out of those that its job holds.
//!
//! A step that asks for none may use all that the job holds, together with others. One that asks has its units for
//! itself among the steps that ask.

use muster_model::ids::JobId;
use muster_model::request::{Refusal, RefusalCode};
use muster_model::resources::{GresRequest, GresScope, GresShare, NodeShare};
use muster_model::step::StepRequest;

use super::layout::{NoRoom, Room};
use crate::cluster::Cluster;

/// Units on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Units(Vec<GresShare>);

impl Units {
    /// All that the job holds there.
    pub(super) fn of(share: &NodeShare) -> Units {
        Units(share.gres.clone())
    }

    /// Those that no step has for itself.
    pub(super) fn free(cluster: &Cluster, job_id: JobId, share: &NodeShare) -> Units {
        let mut free = Units::of(share);
        for step in cluster.steps_of(job_id).filter(|step| step.gres_given) {
            for on in step.layout.iter().filter(|on| on.node == share.node && step.nodes_left.contains(&on.node)) {
                for held in &on.gres {
                    free.0
                        .iter_mut()
                        .filter(|own| own.name == held.name)
                        .for_each(|own| own.units.remove_all(&held.units));
                }
            }
        }
        free
    }

    /// As a step carries them.
    pub(super) fn into_shares(self) -> Vec<GresShare> {
        self.0
    }

    fn count(&self, request: &GresRequest) -> u64 {
        self.0.iter().filter(|own| matches(own, request)).map(|own| u64::from(own.units.len())).sum()
    }

    /// Moves `count` units that `request` names to `to`; false if there are not as many.
    fn take(&mut self, request: &GresRequest, count: u64, to: &mut Units) -> bool {
        let mut left = count;
        for own in self.0.iter_mut().filter(|own| matches(own, request)) {
            let part: Vec<u32> = own.units.iter().take(usize::try_from(left).unwrap_or(usize::MAX)).collect();
            left -= part.len() as u64;
            if part.is_empty() {
                continue;
            }
            let at =
                to.0.iter().position(|share| share.name == own.name && share.kind == own.kind).unwrap_or_else(|| {
                    to.0.push(GresShare { units: Default::default(), ..own.clone() });
                    to.0.len() - 1
                });
            for unit in part {
                own.units.remove(unit);
                to.0[at].units.insert(unit);
            }
        }
        left == 0
    }
}

fn matches(own: &GresShare, request: &GresRequest) -> bool {
    own.name == request.gres.name && request.gres.kind.as_ref().is_none_or(|kind| own.kind.as_ref() == Some(kind))
}

/// Refuses what the job has nothing of.
pub(super) fn check(shares: &[NodeShare], request: &StepRequest) -> Result<(), NoRoom> {
    let has = |wish: &GresRequest| shares.iter().any(|share| share.gres.iter().any(|own| matches(own, wish)));
    if request.gres.iter().all(has) {
        return Ok(());
    }
    let text = "Step requested GRES but job doesn't have GRES";
    Err(NoRoom::Never(Refusal::new(RefusalCode::InvalidGres, text)))
}

/// Tasks for which a node with these units has enough.
pub(super) fn tasks_max(units: &Units, request: &StepRequest) -> u32 {
    let tasks = |wish: &GresRequest| match wish.scope {
        GresScope::Task => units.count(wish) / wish.gres.count.max(1),
        GresScope::Node | GresScope::Socket if units.count(wish) < wish.gres.count => 0,
        GresScope::Node | GresScope::Socket | GresScope::Job => u64::MAX,
    };
    let least = request.gres.iter().map(tasks).min().unwrap_or(u64::MAX);
    u32::try_from(least).unwrap_or(u32::MAX)
}

/// The units of each room that gets tasks; `None` if there are too few.
pub(super) fn grant(rooms: &[Room<'_>], counts: &[u32], request: &StepRequest) -> Option<Vec<Units>> {
    if request.gres.is_empty() {
        return Some(rooms.iter().map(|room| Units::of(room.share)).collect());
    }
    let mut free: Vec<Units> = rooms.iter().map(|room| room.units.clone()).collect();
    let mut granted = vec![Units(Vec::new()); rooms.len()];
    for wish in &request.gres {
        let used = (0..rooms.len()).filter(|at| counts[*at] > 0);
        let mut left = wish.gres.count;
        for (nodes_after, at) in used.rev().enumerate().collect::<Vec<_>>().into_iter().rev() {
            let count = match wish.scope {
                GresScope::Node | GresScope::Socket => wish.gres.count,
                GresScope::Task => wish.gres.count.saturating_mul(counts[at].into()),
                // Each node gets one at least, as long as there are enough.
                GresScope::Job => free[at].count(wish).min(left.saturating_sub(nodes_after as u64)),
            };
            left = left.saturating_sub(count);
            if !free[at].take(wish, count, &mut granted[at]) {
                return None;
            }
        }
        if wish.scope == GresScope::Job && left > 0 {
            return None;
        }
    }
    Some(granted)
}

#[cfg(test)]
mod tests {
    use muster_model::resources::{Gres, IndexSet};

    use super::*;

    fn units(name: &str, kind: Option<&str>, from: u32, to: u32) -> GresShare {
        let mut units = IndexSet::default();
        (from..to).for_each(|unit| units.insert(unit));
        GresShare { name: name.into(), kind: kind.map(Into::into), units }
    }

    fn wish(scope: GresScope, kind: Option<&str>, count: u64) -> GresRequest {
        GresRequest { scope, gres: Gres { name: "gpu".into(), kind: kind.map(Into::into), count } }
    }

    #[test]
    fn units_are_taken_from_matching_shares() {
        let mut own = Units(vec![units("gpu", Some("a"), 0, 2), units("gpu", Some("b"), 2, 4)]);
        let mut to = Units(Vec::new());
        assert!(own.take(&wish(GresScope::Node, Some("b"), 1), 1, &mut to));
        assert!(own.take(&wish(GresScope::Node, None, 3), 3, &mut to));
        assert_eq!(to.0, [units("gpu", Some("b"), 2, 4), units("gpu", Some("a"), 0, 2)]);
        assert!(!own.take(&wish(GresScope::Node, None, 1), 1, &mut to));
    }
}
