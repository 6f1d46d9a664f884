//! What clients ask of the controller.

mod partition_changes;

use serde::{Deserialize, Serialize};

use crate::accounting::AccountingChange;
use crate::array::TaskSet;
use crate::config::ClusterConfig;
use crate::dependency::Dependencies;
use crate::document::Document;
use crate::ids::{JobId, Name, StepId};
use crate::job::JobSpec;
use crate::node::Node;
use crate::node_call::{NodeCall, NodesCalled};
use crate::partition::{Partition, PartitionState};
use crate::planning::Expectation;
use crate::priority::{PriorityReport, ShareReport, UsageOf};
use crate::reservation::{Reservation, ReservationChanges};
use crate::state::{ExitStatus, JobState, Reason};
use crate::step::{Step, StepLaunch, StepPart, StepRequest};
use crate::time::{Span, TimeLimit, Timestamp};

pub use self::partition_changes::{BillingWeights, JobDefaults, PartitionChanges};
pub use crate::refusal::{Refusal, RefusalCode};

/// Names one job, a whole array, some tasks of an array, or a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobTarget {
    /// The number as given: a job, or an array.
    pub job_id: JobId,
    /// `N_[1-3]`: only these tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<TaskSet>,
    /// `N.step`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepId>,
    /// `N+1`: only this component of a heterogeneous job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<u32>,
}

impl JobTarget {
    /// The whole job or array `job_id`.
    pub fn job(job_id: JobId) -> JobTarget {
        JobTarget { job_id, tasks: None, step: None, component: None }
    }
}

/// A change asked for by a client. Each is one atomic decision of the core.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Put a job into the queue. Answer: [`Answer::Submitted`].
    Submit(Box<JobSpec>),
    /// Put all components of a heterogeneous job into the queue, or none. Answer: [`Answer::Submitted`] with the number of
    /// the first, which leads; script and environment that come with the request are for that one.
    SubmitHet(Vec<JobSpec>),
    /// As [`Command::TestSubmit`], for the components of a heterogeneous job.
    TestSubmitHet(Vec<JobSpec>),
    /// Say when and where a job would start, without submitting it. Answer: [`Answer::Expected`].
    TestSubmit(Box<JobSpec>),
    /// Ask the nodes of a job or a step to call the client. Nothing changes. Answer: [`Answer::NodesCalled`].
    CallNodes(NodeCall),
    /// End jobs, or send them a signal.
    Cancel(Cancel),
    /// Hold pending jobs.
    Hold {
        /// Which.
        target: JobTarget,
        /// As the user (`uhold`) even when an operator asks.
        as_user: bool,
    },
    /// Release held jobs.
    Release(JobTarget),
    /// Put a running or ended batch job back into the queue, optionally held.
    Requeue {
        /// Which.
        target: JobTarget,
        /// Held afterwards (`requeuehold`).
        hold: bool,
        /// Shown as `SPECIAL_EXIT` while it is held (`requeuehold State=SpecialExit`).
        #[serde(default)]
        special_exit: bool,
    },
    /// Read the configuration again and go on by it (`scontrol reconfigure`). The controller reads it on the way to the state.
    Reconfigure {
        /// What was read; a client has nothing to say here.
        #[serde(skip)]
        config: Option<Box<ClusterConfig>>,
    },
    /// Forget what an association or a QOS used (`sacctmgr modify … set RawUsage=0`).
    ResetUsage(UsageOf),
    /// Put jobs of a user before the user's others, in this order (`scontrol top`).
    Top(Vec<JobId>),
    /// Tell a job something (`scontrol notify`): on the terminal of the `salloc` or `srun` that holds it, or in the error file of
    /// its batch script.
    Notify {
        /// The job.
        job_id: JobId,
        /// What.
        message: String,
    },
    /// Stop the processes of a running job.
    Suspend(JobTarget),
    /// Continue a suspended job.
    Resume(JobTarget),
    /// Change a job (`scontrol update JobId=`).
    UpdateJob {
        /// Which.
        target: JobTarget,
        /// What.
        changes: Box<JobChanges>,
    },
    /// Change how long a running step may still run (`scontrol update StepId=`), without a step all steps of the job.
    UpdateStep {
        /// Which.
        target: JobTarget,
        /// How long.
        limit: LimitOfStep,
    },
    /// Change nodes (`scontrol update NodeName=`).
    UpdateNodes {
        /// Nodes as a host list.
        nodes: Name,
        /// What.
        changes: NodeChanges,
    },
    /// Change the state of a partition (`scontrol update PartitionName=`).
    UpdatePartition {
        /// Which.
        name: Name,
        /// New state.
        state: PartitionState,
    },
    /// Change other things of a partition, or make one (`scontrol create PartitionName=`). Lasts until the
    /// configuration is read again.
    ChangePartition {
        /// Which.
        name: Name,
        /// What.
        changes: Box<PartitionChanges>,
        /// Make it; otherwise it must be there.
        create: bool,
    },
    /// Take a partition away that no job is in (`scontrol delete PartitionName=`).
    DeletePartition {
        /// Which.
        name: Name,
    },
    /// Make a reservation. Answer: [`Answer::ReservationCreated`].
    CreateReservation {
        /// Its name; `None` for one that says who it is for.
        name: Option<Name>,
        /// How it is to be.
        changes: Box<ReservationChanges>,
    },
    /// Change a reservation (`scontrol update ReservationName=`).
    UpdateReservation {
        /// Which.
        name: Name,
        /// What.
        changes: Box<ReservationChanges>,
    },
    /// Take a reservation away that no job asks for (`scontrol delete ReservationName=`).
    DeleteReservation {
        /// Which.
        name: Name,
    },
    /// Start a step within a job. Answer: [`Answer::StepCreated`], at once or when resources become free.
    CreateStep {
        /// The job.
        job_id: JobId,
        /// Resources.
        request: Box<StepRequest>,
        /// Execution.
        launch: Box<StepLaunch>,
    },
    /// Start one step in several components of a heterogeneous job, in all of them or in none. Answer:
    /// [`Answer::StepsCreated`], at once or when resources become free.
    CreateHetStep(Vec<StepPart>),
    /// Change accounts, users, associations or QOS (`sacctmgr`).
    ChangeAccounting(Box<AccountingChange>),
    /// Put a table of jobs that come again in place of the user's present one (`scrontab`): all of it or nothing. Answer:
    /// [`Answer::CrontabInstalled`].
    UpdateCrontab {
        /// Whose.
        uid: u32,
        /// The table as it was written; `None` takes it away.
        text: Option<String>,
        /// Its jobs, in order.
        jobs: Vec<CronJob>,
    },
    /// The client that held an allocation is done with it; the job ends with `exit`.
    EndAllocation {
        /// The job.
        job_id: JobId,
        /// How the client's command ended.
        exit: ExitStatus,
    },
}

