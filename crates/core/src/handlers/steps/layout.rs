//! Where the tasks of a step go: nodes, ranks, CPUs, memory and units within the allocation of its job.

use std::collections::BTreeSet;

use muster_model::hostlist;
use muster_model::ids::{JobId, Name, NodeIndex, StepId};
use muster_model::job::Job;
use muster_model::request::{Refusal, RefusalCode};
use muster_model::resources::{IndexSet, Megabytes, MemoryRequest, NodeShare};
use muster_model::step::{Distribution, StepNode, StepRequest};

use super::gres::{self, Units};
use crate::cluster::Cluster;

/// Why a step has no layout.
pub(super) enum NoRoom {
    /// Other steps of the job are in the way.
    Busy,
    /// The job can never hold it.
    Never(Refusal),
}

impl From<RefusalCode> for NoRoom {
    fn from(code: RefusalCode) -> NoRoom {
        NoRoom::Never(code.into())
    }
}

/// What of a share a step may use: all of it when it overlaps, else what no other step holds.
pub(super) struct Room<'a> {
    pub(super) share: &'a NodeShare,
    free: IndexSet,
    /// Units of generic resources that no other step has for itself.
    pub(super) units: Units,
    /// Tasks that fit.
    tasks: u32,
}

/// Finds room for a step.
pub(super) fn lay_out(cluster: &Cluster, job: &Job, request: &StepRequest) -> Result<Vec<StepNode>, NoRoom> {
    let allocation = job.allocation.as_ref().ok_or(RefusalCode::AlreadyDone)?;
    let shares = usable_shares(cluster, &allocation.shares, request)?;
    gres::check(&allocation.shares, request)?;
    let ever: Vec<Room<'_>> =
        shares.iter().map(|share| room(share, share.cpus.clone(), Units::of(share), request)).collect();
    let order = task_order(cluster, request)?;
    let order = order.as_deref();
    let (counts, granted) = place(&ever, request, order)?;
    if request.overlap {
        return Ok(assign(&ever, &counts, granted, request, order));
    }
    let now = shares.iter().map(|share| {
        let free = free_cpus(cluster, job.id, share);
        // Without --exact a step takes whole shares, so a share that another step uses has no room.
        let free = if request.exact || free.len() == share.cpus.len() { free } else { IndexSet::default() };
        room(share, free, Units::free(cluster, job.id, share), request)
    });
    let now: Vec<Room<'_>> = now.collect();
    let (counts, granted) = place(&now, request, order).map_err(|_| NoRoom::Busy)?;
    Ok(assign(&now, &counts, granted, request, order))
}

/// The node of each task, where that is said.
fn task_order(cluster: &Cluster, request: &StepRequest) -> Result<Option<Vec<NodeIndex>>, NoRoom> {
    let Some(list) = &request.task_nodes else { return Ok(None) };
    let invalid = || NoRoom::from(RefusalCode::StepTooLarge);
    let names = hostlist::expand(list).map_err(|_| invalid())?;
    if names.len() != request.tasks as usize {
        return Err(invalid());
    }
    let nodes = names.iter().map(|name| cluster.node_index.get(&**name).copied().ok_or_else(invalid));
    nodes.collect::<Result<_, _>>().map(Some)
}

