//! Jobs: what was asked for ([`JobSpec`]) and what became of it ([`Job`]).
//!
//! One [`JobSpec`] travels unchanged from submit to exec. A [`Job`] is the current row about one job; it is what
//! the core changes, the store keeps, and the dialects print.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::accounting::{Ageing, AssociationId};
use crate::array::{ArraySpec, TaskSet};
use crate::container::ContainerRequest;
use crate::cron::CronEntry;
use crate::dependency::Dependencies;
use crate::heterogeneous::HetRole;
use crate::ids::{BlobId, Identity, JobId, Name, NodeIndex, RestartCount, SpecId, SubmitToken};
use crate::preemption::{CpuHold, Eviction};
use crate::priority::PastRun;
use crate::resize::Resize;
use crate::resources::{Allocation, ResourceRequest};
use crate::state::{ExitStatus, JobState, Reason};
use crate::time::{Span, TimeLimit, Timestamp};

/// What a job runs by itself once it has its allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// A script on the first node (`sbatch`).
    Batch,
    /// The script on every node of the allocation (a dstack task with `nodes: N`).
    EveryNode,
    /// Nothing; a client holds the allocation and starts steps in it (`salloc`, `srun`).
    Allocation,
}

/// Whether output files are emptied or continued when a job starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpenMode {
    /// `--open-mode=truncate`.
    Truncate,
    /// `--open-mode=append`.
    Append,
}

/// `--signal=[R][B:]SIG[@seconds]`: a signal sent some time before the time limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlySignal {
    /// Signal number.
    pub signal: u8,
    /// How long before the end.
    pub before_end: Span,
    /// `B:`: to the batch shell only; otherwise to the steps only.
    pub batch_only: bool,
    /// `R:`: the job may overlap a reservation.
    #[serde(default)]
    pub reservation: bool,
}

/// Ties a job to the dstack run it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunReference {
    /// Name of the run.
    pub run_name: Name,
    /// Project of the run.
    pub project: Name,
    /// The configuration as it was applied, as JSON text, so that `ps` and `apply` can show and compare it.
    pub configuration: Name,
}

/// Everything a user asked for. Never changes after submit, except by an explicit update, which makes a new one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// Who submitted.
    pub identity: Identity,
    /// Name shown in the queue.
    pub name: Name,
    /// What it runs by itself.
    pub kind: JobKind,
    /// Partitions asked for, in order; empty for the default one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<Name>,
    /// `--account`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Name>,
    /// `--qos`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qos: Option<Name>,
    /// Resources.
    pub request: ResourceRequest,
    /// How many nodes it takes where nothing else runs, as found at submit; what is shown of it while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes_when_empty: Option<u32>,
    /// `--time`; `None` takes the partition's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_limit: Option<TimeLimit>,
    /// `--time-min`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_limit_min: Option<TimeLimit>,
    /// `--begin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begin: Option<Timestamp>,
    /// `--deadline`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// `--array`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub array: Option<ArraySpec>,
    /// `--dependency`.
    #[serde(default, skip_serializing_if = "Dependencies::is_empty")]
    pub dependencies: Dependencies,
    /// `--hold`.
    #[serde(default)]
    pub hold: bool,
    /// `--requeue` or `--no-requeue`; `None` takes the cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requeue: Option<bool>,
    /// `--nice`.
    #[serde(default)]
    pub nice: i32,
    /// `--priority`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// Added to the priority by the site: an operator, or the `priority` of a dstack run.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub site_factor: i32,
    /// `--reservation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservation: Option<Name>,
    /// `--signal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_signal: Option<EarlySignal>,
    /// `--kill-on-invalid-dep`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kill_on_invalid_dependency: Option<bool>,
    /// `--no-kill`.
    #[serde(default)]
    pub no_kill: bool,
    /// `salloc --no-shell`: an allocation that stays without a client that holds it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unattended: bool,
    /// Directory in which it starts.
    pub work_dir: Name,
    /// File patterns as written; `None` for the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Name>,
    /// `--error`; `None` joins it with `output`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Name>,
    /// `--input`; `None` for `/dev/null`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Name>,
    /// `--open-mode`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_mode: Option<OpenMode>,
    /// What `scontrol show job` prints as `Command`: the path of the script, or the command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Name>,
    /// Arguments given to the script.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<Name>,
    /// The script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<BlobId>,
    /// The [`ExecutionContext`] as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<BlobId>,
    /// Host and session from which it was submitted (`AllocNode:Sid`).
    pub submit_host: Name,
    /// Session number of the submitting shell.
    #[serde(default)]
    pub submit_session: u32,
    /// The command line of the submit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submit_line: Option<Name>,
    /// Things that are kept to be shown and used rarely.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rare: Option<Box<RareOptions>>,
    /// The dstack run of this job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Box<RunReference>>,
    /// It comes again by a table of its user (`scrontab`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<Box<CronEntry>>,
}

