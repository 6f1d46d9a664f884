//! Mails to users about what becomes of their jobs (`--mail-type`).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::Name;
use crate::job::Job;
use crate::state::JobState;

/// How a site sends mails. `slurm.conf(5)`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MailConfig {
    /// `MailProg`; `None` for the mail program of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<Name>,
    /// `MailDomain`: stands behind the name of a user who gives no address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<Name>,
}

impl MailConfig {
    /// Where mails to `user` go who gives no address; `None` where the name alone will do.
    pub fn usual_address(&self, user: &Name) -> Option<Name> {
        self.domain.as_ref().map(|domain| format!("{user}@{domain}").into())
    }
}

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailKind {
    /// It will never start, because of what it waits for.
    InvalidDependency,
    /// It has started.
    Began,
    /// It has ended well, or was cancelled.
    Ended,
    /// It has ended otherwise.
    Failed,
    /// It went back to the queue.
    Requeued,
    /// This share of its time limit is over, in percent.
    LimitReached(u8),
}

/// About whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailSubject {
    /// One job, or one task.
    Job,
    /// An array as a whole; once it has ended, how its tasks did.
    Array(Option<ArrayEnds>),
}

/// How the tasks of an array ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrayEnds {
    /// The state of all; `None` where they differ, in that or in how they exited.
    pub state: Option<JobState>,
    /// The least exit code.
    pub code_min: u8,
    /// The greatest.
    pub code_max: u8,
    /// The greatest signal that ended one; 0 for none.
    pub signal_max: u8,
}

/// One mail to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Mail {
    /// What has happened.
    pub kind: MailKind,
    /// To whom.
    pub subject: MailSubject,
    /// The job: as it was before, where it went back to the queue. Of an array the task with which it happened.
    pub job: Arc<Job>,
}
