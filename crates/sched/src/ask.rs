//! A request made ready for one partition: defaults filled in, limits applied, node sets worked out.
//!
//! This is where Slurm's rules about what a request means live; the rest of the crate only compares numbers. Rules
//! without another source are as observed with Slurm 22.05 (select/cons_tres).

use muster_model::accounting::Freedom;
use muster_model::batch_features::BatchFeatures;
use muster_model::ids::Name;
use muster_model::licenses::{self, Licenses};
use muster_model::partition::{MemoryDefault, OverSubscribe, Partition};
use muster_model::request::{Refusal, RefusalCode};
use muster_model::resources::{CoreOrder, GpuTerms, GresBinding, GresScope, MemoryRequest, ResourceRequest, Sharing};
use muster_model::time::Span;
use muster_model::{config::ClusterConfig, hostlist};

use crate::constraint::Constraint;
use crate::fleet::Fleet;
use crate::gres::{self, GresNeed};
use crate::nodeset::NodeSet;

/// How tasks spread over nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spread {
    /// So many in all; each node takes what fits.
    Total(u32),
    /// So many on each node.
    PerNode(u32),
}

/// Memory to find on each node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MemoryNeed {
    /// Memory is not given away.
    NotCounted,
    /// So much.
    PerNode(u64),
    /// So much for each CPU given.
    PerCpu(u64),
    /// So much for each unit of generic resources named `gpu`.
    PerGpu(u64),
    /// All that the node has; nobody else may hold any.
    All,
}

/// How the tasks on a node are counted when they are told (`SLURM_TASKS_PER_NODE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TaskCount {
    /// As they were placed.
    Placed,
    /// This number on each node: `--ntasks-per-node` is told as given.
    Fixed(u32),
    /// As many as the CPUs given have room for: without `-n` nobody said how many.
    ByCpus,
    /// Evenly over the nodes (`--overcommit`).
    Even(u32),
}

/// A request ready to be placed in one partition.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) partition: u32,
    pub(crate) spread: Spread,
    pub(crate) task_count: TaskCount,
    pub(crate) cpus_per_task: u32,
    pub(crate) tasks_per_node_max: u32,
    pub(crate) cpus_per_node_min: u32,
    /// The column that limits the CPUs of the partition on a node.
    pub(crate) quota: Option<usize>,
    pub(crate) overcommit: bool,
    pub(crate) whole_node: bool,
    pub(crate) exclusive_user: bool,
    pub(crate) memory: MemoryNeed,
    pub(crate) gres: Vec<GresNeed>,
    pub(crate) nodes_min: u32,
    /// As many nodes as this where they are free: `-N2-4` takes four when it can.
    pub(crate) nodes_wanted: u32,
    pub(crate) nodes_max: u32,
    pub(crate) contiguous: bool,
    /// Nodes that must be part of it, ascending.
    pub(crate) required: Vec<u32>,
    /// Nodes that may be part of it, whatever their state and use.
    pub(crate) eligible: NodeSet,
    /// Sets of which at least so many nodes must be part of it, smallest set first.
    pub(crate) counted: Vec<(NodeSet, u32)>,
    /// Sets of which one must hold all its nodes; empty for no such condition.
    pub(crate) alternatives: Vec<NodeSet>,
    pub(crate) licenses: Licenses,
    /// Sockets, cores and threads; `None` for jobs that say nothing about them on a cluster that does not either.
    pub(crate) layout: Option<LayoutRule>,
    /// Cores socket by socket rather than round the sockets.
    pub(crate) cores_by_block: bool,
    /// How many jobs may be on a core that this one gets; 1 for it alone.
    pub(crate) rows: u32,
    /// Whether the cores and units of a node must be looked at one by one, beside the amounts.
    pub(crate) is_detailed: bool,
    pub(crate) binding: GresBinding,
    /// CPUs for each GPU that is counted over the job.
    pub(crate) cpus_per_gpu: u32,
    /// Sockets on which generic resources by socket are counted; `None` for all.
    pub(crate) gres_sockets: Option<u32>,
    pub(crate) order: NodeOrder,
    /// Over as many nodes as possible.
    pub(crate) is_spread: bool,
    /// Nodes to use if that lets the job start.
    pub(crate) preferred: Option<NodeSet>,
    pub(crate) switches: Option<Switches>,
    /// Nodes that must be in one block together.
    pub(crate) segment: Option<u32>,
    /// Label whose jobs alone may be on the nodes.
    pub(crate) exclusive_label: Option<Option<Name>>,
    /// How many nodes it takes where nothing runs; 0 until that has been tried.
    pub(crate) nodes_when_empty: u32,
}

