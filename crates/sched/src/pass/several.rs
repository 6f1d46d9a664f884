//! Jobs that ask for several partitions: each of them is an entry of the queue, with the tier and the priority of that
//! partition (Slurm: one queue record for each job and partition). The job starts once, and is told one thing.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::ids::JobId;
use muster_model::job::Job;
use muster_model::planning::PlannedWait;
use muster_model::state::Reason;
use muster_model::time::Timestamp;

use super::{Entry, Expected, Pass, Wait};
use crate::books::Books;
use crate::future::{Lifted, Rank};

/// What a pass knows of jobs of several partitions.
#[derive(Debug, Default)]
pub(super) struct Several {
    /// How often they have been started: once, or one time for each task.
    started: BTreeMap<JobId, u32>,
    /// Where among the waits stands what they have been told, and how much of them had started then.
    told: BTreeMap<JobId, (usize, u32)>,
    /// Jobs that have started whole after they were told to wait.
    over: BTreeSet<JobId>,
    /// Jobs for which this pass has planned a start.
    planned: BTreeSet<JobId>,
}

impl Several {
    /// How much of a record has been started in this pass.
    pub(super) fn started(&self, job_id: JobId) -> u32 {
        self.started.get(&job_id).copied().unwrap_or(0)
    }

    /// Whether what a job was told is of no more use.
    pub(super) fn is_over(&self, job_id: JobId) -> bool {
        self.over.contains(&job_id)
    }

    /// Whether a start of it has been planned in this pass.
    pub(super) fn is_planned(&self, job_id: JobId) -> bool {
        self.planned.contains(&job_id)
    }

    pub(super) fn note_plan(&mut self, job_id: JobId) {
        self.planned.insert(job_id);
    }

    pub(super) fn note_start(&mut self, job_id: JobId) {
        *self.started.entry(job_id).or_default() += 1;
    }
}

/// Planned starts of a job in others of its partitions, taken back while it is looked at in this one.
#[derive(Debug, Default)]
pub(super) struct LiftedElsewhere {
    /// Of the very task.
    own: Option<Lifted>,
    /// Of tasks behind it.
    later: Vec<Lifted>,
}

impl LiftedElsewhere {
    /// When the task is to start there.
    pub(super) fn start(&self) -> Option<Timestamp> {
        self.own.as_ref().map(|own| own.start)
    }
}

