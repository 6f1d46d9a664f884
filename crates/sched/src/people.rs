//! Who is on which node: needed only for `--exclusive=user`, `--exclusive=mcs` and `--mcs-label`.

use muster_model::ids::Name;
use muster_model::planning::PlanView;

use crate::ask::Ask;
use crate::fleet::Fleet;

/// Whose job it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Guest<'a> {
    /// Number of the user.
    pub(crate) uid: u32,
    /// `--mcs-label`.
    pub(crate) label: Option<&'a Name>,
}

impl<'a> Guest<'a> {
    /// The one behind `spec`.
    pub(crate) fn of(spec: &'a muster_model::job::JobSpec) -> Guest<'a> {
        Guest { uid: spec.identity.uid, label: spec.request.mcs_label.as_ref() }
    }
}

/// What the jobs on a node have in common: their user or their label.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Presence<T> {
    Nobody,
    One(T),
    Several,
}

/// Users on nodes.
#[derive(Debug, Clone)]
pub(crate) struct People {
    users: Vec<Presence<u32>>,
    labels: Vec<Presence<Option<Name>>>,
    /// Who has a node for himself.
    owner: Vec<Option<u32>>,
    /// The label that has a node for itself.
    owner_label: Vec<Option<Option<Name>>>,
    /// Whether any node has an owner; until then everybody is alike.
    any_owner: bool,
}

impl People {
    /// Reads `view`.
    pub(crate) fn of(fleet: &Fleet, view: &PlanView) -> People {
        let count = fleet.node_count();
        let mut people = People {
            users: vec![Presence::Nobody; count],
            labels: vec![Presence::Nobody; count],
            owner: view.nodes.iter().map(|node| node.used.exclusive_user).collect(),
            owner_label: view.nodes.iter().map(|node| node.used.exclusive_label.clone().map(Some)).collect(),
            any_owner: false,
        };
        for job in view.running.values() {
            let guest = Guest::of(&job.spec);
            let is_own = job.spec.request.sharing == muster_model::resources::Sharing::ExclusiveMcs;
            for share in job.allocation.iter().flat_map(|allocation| &allocation.shares) {
                let at = share.node.0 as usize;
                if at >= count {
                    continue;
                }
                people.meet(at, guest);
                if is_own {
                    people.owner_label[at] = Some(guest.label.cloned());
                }
            }
        }
        for (at, node) in view.nodes.iter().enumerate().take(count) {
            // A node in use by nobody we know of counts as used by several: better to leave it alone.
            if !node.used.cpus.is_empty() && people.users[at] == Presence::Nobody {
                people.users[at] = Presence::Several;
                people.labels[at] = Presence::Several;
            }
        }
        people.any_owner = people.owner.iter().any(Option::is_some) || people.owner_label.iter().any(Option::is_some);
        people
    }

    fn meet(&mut self, at: usize, guest: Guest<'_>) {
        self.users[at].add(&guest.uid);
        self.labels[at].add(&guest.label.cloned());
    }

    /// Where no node has an owner and nobody asks for one, nothing need be known.
    pub(crate) fn all_alike() -> People {
        People { users: Vec::new(), labels: Vec::new(), owner: Vec::new(), owner_label: Vec::new(), any_owner: false }
    }

    /// Whether the outcome for a job may depend on whose job it is.
    pub(crate) fn user_matters(&self, ask: &Ask) -> bool {
        self.any_owner || ask.exclusive_user || ask.exclusive_label.is_some()
    }

    /// Whether a job of `guest` may be placed on `node` beside those that are there.
    pub(crate) fn admits(&self, node: u32, guest: Guest<'_>, ask: &Ask) -> bool {
        let node = node as usize;
        let is_kept = self.owner[node].is_some_and(|owner| owner != guest.uid)
            || self.owner_label[node].as_ref().is_some_and(|label| label.as_ref() != guest.label);
        !is_kept
            && (!ask.exclusive_user || self.users[node].is_only(&guest.uid))
            && ask.exclusive_label.as_ref().is_none_or(|label| self.labels[node].is_only(label))
    }

    /// Whether [`People::admits`] can say no at all.
    pub(crate) fn admits_everybody(&self, ask: &Ask) -> bool {
        !self.user_matters(ask)
    }

    /// A job of `guest` starts on `node`.
    pub(crate) fn add(&mut self, node: u32, guest: Guest<'_>, ask: &Ask) {
        let index = node as usize;
        if index >= self.users.len() {
            return;
        }
        self.meet(index, guest);
        if ask.exclusive_user {
            self.owner[index] = Some(guest.uid);
            self.any_owner = true;
        }
        if ask.exclusive_label.is_some() {
            self.owner_label[index] = Some(guest.label.cloned());
            self.any_owner = true;
        }
    }
}

impl<T: Clone + PartialEq> Presence<T> {
    fn add(&mut self, guest: &T) {
        *self = match self {
            Presence::Nobody => Presence::One(guest.clone()),
            Presence::One(present) if present == guest => return,
            _ => Presence::Several,
        }
    }

    /// Whether nobody else is there.
    fn is_only(&self, guest: &T) -> bool {
        match self {
            Presence::Nobody => true,
            Presence::One(present) => present == guest,
            Presence::Several => false,
        }
    }
}
