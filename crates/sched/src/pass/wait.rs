//! What a blocked job is told, and its planned start.

use std::sync::Arc;

use muster_model::ids::Name;
use muster_model::job::Job;
use muster_model::preemption::PreemptType;
use muster_model::state::Reason;
use muster_model::time::Timestamp;

use super::moving;
use super::start::{self, Lack};
use super::told;
use super::{Case, Entry, Expected, Parts, Pass, Wait};
use crate::ask::Ask;
use crate::books::Books;
use crate::exact::Exact;
use crate::feasible::{self, Verdict};
use crate::licenses::{Holdings, LicensePlan, Licensing};
use crate::nodeset::NodeSet;
use crate::people::{Company, Guest};
use crate::reservation::{Inside, Open};
use crate::search::{self, Found, Place, Wanted};

/// What Slurm says of a job whose nodes are not in service, or kept for jobs of another partition before it.
const NODES_WITHHELD: &str =
    "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions";

/// What of the nodes of its partition a blocked job cannot have, whatever ends there: real behaviour of Slurm 22.05.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Withheld {
    /// Nothing that it would need.
    Nothing,
    /// So many that fewer are left than the job wants.
    TooMany,
    /// Enough are left, but those do not hold it; it is told which these are.
    Needed(Name),
}

/// When a job fits, what it would take of each node, and in which reservation.
pub(super) struct Soonest {
    pub(super) start: Timestamp,
    pub(super) parts: Parts,
    pub(super) inside: Inside,
}

/// The nodes that a job names, where these are all that it needs: as long as it waits it keeps no others from those behind it,
/// as in Slurm.
fn nodes_named(entry: Entry<'_>, case: &Case) -> Option<NodeSet> {
    let Verdict::Possible(ask) = &*case.verdict else {
        return None;
    };
    let is_enough = !ask.required.is_empty() && ask.required.len() >= entry.job.spec.request.nodes_min as usize;
    is_enough.then(|| ask.required.iter().copied().collect())
}

impl<'a> Pass<'a> {
    /// A job for which resources are lacking in these partitions: gives it a reason, and says when it is to start.
    pub(super) fn block(&mut self, entry: Entry<'a>, cases: &Arc<[Case]>) -> Wait {
        let mut wait = cases.iter().find_map(|case| self.lacks(entry, case)).unwrap_or(Reason::Priority.into());
        for case in cases.iter() {
            let partition = self.tables.partition_of(case.id);
            if let Lack::BusyInside(inside) = case.lack {
                // It keeps nobody waiting but those who want the same reservation.
                if self.reservations_blocked.insert(inside) {
                    wait = Reason::Resources.into();
                }
                continue;
            }
            if case.lack == Lack::Busy && !self.books.standings[partition as usize].is_blocked {
                let (reason, detail) = match self.withheld(entry, case) {
                    Withheld::Nothing => (Reason::Resources, None),
                    Withheld::TooMany => (Reason::Resources, Some(NODES_WITHHELD.into())),
                    Withheld::Needed(detail) => (Reason::ReqNodeNotAvail, Some(detail)),
                };
                self.keep_from_others(entry, case, partition, reason);
                if wait.reason != Reason::Resources {
                    wait = Wait { reason, detail, expected: None };
                }
            }
        }
        if self.view.config.backfill && self.budget.reservations_max > 0 && !self.books.future.is_held(&entry.rank()) {
            // What is planned elsewhere stands until the next pass over everything, unless it is of this very pass.
            let stands = self.plan.is_partial && entry.before.is_some();
            let may_move = !stands || self.several.is_planned(entry.job.id);
            wait.expected = if may_move { self.plan_start(entry, cases, true) } else { None };
            let is_counted = entry.before.is_some() || self.is_expected(entry.job.id);
            let is_wanted = self.budget.expectations && !self.plan.is_partial;
            if wait.expected.is_none() && is_wanted && !is_counted {
                self.defer(entry, cases);
            }
        }
        self.make_room(entry, cases, wait.expected.as_ref().map(|expected| expected.start));
        wait
    }

    /// The reason that a job has of its own for what it lacks. One that reservations keep back is told first of the nodes that it could
    /// not have without them either, as in Slurm.
    fn lacks(&mut self, entry: Entry<'_>, case: &Case) -> Option<Wait> {
        let own = case.lack.wait();
        let (Lack::Reserved { maintenance: false }, Verdict::Possible(ask)) = (case.lack, &*case.verdict) else {
            return own;
        };
        let left = self.left_of_partition(ask);
        if left.len() < entry.job.spec.request.nodes_min {
            return Some(Wait { reason: Reason::Resources, detail: Some(NODES_WITHHELD.into()), expected: None });
        }
        let detail = Some(self.missing_of_partition(ask, &left));
        own.map(|wait| Wait { detail, ..wait })
    }

