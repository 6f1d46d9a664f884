//! Starting a job now.

use muster_model::hostlist;
use muster_model::partition::PartitionState;
use muster_model::planning::{PlannedShare, PlannedStart};
use muster_model::state::Reason;
use muster_model::time::{Span, TimeLimit, Timestamp};

use super::{Case, Entry, Parts, Pass, Wait};
use crate::ask::Ask;
use crate::choose::Choice;
use crate::feasible::Verdict;
use crate::free::{Amounts, Free};
use crate::future::Rank;
use crate::licenses::{self, Licenses};
use crate::people::People;
use crate::planner;
use crate::share;
use crate::supply::{Company, Planned, Supply};

/// The outcome of a job in one partition.
pub(super) enum Trial {
    Started,
    /// For a reason other than lack of resources.
    Waits(Wait),
    /// Resources are lacking.
    Lacks,
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
        if self.limit(entry.job, partition) > self.tables.fleet.partition(partition).time_max {
            return waits(Reason::PartitionTimeLimit);
        }
        if planner::names_reservation(&entry.job.spec) {
            return waits(Reason::Reservation);
        }
        if !ask.licenses.is_empty() && !licenses::suffice(self.licenses_free(), &ask.licenses) {
            return waits(Reason::Licenses);
        }
        let is_shut = !self.view.config.backfill && self.books.standings[partition as usize].is_blocked;
        if is_shut || self.is_known_blocked(entry, case, ask) {
            return self.lack(ask);
        }
        match self.start_now(entry, case, ask) {
            Some(start) => {
                self.note_start(entry, start);
                Trial::Started
            }
            None => {
                self.note_blocked(entry, case, ask);
                self.lack(ask)
            }
        }
    }

    /// The kind of lack: a job that names nodes out of service waits for these and nobody else.
    fn lack(&self, ask: &Ask) -> Trial {
        let in_service = &self.books.in_service;
        let missing: Vec<u32> = ask.required.iter().copied().filter(|node| !in_service.contains(*node)).collect();
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

    pub(super) fn node_list(&self, nodes: impl Iterator<Item = u32>) -> String {
        hostlist::compress(nodes.map(|node| &self.tables.fleet.node(node).name))
    }

    fn licenses_free(&mut self) -> &Licenses {
        let totals = &self.tables.fleet.licenses;
        let view = self.view;
        self.licenses.get_or_insert_with(|| licenses::free(totals, view))
    }

    /// The user, where the outcome may depend on whose job it is.
    pub(super) fn user_of_standing(&mut self, entry: Entry<'_>, ask: &Ask) -> Option<u32> {
        self.know_people().user_matters(ask).then_some(entry.job.spec.identity.uid)
    }

    pub(super) fn know_people(&mut self) -> &People {
        let (tables, view) = (&*self.tables, self.view);
        let matters = self.books.has_owned_nodes() || tables.asks_for_users;
        self.people.get_or_insert_with(|| if matters { People::of(&tables.fleet, view) } else { People::all_alike() })
    }

    fn is_known_blocked(&mut self, entry: Entry<'_>, case: &Case, ask: &Ask) -> bool {
        let uid = self.user_of_standing(entry, ask);
        let shortest = self.duration_min(entry, case);
        let blocks = |from: Span| shortest >= from;
        self.standings.get(case.id, uid).and_then(|standing| standing.blocked_from).is_some_and(blocks)
    }

    /// Remembers that jobs like this one do not fit, for how long ever if planned starts are not to blame.
    fn note_blocked(&mut self, entry: Entry<'_>, case: &Case, ask: &Ask) {
        let has_plans = self.books.future.has_plans();
        let fits_without_plans = has_plans && self.choose_now(entry, ask, None).is_some();
        let from = if fits_without_plans { self.duration_min(entry, case) } else { Span::ZERO };
        let uid = self.user_of_standing(entry, ask);
        let standing = self.standings.entry(case.id, uid);
        standing.blocked_from = Some(standing.blocked_from.map_or(from, |before| before.min(from)));
    }

    /// The shortest time for which the job would start: `--time-min` where it has one.
    fn duration_min(&self, entry: Entry<'_>, case: &Case) -> Span {
        let least = entry.job.spec.time_limit_min.and_then(TimeLimit::span);
        least.map_or(case.duration, |least| least.min(case.duration))
    }

    /// Nodes on which the job fits now, with regard to planned starts when it runs for `duration`.
    pub(super) fn choose_now(&mut self, entry: Entry<'_>, ask: &Ask, duration: Option<Span>) -> Option<Vec<Choice>> {
        self.know_people();
        let people = self.people.as_ref()?;
        let now = self.view.now;
        let future = Some(&self.books.future).filter(|future| future.has_plans());
        let planned = duration.zip(future).map(|(duration, future)| Planned {
            future,
            from: now,
            until: now + duration,
            rank: entry.rank(),
        });
        let supply = Supply {
            fleet: &self.tables.fleet,
            free: &self.books.free,
            usable: &self.books.usable,
            planned,
            company: Company::Now(people, entry.job.spec.identity.uid),
        };
        supply.place(ask, &mut self.scratch)
    }

    fn start_now(&mut self, entry: Entry<'_>, case: &Case, ask: &Ask) -> Option<PlannedStart> {
        if let Some(choices) = self.choose_now(entry, ask, Some(case.duration)) {
            return self.start_on(entry, case, ask, &choices, case.duration);
        }
        // With --time-min it may start where it has to make room before its limit: as long as it gets its least time.
        let least = self.duration_min(entry, case);
        if least == case.duration {
            return None;
        }
        let choices = self.choose_now(entry, ask, Some(least))?;
        let duration = self.longest(entry, ask, &choices, least, case.duration);
        let mut start = self.start_on(entry, case, ask, &choices, duration)?;
        start.time_limit = Some(TimeLimit::Limited(duration));
        Some(start)
    }

    /// The longest time, between `least` and `most`, for which the job can have these nodes.
    fn longest(&self, entry: Entry<'_>, ask: &Ask, choices: &[Choice], least: Span, most: Span) -> Span {
        let now = self.view.now;
        let fits =
            |duration: Span| self.parts(ask, choices, now, now + duration, &entry.rank(), &self.books.free).is_some();
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

    fn start_on(
        &mut self,
        entry: Entry<'_>,
        case: &Case,
        ask: &Ask,
        choices: &[Choice],
        duration: Span,
    ) -> Option<PlannedStart> {
        let now = self.view.now;
        let parts = self.parts(ask, choices, now, now + duration, &entry.rank(), &self.books.free)?;
        let cpus: Vec<u32> = parts.iter().map(|(_, amounts)| amounts.cpus).collect();
        let tasks = share::task_counts(ask, choices, &cpus);
        let mut shares: Vec<PlannedShare> = Vec::with_capacity(parts.len());
        for ((node, amounts), tasks) in parts.iter().zip(tasks) {
            let row = &self.view.nodes[*node as usize];
            let units = self.units.choose(&self.tables.fleet, *node, row, &amounts.columns)?;
            shares.push(share::planned(*node, amounts, units, tasks));
        }
        self.take(entry, ask, now + duration, parts);
        Some(PlannedStart {
            job_id: entry.job.id,
            restart: entry.job.restart,
            task_index: entry.task_index,
            partition: self.tables.fleet.partition(self.tables.partition_of(case.id)).name.clone(),
            time_limit: None,
            shares,
        })
    }

    /// What each chosen node gives to a job that runs from `from` until `until`, of what is `free` then.
    pub(super) fn parts(
        &self,
        ask: &Ask,
        choices: &[Choice],
        from: Timestamp,
        until: Timestamp,
        rank: &Rank,
        free: &Free,
    ) -> Option<Parts> {
        let part = |choice: &Choice| {
            let available = self.available(choice.node, free, from, until, rank);
            Some((choice.node, share::amounts(ask, &self.tables.fleet, choice, &available)?))
        };
        choices.iter().map(part).collect()
    }

    /// What a job may take of `node` from `from` until `until`, of what is `free` at `from`.
    pub(super) fn available(&self, node: u32, free: &Free, from: Timestamp, until: Timestamp, rank: &Rank) -> Amounts {
        let future = &self.books.future;
        if future.is_planned(node) { future.left(node, free.of(node), from, until, rank) } else { free.of(node) }
    }

    /// Books a start.
    fn take(&mut self, entry: Entry<'_>, ask: &Ask, until: Timestamp, parts: Parts) {
        if !ask.licenses.is_empty() {
            let mut licenses = std::mem::take(&mut self.licenses).unwrap_or_default();
            licenses::take(&mut licenses, &ask.licenses);
            self.licenses = Some(licenses);
        }
        for (node, amounts) in parts {
            self.books.free.take(node, &amounts);
            self.books.touched.insert(node);
            if self.books.free.cpus[node as usize] == 0 {
                self.books.usable.remove(node);
            }
            if let Some(people) = &mut self.people {
                people.add(node, entry.job.spec.identity.uid, ask);
            }
            self.books.future.add_started(until, node, &amounts);
        }
    }
}