impl JobSpec {
    /// A job that asks for nothing but one task with one CPU, in the root directory.
    pub fn new(identity: Identity, name: Name, kind: JobKind) -> JobSpec {
        JobSpec {
            identity,
            name,
            kind,
            partitions: Vec::new(),
            account: None,
            qos: None,
            request: ResourceRequest::default(),
            nodes_when_empty: None,
            time_limit: None,
            time_limit_min: None,
            begin: None,
            deadline: None,
            array: None,
            dependencies: Dependencies::default(),
            hold: false,
            requeue: None,
            nice: 0,
            priority: None,
            site_factor: 0,
            reservation: None,
            early_signal: None,
            kill_on_invalid_dependency: None,
            no_kill: false,
            unattended: false,
            work_dir: "/".into(),
            output: None,
            error: None,
            input: None,
            open_mode: None,
            command: None,
            arguments: Vec::new(),
            script: None,
            context: None,
            submit_host: "".into(),
            submit_session: 0,
            submit_line: None,
            rare: None,
            run: None,
            cron: None,
        }
    }
}

/// For serde, which asks by reference.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(value: &i32) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_no_energy(joules: &u64) -> bool {
    *joules == 0
}

fn is_nothing_told(share: &u8) -> bool {
    *share == 0
}

/// Options that few jobs give. Kept apart so that a pending job stays small.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RareOptions {
    /// `--comment`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<Name>,
    /// Comment set by an operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_comment: Option<Name>,
    /// `--wckey`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wckey: Option<Name>,
    /// `--mail-type`, normalised as Slurm shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mail_type: Option<Name>,
    /// `--mail-user`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mail_user: Option<Name>,
    /// The container in which the batch script runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<Box<ContainerRequest>>,
    /// Further options by their long name and value, kept to be shown (`network`, `extra`, `mcs-label`, …).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<(Name, Name)>,
}

/// What a process needs besides its command: environment, umask and limits, as they were at submit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ExecutionContext {
    /// `NAME=value` lines.
    pub environment: Vec<String>,
    /// File mode creation mask.
    pub umask: u32,
    /// Soft resource limits to pass on: Linux resource number and value (`u64::MAX` for unlimited).
    #[serde(default)]
    pub limits: Vec<(u32, u64)>,
}

/// Who holds a pending job back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// The user; user and operator may release.
    User,
    /// An operator; only an operator may release.
    Admin,
}

/// A job's place in an array.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArrayRole {
    /// The record that stands for all tasks that have not started. Its id is the id of the array.
    Waiting {
        /// Tasks not yet started.
        tasks: TaskSet,
    },
    /// One task with a record of its own. The last task to start keeps the id of the array.
    Task {
        /// The id of the array.
        array_job_id: JobId,
        /// Index within the array.
        task_index: u32,
    },
}

/// Nodes that have not yet confirmed that nothing of an ended start of a job is left on them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleaning {
    /// Which start of the job is cleaned up: the present one, or the one before where the job goes back to the queue.
    pub restart: RestartCount,
    /// The nodes, ascending. What the job held on its other nodes has been given back.
    pub nodes: Vec<NodeIndex>,
    /// What the job was to its CPUs when it ended.
    #[serde(default, skip_serializing_if = "CpuHold::is_used")]
    pub cpus: CpuHold,
}