    /// Jobs behind one that waits for resources wait with it: those that want the nodes that it names, or all of its partition.
    /// With one that could not run on what is left of the partition, these do not.
    fn keep_from_others(&mut self, entry: Entry<'_>, case: &Case, partition: u32, reason: Reason) {
        let named = nodes_named(entry, case);
        if named.is_none() && reason == Reason::ReqNodeNotAvail {
            return;
        }
        self.books.standings[partition as usize].is_blocked |= named.is_none();
        let nodes = named.as_ref().unwrap_or(&self.tables.fleet.partition_nodes[partition as usize]);
        self.contended.unite(nodes);
        if !self.view.config.backfill {
            self.books.close(nodes);
        }
    }

    /// Whether a blocked job waits for more than running jobs: for nodes that are out of service or that jobs of other partitions
    /// wait for. Known for all that ask for the same thing, as long as no further nodes are waited for.
    fn withheld(&mut self, entry: Entry<'_>, case: &Case) -> Withheld {
        let Verdict::Possible(ask) = &*case.verdict else {
            return Withheld::Nothing;
        };
        let (of, contended) = (self.standing_of(entry, ask, None), self.contended.len());
        let known = self.standings.get(case.id, of).and_then(|standing| standing.withheld.as_ref());
        if let Some((_, withheld)) = known.filter(|(then, _)| *then == contended) {
            return withheld.clone();
        }
        let withheld = self.withheld_now(entry, ask);
        self.standings.entry(case.id, of).withheld = Some((contended, withheld.clone()));
        withheld
    }

    fn withheld_now(&mut self, entry: Entry<'_>, ask: &Ask) -> Withheld {
        let left = self.left_of_partition(ask);
        if left.len() < entry.job.spec.request.nodes_min {
            return Withheld::TooMany;
        }
        let mut nodes = ask.eligible.clone();
        nodes.intersect(&left);
        if nodes.len() == ask.eligible.len() || feasible::fits_empty(&self.tables.fleet, ask, &nodes, &mut self.scratch)
        {
            return Withheld::Nothing;
        }
        Withheld::Needed(self.missing_of_partition(ask, &left))
    }

    /// Nodes of the partition that are in service and for which no job of another partition waits.
    fn left_of_partition(&self, ask: &Ask) -> NodeSet {
        let mut left = self.tables.fleet.partition_nodes[ask.partition as usize].clone();
        left.intersect(&self.books.in_service);
        left.subtract(&self.contended);
        left
    }

    /// What is told of the other nodes of the partition, or of those among them that the job names.
    fn missing_of_partition(&self, ask: &Ask, left: &NodeSet) -> Name {
        let mut missing = self.tables.fleet.partition_nodes[ask.partition as usize].clone();
        missing.subtract(left);
        if !ask.required.is_empty() {
            missing.intersect(&ask.required.iter().copied().collect());
        }
        if missing.len() == 0 {
            return "ReqNodeNotAvail, May be reserved for other job".into();
        }
        format!("ReqNodeNotAvail, UnavailableNodes:{}", self.node_list(missing.iter())).into()
    }

    /// Whether the nodes in service could not hold the job even when nothing else ran.
    pub(super) fn is_out_of_service(&mut self, entry: Entry<'_>, case: &Case, ask: &Ask) -> bool {
        if ask.eligible.is_within(&self.books.in_service) {
            return false;
        }
        let of = self.standing_of(entry, ask, None);
        if let Some(known) = self.standings.get(case.id, of).and_then(|standing| standing.out_of_service) {
            return known;
        }
        let fits = feasible::fits_empty(&self.tables.fleet, ask, &self.books.in_service, &mut self.scratch);
        self.standings.entry(case.id, of).out_of_service = Some(!fits);
        !fits
    }