/// In which order nodes are taken, where it is not the usual one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NodeOrder {
    /// Runs of neighbours.
    Usual,
    /// Most room first.
    LeastLoaded,
    /// From the last.
    FromEnd,
}

/// `--switches`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Switches {
    /// Most leaf switches.
    pub(crate) count: u32,
    /// How long a job waits for that.
    pub(crate) wait: Span,
}

/// Rules about sockets, cores and threads. 0 stands for no rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LayoutRule {
    /// Threads of a core that tasks use.
    pub(crate) threads: u32,
    /// Most tasks on a core.
    pub(crate) tasks_per_core: u32,
    /// Most tasks on a socket.
    pub(crate) tasks_per_socket: u32,
    /// Most CPUs on a socket.
    pub(crate) cpus_per_socket: u32,
    /// Cores left to the system, for jobs that say how many.
    pub(crate) cores_reserved: Option<u32>,
}

impl LayoutRule {
    /// `None` where no rule is made. Where whole nodes are given tasks take all their CPUs, whatever is said of threads and
    /// cores (as select/linear of 22.05 does).
    fn of(config: &ClusterConfig, part: &Partition, request: &ResourceRequest) -> Option<LayoutRule> {
        if config.whole_nodes {
            return None;
        }
        let layout = &request.layout;
        let one_per_core = layout.tasks_per_core.is_none() && config.placement.one_task_per_core;
        let rule = LayoutRule {
            threads: layout.threads_per_core.unwrap_or(0),
            tasks_per_core: layout.tasks_per_core.unwrap_or(u32::from(one_per_core)),
            tasks_per_socket: layout.tasks_per_socket.unwrap_or(0),
            cpus_per_socket: part.cpus_per_socket_max.unwrap_or(0),
            cores_reserved: layout.cores_reserved,
        };
        (rule != LayoutRule::default()).then_some(rule)
    }

    /// CPUs that tasks can use of `cpus`, which are given by cores of `per_core` of them.
    #[inline]
    pub(crate) fn usable(&self, cpus: u32, per_core: u32) -> u32 {
        if self.threads == 0 { cpus } else { cpus / per_core * self.threads.min(per_core) }
    }

    /// CPUs that `tasks` of so many CPUs take.
    pub(crate) fn cpus(&self, tasks: u32, cpus_per_task: u32, per_core: u32) -> Option<u32> {
        let threads = if self.threads == 0 { per_core } else { self.threads.min(per_core) };
        let mut cores = tasks.checked_mul(cpus_per_task)?.div_ceil(threads);
        if self.tasks_per_core > 0 {
            cores = cores.max(tasks.div_ceil(self.tasks_per_core));
        }
        cores.checked_mul(per_core)
    }
}

/// A request as read, before partition limits: what refusals and limits are judged by.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) ask: Ask,
    /// Least number of nodes that the request itself names.
    pub(crate) nodes_min_named: u32,
    /// Greatest number of nodes that the request itself names.
    pub(crate) nodes_max_named: Option<u32>,
    /// Tasks over the whole job, where the request says how many.
    pub(crate) tasks_named: Option<u32>,
    /// CPUs over all nodes, at the least.
    pub(crate) cpus_total: u64,
    /// Memory of a node at the least, as asked for; `None` for all of it.
    pub(crate) memory_per_node_named: Option<u64>,
    pub(crate) memory_per_node_is_named: bool,
}