/// The current row about one job. That it is `Eq` lets two pointers to the same row be equal without a look at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// Number of the stored specification.
    pub spec_id: SpecId,
    /// The specification. Stored apart, see [`SpecId`].
    pub spec: Arc<JobSpec>,
    /// Its place in an array.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub array: Option<ArrayRole>,
    /// Its place in a heterogeneous job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub het: Option<HetRole>,
    /// Base state.
    pub state: JobState,
    /// Ended, but nodes are still being cleaned (Slurm: COMPLETING). Its resources are still held there.
    #[serde(default)]
    pub completing: bool,
    /// What is left of the clean-up; set exactly while [`Job::completing`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleaning: Option<Box<Cleaning>>,
    /// It has its resources, but what the site runs before it has not ended (Slurm: CONFIGURING); nothing of it is started.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub configuring: bool,
    /// Will go back to the queue when cleaned.
    #[serde(default)]
    pub requeue_pending: bool,
    /// Why it waits or how it ended.
    pub reason: Reason,
    /// The long form of the reason, where there is more to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_detail: Option<Name>,
    /// Who holds it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// Account that is charged; `None` where there are no accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Name>,
    /// Association that is charged; `None` where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub association: Option<AssociationId>,
    /// QOS it runs under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qos: Option<Name>,
    /// Partition: the first asked for while pending, the one it runs in afterwards.
    pub partition: Name,
    /// Priority, at least 1; 0 for a held job.
    pub priority: u32,
    /// The limit in force: the user's, or the partition's default.
    pub time_limit: TimeLimit,
    /// When it was submitted, or last put back into the queue.
    pub submit_time: Timestamp,
    /// From when it may start; `None` while a dependency or a hold keeps it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eligible_time: Option<Timestamp>,
    /// When it may start at the earliest (`--begin`, or the delay after a requeue).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begin_time: Option<Timestamp>,
    /// When it started; while pending, when the plan expects it to start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Timestamp>,
    /// When it ended; while running, when its limit ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Timestamp>,
    /// When it was last suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend_time: Option<Timestamp>,
    /// When it last went on after it had been suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume_time: Option<Timestamp>,
    /// Time spent suspended before [`Job::suspend_time`].
    #[serde(default)]
    pub suspended: Span,
    /// While the scheduler has it suspended: a job that runs on its CPUs. `None` while an operator has it suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yields_to: Option<JobId>,
    /// An operator has resumed it although others had its CPUs; so both run on them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub runs_over: bool,
    /// When the scheduler last looked at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_evaluated: Option<Timestamp>,
    /// Which start this is.
    #[serde(default)]
    pub restart: RestartCount,
    /// What it holds, or held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocation: Option<Arc<Allocation>>,
    /// Names of its nodes as a host list; stays readable when the configuration changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_list: Option<Name>,
    /// Name of the first node, or of that with the features of `--batch`: its script runs there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_host: Option<Name>,
    /// Nodes the plan expects to use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_nodes: Option<Name>,
    /// How it ended.
    #[serde(default)]
    pub exit: ExitStatus,
    /// The worst end of its steps.
    #[serde(default)]
    pub derived_exit: ExitStatus,
    /// Energy that its ended steps took, joules; what its script took besides is not counted, as in Slurm.
    #[serde(default, skip_serializing_if = "is_no_energy")]
    pub energy_joules: u64,
    /// User who cancelled it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled_by: Option<u32>,
    /// Dependencies still to be satisfied.
    #[serde(default, skip_serializing_if = "Dependencies::is_empty")]
    pub dependencies: Dependencies,
    /// Number of the next ordinary step.
    #[serde(default)]
    pub next_step: u32,
    /// The reservation it runs in, or ran in: one of those it asked for, or one that drew it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservation: Option<Name>,
    /// The reservation that it asked for and that is gone; held for it (Slurm: RESV_DEL_HOLD).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservation_gone: Option<Name>,
    /// The signal of [`JobSpec::early_signal`] was sent to this start.
    #[serde(default)]
    pub early_signal_sent: bool,
    /// The last share of its time limit that a mail told of in this start, in percent.
    #[serde(default, skip_serializing_if = "is_nothing_told")]
    pub limit_told: u8,
    /// Put back into the queue and held to be looked into (Slurm: SPECIAL_EXIT).
    #[serde(default)]
    pub special_exit: bool,
    /// The priority was set by an operator and is not calculated.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub priority_set: bool,
    /// Earlier starts whose usage is not counted yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past_runs: Vec<PastRun>,
    /// The table that it came from is gone: it does not come again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cron_over: bool,
    /// It has been told to make room for another job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eviction: Option<Box<Eviction>>,
    /// How often it was put back into the queue through no fault of its own.
    #[serde(default, skip_serializing_if = "Setbacks::are_none")]
    pub setbacks: Setbacks,
    /// Since when it gains priority by age while it waits.
    #[serde(default, skip_serializing_if = "Ageing::is_usual")]
    pub ageing: Ageing,
    /// While it runs where jobs can be preempted: from when it can be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preemptable_from: Option<Timestamp>,
    /// How its size changed in this start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<Box<Resize>>,
    /// Which submit made it. In an array and a heterogeneous job, on the record whose number was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submit_token: Option<SubmitToken>,
}

