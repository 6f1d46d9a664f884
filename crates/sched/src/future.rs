//! What happens after now: when running jobs give back what they hold, and what is planned for blocked jobs.
//!
//! A *hold* is the part of a planned start that lies on one node. A job may take from a node only what is left of it
//! at every moment of its run beside the holds of jobs that come before it; what is left can only shrink where a hold
//! begins, so those moments are all that is looked at. The amounts are exact, node by node: a planned job that wants
//! one core of a node leaves the others.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::ids::{JobId, NodeIndex};
use muster_model::job::Job;
use muster_model::planning::{PlanView, QueueKey};
use muster_model::preemption::CpuHold;
use muster_model::resources::NodeShare;
use muster_model::time::{Span, Timestamp};
use smallvec::{SmallVec, smallvec};

use crate::fleet::Fleet;
use crate::free::{self, Amounts, Free};
use crate::licenses::{LicensePlan, LicensePlans};
use crate::nodeset::NodeSet;
use crate::order::Order;
use crate::people::{Company, People, Stay};
use crate::planner::AskId;

/// A job that should have ended is expected to end so long after now: about the time its last processes get
/// between TERM and KILL.
pub(crate) const OVERDUE: Span = Span::from_seconds(30);

/// Something given back.
#[derive(Debug, Clone)]
pub(crate) struct Release {
    pub(crate) at: Timestamp,
    pub(crate) job_id: JobId,
    pub(crate) node: u32,
    pub(crate) amounts: Amounts,
}

/// The place of a start in the order of the queue: that of its record, and which task of an array it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    pub(crate) key: QueueKey,
    pub(crate) task: u32,
}

impl Rank {
    /// Behind everybody.
    pub(crate) const LAST: Rank = Rank { key: QueueKey::LAST, task: u32::MAX };
}

/// Part of a planned start on one node.
#[derive(Debug, Clone)]
struct Hold {
    start: Timestamp,
    end: Timestamp,
    rank: Rank,
    amounts: Amounts,
}

/// What is known of one node.
#[derive(Debug, Clone, Default)]
struct NodeFuture {
    /// What jobs hold, by the time at which they give it back.
    held: Vec<Release>,
    /// Of that, what can really come back: never more than is in use, even where the view is of two minds (a node that
    /// has been cleaned before its job has ended).
    back: Vec<Amounts>,
    /// Planned starts, by their begin.
    holds: Vec<Hold>,
}

/// A planned start that has been taken back.
#[derive(Debug)]
pub(crate) struct Lifted {
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    pub(crate) rank: Rank,
    /// The request, if it may be planned on other nodes.
    pub(crate) movable: Option<AskId>,
    parts: Vec<(u32, Amounts)>,
    licenses: Option<LicensePlan>,
    pub(crate) company: Company,
}

impl Lifted {
    /// Where it was planned.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = u32> + '_ {
        self.parts.iter().map(|(node, _)| *node)
    }

    /// Whether licences are planned for it.
    pub(crate) fn is_licensed(&self) -> bool {
        self.licenses.is_some()
    }
}

/// A planned start as a whole.
#[derive(Debug, Clone)]
struct PlannedJob {
    start: Timestamp,
    end: Timestamp,
    nodes: Vec<u32>,
    movable: Option<AskId>,
    company: Company,
}

/// The future as the last pass left it.
#[derive(Debug)]
pub(crate) struct Future {
    now: Timestamp,
    nodes: Vec<NodeFuture>,
    /// All releases by time.
    order: Order,
    planned: NodeSet,
    jobs: BTreeMap<Rank, PlannedJob>,
    /// Planned starts by their end.
    planned_ends: BTreeMap<Timestamp, Vec<Rank>>,
    /// Licences that planned starts hold.
    licenses: LicensePlans,
}

impl Future {
    /// Reads the running jobs of `view`, of which `free` is what they leave now.
    pub(crate) fn build(fleet: &Fleet, view: &PlanView, free: &Free) -> Future {
        let mut future = Future {
            now: view.now,
            nodes: vec![NodeFuture::default(); fleet.node_count()],
            order: Order::default(),
            planned: NodeSet::empty(fleet.node_count()),
            jobs: BTreeMap::new(),
            planned_ends: BTreeMap::new(),
            licenses: LicensePlans::default(),
        };
        for ((end, _), job) in &view.running {
            future.job_runs(fleet, view, *end, job);
        }
        for node in 0..fleet.node_count() as u32 {
            future.settle_node(fleet, node, free);
        }
        future
    }

