//! Things that happen by themselves when a time comes.
//!
//! Timers are only reminders: when one fires, its handler looks at the present state and may find nothing to do. So a
//! timer is never taken back, and a restart sets them anew from the state.

use std::collections::BTreeSet;

use muster_model::ids::{JobId, NodeIndex, StepId};
use muster_model::time::Timestamp;

/// What to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The begin time of a pending job, or the delay of an `after` dependency.
    Eligible(JobId),
    /// The early signal of a running job.
    EarlySignal(JobId),
    /// A share of the time limit of a running job is over, of which its user wants to hear.
    LimitMail(JobId),
    /// The time limit of a running job.
    TimeLimit(JobId),
    /// The time limit of a step.
    StepTimeLimit(JobId, StepId),
    /// What keeps others from starting is over by itself: a running job may be told to make room, or a waiting one does not
    /// insist on few switches any more.
    Pass(JobId),
    /// A pending job can no longer end by its deadline.
    Deadline(JobId),
    /// The client of an allocation has been away for too long.
    Holder(JobId),
    /// An ended job may leave the memory.
    Forget(JobId),
    /// The row of a job that has left the memory need not tell any more which submit made it.
    ForgetSubmit(JobId),
    /// A silent node is given up.
    NodeSilent(NodeIndex),
    /// Priorities are calculated.
    Priorities,
    /// Jobs that take turns change places.
    Turns,
    /// A pass is made that submits of batch jobs have asked for.
    BatchPass,
    /// Reservations that begin, end, or have been idle for long enough.
    Reservations,
}

/// All timers, in order of their time.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    set: BTreeSet<(Timestamp, Timer)>,
}

impl Timers {
    pub(crate) fn set(&mut self, at: Timestamp, timer: Timer) {
        self.set.insert((at, timer));
    }

    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.set.first().map(|(at, _)| *at)
    }

    /// Whether that timer is set for that time.
    pub(crate) fn contains(&self, at: Timestamp, timer: Timer) -> bool {
        self.set.contains(&(at, timer))
    }

    /// Takes out the first timer that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Timestamp) -> Option<Timer> {
        let first = self.set.first().copied().filter(|(at, _)| *at <= now)?;
        self.set.remove(&first);
        Some(first.1)
    }
}
