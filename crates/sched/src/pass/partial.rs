//! A walk over what has changed only: what a large cluster does for each job that ends or comes.
//!
//! The planned starts of the last pass over everything stand. Nothing else has changed, so only these jobs can start:
//! those whose planned start has come, those that can use a node on which something has become free, and new ones. They
//! are looked at in the order of the queue, each beside the planned starts of the jobs before it; a planned start behind
//! it that does not fit any more is given up, to be made again by the next pass over everything.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use muster_model::job::{ArrayRole, Job};
use muster_model::licenses::Licenses;
use muster_model::planning::{Plan, PlannedStart, QueueKey};

use super::together::Fate;
use super::{Pass, Wait};
use crate::capacity::{self, Offer};
use crate::feasible::Verdict;
use crate::future::Rank;
use crate::licenses::{LicensePlan, Licensing};
use crate::queue::{Changes, GroupId};
use crate::said::Said;

impl<'a> Pass<'a> {
    /// Looks at the groups that `changes` and the nodes in `changed` concern.
    pub(crate) fn run_changes(mut self, changes: &Changes, changed: &BTreeSet<u32>) -> Plan {
        self.plan.is_partial = true;
        for key in &changes.vacant {
            self.books.future.drop_record(key);
        }
        let mut said = std::mem::take(&mut self.books.said);
        for rank in &changes.vacant {
            said.set(rank.job_id, None);
        }
        said.set_time(self.view.now);
        let mut heads: BinaryHeap<Reverse<(QueueKey, GroupId)>> = self.concerned(changes, changed, &said);
        self.plan.figures.queue = super::count(self.view.queue.len());
        while let Some(Reverse((rank, id))) = heads.pop() {
            if self.is_full() {
                self.plan.exhausted = true;
                break;
            }
            let groups = self.groups;
            let Some(job) = groups.get(id).member(&rank) else { continue };
            self.plan.figures.looked_at += 1;
            if job.het.is_some() {
                self.look_again_together(rank, job, &mut said);
                continue;
            }
            match self.look_again(id, rank, job) {
                Some(wait) if said.get(job.id).is_none() => said.set(job.id, Some(wait.planned(job))),
                // What the last pass said of it stands: it has not been looked at in its place.
                Some(_) => {}
                None => {
                    said.set(job.id, None);
                    heads.extend(groups.next(id, &rank).map(|next| Reverse((next, id))));
                }
            }
        }
        for (id, key) in &changes.come {
            self.tell_new_member(*id, key, &mut said);
        }
        for job_id in self.moving.moved() {
            if let Some(mut wait) = said.get(job_id).cloned() {
                self.moving.correct(&mut wait);
                said.set(job_id, Some(wait));
            }
        }
        self.tables.return_scratch(std::mem::take(&mut self.scratch));
        self.plan.figures.moments = super::count(self.books.future.moment_count());
        self.plan.outlook = said.outlook().clone();
        self.books.said = said;
        self.plan
    }

    /// First members of the groups that may start something now.
    fn concerned(
        &mut self,
        changes: &Changes,
        changed: &BTreeSet<u32>,
        said: &Said,
    ) -> BinaryHeap<Reverse<(QueueKey, GroupId)>> {
        let now = self.view.now;
        let due: BTreeSet<QueueKey> = self.books.future.due(now).collect();
        let mut heads = BinaryHeap::new();
        for (rank, id) in self.groups.heads() {
            let is_new = changes.groups.binary_search(&id).is_ok();
            if is_new || said.is_limited(rank.job_id) || due.contains(&rank) || self.can_use_any(id, changed) {
                heads.push(Reverse((rank, id)));
            }
        }
        heads
    }

    /// Whether jobs of a group can put a task on one of `nodes` now.
    fn can_use_any(&self, id: GroupId, nodes: &BTreeSet<u32>) -> bool {
        let fleet = &self.tables.fleet;
        let can_use = |node: u32| {
            let free = &self.books.free;
            self.books.in_service.contains(node)
                && self.groups.get(id).asks.iter().any(|ask| match &**self.tables.verdict(*ask) {
                    // Room beside others who share their cores is not counted among what is free.
                    Verdict::Possible(ask) if ask.rows > 1 => ask.eligible.contains(node),
                    Verdict::Possible(ask) if ask.eligible.contains(node) && self.books.usable.contains(node) => {
                        let offer = Offer {
                            node,
                            cpus: free.cpus[node as usize],
                            memory: free.memory[node as usize],
                            columns: free.columns_of(node),
                        };
                        capacity::tasks(ask, fleet, offer) > 0
                    }
                    _ => false,
                })
        };
        nodes.iter().any(|node| can_use(*node))
    }