    /// Stops where it says of running jobs anything else than `anew`, which plans nothing either.
    #[cfg(debug_assertions)]
    pub(crate) fn verify(&self, anew: &Future) {
        for (node, (this, other)) in self.nodes.iter().zip(&anew.nodes).enumerate() {
            let told = |node: &NodeFuture| -> Vec<(Timestamp, JobId, Amounts)> {
                let releases = node.held.iter().zip(&node.back);
                releases.map(|(release, back)| (release.at, release.job_id, back.clone())).collect()
            };
            assert_eq!(told(this), told(other), "releases of node {node}");
            assert!(this.holds.is_empty(), "planned starts on node {node}");
        }
        assert!(self.now == anew.now && self.jobs.is_empty() && self.planned == anew.planned, "planned starts");
    }

    /// A job holds resources until `end`. Nodes it is on have to be settled afterwards.
    pub(crate) fn job_runs(&mut self, fleet: &Fleet, view: &PlanView, end: Timestamp, job: &Job) {
        let partition = fleet.partition_named(&job.partition);
        let own = job.allocation.iter().flat_map(|allocation| &allocation.shares);
        let own = own.map(|share| (end, share, cpus_back(view, job, share)));
        // What a job gave up is over, like what an ended job has: it comes back as soon as the node is clean of it.
        let left = job.resize.as_ref().map_or(end, |resize| resize.time);
        let released = job.released().iter().map(|released| (left, &released.share, released.share.cpus.len()));
        for (at, share, cpus) in own.chain(released) {
            let amounts = Amounts {
                cpus,
                memory: share.memory.0,
                columns: free::columns_on(
                    fleet,
                    share.node.0,
                    &share.gres,
                    partition.map(|part| (part, share.cpus.len())),
                ),
            };
            // What a suspended job claims now it may leave to this one later.
            let counts = !amounts.is_nothing() || job.cpu_hold() == CpuHold::Used;
            if counts && (share.node.0 as usize) < self.nodes.len() {
                self.push(Release { at, job_id: job.id, node: share.node.0, amounts });
            }
        }
    }

    /// Other CPUs of `node` than before are claimed by suspended jobs. It has to be settled afterwards.
    pub(crate) fn claims_changed(&mut self, view: &PlanView, node: u32) {
        let Some(this) = self.nodes.get_mut(node as usize) else { return };
        for release in &mut this.held {
            let job = view.running.get(&(release.at, release.job_id));
            let held = job.and_then(|job| Some((job, job.allocation.as_ref()?.share(NodeIndex(node))?)));
            if let Some((job, share)) = held {
                release.amounts.cpus = cpus_back(view, job, share);
            }
        }
    }

    /// A job holds nothing any more. Nodes it was on have to be settled afterwards.
    pub(crate) fn job_gone(&mut self, job: &Job) {
        for share in job.shares_with_released() {
            if let Some(node) = self.nodes.get_mut(share.node.0 as usize) {
                node.held.retain(|release| release.job_id != job.id);
                self.order.note(share.node.0);
            }
        }
    }

    /// Forgets what a pass has started on a node: the next view tells whether it came about.
    pub(crate) fn forget_started(&mut self, node: u32) {
        self.nodes[node as usize].held.retain(|release| release.job_id != STARTED_HERE);
        self.order.note(node);
    }

    /// Works out what can come back on `node`, of which `free` is what is free now.
    pub(crate) fn settle_node(&mut self, fleet: &Fleet, node: u32, free: &Free) {
        let mut in_use = fleet.total_of(node);
        in_use.subtract(&free.of(node));
        let this = &mut self.nodes[node as usize];
        this.back.clear();
        for release in &this.held {
            let mut back = release.amounts.clone();
            if back.columns.is_empty() {
                back.columns = smallvec![0; in_use.columns.len()];
            }
            back.lower_to(&in_use);
            in_use.subtract(&back);
            this.back.push(back);
        }
        self.order.note(node);
    }

