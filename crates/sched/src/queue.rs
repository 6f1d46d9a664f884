//! The queue in groups of jobs that ask for the same thing.
//!
//! Members of a group differ only in their place: when one of them cannot start, those behind it cannot either, and wait
//! for the same reason. A pass looks at groups and walks over members only to say when each of them is to start. The
//! groups are brought up to date from the difference between two views, so a pass costs what has changed.

use std::collections::BTreeMap;
// tidy: only looked up, never iterated
use std::collections::HashMap;
use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use muster_model::accounting::AssociationId;
use muster_model::ids::{JobId, Name};
use muster_model::job::Job;
use muster_model::planning::QueueKey;
use muster_model::time::{Span, TimeLimit, Timestamp};

use crate::hash::FixedState;
use crate::planner::{AskId, Tables};

/// Number of a group.
pub(crate) type GroupId = u32;

/// What members of a group have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct GroupKey {
    asks: Arc<[AskId]>,
    partition: Name,
    time_limit: Option<Span>,
    is_limit_given: bool,
    time_limit_min: Option<Span>,
    deadline: Option<Timestamp>,
    uid: u32,
    association: Option<AssociationId>,
    account: Option<Name>,
    qos: Option<Name>,
    reservation: Option<Name>,
    /// Its `--signal=R:` with the time that it wants.
    leaves_early: Option<Span>,
    /// A component of a heterogeneous job is looked at with the others, and shares its outcome with nobody else.
    het: Option<JobId>,
}

/// Jobs that ask for the same thing, in the order of the queue.
#[derive(Debug)]
pub(crate) struct Group {
    key: Arc<GroupKey>,
    /// The compiled request in the partition of this entry of the queue; nothing where that does not exist.
    pub(crate) asks: Arc<[AskId]>,
    pub(crate) members: BTreeMap<QueueKey, Arc<Job>>,
    /// The first member: a pass over what has changed asks each group for it.
    head: Option<(QueueKey, Arc<Job>)>,
    /// Whether a member is or was more than one job of one partition.
    has_special: bool,
}

impl Group {
    /// The first member.
    pub(crate) fn head(&self) -> Option<&(QueueKey, Arc<Job>)> {
        self.head.as_ref()
    }

    /// The member at that place.
    pub(crate) fn member(&self, key: &QueueKey) -> Option<&Arc<Job>> {
        match &self.head {
            Some((first, job)) if first == key => Some(job),
            _ => self.members.get(key),
        }
    }

    /// Whether each member is one job of one partition: no array, none of several partitions, no component of another.
    pub(crate) fn is_plain(&self) -> bool {
        !self.has_special
    }

    fn add(&mut self, key: QueueKey, job: &Arc<Job>) {
        self.has_special |= job.array.is_some() || job.het.is_some() || job.partitions_wanted().len() > 1;
        if self.head.as_ref().is_none_or(|(first, _)| key <= *first) {
            self.head = Some((key, job.clone()));
        }
        self.members.insert(key, job.clone());
    }

    fn remove(&mut self, key: &QueueKey) {
        self.members.remove(key);
        if self.head.as_ref().is_some_and(|(first, _)| first == key) {
            self.head = self.members.first_key_value().map(|(key, job)| (*key, job.clone()));
        }
    }
}

/// All groups.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    groups: Vec<Group>,
    /// Groups without members. Their numbers are given again, so that passes walk over those that there are, and not over
    /// all that there have been.
    empty: Vec<GroupId>,
    known: HashMap<Arc<GroupKey>, GroupId, FixedState>, // tidy: only looked up
    of_job: HashMap<QueueKey, GroupId, FixedState>,     // tidy: only looked up
    /// Where jobs of several partitions stand, in order.
    places: HashMap<JobId, Vec<QueueKey>, FixedState>, // tidy: only looked up
    /// The queue as it was last seen.
    seen: OrdMap<QueueKey, Arc<Job>>,
}

impl Groups {
    /// The group of that number.
    pub(crate) fn get(&self, id: GroupId) -> &Group {
        &self.groups[id as usize]
    }

    /// The group of the job at that place.
    pub(crate) fn group_of(&self, key: &QueueKey) -> Option<GroupId> {
        self.of_job.get(key).copied()
    }

    /// All places of a job that asks for several partitions, in order; none for any other job.
    pub(crate) fn places_of(&self, job_id: JobId) -> &[QueueKey] {
        self.places.get(&job_id).map_or(&[], |places| &places[..])
    }

    /// Number of groups; of those without members only as many are counted as there were others at once.
    pub(crate) fn len(&self) -> usize {
        self.groups.len()
    }

