//! From amounts to the very CPUs: what the plan proposes for a node is checked against what is free now, and chosen
//! where the plan leaves the choice.

use muster_model::ids::{Name, NodeIndex};
use muster_model::job::Job;
use muster_model::node::{CpuRow, Node};
use muster_model::partition::Partition;
use muster_model::planning::PlannedShare;
use muster_model::resources::{GresShare, IndexSet, NodeShare, Sharing};

use crate::cluster::Cluster;
use crate::handlers::reservations::access::Closed;

/// Who asks for a share, and on what terms.
pub(crate) struct Claim<'a> {
    pub(crate) uid: u32,
    pub(crate) label: Option<&'a Name>,
    pub(crate) exclusive_user: bool,
    pub(crate) exclusive_label: bool,
    pub(crate) partition: &'a Name,
    /// How many jobs of the partition may be on one core with this one among them.
    pub(crate) rows: u32,
    /// `--core-spec` lets the job have cores that the node reserves otherwise.
    pub(crate) may_use_reserved: bool,
}

impl<'a> Claim<'a> {
    /// What `job` claims in `partition`, which may be gone from the configuration while the job still runs.
    /// Where sharing goes in `turns`, jobs do not have to ask for it.
    pub(crate) fn of(job: &'a Job, partition: Option<&'a Partition>, turns: bool) -> Claim<'a> {
        let request = &job.spec.request;
        // Cores that the system gave up are nobody else's.
        let shares = partition.filter(|_| request.layout.cores_reserved.is_none());
        let rows = shares.map_or(1, |partition| partition.over_subscribe.rows(request.sharing, turns));
        Claim {
            uid: job.spec.identity.uid,
            label: request.mcs_label.as_ref(),
            exclusive_user: request.sharing == Sharing::ExclusiveUser
                || partition.is_some_and(|own| own.exclusive_user),
            exclusive_label: request.sharing == Sharing::ExclusiveMcs,
            partition: partition.map_or(&job.partition, |own| &own.name),
            rows,
            may_use_reserved: request.layout.cores_reserved.is_some(),
        }
    }
}

/// The share that a plan proposes, made exact; `None` when it does not fit any more.
pub(crate) fn realise(
    cluster: &Cluster,
    planned: &PlannedShare,
    claim: &Claim<'_>,
    closed: &Closed,
) -> Option<NodeShare> {
    let node = cluster.nodes.get(planned.node.0 as usize)?;
    if !node.is_schedulable() || (claim.rows == 1 && !claim.may_use_reserved && planned.cpus > node.cpus_free()) {
        return None;
    }
    if cluster.config.memory_is_consumed && planned.memory > node.memory_free() {
        return None;
    }
    let is_open = |wanted: &GresShare| gres_is_free(node, wanted) && closed.gres_is_open(wanted);
    if !is_admitted(cluster, node, planned.node, claim) || !planned.gres.iter().all(is_open) {
        return None;
    }
    let cpus = match &planned.cpu_set {
        Some(cpus) if !cpus.is_disjoint(&closed.cpus) => return None,
        Some(cpus) => check_cpus(node, cpus, planned.cpus, claim)?,
        None => choose_cpus(node, planned.cpus, closed)?,
    };
    Some(NodeShare {
        node: planned.node,
        cpus,
        memory: planned.memory,
        gres: planned.gres.clone(),
        tasks: planned.tasks,
    })
}

/// Whether whoever has the node for himself, and whoever wants it so, agree with who is there.
fn is_admitted(cluster: &Cluster, node: &Node, index: NodeIndex, claim: &Claim<'_>) -> bool {
    let used = &node.used;
    if used.exclusive_user.is_some_and(|owner| owner != claim.uid)
        || used.exclusive_label.as_ref().is_some_and(|label| Some(label) != claim.label)
    {
        return false;
    }
    let must_look = claim.exclusive_user && used.exclusive_user.is_none() || claim.exclusive_label;
    if !must_look || used.jobs_running + used.jobs_completing == 0 {
        return true;
    }
    let mut there = cluster.node_jobs.get(&index).into_iter().flatten();
    there.all(|id| {
        cluster.jobs.get(id).is_some_and(|job| {
            let same_user = job.spec.identity.uid == claim.uid;
            let same_label = job.spec.request.mcs_label.as_ref() == claim.label;
            (!claim.exclusive_user || same_user) && (!claim.exclusive_label || same_label)
        })
    })
}

