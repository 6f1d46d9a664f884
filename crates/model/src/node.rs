//! Nodes: the hardware that jobs run on, its state, and what of it is given away.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::Name;
use crate::resources::{Gres, GresShare, IndexSet, Megabytes};
use crate::time::Timestamp;

/// What a node has. Declared in the configuration or detected by its agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hardware {
    /// CPUs as Slurm counts them: hardware threads.
    pub cpus: u32,
    /// Boards.
    pub boards: u32,
    /// Sockets over all boards.
    pub sockets: u32,
    /// Cores of each socket.
    pub cores_per_socket: u32,
    /// Hardware threads of each core.
    pub threads_per_core: u32,
    /// Memory that jobs may use.
    pub memory: Megabytes,
    /// Size of the temporary file system.
    pub tmp_disk: Megabytes,
    /// Generic resources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gres: Vec<Gres>,
}

/// What the configuration says about a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeConfig {
    /// Name by which it is known in Slurm's commands.
    pub name: Name,
    /// Host name; the same as `name` unless given.
    pub host_name: Name,
    /// Address at which others reach it.
    pub address: Name,
    /// Port of its agent, 0 when the agent calls the controller.
    #[serde(default)]
    pub port: u16,
    /// Hardware.
    pub hardware: Hardware,
    /// Features, in the order of the configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<Name>,
    /// Nodes with lower weight are used first.
    pub weight: u32,
    /// Whether it may be used as soon as it registers, or begins drained or down.
    #[serde(default)]
    pub initial_state: InitialState,
    /// Reason written in the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Name>,
}

/// `State=` of a node line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InitialState {
    /// Usable once registered.
    #[default]
    Unknown,
    /// Down until an operator resumes it.
    Down,
    /// Drained until an operator resumes it.
    Drain,
    /// Defined, but not part of the cluster until it registers.
    Future,
    /// Provided by a cloud when needed.
    Cloud,
}

/// Whether a node can be worked with at all. What it does follows from its [`NodeUse`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeHealth {
    /// Has never registered since the controller knows it.
    Unknown,
    /// Registered and usable.
    Up,
    /// Not usable; see the reason.
    Down,
    /// Defined only.
    Future,
}

/// A reason with who set it and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReason {
    /// The words.
    pub text: Name,
    /// User who set it.
    pub user: Name,
    /// Number of that user.
    pub uid: u32,
    /// When.
    pub time: Timestamp,
}

/// What is given away of a node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NodeUse {
    /// CPUs held by jobs.
    pub cpus: IndexSet,
    /// Memory held by jobs.
    pub memory: Megabytes,
    /// Units of generic resources held by jobs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gres: Vec<GresShare>,
    /// Number of jobs that run here.
    pub jobs_running: u32,
    /// Number of ended jobs that are still being cleaned here.
    pub jobs_completing: u32,
    /// User who has the node for itself (`--exclusive=user`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclusive_user: Option<u32>,
}

/// What an agent tells about its machine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NodeReport {
    /// `x86_64`, …
    pub architecture: Name,
    /// Operating system as `uname` tells it.
    pub operating_system: Name,
    /// Version of the agent.
    pub version: Name,
    /// When the machine booted.
    pub boot_time: Timestamp,
    /// When the agent started.
    pub agent_start_time: Timestamp,
    /// One-minute load average in hundredths.
    pub load_hundredths: u32,
    /// Free memory.
    pub memory_free: Megabytes,
}

/// The current row about one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// What the configuration says. Not stored: the configuration decides anew at each start.
    pub config: Arc<NodeConfig>,
    /// Whether it can be worked with.
    pub health: NodeHealth,
    /// Takes no new jobs (Slurm: DRAIN).
    #[serde(default)]
    pub drain: bool,
    /// Its agent is not connected.
    #[serde(default)]
    pub not_responding: bool,
    /// Why it is down or drained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<NodeReason>,
    /// What is given away.
    #[serde(default)]
    pub used: NodeUse,
    /// Last report of its agent.
    #[serde(default)]
    pub report: NodeReport,
    /// When the agent was last heard of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_response: Option<Timestamp>,
    /// When a job last ended here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_busy: Option<Timestamp>,
    /// Number of the last launch sent to this node. A launch at or below what the agent has seen is a late copy.
    #[serde(default)]
    pub launch_sequence: u64,
    /// Remark of an operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<Name>,
    /// A further remark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Name>,
    /// A reservation that is in force has it (Slurm: RESERVED). Not stored: it follows from the reservations.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reserved: bool,
    /// One of these is for maintenance (Slurm: MAINTENANCE).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub maintenance: bool,
}

impl Node {
    /// Name by which it is known.
    pub fn name(&self) -> &Name {
        &self.config.name
    }

    /// Whether new jobs may be placed here.
    pub fn is_schedulable(&self) -> bool {
        self.health == NodeHealth::Up && !self.drain && !self.not_responding
    }

    /// CPUs not given away.
    pub fn cpus_free(&self) -> u32 {
        self.config.hardware.cpus.saturating_sub(self.used.cpus.len())
    }

    /// Memory not given away.
    pub fn memory_free(&self) -> Megabytes {
        Megabytes(self.config.hardware.memory.0.saturating_sub(self.used.memory.0))
    }
}