/// As many tasks on each room as the list says; `None` where one has no room for its.
fn deal_in_order(rooms: &[Room<'_>], order: &[NodeIndex]) -> Option<Vec<u32>> {
    let wanted = |room: &Room<'_>| order.iter().filter(|node| **node == room.share.node).count() as u32;
    let counts: Vec<u32> = rooms.iter().map(wanted).collect();
    let is_all = counts.iter().map(|count| *count as usize).sum::<usize>() == order.len();
    let fits = rooms.iter().zip(&counts).all(|(room, count)| *count <= room.tasks);
    (is_all && fits).then_some(counts)
}

/// Tasks and units on each room; the refusal is for rooms that nobody else uses.
fn place(
    rooms: &[Room<'_>],
    request: &StepRequest,
    order: Option<&[NodeIndex]>,
) -> Result<(Vec<u32>, Vec<Units>), NoRoom> {
    let usable = rooms.iter().filter(|room| room.tasks > 0).count();
    let nodes_min = request.nodes.map_or(1, |(min, _)| min.min(request.tasks) as usize);
    let wide = rooms.iter().filter(|room| room.free.len() >= request.cpus_per_task).count();
    let lacks_cpus = rooms.len() >= nodes_min && wide < nodes_min;
    let too_few = if usable < nodes_min && !lacks_cpus { RefusalCode::StepTooLarge } else { RefusalCode::TooManyCpus };
    let counts = order
        .map_or_else(|| deal(rooms, request), |order| deal_in_order(rooms, order))
        .ok_or_else(|| if lacks_units(rooms, request) { RefusalCode::InsufficientGres } else { too_few })?;
    let granted = gres::grant(rooms, &counts, request).ok_or(RefusalCode::InsufficientGres)?;
    Ok((counts, granted))
}

/// Whether there would be room for the tasks if they needed no units.
fn lacks_units(rooms: &[Room<'_>], request: &StepRequest) -> bool {
    let bare = StepRequest { gres: Vec::new(), ..request.clone() };
    let rooms: Vec<Room<'_>> =
        rooms.iter().map(|held| room(held.share, held.free.clone(), held.units.clone(), &bare)).collect();
    !request.gres.is_empty() && deal(&rooms, &bare).is_some()
}

/// Shares of the nodes that the step may use, in the order of the allocation.
fn usable_shares<'a>(
    cluster: &Cluster,
    shares: &'a [NodeShare],
    request: &StepRequest,
) -> Result<Vec<&'a NodeShare>, NoRoom> {
    let named = |list: &Option<Name>| -> Result<BTreeSet<NodeIndex>, NoRoom> {
        let names = list.as_deref().map_or(Ok(Vec::new()), hostlist::expand);
        // To a step a node that nobody knows is one that its job does not have.
        let invalid = || NoRoom::from(RefusalCode::StepTooLarge);
        names
            .map_err(|_| invalid())?
            .iter()
            .map(|name| cluster.node_index.get(&**name).copied().ok_or_else(invalid))
            .collect()
    };
    let required = named(&request.nodes_required)?;
    let excluded = named(&request.nodes_excluded)?;
    let held: BTreeSet<NodeIndex> = shares.iter().map(|share| share.node).collect();
    if !required.is_subset(&held) || request.first_node as usize >= shares.len() {
        return Err(NoRoom::Never(RefusalCode::StepTooLarge.into()));
    }
    let usable = shares.iter().skip(request.first_node as usize).filter(|share| !excluded.contains(&share.node));
    let mut usable: Vec<&NodeShare> = usable.collect();
    // Named nodes come first; others only fill up what is missing.
    let more_wanted = request.nodes.map_or(0, |(min, _)| min as usize) > required.len();
    if !required.is_empty() && !more_wanted {
        usable.retain(|share| required.contains(&share.node));
    }
    Ok(usable)
}

fn room<'a>(share: &'a NodeShare, free: IndexSet, units: Units, request: &StepRequest) -> Room<'a> {
    let fit = if request.overcommit { u32::MAX } else { free.len() / request.cpus_per_task };
    let fit = fit.min(gres::tasks_max(&units, request));
    let tasks = if free.is_empty() { 0 } else { fit.min(request.tasks_per_node.unwrap_or(u32::MAX)) };
    Room { share, free, units, tasks }
}

/// CPUs of a share that no running step holds. The batch script shares with all steps.
fn free_cpus(cluster: &Cluster, job_id: JobId, share: &NodeShare) -> IndexSet {
    let mut free = share.cpus.clone();
    for step in cluster.steps_of(job_id).filter(|step| step.step_id != StepId::Batch) {
        for on in step.layout.iter().filter(|on| on.node == share.node && step.nodes_left.contains(&on.node)) {
            free.remove_all(&on.cpus);
        }
    }
    free
}

