//! Heterogeneous jobs: all components start now, or none of them; and all are planned for the same time.
//!
//! The components stand side by side in the queue and are looked at when the turn of the first comes. They are tried one
//! after the other, each beside what those before it took; when one does not fit, all is put back. The time at which they
//! fit together is found by asking each for its earliest start no earlier than what the others need, until all agree.

use std::collections::BTreeSet;
use std::sync::Arc;

use muster_model::ids::Name;
use muster_model::job::Job;
use muster_model::planning::{PlannedStart, PlannedWait, QueueKey};
use muster_model::preemption::PreemptType;
use muster_model::state::Reason;
use muster_model::time::Timestamp;

use super::expected::Deferred;
use super::journal::Savepoint;
use super::start::{Lack, Trial};
use super::wait::Soonest;
use super::{Case, Entry, Expected, Parts, Pass, Wait};
use crate::feasible::Verdict;
use crate::future::{Lifted, Rank};
use crate::people::Company;

/// How often the components may put each other off when a common time is looked for. A bound on the work for one job; a
/// job that needs more is forecast.
const ROUNDS_MAX: usize = 200;

/// One component, and what is known of it in each of its partitions.
#[derive(Clone)]
pub(super) struct Member<'a> {
    entry: Entry<'a>,
    cases: Arc<[Case]>,
}

/// What became of a heterogeneous job.
pub(super) enum Fate {
    /// All of it has started.
    Started,
    /// It waits. `is_new`: its planned start, if it has one, is not the one that was planned before.
    Waits { waits: Vec<PlannedWait>, is_new: bool },
}

/// How one component is planned.
struct Placed {
    /// Its position.
    at: usize,
    rank: Rank,
    case: usize,
    parts: Parts,
}

impl<'a> Pass<'a> {
    /// Looks at the job whose leader stands at `key`, and notes what its components are told.
    pub(super) fn walk_together(&mut self, key: QueueKey, leader: &'a Job) {
        let at = self.waits.len();
        if let Fate::Waits { waits, .. } = self.look_at_components(key, leader, Some(at)) {
            self.waits.extend(waits);
        }
    }

    /// Starts all components or none. `waits_at` is where among the waits stands what they are told; without it nothing is
    /// left for later.
    pub(super) fn look_at_components(&mut self, key: QueueKey, leader: &'a Job, waits_at: Option<usize>) -> Fate {
        let mut members = self.members(key, leader);
        let all = leader.components().count();
        // While they are lifted nobody would see that they want nodes for themselves.
        self.know_people();
        let lifted: Vec<Lifted> =
            members.iter().filter_map(|member| self.books.future.lift(&member.entry.rank())).collect();
        if members.len() < all {
            // Those that are missing are not in the queue, so the others are about to leave it.
            return told(&members, |_| Reason::None.into(), false);
        }
        let own = match self.try_together(&mut members) {
            None => return Fate::Started,
            Some(own) => own,
        };
        // Nobody waits for the room of a job that something else keeps back.
        let blocked = if own.is_empty() { self.block_together(&members) } else { Reason::Resources };
        let mut expected: Option<(Timestamp, Vec<Option<Name>>)> = None;
        let mut is_new = true;
        if own.is_empty() && self.may_expect(&members) {
            if self.plan.is_partial && lifted.len() == all {
                lifted.iter().for_each(|lifted| self.books.future.put_back(lifted));
                expected = lifted.first().map(|first| (first.start, self.nodes_lifted(&members, &lifted)));
                is_new = false;
            } else if members.iter().all(|member| self.may_plan_any(member)) {
                expected = self.plan_together(&members, true);
            }
            if let (None, Some(at)) = (&expected, waits_at) {
                self.deferred.push(Deferred::together(members.clone(), at));
            }
            self.make_room_together(&members, expected.as_ref().map(|(start, _)| *start));
        }
        let tell = |at: usize| {
            if let Some((_, wait)) = own.iter().find(|(position, _)| *position == at) {
                return wait.clone();
            }
            let expected = expected.as_ref().map(|(start, nodes)| Expected {
                start: *start,
                nodes: nodes.get(at).cloned().flatten(),
                is_forecast: false,
            });
            Wait { reason: blocked, detail: None, expected }
        };
        told(&members, tell, is_new)
    }