/// Reads `request` for a partition, where its limits hold but for those in the freedom.
///
/// # Errors
/// What Slurm's controller refuses at submit because it can make no sense of it: unknown nodes, features, generic
/// resources or licences.
pub(crate) fn read(fleet: &Fleet, place: (u32, Freedom), request: &ResourceRequest) -> Result<Reading, Refusal> {
    let (partition, freedom) = place;
    let part = fleet.partition(partition);
    let named = Named::of(fleet, request)?;
    let memory = Memory::of(fleet, partition, request);
    let by_gpu = GpuCpus::of(part, request);
    let cpus_per_task = request.cpus_per_task.max(by_gpu.per_task).saturating_mul(memory.cpus_factor);
    let nodes_min_named = request.nodes_min.max(1).max(named.required.len() as u32);
    let nodes_min = nodes_min_named.max(named.nodes_counted());
    let (spread, task_count) = spread(request, nodes_min);
    let cpus_total = cpus_total(request, cpus_per_task, spread, nodes_min);
    let nodes = NodeCounts::of((part, freedom), request, &named, nodes_min, spread);
    let tasks_per_node_max = request.tasks_per_node.unwrap_or(u32::MAX).max(1);
    let mut ask = Ask {
        partition,
        spread,
        task_count,
        cpus_per_task,
        tasks_per_node_max: tasks_per_node_max.min(named.bounds.tasks_per_node_max),
        cpus_per_node_min: cpus_per_node_min(request, cpus_per_task, memory.cpus_min.max(by_gpu.per_node)),
        quota: fleet.quota_column(partition),
        overcommit: request.overcommit,
        whole_node: is_whole_node(fleet.config(), part, request),
        exclusive_user: request.sharing == Sharing::ExclusiveUser || part.exclusive_user,
        memory: memory.need,
        gres: named.gres,
        nodes_min: nodes.min,
        nodes_wanted: nodes.wanted,
        nodes_max: nodes.max,
        contiguous: request.contiguous,
        required: named.required,
        eligible: NodeSet::default(),
        counted: Vec::new(),
        alternatives: Vec::new(),
        licenses: named.licenses,
        layout: LayoutRule::of(fleet.config(), part, request),
        cores_by_block: match request.layout.order {
            CoreOrder::Default => fleet.config().placement.cores_by_block,
            order => order == CoreOrder::Block,
        },
        rows: rows(fleet.config(), part, request),
        is_detailed: false,
        binding: request.gpu_terms.binding,
        cpus_per_gpu: by_gpu.per_gpu,
        gres_sockets: request.layout.sockets_per_node,
        order: node_order(fleet.config(), part, request),
        is_spread: request.preference.spread,
        preferred: None,
        switches: request.preference.switches.map(|limit| {
            let most = fleet.config().placement.switch_wait_max;
            Switches { count: limit.count, wait: limit.wait.map_or(most, |wait| wait.min(most)) }
        }),
        segment: request.preference.segment,
        exclusive_label: (request.sharing == Sharing::ExclusiveMcs).then(|| request.mcs_label.clone()),
        nodes_when_empty: 0,
    };
    fill_node_sets(fleet, &mut ask, request, &named.constraint, &named.excluded);
    keep_fitting_hardware(fleet, &mut ask, request)?;
    ask.preferred = preferred(fleet, &ask, request)?;
    ask.is_detailed = is_detailed(fleet, &ask);
    Ok(Reading {
        ask,
        nodes_min_named,
        nodes_max_named: request.nodes_max,
        tasks_named: request.tasks_given.then_some(request.tasks),
        cpus_total,
        memory_per_node_named: memory.per_node,
        memory_per_node_is_named: memory.per_node_is_named,
    })
}

/// How many jobs may share a core with this one.
fn rows(config: &ClusterConfig, part: &Partition, request: &ResourceRequest) -> u32 {
    if request.layout.cores_reserved.is_some() {
        return 1;
    }
    part.over_subscribe.rows(request.sharing, config.preemption.gang)
}

fn node_order(config: &ClusterConfig, part: &Partition, request: &ResourceRequest) -> NodeOrder {
    let rules = &config.placement;
    let is_serial = request.tasks.max(1).saturating_mul(request.cpus_per_task.max(1)) == 1
        && request.nodes_min <= 1
        && request.tasks_per_node.is_none_or(|tasks| tasks <= 1);
    if rules.least_loaded || part.least_loaded {
        NodeOrder::LeastLoaded
    } else if rules.serial_at_end && is_serial {
        NodeOrder::FromEnd
    } else {
        NodeOrder::Usual
    }
}

