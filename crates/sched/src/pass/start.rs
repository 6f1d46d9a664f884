//! Starting a job now.

use std::sync::Arc;

use imbl::Vector;
use muster_model::hostlist;
use muster_model::job::Job;
use muster_model::licenses::Licenses;
use muster_model::node::Node;
use muster_model::partition::PartitionState;
use muster_model::planning::{PlannedShare, PlannedStart};
use muster_model::state::Reason;
use muster_model::time::{Span, TimeLimit, Timestamp};

use super::{Case, Entry, Parts, Pass, Wait};
use super::{given, told};
use crate::ask::Ask;
use crate::choose::Choice;
use crate::exact::Exact;
use crate::feasible::{FOR_EVER, Verdict};
use crate::free::{Amounts, Free};
use crate::future::Rank;
use crate::licenses::{Holdings, Licensing};
use crate::people::{Guest, People};
use crate::planner::AskId;
use crate::reservation::{Inside, Open};
use crate::share;
use crate::supply::{Company, Planned, Supply};

/// The outcome of a job in one partition.
pub(super) enum Trial {
    Started,
    /// For a reason other than lack of resources.
    Waits(Wait),
    /// Resources are lacking.
    Lacks(Lack),
}

/// What stands between a job and its resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lack {
    /// Other jobs.
    Busy,
    /// Other jobs in its reservation.
    BusyInside(Inside),
    /// Reservations: what they leave open would not hold it even if nothing ran there.
    Reserved {
        /// Its whole partition is reserved for maintenance.
        maintenance: bool,
    },
    /// Its own reservation, which has not begun.
    TooEarly,
    /// Licences in use or reserved.
    Unlicensed,
    /// A limit of its association or QOS.
    Limit(Reason),
}

impl Lack {
    /// The reason it gives, unless that is the usual one of jobs that wait for others.
    pub(super) fn wait(self) -> Option<Wait> {
        let because = |reason, detail: &str| Some(Wait { reason, detail: Some(detail.into()), expected: None });
        match self {
            Lack::Busy | Lack::BusyInside(_) => None,
            Lack::Reserved { maintenance: true } => {
                because(Reason::ReqNodeNotAvail, "ReqNodeNotAvail, Reserved for maintenance")
            }
            Lack::Reserved { maintenance: false } => {
                because(Reason::ReqNodeNotAvail, "ReqNodeNotAvail, May be reserved for other job")
            }
            Lack::TooEarly => Some(Reason::Reservation.into()),
            Lack::Unlicensed => Some(Reason::Licenses.into()),
            Lack::Limit(reason) => Some(reason.into()),
        }
    }
}

/// A reservation, or none, with what is open to a job in it.
#[derive(Clone, Copy)]
pub(super) struct Way<'o> {
    pub(super) inside: Inside,
    pub(super) open: &'o Open,
}

/// What a start is judged by where that is not the present: as if some who are there had no CPUs.
#[derive(Clone, Copy)]
pub(super) struct Ground<'g> {
    pub(super) free: &'g Free,
    pub(super) nodes: &'g Vector<Arc<Node>>,
}

/// The least time that a job is content with, or no bound.
fn least_limit(entry: Entry<'_>) -> TimeLimit {
    entry.job.spec.time_limit_min.unwrap_or(TimeLimit::Unlimited)
}