/// One job of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CronJob {
    /// The job, with [`JobSpec::cron`].
    pub spec: JobSpec,
    /// Its script; empty once it is stored.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub script: String,
    /// Its [`ExecutionContext`](crate::job::ExecutionContext) as JSON; empty once it is stored.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub context: String,
}

/// Another time limit of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitOfStep {
    /// So long from its start.
    Is(TimeLimit),
    /// So much more than now, or less. One that has none keeps none.
    Longer(Span),
}

/// What `scancel` and its kin ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// Which.
    pub target: JobTarget,
    /// Only send this signal; `None` ends the job (CONT, TERM, KillWait, KILL).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<u8>,
    /// To the batch shell only.
    #[serde(default)]
    pub batch_only: bool,
    /// To the batch shell and all steps.
    #[serde(default)]
    pub full: bool,
    /// Only if the job is in one of these states; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<JobState>,
}

/// Fields that `scontrol update JobId=` may change; `None` leaves them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each field has the meaning of the field of that name in JobSpec or ResourceRequest")]
pub struct JobChanges {
    pub name: Option<Name>,
    pub partition: Option<Name>,
    pub account: Option<Name>,
    pub qos: Option<Name>,
    pub time_limit: Option<TimeLimit>,
    pub begin: Option<Timestamp>,
    pub priority: Option<u32>,
    pub nice: Option<i32>,
    pub dependencies: Option<Dependencies>,
    pub comment: Option<Name>,
    pub admin_comment: Option<Name>,
    pub site_factor: Option<i32>,
    pub constraint: Option<Name>,
    pub nodes_required: Option<Name>,
    pub nodes_excluded: Option<Name>,
    pub nodes: Option<(u32, u32)>,
    pub tasks: Option<u32>,
    pub cpus_per_task: Option<u32>,
    pub memory: Option<crate::resources::MemoryRequest>,
    pub gres: Option<Vec<crate::resources::GresRequest>>,
    pub requeue: Option<bool>,
    pub array_throttle: Option<u32>,
    pub output: Option<Name>,
    pub error: Option<Name>,
    pub work_dir: Option<Name>,
    pub reservation: Option<Name>,
    pub wckey: Option<Name>,
    pub mail_type: Option<Name>,
    pub mail_user: Option<Name>,
    pub cpus: Option<u32>,
    pub licenses: Option<Name>,
    pub deadline: Option<Timestamp>,
    pub end_time: Option<Timestamp>,
    pub sharing: Option<crate::resources::Sharing>,
    pub contiguous: Option<bool>,
    pub cpus_per_node_min: Option<u32>,
    pub tmp_disk_min: Option<crate::resources::Megabytes>,
    pub time_limit_min: Option<TimeLimit>,
    pub switches: Option<crate::resources::SwitchLimit>,
    /// Features that its nodes have rather than others; empty takes them away.
    pub preferred: Option<Name>,
    /// Options that are kept to be shown, as in [`RareOptions::others`](crate::job::RareOptions::others).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<(Name, Name)>,
}

