//! Planned starts as another pass over the same queue has told them.
//!
//! Whoever asks why a job waits is told what follows from the plan that stands. To plan each start before that job once
//! more costs as much as the plan did; to see that a start fits where and when it was told costs next to nothing. Where it
//! does not fit, or was told of more than one thing, it is planned anew.

use std::sync::Arc;

use muster_model::hostlist;
use muster_model::job::Job;
use muster_model::planning::{Outlook, QueueKey};
use muster_model::preemption::PreemptType;
use muster_model::time::Timestamp;

use super::standing::Known;
use super::start::Lack;
use super::wait::Soonest;
use super::{Case, Entry, Parts, Pass};
use crate::ask::Ask;
use crate::books::Books;
use crate::exact::Exact;
use crate::feasible::Verdict;
use crate::free::Free;
use crate::nodeset::NodeSet;
use crate::people::Guest;
use crate::queue::GroupId;
use crate::reservation::Inside;
use crate::search::{self, Place, Wanted};

/// What was told, and room to see whether it fits.
pub(super) struct Foretold<'a> {
    outlook: &'a Outlook,
    /// True for the nodes of the start that is looked at only.
    free: Option<Free>,
}

impl<'a> Foretold<'a> {
    pub(super) fn new(outlook: &'a Outlook) -> Foretold<'a> {
        Foretold { outlook, free: None }
    }
}

impl<'a> Pass<'a> {
    /// Whether nothing is to be found out about a job but when it starts, and that only roughly: others that ask for the
    /// same thing have been found to lack resources, and none are held for it. Of the many jobs before the one that is
    /// explained most are like that.
    pub(super) fn passes_over(&mut self, group: GroupId, key: QueueKey, job: &Job) -> bool {
        if self.foretold.is_none() || self.deferred.len() <= super::explain::EXACT_MAX {
            return false;
        }
        let Known::Lacks(cases) = &self.known[group as usize] else { return false };
        let config = &self.view.config;
        let is_simple = config.backfill && config.preemption.kind == PreemptType::None;
        if !is_simple || self.budget.reservations_max == 0 || !self.groups.get(group).is_plain() {
            return false;
        }
        let cases = Arc::clone(cases);
        let entry = Entry { group, key, job, task_index: None, before: None };
        for case in cases.iter() {
            let is_blocked = self.books.standings[self.tables.partition_of(case.id) as usize].is_blocked;
            if case.lack != Lack::Busy || !is_blocked || self.may_plan(entry, case) {
                return false;
            }
        }
        self.defer_passed_over(group);
        true
    }

    /// The planned start of a job as it was told, where it fits.
    pub(super) fn as_foretold<'c>(
        &mut self,
        entry: Entry<'_>,
        cases: &'c [Case],
    ) -> Option<(&'c Case, &'c Ask, Soonest)> {
        let outlook = self.foretold.as_ref()?.outlook;
        let [case] = cases else { return None };
        // What is said of an array is said of its first task, and of a job of several partitions of one of them.
        let is_one = entry.task_index.is_none() && self.groups.places_of(entry.job.id).is_empty();
        let Verdict::Possible(ask) = &*case.verdict else { return None };
        if !is_one
            || !self.may_plan(entry, case)
            || case.lack != Lack::Busy
            || !ask.licenses.is_empty()
            || ask.exclusive_user
            || ask.switches.is_some()
        {
            return None;
        }
        let wait = outlook.get(entry.job.id).filter(|wait| wait.restart == entry.job.restart && !wait.is_forecast)?;
        let start = wait.expected_start.filter(|start| *start > self.view.now)?;
        let names = hostlist::expand(wait.expected_nodes.as_deref()?).ok()?;
        let nodes: NodeSet = names.iter().map(|name| self.tables.fleet.node_named(name)).collect::<Option<_>>()?;
        if self.is_out_of_service(entry, case, ask) {
            return None;
        }
        let (parts, inside) = self.parts_on(entry, case, ask, nodes, start)?;
        Some((case, ask, Soonest { start, parts, inside }))
    }

    /// What the job takes of `nodes` if it starts at `start`, and in which reservation; `None` where it does not fit there then.
    fn parts_on(
        &mut self,
        entry: Entry<'_>,
        case: &Case,
        ask: &Ask,
        mut nodes: NodeSet,
        start: Timestamp,
    ) -> Option<(Parts, Inside)> {
        self.know_people();
        let (spec, view, fleet) = (&entry.job.spec, self.view, &self.tables.fleet);
        let ways = self.reservations.ways(entry.job, &fleet.partition(ask.partition).name);
        let mut ways = ways.into_iter();
        let (Some(inside), None) = (ways.next(), ways.next()) else { return None };
        let until = start + case.duration;
        let open = self.reservations.open(spec, inside, ask.whole_node, start, until)?;
        let foretold = self.foretold.as_mut()?;
        let mut free = foretold.free.take().unwrap_or_else(|| self.books.free.clone());
        let Books { future, in_service, free: free_now, .. } = &*self.books;
        nodes.iter().for_each(|node| free.set(node, &future.free_at(node, free_now, start)));
        nodes.intersect(&open.narrow(in_service));
        let wanted = Wanted {
            ask,
            duration: case.duration,
            rank: entry.rank(),
            guest: Guest::of(spec),
            not_before: start,
            before: None,
            since: super::start::since(entry.job),
            is_licensed: None,
        };
        let exact = Exact::Now(&view.nodes, &self.units);
        let people = self.people.as_ref()?;
        let place = Place { fleet, people, usable: &nodes, now: view.now, open: (&self.reservations, &open), exact };
        let scratch = &mut self.scratch;
        let choices = search::choose_at(future, &free, place, wanted, start, scratch)
            .map(|choices| search::settled(future, &free, place, wanted, start, choices, scratch));
        let parts = choices.and_then(|choices| self.parts(ask, &choices, start, until, &entry.rank(), &free, &open));
        if let Some(foretold) = &mut self.foretold {
            foretold.free = Some(free);
        }
        if parts.is_some() {
            // Those that ask for the same thing come no earlier.
            let class = self.reservations.class(spec, inside);
            *self.standings.planned_from(case.id, case.duration, spec.identity.uid, class) = start;
        }
        Some((parts?, inside))
    }
}
