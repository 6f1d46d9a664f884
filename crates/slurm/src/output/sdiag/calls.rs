//! Requests by Slurm's names and numbers.

use std::cmp::Reverse;

use muster_model::statistics::{CallKind, Calls};

/// In which order requests are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// The most frequent first.
    Count,
    /// By number.
    Id,
    /// What took longest in all first.
    Time,
    /// What takes longest on average first.
    MeanTime,
}

/// One line of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub name: String,
    pub id: u32,
    pub calls: Calls,
}

impl Line {
    pub(super) fn mean_us(&self) -> u64 {
        super::mean(self.calls.total_us, self.calls.count).unwrap_or(0)
    }
}

/// Sorts lines; those that are alike stay in the order of their numbers.
pub(super) fn sort(lines: &mut [Line], order: Order) {
    lines.sort_by_key(|line| line.id);
    match order {
        Order::Id => {}
        Order::Count => lines.sort_by_key(|line| Reverse(line.calls.count)),
        Order::Time => lines.sort_by_key(|line| Reverse(line.calls.total_us)),
        Order::MeanTime => lines.sort_by_key(|line| Reverse(line.mean_us())),
    }
}

/// Lines by kind of request. Kinds that Slurm has one number for are one line.
pub(super) fn by_type(calls: &[(CallKind, Calls)]) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for (kind, calls) in calls {
        let (id, name) = slurm_name(*kind);
        match lines.iter_mut().find(|line| line.id == id) {
            Some(line) => {
                line.calls.count += calls.count;
                line.calls.total_us += calls.total_us;
            }
            None => lines.push(Line { name: name.to_owned(), id, calls: *calls }),
        }
    }
    lines
}

/// Slurm's number and name (`rpc_num2string`). What Slurm's controller is never asked has a number above all of Slurm's.
pub(super) fn slurm_name(kind: CallKind) -> (u32, &'static str) {
    match kind {
        CallKind::NodeReport => (1002, "MESSAGE_NODE_REGISTRATION_STATUS"),
        CallKind::Reconfigure => (1003, "REQUEST_RECONFIGURE"),
        CallKind::Ping => (1008, "REQUEST_PING"),
        CallKind::AskConfig => (2001, "REQUEST_BUILD_INFO"),
        CallKind::AskJobs => (2003, "REQUEST_JOB_INFO"),
        CallKind::AskSteps => (2005, "REQUEST_JOB_STEP_INFO"),
        CallKind::AskNodes => (2007, "REQUEST_NODE_INFO"),
        CallKind::AskPartitions => (2009, "REQUEST_PARTITION_INFO"),
        CallKind::AskJob => (2021, "REQUEST_JOB_INFO_SINGLE"),
        CallKind::AskShares => (2022, "REQUEST_SHARE_INFO"),
        CallKind::AskReservations => (2024, "REQUEST_RESERVATION_INFO"),
        CallKind::AskPriorities => (2026, "REQUEST_PRIORITY_FACTORS"),
        CallKind::AskTopology => (2028, "REQUEST_TOPO_INFO"),
        CallKind::AskStatistics => (2035, "REQUEST_STATS_INFO"),
        CallKind::AskJobsOfUser => (2039, "REQUEST_JOB_USER_INFO"),
        CallKind::FetchBlob => (2051, "REQUEST_BATCH_SCRIPT"),
        CallKind::AskCrontab => (2200, "REQUEST_CRONTAB"),
        CallKind::UpdateCrontab => (2202, "REQUEST_UPDATE_CRONTAB"),
        CallKind::UpdateJob => (3001, "REQUEST_UPDATE_JOB"),
        CallKind::UpdateNodes => (3002, "REQUEST_UPDATE_NODE"),
        CallKind::CreatePartition => (3003, "REQUEST_CREATE_PARTITION"),
        CallKind::DeletePartition => (3004, "REQUEST_DELETE_PARTITION"),
        CallKind::UpdatePartition => (3005, "REQUEST_UPDATE_PARTITION"),
        CallKind::CreateReservation => (3006, "REQUEST_CREATE_RESERVATION"),
        CallKind::DeleteReservation => (3008, "REQUEST_DELETE_RESERVATION"),
        CallKind::UpdateReservation => (3009, "REQUEST_UPDATE_RESERVATION"),
        CallKind::SubmitAllocation => (4001, "REQUEST_RESOURCE_ALLOCATION"),
        CallKind::SubmitBatch => (4003, "REQUEST_SUBMIT_BATCH_JOB"),
        CallKind::LaunchBatch => (4005, "REQUEST_BATCH_JOB_LAUNCH"),
        CallKind::TestSubmit => (4012, "REQUEST_JOB_WILL_RUN"),
        CallKind::WatchJob => (4019, "REQUEST_JOB_READY"),
        CallKind::CreateStep => (5001, "REQUEST_JOB_STEP_CREATE"),
        CallKind::CancelStep => (5005, "REQUEST_CANCEL_JOB_STEP"),
        CallKind::Suspend => (5014, "REQUEST_SUSPEND"),
        CallKind::StepEnded => (5016, "REQUEST_STEP_COMPLETE"),
        CallKind::EndAllocation => (5017, "REQUEST_COMPLETE_JOB_ALLOCATION"),
        CallKind::BatchEnded => (5018, "REQUEST_COMPLETE_BATCH_SCRIPT"),
        CallKind::UpdateStep => (5022, "REQUEST_UPDATE_JOB_STEP"),
        CallKind::Requeue => (5023, "REQUEST_JOB_REQUEUE"),
        CallKind::PauseJob => (5031, "REQUEST_SUSPEND_INT"),
        CallKind::Cancel => (5032, "REQUEST_KILL_JOB"),
        CallKind::Notify => (4022, "REQUEST_JOB_NOTIFY"),
        CallKind::CallNodes => (4023, "REQUEST_JOB_SBCAST_CRED"),
        CallKind::Top => (5038, "REQUEST_TOP_JOB"),
        CallKind::LaunchStep => (6001, "REQUEST_LAUNCH_TASKS"),
        CallKind::SignalUnits => (6004, "REQUEST_SIGNAL_TASKS"),
        CallKind::CleanJob => (6011, "REQUEST_TERMINATE_JOB"),
        CallKind::JobCleaned => (6012, "MESSAGE_EPILOG_COMPLETE"),
        CallKind::ChangeAccounting => (10001, "ACCOUNTING_UPDATE_MSG"),
        CallKind::Explain => (20001, "REQUEST_JOB_EXPLANATION"),
        CallKind::AskAccounting => (20002, "REQUEST_ACCOUNTING"),
        CallKind::AskHistory => (20003, "REQUEST_JOB_HISTORY"),
        CallKind::ReadOutput => (20004, "REQUEST_JOB_OUTPUT"),
        CallKind::OtherToNode => (20005, "REQUEST_OF_NODE"),
    }
}