/// How often a job was put back into the queue through no fault of its own, so that it does not go round for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Setbacks {
    /// It could not be launched. Forgotten when it is released from a hold.
    pub launch_failures: u32,
    /// It made room for another.
    pub preemptions: u32,
}

impl Setbacks {
    /// Whether there were none.
    pub fn are_none(&self) -> bool {
        *self == Setbacks::default()
    }
}

impl Job {
    /// Whether mails of this type are wanted (`--mail-type`).
    pub fn wants_mail(&self, word: &str) -> bool {
        let types = self.spec.rare.as_ref().and_then(|rare| rare.mail_type.as_deref());
        types.is_some_and(|types| types.split(',').any(|wanted| wanted == word))
    }

    /// The partitions that it asks for, in order: those of its specification, or else the one it was given.
    pub fn partitions_wanted(&self) -> &[Name] {
        if self.spec.partitions.is_empty() { std::slice::from_ref(&self.partition) } else { &self.spec.partitions }
    }

    /// The row of a job that has just entered the queue of `partition`: pending, not looked at, with the limit it asked for.
    pub fn new(id: JobId, spec_id: SpecId, spec: Arc<JobSpec>, partition: Name, submit_time: Timestamp) -> Job {
        Job {
            id,
            spec_id,
            array: spec.array.as_ref().map(|array| ArrayRole::Waiting { tasks: array.tasks.clone() }),
            het: None,
            state: JobState::Pending,
            completing: false,
            cleaning: None,
            configuring: false,
            requeue_pending: false,
            reason: Reason::None,
            reason_detail: None,
            hold: None,
            partition,
            priority: 1,
            time_limit: spec.time_limit.unwrap_or(TimeLimit::Unlimited),
            submit_time,
            eligible_time: None,
            begin_time: spec.begin,
            start_time: None,
            end_time: None,
            suspend_time: None,
            resume_time: None,
            suspended: Span::ZERO,
            yields_to: None,
            runs_over: false,
            last_evaluated: None,
            restart: RestartCount(0),
            allocation: None,
            node_list: None,
            batch_host: None,
            planned_nodes: None,
            exit: ExitStatus::SUCCESS,
            derived_exit: ExitStatus::SUCCESS,
            energy_joules: 0,
            cancelled_by: None,
            dependencies: Dependencies::default(),
            next_step: 0,
            early_signal_sent: false,
            limit_told: 0,
            account: None,
            association: None,
            qos: None,
            reservation: None,
            reservation_gone: None,
            special_exit: false,
            priority_set: false,
            past_runs: Vec::new(),
            cron_over: false,
            eviction: None,
            setbacks: Setbacks::default(),
            ageing: Ageing::SinceEligible,
            preemptable_from: None,
            resize: None,
            submit_token: None,
            spec,
        }
    }

