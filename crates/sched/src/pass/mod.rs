//! One walk over the queue.
//!
//! | subject | module |
//! |---|---|
//! | the walk itself | here |
//! | what jobs that ask for the same thing have been found to do | `standing` |
//! | starting a job now | `start` |
//! | which of several types of a GRES it takes | `given` |
//! | what a blocked job is told, and its planned start | `wait` |
//! | jobs that ask for several partitions | `several` |
//! | heterogeneous jobs | `together` |
//! | what provisional starts took | `journal` |
//! | keeping what was said before | `told` |
//! | planned starts as another pass has told them | `foretold` |
//! | when jobs start that nothing is held for | `expected` |
//! | about when jobs start that are not planned exactly | `forecasts` |
//! | jobs that start too late to be held for | `beyond` |
//! | why one job waits | `explain` |
//! | what it could ask for instead | `variants` |
//! | making room by ending others | `evict` |
//! | making room by moving planned starts | `moving` |
//! | a walk over what has changed only | `partial` |

mod beyond;
mod census;
mod evict;
mod expected;
mod explain;
mod forecasts;
mod foretold;
mod given;
mod journal;
mod moving;
mod partial;
mod several;
mod standing;
mod start;
mod together;
mod told;
pub(crate) mod variants;
mod wait;

use std::cmp::Reverse;
use std::collections::btree_map;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use muster_model::array::TaskSet;
use muster_model::ids::{JobId, Name};
use muster_model::job::{ArrayRole, Job};
use muster_model::planning::{Outlook, Plan, PlanView, PlannedStart, PlannedWait, QueueKey};
use muster_model::state::Reason;
use muster_model::time::{Span, TimeLimit, Timestamp};
use smallvec::SmallVec;

use crate::books::Books;
use crate::budget::Budget;
use crate::choose::Candidate;
use crate::exact::Taken;
use crate::feasible::Verdict;
use crate::free::Amounts;
use crate::future::Rank;
use crate::licenses::Holdings;
use crate::limits::Limits;
use crate::nodeset::NodeSet;
use crate::people::People;
use crate::planner::{AskId, Tables};
use crate::queue::{GroupId, Groups};
use crate::reservation::{Inside, Reservations};
use crate::said::Said;
pub(crate) use explain::Finding;
use standing::{Known, Standings};

/// A job without limit is expected to take so long (Slurm's year).
pub(crate) const UNLIMITED: Span = Span::from_seconds(365 * 86_400);

/// The state of one pass.
pub(crate) struct Pass<'a> {
    view: &'a PlanView,
    budget: &'a Budget,
    tables: &'a mut Tables,
    groups: &'a Groups,
    books: &'a mut Books,
    scratch: Vec<Candidate>,
    /// Made when first needed.
    people: Option<People>,
    licenses: Option<Holdings>,
    limits: Limits<'a>,
    reservations: Reservations<'a>,
    /// Reservations in which a job waits for resources.
    reservations_blocked: BTreeSet<Inside>,
    forecasts: forecasts::Forecasts,
    /// CPUs of each partition that are free within the window, where that has been asked for.
    room_in_window: BTreeMap<u32, u64>,
    units: Taken,
    /// By number of the group.
    known: Vec<Known>,
    standings: Standings,
    /// Nodes of partitions with a blocked job.
    contended: NodeSet,
    /// Planned starts by user, where the budget limits these.
    plans_of_users: BTreeMap<u32, u32>,
    /// Jobs for which running ones make room, and these.
    preemptors: usize,
    evicted: BTreeSet<JobId>,
    /// Groups that nobody makes room for.
    without_victims: BTreeSet<GroupId>,
    /// Groups that cannot start even if all are suspended whom they may preempt.
    without_yielding: BTreeSet<GroupId>,
    room_by: Option<Timestamp>,
    /// Tasks started in this pass, by array.
    tasks_started: BTreeMap<JobId, u32>,
    several: several::Several,
    /// What provisional starts took; nothing is provisional without it.
    journal: Option<Vec<journal::Line>>,
    /// Heterogeneous jobs that a walk over what has changed has looked at, by their leader.
    seen_together: BTreeSet<JobId>,
    moving: moving::Moving,
    plan: Plan,
    waits: Vec<PlannedWait>,
    /// Blocked jobs whose start is worked out at the end.
    deferred: Vec<expected::Deferred<'a>>,
    /// They are forecast only.
    is_rough: bool,
    /// What a pass over the same queue has said, to go by instead of planning the same starts again.
    foretold: Option<foretold::Foretold<'a>>,
    /// Waiting jobs of which nothing was said, by their groups, in the order of the queue.
    passed_over: Vec<GroupId>,
}

