//! Who is on which node, and until when: needed only for `--exclusive=user`, `--exclusive=mcs` and `--mcs-label`.
//!
//! Who wants a node for himself may be there with nobody else at any moment of his run, nor may anybody come to him. Those who
//! are there now count until they must have ended, those who are planned to come from then on. The node is his until nobody
//! is there any more, even if he himself has gone before those who came to him.

use muster_model::ids::Name;
use muster_model::job::JobSpec;
use muster_model::partition::Partition;
use muster_model::planning::PlanView;
use muster_model::resources::Sharing;
use muster_model::time::Timestamp;

use crate::ask::Ask;
use crate::fleet::Fleet;
use crate::future;

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
    pub(crate) fn of(spec: &'a JobSpec) -> Guest<'a> {
        Guest { uid: spec.identity.uid, label: spec.request.mcs_label.as_ref() }
    }
}

/// Whose job it is, and with whom it can be on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Company {
    user: Presence<u32>,
    label: Presence<Option<Name>>,
    /// With nobody but jobs of the same user.
    alone_by_user: bool,
    /// With nobody but jobs of the same label.
    alone_by_label: bool,
}

/// What is known of a user or a label.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Presence<T> {
    /// It does not matter.
    Any,
    One(T),
    /// Not known: other than anybody's.
    Unknown,
}

impl<T: PartialEq> Presence<T> {
    fn differs(&self, other: &Presence<T>) -> bool {
        match (self, other) {
            (Presence::Any, _) | (_, Presence::Any) => false,
            (Presence::One(ours), Presence::One(theirs)) => ours != theirs,
            _ => true,
        }
    }
}

impl Company {
    /// A job of `guest` for `ask`.
    pub(crate) fn of(guest: Guest<'_>, ask: &Ask) -> Company {
        Company {
            user: Presence::One(guest.uid),
            label: Presence::One(guest.label.cloned()),
            alone_by_user: ask.exclusive_user,
            alone_by_label: ask.exclusive_label.is_some(),
        }
    }

    /// A job with `spec` in `partition`.
    pub(crate) fn of_job(spec: &JobSpec, partition: Option<&Partition>) -> Company {
        let sharing = spec.request.sharing;
        Company {
            user: Presence::One(spec.identity.uid),
            label: Presence::One(spec.request.mcs_label.clone()),
            alone_by_user: sharing == Sharing::ExclusiveUser || partition.is_some_and(|part| part.exclusive_user),
            alone_by_label: sharing == Sharing::ExclusiveMcs,
        }
    }

    /// Whether both cannot be on a node of which one of them has it for himself.
    fn minds(&self, other: &Company) -> bool {
        self.alone_by_user && self.user.differs(&other.user) || self.alone_by_label && self.label.differs(&other.label)
    }

    /// Whether it minds anybody.
    pub(crate) fn is_alone(&self) -> bool {
        self.alone_by_user || self.alone_by_label
    }
}

/// A job on a node.
#[derive(Debug, Clone)]
pub(crate) struct Stay {
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
    pub(crate) company: Company,
}

/// Since ever.
const LONG_AGO: Timestamp = Timestamp(i64::MIN);

/// Whether one more can be on a node with those who are there or are to come. What is wrong without it is not its fault, but it
/// may be in the way of nobody else: somebody who has just started may have put off one who was to come, and others are still
/// to come as planned.
fn can_join(mut stays: Vec<Stay>, one: Stay) -> bool {
    if !stays.iter().any(|stay| stay.company.is_alone()) && !one.company.is_alone() {
        return true;
    }
    let before = conflicts(&stays);
    stays.push(one);
    conflicts(&stays).iter().all(|pair| before.contains(pair))
}

/// Who is on a node that somebody else has for himself, from when he comes until nobody is there any more whom he does not mind:
/// pairs of the owner and the other.
fn conflicts(stays: &[Stay]) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    for (at, owner) in stays.iter().enumerate().filter(|(_, stay)| stay.company.is_alone()) {
        let minds = |stay: &Stay| owner.company.minds(&stay.company);
        let follows = |stay: &&Stay, end: Timestamp| stay.from < end && stay.until > end && !minds(stay);
        let mut end = owner.until;
        while let Some(later) = stays.iter().filter(|stay| follows(stay, end)).map(|stay| stay.until).max() {
            end = later;
        }
        let is_met = |stay: &Stay| stay.from < end && owner.from < stay.until && minds(stay);
        pairs.extend((0..).zip(stays).filter(|(_, stay)| is_met(stay)).map(|(other, _)| (at, other)));
    }
    pairs
}

