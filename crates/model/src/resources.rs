//! What a job asks for and what it is given: CPUs, memory, generic resources, nodes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{Name, NodeIndex};
use crate::priority::Weight;
use crate::time::Span;

/// An amount of memory in mebibytes, Slurm's unit for memory everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Megabytes(pub u64);

impl Megabytes {
    /// Reads Slurm's grammar: a number with an optional suffix `K M G T` (and an optional `B`), base 1024,
    /// default MiB. Kibibytes round up. `None` when malformed or too large.
    pub fn parse(text: &str) -> Option<Megabytes> {
        let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, suffix) = text.split_at(digits_end);
        let number: u64 = digits.parse().ok()?;
        let suffix = suffix.to_ascii_uppercase();
        let megabytes = match suffix.strip_suffix('B').filter(|unit| !unit.is_empty()).unwrap_or(&suffix) {
            "" | "M" => number,
            "K" => number.div_ceil(1024),
            "G" => number.checked_mul(1 << 10)?,
            "T" => number.checked_mul(1 << 20)?,
            _ => return None,
        };
        Some(Megabytes(megabytes))
    }
}

/// How much memory a job needs, and counted by what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryRequest {
    /// `--mem`: on each node. Zero asks for all of a node's memory.
    PerNode(Megabytes),
    /// `--mem-per-cpu`: for each allocated CPU.
    PerCpu(Megabytes),
    /// `--mem-per-gpu`: for each allocated GPU.
    PerGpu(Megabytes),
}

/// A generic resource with its amount: `gpu:2`, `gpu:h100:4`, `shard:1`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Gres {
    /// Kind of resource, such as `gpu`.
    pub name: Name,
    /// Type within the kind, such as `h100`; `None` matches any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Name>,
    /// How many.
    pub count: u64,
}

/// Prints `name[:type]:count`.
impl fmt::Display for Gres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Some(kind) => write!(f, "{}:{}:{}", self.name, kind, self.count),
            None => write!(f, "{}:{}", self.name, self.count),
        }
    }
}

/// By what the amounts in a list of generic resources are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GresScope {
    /// `--gres`, `--gpus-per-node`.
    Node,
    /// `--gpus`: over the whole job, the number of nodes may float.
    Job,
    /// `--gpus-per-socket`.
    Socket,
    /// `--gpus-per-task`.
    Task,
}

/// One line of a request for generic resources.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GresRequest {
    /// Counted by node, job, socket or task.
    pub scope: GresScope,
    /// What and how many.
    pub gres: Gres,
}

/// Whether others may share the nodes of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sharing {
    /// As the partition says; cores are given to one job only.
    #[default]
    Default,
    /// `--oversubscribe`: cores may be shared where the partition allows it.
    Oversubscribe,
    /// `--exclusive`: whole nodes.
    Exclusive,
    /// `--exclusive=user`: nodes shared only with jobs of the same user.
    ExclusiveUser,
    /// `--exclusive=mcs`: nodes shared only with jobs of the same label.
    ExclusiveMcs,
}

/// Over which sockets the cores of a job are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CoreOrder {
    /// As the cluster says: round the sockets, or by block with `CR_CORE_DEFAULT_DIST_BLOCK`.
    #[default]
    Default,
    /// `-m *:block`: socket by socket.
    Block,
    /// `-m *:cyclic`: round the sockets.
    Cyclic,
}

/// What a job wants of the sockets, cores and threads of its nodes. `None` leaves it open.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CoreLayout {
    /// `--sockets-per-node`, `-B S`: least number of sockets of a node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sockets_per_node: Option<u32>,
    /// `--cores-per-socket`, `-B S:C`: least number of cores of a socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores_per_socket: Option<u32>,
    /// `--threads-per-core`, `-B S:C:T`, `--hint`: threads of a core that tasks use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads_per_core: Option<u32>,
    /// `--ntasks-per-socket`: most tasks on a socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks_per_socket: Option<u32>,
    /// `--ntasks-per-core`: most tasks on a core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks_per_core: Option<u32>,
    /// `--core-spec`: cores of each node that the job leaves to the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores_reserved: Option<u32>,
    /// `-m`, second level.
    pub order: CoreOrder,
}

