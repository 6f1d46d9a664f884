//! The configuration of a cluster, after `slurm.conf` has been read and checked.

use serde::{Deserialize, Serialize};

use crate::accounting::AccountingEnforce;
use crate::hooks::HookConfig;
use crate::ids::Name;
use crate::mail::MailConfig;
use crate::mcs::McsConfig;
use crate::node::NodeConfig;
use crate::partition::Partition;
use crate::preemption::PreemptionConfig;
use crate::priority::PriorityConfig;
use crate::resources::IndexSet;
use crate::time::Span;
use crate::topology::Topology;

/// All that the controller takes from its configuration. Defaults are Slurm's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterConfig {
    /// Name of the cluster.
    pub cluster_name: Name,
    /// Nodes; their position is their [`NodeIndex`](crate::ids::NodeIndex).
    pub nodes: Vec<NodeConfig>,
    /// Partitions; their position is their index.
    pub partitions: Vec<Partition>,
    /// `FirstJobId`.
    pub first_job_id: u32,
    /// `MaxArraySize`: one more than the greatest task index.
    pub array_size_max: u32,
    /// `MaxJobCount`: most job records in memory.
    pub job_count_max: u32,
    /// `max_script_size` of `SchedulerParameters`, bytes.
    pub script_size_max: u64,
    /// `MinJobAge`: how long an ended job stays in memory.
    pub job_age_min: Span,
    /// `KillWait`: time between TERM and KILL.
    pub kill_wait: Span,
    /// `SchedulerTimeSlice`: how long jobs that share CPUs run before others have their turn.
    #[serde(default = "time_slice_default")]
    pub time_slice: Span,
    /// `OverTimeLimit`.
    pub over_time_limit: Span,
    /// `SlurmdTimeout`: silence after which a node is down; zero for never.
    pub node_timeout: Span,
    /// `TreeWidth`: to how many agents the controller and each relay hold connections; 0 for all of them.
    #[serde(default)]
    pub tree_width: u32,
    /// `ReturnToService`: 0, 1 or 2.
    pub return_to_service: u8,
    /// `JobRequeue`: whether batch jobs may be requeued unless they say otherwise.
    pub requeue_default: bool,
    /// `RequeueExit`: codes after which a batch job goes back to the queue.
    #[serde(default)]
    pub requeue_exits: IndexSet,
    /// `RequeueExitHold`: codes after which it does so held, as `SPECIAL_EXIT`.
    #[serde(default)]
    pub requeue_exits_held: IndexSet,
    /// `requeue_delay` of `SchedulerParameters`, or the life of a credential.
    pub requeue_delay: Span,
    /// `MaxBatchRequeue`: launch failures after which a job is held.
    pub launch_failures_max: u32,
    /// `kill_invalid_depend` of `SchedulerParameters`.
    pub kill_invalid_dependency: bool,
    /// `JobFileAppend`.
    pub append_output: bool,
    /// Whether memory is given away by amount (`CR_*_Memory`) or not looked at.
    pub memory_is_consumed: bool,
    /// Whether whole nodes are given (`select/linear`).
    pub whole_nodes: bool,
    /// How cores and nodes are chosen.
    #[serde(default)]
    pub placement: PlacementRules,
    /// How nodes are wired; `None` when they are all alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology: Option<Topology>,
    /// Whether the backfill scheduler runs (`sched/backfill`).
    pub backfill: bool,
    /// Limits of the scheduler, from `SchedulerParameters`.
    #[serde(default)]
    pub scheduling: SchedulingConfig,
    /// How jobs make room for more important ones.
    #[serde(default)]
    pub preemption: PreemptionConfig,
    /// Names of the generic resources that exist (`GresTypes`).
    pub gres_types: Vec<Name>,
    /// Whether registration with less hardware than configured is accepted (`config_overrides`).
    pub hardware_overrides: bool,
    /// How priorities are calculated.
    #[serde(default)]
    pub priority: PriorityConfig,
    /// `ResvOverRun`: how long jobs may stay after the end of their reservation; `None` for ever.
    #[serde(default = "no_time")]
    pub reservation_over_run: Option<Span>,
    /// Time zone in which reservations recur. Set where the controller starts; UTC until then.
    #[serde(skip, default = "utc")]
    pub zone: jiff::tz::TimeZone,
    /// Whether accounts, users and QOS are kept (`AccountingStorageType=accounting_storage/slurmdbd`).
    #[serde(default)]
    pub accounting: bool,
    /// `AccountingStorageEnforce`.
    #[serde(default)]
    pub accounting_enforce: AccountingEnforce,
    /// `assoc_limit_stop` of `SchedulerParameters`: behind a job that waits for a limit nobody of its partition starts.
    #[serde(default)]
    pub limits_stop_queue: bool,
    /// `EnforcePartLimits`.
    #[serde(default)]
    pub enforce_partition_limits: PartitionEnforcement,
    /// Whether users may have tables of jobs that come again (`ScronParameters=enable`).
    #[serde(default)]
    pub cron: bool,
    /// What of partitions stays as operators have made it when the configuration is read again (`ReconfigFlags`).
    #[serde(default)]
    pub kept_partitions: KeptPartitions,
    /// Security labels of jobs.
    #[serde(default)]
    pub mcs: McsConfig,
    /// How mails are sent.
    #[serde(default)]
    pub mail: MailConfig,
    /// Programs that run around jobs.
    #[serde(default)]
    pub hooks: HookConfig,
    /// How heterogeneous jobs are treated.
    #[serde(default)]
    pub het_jobs: HetJobRules,
    /// What `SchedulerParameters` says about jobs that change their size.
    #[serde(default)]
    pub resize: ResizeRules,
    /// All parameters with their values in force, in the order and spelling of `scontrol show config`.
    pub shown: Vec<(String, String)>,
}

