//! How much the controller has had to do: what `sdiag` shows.
//!
//! Counted at the edge of the controller, never by the owner of the state: counting must not delay anybody.

use serde::{Deserialize, Serialize};

use crate::ids::Name;
use crate::job::JobKind;
use crate::request::{Command, Query};
use crate::time::Timestamp;

/// Counts since the last reset, and what the controller is doing at the moment. Times of work are in microseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Statistics {
    /// When it was asked.
    pub time: Timestamp,
    /// Since when jobs and passes are counted: a reset, the last midnight UTC, or the start of the controller.
    pub since: Timestamp,
    /// Requests that are being answered, this one among them.
    pub requests_open: u32,
    /// Messages that wait for the network, by node and kind; nothing for nodes without any.
    pub outgoing: Vec<Outgoing>,
    /// Batches of changes that wait for the database.
    pub batches_waiting: u32,
    /// Jobs, by what became of them.
    pub jobs: JobCounts,
    /// Jobs and tasks of arrays that wait.
    pub jobs_pending: u32,
    /// Jobs that run.
    pub jobs_running: u32,
    /// All passes of the planner.
    pub passes: PassCounts,
    /// Passes over everything: those that fill gaps and say of each job when it starts.
    pub full_passes: PassCounts,
    /// Jobs started before others that wait longer, since the start of the controller.
    pub backfilled_ever: u32,
    /// The same since the last reset.
    pub backfilled: u32,
    /// Reading the clock a thousand times took so long when the controller started.
    pub clock_latency_us: u32,
    /// Requests by kind, since the controller started or was asked to begin anew.
    pub calls: Vec<(CallKind, Calls)>,
    /// Requests by user: number, name.
    pub callers: Vec<(u32, Name, Calls)>,
}

/// Jobs since the last reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct JobCounts {
    /// Came into the queue; each task of an array counts.
    pub submitted: u32,
    /// Were started.
    pub started: u32,
    /// Ended by themselves, whatever their exit code, or went back to the queue.
    pub completed: u32,
    /// Were cancelled.
    pub cancelled: u32,
    /// Ended for reasons of the nodes.
    pub failed: u32,
}

/// Passes of the planner since the last reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PassCounts {
    /// How many.
    pub count: u32,
    /// When the last one ended.
    pub last_time: Timestamp,
    /// How long it took.
    pub last_us: u32,
    /// How long the longest took.
    pub longest_us: u32,
    /// How long all took together.
    pub total_us: u64,
    /// What the last one had to do.
    pub last: PassFigures,
    /// The sum over all.
    pub looked_at: u64,
    /// The sum over all.
    pub tried: u64,
    /// The sum over all.
    pub queue: u64,
    /// The sum over all.
    pub moments: u64,
}

/// How much work one pass was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PassFigures {
    /// Jobs in the queue, each once for each of its partitions; a waiting array is one.
    pub queue: u32,
    /// Of these it looked at.
    pub looked_at: u32,
    /// For so many of them resources were looked for; what is known of one holds for all that ask for the same thing.
    pub tried: u32,
    /// Moments at which something becomes free or a planned start begins or ends.
    pub moments: u32,
    /// Started before jobs of the same partition that wait longer.
    pub backfilled: u32,
}

impl PassCounts {
    /// Counts one pass.
    pub fn add(&mut self, ended: Timestamp, took_us: u32, figures: PassFigures) {
        self.count += 1;
        self.last_time = ended;
        self.last_us = took_us;
        self.longest_us = self.longest_us.max(took_us);
        self.total_us += u64::from(took_us);
        self.last = figures;
        self.looked_at += u64::from(figures.looked_at);
        self.tried += u64::from(figures.tried);
        self.queue += u64::from(figures.queue);
        self.moments += u64::from(figures.moments);
    }

    /// Forgets all but the last pass, as Slurm does.
    pub fn reset(&mut self) {
        *self =
            PassCounts { last_time: self.last_time, last_us: self.last_us, last: self.last, ..PassCounts::default() };
    }
}

/// Requests of one kind or of one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Calls {
    /// How many.
    pub count: u32,
    /// From their arrival to their answer, all together.
    pub total_us: u64,
}

impl Calls {
    /// Counts one.
    pub fn add(&mut self, took_us: u64) {
        self.count = self.count.saturating_add(1);
        self.total_us += took_us;
    }
}

/// Messages of one kind that wait to go to one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outgoing {
    /// The node.
    pub node: Name,
    /// The kind.
    pub kind: CallKind,
    /// How many.
    pub count: u32,
}

