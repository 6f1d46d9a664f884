//! Playing the queue on: what this planner decides from here on if nothing happens but what is expected.
//!
//! Where the cluster and its queue are small enough, this is how it is found out when a job would start if it asked for
//! something else: the view is forked, the job changed, and pass after pass is made and carried out, each at the next
//! moment at which something ends or begins, until the job starts. So what is told is what comes about, to the second.
//! Jobs that run are expected to take all of their time, and nobody new to come.

use std::cmp::Reverse;
use std::sync::Arc;

use muster_model::accounting::Charged;
use muster_model::explain::Alternative;
use muster_model::ids::{JobId, Name};
use muster_model::job::{ArrayRole, Job};
use muster_model::node::Node;
use muster_model::planning::{Plan, PlanView, PlannedShare, PlannedStart, PlannedWait, QueueKey};
use muster_model::priority::{self, billing_of};
use muster_model::resources::{Allocation, IndexSet, NodeShare, Sharing};
use muster_model::state::JobState;
use muster_model::time::{Span, TimeLimit, Timestamp};

use crate::budget::Budget;
use crate::explain::give_back;
use crate::future::OVERDUE;
use crate::pass::variants::{self, Variant};
use crate::planner::Planner;

/// How much may be done in all passes together, in ten-millionths of a second as it takes on usual machines: a fifth of a
/// second. It is counted and not measured, so that the same question has the same answer.
const WORK_MAX: usize = 2_000_000;
/// The most for one pass: a queue that takes more is not played at all, since it would not come far.
const WORK_OF_PASS_MAX: usize = WORK_MAX / 10;
/// For each record of the queue, running job and node: to look at it.
const WORK_OF_ITEM: usize = 5;
/// For each start that is worked out: so much for each node and running job, but no more than the second number.
const WORK_OF_START: (usize, usize) = (1, 2_000);
/// The first number of tasks that have been started here; they count down.
const TASKS_FROM: u32 = u32::MAX - 1;

/// What comes of a job when the queue is played on.
pub(crate) struct Played {
    /// What becomes of it as it is, if that has been found out.
    pub(crate) outcome: Option<Outcome>,
    /// When it would start if it asked for something else.
    pub(crate) alternatives: Vec<Alternative>,
}

/// When `job` starts, and when it would if it asked for something else: those of its other forms that start earlier than it does, of which
/// `told` is what it was told. Where there is too much to play through, or something that cannot be foreseen, what has been
/// `estimated` stands. Of a heterogeneous job a shorter limit is one of all components: it starts when the last of them can. The
/// rest is asked of the component that is explained.
pub(crate) fn alternatives(
    view: &PlanView,
    budget: &Budget,
    job: &Job,
    told: &PlannedWait,
    estimated: Vec<Alternative>,
) -> Played {
    // Who will share whose cores, and how long somebody is suspended, is for the core to decide.
    let shares_cores = view.partitions.iter().any(|partition| partition.over_subscribe.may_share());
    let is_unclear = shares_cores || view.running.values().any(|other| other.state == JobState::Suspended);
    let starts_max = view.queue.len().min(budget.reservations_max as usize);
    if is_unclear || work_of_pass(view, starts_max) > WORK_OF_PASS_MAX {
        return Played { outcome: None, alternatives: estimated };
    }
    let mut play = Play { budget, work_left: WORK_MAX / 2 };
    let outcome = play.start_of(view.clone(), job.id, None);
    let base = match outcome {
        Some(Outcome::Starts(start)) => Some(start),
        Some(Outcome::Not) => None,
        None => {
            // It takes too long to find out; whether it would start earlier otherwise may be seen sooner.
            play.work_left = 0;
            told.expected_start
        }
    };
    play.work_left += WORK_MAX / 2;
    let mut found = Vec::new();
    for variant in variants::of(view, job).into_iter().filter(|variant| can_stand(view, job, variant)) {
        match play.start_of(fork(view, job, &variant), job.id, base) {
            Some(Outcome::Starts(start)) => {
                found.push(Alternative { change: variant.change, start, is_forecast: false });
            }
            Some(Outcome::Not) => {}
            None => {
                let is_it =
                    |other: &&Alternative| other.change == variant.change && base.is_none_or(|base| other.start < base);
                found.extend(estimated.iter().find(is_it).cloned());
            }
        }
    }
    Played { outcome, alternatives: variants::arrange(found) }
}