/// Why a job does not start.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wait {
    reason: Reason,
    detail: Option<Name>,
    expected: Option<Expected>,
}

/// When a blocked job is to start.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Expected {
    start: Timestamp,
    /// Where, if resources are held for it.
    nodes: Option<Name>,
    is_forecast: bool,
}

impl From<Reason> for Wait {
    fn from(reason: Reason) -> Wait {
        Wait { reason, detail: None, expected: None }
    }
}

impl Wait {
    fn planned(self, job: &Job) -> PlannedWait {
        let (expected_start, expected_nodes, is_forecast) = match self.expected {
            Some(expected) => (Some(expected.start), expected.nodes, expected.is_forecast),
            None => (None, None, false),
        };
        PlannedWait {
            job_id: job.id,
            restart: job.restart,
            reason: self.reason,
            detail: self.detail,
            expected_start,
            expected_nodes,
            is_forecast,
        }
    }
}

/// What a job takes of some nodes.
type Parts = Vec<(u32, Amounts)>;

/// A request in one partition, for jobs of one group.
#[derive(Debug, Clone)]
struct Case {
    id: AskId,
    verdict: Arc<Verdict>,
    duration: Span,
    lack: start::Lack,
}

/// One job or task that is looked at: its record, its place in the queue, and which task of an array it is.
#[derive(Clone, Copy)]
struct Entry<'j> {
    group: GroupId,
    key: QueueKey,
    job: &'j Job,
    task_index: Option<u32>,
    /// When it is to start in another of its partitions: a later start is of no use.
    before: Option<Timestamp>,
}

impl Entry<'_> {
    fn rank(&self) -> Rank {
        Rank { key: self.key, task: self.task_index.unwrap_or(0) }
    }
}

