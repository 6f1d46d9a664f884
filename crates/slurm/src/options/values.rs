//! The values that options set, before any of them is worked out into a job or a step.

use std::collections::BTreeMap;

use muster_model::container::ContainerRequest;
use muster_model::job::{EarlySignal, OpenMode};
use muster_model::resources::{Gres, Megabytes, Sharing};
use muster_model::time::{Span, TimeLimit, Timestamp};

use super::spec::{Line, Origin};
use crate::grammar::distribution::Distribution;

/// All values of one command. What was not given is `None` (or empty, or false).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubmitOptions {
    /// What and how many.
    pub resources: Resources,
    /// When and how long.
    pub times: Times,
    /// Which nodes.
    pub placement: Placement,
    /// Files and directory.
    pub files: Files,
    /// Whom to charge, and other names.
    pub names: Names,
    /// What the queue is told.
    pub queue: Queue,
    /// What the process gets.
    pub process: Process,
    /// What the client itself does.
    pub client: Client,
    /// Only for steps.
    pub step: StepOptions,
    /// The container; see [`super::container_request`].
    pub container: ContainerRequest,
    /// Options that are only remembered and shown, by long name.
    pub others: BTreeMap<&'static str, String>,
    /// Each option that was given, by long name.
    pub given: BTreeMap<&'static str, Given>,
    /// Options to tell the user about because nothing is done about them.
    pub not_yet: Vec<&'static str>,
    /// Other lines for standard error that do not end the command.
    pub notices: Vec<Line>,
}

/// That an option was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Where; the last place that counts.
    pub origin: Origin,
    /// The value as `-v` lists it.
    pub shown: String,
}

/// Counts of nodes, tasks, processors, memory, devices.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "each field is the option of that name")]
pub struct Resources {
    /// `--nodes`: least and greatest.
    pub nodes: Option<(u32, u32)>,
    pub ntasks: Option<u32>,
    pub cpus_per_task: Option<u32>,
    pub ntasks_per_node: Option<u32>,
    pub ntasks_per_socket: Option<u32>,
    pub ntasks_per_core: Option<u32>,
    /// `--ntasks-per-gpu`, `--ntasks-per-tres`.
    pub ntasks_per_gpu: Option<u32>,
    pub mincpus: Option<u32>,
    /// `--core-spec`, where the cluster allows it.
    pub cores_reserved: Option<u32>,
    pub sockets_per_node: Option<u32>,
    pub cores_per_socket: Option<u32>,
    pub threads_per_core: Option<u32>,
    pub mem: Option<Megabytes>,
    pub mem_per_cpu: Option<Megabytes>,
    pub mem_per_gpu: Option<Megabytes>,
    pub tmp: Option<Megabytes>,
    pub gres: Option<Vec<Gres>>,
    pub gpus: Option<Vec<Gres>>,
    pub gpus_per_node: Option<Vec<Gres>>,
    pub gpus_per_socket: Option<Vec<Gres>>,
    pub gpus_per_task: Option<Vec<Gres>>,
    /// `--tres-per-task`, without CPUs and GPUs.
    pub gres_per_task: Vec<Gres>,
    pub cpus_per_gpu: Option<u32>,
    pub overcommit: bool,
    /// `--exclusive`, `--oversubscribe`.
    pub sharing: Option<Sharing>,
    /// `--licenses` as written.
    pub licenses: Option<String>,
}

/// Points and lengths of time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "each field is the option of that name")]
pub struct Times {
    pub time: Option<TimeLimit>,
    pub time_min: Option<TimeLimit>,
    pub begin: Option<Timestamp>,
    pub deadline: Option<Timestamp>,
    /// `--immediate`: zero for "at once".
    pub immediate: Option<Span>,
}

/// Which nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "each field is the option of that name")]
pub struct Placement {
    pub constraint: Option<String>,
    pub nodelist: Option<String>,
    pub exclude: Option<String>,
    pub contiguous: bool,
    pub distribution: Option<Distribution>,
    /// Node number within the allocation (`srun -r`).
    pub relative: Option<u32>,
    pub hint: Option<String>,
}

/// Files and directory, as written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "each field is the option of that name")]
pub struct Files {
    pub chdir: Option<String>,
    pub input: Option<String>,
    pub output: Option<String>,
    pub error: Option<String>,
    pub open_mode: Option<OpenMode>,
}

/// Names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "each field is the option of that name")]
pub struct Names {
    pub job_name: Option<String>,
    pub account: Option<String>,
    pub partition: Option<String>,
    pub qos: Option<String>,
    pub reservation: Option<String>,
    pub wckey: Option<String>,
    pub comment: Option<String>,
    pub mail_type: Option<String>,
    pub mail_user: Option<String>,
    pub clusters: Option<String>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

/// What the queue is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "each field is the option of that name")]
pub struct Queue {
    /// `--array` as written; judged by the controller's rules when the job is made.
    pub array: Option<String>,
    /// `--dependency` as written.
    pub dependency: Option<String>,
    pub hold: bool,
    pub requeue: Option<bool>,
    pub nice: Option<i32>,
    pub priority: Option<u32>,
    pub no_kill: Option<bool>,
    pub kill_on_invalid_dep: Option<bool>,
    pub signal: Option<EarlySignal>,
}

/// What the process gets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "each field is the option of that name")]
pub struct Process {
    pub export: Option<String>,
    pub export_file: Option<String>,
    /// `--get-user-env` with its value.
    pub get_user_env: Option<String>,
    /// `--propagate`: numbers of the limits; `None` for the cluster's rule.
    pub propagate: Option<Vec<u32>>,
}

/// What the client itself does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "each field is the option of that name")]
pub struct Client {
    pub verbose: u32,
    pub quiet: bool,
    pub parsable: bool,
    pub test_only: bool,
    pub wait: bool,
    pub wrap: Option<String>,
    pub ignore_pbs: bool,
    pub bell: Option<bool>,
    pub no_shell: bool,
    /// `--kill-command`: signal.
    pub kill_command: Option<u8>,
}

/// Only for steps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "each field is the option of that name")]
pub struct StepOptions {
    pub jobid: Option<u32>,
    pub label: bool,
    pub unbuffered: bool,
    pub kill_on_bad_exit: Option<bool>,
    /// `--wait`: seconds after the first task's end; 0 for ever.
    pub wait: Option<u32>,
    pub pty: bool,
    pub exact: bool,
    pub overlap: bool,
    pub whole: bool,
    pub multi_prog: bool,
    /// `--bcast`: where the program is put; empty where the nodes choose.
    pub bcast: Option<String>,
    pub mpi: Option<String>,
    /// `--prolog`: run where srun runs.
    pub prolog: Option<String>,
    /// `--epilog`
    pub epilog: Option<String>,
    /// `--task-prolog`
    pub task_prolog: Option<String>,
    /// `--task-epilog`
    pub task_epilog: Option<String>,
    pub preserve_env: bool,
    pub disable_status: bool,
    pub quit_on_interrupt: bool,
    pub no_allocate: bool,
    pub interactive: bool,
    /// `--het-group`: components of a heterogeneous job, ascending.
    pub het_groups: Option<Vec<u32>>,
}

impl SubmitOptions {
    /// Whether the option called `name` was given anywhere.
    pub fn has(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// Whether `name` was given in the script or on the command line, not only in the environment.
    pub fn has_written(&self, name: &str) -> bool {
        self.given.get(name).is_some_and(|given| given.origin != Origin::Environment)
    }

    /// Where `name` was given.
    pub fn origin(&self, name: &str) -> Option<Origin> {
        self.given.get(name).map(|given| given.origin)
    }
}