/// What is asked of the controller, or told by it to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is the command, query or message of that name")]
pub enum CallKind {
    SubmitBatch,
    SubmitAllocation,
    TestSubmit,
    Cancel,
    CallNodes,
    CancelStep,
    UpdateJob,
    UpdateStep,
    Requeue,
    Top,
    Notify,
    Reconfigure,
    Suspend,
    UpdateNodes,
    UpdatePartition,
    CreatePartition,
    DeletePartition,
    CreateReservation,
    UpdateReservation,
    DeleteReservation,
    CreateStep,
    EndAllocation,
    ChangeAccounting,
    UpdateCrontab,
    AskJobs,
    AskJob,
    AskJobsOfUser,
    AskNodes,
    AskPartitions,
    AskSteps,
    AskConfig,
    Explain,
    AskPriorities,
    AskShares,
    AskReservations,
    AskTopology,
    AskAccounting,
    AskCrontab,
    AskStatistics,
    Ping,
    AskHistory,
    WatchJob,
    ReadOutput,
    FetchBlob,
    NodeReport,
    BatchEnded,
    StepEnded,
    JobCleaned,
    LaunchBatch,
    LaunchStep,
    SignalUnits,
    CleanJob,
    PauseJob,
    OtherToNode,
}

impl CallKind {
    /// The kind of a change that is asked for.
    pub fn of_command(command: &Command) -> CallKind {
        match command {
            Command::Submit(spec) if spec.kind == JobKind::Allocation => CallKind::SubmitAllocation,
            Command::Submit(_) | Command::SubmitHet(_) => CallKind::SubmitBatch,
            Command::TestSubmit(_) | Command::TestSubmitHet(_) => CallKind::TestSubmit,
            Command::Cancel(cancel) if cancel.target.step.is_some() => CallKind::CancelStep,
            Command::CallNodes(_) => CallKind::CallNodes,
            Command::Cancel(_) => CallKind::Cancel,
            Command::Hold { .. } | Command::Release(_) | Command::UpdateJob { .. } => CallKind::UpdateJob,
            Command::UpdateStep { .. } => CallKind::UpdateStep,
            Command::Requeue { .. } => CallKind::Requeue,
            Command::Top(_) => CallKind::Top,
            Command::Notify { .. } => CallKind::Notify,
            Command::Reconfigure { .. } => CallKind::Reconfigure,
            Command::Suspend(_) | Command::Resume(_) => CallKind::Suspend,
            Command::UpdateNodes { .. } => CallKind::UpdateNodes,
            Command::UpdatePartition { .. } | Command::ChangePartition { create: false, .. } => {
                CallKind::UpdatePartition
            }
            Command::ChangePartition { create: true, .. } => CallKind::CreatePartition,
            Command::DeletePartition { .. } => CallKind::DeletePartition,
            Command::CreateReservation { .. } => CallKind::CreateReservation,
            Command::UpdateReservation { .. } => CallKind::UpdateReservation,
            Command::DeleteReservation { .. } => CallKind::DeleteReservation,
            Command::CreateStep { .. } | Command::CreateHetStep(_) => CallKind::CreateStep,
            Command::UpdateCrontab { .. } => CallKind::UpdateCrontab,
            Command::EndAllocation { .. } => CallKind::EndAllocation,
            Command::ChangeAccounting(_) | Command::ResetUsage(_) => CallKind::ChangeAccounting,
        }
    }

    /// The kind of a question.
    pub fn of_query(query: &Query) -> CallKind {
        match query {
            Query::Jobs { ids: Some(_), .. } => CallKind::AskJob,
            Query::Jobs { uids: Some(_), .. } => CallKind::AskJobsOfUser,
            Query::Jobs { .. } => CallKind::AskJobs,
            Query::Nodes => CallKind::AskNodes,
            Query::Partitions => CallKind::AskPartitions,
            Query::Steps { .. } => CallKind::AskSteps,
            Query::Config => CallKind::AskConfig,
            Query::Explain(_) | Query::ExplainTask(..) => CallKind::Explain,
            Query::Priorities => CallKind::AskPriorities,
            Query::Shares => CallKind::AskShares,
            Query::Reservations => CallKind::AskReservations,
            Query::Topology => CallKind::AskTopology,
            Query::Accounting | Query::RemoteLicenses => CallKind::AskAccounting,
            Query::Crontab(_) => CallKind::AskCrontab,
            Query::Statistics | Query::ResetStatistics => CallKind::AskStatistics,
            Query::Ping => CallKind::Ping,
            Query::History(_) => CallKind::AskHistory,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_forgets_the_sums_and_keeps_the_last_pass() {
        let figures = |looked_at| PassFigures { queue: 9, looked_at, tried: 2, moments: 5, backfilled: 1 };
        let mut passes = PassCounts::default();
        passes.add(Timestamp(1000), 700, figures(4));
        passes.add(Timestamp(2000), 300, figures(6));
        let sums = (passes.count, passes.longest_us, passes.total_us, passes.looked_at, passes.queue, passes.moments);
        assert_eq!(sums, (2, 700, 1000, 10, 18, 10));
        passes.reset();
        let expected =
            PassCounts { last_time: Timestamp(2000), last_us: 300, last: figures(6), ..PassCounts::default() };
        assert_eq!(passes, expected);
    }
}
