//! Programs that a site has run around jobs: prologs and epilogs.

use serde::{Deserialize, Serialize};

use crate::ids::Name;
use crate::time::Span;

/// Which programs, and how. `slurm.conf(5)`, "Prolog and Epilog Scripts".
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HookConfig {
    /// Those of nodes and tasks, which agents are told.
    #[serde(flatten)]
    pub node: NodeHooks,
    /// `PrologSlurmctld`: runs where the controller is, before anything of a job is started. Where it fails, the job goes back to
    /// the queue, or is ended if somebody waits for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller_prolog: Option<Name>,
    /// `EpilogSlurmctld`: runs where the controller is, after a job has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller_epilog: Option<Name>,
    /// A job whose prolog failed goes back to the queue without being held (`nohold_on_prolog_fail` of
    /// `SchedulerParameters`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub requeue_unheld: bool,
}

/// What runs on the nodes. Paths are those of the node; `*`, `?` and `[…]` in the last part of a prolog's or epilog's name
/// stand for several programs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NodeHooks {
    /// `Prolog`: as root, before the first unit of a job on a node. Where it fails, nothing of the job is started there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prolog: Option<Name>,
    /// `Epilog`: as root, on each node of a job after all its processes are gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epilog: Option<Name>,
    /// `TaskProlog`: as the user, before each task. Its output may change the task's environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_prolog: Option<Name>,
    /// `TaskEpilog`: as the user, after each task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_epilog: Option<Name>,
    /// `PrologEpilogTimeout`: how long a prolog or epilog may take; `None` for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// `UnkillableStepProgram`: as root, where processes of a step outlive KILL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unkillable: Option<Name>,
    /// `UnkillableStepTimeout`: after how long such a step is given up; `None` for Slurm's minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unkillable_after: Option<Span>,
}

impl NodeHooks {
    /// Whether there is nothing to run.
    pub fn is_empty(&self) -> bool {
        let NodeHooks { prolog, epilog, task_prolog, task_epilog, timeout: _, unkillable, unkillable_after } = self;
        let programs = [prolog, epilog, task_prolog, task_epilog, unkillable];
        programs.into_iter().all(Option::is_none) && unkillable_after.is_none()
    }
}

/// When a program runs around a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookMoment {
    /// Before anything of the job is started.
    Prolog,
    /// After everything of it has ended.
    Epilog,
}
