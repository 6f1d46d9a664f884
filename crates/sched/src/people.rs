//! Who is on which node: needed only for `--exclusive=user`.

use muster_model::planning::PlanView;

use crate::ask::Ask;
use crate::fleet::Fleet;

/// Users with jobs on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    Nobody,
    One(u32),
    Several,
}

/// Users on nodes.
#[derive(Debug)]
pub(crate) struct People {
    present: Vec<Presence>,
    /// Who has a node for himself.
    owner: Vec<Option<u32>>,
    /// Whether any node has an owner; until then everybody is alike.
    any_owner: bool,
}

impl People {
    /// Reads `view`.
    pub(crate) fn of(fleet: &Fleet, view: &PlanView) -> People {
        let count = fleet.node_count();
        let owner: Vec<Option<u32>> = view.nodes.iter().map(|node| node.used.exclusive_user).collect();
        let mut people = People {
            // A node in use by nobody we know of counts as used by several: better to leave it alone.
            present: view
                .nodes
                .iter()
                .map(|node| if node.used.cpus.is_empty() { Presence::Nobody } else { Presence::Several })
                .collect(),
            any_owner: owner.iter().any(Option::is_some),
            owner,
        };
        let mut seen: Vec<Presence> = vec![Presence::Nobody; count];
        for job in view.running.values() {
            for share in job.allocation.iter().flat_map(|allocation| &allocation.shares) {
                if let Some(presence) = seen.get_mut(share.node.0 as usize) {
                    *presence = presence.with(job.spec.identity.uid);
                }
            }
        }
        for (present, seen) in people.present.iter_mut().zip(seen) {
            if seen != Presence::Nobody {
                *present = seen;
            }
        }
        people
    }

    /// Where no node has an owner and nobody asks for one, nothing need be known.
    pub(crate) fn all_alike() -> People {
        People { present: Vec::new(), owner: Vec::new(), any_owner: false }
    }

    /// Whether the outcome for a job may depend on whose job it is.
    pub(crate) fn user_matters(&self, ask: &Ask) -> bool {
        self.any_owner || ask.exclusive_user
    }

    /// Whether a job of `uid` may be placed on `node` beside those that are there.
    pub(crate) fn admits(&self, node: u32, uid: u32, exclusive_user: bool) -> bool {
        let node = node as usize;
        if self.owner[node].is_some_and(|owner| owner != uid) {
            return false;
        }
        !exclusive_user || matches!(self.present[node], Presence::Nobody) || self.present[node] == Presence::One(uid)
    }

    /// Whether [`People::admits`] can say no at all.
    pub(crate) fn admits_everybody(&self, exclusive_user: bool) -> bool {
        !self.any_owner && !exclusive_user
    }

    /// A job of `uid` starts on `node`.
    pub(crate) fn add(&mut self, node: u32, uid: u32, ask: &Ask) {
        let index = node as usize;
        if index >= self.present.len() {
            return;
        }
        self.present[index] = self.present[index].with(uid);
        if ask.exclusive_user {
            self.owner[index] = Some(uid);
            self.any_owner = true;
        }
    }
}

impl Presence {
    fn with(self, uid: u32) -> Presence {
        match self {
            Presence::Nobody => Presence::One(uid),
            Presence::One(present) if present == uid => self,
            _ => Presence::Several,
        }
    }
}
