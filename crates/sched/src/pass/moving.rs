//! Moving planned starts to other nodes, so that a job behind them may start now.
//!
//! What is held for a planned start are particular nodes, since those are what a user is told. But often others would do
//! just as well at that time, and a job behind it that fits only on the nodes held would wait for nothing. So before such a
//! job is found to be blocked, the starts in its way are planned again around it: at the same time, on other nodes. If
//! each can be, they move and it starts; if one cannot, all stay. No planned start is ever later for it.

use std::collections::BTreeMap;

use muster_model::ids::{JobId, Name};
use muster_model::planning::{PlannedStart, PlannedWait};
use muster_model::state::Reason;
use muster_model::time::Timestamp;

use super::start::{self, Way};
use super::{Case, Entry, Parts, Pass};
use crate::ask::Ask;
use crate::choose::Choice;
use crate::exact::Exact;
use crate::feasible::Verdict;
use crate::free::Free;
use crate::future::{Lifted, Rank};
use crate::nodeset::NodeSet;
use crate::people::{Company, Guest, Stay};
use crate::planner::AskId;
use crate::reservation::Inside;
use crate::search::{self, Place, Wanted};
use crate::share;

/// Most planned starts that move for one job: each costs about what planning it did.
const MOVES_MAX: usize = 8;
/// Most nodes on which a start is looked for beside its own, so that the cost does not grow with the cluster.
const NODES_MAX: usize = 512;
/// Most jobs of one pass that others are moved for, or found not to be able to: a bound on what a pass costs.
const ATTEMPTS_MAX: u32 = 200;
/// The same for a pass over what has changed, which has milliseconds.
const ATTEMPTS_PARTIAL_MAX: u32 = 8;

/// Attempts of a pass, and what came of them.
#[derive(Debug, Default)]
pub(super) struct Moving {
    attempts: u32,
    /// Room to note what is free later, on the nodes that are looked at.
    free: Option<Free>,
    /// Nodes that a job was told, and those it is to be told now.
    renamed: BTreeMap<JobId, (Name, Name)>,
}

impl Moving {
    /// Tells of the nodes where a start is planned now, if it was told those from where it has moved.
    pub(super) fn correct(&self, wait: &mut PlannedWait) {
        if self.renamed.is_empty() {
            return;
        }
        if let Some((before, after)) = self.renamed.get(&wait.job_id)
            && wait.expected_nodes.as_ref() == Some(before)
        {
            wait.expected_nodes = Some(after.clone());
        }
    }

    /// Jobs with planned starts that have moved.
    pub(super) fn moved(&self) -> impl Iterator<Item = JobId> + '_ {
        self.renamed.keys().copied()
    }
}

impl<'a> Pass<'a> {
    /// As [`Pass::start_now`] for a job that would fit on `choices` but for the planned starts there: moves these.
    pub(super) fn start_by_moving(
        &mut self,
        entry: Entry<'_>,
        case: &Case,
        ask: &Ask,
        choices: &[Choice],
        way: Way<'_>,
    ) -> Option<Result<PlannedStart, Reason>> {
        let moved = self.clear_the_way(entry, case, ask, choices, way)?;
        let limit = self.limit(entry.job, self.tables.partition_of(case.id));
        let outcome = self.start_on(entry, ask, choices, (case.duration, limit), way, None);
        if matches!(outcome, Some(Ok(_))) {
            moved.iter().for_each(|before| self.rename(before));
        } else {
            self.move_back(&moved);
        }
        outcome
    }

    /// Whether the job would start with [`Pass::start_by_moving`]; leaves everything as it is.
    pub(super) fn starts_by_moving(&mut self, entry: Entry<'_>, case: &Case, ask: &Ask, way: Way<'_>) -> bool {
        let Some(choices) = self.choose_now(entry, case.id, ask, None, way.open) else {
            return false;
        };
        let Some(moved) = self.clear_the_way(entry, case, ask, &choices, way) else {
            return false;
        };
        let (now, until) = (self.view.now, self.view.now + case.duration);
        let parts = self.parts(ask, &choices, now, until, &entry.rank(), &self.books.free, way.open);
        self.move_back(&moved);
        parts.is_some()
    }

    /// Plans the starts in the way of a job on other nodes; gives the plans as they were.
    fn clear_the_way(
        &mut self,
        entry: Entry<'_>,
        case: &Case,
        ask: &Ask,
        choices: &[Choice],
        way: Way<'_>,
    ) -> Option<Vec<Lifted>> {
        // A start that may be put back moves nobody.
        let is_provisional = self.journal.is_some();
        let attempts_max = if self.plan.is_partial { ATTEMPTS_PARTIAL_MAX } else { ATTEMPTS_MAX };
        if is_provisional || !self.books.future.has_plans() || self.moving.attempts >= attempts_max {
            return None;
        }
        if !self.has_licenses(entry, ask, way.open, case.duration) {
            return None;
        }
        self.moving.attempts += 1;
        let now = self.view.now;
        let part = |choice: &Choice| {
            let mut available = self.books.free.of(choice.node);
            self.reservations.lower(way.open, choice.node, now, &mut available);
            Some((choice.node, share::amounts(ask, &self.tables.fleet, choice, &available)?))
        };
        let parts: Parts = choices.iter().map(part).collect::<Option<_>>()?;
        let company = Company::of(Guest::of(&entry.job.spec), ask);
        self.move_away(&parts, now + case.duration, &entry.rank(), &company)
    }

