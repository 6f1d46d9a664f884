//! What must not be started any more, although its launch may still be on the way.

use std::collections::{BTreeSet, VecDeque};

use muster_model::ids::{JobId, RestartCount, StepId};
use muster_runtime::unit::UnitKey;

/// Entries kept. They only matter while messages of the same connection are on the way; a connection has never this
/// many in flight.
const ENTRIES_MAX: usize = 16_384;

type Entry = (JobId, RestartCount, Option<StepId>);

/// Starts of jobs, and single units, that are over here. The oldest are forgotten.
#[derive(Debug, Clone, Default)]
pub(super) struct Tombstones {
    entries: BTreeSet<Entry>,
    order: VecDeque<Entry>,
}

impl Tombstones {
    /// Nothing of this start of the job (or only not this step) may be started.
    pub(super) fn add(&mut self, job_id: JobId, restart: RestartCount, step: Option<StepId>) {
        let entry = (job_id, restart, step);
        if self.entries.insert(entry) {
            self.order.push_back(entry);
        }
        if self.order.len() > ENTRIES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
        }
    }

    /// Whether the unit may not be started.
    pub(super) fn cover(&self, key: &UnitKey) -> bool {
        let has = |step| self.entries.contains(&(key.job_id, key.restart, step));
        has(None) || has(Some(key.step))
    }
}
