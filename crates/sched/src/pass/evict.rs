//! Making room for a blocked job.
//!
//! Who makes room by being suspended keeps all but his CPUs, so the other can have them at once: it is planned to start, and
//! the start names who stands for it. Where somebody has to end or to go back to the queue, those are told first, and the
//! others when they are gone.

use std::sync::Arc;

use imbl::Vector;
use muster_model::node::{CpuRow, Node};
use muster_model::planning::{PlannedEviction, PlannedStart};
use muster_model::preemption::{CpuHold, PreemptMode, PreemptType};
use muster_model::resources::IndexSet;
use muster_model::time::Timestamp;

use super::start::{Ground, Lack, Way};
use super::{Case, Entry, Pass, start};
use crate::ask::Ask;
use crate::choose::Choice;
use crate::exact::Exact;
use crate::feasible::Verdict;
use crate::free::Free;
use crate::future::OVERDUE;
use crate::people::Guest;
use crate::preempt::{self, Victim};
use crate::reservation::{Inside, Open};
use crate::supply::{Company, Supply};

/// Most jobs for which one pass makes room; a bound on how much running work one decision can end.
const PREEMPTORS_MAX: usize = 100;
/// Most jobs that one pass has make room, for all of these together: what is started for them is seen before more is ended.
const EVICTIONS_MAX: usize = 1000;

impl<'a> Pass<'a> {
    /// Starts a blocked job on CPUs of jobs that are suspended for it, if that is all it needs.
    pub(super) fn start_over_others(&mut self, entry: Entry<'_>, cases: &[Case]) -> bool {
        let config = &self.view.config.preemption;
        if !config.gang || config.kind == PreemptType::None || self.preemptors >= PREEMPTORS_MAX {
            return false;
        }
        if self.without_yielding.contains(&entry.group) || self.is_full() {
            return false;
        }
        for case in cases {
            if let Some(start) = self.start_over_in(entry, case) {
                self.preemptors += 1;
                self.note_start(entry, start);
                return true;
            }
        }
        self.without_yielding.insert(entry.group);
        false
    }

    fn start_over_in(&mut self, entry: Entry<'_>, case: &Case) -> Option<PlannedStart> {
        let Verdict::Possible(ask) = &*case.verdict else { return None };
        let inside = busy(case.lack)?;
        let open = self.open_now(entry, ask, inside, case.duration)?;
        let mut victims = self.victims(entry, case, ask, &open);
        victims.retain(|victim| victim.mode == PreemptMode::Suspend);
        if victims.is_empty() {
            return None;
        }
        let (chosen, free) = self.choose_victims(entry, ask, &open, &victims, true)?;
        let chosen: Vec<&Victim<'_>> = chosen.into_iter().map(|at| &victims[at]).collect();
        let nodes = without(self.view, &chosen);
        let ground = Ground { free: &free, nodes: &nodes };
        let choices = self.choices_on(entry, ask, &open, ground)?;
        let limit = self.limit(entry.job, self.tables.partition_of(case.id));
        let way = Way { inside, open: &open };
        let start = self.start_on(entry, ask, &choices, (case.duration, limit), way, Some(ground))?.ok()?;
        self.evicted.extend(chosen.iter().map(|victim| victim.job.id));
        let suspends = chosen.iter().map(|victim| (victim.job.id, victim.job.restart)).collect();
        Some(PlannedStart { suspends, ..start })
    }

    /// Has running jobs make room for a blocked job, if it may preempt enough of them. `expected` is when it would start
    /// by itself: where jobs that have been told to go already, or are ending, will let it start, nobody else is told.
    pub(super) fn make_room(&mut self, entry: Entry<'_>, cases: &[Case], expected: Option<Timestamp>) {
        if self.view.config.preemption.kind == PreemptType::None
            || self.preemptors >= PREEMPTORS_MAX
            || self.evicted.len() >= EVICTIONS_MAX
        {
            return;
        }
        if self.without_victims.contains(&entry.group) || expected.is_some_and(|start| start <= self.room_by()) {
            return;
        }
        for case in cases {
            let Verdict::Possible(ask) = &*case.verdict else {
                continue;
            };
            let Some(inside) = busy(case.lack) else { continue };
            let Some(open) = self.open_now(entry, ask, inside, case.duration) else {
                continue;
            };
            let victims = self.victims(entry, case, ask, &open);
            let Some((chosen, _)) = self.choose_victims(entry, ask, &open, &victims, false) else {
                continue;
            };
            let going: Vec<&Victim<'_>> = chosen.into_iter().map(|at| &victims[at]).collect();
            if going.iter().all(|victim| victim.mode == PreemptMode::Suspend) {
                continue;
            }
            self.preemptors += 1;
            for victim in going.into_iter().filter(|victim| victim.mode != PreemptMode::Suspend) {
                self.evicted.insert(victim.job.id);
                self.plan.evictions.push(PlannedEviction {
                    job_id: victim.job.id,
                    restart: victim.job.restart,
                    mode: victim.mode,
                    grace: victim.grace,
                    by: entry.job.id,
                });
            }
            return;
        }
        self.without_victims.insert(entry.group);
    }

