//! What was said of the jobs that wait, kept from pass to pass.

use std::collections::BTreeSet;

use muster_model::ids::JobId;
use muster_model::planning::{Outlook, PlannedWait};
use muster_model::state::Reason;
use muster_model::time::Timestamp;

/// An outlook, with the jobs apart for which any change may be room.
#[derive(Debug, Default)]
pub(crate) struct Said {
    outlook: Outlook,
    /// Jobs that wait for a limit or for licences: whoever ends may have made room for them, wherever it ran.
    limited: BTreeSet<JobId>,
}

impl Said {
    /// What a pass over everything said.
    pub(crate) fn of(outlook: Outlook) -> Said {
        let limited = outlook.iter().filter(|wait| is_limited(wait)).map(|wait| wait.job_id).collect();
        Said { outlook, limited }
    }

    /// All of it.
    pub(crate) fn outlook(&self) -> &Outlook {
        &self.outlook
    }

    /// What was said of a job.
    pub(crate) fn get(&self, job_id: JobId) -> Option<&PlannedWait> {
        self.outlook.get(job_id)
    }

    /// Whether a job waits for a limit or for licences.
    pub(crate) fn is_limited(&self, job_id: JobId) -> bool {
        self.limited.contains(&job_id)
    }

    /// Says something else of one job, or that it waits no more.
    pub(crate) fn set(&mut self, job_id: JobId, wait: Option<PlannedWait>) {
        if wait.as_ref().is_some_and(is_limited) {
            self.limited.insert(job_id);
        } else {
            self.limited.remove(&job_id);
        }
        self.outlook.set(job_id, wait);
    }

    /// The time of the last pass.
    pub(crate) fn set_time(&mut self, time: Timestamp) {
        self.outlook.time = time;
    }
}

fn is_limited(wait: &PlannedWait) -> bool {
    wait.reason.is_limit() || wait.reason == Reason::Licenses
}