    /// Plans the earliest start over `cases` and holds its resources; where it is `promised`, within the budget.
    pub(super) fn plan_start(&mut self, entry: Entry<'_>, cases: &[Case], promised: bool) -> Option<Expected> {
        if promised && self.is_beyond_window(entry, cases) {
            return None;
        }
        let foretold = if promised { self.as_foretold(entry, cases) } else { None };
        let is_foretold = foretold.is_some();
        let mut best: Option<(&Case, &Ask, Soonest)> = foretold;
        for case in cases.iter().filter(|_| !is_foretold) {
            let Verdict::Possible(ask) = &*case.verdict else {
                continue;
            };
            if promised && !self.may_plan(entry, case) || self.is_out_of_service(entry, case, ask) {
                continue;
            }
            if let Some(found) = self.earliest(entry, case, ask)
                && best.as_ref().is_none_or(|(_, _, before)| found.start < before.start)
            {
                best = Some((case, ask, found));
            }
        }
        let (case, ask, found) = best.filter(|(_, _, found)| entry.before.is_none_or(|before| found.start < before))?;
        let Soonest { start, parts, inside } = found;
        if entry.job.spec.partitions.len() > 1 {
            self.several.note_plan(entry.job.id);
        }
        if promised {
            self.count_plan(entry, case);
        } else {
            self.books.plans_made += 1;
        }
        if start > self.view.now + self.budget.window {
            return Some(Expected { start, nodes: None, is_forecast: false });
        }
        let nodes = self.node_list(parts.iter().map(|(node, _)| *node));
        let end = start + case.duration;
        let company = Company::of(Guest::of(&entry.job.spec), ask);
        if let Some(people) = self.people.as_mut().filter(|_| company.is_alone()) {
            people.expect_alone();
        }
        self.books.future.hold(entry.rank(), (start, end), &parts, moving::movable(case, ask, inside), company);
        if !ask.licenses.is_empty() {
            let reservation = self.reservations.get(inside).map(|row| row.name.clone());
            let plan = LicensePlan { start, end, reservation, held: ask.licenses.clone() };
            self.books.future.hold_licenses(entry.rank(), plan);
        }
        if let Some(pools) = self.forecasts.pools_known() {
            for (node, amounts) in &parts {
                pools.take(self.tables.classes.of_node(*node), amounts, start, end);
            }
        }
        Some(Expected { start, nodes: Some(nodes.into()), is_forecast: false })
    }

    /// Counts a planned start that is promised.
    pub(super) fn count_plan(&mut self, entry: Entry<'_>, case: &Case) {
        self.books.plans_made += 1;
        *self.plans_made_in(case) += 1;
        self.count_plan_of(entry.job);
    }

    /// Counts a planned start of a user, where the budget limits these.
    pub(super) fn count_plan_of(&mut self, job: &Job) {
        if self.budget.reservations_per_user_max < u32::MAX {
            *self.plans_of_users.entry(job.spec.identity.uid).or_default() += 1;
        }
    }

    /// Planned starts that were made in the partition of `case`. Those of jobs that wait for licences are counted apart: they
    /// must not take the place of the first job that waits for nodes.
    fn plans_made_in(&mut self, case: &Case) -> &mut u32 {
        let standing = &mut self.books.standings[self.tables.partition_of(case.id) as usize];
        if case.lack == Lack::Unlicensed { &mut standing.licensed_plans_made } else { &mut standing.plans_made }
    }

    /// Whether the budget allows a planned start. The first blocked job of each partition always gets one.
    pub(super) fn may_plan(&mut self, entry: Entry<'_>, case: &Case) -> bool {
        if self.has_planned_all(case) || self.limits.reserves_nothing(entry.job) {
            return false;
        }
        let budget = self.budget;
        if *self.plans_made_in(case) < budget.reservations_per_partition_min {
            return true;
        }
        let waited = entry.job.eligible_time.map(|since| self.view.now.since(since)).unwrap_or_default();
        // Whether others have to make room is judged by what is planned exactly.
        let is_patient = waited >= budget.reservation_age_min || self.view.config.preemption.kind != PreemptType::None;
        is_patient
            && self.plans_of_users.get(&entry.job.spec.identity.uid).copied().unwrap_or(0)
                < budget.reservations_per_user_max
            && entry.job.priority >= budget.reservation_priority_min
            && self.limits.may_reserve(entry.job, self.tables.fleet.partition(self.tables.partition_of(case.id)))
    }

    /// Whether as many starts are planned as the budget allows, whoever comes next.
    pub(super) fn has_planned_all(&mut self, case: &Case) -> bool {
        let (made, budget) = (*self.plans_made_in(case), self.budget);
        made >= budget.reservations_per_partition_min
            && (made >= budget.reservations_per_partition_max || self.books.plans_made >= budget.reservations_max)
    }

    /// When the job fits beside what runs and what is planned, and what it would take of each node: in the reservation in
    /// which that is soonest, or in none.
    pub(super) fn earliest(&mut self, entry: Entry<'_>, case: &Case, ask: &Ask) -> Option<Soonest> {
        self.earliest_from(entry, case, ask, None)
    }