/// Leaves out nodes without the sockets, cores and threads that are asked for.
fn keep_fitting_hardware(fleet: &Fleet, ask: &mut Ask, request: &ResourceRequest) -> Result<(), Refusal> {
    let layout = &request.layout;
    if layout.sockets_per_node.or(layout.cores_per_socket).or(layout.threads_per_core).is_none() {
        return Ok(());
    }
    let has = |node: &u32| {
        let hardware = &fleet.node(*node).hardware;
        layout.sockets_per_node.is_none_or(|sockets| hardware.sockets >= sockets)
            && layout.cores_per_socket.is_none_or(|cores| hardware.cores_per_socket >= cores)
            && layout.threads_per_core.is_none_or(|threads| hardware.threads_per_core >= threads)
    };
    if !fleet.partition_nodes[ask.partition as usize].iter().any(|node| has(&node)) {
        let detail = "Socket, core and/or thread specification can not be satisfied";
        return Err(Refusal::new(RefusalCode::NodeConfigUnavailable, detail));
    }
    ask.eligible = ask.eligible.iter().filter(has).collect();
    Ok(())
}

/// The nodes of `ask` that have what `--prefer` names. As Slurm 22.05 does, a feature that no node has is refused.
fn preferred(fleet: &Fleet, ask: &Ask, request: &ResourceRequest) -> Result<Option<NodeSet>, Refusal> {
    let Some(text) = &request.preference.features else {
        return Ok(None);
    };
    let wish = Constraint::parse(text).map_err(|_| RefusalCode::InvalidPrefer)?;
    if wish.names().any(|name| !fleet.knows_feature(name)) {
        return Err(RefusalCode::InvalidPrefer.into());
    }
    let holds: Vec<bool> = fleet.feature_sets.iter().map(|features| wish.holds(features)).collect();
    let nodes = ask.eligible.iter().filter(|node| holds[fleet.feature_class[*node as usize] as usize]).collect();
    Ok(Some(nodes))
}

/// Whether amounts alone do not tell if the job fits on a node.
fn is_detailed(fleet: &Fleet, ask: &Ask) -> bool {
    let by_layout = ask
        .layout
        .is_some_and(|rule| rule.tasks_per_socket > 0 || rule.cpus_per_socket > 0 || rule.cores_reserved.is_some());
    let by_gres = !ask.gres.is_empty()
        && (ask.binding == GresBinding::Enforced
            || ask.gres.iter().any(|need| need.is_shared || need.scope == GresScope::Socket));
    let by_parts = ask.wants_gpu() && !fleet.gpu_parts.is_empty();
    by_layout || by_gres || by_parts || ask.rows > 1 || (fleet.has_restricted_cores && !ask.wants_gpu())
}

/// CPUs that follow from GPUs, by `--cpus-per-gpu` or, for jobs that say nothing of CPUs, `DefCpuPerGPU`.
struct GpuCpus {
    per_task: u32,
    per_node: u32,
    /// For GPUs counted over the job.
    per_gpu: u32,
}

impl GpuCpus {
    fn of(part: &Partition, request: &ResourceRequest) -> GpuCpus {
        let mut cpus = GpuCpus { per_task: 1, per_node: 1, per_gpu: 0 };
        let GpuTerms { cpus: named, .. } = request.gpu_terms;
        let default = part.cpus_per_gpu_default.filter(|_| !request.cpus_per_task_given);
        let Some(each) = named.or(default) else {
            return cpus;
        };
        let sum = |scope: GresScope| -> Option<u32> {
            let lines = request.gres.iter().filter(|line| line.scope == scope && &*line.gres.name == "gpu");
            let sum = lines.map(|line| line.gres.count).fold(0, u64::saturating_add);
            (sum > 0).then(|| u32::try_from(sum).unwrap_or(u32::MAX).saturating_mul(each))
        };
        if let Some(per_task) = sum(GresScope::Task) {
            cpus.per_task = per_task;
        } else if let Some(per_node) = sum(GresScope::Node) {
            cpus.per_node = per_node;
        } else if sum(GresScope::Job).is_some() {
            cpus.per_gpu = each;
        } else if let Some(per_socket) = sum(GresScope::Socket) {
            cpus.per_node = per_socket.saturating_mul(request.layout.sockets_per_node.unwrap_or(1));
        }
        cpus
    }
}