impl CoreLayout {
    /// Whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == CoreLayout::default()
    }
}

/// `--switches=count@wait`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SwitchLimit {
    /// Most leaf switches.
    pub count: u32,
    /// How long to wait for that; `None` for as long as the cluster allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Span>,
}

/// Which nodes a job had rather than others.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NodePreference {
    /// `--spread-job`: over as many nodes as possible, evenly.
    pub spread: bool,
    /// `--use-min-nodes`: of a range the smaller number.
    pub fewest_nodes: bool,
    /// `--prefer` as written: features that nodes have if that lets the job start now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<Name>,
    /// `--batch` as written: features of the node on which the script runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_features: Option<Name>,
    /// `--switches`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub switches: Option<SwitchLimit>,
    /// `--segment`: nodes that must lie within one block together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment: Option<u32>,
}

impl NodePreference {
    /// Whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == NodePreference::default()
    }
}

/// `--gres-flags`: whether cores must be near the generic resources that go with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GresBinding {
    /// Near where possible.
    #[default]
    Preferred,
    /// `enforce-binding`: only cores that `gres.conf` names for the units.
    Enforced,
    /// `disable-binding`: wherever.
    Disabled,
}

/// What counts by GPU, beside the generic resources themselves.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GpuTerms {
    /// `--cpus-per-gpu`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u32>,
    /// `--gres-flags`.
    pub binding: GresBinding,
}

impl GpuTerms {
    /// Whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == GpuTerms::default()
    }
}

/// Everything that decides where a job can run. Jobs with equal requests (and partition, account, QOS and
/// limit) form one *shape*: the scheduler works once for all of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ResourceRequest {
    /// Least number of nodes (`-N min`), at least 1.
    pub nodes_min: u32,
    /// Greatest number of nodes; `None` when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes_max: Option<u32>,
    /// Number of tasks (`-n`), at least 1. Derived from other options where not given.
    pub tasks: u32,
    /// Whether `-n` was given by the user.
    #[serde(default)]
    pub tasks_given: bool,
    /// CPUs of each task (`-c`), at least 1. They are on one node.
    pub cpus_per_task: u32,
    /// Whether `-c` was given by the user (`SLURM_CPUS_PER_TASK` is set only then).
    #[serde(default)]
    pub cpus_per_task_given: bool,
    /// `--ntasks-per-node`: exact when `-n` is absent, else a maximum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks_per_node: Option<u32>,
    /// `--mincpus`: least CPUs on each node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus_per_node_min: Option<u32>,
    /// `--mem` and its kin; `None` when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryRequest>,
    /// `--tmp`: least size of the temporary file system of each node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tmp_disk_min: Option<Megabytes>,
    /// Generic resources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gres: Vec<GresRequest>,
    /// `--constraint` as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constraint: Option<Name>,
    /// `--nodelist`: nodes that must be part of the allocation, in host list form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes_required: Option<Name>,
    /// `--exclude`: nodes that must not be part of it, in host list form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes_excluded: Option<Name>,
    /// Whole nodes or shared.
    #[serde(default)]
    pub sharing: Sharing,
    /// `--contiguous`.
    #[serde(default)]
    pub contiguous: bool,
    /// `--overcommit`: tasks may exceed CPUs.
    #[serde(default)]
    pub overcommit: bool,
    /// `--licenses` as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licenses: Option<Name>,
    /// Sockets, cores and threads.
    #[serde(default, skip_serializing_if = "CoreLayout::is_default")]
    pub layout: CoreLayout,
    /// Which nodes rather than others.
    #[serde(default, skip_serializing_if = "NodePreference::is_default")]
    pub preference: NodePreference,
    /// What counts by GPU.
    #[serde(default, skip_serializing_if = "GpuTerms::is_default")]
    pub gpu_terms: GpuTerms,
    /// `--mcs-label`: jobs with another label do not share nodes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mcs_label: Option<Name>,
}