/// Jobs on nodes.
#[derive(Debug, Clone)]
pub(crate) struct People {
    /// By node; nothing at all where nobody minds anybody.
    stays: Vec<Vec<Stay>>,
    /// Whether anybody minds others; until then everybody is alike.
    any_alone: bool,
}

impl People {
    /// Reads `view`.
    pub(crate) fn of(fleet: &Fleet, view: &PlanView) -> People {
        let mut people = People { stays: vec![Vec::new(); fleet.node_count()], any_alone: false };
        for ((end, _), job) in &view.running {
            let partition = fleet.partition_named(&job.partition).map(|part| fleet.partition(part));
            let stay = Stay {
                from: LONG_AGO,
                until: future::expected_end(*end, view.now),
                company: Company::of_job(&job.spec, partition),
            };
            for share in job.allocation.iter().flat_map(|allocation| &allocation.shares) {
                if (share.node.0 as usize) < people.stays.len() {
                    people.stays[share.node.0 as usize].push(stay.clone());
                }
            }
        }
        for (at, node) in view.nodes.iter().enumerate().take(fleet.node_count()) {
            // A node in use by nobody we know of counts as used by others: better to leave it alone.
            if !node.used.cpus.is_empty() && people.stays[at].is_empty() {
                let company = Company {
                    user: Presence::Unknown,
                    label: Presence::Unknown,
                    alone_by_user: false,
                    alone_by_label: false,
                };
                people.stays[at].push(Stay { from: LONG_AGO, until: Timestamp(i64::MAX), company });
            }
            let owners = owners(node.used.exclusive_user, node.used.exclusive_label.as_ref());
            let until = view.now + future::OVERDUE;
            people.stays[at].extend(owners.map(|company| Stay { from: LONG_AGO, until, company }));
        }
        people.any_alone = people.stays.iter().flatten().any(|stay| stay.company.is_alone());
        people
    }

    /// Where no node has an owner and nobody asks for one, nothing need be known.
    pub(crate) fn all_alike() -> People {
        People { stays: Vec::new(), any_alone: false }
    }

    /// Whether nothing is known, since nobody minds anybody.
    pub(crate) fn is_all_alike(&self) -> bool {
        self.stays.is_empty()
    }

    /// Somebody minds others, if only later.
    pub(crate) fn expect_alone(&mut self) {
        self.any_alone = true;
    }

    /// Whether the outcome for a job may depend on whose job it is.
    pub(crate) fn user_matters(&self, ask: &Ask) -> bool {
        self.any_alone || ask.exclusive_user || ask.exclusive_label.is_some()
    }

    /// Whether a job may be on `node` from `from` to `until`, beside those that are there now and those that are `planned`.
    pub(crate) fn admits(
        &self,
        node: u32,
        company: Company,
        (from, until): (Timestamp, Timestamp),
        planned: impl Iterator<Item = Stay>,
    ) -> bool {
        let there = self.stays.get(node as usize).into_iter().flatten();
        can_join(there.cloned().chain(planned).collect(), Stay { from, until, company })
    }

    /// As [`People::admits`] beside those that are there now, however long they stay.
    pub(crate) fn admits_now(&self, node: u32, company: Company) -> bool {
        let there = self.stays.get(node as usize).into_iter().flatten();
        can_join(there.cloned().collect(), Stay { from: LONG_AGO, until: Timestamp(LONG_AGO.0 + 1), company })
    }

    /// Whether [`People::admits`] can say no at all.
    pub(crate) fn admits_everybody(&self, ask: &Ask) -> bool {
        !self.user_matters(ask)
    }

    /// A job of `guest` starts on `node`, and is there until `until`.
    pub(crate) fn add(&mut self, node: u32, guest: Guest<'_>, ask: &Ask, until: Timestamp) {
        let Some(stays) = self.stays.get_mut(node as usize) else { return };
        let company = Company::of(guest, ask);
        self.any_alone |= company.is_alone();
        stays.push(Stay { from: LONG_AGO, until, company });
    }
}

/// Those who have a node for themselves.
fn owners(user: Option<u32>, label: Option<&Name>) -> impl Iterator<Item = Company> {
    let nobody = Company { user: Presence::Any, label: Presence::Any, alone_by_user: false, alone_by_label: false };
    let by_user = user.map(|uid| Company { user: Presence::One(uid), alone_by_user: true, ..nobody.clone() });
    let by_label =
        label.map(|label| Company { label: Presence::One(Some(label.clone())), alone_by_label: true, ..nobody });
    by_user.into_iter().chain(by_label)
}
