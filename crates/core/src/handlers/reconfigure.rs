//! The configuration is read again while the cluster works (`scontrol reconfigure`).
//!
//! What is stored are facts, and a restart reads the configuration anyway; so nothing of this is written down but what
//! becomes of jobs. What operators have changed of nodes and partitions gives way to what the file says, as in Slurm.

use std::sync::Arc;

use imbl::Vector;
use muster_model::config::{ClusterConfig, KeptPartitions};
use muster_model::ids::{Identity, JobId, NodeIndex};
use muster_model::job::Job;
use muster_model::node::NodeConfig;
use muster_model::partition::Partition;
use muster_model::request::{Refusal, RefusalCode};
use muster_model::state::{JobState, Reason};
use muster_model::time::{Span, Timestamp};

use super::{accounting, authorisation, cancel, dependency, priority, turns};
use crate::cluster::Cluster;
use crate::effect::{EndCause, NodeCommand, Outcome};
use crate::timers::Timer;

/// Puts `config` in the place of the present configuration. It has the same nodes in the same order: rows, agents and
/// planners name nodes by their position.
pub(super) fn reconfigure(
    cluster: &mut Cluster,
    now: Timestamp,
    identity: &Identity,
    config: Option<Box<ClusterConfig>>,
    out: &mut Outcome,
) -> Result<(), Refusal> {
    authorisation::may_change_cluster(identity)?;
    let config = config.ok_or(RefusalCode::NotSupported)?;
    let names = |config: &ClusterConfig| config.nodes.iter().map(|node| node.name.clone()).collect::<Vec<_>>();
    if names(&config) != names(&cluster.config) {
        return Err(Refusal::new(RefusalCode::InvalidConfiguration, "other nodes need a restart of the controller"));
    }
    let partitions = merged(cluster, &config);
    cluster.config = Arc::new(*config);
    set_nodes(cluster);
    set_partitions(cluster, partitions);
    accounting::ensure_defaults(cluster, out);
    follow(cluster, now);
    abandon_jobs(cluster, now, out);
    dependency::evaluate_all(cluster, now, out);
    for index in (0..).map(NodeIndex).take(cluster.nodes.len()).filter(|index| cluster.is_connected(*index)) {
        out.send(index, NodeCommand::Reconfigure);
    }
    cluster.is_reconfigured = true;
    out.plan_needed = true;
    Ok(())
}

/// The partitions of the new configuration, and of the present ones what `ReconfigFlags` keeps.
fn merged(cluster: &Cluster, config: &ClusterConfig) -> Vec<Arc<Partition>> {
    let present = |partition: &Partition| cluster.partition(&partition.name);
    let mut partitions: Vec<Arc<Partition>> = config
        .partitions
        .iter()
        .map(|new| match (config.kept_partitions, present(new)) {
            (KeptPartitions::Whole, Some(old)) => Arc::clone(old),
            (KeptPartitions::State, Some(old)) => Arc::new(Partition { state: old.state, ..new.clone() }),
            _ => Arc::new(new.clone()),
        })
        .collect();
    if config.kept_partitions == KeptPartitions::Whole {
        let is_gone = |old: &&Arc<Partition>| config.partitions.iter().all(|new| new.name != old.name);
        partitions.extend(cluster.partitions.iter().filter(is_gone).cloned());
    }
    partitions
}

/// Nodes stay in the state they are in; what `State=` says counts when a controller first sees them.
fn set_nodes(cluster: &mut Cluster) {
    let config = Arc::clone(&cluster.config);
    for (node, configured) in cluster.nodes.iter_mut().zip(&config.nodes) {
        let mut fresh = (**node).clone();
        fresh.config = Arc::new(NodeConfig::clone(configured));
        fresh.find_places(&configured.hardware, node.places_found.clone());
        if fresh.config != node.config {
            *node = Arc::new(fresh);
        }
    }
}

fn set_partitions(cluster: &mut Cluster, partitions: Vec<Arc<Partition>>) {
    let keep = |new: Arc<Partition>| match cluster.partition(&new.name) {
        // Planners build anew on rows that are others.
        Some(old) if **old == *new => Arc::clone(old),
        _ => new,
    };
    let rows: Vector<Arc<Partition>> = partitions.into_iter().map(keep).collect();
    cluster.partition_index = rows.iter().enumerate().map(|(at, row)| (row.name.clone(), at)).collect();
    cluster.partitions = rows;
}

/// Jobs in partitions that are gone end, those among them that could run elsewhere too: as in Slurm.
fn abandon_jobs(cluster: &mut Cluster, now: Timestamp, out: &mut Outcome) {
    let is_gone = |name: &muster_model::ids::Name| !cluster.partition_index.contains_key(name);
    let is_lost =
        |job: &&Arc<Job>| !job.state.is_final() && (is_gone(&job.partition) || job.spec.partitions.iter().any(is_gone));
    let lost: Vec<JobId> = cluster.jobs.values().filter(is_lost).map(|job| job.id).collect();
    for job_id in lost {
        let Some(job) = cluster.jobs.get(&job_id).filter(|job| !job.state.is_final()).cloned() else { continue };
        let (state, reason) = (JobState::NodeFail, Reason::NodeDown);
        if job.state == JobState::Pending {
            cancel::never_starts(cluster, now, Job { reason, ..(*job).clone() }, state, out);
        } else {
            cancel::end_by_system(cluster, now, job_id, state, reason, EndCause::NodeFailure, out);
        }
    }
}

/// What was worked out from the configuration before.
fn follow(cluster: &mut Cluster, now: Timestamp) {
    cluster.reorder_queue();
    cluster.tallies = cluster.recount();
    // Cheap: rows are shared.
    for job in cluster.jobs.clone().values() {
        cluster.set_job_timers(job, now);
    }
    if cluster.config.node_timeout > Span::ZERO {
        // Each waits for as long as it has to by now.
        let silent: Vec<NodeIndex> =
            (0..).map(NodeIndex).take(cluster.nodes.len()).filter(|index| !cluster.is_connected(*index)).collect();
        silent.into_iter().for_each(|index| cluster.timers.set(now, Timer::NodeSilent(index)));
    }
    turns::restored(cluster, now);
    priority::policy_changed(cluster, now);
    cluster.reservations_touched = true;
}