    /// The reservation to show: the one it is in, or those it asks for.
    pub fn reservation_shown(&self) -> Option<&Name> {
        self.reservation.as_ref().or(self.spec.reservation.as_ref()).filter(|name| !name.is_empty())
    }

    /// The array it belongs to, and its index where it is a single task.
    pub fn array_job_id(&self) -> Option<JobId> {
        match &self.array {
            None => None,
            Some(ArrayRole::Waiting { .. }) => Some(self.id),
            Some(ArrayRole::Task { array_job_id, .. }) => Some(*array_job_id),
        }
    }

    /// Its index within an array.
    pub fn task_index(&self) -> Option<u32> {
        match &self.array {
            Some(ArrayRole::Task { task_index, .. }) => Some(*task_index),
            _ => None,
        }
    }

    /// The account that is charged, or asked for.
    pub fn account_name(&self) -> Option<&str> {
        self.account.as_deref().or(self.spec.account.as_deref())
    }

    /// The QOS it runs under, or asks for.
    pub fn qos_name(&self) -> Option<&str> {
        self.qos.as_deref().or(self.spec.qos.as_deref())
    }

    /// When it comes again, if it does once it has ended.
    pub fn cron(&self) -> Option<&CronEntry> {
        self.spec.cron.as_deref().filter(|_| !self.cron_over)
    }

    /// On how many of its nodes its own script runs: the first, all, or none. The script of a heterogeneous job runs in the
    /// component that leads.
    pub fn main_nodes(&self) -> usize {
        match self.spec.kind {
            _ if self.is_led() => 0,
            JobKind::Batch => 1,
            JobKind::EveryNode => self.allocation.as_ref().map_or(0, |allocation| allocation.shares.len()),
            JobKind::Allocation => 0,
        }
    }

    /// Whether it holds resources on nodes.
    pub fn holds_resources(&self) -> bool {
        self.completing || matches!(self.state, JobState::Running | JobState::Suspended)
    }

    /// What it is to the CPUs of its allocation while it holds resources.
    pub fn cpu_hold(&self) -> CpuHold {
        match (&self.cleaning, self.state) {
            (Some(cleaning), _) => cleaning.cpus,
            (None, JobState::Suspended) if self.yields_to.is_some() => CpuHold::Claimed,
            (None, JobState::Suspended) => CpuHold::Given,
            _ => CpuHold::Used,
        }
    }

    /// By when it has to start so that it ends by its deadline with the least time it is content with; `None` without a
    /// deadline. Slurm gives a job up as soon as this is over (DEADLINE), and does not wait for the deadline itself.
    pub fn latest_start(&self) -> Option<Timestamp> {
        let least = self.spec.time_limit_min.unwrap_or(self.time_limit).span();
        self.spec.deadline.map(|deadline| deadline - least.unwrap_or_default())
    }

    /// What is left of `limit` for a start at `now` that has to end by the deadline: whole minutes, as limits are kept.
    pub fn limit_by_deadline(&self, limit: TimeLimit, now: Timestamp) -> TimeLimit {
        let Some(deadline) = self.spec.deadline else { return limit };
        let minutes = (deadline.seconds() - now.seconds()) / 60;
        TimeLimit::min(limit, TimeLimit::Limited(Span::from_minutes(minutes.max(1))))
    }

    /// How long it has run at `now`, without the time it was suspended.
    pub fn run_time(&self, now: Timestamp) -> Span {
        let Some(start) = self.start_time.filter(|_| self.state != JobState::Pending) else {
            return Span::ZERO;
        };
        let until = match self.state {
            JobState::Running => now,
            JobState::Suspended => self.suspend_time.unwrap_or(now),
            _ => self.end_time.unwrap_or(now),
        };
        Span((until.since(start).0 - self.suspended.0).max(0))
    }
}