/// New state of a node asked for by an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeTransition {
    /// Take no new jobs.
    Drain,
    /// Take no new jobs, end those that run.
    Down,
    /// Back to service: clears down, drain, fail.
    Resume,
    /// Clears drain only.
    Undrain,
    /// As [`NodeTransition::Drain`], for a fault.
    Fail,
}

/// Fields that `scontrol update NodeName=` may change.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeChanges {
    /// New state.
    pub state: Option<NodeTransition>,
    /// Reason; needed for drain, down and fail.
    pub reason: Option<Name>,
    /// New weight.
    pub weight: Option<u32>,
    /// New features (`AvailableFeatures`).
    pub features: Option<Vec<Name>>,
    /// Those that the node has at present (`ActiveFeatures`).
    pub features_active: Option<Vec<Name>>,
    /// A remark; empty takes it away.
    pub comment: Option<Name>,
    /// A further remark; empty takes it away.
    pub extra: Option<Name>,
}

/// What the core answers to a [`Command`] that it accepts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Done; nothing to say.
    Done,
    /// In the queue under this number.
    Submitted(JobId),
    /// Would start so.
    Expected(Expectation),
    /// The step has started.
    StepCreated(Box<Step>),
    /// The parts of the step have started, in the order in which they were asked for.
    StepsCreated(Vec<Step>),
    /// The reservation is there under this name.
    ReservationCreated(Name),
    /// The table is in force, with these jobs.
    CrontabInstalled(Vec<JobId>),
    /// These nodes call.
    NodesCalled(NodesCalled),
}

/// A question to the published view; never touches the core.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Query {
    /// Jobs in memory. Answered in chunks.
    Jobs {
        /// Only these jobs or arrays; `None` for all.
        ids: Option<Vec<JobId>>,
        /// Only jobs of these users (numbers); `None` for all.
        uids: Option<Vec<u32>>,
        /// Leave out jobs that have ended.
        active_only: bool,
    },
    /// All nodes, all partitions, the names of the cluster: what `sinfo` needs.
    Nodes,
    /// Partitions only.
    Partitions,
    /// Running and waiting steps; `None` for all jobs.
    Steps {
        /// Only of this job.
        job_id: Option<JobId>,
    },
    /// Parameters in force, for `scontrol show config`.
    Config,
    /// Why a job waits and when it starts. Answer: [`Reply::Explained`].
    Explain(JobId),
    /// The same of one task of an array, by its index. Answer: [`Reply::Explained`].
    ExplainTask(JobId, u32),
    /// Priorities of waiting jobs with their parts, for `sprio`.
    Priorities,
    /// Shares and usage of associations, for `sshare`.
    Shares,
    /// All reservations.
    Reservations,
    /// How the nodes are wired.
    Topology,
    /// Accounts, users, associations and QOS: what `sacctmgr` needs.
    Accounting,
    /// Remote licences alone. Answer: [`Reply::Accounting`].
    RemoteLicenses,
    /// The table of jobs that come again of this user (number). Answer: [`Reply::Crontab`].
    Crontab(u32),
    /// What the controller had to do, for `sdiag`.
    Statistics,
    /// Begin its counts anew (`sdiag -r`); for operators only. Answer: [`Reply::Done`].
    ResetStatistics,
    /// Is anybody there?
    Ping,
    /// Ended, running and waiting jobs from the store, with their steps: what `sacct` needs.
    History(HistoryFilter),
}