    /// Plans starts before `rank` anew that cannot be beside `parts`; gives them as they were. `None`, and nothing has
    /// changed, where one of them cannot be elsewhere.
    fn move_away(&mut self, parts: &Parts, until: Timestamp, rank: &Rank, company: &Company) -> Option<Vec<Lifted>> {
        self.know_people();
        let (future, run) = (&mut self.books.future, (self.view.now, until));
        if let Some(people) = self.people.as_ref().filter(|people| !people.is_all_alike()) {
            let admits = |node: u32| people.admits(node, company.clone(), run, future.stays_before(node, rank));
            if !parts.iter().all(|(node, _)| admits(*node)) {
                // Who wants nodes for himself, or comes to those of somebody else, moves nobody.
                return None;
            }
        }
        let crowded = future.crowded(parts, &self.books.free, until, rank);
        if crowded.len() > MOVES_MAX {
            return None;
        }
        let lifted: Vec<Lifted> = crowded.iter().filter_map(|rank| future.lift(rank)).collect();
        for at in 0..lifted.len() {
            if self.plan_again(&lifted[at], parts, until, company).is_none() {
                self.move_back(&lifted);
                return None;
            }
        }
        Some(lifted)
    }

    /// Plans a start that has been taken back at its time, beside `taken`, which is given back at `until`.
    fn plan_again(&mut self, lifted: &Lifted, taken: &Parts, until: Timestamp, company: &Company) -> Option<()> {
        let (view, start, end) = (self.view, lifted.start, lifted.end);
        let id = lifted.movable.filter(|_| start > view.now)?;
        let job = view.queue.get(&lifted.rank.key)?;
        let Verdict::Possible(ask) = &*self.tables.verdict(id).clone() else {
            return None;
        };
        self.know_people();
        let open = self.reservations.open(&job.spec, None, ask.whole_node, start, end)?;
        let mut usable = self.nodes_near(ask, lifted, &open.narrow(&self.books.in_service));
        if let Some(people) = self.people.as_ref().filter(|people| !people.is_all_alike()) {
            let future = &self.books.future;
            let mover = || Stay { from: view.now, until, company: company.clone() };
            let admits = |node: u32| {
                let planned = future.stays_before(node, &Rank::LAST).chain(std::iter::once(mover()));
                people.admits(node, lifted.company.clone(), (start, end), planned)
            };
            taken.iter().filter(|(node, _)| !admits(*node)).for_each(|(node, _)| usable.remove(*node));
        }
        let free = self.free_at(start, &usable, taken, until);
        let wanted = Wanted {
            ask,
            duration: end.since(start),
            // Nor may any other planned start be touched, whoever comes first.
            rank: Rank::LAST,
            guest: Guest::of(&job.spec),
            not_before: start,
            before: None,
            since: start::since(job),
            is_licensed: None,
        };
        let place = Place {
            fleet: &self.tables.fleet,
            people: self.people.as_ref()?,
            usable: &usable,
            now: view.now,
            open: (&self.reservations, &open),
            exact: Exact::Empty,
        };
        let (future, scratch) = (&self.books.future, &mut self.scratch);
        let choices = search::choose_at(future, &free, place, wanted, start, scratch)
            .map(|choices| search::settled(future, &free, place, wanted, start, choices, scratch));
        let parts = choices.and_then(|choices| self.parts(ask, &choices, start, end, &Rank::LAST, &free, &open));
        self.moving.free = Some(free);
        self.books.future.put_elsewhere(lifted, &parts?);
        Some(())
    }

    /// Nodes on which a start is looked for: those where it was planned, and the ones that follow.
    fn nodes_near(&self, ask: &Ask, lifted: &Lifted, usable: &NodeSet) -> NodeSet {
        let mut all = ask.eligible.clone();
        all.intersect(usable);
        let first = lifted.nodes().next().unwrap_or(0);
        let (before, behind) =
            (all.iter().take_while(|node| *node < first), all.iter().skip_while(|node| *node < first));
        let mut near: NodeSet = behind.chain(before).take(NODES_MAX).collect();
        lifted.nodes().filter(|node| all.contains(*node)).for_each(|node| near.insert(node));
        near
    }

    /// What is free on `nodes` at `time` beside the running jobs, and beside one that takes `taken` until `until`. Of other
    /// nodes it says nothing.
    fn free_at(&mut self, time: Timestamp, nodes: &NodeSet, taken: &Parts, until: Timestamp) -> Free {
        let now = &self.books.free;
        let mut free = self.moving.free.take().unwrap_or_else(|| now.clone());
        nodes.iter().for_each(|node| free.set(node, &self.books.future.free_at(node, now, time)));
        if time < until {
            let here = taken.iter().filter(|(node, _)| nodes.contains(*node));
            here.for_each(|(node, amounts)| free.take(*node, amounts));
        }
        free
    }

    fn move_back(&mut self, lifted: &[Lifted]) {
        lifted.iter().for_each(|lifted| self.books.future.drop_hold(&lifted.rank));
        lifted.iter().for_each(|lifted| self.books.future.put_back(lifted));
    }

    /// Notes that a start is planned on other nodes than `before`.
    fn rename(&mut self, before: &Lifted) {
        let job_id = before.rank.key.job_id;
        let names: Name = self.node_list(before.nodes()).into();
        let after: Name = self.node_list(self.books.future.nodes_of(&before.rank)).into();
        // What it was told first is what stands among the waits.
        let told = self.moving.renamed.remove(&job_id).map_or(names, |(told, _)| told);
        self.moving.renamed.insert(job_id, (told, after));
    }
}

/// The request of a planned start that may move: one that is in no reservation and shares its nodes as others do.
pub(super) fn movable(case: &Case, ask: &Ask, inside: Inside) -> Option<AskId> {
    (inside.is_none() && !ask.exclusive_user && ask.switches.is_none()).then_some(case.id)
}
