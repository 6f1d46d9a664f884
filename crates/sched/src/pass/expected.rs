//! When jobs start that nothing is held for.
//!
//! Holding resources for every blocked job costs others more than it gives (conservative against EASY backfill): limits
//! are guesses, and what is held for the hundredth job keeps small ones out of gaps that never come to be. So resources
//! are held for the first blocked jobs of each partition and for those that have waited for long; the rest is planned
//! when all starts of the pass are decided, in the same order and just as exactly, only to say when. Beyond the limit
//! of exact plans it is a forecast.

use std::sync::Arc;

use super::{Case, Entry, Expected, Pass};

/// A blocked job whose start is to be worked out when all others are decided.
pub(super) struct Deferred<'a> {
    entry: Entry<'a>,
    cases: Arc<[Case]>,
    /// Position of what is said of it.
    wait: usize,
}

impl<'a> Pass<'a> {
    /// Leaves it for later to say when a blocked job starts.
    pub(super) fn defer(&mut self, entry: Entry<'a>, cases: &[Case]) {
        // What is said of this record comes next.
        self.deferred.push(Deferred { entry, cases: cases.into(), wait: self.waits.len() });
    }

    /// Says when the jobs start that were left for later. What is planned for them is in the way of those behind them,
    /// but not of jobs that could start now: unless it is to be kept, it is forgotten in the end.
    pub(super) fn expect_deferred(&mut self, keep: bool) {
        let deferred = std::mem::take(&mut self.deferred);
        if !self.budget.expectations {
            return;
        }
        let mut planned = Vec::new();
        for Deferred { entry, cases, wait } in deferred {
            let mut expected: Option<Expected> = None;
            if self.books.plans_made < self.budget.reservations_max {
                expected = self.plan_start(entry, &cases, false);
                planned.push(entry.rank());
            }
            let expected = expected.or_else(|| self.forecast_start(entry, &cases));
            if let (Some(expected), Some(wait)) = (expected, self.waits.get_mut(wait)) {
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
}
