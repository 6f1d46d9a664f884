//! Submits that may be said again.
//!
//! Whoever submits cannot tell a request that was lost from a reply that was lost, and says it again. So that this makes no second job, a
//! submit has a token, which is kept in the row of its job and is durable with it. Tokens are remembered for some time, also of jobs
//! that have left the memory and over restarts: the rows of those are read again as long as they tell of a submit.

use imbl::{OrdMap, OrdSet};
use muster_model::ids::{Identity, JobId, SubmitToken};
use muster_model::job::Job;
use muster_model::request::Command;
use muster_model::time::{Span, Timestamp};

use crate::handlers::authorisation::may_submit_as;

/// How long a submit is remembered. Clients say it again for two minutes.
pub(crate) const REMEMBERED: Span = Span::from_minutes(10);

/// Most that are remembered, so that a flood of short jobs costs no more than some hundred megabytes; the oldest go first.
const REMEMBERED_MAX: usize = 1 << 20;

/// A submit: for which user, and its token.
type Submit = (u32, SubmitToken);

/// Which job each submit of late made. Cheap to copy.
#[derive(Debug, Clone, Default)]
pub struct Submits {
    made: OrdMap<Submit, (JobId, Timestamp)>,
    by_time: OrdSet<(Timestamp, Submit)>,
}

impl Submits {
    /// The job that `command` has made already when it was said with this token, where whoever asks may submit for its user.
    pub fn made(&self, now: Timestamp, asker: &Identity, command: &Command, token: SubmitToken) -> Option<JobId> {
        let spec = match command {
            Command::Submit(spec) => spec,
            Command::SubmitHet(specs) => specs.first()?,
            _ => return None,
        };
        may_submit_as(asker, &spec.identity).ok()?;
        let (job_id, time) = self.made.get(&(spec.identity.uid, token))?;
        (*time + REMEMBERED > now).then_some(*job_id)
    }

    /// Remembers what made a job, and forgets what was long ago.
    pub(crate) fn remember(&mut self, now: Timestamp, job: &Job) {
        let Some(token) = job.submit_token.filter(|_| is_remembered(now, job)) else { return };
        let submit = (job.spec.identity.uid, token);
        if let Some((_, before)) = self.made.insert(submit, (job.id, job.submit_time)) {
            self.by_time.remove(&(before, submit));
        }
        self.by_time.insert((job.submit_time, submit));
        while let Some((time, oldest)) = self.by_time.get_min().copied()
            && (time + REMEMBERED <= now || self.made.len() > REMEMBERED_MAX)
        {
            self.by_time.remove(&(time, oldest));
            self.made.remove(&oldest);
        }
    }
}

/// Whether a job's row still has to tell which submit made it.
pub(crate) fn is_remembered(now: Timestamp, job: &Job) -> bool {
    job.submit_token.is_some() && job.submit_time + REMEMBERED > now
}
