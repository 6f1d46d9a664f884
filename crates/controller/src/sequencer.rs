//! The thread that owns the state. It takes what has arrived, steps the core through it, and hands the outcome to the
//! committer; it never waits for the disk, the network or the scheduler.

use std::time::Duration;

use muster_core::{Cluster, Event, Outcome, ReadView};
use muster_model::planning::PlanView;
use muster_model::time::Timestamp;
use tokio::sync::{mpsc, watch};

use crate::clock;
use crate::inbox::Letter;

/// Most events of one batch: enough to share one commit among many, few enough to keep replies prompt.
const BATCH_SIZE_MAX: usize = 512;
/// Longest sleep without any timer; only a bound for clocks that jump.
const IDLE_SLEEP_MAX: Duration = Duration::from_secs(30);

/// What one batch of events came to.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Facts and effects, in order.
    pub outcome: Outcome,
    /// The state after the batch, for readers.
    pub view: ReadView,
}

/// Ends of the channels that the sequencer works with.
pub(crate) struct Sequencer {
    pub cluster: Cluster,
    pub inbox: mpsc::Receiver<Letter>,
    /// Bounded: when the disk is slow, batches grow instead of piling up.
    pub committer: mpsc::Sender<Batch>,
    pub planner: mpsc::Sender<PlanView>,
    /// What the restore of the state left to do.
    pub first: Outcome,
    /// Turns true when the controller stops.
    pub stop: watch::Receiver<bool>,
}

impl Sequencer {
    /// Runs until the controller stops and everything that had arrived by then is handed over.
    pub(crate) async fn run(mut self) {
        let mut planner = PlannerState { busy: false, wanted: true };
        let first = std::mem::take(&mut self.first);
        if self.hand_over(first, &mut planner).await.is_err() {
            return;
        }
        let mut letters = Vec::with_capacity(BATCH_SIZE_MAX);
        loop {
            let sleep = self.until_next_timer();
            let go_on = tokio::select! {
                biased;
                arrived = self.inbox.recv_many(&mut letters, BATCH_SIZE_MAX) => arrived > 0,
                _ = self.stop.wait_for(|stop| *stop) => false,
                () = tokio::time::sleep(sleep) => true,
            };
            if !go_on {
                return;
            }
            let outcome = self.step_all(&mut letters, &mut planner);
            if self.hand_over(outcome, &mut planner).await.is_err() {
                return;
            }
        }
    }

    fn until_next_timer(&self) -> Duration {
        let Some(next) = self.cluster.next_timer() else {
            return IDLE_SLEEP_MAX;
        };
        let wait_ms = u64::try_from(next.0.saturating_sub(clock::now().0)).unwrap_or(0);
        Duration::from_millis(wait_ms).min(IDLE_SLEEP_MAX)
    }

    fn step_all(&mut self, letters: &mut Vec<Letter>, planner: &mut PlannerState) -> Outcome {
        let mut outcome = Outcome::default();
        let now = clock::now();
        for letter in letters.drain(..) {
            planner.busy &= !matches!(letter.event, Event::Plan(_));
            self.step_one(now, letter, &mut outcome);
        }
        if self.cluster.next_timer().is_some_and(|due| due <= now) {
            self.cluster.step(now, Event::Tick, &mut outcome);
        }
        outcome
    }

    fn step_one(&mut self, now: Timestamp, letter: Letter, outcome: &mut Outcome) {
        let before = outcome.facts.len();
        self.cluster.step(now, letter.event, outcome);
        if outcome.facts.len() > before {
            outcome.facts.splice(before..before, letter.attachments);
        }
    }

    async fn hand_over(&mut self, outcome: Outcome, planner: &mut PlannerState) -> Result<(), ()> {
        planner.wanted |= outcome.plan_needed;
        if planner.wanted && !planner.busy && self.planner.try_send(self.cluster.plan_view(clock::now())).is_ok() {
            *planner = PlannerState { busy: true, wanted: false };
        }
        let batch = Batch { outcome, view: self.cluster.read_view() };
        self.committer.send(batch).await.map_err(drop)
    }
}

/// Whether the scheduler works, and whether it should look again.
struct PlannerState {
    busy: bool,
    wanted: bool,
}
