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
    /// Generic resources that no job uses up (`no_consume`): a node only has to have as much.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gres_unconsumed: Vec<Gres>,
    /// Where the units of generic resources are (`gres.conf`), in the order of their numbers; empty when not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<GresPlace>,
    /// CPUs that the system keeps for itself (`CoreSpecCount`, `CPUSpecList`).
    #[serde(default, skip_serializing_if = "IndexSet::is_empty")]
    pub cpus_reserved: IndexSet,
    /// Memory that the system keeps for itself (`MemSpecLimit`).
    #[serde(default)]
    pub memory_reserved: Megabytes,
    /// CPUs at each GPU that only jobs with GPUs get, counted in cores (`RestrictedCoresPerGPU`); 0 for none.
    #[serde(default)]
    pub cores_per_gpu_restricted: u32,
}

/// Some units of one generic resource, numbered on from those of the same name before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GresPlace {
    /// Kind of resource.
    pub name: Name,
    /// How many units.
    pub count: u32,
    /// Cores near them, counted over the sockets; `None` when all are as near.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cores: Option<IndexSet>,
    /// For units that are parts of a device (`shard`, `mps`): the number of that GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<u32>,
    /// How many links each of them has to the units of this name, by their number (`Links`); empty when not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<i32>,
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
    /// Those of them that it does not have at present (`ActiveFeatures`), as an operator has said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features_inactive: Vec<Name>,
    /// Nodes with lower weight are used first.
    pub weight: u32,
    /// Whether it may be used as soon as it registers, or begins drained or down.
    #[serde(default)]
    pub initial_state: InitialState,
    /// Reason written in the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Name>,
}

impl NodeConfig {
    /// The features that it has at present: jobs are placed by these.
    pub fn active_features(&self) -> impl Iterator<Item = &Name> {
        self.features.iter().filter(|name| !self.features_inactive.contains(name))
    }
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
    /// CPUs that jobs run on or claim; those of jobs that an operator has suspended are not among them.
    pub cpus: IndexSet,
    /// Those of them that suspended jobs claim. Others may run there, to whom they yield.
    #[serde(default, skip_serializing_if = "IndexSet::is_empty")]
    pub cpus_claimed: IndexSet,
    /// Some CPU is that of two jobs beside the rows: an operator resumed one of them over the other.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overlaps: bool,
    /// Memory held by jobs.
    pub memory: Megabytes,
    /// Units of generic resources held by jobs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gres: Vec<GresShare>,
    /// Number of jobs that run here, suspended ones among them.
    pub jobs_running: u32,
    /// How many of those are suspended.
    #[serde(default)]
    pub jobs_suspended: u32,
    /// Number of ended jobs that are still being cleaned here.
    pub jobs_completing: u32,
    /// User who has the node for itself (`--exclusive=user`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclusive_user: Option<u32>,
    /// Jobs that share cores with others of their partition (`OverSubscribe`), in rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<CpuRow>,
    /// Label whose jobs have the node for themselves (`--exclusive=mcs`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclusive_label: Option<Name>,
}

/// Jobs of one partition that share cores with others of it, but not with each other. A partition that allows N jobs on
/// a core has up to N rows on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuRow {
    /// The partition.
    pub partition: Name,
    /// CPUs of the jobs in this row.
    pub cpus: IndexSet,
}

impl CpuRow {
    /// Puts `cpus` into row number `row` of `partition`, or the next one where there are not so many.
    pub fn put(rows: &mut Vec<CpuRow>, partition: &Name, row: usize, cpus: &IndexSet) {
        match rows.iter_mut().filter(|own| own.partition == *partition).nth(row) {
            Some(own) => own.cpus.add_all(cpus),
            None => rows.push(CpuRow { partition: partition.clone(), cpus: cpus.clone() }),
        }
    }

    /// The first row of `partition`, of at most `most`, in which `cpus` meet no other job; none where one of `cpus` is
    /// that of `most` jobs already.
    pub fn room(rows: &[CpuRow], partition: &Name, most: u32, cpus: &IndexSet) -> Option<usize> {
        if !CpuRow::full(rows, partition, most).is_disjoint(cpus) {
            return None;
        }
        let own: Vec<&CpuRow> = rows.iter().filter(|own| own.partition == *partition).collect();
        (0..most as usize).find(|row| own.get(*row).is_none_or(|own| own.cpus.is_disjoint(cpus)))
    }