impl Pass<'_> {
    /// Notes what an entry of the queue is told; `None` when all of its job has started.
    pub(super) fn tell(&mut self, job: &Job, wait: Option<Wait>) {
        if self.groups.places_of(job.id).is_empty() {
            self.waits.extend(wait.map(|wait| wait.planned(job)));
            return;
        }
        let started = self.several.started(job.id);
        match (wait, self.several.told.get(&job.id).copied()) {
            (Some(wait), None) => {
                self.several.told.insert(job.id, (self.waits.len(), started));
                self.waits.push(wait.planned(job));
            }
            (Some(wait), Some((at, before))) if before == started => merge(&mut self.waits[at], wait.planned(job)),
            (Some(wait), Some((at, _))) => {
                // What was told is about a task that has started since.
                self.several.told.insert(job.id, (at, started));
                self.waits[at] = wait.planned(job);
            }
            (None, Some(_)) => drop(self.several.over.insert(job.id)),
            (None, None) => {}
        }
    }

    /// Where among the waits stands, or will stand, what a job is told.
    pub(super) fn place_of_wait(&self, job_id: JobId) -> usize {
        self.several.told.get(&job_id).map_or(self.waits.len(), |(at, _)| *at)
    }

    /// How many jobs have been told to wait.
    pub(super) fn waiting_count(&self) -> usize {
        self.waits.len() - self.several.over.len()
    }

    /// Whether another entry of the job has been told when it starts.
    pub(super) fn is_expected(&self, job_id: JobId) -> bool {
        let started = self.several.started(job_id);
        let told = self.several.told.get(&job_id).filter(|(_, before)| *before == started);
        told.and_then(|(at, _)| self.waits.get(*at)).is_some_and(|wait| wait.expected_start.is_some())
    }

    /// Takes the planned start back that the job has in another of its partitions: it must not stand in its own way.
    pub(super) fn lift_own(&mut self, entry: Entry<'_>) -> Option<Lifted> {
        // While it is lifted nobody would see that it wants nodes for itself.
        self.know_people();
        let groups = self.groups;
        let others = groups.places_of(entry.job.id).iter().filter(|key| **key != entry.key);
        let task = entry.rank().task;
        others.filter_map(|key| self.books.future.lift(&Rank { key: *key, task })).last()
    }

    /// As [`Pass::lift_own`], with the planned starts of later tasks of an array, which must not stand in the way of an earlier
    /// one either.
    pub(super) fn lift_elsewhere(&mut self, entry: Entry<'_>) -> LiftedElsewhere {
        let own = self.lift_own(entry);
        let (groups, task) = (self.groups, entry.rank().task);
        let others = groups.places_of(entry.job.id).iter().filter(|key| **key != entry.key);
        let later = others.flat_map(|key| self.books.future.lift_from(&Rank { key: *key, task })).collect();
        LiftedElsewhere { own, later }
    }

    /// Plans the lifted start of a job that still waits again, unless it is to start earlier here.
    pub(super) fn settle_elsewhere(
        &mut self,
        entry: Entry<'_>,
        lifted: LiftedElsewhere,
        outcome: Result<(), Wait>,
    ) -> Result<(), Wait> {
        let outcome = self.settle_own(entry, lifted.own, outcome);
        let is_new = outcome.is_ok() || self.books.future.is_held(&entry.rank());
        lifted.later.iter().for_each(|later| self.settle_later(entry.job, later, is_new));
        outcome
    }

    /// Plans the lifted start of a later task again. Where one before it has found a place, that may be in the way: then its
    /// turn comes in this partition.
    fn settle_later(&mut self, job: &Job, later: &Lifted, is_new: bool) {
        self.books.future.put_back(later);
        let Books { future, free, .. } = &*self.books;
        let people = self.people.as_ref().filter(|people| !people.is_all_alike());
        let is_crowded = |node| {
            future.is_short(node, free) || people.is_some_and(|people| !future.put_off(node, None, people).is_empty())
        };
        // Licences are told apart by nobody: who needs some is planned anew.
        if is_new && (later.is_licensed() || later.nodes().any(is_crowded)) {
            self.books.future.drop_hold(&later.rank);
            self.forget_plan(job, later);
        }
    }

    fn settle_own(&mut self, entry: Entry<'_>, lifted: Option<Lifted>, outcome: Result<(), Wait>) -> Result<(), Wait> {
        let Some(lifted) = lifted else { return outcome };
        if outcome.is_ok() || self.books.future.is_held(&entry.rank()) {
            self.forget_plan(entry.job, &lifted);
            return outcome;
        }
        let nodes = self.node_list(lifted.nodes());
        let expected = Expected { start: lifted.start, nodes: Some(nodes.into()), is_forecast: false };
        self.books.future.put_back(&lifted);
        outcome.map_err(|wait| Wait { expected: Some(expected), ..wait })
    }

    /// A planned start that is over counts no more: the next blocked job of that partition may have one.
    fn forget_plan(&mut self, job: &Job, lifted: &Lifted) {
        let groups = self.groups;
        let Some(group) = groups.group_of(&lifted.rank.key) else { return };
        for ask in groups.get(group).asks.iter() {
            let made = &mut self.books.standings[self.tables.partition_of(*ask) as usize].plans_made;
            *made = made.saturating_sub(1);
        }
        self.books.plans_made = self.books.plans_made.saturating_sub(1);
        if let Some(made) = self.plans_of_users.get_mut(&job.spec.identity.uid) {
            *made = made.saturating_sub(1);
        }
    }
}

/// Of the reasons of two entries the first is told, unless only the other may pass; of the starts the earlier.
fn merge(first: &mut PlannedWait, other: PlannedWait) {
    if hope(other.reason) > hope(first.reason) {
        (first.reason, first.detail) = (other.reason, other.detail);
    }
    if other.expected_start.is_some_and(|start| first.expected_start.is_none_or(|before| start < before)) {
        first.expected_start = other.expected_start;
        first.expected_nodes = other.expected_nodes;
        first.is_forecast = other.is_forecast;
    }
}

/// What may pass by itself comes before what somebody has to change, and that before what never will.
fn hope(reason: Reason) -> u8 {
    match reason {
        Reason::BadConstraints => 0,
        Reason::PartitionConfig
        | Reason::PartitionDown
        | Reason::PartitionInactive
        | Reason::PartitionNodeLimit
        | Reason::PartitionTimeLimit
        | Reason::MaxMemPerLimit => 1,
        _ => 2,
    }
}
