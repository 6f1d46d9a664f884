//! The thread that owns the state. It takes what has arrived, steps the core through it, and hands the outcome to the
//! committer; it never waits for the disk, the network or the scheduler.

use std::time::Duration;

use muster_core::{Cluster, Event, Outcome, ReadView};
use muster_model::planning::{Plan, PlanView};
use muster_model::time::Timestamp;
use tokio::sync::{mpsc, watch};

use crate::clock;
use crate::inbox::Letter;

/// Most events of one batch: enough to share one commit among many, few enough to keep replies prompt.
const BATCH_SIZE_MAX: usize = 512;
/// Most starts of a plan that are carried out in one batch: about a millisecond of work, so that a plan of thousands of
/// starts does not hold up what comes meanwhile.
const STARTS_PER_BATCH_MAX: usize = 50;
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
        let mut planner = PlannerState { busy: false, wanted: true, rest: None };
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
                // What is left of a plan goes on as soon as all that has arrived has had its turn.
                () = std::future::ready(()), if planner.rest.is_some() => true,
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
            match letter.event {
                // The planner waits for a view, so it has no other plan under way.
                Event::Plan(plan) => planner.rest = Some(plan),
                _ => self.step_one(now, letter, &mut outcome),
            }
        }
        if let Some(plan) = planner.rest.take() {
            let (part, rest) = first_part(plan);
            self.cluster.step(now, Event::Plan(part), &mut outcome);
            planner.busy = rest.is_some();
            // With what has been said meanwhile of jobs that were not to start after all.
            planner.rest = rest.map(|rest| Plan { outlook: self.cluster.outlook().clone(), ..rest });
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
        let batch = Batch { outcome, view: self.cluster.read_view() };
        // First what somebody waits for.
        self.committer.send(batch).await.map_err(drop)?;
        if planner.wanted && !planner.busy && self.planner.try_send(self.cluster.plan_view(clock::now())).is_ok() {
            (planner.busy, planner.wanted) = (true, false);
        }
        Ok(())
    }
}

/// Whether the scheduler works, whether it should look again, and what is left of its plan.
struct PlannerState {
    busy: bool,
    wanted: bool,
    rest: Option<Plan>,
}

/// What of a plan is carried out in one batch, and what is left for the next. Jobs make room when all starts are there.
fn first_part(mut plan: Plan) -> (Plan, Option<Plan>) {
    if plan.starts.len() <= STARTS_PER_BATCH_MAX {
        return (plan, None);
    }
    let rest = plan.starts.split_off(STARTS_PER_BATCH_MAX);
    let evictions = std::mem::take(&mut plan.evictions);
    let rest = Plan { starts: rest, evictions, outlook: plan.outlook.clone(), ..Plan::default() };
    (plan, Some(rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_model::ids::{JobId, RestartCount};
    use muster_model::planning::{PlannedEviction, PlannedStart};
    use muster_model::preemption::PreemptMode;
    use muster_model::time::Span;

    fn start(number: u32) -> PlannedStart {
        PlannedStart {
            job_id: JobId(number),
            restart: RestartCount(0),
            task_index: None,
            partition: "p".into(),
            reservation: None,
            time_limit: None,
            shares: Vec::new(),
            suspends: Vec::new(),
            together: Vec::new(),
        }
    }

    #[test]
    fn a_long_plan_is_carried_out_in_parts_and_in_order() {
        let eviction = PlannedEviction {
            job_id: JobId(9),
            restart: RestartCount(0),
            mode: PreemptMode::Cancel,
            grace: Span::ZERO,
            by: JobId(1),
        };
        let plan = Plan { starts: (0..120).map(start).collect(), evictions: vec![eviction.clone()], ..Plan::default() };
        let (mut sizes, mut all, mut rest) = (Vec::new(), Vec::new(), Some(plan));
        while let Some(plan) = rest.take() {
            let (part, next) = first_part(plan);
            let evicted = part.evictions.len();
            sizes.push((part.starts.len(), evicted));
            all.extend(part.starts.iter().map(|start| start.job_id.0));
            rest = next;
        }
        assert_eq!(sizes, [(50, 0), (50, 0), (20, 1)]);
        assert_eq!(all, (0..120).collect::<Vec<_>>());
    }
}