/// Whether a job that asks for this has a known place in the queue: components stand side by side, so one of another tier would
/// move the others too.
fn can_stand(view: &PlanView, job: &Job, variant: &Variant) -> bool {
    let tier = |name: &Name| view.partitions.iter().find(|part| part.name == *name).map(|part| part.priority_tier);
    let tiers = |names: &[Name]| names.iter().map(tier).max();
    job.het.is_none() || tiers(&variant.partitions) == tiers(job.partitions_wanted())
}

/// `view` in which `job` asks for something else.
fn fork(view: &PlanView, job: &Job, variant: &Variant) -> PlanView {
    let mut view = view.clone();
    let keys: Vec<QueueKey> = keys_of(&view, job.id);
    keys.iter().for_each(|key| drop(view.queue.remove(key)));
    let mut changed = job.clone();
    let mut spec = (*job.spec).clone();
    spec.request = variant.request.clone();
    if variant.partitions != job.partitions_wanted() {
        spec.partitions = variant.partitions.clone();
        changed.partition = variant.partitions.first().cloned().unwrap_or(job.partition.clone());
    }
    if let Some(duration) = variant.duration {
        let limit = TimeLimit::Limited(duration);
        spec.time_limit = Some(limit);
        changed.time_limit = limit;
        job.components().filter(|id| *id != job.id).for_each(|id| shorten(&mut view, id, limit));
    }
    changed.spec = Arc::new(spec);
    if job.het.is_none() {
        changed.priority = priority::once_changed(job, &changed, view.priorities.of(job.id), &view.config.priority);
    }
    let priorities = priority::by_partition(&changed, view.priorities.of(job.id), &view.config.priority);
    let changed = Arc::new(changed);
    for ((position, name), priority) in (0..).zip(&variant.partitions).zip(priorities) {
        let same = keys.iter().find(|key| key.partition == position && variant.partitions == job.partitions_wanted());
        let tier = view.partitions.iter().find(|part| part.name == *name).map_or(1, |part| part.priority_tier);
        let first = keys.first().copied().unwrap_or(QueueKey::LAST);
        let key = same.copied().unwrap_or(QueueKey { tier: Reverse(tier), partition: position, ..first });
        // Components stand side by side, where the heterogeneous job stands.
        let key = if job.het.is_none() { QueueKey { priority: Reverse(priority), ..key } } else { key };
        view.queue.insert(key, changed.clone());
    }
    view
}

/// Gives a job of the queue a shorter limit, if its own is longer.
fn shorten(view: &mut PlanView, job_id: JobId, limit: TimeLimit) {
    for key in keys_of(view, job_id) {
        if let Some(row) = view.queue.get_mut(&key).filter(|row| row.time_limit > limit) {
            let job = Arc::make_mut(row);
            let mut spec = (*job.spec).clone();
            spec.time_limit = Some(limit);
            (job.time_limit, job.spec) = (limit, Arc::new(spec));
        }
    }
}

fn keys_of(view: &PlanView, job_id: JobId) -> Vec<QueueKey> {
    view.queue.keys().filter(|key| key.job_id == job_id).copied().collect()
}

/// What becomes of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It starts.
    Starts(Timestamp),
    /// Not before the time by which it was to be known, or never.
    Not,
}

struct Play<'a> {
    budget: &'a Budget,
    work_left: usize,
}