    fn push(&mut self, release: Release) {
        self.order.note(release.node);
        let held = &mut self.nodes[release.node as usize].held;
        let key = (release.at, release.job_id);
        let at = held.partition_point(|other| (other.at, other.job_id) <= key);
        held.insert(at, release);
    }

    /// A job that this pass starts will give `amounts` of `node` back at `at`.
    pub(crate) fn add_started(&mut self, at: Timestamp, node: u32, amounts: &Amounts) {
        let this = &mut self.nodes[node as usize];
        let position = this.held.partition_point(|other| (other.at, other.job_id) <= (at, STARTED_HERE));
        this.held.insert(position, Release { at, job_id: STARTED_HERE, node, amounts: amounts.clone() });
        this.back.insert(position, amounts.clone());
        self.order.note(node);
    }

    /// Takes back what [`Future::add_started`] was told.
    pub(crate) fn remove_started(&mut self, at: Timestamp, node: u32, amounts: &Amounts) {
        let this = &mut self.nodes[node as usize];
        let is_it =
            |release: &Release| (release.at, release.job_id) == (at, STARTED_HERE) && release.amounts == *amounts;
        if let Some(position) = this.held.iter().rposition(is_it) {
            this.held.remove(position);
            this.back.remove(position);
            self.order.note(node);
        }
    }

    /// Lets time pass.
    pub(crate) fn set_now(&mut self, now: Timestamp) {
        // What is late by now, and what was before, is expected at another time.
        self.order.note_until(now.max(self.now + OVERDUE));
        self.now = now;
    }

    /// Whether anything is planned on `node`.
    #[inline]
    pub(crate) fn is_planned(&self, node: u32) -> bool {
        self.planned.contains(node)
    }