/// The CPUs that a plan chose, if all of them can be given: they exist, are not reserved, and are either free or
/// shared with jobs of the partition as far as its rows go.
fn check_cpus(node: &Node, cpus: &IndexSet, count: u32, claim: &Claim<'_>) -> Option<IndexSet> {
    let (hardware, used) = (&node.config.hardware, &node.used);
    let exist = cpus.iter().all(|cpu| cpu < hardware.cpus);
    let may_be_given = claim.may_use_reserved || cpus.is_disjoint(&hardware.cpus_reserved);
    if cpus.len() != count || !exist || !may_be_given {
        return None;
    }
    if cpus.is_disjoint(&used.cpus) {
        return Some(cpus.clone());
    }
    let mut others = used.cpus.clone();
    let mine = used.rows.iter().filter(|row| row.partition == *claim.partition);
    mine.for_each(|row| others.remove_all(&row.cpus));
    let has_room = claim.rows > 1
        && cpus.is_disjoint(&others)
        && CpuRow::room(&used.rows, claim.partition, claim.rows, cpus).is_some();
    has_room.then(|| cpus.clone())
}

fn gres_is_free(node: &Node, wanted: &GresShare) -> bool {
    let total: u64 =
        node.config.hardware.gres.iter().filter(|gres| gres.name == wanted.name).map(|gres| gres.count).sum();
    let exists = wanted.units.iter().all(|unit| u64::from(unit) < total);
    exists
        && is_unmixed(node, wanted)
        && node
            .used
            .gres
            .iter()
            .filter(|held| held.name == wanted.name)
            .all(|held| held.units.is_disjoint(&wanted.units))
}

/// Whether no GPU would be given whole and in parts, or in parts of two kinds, at once.
fn is_unmixed(node: &Node, wanted: &GresShare) -> bool {
    const PARTS: [&str; 2] = ["shard", "mps"];
    let hardware = &node.config.hardware;
    let total =
        |name: &str| hardware.gres.iter().filter(|gres| &*gres.name == name).map(|gres| gres.count).sum::<u64>();
    let gpus = total("gpu");
    let wants_parts = PARTS.contains(&&*wanted.name);
    if gpus == 0 || !(wants_parts || &*wanted.name == "gpu") {
        return true;
    }
    let gpus_of = |share: &GresShare| -> IndexSet {
        let per_gpu = (total(&share.name) / gpus).max(1);
        let mut set = IndexSet::default();
        let gpu = |unit: u32| u32::try_from(u64::from(unit) / per_gpu).unwrap_or(u32::MAX);
        share.units.iter().for_each(|unit| set.insert(gpu(unit).min(u32::try_from(gpus).unwrap_or(u32::MAX))));
        set
    };
    let mine = gpus_of(wanted);
    let others = node.used.gres.iter().filter(|held| held.name != wanted.name);
    (!wants_parts || mine.len() <= 1)
        && others
            .filter(|held| &*held.name == "gpu" || PARTS.contains(&&*held.name))
            .all(|held| gpus_of(held).is_disjoint(&mine))
}

/// The lowest free CPUs, whole cores first, so that threads of one core go to one job.
fn choose_cpus(node: &Node, count: u32, closed: &Closed) -> Option<IndexSet> {
    let hardware = &node.config.hardware;
    let threads = hardware.threads_per_core.max(1);
    let free =
        |cpu: u32| !node.used.cpus.contains(cpu) && !closed.cpus.contains(cpu) && !hardware.cpus_reserved.contains(cpu);
    let mut chosen = IndexSet::default();
    let mut left = count;
    let mut cpu = 0;
    while left >= threads && cpu + threads <= hardware.cpus {
        if (cpu..cpu + threads).all(free) {
            (cpu..cpu + threads).for_each(|thread| chosen.insert(thread));
            left -= threads;
        }
        cpu += threads;
    }
    for cpu in 0..hardware.cpus {
        if left == 0 {
            break;
        }
        if free(cpu) && !chosen.contains(cpu) {
            chosen.insert(cpu);
            left -= 1;
        }
    }
    (left == 0).then_some(chosen)
}

/// Nodes of an allocation as a set of indices, for messages about them.
pub(crate) fn nodes_of(shares: &[NodeShare]) -> impl Iterator<Item = NodeIndex> + '_ {
    shares.iter().map(|share| share.node)
}
