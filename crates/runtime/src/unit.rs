//! A *unit*: one step of one start of a job on this node, the thing a supervisor starts, watches and ends.
//!
//! The batch script, each `srun` and the shell of `salloc` are units. What a unit needs comes as data: the agent
//! has expanded file patterns, composed environments and chosen CPUs before.

use std::fmt;
use std::str::FromStr;

use muster_model::container::{ContainerRequest, OciSettings};
use muster_model::ids::{BlobId, JobId, RestartCount, StepId};
use muster_model::measure::TaskMeasure;
use muster_model::node_call::FileReceipt;
use muster_model::state::{ExitStatus, Usage};
use muster_model::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::confinement::Confinement;
use crate::measure::MeasureHow;
use crate::space::JobSpace;

/// Names a unit. A supervisor starts each key at most once, whatever fails and however often it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UnitKey {
    /// The job.
    #[serde(rename = "j")]
    pub job_id: JobId,
    /// Which start of the job.
    #[serde(rename = "r", default)]
    pub restart: RestartCount,
    /// Which step.
    #[serde(rename = "s")]
    pub step: StepId,
}

/// Prints `job.restart.step`: `12.0.batch`, `12.1.3`.
impl fmt::Display for UnitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.job_id, self.restart.0, self.step)
    }
}

impl FromStr for UnitKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || format!("invalid unit {text:?}");
        let (job, rest) = text.split_once('.').ok_or_else(bad)?;
        let (restart, step) = rest.split_once('.').ok_or_else(bad)?;
        Ok(UnitKey {
            job_id: JobId(job.parse().map_err(|_| bad())?),
            restart: RestartCount(restart.parse().map_err(|_| bad())?),
            step: step.parse()?,
        })
    }
}

/// Where a task's standard input comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// `/dev/null`.
    #[default]
    Null,
    /// A file, already expanded; relative to the unit's directory.
    File(String),
    /// The client at [`LaunchUnit::client`].
    Client,
}

/// Where a task's standard output or error goes to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// `/dev/null`.
    #[default]
    Null,
    /// A file, already expanded; relative to the unit's directory. Streams and tasks of one unit that name the
    /// same file share one open file, so nothing of it is overwritten.
    File(String),
    /// The client at [`LaunchUnit::client`].
    Client,
}

/// The three streams of a task.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Streams {
    /// Standard input.
    #[serde(default)]
    pub input: Input,
    /// Standard output.
    #[serde(default)]
    pub output: Output,
    /// Standard error; `None` joins it with output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Output>,
    /// Files are continued rather than emptied.
    #[serde(default)]
    pub append: bool,
    /// Standard output for the client is a terminal to the task, so that its library does not gather what it writes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unbuffered: bool,
    /// Lines in files begin with the rank of their task; only for units with a client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<FileLabels>,
}

/// How lines in files are labelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileLabels {
    /// Tasks of the whole step, for the width.
    pub tasks: u32,
    /// What is added to ranks.
    pub first_rank: u32,
}

/// One process to start.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TaskLaunch {
    /// Global rank within the step.
    pub rank: u32,
    /// `NAME=value`, added to (or replacing those of) the unit's environment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<String>,
    /// Program and arguments, where they differ from [`LaunchUnit::command`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Streams, where they differ from [`LaunchUnit::streams`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams: Option<Streams>,
    /// CPUs of this task, where they differ from [`LaunchUnit::affinity`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Vec<u32>>,
    /// What it writes into its error stream before its program is executed: before and behind its process number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announcement: Option<(String, String)>,
    /// Further lines that it writes there, each with its end.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub notes: String,
    /// Where it gets memory; `None` for anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<TaskMemory>,
    /// Why it ends with 1 at once, line by line, where it cannot be bound as asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusal: Vec<String>,
}