    /// The components, in order of their places, with their requests in each partition.
    fn members(&mut self, key: QueueKey, leader: &'a Job) -> Vec<Member<'a>> {
        let groups = self.groups;
        let place = |id| {
            let key = QueueKey { job_id: id, ..key };
            let group = groups.group_of(&key)?;
            let job: &'a Job = groups.get(group).members.get(&key)?;
            Some(Entry { group, key, job, task_index: None, before: None })
        };
        let entries: Vec<Entry<'a>> = leader.components().filter_map(place).collect();
        entries.into_iter().map(|entry| Member { entry, cases: self.cases_of(entry) }).collect()
    }

    fn cases_of(&mut self, entry: Entry<'a>) -> Arc<[Case]> {
        let asks = self.groups.get(entry.group).asks.clone();
        let case = |id: &_| Case {
            id: *id,
            verdict: self.tables.verdict(*id).clone(),
            duration: self.duration(entry.job, self.tables.partition_of(*id)),
            lack: Lack::Busy,
        };
        asks.iter().map(case).collect()
    }

    /// Starts them all, if that is possible. Otherwise the reasons of those that wait for something else than the resources
    /// of the whole; nothing is changed then but what is known to be lacking.
    fn try_together(&mut self, members: &mut [Member<'a>]) -> Option<Vec<(usize, Wait)>> {
        let hopeless = |at: usize| self.hindrance(&members[at]).map(|wait| (at, wait));
        let mut own: Vec<(usize, Wait)> = (0..members.len()).filter_map(hopeless).collect();
        if !own.is_empty() {
            return Some(own);
        }
        let order = self.order_of(members);
        let savepoint = Savepoint::begin(self);
        let mut starts: Vec<(usize, PlannedStart)> = Vec::new();
        for at in order {
            match self.try_component(&mut members[at]) {
                Ok(start) => starts.push((at, start)),
                Err(wait) => {
                    own.extend(wait.map(|wait| (at, wait)));
                    break;
                }
            }
        }
        if starts.len() == members.len() {
            savepoint.keep(self);
            starts.sort_by_key(|(at, _)| *at);
            let mut starts = starts.into_iter().map(|(_, start)| start);
            let first = starts.next()?;
            self.plan.starts.push(PlannedStart { together: starts.collect(), ..first });
            return None;
        }
        savepoint.undo(self);
        Some(own)
    }

    /// Positions of the components in the order in which they choose their nodes: who has the least choice goes first.
    fn order_of(&self, members: &[Member<'a>]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..members.len()).collect();
        order.sort_by_key(|at| (self.choice_of(&members[*at]), *at));
        order
    }

    /// Nodes among which a component can choose.
    fn choice_of(&self, member: &Member<'a>) -> u32 {
        let nodes = member.cases.iter().map(|case| match &*case.verdict {
            Verdict::Possible(ask) if ask.required.is_empty() => ask.eligible.len(),
            Verdict::Possible(ask) => ask.required.len() as u32,
            _ => 0,
        });
        nodes.sum()
    }

    /// Tries one component in its partitions, in order.
    ///
    /// # Errors
    /// Why it waits, if that is not for resources in any of them.
    fn try_component(&mut self, member: &mut Member<'a>) -> Result<PlannedStart, Option<Wait>> {
        let mut lacking: Vec<Case> = Vec::new();
        let mut other: Option<Wait> = None;
        for case in member.cases.iter() {
            match self.try_in(member.entry, case) {
                Trial::Started => return self.plan.starts.pop().ok_or(None),
                Trial::Lacks(lack) => lacking.push(Case { lack, ..case.clone() }),
                Trial::Waits(wait) => drop(other.get_or_insert(wait)),
            }
        }
        if lacking.is_empty() {
            return Err(Some(other.unwrap_or(Reason::PartitionConfig.into())));
        }
        member.cases = lacking.into();
        Err(None)
    }

    /// What keeps a component from ever being tried, in all of its partitions.
    fn hindrance(&self, member: &Member<'a>) -> Option<Wait> {
        let reason = |case: &Case| match &*case.verdict {
            Verdict::Waits(reason) => Some(*reason),
            Verdict::Never(_) => Some(Reason::BadConstraints),
            Verdict::Possible(_) => {
                let partition = self.tables.partition_of(case.id);
                let limit = self.limit(member.entry.job, partition);
                let is_long = self.tables.fleet.is_too_long(member.entry.job, partition, limit);
                is_long.then_some(Reason::PartitionTimeLimit)
            }
        };
        let reasons: Option<Vec<Reason>> = member.cases.iter().map(reason).collect();
        Some(reasons?.first().copied().unwrap_or(Reason::PartitionConfig).into())
    }

    /// Marks the partitions as waited for. The first that waits in one of them waits for resources.
    fn block_together(&mut self, members: &[Member<'a>]) -> Reason {
        let partitions: BTreeSet<u32> = members
            .iter()
            .flat_map(|member| member.cases.iter())
            .filter(|case| case.lack == Lack::Busy)
            .map(|case| self.tables.partition_of(case.id))
            .collect();
        let mut reason = Reason::Priority;
        for partition in partitions {
            let standing = &mut self.books.standings[partition as usize];
            if !std::mem::replace(&mut standing.is_blocked, true) {
                reason = Reason::Resources;
                let nodes = &self.tables.fleet.partition_nodes[partition as usize];
                self.contended.unite(nodes);
                if !self.view.config.backfill {
                    self.books.close(nodes);
                }
            }
        }
        let special = members.iter().flat_map(|member| member.cases.iter()).find_map(|case| case.lack.wait());
        special.map_or(reason, |wait| wait.reason)
    }

    fn may_expect(&self, members: &[Member<'a>]) -> bool {
        let is_out =
            |member: &Member<'a>| member.cases.iter().all(|case| !matches!(*case.verdict, Verdict::Possible(_)));
        self.view.config.backfill && self.budget.reservations_max > 0 && !members.iter().any(is_out)
    }

    fn may_plan_any(&mut self, member: &Member<'a>) -> bool {
        let cases = member.cases.clone();
        cases.iter().any(|case| self.may_plan(member.entry, case))
    }

    /// Plans the earliest time at which all fit, and holds their resources. Gives the time and the nodes of each.
    pub(super) fn plan_together(
        &mut self,
        members: &[Member<'a>],
        promised: bool,
    ) -> Option<(Timestamp, Vec<Option<Name>>)> {
        let mut from = self.view.now;
        let order = self.order_of(members);
        for _ in 0..ROUNDS_MAX {
            match self.place_all(members, &order, from)? {
                Ok(placed) => return Some(self.settle_together(members, from, placed, promised)),
                Err(later) => from = later,
            }
        }
        None
    }

    /// The component that chooses at `turn`, as if it stood in the queue in that order: what is held for one is seen only by
    /// those behind it.
    fn in_turn(members: &[Member<'a>], order: &[usize], turn: usize) -> Member<'a> {
        let member = &members[order[turn]];
        Member { entry: Entry { key: members[turn].entry.key, ..member.entry }, cases: member.cases.clone() }
    }

    /// Places all at `from`, holding what each takes; or gives a later time before which one of them does not fit, with
    /// nothing held. `None` when one of them never fits.
    fn place_all(
        &mut self,
        members: &[Member<'a>],
        order: &[usize],
        from: Timestamp,
    ) -> Option<Result<Vec<Placed>, Timestamp>> {
        let mut placed: Vec<Placed> = Vec::new();
        for (turn, at) in order.iter().enumerate() {
            let member = &Self::in_turn(members, order, turn);
            match self.earliest_of(member, from) {
                Some((start, case, parts)) if start <= from => {
                    let rank = member.entry.rank();
                    // It stays where it is: the others stand beside it.
                    let end = start + member.cases[case].duration;
                    let partition = self.tables.fleet.partition(self.tables.partition_of(member.cases[case].id));
                    let company = Company::of_job(&member.entry.job.spec, Some(partition));
                    if let Some(people) = self.people.as_mut().filter(|_| company.is_alone()) {
                        people.expect_alone();
                    }
                    self.books.future.hold(rank, (start, end), &parts, None, company);
                    placed.push(Placed { at: *at, rank, case, parts });
                }
                later => {
                    placed.iter().for_each(|placed| self.books.future.drop_hold(&placed.rank));
                    return later.map(|(start, ..)| Err(start));
                }
            }
        }
        placed.sort_by_key(|placed| placed.at);
        Some(Ok(placed))
    }

    /// When one component fits, no earlier than `from`, in which partition, and what it takes.
    fn earliest_of(&mut self, member: &Member<'a>, from: Timestamp) -> Option<(Timestamp, usize, Parts)> {
        let mut best: Option<(Timestamp, usize, Parts)> = None;
        for (at, case) in member.cases.iter().enumerate() {
            let Verdict::Possible(ask) = &*case.verdict else { continue };
            if let Some(Soonest { start, parts, .. }) = self.earliest_from(member.entry, case, ask, Some(from))
                && best.as_ref().is_none_or(|(before, ..)| start < *before)
            {
                best = Some((start, at, parts));
            }
        }
        best
    }

    /// Counts a common start that has been found, or takes it back where nothing is to be held for it.
    fn settle_together(
        &mut self,
        members: &[Member<'a>],
        start: Timestamp,
        placed: Vec<Placed>,
        promised: bool,
    ) -> (Timestamp, Vec<Option<Name>>) {
        let is_far = start > self.view.now + self.budget.window;
        let is_unlicensed = members.iter().any(|member| member.cases.iter().any(|case| case.lack == Lack::Unlicensed));
        let mut nodes = Vec::new();
        for (member, placed) in members.iter().zip(&placed) {
            self.books.plans_made += 1;
            if promised {
                let partition = self.tables.partition_of(member.cases[placed.case].id);
                self.books.standings[partition as usize].plans_made += 1;
                self.count_plan_of(member.entry.job);
            }
            if is_far || is_unlicensed {
                self.books.future.drop_hold(&placed.rank);
            }
            let names = self.node_list(placed.parts.iter().map(|(node, _)| *node));
            nodes.push((!is_far).then(|| names.into()));
        }
        (start, nodes)
    }

    /// About when all of them start for which nothing is planned exactly.
    pub(super) fn forecast_together(&mut self, members: &[Member<'a>]) -> Option<Timestamp> {
        let mut latest = None;
        for member in members {
            let expected = self.forecast_start(member.entry, &member.cases)?;
            latest = latest.max(Some(expected.start));
        }
        latest
    }

    fn make_room_together(&mut self, members: &[Member<'a>], expected: Option<Timestamp>) {
        if self.view.config.preemption.kind == PreemptType::None {
            return;
        }
        for member in members {
            let fits = member.cases.iter().any(|case| match &*case.verdict {
                Verdict::Possible(ask) => self.open_now(member.entry, ask, None, case.duration).is_some_and(|open| {
                    self.choose_now(member.entry, case.id, ask, Some(case.duration), &open).is_some()
                }),
                _ => false,
            });
            if !fits {
                self.make_room(member.entry, &member.cases, expected);
            }
        }
    }

    fn nodes_lifted(&self, members: &[Member<'a>], lifted: &[Lifted]) -> Vec<Option<Name>> {
        let order = self.order_of(members);
        let mut nodes = vec![None; members.len()];
        for (turn, at) in order.iter().enumerate() {
            let rank = Self::in_turn(members, &order, turn).rank();
            let found = lifted.iter().find(|lifted| lifted.rank == rank);
            nodes[*at] = found.map(|lifted| self.node_list(lifted.nodes()).into());
        }
        nodes
    }
}

impl Member<'_> {
    /// The place of the component in the queue.
    pub(super) fn rank(&self) -> Rank {
        self.entry.rank()
    }
}

fn told(members: &[Member<'_>], tell: impl Fn(usize) -> Wait, is_new: bool) -> Fate {
    let waits = members.iter().enumerate().map(|(at, member)| tell(at).planned(member.entry.job)).collect();
    Fate::Waits { waits, is_new }
}
