//! The thread on which the scheduler works, always on a copy of the state.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use muster_core::Event;
use muster_model::planning::PlanView;
use muster_sched::{Budget, Planner};
use tokio::sync::mpsc;

use crate::inbox::Inbox;

/// The longest rest between two passes.
const REST_MAX: Duration = Duration::from_millis(100);

/// A planner for questions (`--test-only`, checks at submit), apart from the one that plans.
pub(crate) type Adviser = Arc<Mutex<Planner>>;

/// Runs until the sequencer is gone. Rests after each pass for as long as the pass took, so that scheduling never takes
/// more than half of a core away from everything else.
pub(crate) async fn run(mut views: mpsc::Receiver<PlanView>, inbox: Inbox) {
    let mut planner = Planner::new();
    let budget = Budget::default();
    while let Some(view) = views.recv().await {
        let began = Instant::now();
        let plan = planner.plan(&view, &budget);
        drop(view);
        let took = began.elapsed();
        if inbox.send(Event::Plan(plan).into()).await.is_err() {
            return;
        }
        if took > Duration::from_millis(1) {
            tokio::time::sleep(took.min(REST_MAX)).await;
        }
    }
}
