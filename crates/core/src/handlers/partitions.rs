//! What operators do to partitions: `scontrol update`, `create` and `delete PartitionName=`.
//!
//! As in Slurm, such changes last until the controller reads its configuration again; they are not written down.

use std::sync::Arc;

use muster_model::hostlist;
use muster_model::ids::{Identity, Name, NodeIndex};
use muster_model::partition::{Partition, PartitionState};
use muster_model::priority::Weight;
use muster_model::request::{PartitionChanges, Refusal, RefusalCode};
use muster_model::time::Timestamp;

use super::{authorisation, priority};
use crate::cluster::Cluster;
use crate::effect::Outcome;

pub(super) fn set_state(
    cluster: &mut Cluster,
    now: Timestamp,
    identity: &Identity,
    name: &Name,
    state: PartitionState,
    out: &mut Outcome,
) -> Result<(), Refusal> {
    let changes = PartitionChanges { state: Some(state), ..PartitionChanges::default() };
    change(cluster, now, identity, name, &changes, false, out)
}

pub(super) fn change(
    cluster: &mut Cluster,
    now: Timestamp,
    identity: &Identity,
    name: &Name,
    changes: &PartitionChanges,
    create: bool,
    out: &mut Outcome,
) -> Result<(), Refusal> {
    authorisation::may_change_cluster(identity)?;
    let at = cluster.partition_index.get(name).copied();
    if at.is_some() == create {
        return Err(RefusalCode::InvalidPartition.into());
    }
    if let Some(Some(qos)) = &changes.qos
        && !cluster.accounting.qos.contains_key(qos)
    {
        return Err(Refusal::new(RefusalCode::InvalidQos, format!("no QOS {qos}")));
    }
    if let Some(billing) = &changes.billing {
        let tracked = &cluster.config.priority.tracked;
        if let Some((name, _)) = billing.weights.iter().find(|(name, _)| !tracked.contains(name)) {
            return Err(Refusal::new(RefusalCode::InvalidBillingWeights, format!("{name} is not counted")));
        }
    }
    let nodes = changes.nodes.as_ref().map(|list| find_nodes(cluster, list)).transpose()?;
    let mut partition = match at.and_then(|at| cluster.partitions.get(at)) {
        Some(partition) => (**partition).clone(),
        None => Partition::new(name.clone(), Vec::new()),
    };
    apply(&mut partition, changes);
    if let (Some(nodes), Some(list)) = (nodes, &changes.nodes) {
        partition.node_list = written_list(cluster, list, &nodes);
        partition.nodes = nodes;
    }
    if partition.default {
        clear_default(cluster);
    }
    let moves_jobs = changes.priority_tier.is_some();
    let charges_anew = changes.qos.is_some();
    if let Some(billing) = &changes.billing {
        set_billing(cluster, name, &billing.weights);
    }
    match at {
        Some(at) => drop(cluster.partitions.set(at, Arc::new(partition))),
        None => {
            cluster.partition_index.insert(name.clone(), cluster.partitions.len());
            cluster.partitions.push_back(Arc::new(partition));
        }
    }
    if moves_jobs {
        cluster.reorder_queue();
    }
    if charges_anew {
        // Its jobs count against another QOS from now on.
        cluster.tallies = cluster.recount();
    }
    priority::policy_changed(cluster, now);
    out.plan_needed = true;
    Ok(())
}

pub(super) fn delete(
    cluster: &mut Cluster,
    now: Timestamp,
    identity: &Identity,
    name: &Name,
    out: &mut Outcome,
) -> Result<(), Refusal> {
    authorisation::may_change_cluster(identity)?;
    let at = *cluster.partition_index.get(name).ok_or(RefusalCode::InvalidPartition)?;
    let uses = |job: &muster_model::job::Job| {
        (!job.state.is_final() || job.completing) && (job.partition == *name || job.spec.partitions.contains(name))
    };
    if cluster.jobs.values().any(|job| uses(job)) {
        return Err(RefusalCode::PartitionInUse.into());
    }
    cluster.partitions.remove(at);
    set_billing(cluster, name, &[]);
    cluster.partition_index =
        cluster.partitions.iter().enumerate().map(|(at, partition)| (partition.name.clone(), at)).collect();
    priority::policy_changed(cluster, now);
    out.plan_needed = true;
    Ok(())
}