impl Ask {
    /// CPUs that it takes at the least, whatever nodes it gets; 0 where that depends on more than its numbers.
    pub(crate) fn cpus_min(&self) -> u64 {
        if self.rows > 1 || self.overcommit || self.layout.is_some() {
            return 0;
        }
        let nodes = u64::from(self.nodes_min);
        let tasks = match self.spread {
            Spread::Total(tasks) => u64::from(tasks),
            Spread::PerNode(tasks) => u64::from(tasks) * nodes,
        };
        (tasks * u64::from(self.cpus_per_task)).max(nodes * u64::from(self.cpus_per_node_min))
    }

    /// Whether it asks for GPUs or parts of them.
    pub(crate) fn wants_gpu(&self) -> bool {
        self.gres.iter().any(|need| need.is_gpu || need.is_shared)
    }
}

/// The parts of a request that name things of the cluster.
struct Named {
    constraint: Constraint,
    required: Vec<u32>,
    excluded: NodeSet,
    gres: Vec<GresNeed>,
    bounds: gres::Bounds,
    licenses: Licenses,
}

impl Named {
    fn of(fleet: &Fleet, request: &ResourceRequest) -> Result<Named, Refusal> {
        let constraint = Constraint::parse(request.constraint.as_deref().unwrap_or(""))?;
        if constraint.names().any(|name| !fleet.knows_feature(name)) {
            return Err(RefusalCode::InvalidFeature.into());
        }
        let batch = request.preference.batch_features.as_deref().map(BatchFeatures::new);
        if batch.is_some_and(|batch| batch.names().any(|name| constraint.names().all(|known| **known != *name))) {
            return Err(RefusalCode::InvalidBatchFeature.into());
        }
        let (required, excluded) = named_nodes(fleet, request)?;
        let mut gres = gres::compile(fleet, &request.gres)?;
        let bounds = gres::reconcile(&mut gres, request.tasks.max(1))?;
        if let Some(nodes) = bounds.nodes
            && (nodes < request.nodes_min || request.nodes_max.is_some_and(|max| nodes > max))
        {
            return Err(RefusalCode::InvalidGres.into());
        }
        let licenses = read_licenses(request)?;
        Ok(Named { constraint, required, excluded, gres, bounds, licenses })
    }

    /// Least number of nodes that constraints and generic resources count.
    fn nodes_counted(&self) -> u32 {
        let counts = self.constraint.counts.iter().map(|(_, count)| *count);
        counts.fold(0, u32::saturating_add).max(self.bounds.nodes.unwrap_or(1))
    }
}

/// CPUs over all nodes, at the least.
fn cpus_total(request: &ResourceRequest, cpus_per_task: u32, spread: Spread, nodes_min: u32) -> u64 {
    let (cpus, nodes) = (u64::from(cpus_per_task), u64::from(nodes_min));
    match spread {
        _ if request.overcommit => cpus * nodes,
        Spread::Total(tasks) => u64::from(tasks) * cpus,
        Spread::PerNode(tasks) => u64::from(tasks).saturating_mul(cpus).saturating_mul(nodes),
    }
}

/// CPUs that each node of the job must give, at the least.
fn cpus_per_node_min(request: &ResourceRequest, cpus_per_task: u32, for_memory: u32) -> u32 {
    let tasks = if request.overcommit { 1 } else { request.tasks_per_node.unwrap_or(1).max(1) };
    let named = request.cpus_per_node_min.unwrap_or(1);
    named.max(for_memory).max(tasks.saturating_mul(cpus_per_task))
}

/// Nodes required and excluded by name.
fn named_nodes(fleet: &Fleet, request: &ResourceRequest) -> Result<(Vec<u32>, NodeSet), Refusal> {
    let read = |text: &Option<muster_model::ids::Name>| -> Result<NodeSet, Refusal> {
        let names = hostlist::expand(text.as_deref().unwrap_or("")).map_err(|_| RefusalCode::InvalidNodeName)?;
        let index = |name: &String| fleet.node_named(name).ok_or_else(|| RefusalCode::InvalidNodeName.into());
        names.iter().map(index).collect()
    };
    let required = read(&request.nodes_required)?;
    let excluded = read(&request.nodes_excluded)?;
    let required: Vec<u32> = required.iter().collect();
    if required.iter().any(|node| excluded.contains(*node)) {
        return Err(RefusalCode::InvalidNodeName.into());
    }
    Ok((required, excluded))
}

