//! Making room for a blocked job.

use muster_model::planning::PlannedEviction;
use muster_model::preemption::PreemptType;
use muster_model::time::Timestamp;

use super::start::Lack;
use super::{Case, Entry, Pass, start};
use crate::exact::Exact;
use crate::feasible::Verdict;
use crate::people::Guest;
use crate::preempt;
use crate::supply::{Company, Supply};

/// Most jobs for which one pass makes room; a bound on how much running work one decision can end.
const PREEMPTORS_MAX: usize = 100;
/// Most jobs that one pass has make room, for all of these together: what is started for them is seen before more is ended.
const EVICTIONS_MAX: usize = 1000;

impl Pass<'_> {
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
            // No room can be made where reservations or licences stand in the way.
            let inside = match case.lack {
                Lack::Busy => None,
                Lack::BusyInside(inside) => inside,
                Lack::Reserved { .. } | Lack::TooEarly | Lack::Unlicensed | Lack::Limit(_) => continue,
            };
            let Some(open) = self.open_now(entry, ask, inside, case.duration) else {
                continue;
            };
            let usable = open.narrow(&self.books.in_service);
            let mut nodes = ask.eligible.clone();
            nodes.intersect(&usable);
            let partition = self.tables.partition_of(case.id);
            let fleet = &self.tables.fleet;
            let mut victims = preempt::victims(fleet, self.view, entry.job, partition, &nodes);
            victims.retain(|victim| !self.evicted.contains(&victim.job.id));
            if victims.is_empty() {
                continue;
            }
            self.know_people();
            let (Some(people), fleet) = (self.people.as_ref(), &self.tables.fleet) else { continue };
            let company = Company::Later(people, Guest::of(&entry.job.spec));
            let waited = self.view.now.since(start::since(entry.job));
            let reserved = Some((&self.reservations, &open, Timestamp(i64::MAX)));
            let (usable, scratch) = (&usable, &mut self.scratch);
            let strict = self.view.config.preemption.strict_order;
            let chosen = preempt::choose(&victims, strict, &self.books.free, |free| {
                Supply { fleet, free, usable, planned: None, company, reserved, exact: Exact::Empty, waited }
                    .place(ask, scratch)
                    .is_some()
            });
            if chosen.is_empty() {
                continue;
            }
            self.preemptors += 1;
            for victim in chosen.into_iter().map(|at| &victims[at]) {
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

    /// By when all jobs are gone that have been told to go or are ending.
    fn room_by(&mut self) -> Timestamp {
        let view = self.view;
        *self.room_by.get_or_insert_with(|| {
            let leaving = view.running.values().filter(|job| job.completing || job.eviction.is_some());
            let ends = leaving.map(|job| job.end_time.unwrap_or(view.now).max(view.now) + view.config.kill_wait);
            ends.max().unwrap_or(view.now)
        })
    }
}