    /// Whether anything is planned at all.
    pub(crate) fn has_plans(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// What of `free`, which is free on `node` at `from`, is left for a job that runs until `until` beside the planned
    /// starts of jobs before `rank`.
    pub(crate) fn left(&self, node: u32, free: Amounts, from: Timestamp, until: Timestamp, rank: &Rank) -> Amounts {
        // By their begin; whose place it is is compared last, which costs most.
        let holds = &self.nodes[node as usize].holds;
        let begun = holds.iter().take_while(|hold| hold.start < until);
        let mut relevant = begun.filter(|hold| from < hold.end && hold.rank < *rank);
        let mut left = free;
        let mut there: SmallVec<[&Hold; 8]> = SmallVec::new();
        let mut next = relevant.next();
        while let Some(hold) = next.filter(|hold| hold.start <= from) {
            there.push(hold);
            next = relevant.next();
        }
        // What is free at later moments is worked out only where there are any.
        let level_at_first = next.is_some().then(|| left.clone());
        there.iter().for_each(|hold| left.subtract(&hold.amounts));
        let (Some(free), Some(later)) = (level_at_first, next) else { return left };
        let first = there.len();
        there.push(later);
        there.extend(relevant);
        let mut before = from;
        for at in first..there.len() {
            // Nothing can be placed where no CPU is left, whatever else is.
            if left.cpus == 0 {
                break;
            }
            let moment = there[at].start;
            if moment == before {
                continue;
            }
            before = moment;
            let mut level = free.clone();
            self.releases(node, from, moment).for_each(|back| level.add(back));
            let holding = there.iter().filter(|hold| hold.start <= moment && moment < hold.end);
            holding.for_each(|hold| level.subtract(&hold.amounts));
            left.lower_to(&level);
        }
        left
    }

    /// What comes back on `node` after `from` and until `to`.
    fn releases(&self, node: u32, from: Timestamp, to: Timestamp) -> impl Iterator<Item = &Amounts> {
        let this = &self.nodes[node as usize];
        let now = self.now;
        this.held
            .iter()
            .zip(&this.back)
            .filter(move |(release, _)| {
                let at = expected_end(release.at, now);
                from < at && at <= to
            })
            .map(|(_, back)| back)
    }

    /// Plans to give `amounts` of some nodes away from `start` to `end`; where other nodes do as well, for the request
    /// `movable`.
    pub(crate) fn hold(
        &mut self,
        rank: Rank,
        (start, end): (Timestamp, Timestamp),
        parts: &[(u32, Amounts)],
        movable: Option<AskId>,
        company: Company,
    ) {
        for (node, amounts) in parts {
            self.planned.insert(*node);
            let holds = &mut self.nodes[*node as usize].holds;
            let at = holds.partition_point(|other| (other.start, other.rank) <= (start, rank));
            holds.insert(at, Hold { start, end, rank, amounts: amounts.clone() });
        }
        self.planned_ends.entry(end).or_default().push(rank);
        let nodes = parts.iter().map(|(node, _)| *node).collect();
        self.jobs.insert(rank, PlannedJob { start, end, nodes, movable, company });
    }

    /// Takes all planned starts of one record back.
    pub(crate) fn drop_record(&mut self, key: &QueueKey) {
        let all = Rank { key: *key, task: 0 }..=Rank { key: *key, task: u32::MAX };
        let ranks: Vec<Rank> = self.jobs.range(all).map(|(rank, _)| *rank).collect();
        ranks.iter().for_each(|rank| self.drop_hold(rank));
    }

    /// Takes one planned start back, if there is one, so that it can be planned again as it was.
    pub(crate) fn lift(&mut self, rank: &Rank) -> Option<Lifted> {
        let job = self.jobs.get(rank)?;
        let (start, end, movable, company) = (job.start, job.end, job.movable, job.company.clone());
        let part = |node: &u32| {
            let hold = self.nodes[*node as usize].holds.iter().find(|hold| hold.rank == *rank)?;
            Some((*node, hold.amounts.clone()))
        };
        let parts = job.nodes.iter().filter_map(part).collect();
        let licenses = self.licenses.remove(rank);
        self.drop_hold(rank);
        Some(Lifted { rank: *rank, start, end, movable, parts, licenses, company })
    }

    /// Takes the planned starts of a record back, from this task on.
    pub(crate) fn lift_from(&mut self, rank: &Rank) -> Vec<Lifted> {
        let last = Rank { task: u32::MAX, ..*rank };
        let ranks: Vec<Rank> = self.jobs.range(*rank..=last).map(|(rank, _)| *rank).collect();
        ranks.iter().filter_map(|rank| self.lift(rank)).collect()
    }

    /// Plans a start as it was planned before.
    pub(crate) fn put_back(&mut self, lifted: &Lifted) {
        self.put_elsewhere(lifted, &lifted.parts);
    }

    /// Plans a start at the time at which it was planned before, on other nodes.
    pub(crate) fn put_elsewhere(&mut self, lifted: &Lifted, parts: &[(u32, Amounts)]) {
        self.hold(lifted.rank, (lifted.start, lifted.end), parts, lifted.movable, lifted.company.clone());
        if let Some(plan) = &lifted.licenses {
            self.licenses.insert(lifted.rank, plan.clone());
        }
    }

    /// Takes one planned start back, if there is one.
    pub(crate) fn drop_hold(&mut self, rank: &Rank) {
        let Some(job) = self.jobs.remove(rank) else {
            return;
        };
        self.licenses.remove(rank);
        for node in job.nodes {
            let holds = &mut self.nodes[node as usize].holds;
            holds.retain(|hold| hold.rank != *rank);
            if holds.is_empty() {
                self.planned.remove(node);
            }
        }
        if let Some(ranks) = self.planned_ends.get_mut(&job.end) {
            ranks.retain(|other| other != rank);
            if ranks.is_empty() {
                self.planned_ends.remove(&job.end);
            }
        }
    }

    /// Where the start for this place is planned.
    pub(crate) fn nodes_of(&self, rank: &Rank) -> impl Iterator<Item = u32> + '_ {
        self.jobs.get(rank).into_iter().flat_map(|job| job.nodes.iter().copied())
    }

    /// Holds licences for the start that is planned for this place.
    pub(crate) fn hold_licenses(&mut self, rank: Rank, plan: LicensePlan) {
        self.licenses.insert(rank, plan);
    }

    /// Licences that planned starts hold.
    pub(crate) fn licenses(&self) -> &LicensePlans {
        &self.licenses
    }

    /// Takes all planned starts back.
    pub(crate) fn drop_all(&mut self) {
        let ranks: Vec<Rank> = self.jobs.keys().copied().collect();
        ranks.iter().for_each(|rank| self.drop_hold(rank));
    }

    /// Whether a start is planned for this place.
    pub(crate) fn is_held(&self, rank: &Rank) -> bool {
        self.jobs.contains_key(rank)
    }