/// Ascending nodes of a list; `ALL` are all of them.
fn find_nodes(cluster: &Cluster, list: &Name) -> Result<Vec<NodeIndex>, Refusal> {
    if list.eq_ignore_ascii_case("all") {
        let mut all: Vec<NodeIndex> = cluster.node_index.values().copied().collect();
        all.sort_unstable();
        return Ok(all);
    }
    let names =
        hostlist::expand(list).map_err(|error| Refusal::new(RefusalCode::InvalidNodeName, error.to_string()))?;
    let index = |name: &String| {
        let found = cluster.node_index.get(&**name).copied();
        found.ok_or_else(|| Refusal::new(RefusalCode::InvalidNodeName, format!("no node {name}")))
    };
    let mut nodes = names.iter().map(index).collect::<Result<Vec<_>, _>>()?;
    nodes.sort_unstable();
    nodes.dedup();
    Ok(nodes)
}

fn written_list(cluster: &Cluster, list: &Name, nodes: &[NodeIndex]) -> Name {
    if list.eq_ignore_ascii_case("all") {
        hostlist::compress(cluster.node_names(nodes.iter().copied()).map(|name| &**name)).into()
    } else {
        list.clone()
    }
}

fn clear_default(cluster: &mut Cluster) {
    for partition in cluster.partitions.iter_mut().filter(|partition| partition.default) {
        Arc::make_mut(partition).default = false;
    }
}

/// By which weights jobs in a partition are billed that start from now on; by their CPUs where there are none.
fn set_billing(cluster: &mut Cluster, partition: &Name, weights: &[(Name, Weight)]) {
    if weights.is_empty() && !cluster.config.priority.billing.contains_key(partition) {
        return;
    }
    let billing = &mut Arc::make_mut(&mut cluster.config).priority.billing;
    if weights.is_empty() {
        billing.remove(partition);
    } else {
        billing.insert(partition.clone(), weights.to_vec());
    }
}

/// A partition as the configuration makes it when it says nothing but its name.
fn apply(partition: &mut Partition, changes: &PartitionChanges) {
    fn set<T: Clone>(place: &mut T, change: &Option<T>) {
        if let Some(value) = change {
            *place = value.clone();
        }
    }
    set(&mut partition.state, &changes.state);
    set(&mut partition.default, &changes.default);
    set(&mut partition.time_max, &changes.time_max);
    set(&mut partition.time_default, &changes.time_default);
    set(&mut partition.nodes_min, &changes.nodes_min);
    set(&mut partition.nodes_max, &changes.nodes_max);
    set(&mut partition.cpus_per_node_max, &changes.cpus_per_node_max);
    set(&mut partition.priority_tier, &changes.priority_tier);
    set(&mut partition.priority_job_factor, &changes.priority_job_factor);
    set(&mut partition.over_subscribe, &changes.over_subscribe);
    set(&mut partition.memory_default, &changes.memory_default);
    set(&mut partition.memory_max, &changes.memory_max);
    set(&mut partition.least_loaded, &changes.least_loaded);
    set(&mut partition.exclusive_user, &changes.exclusive_user);
    set(&mut partition.preempt_mode, &changes.preempt_mode.map(Some));
    set(&mut partition.grace_time, &changes.grace_time);
    set(&mut partition.reservation_required, &changes.reservation_required);
    set(&mut partition.over_time_limit, &changes.over_time_limit.map(Some));
    set(&mut partition.hidden, &changes.hidden);
    set(&mut partition.root_only, &changes.root_only);
    set(&mut partition.groups_allowed, &changes.groups_allowed);
    set(&mut partition.accounts_allowed, &changes.accounts_allowed);
    set(&mut partition.accounts_denied, &changes.accounts_denied);
    set(&mut partition.qos_allowed, &changes.qos_allowed);
    set(&mut partition.qos_denied, &changes.qos_denied);
    set(&mut partition.qos, &changes.qos);
    if let Some(defaults) = changes.job_defaults {
        partition.cpus_per_gpu_default = defaults.cpus_per_gpu;
        partition.memory_per_gpu_default = defaults.memory_per_gpu;
        let text = |number: Option<u64>| number.map_or(String::new(), |number| number.to_string());
        partition.show_as("DefCPUPerGPU", &text(defaults.cpus_per_gpu.map(u64::from)));
        partition.show_as("DefMemPerGPU", &text(defaults.memory_per_gpu.map(|memory| memory.0)));
    }
    if let Some(billing) = &changes.billing {
        partition.show_as("TRESBillingWeights", &billing.text);
    }
}
