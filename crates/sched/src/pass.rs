//! One walk over the queue.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_model::array::TaskSet;
use muster_model::hostlist;
use muster_model::ids::{JobId, Name};
use muster_model::job::{ArrayRole, Job};
use muster_model::partition::PartitionState;
use muster_model::planning::{Plan, PlanView, PlannedShare, PlannedStart, PlannedWait};
use muster_model::state::Reason;
use muster_model::time::{Span, TimeLimit, Timestamp};

use crate::ask::Ask;
use crate::budget::Budget;
use crate::choose::{Candidate, Choice};
use crate::expect;
use crate::feasible::{self, Verdict};
use crate::fleet::Fleet;
use crate::free::{Amounts, Free};
use crate::future::{Future, Release};
use crate::licenses::{self, Licenses};
use crate::limits::Limits;
use crate::nodeset::NodeSet;
use crate::people::People;
use crate::planner::{self, AskId, Tables};
use crate::share::{self, UnitsTaken};
use crate::supply::{Company, Supply};

/// What Slurm says of a job whose nodes are not in service, or kept for jobs of another partition before it.
const NODES_WITHHELD: &str =
    "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions";

/// A job without limit is expected to take so long (Slurm's year).
const UNLIMITED: Span = Span::from_seconds(365 * 86_400);

/// The state of one pass.
pub(crate) struct Pass<'a> {
    view: &'a PlanView,
    budget: &'a Budget,
    tables: &'a mut Tables,
    scratch: Vec<Candidate>,
    free: Free,
    /// Nodes that take jobs.
    in_service: NodeSet,
    /// Nodes that jobs may use now: those of them with a free CPU; without backfill, not those of partitions with a
    /// blocked job.
    usable: NodeSet,
    /// Made when first needed.
    people: Option<People>,
    licenses: Option<Licenses>,
    limits: Limits<'a>,
    future: Option<Future>,
    units: UnitsTaken,
    /// Releases of jobs started before `future` was made.
    started: Vec<Release>,
    /// By number of the ask, for all users alike.
    standings: Vec<Standing>,
    /// For jobs whose outcome depends on the user.
    standings_of_users: BTreeMap<(AskId, u32), Standing>,
    partitions: Vec<PartitionStanding>,
    /// Nodes of partitions with a blocked job.
    contended: NodeSet,
    plans_made: u32,
    /// Tasks started in this pass, by array.
    tasks_started: BTreeMap<JobId, u32>,
    plan: Plan,
}

/// What this pass has learned about jobs that ask for the same thing.
#[derive(Debug, Clone, Default)]
struct Standing {
    /// Jobs that take at least so long do not fit. Resources only become fewer during a pass, so this stays true.
    blocked_from: Option<Span>,
    /// Whether too few nodes are in service; `None` while not looked at.
    out_of_service: Option<bool>,
}

#[derive(Debug, Clone, Copy, Default)]
struct PartitionStanding {
    is_blocked: bool,
    plans_made: u32,
}

/// Why a job does not start.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wait {
    reason: Reason,
    detail: Option<Name>,
    expected: Option<(Timestamp, Option<Name>)>,
}

impl From<Reason> for Wait {
    fn from(reason: Reason) -> Wait {
        Wait { reason, detail: None, expected: None }
    }
}

/// The outcome of a job in one partition.
enum Trial {
    Started(Vec<PlannedShare>),
    /// For a reason other than lack of resources.
    Waits(Wait),
    /// Resources are lacking.
    Lacks,
}

/// What a job takes of some nodes.
type Parts = Vec<(u32, Amounts)>;

/// A request in one partition for one job.
struct Case<'j> {
    job: &'j Job,
    id: AskId,
    verdict: Arc<Verdict>,
    duration: Span,
}