/// How many tasks each room gets, or `None` when they do not all fit. Rooms beyond the nodes in use get none.
fn deal(rooms: &[Room<'_>], request: &StepRequest) -> Option<Vec<u32>> {
    let usable: Vec<usize> = (0..rooms.len()).filter(|at| rooms[*at].tasks > 0).collect();
    let nodes_max =
        request.nodes.map_or(usable.len(), |(_, max)| max as usize).min(request.tasks as usize).min(usable.len());
    let nodes_min = request.nodes.map_or(1, |(min, _)| min.min(request.tasks) as usize);
    if usable.len() < nodes_min || nodes_max < nodes_min {
        return None;
    }
    // The fewest nodes that hold all tasks, but not fewer than asked for.
    let fits = |nodes: usize| {
        usable[..nodes].iter().map(|at| u64::from(rooms[*at].tasks)).sum::<u64>() >= u64::from(request.tasks)
    };
    let nodes = (nodes_min..=nodes_max).find(|nodes| fits(*nodes))?;
    let chosen = &usable[..nodes];
    let mut counts = vec![0; rooms.len()];
    let mut left = request.tasks;
    for at in chosen {
        counts[*at] = 1;
        left -= 1;
    }
    // Blocks as well are dealt round the nodes: what differs is which ranks a node gets.
    let turn = if let Distribution::Plane(size) = request.distribution { size.max(1) } else { 1 };
    let mut more = if turn == 1 { 0 } else { turn - 1 };
    while left > 0 {
        for at in chosen {
            let part = more.min(rooms[*at].tasks - counts[*at]).min(left);
            counts[*at] += part;
            left -= part;
        }
        more = turn;
    }
    Some(counts)
}

/// Ranks, CPUs and memory on each node that gets tasks.
fn assign(
    rooms: &[Room<'_>],
    counts: &[u32],
    granted: Vec<Units>,
    request: &StepRequest,
    order: Option<&[NodeIndex]>,
) -> Vec<StepNode> {
    let mut ranks = match order {
        Some(order) => {
            let own = |room: &Room<'_>| {
                let ranks = (0..).zip(order).filter(|(_, node)| **node == room.share.node);
                ranks.map(|(rank, _)| rank).collect::<Vec<u32>>()
            };
            rooms.iter().map(own).collect()
        }
        None => deal_ranks(counts, request.distribution),
    };
    let mut layout = Vec::new();
    for ((at, room), units) in rooms.iter().enumerate().zip(granted).filter(|((at, _), _)| counts[*at] > 0) {
        let wanted = counts[at].saturating_mul(request.cpus_per_task);
        let mut cpus = IndexSet::default();
        if request.exact {
            room.free.iter().take(wanted as usize).for_each(|cpu| cpus.insert(cpu));
        } else {
            cpus = room.free.clone();
        }
        let memory = match request.memory {
            Some(MemoryRequest::PerNode(memory)) => memory,
            Some(MemoryRequest::PerCpu(memory)) => Megabytes(memory.0.saturating_mul(cpus.len().into())),
            _ => room.share.memory,
        };
        layout.push(StepNode {
            node: room.share.node,
            ranks: std::mem::take(&mut ranks[at]),
            cpus,
            memory,
            gres: units.into_shares(),
            launch_sequence: 0,
        });
    }
    layout
}

fn deal_ranks(counts: &[u32], distribution: Distribution) -> Vec<Vec<u32>> {
    let mut ranks: Vec<Vec<u32>> = counts.iter().map(|count| Vec::with_capacity(*count as usize)).collect();
    // How many ranks a node gets before it is the next one's turn.
    let turn = match distribution {
        Distribution::Block => usize::MAX,
        Distribution::Cyclic => 1,
        Distribution::Plane(size) => size.max(1) as usize,
    };
    let total: u32 = counts.iter().sum();
    let mut next = 0;
    while next < total {
        for (ranks, count) in ranks.iter_mut().zip(counts) {
            let part = turn.min((*count as usize).saturating_sub(ranks.len())) as u32;
            ranks.extend(next..next + part);
            next += part;
        }
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(cpus: u32, node: u32) -> NodeShare {
        NodeShare {
            node: NodeIndex(node),
            cpus: IndexSet::first_n(cpus),
            memory: Megabytes(0),
            gres: Vec::new(),
            tasks: 0,
        }
    }

    /// Deals tasks to nodes with these numbers of CPUs; the ranks of each node.
    fn dealt(cpus: &[u32], request: &StepRequest) -> Option<Vec<Vec<u32>>> {
        let shares: Vec<NodeShare> = cpus.iter().zip(0..).map(|(cpus, node)| share(*cpus, node)).collect();
        let rooms: Vec<Room<'_>> =
            shares.iter().map(|share| room(share, share.cpus.clone(), Units::of(share), request)).collect();
        deal(&rooms, request).map(|counts| deal_ranks(&counts, request.distribution))
    }

    fn request(tasks: u32, nodes: u32, distribution: Distribution) -> StepRequest {
        StepRequest {
            name: "x".into(),
            tasks,
            nodes: Some((nodes, nodes)),
            cpus_per_task: 1,
            tasks_per_node: None,
            memory: None,
            gres: Vec::new(),
            nodes_required: None,
            task_nodes: None,
            nodes_excluded: None,
            first_node: 0,
            exact: false,
            overlap: false,
            overcommit: false,
            distribution,
            time_limit: None,
            immediate: false,
        }
    }

    #[test]
    fn a_list_says_where_each_task_goes() {
        let check = |order: &[u32], expected: Option<&[u32]>| {
            let shares: Vec<NodeShare> = [2, 2].into_iter().zip(0..).map(|(cpus, node)| share(cpus, node)).collect();
            let request = request(order.len() as u32, 2, Distribution::Block);
            let rooms: Vec<Room<'_>> =
                shares.iter().map(|share| room(share, share.cpus.clone(), Units::of(share), &request)).collect();
            let order: Vec<NodeIndex> = order.iter().copied().map(NodeIndex).collect();
            assert_eq!(deal_in_order(&rooms, &order).as_deref(), expected, "{order:?}");
        };
        check(&[1, 0, 1], Some(&[1, 2]));
        check(&[1, 1], Some(&[0, 2]));
        check(&[1, 1, 1], None);
        check(&[0, 7], None);
    }

    #[test]
    fn tasks_go_to_nodes_as_real_slurm_dealt_them() {
        let check = |cpus: &[u32], tasks, distribution, expected: &[&[u32]]| {
            let request = request(tasks, cpus.len() as u32, distribution);
            let found = dealt(cpus, &request).unwrap();
            assert_eq!(found, expected, "{tasks} tasks on {cpus:?}, {distribution:?}");
        };
        check(&[3, 1], 4, Distribution::Block, &[&[0, 1, 2], &[3]]);
        check(&[6, 2], 4, Distribution::Block, &[&[0, 1], &[2, 3]]);
        check(&[7, 1, 1, 1], 10, Distribution::Block, &[&[0, 1, 2, 3, 4, 5, 6], &[7], &[8], &[9]]);
        check(&[4, 1], 5, Distribution::Cyclic, &[&[0, 2, 3, 4], &[1]]);
        check(&[16, 16], 5, Distribution::Plane(2), &[&[0, 1, 4], &[2, 3]]);
        check(&[4, 1], 5, Distribution::Plane(2), &[&[0, 1, 3, 4], &[2]]);
    }

    #[test]
    fn more_tasks_than_cpus_need_overcommit() {
        let mut wish = request(4, 1, Distribution::Block);
        assert_eq!(dealt(&[2], &wish), None);
        wish.overcommit = true;
        assert_eq!(dealt(&[2], &wish), Some(vec![vec![0, 1, 2, 3]]));
        assert_eq!(dealt(&[], &wish), None);
    }
}