/// Whether there are as many is asked at submit only: what is there may become less while a job waits, and more again.
fn read_licenses(request: &ResourceRequest) -> Result<Licenses, Refusal> {
    licenses::parse(request.licenses.as_deref().unwrap_or("")).ok_or_else(|| RefusalCode::InvalidLicense.into())
}

fn spread(request: &ResourceRequest, nodes_min: u32) -> (Spread, TaskCount) {
    let tasks = request.tasks.max(1);
    let per_node = request.tasks_per_node.map(|tasks| tasks.max(1));
    if request.overcommit {
        // CPUs do not limit tasks; a node counts once and tasks are spread afterwards.
        let total = if request.tasks_given || tasks > nodes_min { tasks } else { 0 };
        return (Spread::PerNode(1), TaskCount::Even(total));
    }
    match per_node {
        Some(per_node) if !request.tasks_given => (Spread::PerNode(per_node), TaskCount::Fixed(per_node)),
        Some(per_node) => (Spread::Total(tasks), TaskCount::Fixed(per_node)),
        None if request.tasks_given => (Spread::Total(tasks), TaskCount::Placed),
        None if tasks <= nodes_min => (Spread::PerNode(1), TaskCount::ByCpus),
        None => (Spread::Total(tasks), TaskCount::Placed),
    }
}

/// Least, wanted and greatest number of nodes.
struct NodeCounts {
    min: u32,
    wanted: u32,
    max: u32,
}

impl NodeCounts {
    fn of(
        (part, freedom): (&Partition, Freedom),
        request: &ResourceRequest,
        named: &Named,
        least: u32,
        spread: Spread,
    ) -> NodeCounts {
        let tasks = request.tasks.max(1);
        let mut min = least;
        if request.nodes_max.is_none() {
            min = min.max(freedom.least_nodes(part));
        }
        if request.overcommit
            && let Some(per_node) = request.tasks_per_node
        {
            min = min.max(tasks.div_ceil(per_node.max(1)));
        }
        let asked = named.bounds.nodes.or(request.nodes_max).unwrap_or(u32::MAX);
        let mut max = asked.min(freedom.most_nodes(part).unwrap_or(u32::MAX));
        let tasks_bound = match spread {
            Spread::Total(tasks) => tasks,
            Spread::PerNode(_) if request.tasks_given => tasks,
            Spread::PerNode(_) => u32::MAX,
        };
        max = max.min(tasks_bound.max(min));
        // Without -N, tasks that are counted by node stay on the fewest nodes, unless resources counted over the
        // job (`--gpus`) need more, or the nodes between two required ones.
        let floats = request.contiguous || named.gres.iter().any(|need| need.scope == GresScope::Job);
        if request.nodes_max.is_none() && matches!(spread, Spread::PerNode(_)) && !floats && !request.preference.spread
        {
            max = max.min(min);
        }
        let preference = &request.preference;
        let is_greedy = request.nodes_max.is_some() && !preference.fewest_nodes;
        let wanted = if is_greedy || preference.spread { max.max(min) } else { min };
        NodeCounts { min, wanted, max }
    }
}

fn is_whole_node(config: &ClusterConfig, part: &Partition, request: &ResourceRequest) -> bool {
    config.whole_nodes
        || part.over_subscribe == OverSubscribe::Exclusive
        || request.sharing == Sharing::Exclusive
        || request.layout.cores_reserved.is_some()
}