    /// Records with a start planned for `now` or before.
    pub(crate) fn due(&self, now: Timestamp) -> impl Iterator<Item = QueueKey> + '_ {
        self.jobs.iter().filter(move |(_, job)| job.start <= now).map(|(rank, _)| rank.key)
    }

    /// Planned starts behind `rank` that do not fit on `node` any more beside what is `free` there now.
    pub(crate) fn displaced(&self, node: u32, free: &Free, rank: &Rank) -> Vec<Rank> {
        let holds = self.nodes[node as usize].holds.iter();
        holds.filter(|hold| hold.rank > *rank && self.lacks(node, free, hold)).map(|hold| hold.rank).collect()
    }

    /// Whether any planned start lacks something on `node`, of which `free` is what is free now.
    pub(crate) fn is_short(&self, node: u32, free: &Free) -> bool {
        self.nodes[node as usize].holds.iter().any(|hold| self.lacks(node, free, hold))
    }

    fn lacks(&self, node: u32, free: &Free, hold: &Hold) -> bool {
        let start = hold.start.max(self.now);
        !self.left(node, self.free_at(node, free, start), start, hold.end, &hold.rank).covers(&hold.amounts)
    }

    /// Who comes to `node` by planned starts before `rank`.
    pub(crate) fn stays_before(&self, node: u32, rank: &Rank) -> impl Iterator<Item = Stay> {
        let holds = self.nodes[node as usize].holds.iter().filter(move |hold| hold.rank < *rank);
        holds.filter_map(|hold| {
            let company = self.jobs.get(&hold.rank)?.company.clone();
            Some(Stay { from: hold.start.max(self.now), until: hold.end, company })
        })
    }

    /// Planned starts on `node` behind `rank`, or all of them, that cannot be there with those before them.
    pub(crate) fn put_off(&self, node: u32, rank: Option<&Rank>, people: &People) -> Vec<Rank> {
        let is_behind = |hold: &&Hold| rank.is_none_or(|rank| hold.rank > *rank);
        let mut behind: Vec<&Hold> = self.nodes[node as usize].holds.iter().filter(is_behind).collect();
        behind.sort_by_key(|hold| hold.rank);
        let is_put_off = |hold: &&Hold| {
            let Some(job) = self.jobs.get(&hold.rank) else { return false };
            let run = (hold.start.max(self.now), hold.end);
            !people.admits(node, job.company.clone(), run, self.stays_before(node, &hold.rank))
        };
        behind.into_iter().filter(is_put_off).map(|hold| hold.rank).collect()
    }

    /// Whether any planned start is for nodes that nobody else may be on.
    pub(crate) fn has_alone(&self) -> bool {
        self.jobs.values().any(|job| job.company.is_alone())
    }

    /// Planned starts before `rank` that would lack something if a job took `parts` of what is `free` now, until `until`.
    pub(crate) fn crowded(
        &self,
        parts: &[(u32, Amounts)],
        free: &Free,
        until: Timestamp,
        rank: &Rank,
    ) -> BTreeSet<Rank> {
        let mut crowded = BTreeSet::new();
        for (node, taken) in parts {
            let holds = self.nodes[*node as usize].holds.iter().filter(|hold| hold.rank < *rank && hold.start < until);
            for hold in holds {
                let mut level = self.free_at(*node, free, hold.start);
                level.subtract(taken);
                if !self.left(*node, level, hold.start, hold.end, &hold.rank).covers(&hold.amounts) {
                    crowded.insert(hold.rank);
                }
            }
        }
        crowded
    }

    /// What is free on `node` at `time` beside the running jobs, of which `free` is what they leave now.
    pub(crate) fn free_at(&self, node: u32, free: &Free, time: Timestamp) -> Amounts {
        let mut amounts = free.of(node);
        self.releases(node, Timestamp(i64::MIN), time).for_each(|back| amounts.add(back));
        amounts
    }

    /// Tells of everything that running jobs give back: node, time, amounts.
    pub(crate) fn each_release(&self, mut tell: impl FnMut(u32, Timestamp, &Amounts)) {
        for this in &self.nodes {
            for (release, back) in this.held.iter().zip(&this.back) {
                tell(release.node, expected_end(release.at, self.now), back);
            }
        }
    }

    /// What running jobs give back of one node, and when.
    pub(crate) fn releases_of(&self, node: u32) -> impl Iterator<Item = (Timestamp, &Amounts)> {
        let this = &self.nodes[node as usize];
        this.held.iter().zip(&this.back).map(|(release, back)| (expected_end(release.at, self.now), back))
    }

    /// Tells of all planned starts: node, begin, end, amounts.
    pub(crate) fn each_hold(&self, mut tell: impl FnMut(u32, Timestamp, Timestamp, &Amounts)) {
        for (node, this) in (0..).zip(&self.nodes) {
            this.holds.iter().for_each(|hold| tell(node, hold.start, hold.end, &hold.amounts));
        }
    }

    /// Whether the order of releases is true.
    pub(crate) fn is_sorted(&self) -> bool {
        self.order.is_true()
    }

    /// How many moments it knows at which something becomes free or a planned start begins or ends.
    pub(crate) fn moment_count(&self) -> usize {
        self.order.moments().len() + 2 * self.jobs.len()
    }

    /// Makes the order of releases true again.
    pub(crate) fn sort(&mut self) {
        let (nodes, now) = (&self.nodes, self.now);
        let releases = |node: u32| nodes[node as usize].held.iter().map(move |release| expected_end(release.at, now));
        self.order.update(nodes.len() as u32, releases);
    }

    /// Tells of releases up to `time`, from number `passed` on; gives how many have passed then.
    pub(crate) fn pass_until(&self, time: Timestamp, passed: usize, mut tell: impl FnMut(u32, &Amounts)) -> usize {
        let mut at = passed;
        while let Some((_, node, position)) = self.order.moments().get(at).filter(|(moment, _, _)| *moment <= time) {
            tell(*node, &self.nodes[*node as usize].back[*position as usize]);
            at += 1;
        }
        at
    }

    /// When a running job gives something back next, when `passed` releases have passed.
    pub(crate) fn next_release(&self, passed: usize) -> Option<Timestamp> {
        self.order.moments().get(passed).map(|(at, _, _)| *at)
    }

    /// The next moment after `time` at which something comes free, when `passed` releases have passed.
    pub(crate) fn next_moment(&self, time: Timestamp, passed: usize) -> Option<Timestamp> {
        let release = self.next_release(passed);
        let after = (std::ops::Bound::Excluded(time), std::ops::Bound::Unbounded);
        let end = self.planned_ends.range(after).next().map(|(at, _)| *at);
        release.into_iter().chain(end).min()
    }

    /// Adds the nodes of planned starts that end at `time`.
    pub(crate) fn nodes_of_ends(&self, time: Timestamp, nodes: &mut Vec<u32>) {
        for rank in self.planned_ends.get(&time).into_iter().flatten() {
            nodes.extend(self.jobs.get(rank).into_iter().flat_map(|job| &job.nodes));
        }
    }

    /// When the last planned start is over.
    pub(crate) fn last_end(&self) -> Timestamp {
        self.planned_ends.last_key_value().map_or(self.now, |(end, _)| *end)
    }

    /// Nodes on which something is planned.
    pub(crate) fn planned(&self) -> &NodeSet {
        &self.planned
    }
}

/// Stands in releases for jobs that this pass starts: tasks of arrays have no number yet.
const STARTED_HERE: JobId = JobId(u32::MAX);

/// How many CPUs come back when a job ends. Others may have those of a job that an operator has suspended already; and on
/// those that suspended jobs claim these go on.
fn cpus_back(view: &PlanView, job: &Job, share: &NodeShare) -> u32 {
    let claimed = view.nodes.get(share.node.0 as usize).map(|node| &node.used.cpus_claimed);
    match job.cpu_hold() {
        CpuHold::Given => 0,
        CpuHold::Claimed => share.cpus.len(),
        CpuHold::Used => match claimed.filter(|claimed| !claimed.is_empty()) {
            None => share.cpus.len(),
            Some(claimed) => {
                let mut cpus = share.cpus.clone();
                cpus.remove_all(claimed);
                cpus.len()
            }
        },
    }
}

/// When a job with this end is expected to give back what it holds.
pub(crate) fn expected_end(end: Timestamp, now: Timestamp) -> Timestamp {
    if end > now { end } else { now + OVERDUE }
}
