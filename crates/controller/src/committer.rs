//! The thread that makes batches durable and only then lets their effects out.

use std::error::Error;
use std::time::Duration;

use muster_model::fact::Fact;
use muster_model::ids::CommitSequence;
use muster_store::Store;
use tokio::sync::mpsc;
use tracing::{error, info};

use crate::dispatch::Dispatch;
use crate::published::Published;
use crate::sequencer::Batch;
use crate::statistics::Meters;

/// Batches that may wait for the disk. The sequencer waits beyond that, and its batches grow.
pub(crate) const QUEUE_SIZE: usize = 4;
/// Pause before a failed commit is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// Failures in a row, ten seconds of them, after which new requests are refused: whoever asks wants to know, and would not wait longer.
const FAILURES_MAX: u32 = 50;

/// Runs until the sequencer is gone and everything it handed over is durable.
pub(crate) async fn run(
    mut store: Box<dyn Store>,
    mut sequence: CommitSequence,
    mut batches: mpsc::Receiver<Batch>,
    published: Published,
    dispatch: Dispatch,
    meters: Meters,
) {
    let mut ready = Vec::with_capacity(QUEUE_SIZE);
    while batches.recv_many(&mut ready, QUEUE_SIZE).await > 0 {
        let mut facts: Vec<Fact> = Vec::new();
        for batch in &mut ready {
            facts.append(&mut batch.outcome.facts);
        }
        if !facts.is_empty() {
            sequence.0 += 1;
            commit(store.as_mut(), sequence, &facts, &published).await;
            meters.count_jobs(&facts, &published.view());
        }
        let mut effects = Vec::new();
        for mut batch in ready.drain(..) {
            effects.append(&mut batch.outcome.effects);
            published.replace(batch.view);
        }
        dispatch.carry_out(effects);
    }
}

/// Tries until it succeeds. While the disk refuses, nothing is promised to anybody, and what runs goes on running.
async fn commit(store: &mut dyn Store, sequence: CommitSequence, facts: &[Fact], published: &Published) {
    let mut failures = 0_u32;
    while let Err(problem) = store.commit(sequence, facts) {
        if failures.is_multiple_of(FAILURES_MAX) {
            let why = with_causes(&problem);
            error!(sequence = sequence.0, facts = facts.len(), "cannot make changes durable, trying again: {why}");
            published.set_standstill(Some(why).filter(|_| failures > 0));
        }
        failures = failures.saturating_add(1);
        tokio::time::sleep(RETRY_PAUSE).await;
    }
    if failures > 0 {
        published.set_standstill(None);
        info!(sequence = sequence.0, failures, "changes are durable again");
    }
}

/// `cannot commit in FILE: database or disk is full`
fn with_causes(problem: &dyn Error) -> String {
    let causes = std::iter::successors(Some(problem), |&problem| problem.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