const fn utc() -> jiff::tz::TimeZone {
    jiff::tz::TimeZone::UTC
}

#[expect(clippy::unnecessary_wraps, reason = "the default of a field that may also be nothing")]
const fn no_time() -> Option<Span> {
    Some(Span::ZERO)
}

/// What `SchedulerParameters` says about passes of the scheduler. Defaults and meanings are Slurm's (slurm.conf(5)); zero
/// stands for no limit where Slurm has it so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SchedulingConfig {
    /// `bf_window`: how far ahead a planned start holds resources.
    pub window: Span,
    /// `bf_max_job_test`: blocked jobs that get a planned start.
    pub planned_max: u32,
    /// `bf_max_job_part`: of these, in one partition.
    pub planned_per_partition_max: u32,
    /// `bf_max_job_user`: of these, of one user.
    pub planned_per_user_max: u32,
    /// `bf_max_job_array_resv`: tasks of one array that get a planned start.
    pub planned_per_array_max: u32,
    /// `bf_job_part_count_reserve`: blocked jobs of each partition that get a planned start whatever the other limits say.
    pub planned_per_partition_min: u32,
    /// `bf_min_age_reserve`: for jobs that have waited for less nothing is held, except for the first of each partition.
    /// A day unless it is given: see the figures of replayed traces.
    pub planned_age_min: Span,
    /// `bf_min_prio_reserve`.
    pub planned_priority_min: u32,
    /// `bf_max_job_start`, `sched_max_job_start`: jobs started by one pass.
    pub starts_max: u32,
    /// `batch_sched_delay`: passes that only submits of batch jobs ask for are at least so far apart. Three seconds in Slurm
    /// where it is not given; here nothing, so that a job that fits starts at once.
    pub batch_delay: Span,
}

impl Default for SchedulingConfig {
    fn default() -> Self {
        SchedulingConfig {
            window: Span::from_minutes(24 * 60),
            planned_max: 500,
            planned_per_partition_max: 0,
            planned_per_user_max: 0,
            planned_per_array_max: 20,
            planned_per_partition_min: 0,
            planned_age_min: Span::from_minutes(24 * 60),
            planned_priority_min: 0,
            starts_max: 0,
            batch_delay: Span::ZERO,
        }
    }
}