    /// As [`Pass::earliest`], but not before `from`, where it is given. Nothing is concluded for jobs behind it then.
    pub(super) fn earliest_from(
        &mut self,
        entry: Entry<'_>,
        case: &Case,
        ask: &Ask,
        from: Option<Timestamp>,
    ) -> Option<Soonest> {
        let ways = self.reservations.ways(entry.job, &self.tables.fleet.partition(ask.partition).name);
        let found = ways.into_iter().filter_map(|inside| {
            let (start, parts) = self.earliest_inside(entry, case, ask, inside, from)?;
            Some(Soonest { start, parts, inside })
        });
        // The first one wins a tie.
        found.reduce(|best, other| if other.start < best.start { other } else { best })
    }

    /// As [`Pass::earliest`], in one reservation or in none: stretch by stretch, within which the same nodes are open.
    fn earliest_inside(
        &mut self,
        entry: Entry<'_>,
        case: &Case,
        ask: &Ask,
        inside: Inside,
        from: Option<Timestamp>,
    ) -> Option<(Timestamp, Parts)> {
        let (spec, uid) = (&entry.job.spec, entry.job.spec.identity.uid);
        let class = self.reservations.class(spec, inside);
        let first = from.unwrap_or_else(|| *self.standings.planned_from(case.id, case.duration, uid, class));
        let moments = self.reservations.moments(inside, first.max(self.view.now), case.duration);
        let found = (0..moments.len()).find_map(|at| {
            let (from, before) = (moments[at], moments.get(at + 1).copied());
            let open = self.reservations.open(spec, inside, ask.whole_node, from, from + case.duration)?;
            self.earliest_while(entry, case, ask, &open, (from, before))
        })?;
        if from.is_none() {
            *self.standings.planned_from(case.id, case.duration, uid, class) = found.0;
        }
        Some(found)
    }

    /// The earliest start within one stretch of time, while `open` is open.
    fn earliest_while(
        &mut self,
        entry: Entry<'_>,
        case: &Case,
        ask: &Ask,
        open: &Open,
        (from, before): (Timestamp, Option<Timestamp>),
    ) -> Option<(Timestamp, Parts)> {
        self.know_people();
        let view = self.view;
        if self.licenses.is_none() && !ask.licenses.is_empty() {
            self.licenses = Some(Holdings::of(view));
        }
        self.books.future.sort();
        let Books { future, free, in_service, .. } = &*self.books;
        let nothing = Holdings::default();
        let holdings = self.licenses.as_ref().unwrap_or(&nothing);
        let (reservations, fleet, rank) = (&self.reservations, &self.tables.fleet, entry.rank());
        let licensing = Licensing { totals: &fleet.licenses, holdings, plans: future.licenses(), rank: &rank };
        let is_licensed = |time: Timestamp| {
            let run = (time, time + case.duration);
            licensing.suffices(&ask.licenses, run, |used_in| reservations.licenses_withheld(open, used_in))
        };
        let since = start::since(entry.job);
        let wanted = Wanted {
            ask,
            duration: case.duration,
            rank,
            guest: Guest::of(&entry.job.spec),
            not_before: from,
            before,
            since,
            is_licensed: if ask.licenses.is_empty() { None } else { Some(&is_licensed) },
        };
        let usable = open.narrow(in_service);
        let people = self.people.as_ref()?;
        let exact = Exact::Now(&view.nodes, &self.units);
        let place = Place { fleet, people, usable: &usable, now: view.now, open: (reservations, open), exact };
        let told_at = |start| told::nodes_told(view, fleet, entry, start);
        let found = search::earliest(future, free, place, wanted, &mut self.scratch).or_else(|| {
            // Who waits for few switches waits only so long.
            let patient = ask.switches.map(|switches| since + switches.wait)?;
            let wanted = Wanted { not_before: from.max(patient), ..wanted };
            search::earliest(future, free, place, wanted, &mut self.scratch)
        })?;
        let Found { start, mut choices, free: free_then } = found;
        let told = told_at(start).and_then(|mut nodes| {
            nodes.intersect(&usable);
            let place = Place { usable: &nodes, ..place };
            search::choose_at(future, &free_then, place, wanted, start, &mut self.scratch)
        });
        let is_busy_wanted = told.is_none() && start > view.now && view.config.placement.busy_nodes;
        let busier = if is_busy_wanted {
            search::choose_busy(future, &free_then, free, place, wanted, start, &mut self.scratch)
        } else {
            None
        };
        if let Some(better) = told.or(busier) {
            choices = better;
        }
        choices = search::settled(future, &free_then, place, wanted, start, choices, &mut self.scratch);
        let until = start + case.duration;
        let parts = self.parts(ask, &choices, start, until, &entry.rank(), &free_then, open)?;
        Some((start, parts))
    }
}