impl Query {
    /// The question why a job waits, by its number or as a task of an array: `36` or `36_4`. `None` for any other text.
    pub fn explanation_of(text: &str) -> Option<Query> {
        match text.split_once('_') {
            None => Some(Query::Explain(JobId(text.parse().ok()?))),
            Some((array, index)) => Some(Query::ExplainTask(JobId(array.parse().ok()?), index.parse().ok()?)),
        }
    }
}

/// Which jobs `sacct` wants. All conditions must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HistoryFilter {
    /// Only these jobs or arrays.
    pub ids: Option<Vec<JobId>>,
    /// Only of these users.
    pub uids: Option<Vec<u32>>,
    /// Active at or after this time (not ended before it).
    pub since: Option<Timestamp>,
    /// Submitted or active before this time.
    pub until: Option<Timestamp>,
    /// Only in these states.
    pub states: Option<Vec<JobState>>,
    /// Only with these names.
    pub names: Option<Vec<Name>>,
    /// Only in these partitions.
    pub partitions: Option<Vec<Name>>,
    /// With a component of a heterogeneous job also the others.
    pub whole: bool,
    /// Also earlier starts of requeued jobs.
    pub duplicates: bool,
}

/// One part of the answer to a [`Query`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// To [`Query::Jobs`]; may come several times.
    Jobs(Vec<std::sync::Arc<crate::job::Job>>),
    /// To [`Query::Nodes`].
    Nodes {
        /// All nodes by index.
        nodes: Vec<std::sync::Arc<Node>>,
        /// All partitions by index.
        partitions: Vec<std::sync::Arc<Partition>>,
    },
    /// To [`Query::Partitions`].
    Partitions(Vec<std::sync::Arc<Partition>>),
    /// To [`Query::Steps`].
    Steps(Vec<std::sync::Arc<Step>>),
    /// To [`Query::Config`].
    Config(Vec<(String, String)>),
    /// To [`Query::Explain`].
    Explained(Box<crate::explain::Explanation>),
    /// To [`Query::Priorities`].
    Priorities(Box<PriorityReport>),
    /// To [`Query::Shares`].
    Shares(Box<ShareReport>),
    /// To [`Query::Reservations`].
    Reservations(Vec<std::sync::Arc<Reservation>>),
    /// To [`Query::Topology`]; `None` where all nodes are alike.
    Topology(Option<crate::topology::Topology>),
    /// To [`Query::Accounting`]: all rows.
    Accounting(Vec<Document>),
    /// To [`Query::Crontab`]; `None` for a user without one.
    Crontab(Option<std::sync::Arc<crate::cron::Crontab>>),
    /// To [`Query::Statistics`].
    Statistics(Box<crate::statistics::Statistics>),
    /// To a question that is answered by doing it.
    Done,
    /// To [`Query::Ping`].
    Pong(Pong),
    /// To [`Query::History`]; may come several times.
    History(Vec<HistoryRow>),
    /// The question makes no sense.
    Refused(Refusal),
}

/// A sign of life of the controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {
    /// Name of the cluster.
    pub cluster_name: Name,
    /// Host of the controller.
    pub host: Name,
    /// Process number of the controller.
    pub pid: u32,
    /// Its version.
    pub version: Name,
    /// Its clock.
    pub now: Timestamp,
    /// When it started.
    #[serde(default)]
    pub started: Timestamp,
    /// The number that the next job gets.
    #[serde(default)]
    pub job_id_next: u32,
}

/// One start of a job with its steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryRow {
    /// The job as it was, or is.
    pub job: std::sync::Arc<crate::job::Job>,
    /// Its steps in order of their start.
    pub steps: Vec<Step>,
}

/// Something that happened to a job; what a waiting `sbatch --wait`, `srun` or `muster apply` listens to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobNews {
    /// The job as it is now. For an array that is waited for as a whole, any of its records.
    pub job: std::sync::Arc<crate::job::Job>,
    /// Whether this is the last news: the job, or all tasks of the array, ended.
    pub last: bool,
    /// For an array: highest exit over its tasks so far.
    pub exit: ExitStatus,
    /// Present reason, for convenience.
    pub reason: Reason,
    /// What somebody says to the client that holds the job (`scontrol notify`); then nothing else has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_named_by_its_number_or_as_a_task() {
        assert_eq!(Query::explanation_of("36"), Some(Query::Explain(JobId(36))));
        assert_eq!(Query::explanation_of("36_4"), Some(Query::ExplainTask(JobId(36), 4)));
        for text in ["", "_", "36_", "_4", "36_4_5", "99999999999", "36.batch", "-1"] {
            assert_eq!(Query::explanation_of(text), None, "{text}");
        }
    }
}