fn fill_node_sets(
    fleet: &Fleet,
    ask: &mut Ask,
    request: &ResourceRequest,
    constraint: &Constraint,
    excluded: &NodeSet,
) {
    let with = |holds: &dyn Fn(&std::collections::BTreeSet<muster_model::ids::Name>) -> bool| -> NodeSet {
        let classes: Vec<bool> = fleet.feature_sets.iter().map(holds).collect();
        (0..fleet.node_count() as u32).filter(|node| classes[fleet.feature_class[*node as usize] as usize]).collect()
    };
    let mut eligible = fleet.partition_nodes[ask.partition as usize].clone();
    eligible.intersect(&with(&|features| constraint.holds(features)));
    eligible.subtract(excluded);
    let tmp_min = request.tmp_disk_min.map_or(0, |size| size.0);
    if tmp_min > 0 {
        eligible = eligible.iter().filter(|node| fleet.tmp_disk[*node as usize] >= tmp_min).collect();
    }
    if request.gres.iter().any(|wanted| fleet.is_unconsumed(&wanted.gres.name)) {
        eligible = eligible.iter().filter(|node| gres::has_unconsumed(fleet, *node, &request.gres)).collect();
    }
    if let (MemoryNeed::NotCounted, Some(MemoryRequest::PerNode(memory))) = (ask.memory, request.memory) {
        // Not given away by amount, but a node must have as much.
        eligible = eligible.iter().filter(|node| fleet.memory[*node as usize] >= memory.0).collect();
    }
    ask.counted =
        constraint.counts.iter().map(|(term, count)| (with(&|features| term.holds(features)), *count)).collect();
    // Nodes of a small set are picked before a greater set can use them up.
    ask.counted.sort_by_key(|(set, _)| set.len());
    ask.alternatives = constraint.alternatives.iter().map(|term| with(&|features| term.holds(features))).collect();
    ask.eligible = eligible;
}

/// What a request and the defaults and limits of a partition make of memory.
struct Memory {
    need: MemoryNeed,
    /// Multiplies the CPUs of each task.
    cpus_factor: u32,
    /// Least CPUs of a node.
    cpus_min: u32,
    per_node: Option<u64>,
    per_node_is_named: bool,
}

impl Memory {
    /// No request takes the partition's default, and where there is none, all memory of the node.
    fn of(fleet: &Fleet, partition: u32, request: &ResourceRequest) -> Memory {
        let part = fleet.partition(partition);
        let default = match part.memory_default {
            Some(MemoryDefault::PerNode(memory)) => Some(MemoryRequest::PerNode(memory)),
            Some(MemoryDefault::PerCpu(memory)) => Some(MemoryRequest::PerCpu(memory)),
            None => None,
        };
        let wants_gpu = request.gres.iter().any(|line| &*line.gres.name == "gpu");
        let by_gpu = part.memory_per_gpu_default.filter(|_| wants_gpu).map(MemoryRequest::PerGpu);
        let (need, per_node, per_node_is_named) = match request.memory.or(by_gpu).or(default) {
            Some(MemoryRequest::PerNode(memory)) if memory.0 > 0 => {
                (MemoryNeed::PerNode(memory.0), Some(memory.0), true)
            }
            Some(MemoryRequest::PerNode(_)) => (MemoryNeed::All, None, true),
            Some(MemoryRequest::PerCpu(memory)) => (MemoryNeed::PerCpu(memory.0), Some(memory.0), false),
            Some(MemoryRequest::PerGpu(memory)) => (MemoryNeed::PerGpu(memory.0), Some(memory.0), false),
            None => (MemoryNeed::All, None, true),
        };
        let mut memory = Memory { need, cpus_factor: 1, cpus_min: 1, per_node, per_node_is_named };
        if let Some(MemoryDefault::PerCpu(limit)) = part.memory_max {
            let nodes = fleet.partition_nodes[partition as usize].iter();
            let least = nodes.map(|node| fleet.memory[node as usize]).min().unwrap_or(0);
            memory.limit_by_cpu(limit.0, least);
        }
        if !fleet.config().memory_is_consumed {
            memory.need = MemoryNeed::NotCounted;
        }
        memory
    }

    /// `MaxMemPerCPU` is not a refusal: who wants more memory gets more CPUs with it. Nodes have `node_memory` at the
    /// least.
    fn limit_by_cpu(&mut self, limit: u64, node_memory: u64) {
        if limit == 0 {
            return;
        }
        let factor = |memory: u64| u32::try_from(memory.div_ceil(limit)).unwrap_or(u32::MAX).max(1);
        match self.need {
            MemoryNeed::PerCpu(memory) => {
                self.cpus_factor = factor(memory);
                self.need = MemoryNeed::PerCpu(memory.div_ceil(u64::from(self.cpus_factor)));
            }
            MemoryNeed::PerNode(memory) => self.cpus_min = factor(memory),
            MemoryNeed::All => self.cpus_min = factor(node_memory),
            MemoryNeed::PerGpu(_) | MemoryNeed::NotCounted => {}
        }
    }
}