impl Play<'_> {
    /// When a job of the queue starts, if that is before `before`. `None` when it cannot be told.
    fn start_of(&mut self, mut view: PlanView, job_id: JobId, before: Option<Timestamp>) -> Option<Outcome> {
        let mut planner = Planner::new();
        expect_overdue(&mut view);
        let mut tasks_started = 0;
        loop {
            let plan = planner.plan(&view, self.budget);
            let starts = plan.outlook.iter().filter(|wait| wait.expected_nodes.is_some()).count();
            self.work_left = self.work_left.checked_sub(work_of_pass(&view, starts))?;
            let makes_room = !plan.evictions.is_empty() || plan.all_starts().any(|start| !start.suspends.is_empty());
            if plan.exhausted || makes_room {
                return None;
            }
            if plan.all_starts().any(|start| start.job_id == job_id) {
                return Some(Outcome::Starts(view.now));
            }
            carry_out(&mut view, plan, &mut tasks_started);
            let Some(next) = next_moment(&view).filter(|_| !keys_of(&view, job_id).is_empty()) else {
                return Some(Outcome::Not);
            };
            if before.is_some_and(|before| before <= next) {
                return Some(Outcome::Not);
            }
            advance(&mut view, next);
        }
    }
}

/// What a pass takes in which so many starts are worked out.
fn work_of_pass(view: &PlanView, starts: usize) -> usize {
    let (each, most) = WORK_OF_START;
    let there = view.running.len() + view.nodes.len();
    WORK_OF_ITEM * (view.queue.len() + there) + starts * most.min(each * there)
}

/// Jobs whose time is over are expected to end soon, as everywhere.
fn expect_overdue(view: &mut PlanView) {
    let late: Vec<_> = view.running.range(..=(view.now, JobId(u32::MAX))).map(|(key, _)| *key).collect();
    for key in late {
        if let Some(mut job) = view.running.remove(&key) {
            let end = view.now + OVERDUE;
            Arc::make_mut(&mut job).end_time = Some(end);
            view.running.insert((end, key.1), job);
        }
    }
}

/// The next time at which a job ends or is given up, or a reservation begins or ends.
fn next_moment(view: &PlanView) -> Option<Timestamp> {
    let end = view.running.keys().map(|(end, _)| *end).find(|end| *end > view.now && end.0 != i64::MAX);
    let turns = view.reservations.values().flat_map(|row| [row.start, row.end]).filter(|time| *time > view.now);
    let given_up = view.queue.values().filter_map(|job| given_up_at(job)).filter(|time| *time > view.now);
    turns.chain(end).chain(given_up).min()
}

/// When a job is given up that has not started by then, since it could not end by its deadline any more.
fn given_up_at(job: &Job) -> Option<Timestamp> {
    job.latest_start().map(|latest| latest + Span::from_seconds(1))
}

/// Lets time pass: jobs whose time is over give back what they hold, and those that are too late for their deadline are gone.
fn advance(view: &mut PlanView, now: Timestamp) {
    view.now = now;
    let over: Vec<_> = view.running.range(..=(now, JobId(u32::MAX))).map(|(key, _)| *key).collect();
    for key in over {
        if let Some(job) = view.running.remove(&key) {
            give_back(view, &job);
        }
    }
    let is_late = |job: &&Arc<Job>| given_up_at(job).is_some_and(|time| time <= now);
    let late: Vec<JobId> = view.queue.values().filter(is_late).flat_map(|job| job.components()).collect();
    for id in late {
        for (nth, key) in (0..).zip(keys_of(view, id)) {
            if let Some(job) = view.queue.remove(&key).filter(|_| nth == 0) {
                discharge(view, &job);
            }
        }
    }
}

/// Carries out what a plan starts, as the core does.
fn carry_out(view: &mut PlanView, plan: Plan, tasks_started: &mut u32) {
    for start in plan.all_starts() {
        carry_out_start(view, start, tasks_started);
    }
    view.outlook = plan.outlook;
}

fn carry_out_start(view: &mut PlanView, start: &PlannedStart, tasks_started: &mut u32) {
    let keys = keys_of(view, start.job_id);
    let Some(row) = keys.first().and_then(|key| view.queue.get(key)).cloned() else {
        return;
    };
    let mut job = Job::clone(&row);
    discharge(view, &row);
    keys.iter().for_each(|key| drop(view.queue.remove(key)));
    if let (Some(ArrayRole::Waiting { tasks }), Some(index)) = (&row.array, start.task_index) {
        let mut left = tasks.clone();
        left.remove(index);
        if let Some(slots) = view.array_slots.get_mut(&row.id) {
            *slots = slots.saturating_sub(1);
        }
        job.array = Some(ArrayRole::Task { array_job_id: row.id, task_index: index });
        if !left.is_empty() {
            let mut rest = Job::clone(&row);
            rest.array = Some(ArrayRole::Waiting { tasks: left });
            charge(view, &rest);
            let rest = Arc::new(rest);
            keys.iter().for_each(|key| drop(view.queue.insert(*key, rest.clone())));
        }
        job.id = JobId(TASKS_FROM - *tasks_started);
        *tasks_started += 1;
    }
    run(view, job, start);
}