impl Pass<'_> {
    /// Tries to start a job in one partition.
    pub(super) fn try_in(&mut self, entry: Entry<'_>, case: &Case) -> Trial {
        let partition = self.tables.partition_of(case.id);
        let waits = |reason: Reason| Trial::Waits(reason.into());
        match self.tables.fleet.partition(partition).state {
            PartitionState::Down => return waits(Reason::PartitionDown),
            PartitionState::Inactive => return waits(Reason::PartitionInactive),
            PartitionState::Up | PartitionState::Drain => {}
        }
        let ask = match &*case.verdict {
            Verdict::Possible(ask) => ask,
            Verdict::Waits(reason) => return waits(*reason),
            Verdict::Never(_) => return waits(Reason::BadConstraints),
        };
        let limit = self.limit(entry.job, partition);
        if self.tables.fleet.is_too_long(entry.job, partition, limit) {
            return waits(Reason::PartitionTimeLimit);
        }
        let limit = TimeLimit::min(limit, least_limit(entry));
        if let Err(reason) = self.limits.before(entry.job, self.tables.fleet.partition(partition), limit) {
            return waits(reason);
        }
        let ways = self.reservations.ways(entry.job, &self.tables.fleet.partition(partition).name);
        self.plan.figures.tried += 1;
        let mut lack = None;
        for inside in ways {
            match self.try_inside(entry, case, ask, inside) {
                Ok(start) => {
                    self.plan.figures.backfilled += u32::from(self.books.standings[partition as usize].is_blocked);
                    self.note_start(entry, start);
                    return Trial::Started;
                }
                Err(found) => lack = Some(found),
            }
        }
        match lack {
            // It does not keep those behind it waiting.
            Some(Lack::Limit(reason)) => waits(reason),
            Some(lack) => self.lack(ask, lack),
            // It names reservations that are gone or not for it.
            None => waits(Reason::Reservation),
        }
    }

    /// Tries to start a job in one reservation, or in none.
    fn try_inside(&mut self, entry: Entry<'_>, case: &Case, ask: &Ask, inside: Inside) -> Result<PlannedStart, Lack> {
        let open = self.open_now(entry, ask, inside, case.duration).ok_or(Lack::TooEarly)?;
        let way = Way { inside, open: &open };
        let shortest = self.duration_min(entry, case);
        if !self.has_licenses(entry, ask, &open, shortest) {
            return Err(Lack::Unlicensed);
        }
        let is_shut = !self.view.config.backfill && self.books.standings[ask.partition as usize].is_blocked;
        if !is_shut && !self.is_known_blocked(entry, case, ask, inside) {
            match self.start_now(entry, case, ask, way) {
                Some(Ok(start)) => return Ok(start),
                Some(Err(reason)) => return Err(Lack::Limit(reason)),
                None => {
                    let has_plans = self.books.future.has_plans();
                    let without = if has_plans { self.choose_now(entry, case.id, ask, None, way.open) } else { None };
                    let choices = without.as_deref();
                    match choices.and_then(|choices| self.start_by_moving(entry, case, ask, choices, way)) {
                        Some(Ok(start)) => return Ok(start),
                        Some(Err(reason)) => return Err(Lack::Limit(reason)),
                        None => self.note_blocked(entry, case, ask, way, choices.is_some()),
                    }
                }
            }
        }
        if open.closes && !self.fits_empty_in(ask, &open) {
            let maintenance = open.maintains(&self.tables.fleet.partition_nodes[ask.partition as usize]);
            return Err(Lack::Reserved { maintenance });
        }
        Err(if inside.is_some() { Lack::BusyInside(inside) } else { Lack::Busy })
    }

    /// What is open to a job that starts now and runs for `duration`; `None` when its reservation does not let it start.
    pub(super) fn open_now(&self, entry: Entry<'_>, ask: &Ask, inside: Inside, duration: Span) -> Option<Open> {
        let now = self.view.now;
        self.reservations.open(&entry.job.spec, inside, ask.whole_node, now, now + duration)
    }

    /// Whether what is open would hold the job if nothing ran there.
    fn fits_empty_in(&mut self, ask: &Ask, open: &Open) -> bool {
        let nodes = open.narrow(&self.books.in_service);
        let free = Free::everything(&self.tables.fleet);
        let supply = Supply {
            fleet: &self.tables.fleet,
            free: &free,
            usable: &nodes,
            planned: None,
            company: Company::Anybody,
            exact: Exact::Empty,
            waited: FOR_EVER,
            remembered: None,
            reserved: Some((&self.reservations, open, Timestamp(i64::MAX))),
        };
        supply.place(ask, &mut self.scratch).is_some()
    }

    /// Whether the job can have its licences from now on for `duration`.
    pub(super) fn has_licenses(&mut self, entry: Entry<'_>, ask: &Ask, open: &Open, duration: Span) -> bool {
        if !ask.licenses.is_empty() {
            let view = self.view;
            self.licenses.get_or_insert_with(|| Holdings::of(view));
        }
        self.is_licensed(ask, &entry.rank(), open, duration)
    }

    /// What is left of its licences to a job that would run from now on for `duration`, at the worst of times.
    pub(super) fn licenses_left(&mut self, entry: Entry<'_>, ask: &Ask, open: &Open, duration: Span) -> Licenses {
        let (view, rank, now) = (self.view, entry.rank(), self.view.now);
        let holdings = self.licenses.get_or_insert_with(|| Holdings::of(view));
        let (totals, plans) = (&self.tables.fleet.licenses, self.books.future.licenses());
        let licensing = Licensing { totals, holdings, plans, rank: &rank };
        licensing
            .least(&ask.licenses, (now, now + duration), |used_in| self.reservations.licenses_withheld(open, used_in))
    }

    /// As [`Pass::has_licenses`], once it is known who holds any.
    fn is_licensed(&self, ask: &Ask, rank: &Rank, open: &Open, duration: Span) -> bool {
        let Some(holdings) = self.licenses.as_ref().filter(|_| !ask.licenses.is_empty()) else { return true };
        let (totals, plans, now) = (&self.tables.fleet.licenses, self.books.future.licenses(), self.view.now);
        Licensing { totals, holdings, plans, rank }.suffices(&ask.licenses, (now, now + duration), |used_in| {
            self.reservations.licenses_withheld(open, used_in)
        })
    }

    /// The kind of lack: a job that names nodes out of service waits for these and nobody else.
    fn lack(&self, ask: &Ask, lack: Lack) -> Trial {
        if ask.required.is_empty() {
            return Trial::Lacks(lack);
        }
        let in_service = &self.books.in_service;
        let missing: Vec<u32> = ask.required.iter().copied().filter(|node| !in_service.contains(*node)).collect();
        if missing.is_empty() || lack == Lack::Unlicensed || lack == Lack::TooEarly {
            return Trial::Lacks(lack);
        }
        let names = self.node_list(missing.into_iter());
        Trial::Waits(Wait {
            reason: Reason::ReqNodeNotAvail,
            detail: Some(format!("ReqNodeNotAvail, UnavailableNodes:{names}").into()),
            expected: None,
        })
    }

    pub(super) fn node_list(&self, nodes: impl Iterator<Item = u32>) -> String {
        hostlist::compress(nodes.map(|node| &self.tables.fleet.node(node).name))
    }

    /// The user and what reservations mean to the job, where the outcome may depend on either.
    pub(super) fn standing_of(&mut self, entry: Entry<'_>, ask: &Ask, inside: Inside) -> Option<(u32, u64)> {
        let class = self.reservations.class(&entry.job.spec, inside);
        let user_matters = self.know_people().user_matters(ask);
        let uid = if user_matters { entry.job.spec.identity.uid } else { 0 };
        (user_matters || class != 0).then_some((uid, class))
    }

    pub(super) fn know_people(&mut self) -> &People {
        let (tables, view) = (&*self.tables, self.view);
        let books = &*self.books;
        let matters = books.has_owned_nodes() || tables.asks_for_users;
        self.people.get_or_insert_with(|| {
            let mut people = if matters { People::of(&tables.fleet, view) } else { People::all_alike() };
            if matters && books.future.has_alone() {
                people.expect_alone();
            }
            people
        })
    }

    fn is_known_blocked(&mut self, entry: Entry<'_>, case: &Case, ask: &Ask, inside: Inside) -> bool {
        if ask.switches.is_some() {
            // How long each has waited decides.
            return false;
        }
        let of = self.standing_of(entry, ask, inside);
        let shortest = self.duration_min(entry, case);
        let blocks = |from: Span| shortest >= from;
        self.standings.get(case.id, of).and_then(|standing| standing.blocked_from).is_some_and(blocks)
    }

    /// Remembers that jobs like this one do not fit, for how long ever if planned starts are not to blame.
    fn note_blocked(&mut self, entry: Entry<'_>, case: &Case, ask: &Ask, way: Way<'_>, fits_without_plans: bool) {
        if self.journal.is_some() {
            // What is in its way may be put back.
            return;
        }
        // A shorter run may be over before a reservation begins.
        let may_be_shorter = way.open.closes || fits_without_plans;
        let from = if may_be_shorter { self.duration_min(entry, case) } else { Span::ZERO };
        let of = self.standing_of(entry, ask, way.inside);
        let standing = self.standings.entry(case.id, of);
        standing.blocked_from = Some(standing.blocked_from.map_or(from, |before| before.min(from)));
    }

    /// The shortest time for which the job would start: `--time-min` where it has one.
    fn duration_min(&self, entry: Entry<'_>, case: &Case) -> Span {
        let least = entry.job.spec.time_limit_min.and_then(TimeLimit::span);
        least.map_or(case.duration, |least| least.min(case.duration))
    }

    /// Nodes on which the job fits now, with regard to planned starts when it runs for `duration`.
    pub(super) fn choose_now(
        &mut self,
        entry: Entry<'_>,
        id: AskId,
        ask: &Ask,
        duration: Option<Span>,
        open: &Open,
    ) -> Option<Vec<Choice>> {
        let is_plain = ask.rows == 1 && !ask.is_detailed && self.know_people().admits_everybody(ask);
        let is_remembered = is_plain && open.is_everything();
        if is_remembered {
            self.books.prepare_blocks(id);
        }
        let narrowed;
        // A full node may still have room for one who shares cores.
        let usable = if ask.rows > 1 { &self.books.in_service } else { &self.books.usable };
        let usable = if open.is_everything() {
            usable
        } else {
            narrowed = open.narrow(usable);
            &narrowed
        };
        let people = self.people.as_ref()?;
        let now = self.view.now;
        let future = Some(&self.books.future).filter(|future| future.has_plans());
        let planned = duration.zip(future).map(|(duration, future)| Planned {
            future,
            from: now,
            until: now + duration,
            rank: entry.rank(),
        });
        let told = told::nodes_told(self.view, &self.tables.fleet, entry, now);
        let supply = Supply {
            fleet: &self.tables.fleet,
            free: &self.books.free,
            usable,
            reserved: Some((&self.reservations, open, now)),
            planned,
            company: Company::Beside(people, Guest::of(&entry.job.spec)),
            exact: Exact::Now(&self.view.nodes, &self.units),
            waited: now.since(since(entry.job)),
            remembered: if is_remembered { self.books.blocks.of_ask(id) } else { None },
        };
        let as_told = told.and_then(|mut nodes| {
            nodes.intersect(usable);
            Supply { usable: &nodes, remembered: None, ..supply }.place(ask, &mut self.scratch)
        });
        as_told.or_else(|| supply.place(ask, &mut self.scratch))
    }

    /// `None` for lack of resources; a reason where limits forbid what the job would hold.
    fn start_now(
        &mut self,
        entry: Entry<'_>,
        case: &Case,
        ask: &Ask,
        way: Way<'_>,
    ) -> Option<Result<PlannedStart, Reason>> {
        if self.is_licensed(ask, &entry.rank(), way.open, case.duration)
            && let Some(choices) = self.choose_now(entry, case.id, ask, Some(case.duration), way.open)
        {
            let limit = self.limit(entry.job, self.tables.partition_of(case.id));
            return self.start_on(entry, ask, &choices, (case.duration, limit), way, None);
        }
        // With --time-min it may start where it has to make room before its limit: as long as it gets its least time.
        let least = self.duration_min(entry, case);
        if least == case.duration {
            return None;
        }
        let open = self.open_now(entry, ask, way.inside, least)?;
        let way = Way { open: &open, ..way };
        let choices = self.choose_now(entry, case.id, ask, Some(least), way.open)?;
        let duration = self.longest(entry, ask, &choices, (least, case.duration), way);
        let limit = TimeLimit::Limited(duration);
        let start = self.start_on(entry, ask, &choices, (duration, limit), way, None)?;
        Some(start.map(|start| PlannedStart { time_limit: Some(limit), ..start }))
    }

    /// The longest time, between `least` and `most`, for which the job can have these nodes.
    fn longest(
        &self,
        entry: Entry<'_>,
        ask: &Ask,
        choices: &[Choice],
        (least, most): (Span, Span),
        way: Way<'_>,
    ) -> Span {
        let now = self.view.now;
        let fits = |duration: Span| {
            self.open_now(entry, ask, way.inside, duration).is_some_and(|open| {
                let until = now + duration;
                choices.iter().all(|choice| open.admits(choice.node))
                    && self.is_licensed(ask, &entry.rank(), &open, duration)
                    && self.parts(ask, choices, now, until, &entry.rank(), &self.books.free, &open).is_some()
            })
        };
        // Whole minutes, as limits are kept.
        let minute = Span::from_minutes(1).0;
        let (mut low, mut high) = (least.0 / minute, most.0 / minute);
        while low < high {
            let middle = low + (high - low + 1) / 2;
            if fits(Span(middle * minute)) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        Span(low * minute).max(least)
    }

    pub(super) fn start_on(
        &mut self,
        entry: Entry<'_>,
        ask: &Ask,
        choices: &[Choice],
        (duration, limit): (Span, TimeLimit),
        way: Way<'_>,
        ground: Option<Ground<'_>>,
    ) -> Option<Result<PlannedStart, Reason>> {
        let now = self.view.now;
        let free = ground.map_or(&self.books.free, |ground| ground.free);
        let mut parts = self.parts(ask, choices, now, now + duration, &entry.rank(), free, way.open)?;
        let cpus: Vec<u32> = parts.iter().map(|(_, amounts)| amounts.cpus).collect();
        let tasks = share::task_counts(ask, &self.tables.fleet, choices, &cpus);
        let units_before =
            self.limits.concern(entry.job, self.tables.fleet.partition(ask.partition)).then(|| self.units.clone());
        let mut shares: Vec<PlannedShare> = Vec::with_capacity(parts.len());
        for ((choice, (node, amounts)), tasks) in choices.iter().zip(&mut parts).zip(tasks) {
            let free = ground.map_or(&self.books.free, |ground| ground.free);
            let room = given::room(&self.books.future, free, ask, *node, (now, now + duration), amounts);
            let row = &ground.map_or(&self.view.nodes, |ground| ground.nodes)[*node as usize];
            let seen = self.reservations.seen(way.open, *node, row);
            let row = seen.as_ref().unwrap_or(row);
            let pieces = self.units.choose(ask, &self.tables.fleet, choice, row, amounts, &room)?;
            given::count(&self.tables.fleet, ask, *node, &pieces.gres, amounts);
            shares.push(share::planned(*node, amounts, pieces, tasks));
        }
        if let Err(reason) = self.limits.start(entry.job, self.tables.fleet.partition(ask.partition), limit, &shares) {
            self.units = units_before.unwrap_or_default();
            return Some(Err(reason));
        }
        self.take(entry, ask, now + duration, parts, way.inside);
        Some(Ok(PlannedStart {
            job_id: entry.job.id,
            restart: entry.job.restart,
            task_index: entry.task_index,
            partition: self.tables.fleet.partition(ask.partition).name.clone(),
            reservation: self.reservations.get(way.inside).map(|row| row.name.clone()),
            time_limit: None,
            shares,
            suspends: Vec::new(),
            together: Vec::new(),
        }))
    }

    /// What each chosen node gives to a job that runs from `from` until `until`, of what is `free` then.
    #[expect(clippy::too_many_arguments, reason = "a window, a place in the queue, and what is there")]
    pub(super) fn parts(
        &self,
        ask: &Ask,
        choices: &[Choice],
        from: Timestamp,
        until: Timestamp,
        rank: &Rank,
        free: &Free,
        open: &Open,
    ) -> Option<Parts> {
        let mut parts = Vec::with_capacity(choices.len());
        for choice in choices {
            let mut available = self.available(choice.node, free, from, until, rank);
            self.reservations.lower(open, choice.node, from, &mut available);
            parts.push((choice.node, share::amounts(ask, &self.tables.fleet, choice, &available)?));
        }
        Some(parts)
    }

    /// What a job may take of `node` from `from` until `until`, of what is `free` at `from`.
    pub(super) fn available(&self, node: u32, free: &Free, from: Timestamp, until: Timestamp, rank: &Rank) -> Amounts {
        let future = &self.books.future;
        if future.is_planned(node) { future.left(node, free.of(node), from, until, rank) } else { free.of(node) }
    }

    /// Books a start.
    fn take(&mut self, entry: Entry<'_>, ask: &Ask, until: Timestamp, parts: Parts, inside: Inside) {
        if let Some(licenses) = self.licenses.as_mut().filter(|_| !ask.licenses.is_empty()) {
            licenses.add(until, self.reservations.get(inside).map(|row| row.name.clone()), &ask.licenses);
        }
        for (node, amounts) in parts {
            // On the CPUs of those who stand for it they go on.
            let unclaimed = self.books.free.cpus[node as usize];
            let comes_back = Amounts { cpus: amounts.cpus.min(unclaimed), ..amounts.clone() };
            self.write_down(node, until, &comes_back);
            self.reservations.take(inside, node, &amounts, until);
            self.books.free.take(node, &amounts);
            self.books.changed.push(node);
            self.books.touched.insert(node);
            if self.books.free.cpus[node as usize] == 0 {
                self.books.usable.remove(node);
            }
            if let Some(people) = &mut self.people {
                people.add(node, Guest::of(&entry.job.spec), ask, until);
            }
            self.books.future.add_started(until, node, &comes_back);
        }
    }
}

/// Since when `job` waits.
pub(super) fn since(job: &Job) -> Timestamp {
    job.eligible_time.unwrap_or(job.submit_time)
}