impl Default for ResourceRequest {
    /// One task with one CPU on one node.
    fn default() -> Self {
        ResourceRequest {
            nodes_min: 1,
            nodes_max: None,
            tasks: 1,
            tasks_given: false,
            cpus_per_task: 1,
            cpus_per_task_given: false,
            tasks_per_node: None,
            cpus_per_node_min: None,
            memory: None,
            tmp_disk_min: None,
            gres: Vec::new(),
            constraint: None,
            nodes_required: None,
            nodes_excluded: None,
            sharing: Sharing::Default,
            contiguous: false,
            overcommit: false,
            licenses: None,
            layout: CoreLayout::default(),
            preference: NodePreference::default(),
            gpu_terms: GpuTerms::default(),
            mcs_label: None,
        }
    }
}

/// A set of small numbers (CPUs of a node, devices of a gres) as a bit map.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IndexSet {
    words: Vec<u64>,
}

impl IndexSet {
    /// `0..count`.
    pub fn first_n(count: u32) -> IndexSet {
        let mut set = IndexSet::default();
        (0..count).for_each(|index| set.insert(index));
        set
    }

    /// Puts `index` in.
    pub fn insert(&mut self, index: u32) {
        let word = (index / 64) as usize;
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (index % 64);
    }

    /// Takes `index` out.
    pub fn remove(&mut self, index: u32) {
        if let Some(word) = self.words.get_mut((index / 64) as usize) {
            *word &= !(1 << (index % 64));
        }
        while self.words.last() == Some(&0) {
            self.words.pop();
        }
    }

    /// Whether `index` is in the set.
    pub fn contains(&self, index: u32) -> bool {
        self.words.get((index / 64) as usize).is_some_and(|word| word & (1 << (index % 64)) != 0)
    }

    /// Number of members.
    pub fn len(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Members, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(word, bits)| {
            (0..64).filter(move |bit| bits & (1 << bit) != 0).map(move |bit| word as u32 * 64 + bit)
        })
    }

    /// Adds all members of `other`.
    pub fn add_all(&mut self, other: &IndexSet) {
        other.iter().for_each(|index| self.insert(index));
    }

    /// Keeps only the members that are in `other` too.
    pub fn keep_all(&mut self, other: &IndexSet) {
        self.words.truncate(other.words.len());
        self.words.iter_mut().zip(&other.words).for_each(|(ours, theirs)| *ours &= theirs);
        while self.words.last() == Some(&0) {
            self.words.pop();
        }
    }

    /// Removes all members of `other`.
    pub fn remove_all(&mut self, other: &IndexSet) {
        other.iter().for_each(|index| self.remove(index));
    }

    /// Whether no member is in both.
    pub fn is_disjoint(&self, other: &IndexSet) -> bool {
        self.words.iter().zip(&other.words).all(|(a, b)| a & b == 0)
    }
}

/// Prints ascending ranges: `0-3,8`.
impl FromIterator<u32> for IndexSet {
    fn from_iter<I: IntoIterator<Item = u32>>(indices: I) -> IndexSet {
        let mut set = IndexSet::default();
        indices.into_iter().for_each(|index| set.insert(index));
        set
    }
}

impl fmt::Display for IndexSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut members = self.iter().peekable();
        let mut first_part = true;
        while let Some(first) = members.next() {
            let mut last = first;
            while members.peek() == Some(&(last + 1)) {
                last += 1;
                members.next();
            }
            let comma = if first_part { "" } else { "," };
            first_part = false;
            if first == last { write!(f, "{comma}{first}")? } else { write!(f, "{comma}{first}-{last}")? }
        }
        Ok(())
    }
}

