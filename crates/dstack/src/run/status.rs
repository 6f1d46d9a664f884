//! The status of a run, and what people see of it.

use muster_model::job::Job;
use muster_model::state::{JobState, Reason};

/// Status of a run, in dstack's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RunStatus {
    /// Waits for a time, a release, or its next try.
    Pending,
    /// Waits for room.
    Submitted,
    /// Has its nodes, which are being made ready.
    Provisioning,
    /// Runs.
    Running,
    /// Is being ended.
    Terminating,
    /// Was ended.
    Terminated,
    /// Went wrong.
    Failed,
    /// Is done.
    Done,
}

impl RunStatus {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            RunStatus::Pending => "pending",
            RunStatus::Submitted => "submitted",
            RunStatus::Provisioning => "provisioning",
            RunStatus::Running => "running",
            RunStatus::Terminating => "terminating",
            RunStatus::Terminated => "terminated",
            RunStatus::Failed => "failed",
            RunStatus::Done => "done",
        }
    }

    /// Whether it will never run again.
    pub const fn is_finished(self) -> bool {
        matches!(self, RunStatus::Terminated | RunStatus::Failed | RunStatus::Done)
    }
}

impl std::fmt::Display for RunStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Whether a job belongs to a dstack run.
pub fn is_run(job: &Job) -> bool {
    job.spec.run.is_some()
}

/// Its status.
pub fn status(job: &Job) -> RunStatus {
    if job.requeue_pending {
        return RunStatus::Pending;
    }
    match job.state {
        JobState::Pending => {
            let waits_for_a_time = job.hold.is_some() || matches!(job.reason, Reason::BeginTime);
            if waits_for_a_time || job.restart.0 > 0 { RunStatus::Pending } else { RunStatus::Submitted }
        }
        JobState::Running | JobState::Suspended => RunStatus::Running,
        JobState::Requeued | JobState::Resizing => RunStatus::Pending,
        final_state => {
            let status = final_status(final_state);
            if job.completing { RunStatus::Terminating } else { status }
        }
    }
}

/// The status that a run ends with, also while its nodes are still being cleaned.
const fn final_status(state: JobState) -> RunStatus {
    match state {
        JobState::Completed => RunStatus::Done,
        JobState::Cancelled | JobState::Timeout => RunStatus::Terminated,
        _ => RunStatus::Failed,
    }
}

/// What `ps` shows: the status, or more exactly how it ended (`exited (1)`, `stopped`).
pub fn status_message(job: &Job) -> String {
    let status = status(job);
    match job.state {
        JobState::Pending if job.restart.0 > 0 && job.hold.is_none() => "retrying".to_owned(),
        JobState::Suspended => "suspended".to_owned(),
        _ if !status.is_finished() => status.to_string(),
        JobState::Completed | JobState::Failed | JobState::OutOfMemory => {
            format!("exited ({})", exit_code(job))
        }
        JobState::Cancelled => "stopped".to_owned(),
        JobState::Preempted => "interrupted".to_owned(),
        JobState::BootFail => "no capacity".to_owned(),
        JobState::NodeFail => "error".to_owned(),
        _ => status.to_string(),
    }
}

/// The exit code as a shell tells it: 128 and more for signals.
pub(crate) fn exit_code(job: &Job) -> u32 {
    match job.exit.signal {
        0 => u32::from(job.exit.code),
        signal => 128 + u32::from(signal),
    }
}

/// What went wrong, beyond the exit code.
pub fn error_message(job: &Job) -> Option<&'static str> {
    match job.state {
        JobState::Timeout => Some("max duration exceeded"),
        JobState::OutOfMemory => Some("used more memory than it holds"),
        JobState::NodeFail => Some("instance unreachable"),
        JobState::Preempted => Some("ended in favour of a more important job"),
        JobState::BootFail => Some("its nodes did not boot"),
        JobState::Deadline => Some("could not finish before its deadline"),
        JobState::Failed if job.reason == Reason::JobLaunchFailure => Some("could not be started on its node"),
        _ => None,
    }
}

/// Why it ended, in dstack's words; `None` for one that has not.
pub fn termination_reason(job: &Job) -> Option<&'static str> {
    Some(match job.state {
        JobState::Pending | JobState::Running | JobState::Suspended | JobState::Requeued | JobState::Resizing => {
            return None;
        }
        JobState::Completed => "done_by_runner",
        JobState::Failed if job.reason == Reason::JobLaunchFailure => "creating_container_error",
        JobState::Failed | JobState::OutOfMemory => "container_exited_with_error",
        JobState::Cancelled => "terminated_by_user",
        JobState::Timeout => "max_duration_exceeded",
        JobState::NodeFail => "instance_unreachable",
        JobState::Preempted => "interrupted_by_no_capacity",
        JobState::BootFail => "failed_to_start_due_to_no_capacity",
        JobState::Deadline => "terminated_by_server",
    })
}

#[cfg(test)]
mod tests {
    use muster_model::ids::RestartCount;
    use muster_model::state::ExitStatus;

    use super::*;
    use crate::run::samples::{ended, job, running};

    #[test]
    fn statuses_follow_the_job() {
        let check = |job: Job, expected: RunStatus, message: &str| {
            assert_eq!((status(&job), status_message(&job).as_str()), (expected, message), "{:?}", job.state);
        };
        let run = || running(job("r"), 1, 1);
        let end = |state, exit| ended(run(), state, exit);
        check(job("r"), RunStatus::Submitted, "submitted");
        check(Job { restart: RestartCount(1), ..job("r") }, RunStatus::Pending, "retrying");
        check(Job { reason: Reason::BeginTime, ..job("r") }, RunStatus::Pending, "pending");
        check(run(), RunStatus::Running, "running");
        let failed = end(JobState::Failed, ExitStatus::exited(3));
        check(Job { completing: true, ..failed.clone() }, RunStatus::Terminating, "terminating");
        check(Job { requeue_pending: true, ..failed.clone() }, RunStatus::Pending, "pending");
        check(failed, RunStatus::Failed, "exited (3)");
        check(end(JobState::Completed, ExitStatus::SUCCESS), RunStatus::Done, "exited (0)");
        check(end(JobState::Failed, ExitStatus::signaled(9)), RunStatus::Failed, "exited (137)");
        check(end(JobState::Cancelled, ExitStatus::signaled(15)), RunStatus::Terminated, "stopped");
        check(end(JobState::Timeout, ExitStatus::signaled(15)), RunStatus::Terminated, "terminated");
        check(end(JobState::Preempted, ExitStatus::signaled(15)), RunStatus::Failed, "interrupted");
    }
}
