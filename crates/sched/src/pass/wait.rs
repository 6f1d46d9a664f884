//! What a blocked job is told, and its planned start.

use std::sync::Arc;

use muster_model::ids::Name;
use muster_model::state::Reason;
use muster_model::time::Timestamp;

use super::{Case, Entry, Expected, Parts, Pass, Wait};
use crate::ask::Ask;
use crate::books::Books;
use crate::feasible::{self, Verdict};
use crate::forecast::{self, Forecast};
use crate::search::{self, Found, Place, Wanted};

/// What Slurm says of a job whose nodes are not in service, or kept for jobs of another partition before it.
const NODES_WITHHELD: &str =
    "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions";

impl Pass<'_> {
    /// A job for which resources are lacking in these partitions: gives it a reason, and says when it is to start.
    pub(super) fn block(&mut self, entry: Entry<'_>, cases: &[Case]) -> Wait {
        let mut wait = Wait::from(Reason::Priority);
        for case in cases {
            let partition = self.tables.partition_of(case.id);
            if !self.books.standings[partition as usize].is_blocked {
                let detail = self.withheld(entry, case);
                self.books.standings[partition as usize].is_blocked = true;
                let nodes = &self.tables.fleet.partition_nodes[partition as usize];
                self.contended.unite(nodes);
                if !self.view.config.backfill {
                    self.books.usable.subtract(nodes);
                }
                if wait.reason != Reason::Resources {
                    wait = Wait { reason: Reason::Resources, detail, expected: None };
                }
            }
        }
        if self.view.config.backfill && self.budget.reservations_max > 0 && !self.books.future.is_held(&entry.rank()) {
            wait.expected = self.plan_start(entry, cases);
            if wait.expected.is_none() && !self.plan.is_partial {
                wait.expected = self.forecast_start(entry, cases);
            }
        }
        wait
    }

    /// The words for the first blocked job of a partition where it waits for more than running jobs.
    fn withheld(&mut self, entry: Entry<'_>, case: &Case) -> Option<Name> {
        let Verdict::Possible(ask) = &*case.verdict else {
            return None;
        };
        if self.is_out_of_service(entry, case, ask) {
            return Some(NODES_WITHHELD.into());
        }
        let mut nodes = ask.eligible.clone();
        nodes.intersect(&self.books.in_service);
        let before = nodes.len();
        nodes.subtract(&self.contended);
        let is_contended =
            nodes.len() < before && !feasible::fits_empty(&self.tables.fleet, ask, &nodes, &mut self.scratch);
        is_contended.then(|| NODES_WITHHELD.into())
    }

    /// Whether the nodes in service could not hold the job even when nothing else ran.
    fn is_out_of_service(&mut self, entry: Entry<'_>, case: &Case, ask: &Ask) -> bool {
        if ask.eligible.is_within(&self.books.in_service) {
            return false;
        }
        let uid = self.user_of_standing(entry, ask);
        if let Some(known) = self.standings.get(case.id, uid).and_then(|standing| standing.out_of_service) {
            return known;
        }
        let fits = feasible::fits_empty(&self.tables.fleet, ask, &self.books.in_service, &mut self.scratch);
        self.standings.entry(case.id, uid).out_of_service = Some(!fits);
        !fits
    }

    /// Plans the earliest start over `cases` and holds its resources, within the budget.
    fn plan_start(&mut self, entry: Entry<'_>, cases: &[Case]) -> Option<Expected> {
        let mut best: Option<(&Case, Timestamp, Parts)> = None;
        for case in cases {
            let Verdict::Possible(ask) = &*case.verdict else {
                continue;
            };
            if !self.may_plan(entry, case) || self.is_out_of_service(entry, case, ask) {
                continue;
            }
            if let Some((start, parts)) = self.earliest(entry, case, ask)
                && best.as_ref().is_none_or(|(_, before, _)| start < *before)
            {
                best = Some((case, start, parts));
            }
        }
        let (case, start, parts) = best?;
        self.books.plans_made += 1;
        self.books.standings[self.tables.partition_of(case.id) as usize].plans_made += 1;
        *self.plans_of_users.entry(entry.job.spec.identity.uid).or_default() += 1;
        if start > self.view.now + self.budget.window {
            return Some(Expected { start, nodes: None, is_forecast: false });
        }
        let nodes = self.node_list(parts.iter().map(|(node, _)| *node));
        let end = start + case.duration;
        self.books.future.hold(entry.rank(), start, end, &parts);
        if let Some(forecast) = &mut self.forecast {
            for (node, amounts) in &parts {
                forecast.take(self.tables.classes.of_node(*node), amounts, start, end);
            }
        }
        Some(Expected { start, nodes: Some(nodes.into()), is_forecast: false })
    }

    /// Whether the budget allows a planned start. The first blocked job of each partition always gets one.
    fn may_plan(&self, entry: Entry<'_>, case: &Case) -> bool {
        let budget = self.budget;
        let made = self.books.standings[self.tables.partition_of(case.id) as usize].plans_made;
        let of_user = self.plans_of_users.get(&entry.job.spec.identity.uid).copied().unwrap_or(0);
        let waited = entry.job.eligible_time.map(|since| self.view.now.since(since)).unwrap_or_default();
        made < budget.reservations_per_partition_min
            || (self.books.plans_made < budget.reservations_max
                && made < budget.reservations_per_partition_max
                && of_user < budget.reservations_per_user_max
                && waited >= budget.reservation_age_min
                && entry.job.priority >= budget.reservation_priority_min)
    }

    /// When the job fits beside what runs and what is planned, and what it would take of each node.
    fn earliest(&mut self, entry: Entry<'_>, case: &Case, ask: &Ask) -> Option<(Timestamp, Parts)> {
        self.know_people();
        let people = self.people.as_ref()?;
        let uid = entry.job.spec.identity.uid;
        let planned_from = self.standings.planned_from(case.id, case.duration, uid);
        let wanted = Wanted { ask, duration: case.duration, rank: entry.rank(), uid, not_before: *planned_from };
        let Books { future, free, in_service, .. } = &mut *self.books;
        let place = Place { fleet: &self.tables.fleet, people, usable: in_service, now: self.view.now };
        let found = search::earliest(future, free, place, wanted, &mut self.scratch)?;
        let Found { start, choices, free: free_then } = found;
        *planned_from = start;
        let until = start + case.duration;
        let mut parts = self.parts(ask, &choices, start, until, &entry.rank(), &free_then)?;
        if ask.exclusive_user {
            // Nobody else may come in beside it.
            for (node, amounts) in &mut parts {
                amounts.cpus = self.available(*node, &free_then, start, until, &entry.rank()).cpus;
            }
        }
        Some((start, parts))
    }

    /// About when a job starts for which nothing is planned exactly.
    fn forecast_start(&mut self, entry: Entry<'_>, cases: &[Case]) -> Option<Expected> {
        let mut best: Option<Timestamp> = None;
        for case in cases {
            let Verdict::Possible(ask) = &*case.verdict else {
                continue;
            };
            if self.is_out_of_service(entry, case, ask) {
                continue;
            }
            let (fleet, classes) = (&self.tables.fleet, &self.tables.classes);
            let footprints =
                self.footprints.entry(case.id).or_insert_with(|| forecast::footprints(fleet, classes, ask).into());
            let footprints = Arc::clone(footprints);
            let frontier = self.standings.frontier(case.id, case.duration);
            let (books, view) = (&*self.books, self.view);
            let forecast = self.forecast.get_or_insert_with(|| Forecast::of(fleet, classes, books, view.now));
            let start = forecast.book(&footprints, frontier, case.duration);
            best = best.into_iter().chain(start).min();
            if best.is_some() {
                // A job of several partitions is counted where it would come first, or it would count several times.
                break;
            }
        }
        best.map(|start| Expected { start, nodes: None, is_forecast: true })
    }
}
