//! When jobs start that nothing is held for.
//!
//! Holding resources for every blocked job costs others more than it gives (conservative against EASY backfill): limits
//! are guesses, and what is held for the hundredth job keeps small ones out of gaps that never come to be. So resources
//! are held for the first blocked jobs of each partition and for those that have waited for long; the rest is planned
//! when all starts of the pass are decided, in the same order and just as exactly, only to say when. Beyond the limit
//! of exact plans it is a forecast.

use std::ops::Range;
use std::sync::Arc;

use super::together::Member;
use super::{Case, Entry, Expected, Pass};
use crate::future::Rank;
use crate::queue::GroupId;

/// A blocked job whose start is to be worked out when all others are decided.
pub(super) struct Deferred<'a> {
    what: What<'a>,
    /// Position of what is said of it, of the components of a heterogeneous job one after the other.
    wait: usize,
}

enum What<'a> {
    Job {
        entry: Entry<'a>,
        cases: Arc<[Case]>,
        /// How much of it had been started then.
        started: u32,
    },
    Together(Vec<Member<'a>>),
    /// Jobs that are passed over, of which nothing is said: positions of their groups.
    PassedOver(Range<usize>),
}

impl<'a> Deferred<'a> {
    /// A heterogeneous job.
    pub(super) fn together(members: Vec<Member<'a>>, wait: usize) -> Deferred<'a> {
        Deferred { what: What::Together(members), wait }
    }
}

impl<'a> Pass<'a> {
    /// Leaves it for later to say when a blocked job starts.
    pub(super) fn defer(&mut self, entry: Entry<'a>, cases: &Arc<[Case]>) {
        let (wait, started) = (self.place_of_wait(entry.job.id), self.several.started(entry.job.id));
        self.deferred.push(Deferred { what: What::Job { entry, cases: Arc::clone(cases), started }, wait });
    }

    /// As [`Pass::defer`] for a job of this group of which nobody wants to know what is said.
    pub(super) fn defer_passed_over(&mut self, group: GroupId) {
        let at = self.passed_over.len();
        self.passed_over.push(group);
        match self.deferred.last_mut() {
            Some(Deferred { what: What::PassedOver(places), .. }) => places.end = at + 1,
            _ => self.deferred.push(Deferred { what: What::PassedOver(at..at + 1), wait: 0 }),
        }
    }

    /// Says when the jobs start that were left for later. What is planned for them is in the way of those behind them,
    /// but not of jobs that could start now: unless it is to be kept, it is forgotten in the end.
    pub(super) fn expect_deferred(&mut self, keep: bool) {
        let (deferred, passed_over) = (std::mem::take(&mut self.deferred), std::mem::take(&mut self.passed_over));
        if !self.budget.expectations {
            return;
        }
        let mut planned = Vec::new();
        for Deferred { what, wait } in deferred {
            let (entry, cases, started) = match what {
                What::Job { entry, cases, started } => (entry, cases, started),
                What::Together(members) => {
                    self.expect_together(&members, wait, &mut planned);
                    continue;
                }
                What::PassedOver(places) => {
                    self.forecast_unsaid(&passed_over[places]);
                    continue;
                }
            };
            if self.several.started(entry.job.id) != started {
                // It has started in another of its partitions.
                continue;
            }
            let mut expected: Option<Expected> = None;
            if !self.is_rough && self.books.plans_made < self.budget.reservations_max {
                expected = self.plan_deferred(entry, &cases, &mut planned);
            }
            if self.waits.get(wait).is_none_or(|told| told.expected_start.is_none()) {
                expected = expected.or_else(|| self.forecast_start(entry, &cases));
            }
            let Some(expected) = expected else { continue };
            if let Some(wait) = self.waits.get_mut(wait)
                && wait.expected_start.is_none_or(|before| expected.start < before)
            {
                wait.expected_start = Some(expected.start);
                wait.expected_nodes = expected.nodes;
                wait.is_forecast = true;
            }
        }
        if !keep {
            for rank in planned {
                self.books.future.drop_hold(&rank);
                self.books.plans_made = self.books.plans_made.saturating_sub(1);
            }
        }
    }

    /// Says when all components of a heterogeneous job start.
    fn expect_together(&mut self, members: &[Member<'a>], wait: usize, planned: &mut Vec<Rank>) {
        let is_exact = !self.is_rough && self.books.plans_made < self.budget.reservations_max;
        let found = if is_exact { self.plan_together(members, false) } else { None };
        if found.is_some() {
            planned.extend(members.iter().map(Member::rank));
        }
        let start = match &found {
            Some((start, _)) => Some(*start),
            None => self.forecast_together(members),
        };
        for at in 0..members.len() {
            if let Some(told) = self.waits.get_mut(wait + at) {
                told.expected_start = start;
                told.expected_nodes = found.as_ref().and_then(|(_, nodes)| nodes.get(at).cloned().flatten());
                told.is_forecast = start.is_some();
            }
        }
    }

    /// Plans the start of a job for which nothing is held, in the partition of this entry if that is sooner than in those
    /// before it.
    fn plan_deferred(&mut self, entry: Entry<'a>, cases: &[Case], planned: &mut Vec<Rank>) -> Option<Expected> {
        let lifted = self.lift_own(entry);
        if let Some(lifted) = &lifted
            && !planned.contains(&lifted.rank)
        {
            // Something is held for it all the same.
            self.books.future.put_back(lifted);
            return None;
        }
        let before = lifted.as_ref().map(|lifted| lifted.start);
        let expected = self.plan_start(Entry { before, ..entry }, cases, false);
        match (&expected, lifted) {
            (None, Some(lifted)) => self.books.future.put_back(&lifted),
            _ => planned.push(entry.rank()),
        }
        expected
    }
}
