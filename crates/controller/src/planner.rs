//! The thread on which the scheduler works, always on a copy of the state.
//!
//! A pass over the whole queue can take longer than a job should wait for a node that is free. So most passes of a large
//! cluster look only at what has changed, and one over everything is made now and then, so often that it takes a small
//! part of the time.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use muster_core::Event;
use muster_model::planning::PlanView;
use muster_sched::{Budget, Planner};
use tokio::sync::mpsc;

use crate::inbox::Inbox;
use crate::statistics::Meters;

/// A pass over everything that takes no longer than this is made each time.
const FULL_PASS_CHEAP: Duration = Duration::from_millis(5);
/// Otherwise it is made again after so many times the time it took.
const REST_FACTOR: u32 = 10;
/// The longest rest between two passes.
const REST_MAX: Duration = Duration::from_millis(100);

/// A planner for questions (`--test-only`, checks at submit), apart from the one that plans.
pub(crate) type Adviser = Arc<Mutex<Planner>>;

/// Runs until the sequencer is gone. Rests after each pass for as long as the pass took, so that scheduling never takes
/// more than half of a core away from everything else.
pub(crate) async fn run(mut views: mpsc::Receiver<PlanView>, inbox: Inbox, meters: Meters) {
    let mut planner = Planner::new();
    let mut full = FullPasses::default();
    loop {
        let view = match full.due_in() {
            None => views.recv().await,
            Some(wait) => match tokio::time::timeout(wait, views.recv()).await {
                Ok(view) => view,
                Err(_) => {
                    full.asked = true;
                    if inbox.send(Event::PlanWanted.into()).await.is_err() {
                        return;
                    }
                    continue;
                }
            },
        };
        let Some(view) = view else { return };
        let began = Instant::now();
        let budget = Budget::of(&view.config);
        let plan = if full.is_due(began) { planner.plan(&view, &budget) } else { planner.plan_changes(&view, &budget) };
        drop(view);
        let took = began.elapsed();
        full.note(plan.is_partial, began, took);
        meters.count_pass(took, plan.figures, plan.is_partial);
        if inbox.send(Event::Plan(plan).into()).await.is_err() {
            return;
        }
        if took > Duration::from_millis(1) {
            tokio::time::sleep(took.min(REST_MAX)).await;
        }
    }
}

/// When the next pass over everything is due.
#[derive(Debug, Default)]
struct FullPasses {
    next: Option<Instant>,
    /// The last pass looked at a part only.
    partial_since: bool,
    /// The sequencer was asked for a view to make one.
    asked: bool,
}

impl FullPasses {
    fn is_due(&self, now: Instant) -> bool {
        self.next.is_none_or(|next| next <= now)
    }

    /// How long to wait at most before a pass over everything is made even if nothing happens.
    fn due_in(&self) -> Option<Duration> {
        let next = self.next.filter(|_| self.partial_since && !self.asked)?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    fn note(&mut self, was_partial: bool, began: Instant, took: Duration) {
        self.partial_since = was_partial;
        self.asked = false;
        if !was_partial {
            self.next = (took > FULL_PASS_CHEAP).then(|| began + took * (REST_FACTOR + 1));
        }
    }
}