/// Lets `job` run as planned.
fn run(view: &mut PlanView, mut job: Job, start: &PlannedStart) {
    let partition = view.partitions.iter().find(|partition| partition.name == start.partition).cloned();
    let default = partition.as_ref().map_or(job.time_limit, |part| part.time_default.unwrap_or(part.time_max));
    let is_own = job.partition == start.partition || job.spec.time_limit.is_some();
    let limit = job.limit_by_deadline(if is_own { job.time_limit } else { default }, view.now);
    let shares: Vec<NodeShare> =
        start.shares.iter().filter_map(|share| take(view, &job, &start.partition, share)).collect();
    job.partition = start.partition.clone();
    job.time_limit = start.time_limit.unwrap_or(limit);
    job.state = JobState::Running;
    job.start_time = Some(view.now);
    job.end_time = job.time_limit.span().map(|limit| view.now + limit);
    let billing = billing_of(&shares, job.spec.request.licenses.as_deref(), &job.partition, &view.config.priority);
    job.allocation = Some(Arc::new(Allocation { shares, billing: Some(billing) }));
    charge(view, &job);
    view.running.insert((job.end_time.unwrap_or(Timestamp(i64::MAX)), job.id), Arc::new(job));
}

/// Books what a plan gives on one node.
fn take(view: &mut PlanView, job: &Job, partition: &Name, planned: &PlannedShare) -> Option<NodeShare> {
    let is_exclusive = view.partitions.iter().any(|part| part.name == *partition && part.exclusive_user);
    let node = Arc::make_mut(view.nodes.get_mut(planned.node.0 as usize)?);
    let cpus = planned.cpu_set.clone().unwrap_or_else(|| lowest_free(node, planned.cpus));
    let used = &mut node.used;
    used.cpus.add_all(&cpus);
    used.memory.0 = used.memory.0.saturating_add(planned.memory.0);
    used.gres.extend(planned.gres.iter().cloned());
    used.jobs_running += 1;
    if job.spec.request.sharing == Sharing::ExclusiveUser || is_exclusive {
        used.exclusive_user = Some(job.spec.identity.uid);
    }
    if job.spec.request.sharing == Sharing::ExclusiveMcs {
        used.exclusive_label = job.spec.request.mcs_label.clone();
    }
    let (memory, gres, tasks) = (planned.memory, planned.gres.clone(), planned.tasks);
    Some(NodeShare { node: planned.node, cpus, memory, gres, tasks })
}

/// Where the plan leaves the choice it does not matter which, as long as cores stay whole: amounts are of whole cores.
fn lowest_free(node: &Node, count: u32) -> IndexSet {
    let hardware = &node.config.hardware;
    let free = |cpu: &u32| !node.used.cpus.contains(*cpu) && !hardware.cpus_reserved.contains(*cpu);
    let mut cpus = IndexSet::default();
    (0..hardware.cpus).filter(free).take(count as usize).for_each(|cpu| cpus.insert(cpu));
    cpus
}

fn charge(view: &mut PlanView, job: &Job) {
    let charged = Charged::of(&view.accounting, job, qos_of_partition(view, job).as_ref());
    view.tallies.add(&charged);
}

fn discharge(view: &mut PlanView, job: &Job) {
    let charged = Charged::of(&view.accounting, job, qos_of_partition(view, job).as_ref());
    view.tallies.remove(&charged);
}

fn qos_of_partition(view: &PlanView, job: &Job) -> Option<Name> {
    view.partitions.iter().find(|partition| partition.name == job.partition)?.qos.clone()
}
