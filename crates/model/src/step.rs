//! Steps: parallel launches of tasks within a job's allocation.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::container::ContainerRequest;
use crate::ids::{JobId, Name, NodeIndex, RestartCount, StepId};
use crate::measure::Measured;
use crate::node_call::FileReceipt;
use crate::resources::{GresRequest, GresShare, IndexSet, Megabytes, MemoryRequest};
use crate::state::{ExitStatus, JobState, Usage};
use crate::time::{TimeLimit, Timestamp};

/// How tasks are dealt to nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    /// Tasks are spread evenly over the nodes, as far as each has room, and each node gets consecutive ranks.
    #[default]
    Block,
    /// Ranks go round the nodes.
    Cyclic,
    /// So many consecutive ranks at a time go round the nodes.
    Plane(u32),
}

/// What a step needs of its job's allocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRequest {
    /// Name shown, usually the program's.
    pub name: Name,
    /// Number of tasks.
    pub tasks: u32,
    /// Least and greatest number of nodes; `None` for all of the job's nodes that the tasks need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<(u32, u32)>,
    /// CPUs of each task.
    pub cpus_per_task: u32,
    /// Most tasks on one node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks_per_node: Option<u32>,
    /// Memory; `None` takes all of the job's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryRequest>,
    /// Generic resources; empty takes all of the job's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gres: Vec<GresRequest>,
    /// Nodes that must be used, as a host list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes_required: Option<Name>,
    /// The node of each task, in their order, as a host list; `None` leaves it to the distribution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_nodes: Option<Name>,
    /// Nodes that must not be used, as a host list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes_excluded: Option<Name>,
    /// `--relative`: first node, counted within the allocation.
    #[serde(default)]
    pub first_node: u32,
    /// `--exact`: only the CPUs that the tasks need. Otherwise the step takes all CPUs of its nodes.
    #[serde(default)]
    pub exact: bool,
    /// `--overlap`: shares CPUs with other steps.
    #[serde(default)]
    pub overlap: bool,
    /// `--overcommit`: more tasks than CPUs.
    #[serde(default)]
    pub overcommit: bool,
    /// How tasks are dealt to nodes.
    #[serde(default)]
    pub distribution: Distribution,
    /// `--time` of the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_limit: Option<TimeLimit>,
    /// `--immediate`: refuse rather than wait.
    #[serde(default)]
    pub immediate: bool,
}

/// Where one stream of a task goes to or comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamTarget {
    /// Straight to and from the `srun` that waits at [`StepLaunch::client_address`].
    Client,
    /// A file pattern, opened on the node.
    File(Name),
    /// `/dev/null`.
    Null,
}

/// How a step is executed. The core carries it without looking inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepLaunch {
    /// Program and arguments. With [`StepLaunch::programs`] this is for ranks not named there.
    pub command: Vec<String>,
    /// `--multi-prog`: ranks and their program with arguments (`%t` rank, `%o` offset already replaced).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub programs: Vec<(u32, Vec<String>)>,
    /// Directory in which tasks start.
    pub work_dir: String,
    /// `NAME=value` lines.
    pub environment: Vec<String>,
    /// File mode creation mask.
    pub umask: u32,
    /// Soft resource limits to pass on.
    #[serde(default)]
    pub limits: Vec<(u32, u64)>,
    /// Standard input.
    pub input: StreamTarget,
    /// `--input=N`: only this rank gets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_rank: Option<u32>,
    /// Standard output.
    pub output: StreamTarget,
    /// Standard error; `None` joins it with output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<StreamTarget>,
    /// Files are continued rather than emptied.
    #[serde(default)]
    pub append: bool,
    /// `host:port` where `srun` waits for the streams and ends of the tasks.
    pub client_address: String,
    /// Secret that opens that port.
    pub client_cookie: String,
    /// Host and process number of that `srun`, to be shown.
    #[serde(default)]
    pub client_process: (String, u32),
    /// `--pty`: rank 0 gets a terminal of this many rows and columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pty: Option<(u16, u16)>,
    /// `--kill-on-bad-exit`: end the step when a task ends badly.
    #[serde(default)]
    pub kill_on_bad_exit: bool,
    /// `--label`: lines in files of single tasks or nodes begin with the rank of their task.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub labels_files: bool,
    /// `--unbuffered`: standard output is a terminal to the tasks, so that their libraries do not gather it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unbuffered: bool,
    /// `--mpi`: `none`, `pmi2`.
    #[serde(default)]
    pub mpi: String,
    /// `--bcast`: the program comes from the client, is put here and run from here. An empty path, or one that ends in `/`, is
    /// completed by each node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broadcast: Option<FileReceipt>,
    /// `--task-prolog`: run before each task, after that of the site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_prolog: Option<String>,
    /// `--task-epilog`: run after each task, before that of the site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_epilog: Option<String>,
    /// How its tasks are bound on their nodes.
    #[serde(default, skip_serializing_if = "StepBinding::is_default")]
    pub binding: StepBinding,
    /// The container in which its tasks run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Box<ContainerRequest>>,
    /// `--container`: the OCI bundle in which its tasks run, where nodes have an `oci.conf`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<String>,
    /// `--container-id`: what the site's runtime calls the container of the bundle; `None` for a name made up from job and step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_id: Option<String>,
    /// `--acctg-freq`: seconds from one measurement of its tasks to the next, 0 for one at the end only; `None` leaves it to
    /// the job and the site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measure_seconds: Option<u32>,
    /// `--preserve-env`: the tasks see the counts of nodes and tasks that `srun` saw itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keeps_counts: bool,
    /// `--slurmd-debug`: how much nodes tell of it on its error stream, as Slurm counts: 2 for `error` up to 4; 0 for nothing.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub node_verbosity: u8,
}