/// What one job holds on one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeShare {
    /// The node.
    pub node: NodeIndex,
    /// CPUs held, as numbers within the node.
    pub cpus: IndexSet,
    /// Memory held.
    pub memory: Megabytes,
    /// Generic resources held.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gres: Vec<GresShare>,
    /// Tasks of the job that fit here (`SLURM_TASKS_PER_NODE`).
    pub tasks: u32,
}

impl NodeShare {
    /// Adds what `other` has of the same node.
    fn widen(&mut self, other: &NodeShare) {
        self.cpus.add_all(&other.cpus);
        self.memory.0 = self.memory.0.saturating_add(other.memory.0);
        self.tasks = self.tasks.saturating_add(other.tasks);
        for gres in &other.gres {
            let same = |own: &&mut GresShare| own.name == gres.name && own.kind == gres.kind;
            match self.gres.iter_mut().find(same) {
                Some(own) => own.units.add_all(&gres.units),
                None => self.gres.push(gres.clone()),
            }
        }
    }
}

/// Units of one generic resource held on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GresShare {
    /// Kind of resource.
    pub name: Name,
    /// Type, where the node's units have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Name>,
    /// Which units, numbered over all units of `name` on the node.
    pub units: IndexSet,
}

/// Everything a started job holds. Nodes are ascending by index; the first runs the batch script, and stays the first where the
/// job got others later.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Allocation {
    /// One entry for each node.
    pub shares: Vec<NodeShare>,
    /// What it is billed for each second, as the weights of its partition were when it was given; `None` in rows of versions
    /// that did not write it down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing: Option<Weight>,
}

impl From<Vec<NodeShare>> for Allocation {
    /// These shares, billed for their CPUs.
    fn from(shares: Vec<NodeShare>) -> Allocation {
        Allocation { shares, billing: None }
    }
}

impl Allocation {
    /// What it is billed for each second, as it is shown and limited: without its fraction. Its CPUs where nothing else is written
    /// down.
    pub fn billing(&self) -> u64 {
        self.billing.map_or_else(|| u64::from(self.cpus()), |billing| billing.0 as u64)
    }

    /// CPUs over all nodes.
    pub fn cpus(&self) -> u32 {
        self.shares.iter().map(|share| share.cpus.len()).sum()
    }

    /// Memory over all nodes.
    pub fn memory(&self) -> Megabytes {
        Megabytes(self.shares.iter().map(|share| share.memory.0).sum())
    }

    /// These shares and `others`, as one.
    pub fn joined(&self, others: &[NodeShare]) -> Allocation {
        let mut shares = self.shares.clone();
        for other in others {
            match shares.iter_mut().find(|share| share.node == other.node) {
                Some(share) => share.widen(other),
                None => shares.push(other.clone()),
            }
        }
        if let Some(rest) = shares.get_mut(1..) {
            rest.sort_by_key(|share| share.node);
        }
        Allocation::from(shares)
    }

    /// The share on `node`, if the job has one.
    pub fn share(&self, node: NodeIndex) -> Option<&NodeShare> {
        self.shares.iter().find(|share| share.node == node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_reads_as_slurm_reads_it() {
        let check =
            |text: &str, expected: Option<u64>| assert_eq!(Megabytes::parse(text).map(|m| m.0), expected, "{text}");
        check("4000", Some(4000));
        check("4G", Some(4096));
        check("100mb", Some(100));
        check("1025K", Some(2));
        check("2T", Some(2 << 20));
        for bad in ["", "G", "4X", "-1", "1.5G", "B", "99999999999999999999"] {
            check(bad, None);
        }
    }

    #[test]
    fn index_sets_print_ranges() {
        let mut set = IndexSet::first_n(4);
        set.insert(8);
        set.insert(70);
        assert_eq!((set.to_string().as_str(), set.len()), ("0-3,8,70", 6));
        set.remove(70);
        set.remove(1);
        assert_eq!(set.to_string(), "0,2-3,8");
    }
}