impl<'a> Pass<'a> {
    /// Reads the present state out of `view`.
    pub(crate) fn new(view: &'a PlanView, budget: &'a Budget, tables: &'a mut Tables) -> Pass<'a> {
        let in_service = expect::in_service(view);
        let free = Free::now(&tables.fleet, view);
        Pass {
            usable: in_service.iter().filter(|node| free.cpus[*node as usize] > 0).collect(),
            free,
            in_service,
            people: None,
            licenses: None,
            limits: Limits::of(view),
            future: None,
            units: UnitsTaken::default(),
            started: Vec::new(),
            standings: Vec::new(),
            standings_of_users: BTreeMap::new(),
            partitions: vec![PartitionStanding::default(); tables.fleet.partition_count()],
            contended: NodeSet::empty(tables.fleet.node_count()),
            plans_made: 0,
            tasks_started: BTreeMap::new(),
            plan: Plan::default(),
            scratch: tables.borrow_scratch(),
            view,
            budget,
            tables,
        }
    }

    /// Walks over the queue.
    pub(crate) fn run(mut self) -> Plan {
        for (position, job) in self.view.queue.values().enumerate() {
            if position >= self.budget.jobs_max as usize || self.is_full() {
                self.plan.exhausted = true;
                break;
            }
            let wait = match &job.array {
                Some(ArrayRole::Waiting { tasks }) => self.look_at_array(job, tasks),
                Some(ArrayRole::Task { array_job_id, .. }) if self.slots(*array_job_id) == 0 => {
                    Some(Reason::JobArrayTaskLimit.into())
                }
                _ => self.look_at(job, None).err(),
            };
            if let Some(wait) = wait {
                self.tell(job, wait);
            }
        }
        self.tables.return_scratch(self.scratch);
        self.plan
    }

    fn is_full(&self) -> bool {
        self.plan.starts.len() >= self.budget.starts_max as usize
    }

    /// Starts tasks, lowest first, until one does not fit or no more may start. `None` when all were started, or the
    /// pass ends here.
    fn look_at_array(&mut self, job: &Job, tasks: &TaskSet) -> Option<Wait> {
        for index in tasks.iter() {
            if self.slots(job.id) == 0 {
                return Some(Reason::JobArrayTaskLimit.into());
            }
            if self.is_full() {
                self.plan.exhausted = true;
                return None;
            }
            if let Err(wait) = self.look_at(job, Some(index)) {
                return Some(wait);
            }
        }
        None
    }

    /// How many more tasks of an array may start. Tasks that have a record of their own count like the others.
    fn slots(&self, array: JobId) -> u32 {
        let slots = self.view.array_slots.get(&array).copied().unwrap_or(u32::MAX);
        slots.saturating_sub(self.tasks_started.get(&array).copied().unwrap_or(0))
    }

    /// Tries the partitions of `job` in order.
    fn look_at(&mut self, job: &Job, task_index: Option<u32>) -> Result<(), Wait> {
        let asks = self.tables.asks_of(job);
        let mut lacking: Vec<Case<'_>> = Vec::new();
        let mut other: Option<Wait> = None;
        for id in asks.iter() {
            let verdict = self.tables.verdict(*id).clone();
            match self.try_in(job, *id, &verdict) {
                (partition, Trial::Started(shares)) => {
                    if let Some(array) = job.array_job_id() {
                        *self.tasks_started.entry(array).or_default() += 1;
                    }
                    self.plan.starts.push(PlannedStart {
                        job_id: job.id,
                        restart: job.restart,
                        task_index,
                        partition: self.tables.fleet.partition(partition).name.clone(),
                        shares,
                    });
                    return Ok(());
                }
                (partition, Trial::Lacks) => {
                    let duration = self.duration(job, partition);
                    lacking.push(Case { job, id: *id, verdict, duration });
                }
                (_, Trial::Waits(wait)) => {
                    // What may pass is told rather than what never will.
                    if other.as_ref().is_none_or(|before| before.reason == Reason::BadConstraints) {
                        other = Some(wait);
                    }
                }
            }
        }
        if lacking.is_empty() {
            // A job none of whose partitions exists any more has no other reason.
            return Err(other.unwrap_or(Reason::PartitionConfig.into()));
        }
        Err(self.block(&lacking))
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
        if part.name == job.partition || job.spec.time_limit.is_some() {
            return job.time_limit;
        }
        part.time_default.unwrap_or(part.time_max)
    }

    /// Tries to start `job`; also tells the partition.
    fn try_in(&mut self, job: &Job, id: AskId, verdict: &Verdict) -> (u32, Trial) {
        let partition = self.tables.partition_of(id);
        let state = self.tables.fleet.partition(partition).state;
        let waits = |reason: Reason| (partition, Trial::Waits(reason.into()));
        match state {
            PartitionState::Down => return waits(Reason::PartitionDown),
            PartitionState::Inactive => return waits(Reason::PartitionInactive),
            PartitionState::Up | PartitionState::Drain => {}
        }
        let ask = match verdict {
            Verdict::Possible(ask) => ask,
            Verdict::Waits(reason) => return waits(*reason),
            Verdict::Never(_) => return waits(Reason::BadConstraints),
        };
        if self.limit(job, partition) > self.tables.fleet.partition(partition).time_max {
            return waits(Reason::PartitionTimeLimit);
        }
        if planner::names_reservation(&job.spec) {
            return waits(Reason::Reservation);
        }
        if let Err(reason) = self.limits.before(job, self.tables.fleet.partition(partition), self.limit(job, partition)) {
            return waits(reason);
        }
        if !ask.licenses.is_empty() && !licenses::suffice(self.licenses_free(), &ask.licenses) {
            return waits(Reason::Licenses);
        }
        let duration = self.duration(job, partition);
        let is_shut = !self.view.config.backfill && self.partitions[partition as usize].is_blocked;
        if is_shut || self.is_known_blocked(job, id, ask, duration) {
            return (partition, self.lack(ask));
        }
        match self.place_now(job, ask, duration) {
            Some(Ok(shares)) => (partition, Trial::Started(shares)),
            Some(Err(reason)) => waits(reason),
            None => {
                self.note_blocked(job, id, ask, duration);
                (partition, self.lack(ask))
            }
        }
    }

    /// The kind of lack: a job that names nodes out of service waits for these and nobody else.
    fn lack(&self, ask: &Ask) -> Trial {
        let missing: Vec<u32> = ask.required.iter().copied().filter(|node| !self.in_service.contains(*node)).collect();
        if missing.is_empty() {
            return Trial::Lacks;
        }
        let names = self.node_list(missing.into_iter());
        Trial::Waits(Wait {
            reason: Reason::ReqNodeNotAvail,
            detail: Some(format!("ReqNodeNotAvail, UnavailableNodes:{names}").into()),
            expected: None,
        })
    }

    fn node_list(&self, nodes: impl Iterator<Item = u32>) -> String {
        hostlist::compress(nodes.map(|node| &self.tables.fleet.node(node).name))
    }

    fn licenses_free(&mut self) -> &Licenses {
        let totals = &self.tables.fleet.licenses;
        let view = self.view;
        self.licenses.get_or_insert_with(|| licenses::free(totals, view))
    }

    fn standing_key(&mut self, job: &Job, id: AskId, ask: &Ask) -> Option<(AskId, u32)> {
        self.know_people().user_matters(ask).then_some((id, job.spec.identity.uid))
    }

    fn know_people(&mut self) -> &People {
        let (fleet, view) = (&self.tables.fleet, self.view);
        self.people.get_or_insert_with(|| People::of(fleet, view))
    }

    fn is_known_blocked(&mut self, job: &Job, id: AskId, ask: &Ask, duration: Span) -> bool {
        let blocks = |standing: &Standing| standing.blocked_from.is_some_and(|from| duration >= from);
        if self.standings.get(id as usize).is_some_and(blocks) {
            return true;
        }
        match self.standing_key(job, id, ask) {
            Some(key) => self.standings_of_users.get(&key).is_some_and(blocks),
            None => false,
        }
    }

    fn standing(&mut self, job: &Job, id: AskId, ask: &Ask) -> &mut Standing {
        if let Some(key) = self.standing_key(job, id, ask) {
            return self.standings_of_users.entry(key).or_default();
        }
        if self.standings.len() <= id as usize {
            self.standings.resize(id as usize + 1, Standing::default());
        }
        &mut self.standings[id as usize]
    }

    /// Remembers that jobs like this one do not fit, for how long ever if planned starts are not to blame.
    fn note_blocked(&mut self, job: &Job, id: AskId, ask: &Ask, duration: Span) {
        let has_plans = self.future.as_ref().is_some_and(Future::has_plans);
        let fits_without_plans = has_plans && self.choose_now(job, ask, None).is_some();
        let from = if fits_without_plans { duration } else { Span::ZERO };
        let standing = self.standing(job, id, ask);
        standing.blocked_from = Some(standing.blocked_from.map_or(from, |before| before.min(from)));
    }

    /// Nodes on which the job fits now, with regard to planned starts when it runs for `duration`.
    fn choose_now(&mut self, job: &Job, ask: &Ask, duration: Option<Span>) -> Option<Vec<Choice>> {
        self.know_people();
        let people = self.people.as_ref()?;
        let now = self.view.now;
        let planned = self.future.as_ref().filter(|future| future.has_plans());
        let supply = Supply {
            fleet: &self.tables.fleet,
            free: &self.free,
            usable: &self.usable,
            planned: duration.and_then(|duration| planned.map(|future| (future, now, now + duration))),
            company: Company::Now(people, job.spec.identity.uid),
        };
        supply.place(ask, &mut self.scratch)
    }

    /// Where the job starts, or the limit that keeps it from holding what it would get there.
    fn place_now(&mut self, job: &Job, ask: &Ask, duration: Span) -> Option<Result<Vec<PlannedShare>, Reason>> {
        let choices = self.choose_now(job, ask, Some(duration))?;
        let until = self.view.now + duration;
        let parts = self.parts(ask, &choices, self.view.now, until, &self.free)?;
        let cpus: Vec<u32> = parts.iter().map(|(_, amounts)| amounts.cpus).collect();
        let tasks = share::task_counts(ask, &choices, &cpus);
        let mut shares = Vec::with_capacity(parts.len());
        for ((node, amounts), tasks) in parts.iter().zip(tasks) {
            let units =
                self.units.choose(&self.tables.fleet, *node, &self.view.nodes[*node as usize], &amounts.columns)?;
            shares.push(share::planned(*node, amounts, units, tasks));
        }
        let partition = self.tables.fleet.partition(ask.partition);
        if let Err(reason) = self.limits.start(job, partition, self.limit(job, ask.partition), &shares) {
            return Some(Err(reason));
        }
        self.take(job, ask, until, parts);
        Some(Ok(shares))
    }

    /// What each chosen node gives to a job that runs from `from` until `until`, of what is `free` then.
    fn parts(&self, ask: &Ask, choices: &[Choice], from: Timestamp, until: Timestamp, free: &Free) -> Option<Parts> {
        let part = |choice: &Choice| {
            let available = self.available(choice.node, free, from, until);
            Some((choice.node, share::amounts(ask, &self.tables.fleet, choice, &available)?))
        };
        choices.iter().map(part).collect()
    }

    /// What a job may take of `node` from `from` until `until`, of what is `free` at `from`.
    fn available(&self, node: u32, free: &Free, from: Timestamp, until: Timestamp) -> Amounts {
        match &self.future {
            Some(future) if future.is_planned(node) => future.left(node, free.of(node), from, until),
            _ => free.of(node),
        }
    }

    /// Books a start.
    fn take(&mut self, job: &Job, ask: &Ask, until: Timestamp, parts: Parts) {
        if !ask.licenses.is_empty() {
            let mut licenses = std::mem::take(&mut self.licenses).unwrap_or_default();
            licenses::take(&mut licenses, &ask.licenses);
            self.licenses = Some(licenses);
        }
        for (node, amounts) in parts {
            self.free.take(node, &amounts);
            if self.free.cpus[node as usize] == 0 {
                self.usable.remove(node);
            }
            if let Some(people) = &mut self.people {
                people.add(node, job.spec.identity.uid, ask);
            }
            let release = Release { at: until, node, amounts };
            match &mut self.future {
                Some(future) => future.add_release(release, &self.free),
                None => self.started.push(release),
            }
        }
    }

    /// A job for which resources are lacking in these partitions: gives it a reason, and a planned start if the
    /// budget allows.
    fn block(&mut self, cases: &[Case<'_>]) -> Wait {
        let mut wait = Wait::from(Reason::Priority);
        for case in cases {
            let partition = self.tables.partition_of(case.id);
            if !self.partitions[partition as usize].is_blocked {
                let detail = self.withheld(case);
                self.partitions[partition as usize].is_blocked = true;
                let nodes = &self.tables.fleet.partition_nodes[partition as usize];
                self.contended.unite(nodes);
                if !self.view.config.backfill {
                    self.usable.subtract(nodes);
                }
                if wait.reason != Reason::Resources {
                    wait = Wait { reason: Reason::Resources, detail, expected: None };
                }
            }
        }
        wait.expected = self.plan_start(cases);
        wait
    }

    /// The words for the first blocked job of a partition where it waits for more than running jobs.
    fn withheld(&mut self, case: &Case<'_>) -> Option<Name> {
        let Verdict::Possible(ask) = &*case.verdict else {
            return None;
        };
        if self.is_out_of_service(case, ask) {
            return Some(NODES_WITHHELD.into());
        }
        let mut nodes = ask.eligible.clone();
        nodes.intersect(&self.in_service);
        let before = nodes.len();
        nodes.subtract(&self.contended);
        let is_contended =
            nodes.len() < before && !feasible::fits_empty(&self.tables.fleet, ask, &nodes, &mut self.scratch);
        is_contended.then(|| NODES_WITHHELD.into())
    }

    /// Whether the nodes in service could not hold the job even when nothing else ran.
    fn is_out_of_service(&mut self, case: &Case<'_>, ask: &Ask) -> bool {
        if ask.eligible.is_within(&self.in_service) {
            return false;
        }
        if let Some(known) = self.standing(case.job, case.id, ask).out_of_service {
            return known;
        }
        let fits = feasible::fits_empty(&self.tables.fleet, ask, &self.in_service, &mut self.scratch);
        self.standing(case.job, case.id, ask).out_of_service = Some(!fits);
        !fits
    }

    /// Plans the earliest start over `cases` and holds its resources, within the budget.
    fn plan_start(&mut self, cases: &[Case<'_>]) -> Option<(Timestamp, Option<Name>)> {
        if !self.view.config.backfill || self.budget.reservations_max == 0 {
            return None;
        }
        let mut best: Option<(&Case<'_>, Timestamp, Parts)> = None;
        for case in cases {
            let partition = self.tables.partition_of(case.id);
            let made = self.partitions[partition as usize].plans_made;
            let Verdict::Possible(ask) = &*case.verdict else {
                continue;
            };
            let is_allowed = made == 0
                || (self.plans_made < self.budget.reservations_max
                    && made < self.budget.reservations_per_partition_max);
            if !is_allowed || self.is_out_of_service(case, ask) {
                continue;
            }
            if let Some((start, parts)) = self.earliest(case, ask)
                && best.as_ref().is_none_or(|(_, before, _)| start < *before)
            {
                best = Some((case, start, parts));
            }
        }
        let (case, start, parts) = best?;
        self.plans_made += 1;
        self.partitions[self.tables.partition_of(case.id) as usize].plans_made += 1;
        if start > self.view.now + self.budget.window {
            return Some((start, None));
        }
        let nodes = self.node_list(parts.iter().map(|(node, _)| *node));
        if let Some(future) = &mut self.future {
            future.hold(start, start + case.duration, &parts, &self.free);
        }
        Some((start, Some(nodes.into())))
    }

    /// When the job fits beside what runs and what is planned, and what it would take of each node.
    fn earliest(&mut self, case: &Case<'_>, ask: &Ask) -> Option<(Timestamp, Parts)> {
        self.know_people();
        let fleet: &Fleet = &self.tables.fleet;
        let people = self.people.as_ref()?;
        let (now, uid, in_service) = (self.view.now, case.job.spec.identity.uid, &self.in_service);
        let (view, free, started) = (self.view, &self.free, &self.started);
        let future = self.future.get_or_insert_with(|| Future::build(fleet, view, free, started));
        let scratch = &mut self.scratch;
        let mut place = |free: &Free, planned: Option<&Future>, time: Timestamp| {
            let company = if time <= now { Company::Now(people, uid) } else { Company::Later(people, uid) };
            let planned = planned.map(|future| (future, time, time + case.duration));
            Supply { fleet, free, usable: in_service, planned, company }.place(ask, scratch)
        };
        let (start, free_then) = future.earliest(free, |free, planned, time| place(free, planned, time).is_some())?;
        let choices = place(&free_then, self.future.as_ref(), start)?;
        let until = start + case.duration;
        let mut parts = self.parts(ask, &choices, start, until, &free_then)?;
        if ask.exclusive_user {
            // Nobody else may come in beside it.
            for (node, amounts) in &mut parts {
                amounts.cpus = self.available(*node, &free_then, start, until).cpus;
            }
        }
        Some((start, parts))
    }

    /// Puts `wait` into the plan if it says something new.
    fn tell(&mut self, job: &Job, wait: Wait) {
        let (expected_start, expected_nodes) = match wait.expected {
            Some((start, nodes)) => (Some(start), nodes),
            None => (None, None),
        };
        let is_known = job.reason == wait.reason
            && job.reason_detail == wait.detail
            && job.start_time == expected_start
            && job.planned_nodes == expected_nodes;
        if !is_known {
            self.plan.waits.push(PlannedWait {
                job_id: job.id,
                reason: wait.reason,
                detail: wait.detail,
                expected_start,
                expected_nodes,
            });
        }
    }
}