    /// CPUs that are those of `most` jobs of `partition` or more. Jobs that came in another order than the one in which
    /// they are put into rows can need more rows than any CPU has jobs; so room in one of the first rows is not enough.
    pub fn full(rows: &[CpuRow], partition: &Name, most: u32) -> IndexSet {
        let own: Vec<&CpuRow> = rows.iter().filter(|own| own.partition == *partition).collect();
        let mut full = IndexSet::default();
        if own.len() < most as usize {
            return full;
        }
        let jobs_on = |cpu| own.iter().filter(|own| own.cpus.contains(cpu)).count();
        let members = own.iter().flat_map(|own| own.cpus.iter());
        members.filter(|cpu| jobs_on(*cpu) >= most as usize).for_each(|cpu| full.insert(cpu));
        full
    }
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
    /// What is wrong with it, as its agent found; empty for nothing.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub fault: Name,
    /// Power that it draws; `None` where no sensor is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power: Option<NodePower>,
}

/// Power that a node draws, as far as its sensors see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NodePower {
    /// Watts between its last two reports.
    pub current_watts: u32,
    /// Watts since its agent started.
    pub average_watts: u32,
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
    /// Where its agent found units of generic resources; these stand in the configuration in place of what was said of them there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub places_found: Option<Arc<Vec<GresPlace>>>,
    /// A reservation that is in force has it (Slurm: RESERVED). Not stored: it follows from the reservations.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reserved: bool,
    /// One of these is for maintenance (Slurm: MAINTENANCE).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub maintenance: bool,
    /// A planned start has it (Slurm: PLANNED). Not stored, nor part of the state: what the plan says is laid over the row
    /// where it is read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub planned: bool,
}

impl Hardware {
    /// Nothing but CPUs: each a core of one socket, one thread each.
    pub fn of_cpus(cpus: u32) -> Hardware {
        Hardware {
            cpus,
            boards: 1,
            sockets: 1,
            cores_per_socket: cpus,
            threads_per_core: 1,
            memory: Megabytes(1),
            tmp_disk: Megabytes(0),
            gres: Vec::new(),
            gres_unconsumed: Vec::new(),
            places: Vec::new(),
            cpus_reserved: IndexSet::default(),
            memory_reserved: Megabytes(0),
            cores_per_gpu_restricted: 0,
        }
    }

    /// CPUs that are given together: the threads of a core, or 1 where `cpus` counts cores although they have threads.
    pub fn cpus_per_core(&self) -> u32 {
        let cores = self.sockets.saturating_mul(self.cores_per_socket).max(1);
        if self.cpus > cores { self.threads_per_core.max(1) } else { 1 }
    }

    /// Memory that jobs may use.
    pub fn memory_usable(&self) -> Megabytes {
        Megabytes(self.memory.0.saturating_sub(self.memory_reserved.0))
    }
}

impl Node {
    /// A node of that configuration that answers and has nothing given away.
    pub fn new(config: Arc<NodeConfig>) -> Node {
        Node {
            config,
            health: NodeHealth::Up,
            drain: false,
            not_responding: false,
            reason: None,
            used: NodeUse::default(),
            report: NodeReport::default(),
            last_response: None,
            last_busy: None,
            launch_sequence: 0,
            comment: None,
            extra: None,
            places_found: None,
            reserved: false,
            maintenance: false,
            planned: false,
        }
    }

    /// Name by which it is known.
    pub fn name(&self) -> &Name {
        &self.config.name
    }

    /// Takes over where units were found, of those resources that the configuration has; of all others its own word, which is
    /// `configured`, stays. The row's configuration is a new one only where that changes something: planners build anew on it.
    pub fn find_places(&mut self, configured: &Hardware, found: Option<Arc<Vec<GresPlace>>>) {
        if self.places_found != found {
            self.places_found = found;
        }
        let found = self.places_found.iter().flat_map(|places| places.iter());
        let mut places: Vec<GresPlace> =
            found.filter(|place| configured.gres.iter().any(|gres| gres.name == place.name)).cloned().collect();
        let are_found = places.len();
        for place in &configured.places {
            if places.iter().take(are_found).all(|found| found.name != place.name) {
                places.push(place.clone());
            }
        }
        if self.config.hardware.places != places {
            Arc::make_mut(&mut self.config).hardware.places = places;
        }
    }

    /// Whether new jobs may be placed here.
    pub fn is_schedulable(&self) -> bool {
        self.health == NodeHealth::Up && !self.drain && !self.not_responding
    }

    /// CPUs not given away.
    pub fn cpus_free(&self) -> u32 {
        let hardware = &self.config.hardware;
        hardware.cpus.saturating_sub(hardware.cpus_reserved.len()).saturating_sub(self.used.cpus.len())
    }

    /// Memory not given away.
    pub fn memory_free(&self) -> Megabytes {
        Megabytes(self.config.hardware.memory_usable().0.saturating_sub(self.used.memory.0))
    }
}