fn is_zero(number: &u8) -> bool {
    *number == 0
}

/// How the tasks of a step are bound to the CPUs and the memory of their nodes, in the words of the options.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StepBinding {
    /// `--cpu-bind`; `None` leaves it to the site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<String>,
    /// `--mem-bind`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// `--distribution`, with its levels below the nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distribution: Option<String>,
    /// CPUs of each task; 0 counts as 1.
    pub cpus_per_task: u32,
}

impl StepBinding {
    /// Whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == StepBinding::default()
    }
}

/// What a step needs of one component of a heterogeneous job, and how it is executed there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepPart {
    /// The component.
    pub job_id: JobId,
    /// Resources.
    pub request: StepRequest,
    /// Execution.
    pub launch: StepLaunch,
}

/// What the parts of one step in several components of a heterogeneous job have in common: to its tasks they are one step of
/// the leader, whose ranks and nodes are counted through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HetStep {
    /// The number by which the tasks know their job.
    pub leader: JobId,
    /// Rank of the first task of this part.
    pub first_rank: u32,
    /// Tasks of all parts.
    pub tasks: u32,
    /// Names of the nodes of all parts as a host list.
    pub node_list: Name,
    /// Tasks on each of them, in that order.
    pub tasks_per_node: Vec<u32>,
    /// CPUs that the components have on each of them, in that order.
    pub cpus_per_node: Vec<u32>,
    /// For each node of the layout of this part, its position among those of all parts: by parts, then by nodes.
    pub node_ids: Vec<u32>,
    /// The nodes of all parts with the ranks of their tasks, by parts, then by nodes. Empty where nobody needs to know them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ranks: Vec<(Name, Vec<u32>)>,
}

/// Where the tasks of a step run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepNode {
    /// The node.
    pub node: NodeIndex,
    /// Global ranks of the tasks here, ascending.
    pub ranks: Vec<u32>,
    /// CPUs the step holds here.
    pub cpus: IndexSet,
    /// Memory the step may use here; zero for all of the job's.
    #[serde(default)]
    pub memory: Megabytes,
    /// Units of generic resources the step may use here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gres: Vec<GresShare>,
    /// Number of the launch that was sent to the node for it.
    #[serde(default)]
    pub launch_sequence: u64,
}

/// The current row about one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its job.
    pub job_id: JobId,
    /// Its number within the job.
    pub step_id: StepId,
    /// Which start of the job it belongs to.
    pub restart: RestartCount,
    /// Name shown.
    pub name: Name,
    /// `Pending` while it waits for resources of the job; then as for jobs.
    pub state: JobState,
    /// Number of tasks.
    pub tasks: u32,
    /// Where they run, in the order of the nodes of the job.
    pub layout: Vec<StepNode>,
    /// Names of those nodes as a host list.
    pub node_list: Name,
    /// When it started.
    pub start_time: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Timestamp>,
    /// Its own limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_limit: Option<TimeLimit>,
    /// The worst end of its tasks.
    #[serde(default)]
    pub exit: ExitStatus,
    /// What it used.
    #[serde(default)]
    pub usage: Usage,
    /// What was measured of the tasks that have ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Box<Measured>>,
    /// A task of it was ended for lack of memory.
    #[serde(default)]
    pub out_of_memory: bool,
    /// A task of it could not be killed and was given up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub kill_failed: bool,
    /// User who cancelled it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled_by: Option<u32>,
    /// Nodes whose tasks have not all ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes_left: Vec<NodeIndex>,
    /// Whether it asked for generic resources itself; then its units are for it alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gres_given: bool,
    /// `--container`: the OCI bundle of its tasks. What the script runs in, the job says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<Name>,
    /// In a heterogeneous job, what its parts have in common.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub het: Option<Box<HetStep>>,
    /// How it is executed; kept until it has started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launch: Option<Arc<StepLaunch>>,
}

impl Step {
    /// Whether its own time limit has passed at `now`.
    pub fn is_over_limit(&self, now: Timestamp) -> bool {
        let limit = self.time_limit.and_then(TimeLimit::span);
        self.start_time.zip(limit).is_some_and(|(start, limit)| start + limit <= now)
    }
}