    /// Jobs that could make room in one partition, those first that go first.
    fn victims(&self, entry: Entry<'_>, case: &Case, ask: &Ask, open: &Open) -> Vec<Victim<'a>> {
        let mut nodes = ask.eligible.clone();
        nodes.intersect(&open.narrow(&self.books.in_service));
        let partition = self.tables.partition_of(case.id);
        let mut victims = preempt::victims(&self.tables.fleet, self.view, entry.job, partition, &nodes);
        victims.retain(|victim| !self.evicted.contains(&victim.job.id));
        victims
    }

    /// The least of the victims without whom the job fits, and what is free then. Those who are suspended `stay` beside it.
    fn choose_victims(
        &mut self,
        entry: Entry<'_>,
        ask: &Ask,
        open: &Open,
        victims: &[Victim<'_>],
        stay: bool,
    ) -> Option<(Vec<usize>, Free)> {
        if victims.is_empty() {
            return None;
        }
        self.know_people();
        let (people, fleet, guest) = (self.people.as_ref()?, &self.tables.fleet, Guest::of(&entry.job.spec));
        let company = if stay { Company::Beside(people, guest) } else { Company::Emptied(people, guest) };
        let waited = self.view.now.since(start::since(entry.job));
        let reserved = Some((&self.reservations, open, Timestamp(i64::MAX)));
        let usable = &open.narrow(&self.books.in_service);
        let scratch = &mut self.scratch;
        preempt::choose(self.view, victims, &self.books.free, |free| {
            Supply {
                fleet,
                free,
                usable,
                planned: None,
                company,
                reserved,
                exact: Exact::Empty,
                waited,
                remembered: None,
            }
            .place(ask, scratch)
            .is_some()
        })
    }

    /// Nodes for a job that starts now on this ground.
    fn choices_on(&mut self, entry: Entry<'_>, ask: &Ask, open: &Open, ground: Ground<'_>) -> Option<Vec<Choice>> {
        let usable = open.narrow(&self.books.in_service);
        let supply = Supply {
            fleet: &self.tables.fleet,
            free: ground.free,
            usable: &usable,
            reserved: Some((&self.reservations, open, self.view.now)),
            planned: None,
            company: Company::Beside(self.people.as_ref()?, Guest::of(&entry.job.spec)),
            exact: Exact::Now(ground.nodes, &self.units),
            waited: self.view.now.since(start::since(entry.job)),
            remembered: None,
        };
        supply.place(ask, &mut self.scratch)
    }

    /// By when all jobs are gone that have been told to go or are ending.
    fn room_by(&mut self) -> Timestamp {
        let view = self.view;
        *self.room_by.get_or_insert_with(|| {
            let leaving = view.running.values().filter(|job| job.completing || job.eviction.is_some());
            // However short they are given, an expected start counts on them for longer.
            let more = view.config.kill_wait.max(OVERDUE);
            let ends = leaving.map(|job| job.end_time.unwrap_or(view.now).max(view.now) + more);
            ends.max().unwrap_or(view.now)
        })
    }
}

/// In which reservation a job is blocked by others, or in none. No room can be made where reservations or licences stand in
/// the way.
fn busy(lack: Lack) -> Option<Inside> {
    match lack {
        Lack::Busy => Some(None),
        Lack::BusyInside(inside) => Some(inside),
        Lack::Reserved { .. } | Lack::TooEarly | Lack::Unlicensed | Lack::Limit(_) => None,
    }
}

/// The nodes as they would be if these jobs had no CPUs.
fn without(view: &muster_model::planning::PlanView, victims: &[&Victim<'_>]) -> Vector<Arc<Node>> {
    let mut nodes = view.nodes.clone();
    let is_gone = |id| victims.iter().any(|victim| victim.job.id == id);
    for index in victims.iter().flat_map(|victim| victim.nodes()) {
        let Some(node) = nodes.get_mut(index as usize) else { continue };
        let used = &mut Arc::make_mut(node).used;
        used.cpus = IndexSet::default();
        let before = std::mem::take(&mut used.rows);
        for job in view.running.values().filter(|job| !is_gone(job.id) && job.cpu_hold() != CpuHold::Given) {
            let share = job.allocation.as_ref().and_then(|held| held.share(muster_model::ids::NodeIndex(index)));
            let Some(share) = share else { continue };
            used.cpus.add_all(&share.cpus);
            if before.iter().any(|row| row.partition == job.partition) {
                let row = CpuRow::room(&used.rows, &job.partition, u32::MAX, &share.cpus).unwrap_or(usize::MAX);
                CpuRow::put(&mut used.rows, &job.partition, row, &share.cpus);
            }
        }
    }
    nodes
}