impl Default for ClusterConfig {
    fn default() -> Self {
        ClusterConfig {
            cluster_name: "muster".into(),
            nodes: Vec::new(),
            partitions: Vec::new(),
            first_job_id: 1,
            array_size_max: 1001,
            job_count_max: 10_000,
            script_size_max: 4 << 20,
            job_age_min: Span::from_seconds(300),
            kill_wait: Span::from_seconds(30),
            time_slice: time_slice_default(),
            over_time_limit: Span::ZERO,
            node_timeout: Span::from_seconds(300),
            tree_width: 50,
            return_to_service: 0,
            requeue_default: true,
            requeue_exits: IndexSet::default(),
            requeue_exits_held: IndexSet::default(),
            requeue_delay: Span::from_seconds(121),
            launch_failures_max: 5,
            kill_invalid_dependency: false,
            append_output: false,
            memory_is_consumed: true,
            whole_nodes: false,
            placement: PlacementRules::default(),
            topology: None,
            backfill: true,
            scheduling: SchedulingConfig::default(),
            preemption: PreemptionConfig::default(),
            gres_types: Vec::new(),
            hardware_overrides: false,
            priority: PriorityConfig::default(),
            reservation_over_run: no_time(),
            zone: utc(),
            accounting: false,
            limits_stop_queue: false,
            cron: false,
            kept_partitions: KeptPartitions::Nothing,
            mcs: McsConfig::default(),
            mail: MailConfig::default(),
            hooks: HookConfig::default(),
            het_jobs: HetJobRules::default(),
            resize: ResizeRules::default(),
            accounting_enforce: AccountingEnforce::default(),
            enforce_partition_limits: PartitionEnforcement::No,
            shown: Vec::new(),
        }
    }
}

/// What becomes at submit of jobs that are beyond the limits of their partitions (`EnforcePartLimits`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionEnforcement {
    /// They wait.
    #[default]
    No,
    /// Refused where none of the partitions that they ask for allows them.
    Any,
    /// Refused where one of these does not.
    All,
}

/// What `ReconfigFlags` keeps of partitions that operators have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeptPartitions {
    /// The file alone counts.
    #[default]
    Nothing,
    /// `KeepPartState`: whether they are up.
    State,
    /// `KeepPartInfo`: all of them; the file can only add partitions.
    Whole,
}

/// Slurm's `SchedulerTimeSlice` where none is set.
const fn time_slice_default() -> Span {
    Span::from_seconds(30)
}

/// Where in the queue a heterogeneous job stands, given the tiers and priorities of its components (`bf_hetjob_prio`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HetPriority {
    /// Those of the least component. Also where nothing is said: Slurm lets each component wait at its own place then, and
    /// the last of them decides when the job starts.
    #[default]
    Min,
    /// Their average.
    Avg,
    /// Those of the greatest.
    Max,
}

/// What `SchedulerParameters` says about heterogeneous jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HetJobRules {
    /// `bf_hetjob_prio`.
    pub priority: HetPriority,
    /// `whole_hetjob`: who cancels, holds or releases one component by its own number means all.
    pub whole: bool,
    /// `disable_hetjob_steps`: a step cannot span components.
    pub single_steps: bool,
}

/// What `SchedulerParameters` says about jobs that change their size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ResizeRules {
    /// `disable_job_shrink`: running jobs keep their nodes.
    pub fixed: bool,
    /// `permit_job_expansion`: a job can be submitted to give what it gets to another.
    pub expansion: bool,
}

/// What is given away as one piece (`SelectTypeParameters`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CpuUnit {
    /// `CR_CPU`: threads.
    Cpu,
    /// `CR_Core`: all threads of a core.
    #[default]
    Core,
    /// `CR_Socket`: all cores of a socket.
    Socket,
}

/// How cores and nodes are chosen: `SelectTypeParameters`, and the words of `SchedulerParameters` about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlacementRules {
    /// What is given away as one piece.
    pub unit: CpuUnit,
    /// `CR_ONE_TASK_PER_CORE`.
    pub one_task_per_core: bool,
    /// `CR_CORE_DEFAULT_DIST_BLOCK`: cores socket by socket unless a job says otherwise.
    pub cores_by_block: bool,
    /// `CR_LLN`: nodes with least load first.
    pub least_loaded: bool,
    /// `pack_serial_at_end`: jobs of one CPU take nodes from the end.
    pub serial_at_end: bool,
    /// `bf_busy_nodes`: planned starts take nodes that are in use rather than idle ones.
    pub busy_nodes: bool,
    /// `max_switch_wait`.
    pub switch_wait_max: Span,
    /// `TopologyParam=TopoOptional`: nodes without a common switch may share a job.
    pub topology_optional: bool,
}

impl Default for PlacementRules {
    fn default() -> Self {
        PlacementRules {
            unit: CpuUnit::Core,
            one_task_per_core: false,
            cores_by_block: false,
            least_loaded: false,
            serial_at_end: false,
            busy_nodes: false,
            switch_wait_max: Span::from_seconds(300),
            topology_optional: false,
        }
    }
}