/// Where a task gets memory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TaskMemory {
    /// Numbers of the domains (NUMA nodes) of this machine; empty binds to nothing.
    pub domains: Vec<u32>,
    /// Other domains are used when these are full.
    #[serde(default)]
    pub prefer: bool,
    /// As [`TaskLaunch::announcement`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announcement: Option<(String, String)>,
}

/// The user a unit runs as. Only a supervisor of root can take over another user than its own; else the launch is
/// refused.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UnitUser {
    /// User number.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// All groups; empty takes only `gid`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<u32>,
}

/// The waiting client of a live step; see [`crate::wire`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientLink {
    /// `host:port`.
    pub address: String,
    /// Secret that the client gave out for this step.
    pub cookie: String,
    /// Name by which the client knows this node.
    pub node_name: String,
}

/// Everything needed to start one unit.
///
/// Scripts and environments are sent once ([`crate::protocol::Request::Put`]) and named by content afterwards,
/// so that the launch of one task of a large array is a few hundred bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LaunchUnit {
    /// Which unit.
    pub key: UnitKey,
    /// Whose.
    pub user: UnitUser,
    /// Directory to start in. Where it cannot be entered, `/tmp` is used and the unit's error stream says so.
    pub work_dir: String,
    /// File mode creation mask.
    pub umask: u32,
    /// Soft resource limits: Linux resource number and value (`u64::MAX` for unlimited). A value above the hard
    /// limit becomes the hard limit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<(u32, u64)>,
    /// The environment blob: `NAME=value` strings, each ended by a NUL byte (see
    /// [`crate::protocol::environment_blob`]). `None` for an empty one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<BlobId>,
    /// `NAME=value`, added to (or replacing those of) the blob.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<String>,
    /// The batch script. It is put into `SPOOL/jobNNNNN/slurm_script`, mode 0700, owned by the user, and executed
    /// there; [`LaunchUnit::command`] then holds its arguments only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<BlobId>,
    /// Program and arguments. A program without `/` is searched in `PATH` of the task's environment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// The program that all tasks run comes from the client first ([`crate::receipt`]) and is put here; needs a client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broadcast: Option<FileReceipt>,
    /// Streams of all tasks.
    #[serde(default)]
    pub streams: Streams,
    /// The processes, at least one. Each gets `SLURM_TASK_PID` with its process number, and the variable
    /// `MUSTER_UNIT` by which its descendants are found.
    pub tasks: Vec<TaskLaunch>,
    /// CPUs of this machine to bind to; empty binds nothing. Numbers that this machine has not are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub affinity: Vec<u32>,
    /// Memory limit in bytes, enforced where a memory control group can be made; `None` for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_limit: Option<u64>,
    /// What the site insists on; `None` where it says nothing, then [`LaunchUnit::memory_limit`] and CPUs are enforced as far
    /// as they can be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confinement: Option<Box<Confinement>>,
    /// What its job has to itself here, made with its first unit and kept until [`crate::protocol::Request::CloseSpace`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<Box<JobSpace>>,
    /// The client, where a stream is [`Output::Client`] or [`Input::Client`], or where ends are to be told live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientLink>,
    /// Rank 0 gets a terminal of this many rows and columns for all three streams; needs a client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pty: Option<(u16, u16)>,
    /// Each task gets a socket for its MPI library ([`crate::pmi`]); needs a client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pmi: Option<crate::pmi::StepFacts>,
    /// Its tasks find each other by libpmix ([`crate::pmix`]); needs a client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pmix: Option<Box<crate::pmix::StepFacts>>,
    /// Name that begins messages of the launcher in the unit's error stream (`slurmstepd: error: …`). Empty
    /// for `slurmstepd`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message_name: String,
    /// A unit that must have ended well before this one is started: the site's prolog. It has to be launched before. Where it
    /// fails, this one is not started and ends with [`PROLOG_FAILED`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<UnitKey>,
    /// Programs that are run around each task.
    #[serde(default, skip_serializing_if = "TaskHooks::is_empty")]
    pub task_hooks: TaskHooks,
    /// Milliseconds after which it is killed; `None` for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_limit_ms: Option<u64>,
    /// The container in which its tasks run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Box<ContainerRequest>>,
    /// The OCI bundle in which its tasks run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<Box<BundleLaunch>>,
    /// Why it must not be started, where the node found that the user asks for what cannot be. Its client is told, and it ends with
    /// [`BINDING_REFUSED`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// How often is looked at what its tasks use, in milliseconds; 0 for once, at their ends. `None` for never: then only what
    /// the kernel tells with the end of each is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measure_ms: Option<u64>,
    /// How that is measured, where it is not as usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measure_how: Option<Box<MeasureHow>>,
    /// Number of the launch, which only grows: what [`crate::protocol::Hello::launched`] tells. 0 for one that is not counted.
    #[serde(default, skip_serializing_if = "is_zero_number")]
    pub sequence: u64,
    /// How much is told of it on its error stream, as Slurm counts (`srun --slurmd-debug`): 2 and more tell of its tasks.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub verbosity: u8,
    /// What is done about processes of it that outlive KILL; `None` for what a site gets that says nothing of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unkillable: Option<Box<UnkillableRule>>,
}