    /// Tries to start one record, whose own planned start is no obstacle. `None` when all of it has started.
    fn look_again(&mut self, id: GroupId, key: QueueKey, job: &'a Job) -> Option<Wait> {
        let starts_before = self.plan.starts.len();
        let wait = self.look_at_record(id, key, job);
        if self.plan.starts.len() > starts_before {
            self.settle_starts(key, starts_before);
        }
        wait
    }

    /// Tries to start all components of the heterogeneous job that one of them is part of.
    fn look_again_together(&mut self, key: QueueKey, component: &'a Job, said: &mut Said) {
        let Some(first) = component.components().next().map(|job_id| QueueKey { job_id, ..key }) else { return };
        let groups = self.groups;
        let leader = groups.group_of(&first).and_then(|group| groups.get(group).member(&first));
        let Some(leader) = leader.filter(|leader| self.seen_together.insert(leader.id)) else { return };
        let starts_before = self.plan.starts.len();
        match self.look_at_components(first, leader, None) {
            Fate::Started => {
                leader.components().for_each(|id| said.set(id, None));
                self.settle_starts(first, starts_before);
            }
            Fate::Waits { waits, is_new } => {
                for wait in waits {
                    // What the last pass said of it stands, unless it is planned anew.
                    if is_new && wait.expected_start.is_some() || said.get(wait.job_id).is_none() {
                        said.set(wait.job_id, Some(wait));
                    }
                }
            }
        }
    }

    /// The starts of a record from position `from` on have come about: their planned starts are over, and planned starts
    /// behind them whose resources they have taken are given up.
    fn settle_starts(&mut self, key: QueueKey, from: usize) {
        let mut rank = Rank { key, task: 0 };
        for start in &self.plan.starts[from..] {
            rank.task = start.task_index.unwrap_or(0);
            self.books.future.drop_hold(&rank);
        }
        self.give_up_unlicensed(&rank);
        let nodes: BTreeSet<u32> = self.plan.starts[from..]
            .iter()
            .flat_map(PlannedStart::all)
            .flat_map(|start| &start.shares)
            .map(|share| share.node.0)
            .collect();
        for node in nodes {
            if self.books.future.is_planned(node) {
                let mut behind = self.books.future.displaced(node, &self.books.free, &rank);
                if let Some(people) = self.people.as_ref().filter(|people| !people.is_all_alike()) {
                    behind.extend(self.books.future.put_off(node, Some(&rank), people));
                }
                behind.iter().for_each(|behind| self.books.future.drop_hold(behind));
            }
        }
    }

    /// Planned starts behind `rank` that cannot have their licences any more are given up.
    fn give_up_unlicensed(&mut self, rank: &Rank) {
        let Some(holdings) = &self.licenses else { return };
        let (totals, plans) = (&self.tables.fleet.licenses, self.books.future.licenses());
        let is_short = |(rank, plan): &(&Rank, &LicensePlan)| {
            let run = (plan.start.max(self.view.now), plan.end);
            !Licensing { totals, holdings, plans, rank }.suffices(&plan.held, run, |_| Licenses::new())
        };
        let short: Vec<Rank> = plans.behind(rank).filter(is_short).map(|(rank, _)| *rank).collect();
        short.iter().for_each(|rank| self.books.future.drop_hold(rank));
    }

    /// A new member of which nothing has been said waits as the one before it in its group does.
    fn tell_new_member(&mut self, id: GroupId, key: &QueueKey, said: &mut Said) {
        let members = &self.groups.get(id).members;
        let Some(job) = members.get(key).filter(|job| said.get(job.id).is_none()) else { return };
        if self.several.started(job.id) > 0 || matches!(job.array, Some(ArrayRole::Waiting { .. })) {
            return;
        }
        let Some(wait) = members.range(..key).rev().find_map(|(_, before)| said.get(before.id)) else { return };
        let expected = |start| super::Expected { start, nodes: None, is_forecast: true };
        let wait =
            Wait { reason: wait.reason, detail: wait.detail.clone(), expected: wait.expected_start.map(expected) };
        said.set(job.id, Some(wait.planned(job)));
    }
}