impl<'a> Pass<'a> {
    /// A pass that goes on from `books`, which are true for `view`.
    pub(crate) fn new(
        view: &'a PlanView,
        budget: &'a Budget,
        tables: &'a mut Tables,
        groups: &'a Groups,
        books: &'a mut Books,
    ) -> Pass<'a> {
        let mut known = Vec::new();
        known.resize_with(groups.len(), Known::default);
        Pass {
            people: None,
            licenses: None,
            reservations: Reservations::of(&tables.fleet, view),
            reservations_blocked: BTreeSet::new(),
            limits: Limits::of(view),
            forecasts: forecasts::Forecasts::default(),
            room_in_window: BTreeMap::new(),
            units: Taken::default(),
            known,
            standings: Standings::default(),
            contended: NodeSet::empty(tables.fleet.node_count()),
            plans_of_users: BTreeMap::new(),
            preemptors: 0,
            evicted: BTreeSet::new(),
            without_victims: BTreeSet::new(),
            without_yielding: BTreeSet::new(),
            room_by: None,
            tasks_started: BTreeMap::new(),
            several: several::Several::default(),
            journal: None,
            seen_together: BTreeSet::new(),
            moving: moving::Moving::default(),
            plan: Plan::default(),
            waits: Vec::new(),
            deferred: Vec::new(),
            is_rough: false,
            foretold: None,
            passed_over: Vec::new(),
            scratch: tables.borrow_scratch(),
            view,
            budget,
            tables,
            groups,
            books,
        }
    }

    /// Walks over the whole queue.
    pub(crate) fn run(mut self) -> Plan {
        self.waits.reserve(self.view.queue.len());
        self.walk(None);
        self.expect_deferred(false);
        self.tables.return_scratch(std::mem::take(&mut self.scratch));
        let mut waits = std::mem::take(&mut self.waits);
        waits.retain(|wait| !self.several.is_over(wait.job_id));
        waits.iter_mut().for_each(|wait| self.moving.correct(wait));
        self.plan.outlook = Outlook::new(self.view.now, waits);
        self.plan.figures.moments = count(self.books.future.moment_count());
        self.books.said = Said::of(self.plan.outlook.clone());
        self.plan
    }

    /// Walks over the queue, up to the job at `end`, which is left out.
    fn walk(&mut self, end: Option<&QueueKey>) {
        let groups = self.groups;
        let mut members: Vec<btree_map::Iter<'a, QueueKey, Arc<Job>>> =
            (0..groups.len()).map(|id| groups.get(id as GroupId).members.iter()).collect();
        let mut heads: BinaryHeap<Reverse<(QueueKey, GroupId)>> = groups.heads().map(Reverse).collect();
        let mut looked_at = 0;
        self.plan.figures.queue = count(self.view.queue.len());
        while let Some(Reverse((key, id))) = heads.pop() {
            if end.is_some_and(|end| key >= *end) {
                break;
            }
            if looked_at >= self.budget.jobs_max || self.is_full() {
                self.plan.exhausted = true;
                break;
            }
            looked_at += 1;
            let members = &mut members[id as usize];
            let Some((key, job)) = members.next() else { continue };
            if self.passes_over(id, *key, job) {
                // When it starts is forecast in the end, in its turn.
            } else if job.het.is_some() {
                if !job.is_led() {
                    self.walk_together(*key, job);
                }
            } else {
                let wait = self.look_at_record(id, *key, job);
                self.tell(job, wait);
            }
            heads.extend(members.clone().next().map(|(next, _)| Reverse((*next, id))));
        }
        self.plan.figures.looked_at = looked_at;
    }

    fn is_full(&self) -> bool {
        self.plan.starts.len() >= self.budget.starts_max as usize
    }

    /// Starts what can start of one record. `None` when all of it did.
    fn look_at_record(&mut self, group: GroupId, key: QueueKey, job: &'a Job) -> Option<Wait> {
        let entry = Entry { group, key, job, task_index: None, before: None };
        match &job.array {
            Some(ArrayRole::Waiting { tasks }) => self.look_at_array(entry, tasks),
            Some(ArrayRole::Task { array_job_id, .. }) if self.slots(*array_job_id) == 0 => {
                Some(Reason::JobArrayTaskLimit.into())
            }
            _ if self.several.started(job.id) > 0 => None,
            _ => self.look_at(entry).err(),
        }
    }

    /// Starts tasks, lowest first, until one does not fit or no more may start. `None` when all were started, or the
    /// pass ends here.
    fn look_at_array(&mut self, entry: Entry<'a>, tasks: &TaskSet) -> Option<Wait> {
        let mut first_wait = None;
        let started_elsewhere = self.several.started(entry.job.id) as usize;
        for (part, index) in (0..).zip(tasks.iter().skip(started_elsewhere)) {
            if first_wait.is_none() && self.slots(entry.job.id) == 0 {
                return Some(Reason::JobArrayTaskLimit.into());
            }
            if self.is_full() {
                self.plan.exhausted = true;
                break;
            }
            match self.look_at(Entry { task_index: Some(index), ..entry }) {
                Ok(()) => {}
                Err(wait) => {
                    let is_planned = wait.expected.as_ref().is_some_and(|expected| !expected.is_forecast);
                    first_wait.get_or_insert(wait);
                    if !is_planned || part + 1 >= self.budget.reservations_per_array_max {
                        break;
                    }
                }
            }
        }
        first_wait
    }

    /// How many more tasks of an array may start. Tasks that have a record of their own count like the others.
    fn slots(&self, array: JobId) -> u32 {
        let slots = self.view.array_slots.get(&array).copied().unwrap_or(u32::MAX);
        slots.saturating_sub(self.tasks_started.get(&array).copied().unwrap_or(0))
    }

    /// Tries a job in the partition of this entry.
    fn look_at(&mut self, entry: Entry<'a>) -> Result<(), Wait> {
        if self.groups.places_of(entry.job.id).is_empty() {
            return self.look_in(entry);
        }
        let lifted = self.lift_elsewhere(entry);
        let before = lifted.start();
        let outcome = self.look_in(Entry { before, ..entry });
        self.settle_elsewhere(entry, lifted, outcome)
    }

    fn look_in(&mut self, entry: Entry<'a>) -> Result<(), Wait> {
        match &self.known[entry.group as usize] {
            Known::Open => {}
            Known::Waits(wait) => return Err(wait.clone()),
            Known::Lacks(cases) => {
                let cases = cases.clone();
                return if self.start_over_others(entry, &cases) { Ok(()) } else { Err(self.block(entry, &cases)) };
            }
        }
        let asks = self.groups.get(entry.group).asks.clone();
        let mut lacking: SmallVec<[Case; 1]> = SmallVec::new();
        let mut other: Option<Wait> = None;
        for id in asks.iter() {
            let verdict = self.tables.verdict(*id).clone();
            let duration = self.duration(entry.job, self.tables.partition_of(*id));
            let case = Case { id: *id, verdict, duration, lack: start::Lack::Busy };
            match self.try_in(entry, &case) {
                start::Trial::Started => return Ok(()),
                start::Trial::Lacks(lack) => lacking.push(Case { lack, ..case }),
                // What may pass is told rather than what never will.
                start::Trial::Waits(wait) => {
                    if other.as_ref().is_none_or(|before| before.reason == Reason::BadConstraints) {
                        other = Some(wait);
                    }
                }
            }
        }
        if lacking.is_empty() {
            // A job none of whose partitions exists any more has no other reason.
            let wait = other.unwrap_or(Reason::PartitionConfig.into());
            self.known[entry.group as usize] = Known::Waits(wait.clone());
            return Err(wait);
        }
        let cases: Arc<[Case]> = match lacking.into_inner() {
            Ok(one) => Arc::new(one),
            Err(several) => several.into_iter().collect(),
        };
        self.known[entry.group as usize] = Known::Lacks(cases.clone());
        if self.start_over_others(entry, &cases) { Ok(()) } else { Err(self.block(entry, &cases)) }
    }

    /// Notes a start.
    fn note_start(&mut self, entry: Entry<'_>, start: PlannedStart) {
        if let Some(array) = entry.job.array_job_id() {
            *self.tasks_started.entry(array).or_default() += 1;
        }
        if !self.groups.places_of(entry.job.id).is_empty() {
            self.several.note_start(entry.job.id);
        }
        self.plan.starts.push(start);
    }

    /// How long `job` may run in `partition`.
    fn duration(&self, job: &Job, partition: u32) -> Span {
        match self.limit(job, partition) {
            TimeLimit::Limited(span) => span,
            TimeLimit::Unlimited => UNLIMITED,
        }
    }

    fn limit(&self, job: &Job, partition: u32) -> TimeLimit {
        let part = self.tables.fleet.partition(partition);
        let is_own = part.name == job.partition || job.spec.time_limit.is_some();
        let limit = if is_own { job.time_limit } else { part.time_default.unwrap_or(part.time_max) };
        job.limit_by_deadline(limit, self.view.now)
    }
}

fn count(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}