impl LaunchUnit {
    /// A unit of one task that runs `command` in `work_dir`, with nothing around it.
    pub fn new(key: UnitKey, user: UnitUser, work_dir: String, command: Vec<String>) -> LaunchUnit {
        LaunchUnit {
            key,
            user,
            work_dir,
            umask: 0o022,
            limits: Vec::new(),
            environment: None,
            variables: Vec::new(),
            script: None,
            command,
            broadcast: None,
            streams: Streams::default(),
            tasks: vec![TaskLaunch::default()],
            affinity: Vec::new(),
            memory_limit: None,
            confinement: None,
            space: None,
            client: None,
            pty: None,
            pmi: None,
            pmix: None,
            message_name: String::new(),
            after: None,
            task_hooks: TaskHooks::default(),
            time_limit_ms: None,
            container: None,
            bundle: None,
            refusal: None,
            measure_ms: None,
            measure_how: None,
            sequence: 0,
            verbosity: 0,
            unkillable: None,
        }
    }
}

fn is_zero_number(number: &u64) -> bool {
    *number == 0
}

fn is_zero(number: &u8) -> bool {
    *number == 0
}

/// When a unit is given up whose processes outlive KILL, and what is run then (`slurm.conf(5)`, `UnkillableStepTimeout`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnkillableRule {
    /// Milliseconds after the first KILL.
    pub after_ms: u64,
    /// What is run then, as the supervisor's own user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// Its environment, `NAME=value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<String>,
    /// Name of the node, for what the unit's error stream is told.
    #[serde(default)]
    pub node_name: String,
}

impl Default for UnkillableRule {
    fn default() -> Self {
        UnkillableRule { after_ms: 60_000, program: None, variables: Vec::new(), node_name: String::new() }
    }
}

/// What outlived KILL for so long that a unit was given up. It is left alone; the node should take no further jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unkillable {
    /// Only what its tasks left behind. How they ended is known.
    Descendants,
    /// A task itself, so that nobody knows how it ends.
    Task,
}

/// An OCI bundle, and how it is run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleLaunch {
    /// Directory of the bundle on the node.
    pub path: String,
    /// What the user wants its container to be called; `None` for a name of the site's making.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// How the site runs bundles.
    pub settings: OciSettings,
    /// Name of the node, for patterns.
    pub node_name: String,
    /// Name of the user, for patterns.
    pub user_name: String,
}

/// Error number of [`Outcome::NotStarted`] where tasks cannot be bound as asked. Our own: Slurm's is not known to any client.
pub const BINDING_REFUSED: i32 = 4901;