    /// The first member of each group that has any.
    pub(crate) fn heads(&self) -> impl Iterator<Item = (QueueKey, GroupId)> + '_ {
        (0..).zip(&self.groups).filter_map(|(id, group)| Some((group.head.as_ref()?.0, id)))
    }

    /// The member of a group behind `key`.
    pub(crate) fn next(&self, id: GroupId, key: &QueueKey) -> Option<QueueKey> {
        let behind = (std::ops::Bound::Excluded(*key), std::ops::Bound::Unbounded);
        self.get(id).members.range(behind).next().map(|(key, _)| *key)
    }

    /// Brings the groups in line with `queue`. Gives the groups that got new or changed members, ascending, and the
    /// places in the queue that are vacant now.
    pub(crate) fn follow(&mut self, tables: &mut Tables, queue: &OrdMap<QueueKey, Arc<Job>>) -> Changes {
        let before = std::mem::replace(&mut self.seen, queue.clone());
        let mut changes = Changes::default();
        if before.is_empty() {
            for (key, job) in queue {
                self.add(tables, *key, job, &mut changes);
            }
        } else {
            for change in before.diff(queue) {
                match change {
                    DiffItem::Add(key, job) => self.add(tables, *key, job, &mut changes),
                    DiffItem::Remove(key, _) => self.remove(key, &mut changes),
                    DiffItem::Update { old: (_, _), new: (key, job) } => {
                        self.remove(key, &mut changes);
                        self.add(tables, *key, job, &mut changes);
                    }
                }
            }
        }
        changes.groups.sort_unstable();
        changes.groups.dedup();
        changes.come.sort_unstable();
        changes
    }

    fn add(&mut self, tables: &mut Tables, key: QueueKey, job: &Arc<Job>, changes: &mut Changes) {
        let group_key = GroupKey {
            asks: asks_at(tables, job, key.partition),
            partition: job.partition.clone(),
            time_limit: job.time_limit.span(),
            is_limit_given: job.spec.time_limit.is_some(),
            time_limit_min: job.spec.time_limit_min.and_then(TimeLimit::span),
            deadline: job.spec.deadline,
            uid: job.spec.identity.uid,
            association: job.association,
            account: job.account.clone().or_else(|| job.spec.account.clone()),
            qos: job.qos.clone().or_else(|| job.spec.qos.clone()),
            reservation: job.spec.reservation.clone(),
            leaves_early: job.spec.early_signal.filter(|early| early.reservation).map(|early| early.before_end),
            het: job.het.map(|_| job.id),
        };
        let id = self.known.get(&group_key).copied().unwrap_or_else(|| self.open(group_key));
        self.groups[id as usize].add(key, job);
        self.of_job.insert(key, id);
        if job.partitions_wanted().len() > 1 && job.het.is_none() {
            let places = self.places.entry(job.id).or_default();
            places.insert(places.partition_point(|place| *place < key), key);
        }
        changes.groups.push(id);
        changes.come.push((id, key));
    }

    /// A new group without members.
    fn open(&mut self, key: GroupKey) -> GroupId {
        let key = Arc::new(key);
        let (asks, members) = (key.asks.clone(), BTreeMap::new());
        let group = Group { key: key.clone(), asks, members, head: None, has_special: false };
        let id = match self.empty.pop() {
            Some(id) => {
                self.groups[id as usize] = group;
                id
            }
            None => {
                self.groups.push(group);
                self.groups.len() as GroupId - 1
            }
        };
        self.known.insert(key, id);
        id
    }

    fn remove(&mut self, key: &QueueKey, changes: &mut Changes) {
        if let Some(id) = self.of_job.remove(key) {
            let group = &mut self.groups[id as usize];
            group.remove(key);
            if group.members.is_empty() {
                self.known.remove(&group.key);
                self.empty.push(id);
            }
            changes.vacant.push(*key);
            if let Some(places) = self.places.get_mut(&key.job_id) {
                places.retain(|place| place != key);
                if places.is_empty() {
                    self.places.remove(&key.job_id);
                }
            }
        }
    }

    /// Whether most groups have no member any more, so that it is time to begin anew.
    pub(crate) fn is_stale(&self) -> bool {
        self.groups.len() > 10_000 && (self.groups.len() - self.empty.len()) * 4 < self.groups.len()
    }
}

/// The compiled request of a job at one of its places. A component of a heterogeneous job has one place for all its
/// partitions.
fn asks_at(tables: &mut Tables, job: &Job, position: u32) -> Arc<[AskId]> {
    if job.het.is_none() {
        return tables.asks_of(job, position);
    }
    let partitions = job.partitions_wanted().len() as u32;
    (0..partitions).flat_map(|position| tables.asks_of(job, position).to_vec()).collect()
}

/// What is different from the queue as it was last seen.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Groups with new or changed members.
    pub(crate) groups: Vec<GroupId>,
    /// New and changed members, ascending.
    pub(crate) come: Vec<(GroupId, QueueKey)>,
    /// Places of jobs that are gone or have changed.
    pub(crate) vacant: Vec<QueueKey>,
}