/// Error number of [`Outcome::NotStarted`] where what the site wants enforced cannot be: a fault of the node. Our own.
pub const CONFINEMENT_FAILED: i32 = 4902;

/// Error number of [`Outcome::NotStarted`] where the directories that a job has to itself cannot be made: a fault of the node. Our own.
pub const SPACE_FAILED: i32 = 4903;

/// Error number of [`Outcome::NotStarted`] where the PMIx server of a step could not be started. Our own.
pub const MPI_FAILED: i32 = 4904;

/// The end of a task of a unit in which the kernel killed a process for a limit of memory, as Slurm has it (`0:125`).
pub const OUT_OF_MEMORY: ExitStatus = ExitStatus::OUT_OF_MEMORY;

/// Error number of [`Outcome::NotStarted`] where the prolog has failed: Slurm's `ESLURMD_PROLOG_FAILED`, which `srun` ends with.
pub const PROLOG_FAILED: i32 = 4022;

/// Error number of [`Outcome::NotStarted`] where the spool directory of the node cannot be written: Slurm's
/// `ESLURMD_FORK_FAILED`, the error of its node in that case.
pub const SPOOL_UNUSABLE: i32 = 4001;

/// Programs that are run as the user, in the task's environment, before and after it. Paths, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TaskHooks {
    /// Before. Lines of their output may be `export NAME=value`, `unset NAME` and `print text`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prologs: Vec<String>,
    /// After. They have some seconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub epilogs: Vec<String>,
}

impl TaskHooks {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.prologs.is_empty() && self.epilogs.is_empty()
    }
}

/// How one task ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskEnd {
    /// Global rank.
    pub rank: u32,
    /// Exit code or signal. A program that cannot be executed gives the error number (2 not found, 13 not
    /// allowed), as slurmstepd does.
    pub exit: ExitStatus,
    /// What the process and its waited-for children used.
    pub usage: Usage,
    /// What it and all its processes used, as far as that was looked at.
    #[serde(default, skip_serializing_if = "TaskMeasure::is_empty")]
    pub measure: TaskMeasure,
}

/// In what way a unit came to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Its tasks ran and ended.
    Ran,
    /// It could not be set up on this node (a file not to be opened, no more processes, …); no task of it ran,
    /// or the tasks already started were killed.
    NotStarted {
        /// What was tried and why it failed, for logs.
        message: String,
        /// Linux error number, 0 where there is none.
        errno: i32,
    },
    /// The supervisor died under it. Its processes are gone; how they ended is not known.
    Lost,
}

/// How a unit ended. Kept on disk until acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitEnd {
    /// Which unit.
    pub key: UnitKey,
    /// In what way.
    pub outcome: Outcome,
    /// The worst end of its tasks (see [`ExitStatus::worse`]).
    pub exit: ExitStatus,
    /// Ends of its tasks, ascending by rank.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskEnd>,
    /// Sum over its tasks.
    #[serde(default)]
    pub usage: Usage,
    /// When its launch was accepted.
    pub start_time: Timestamp,
    /// When its last process was gone.
    pub end_time: Timestamp,
    /// A process of it was killed for reaching the memory limit.
    #[serde(default)]
    pub out_of_memory: bool,
    /// It was asked to end ([`crate::protocol::Request::Terminate`]) before it ended.
    #[serde(default)]
    pub terminated: bool,
    /// It was killed because it had more memory than it may, by what was measured.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub over_memory: bool,
    /// It was given up: some of it still runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unkillable: Option<Unkillable>,
}

/// A unit that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningUnit {
    /// Which unit.
    pub key: UnitKey,
    /// When its launch was accepted.
    pub start_time: Timestamp,
    /// Process numbers by rank; empty while it is being set up.
    pub pids: Vec<(u32, u32)>,
    /// Stopped by [`crate::protocol::Request::Suspend`].
    #[serde(default)]
    pub suspended: bool,
    /// Asked to end.
    #[serde(default)]
    pub terminating: bool,
}
