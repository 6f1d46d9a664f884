//! Small whole objects of the model, to be changed where a test cares.

use std::sync::Arc;

use imbl::{OrdMap, Vector};
use muster_model::config::ClusterConfig;
use muster_model::ids::{Identity, JobId, NodeIndex, SpecId};
use muster_model::job::{Job, JobKind, JobSpec};
use muster_model::node::{Hardware, InitialState, Node, NodeConfig};
use muster_model::partition::Partition;
use muster_model::planning::{PlanView, QueueKey};
use muster_model::reservation::Reservation;
use muster_model::resources::{Allocation, Megabytes, NodeShare, ResourceRequest};
use muster_model::state::JobState;
use muster_model::time::{Span, Timestamp};

/// The time at which views are taken.
pub const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

/// A node configuration with `cpus` cores of one thread, 64000 MiB and nothing else.
pub fn node_config(name: &str, cpus: u32) -> NodeConfig {
    NodeConfig {
        name: name.into(),
        host_name: name.into(),
        address: name.into(),
        port: 0,
        hardware: Hardware { memory: Megabytes(64_000), ..Hardware::of_cpus(cpus) },
        features: Vec::new(),
        features_inactive: Vec::new(),
        weight: 1,
        initial_state: InitialState::Unknown,
        reason: None,
    }
}

/// An idle node in service.
pub fn node(config: NodeConfig) -> Node {
    Node { last_response: Some(NOW), ..Node::new(Arc::new(config)) }
}

/// A partition of the nodes `0..count` without limits.
pub fn partition(name: &str, nodes: impl IntoIterator<Item = u32>) -> Partition {
    Partition::new(name.into(), nodes.into_iter().map(NodeIndex).collect())
}

/// A batch job of user 1000 for these resources.
pub fn spec(request: ResourceRequest) -> JobSpec {
    JobSpec { request, submit_host: "test".into(), ..JobSpec::new(identity(1000), "test".into(), JobKind::Batch) }
}

/// A user by number.
pub fn identity(uid: u32) -> Identity {
    let name = format!("user{uid}");
    Identity { uid, gid: uid, user: name.as_str().into(), group: name.into() }
}

/// A pending job that waits in the first partition of its specification, or in `default`.
pub fn pending(id: u32, spec: JobSpec, default: &str) -> Job {
    let partition = spec.partitions.first().cloned().unwrap_or_else(|| default.into());
    let eligible = NOW - Span::from_minutes(1);
    Job {
        array: None,
        begin_time: None,
        eligible_time: Some(eligible),
        ..Job::new(JobId(id), SpecId(u64::from(id)), Arc::new(spec), partition, eligible)
    }
}

/// A view of these nodes and partitions, with an empty queue.
pub fn view(config: ClusterConfig, nodes: Vec<Node>, partitions: Vec<Partition>) -> PlanView {
    PlanView {
        now: NOW,
        config: Arc::new(config),
        nodes: nodes.into_iter().map(Arc::new).collect::<Vector<_>>(),
        partitions: partitions.into_iter().map(Arc::new).collect::<Vector<_>>(),
        queue: OrdMap::new(),
        running: OrdMap::new(),
        array_slots: OrdMap::new(),
        outlook: Default::default(),
        accounting: Default::default(),
        tallies: Default::default(),
        past_use: Default::default(),
        reservations: OrdMap::new(),
        usage: Default::default(),
        priorities: Default::default(),
    }
}

/// Puts a pending job into the queue of `view`, ordered as the core orders it: once for each of its partitions. Components
/// of a heterogeneous job have to come with the same priority.
pub fn enqueue(view: &mut PlanView, job: Job) {
    let job = Arc::new(job);
    let places = if job.het.is_some() { 1 } else { usize::MAX };
    for (position, name) in (0..).zip(job.partitions_wanted()).take(places) {
        let tier = view.partitions.iter().find(|part| part.name == *name).map_or(1, |part| part.priority_tier);
        let key = QueueKey {
            preemption_rank: 0,
            without_reservation: job.spec.reservation.is_none(),
            tier: std::cmp::Reverse(tier),
            priority: std::cmp::Reverse(job.priority),
            submit_time: job.submit_time,
            job_id: job.id,
            partition: position,
        };
        view.queue.insert(key, job.clone());
    }
}

/// Makes `job` run with `shares` until `end`: books the shares on their nodes. One that yields is suspended.
pub fn start(view: &mut PlanView, mut job: Job, shares: Vec<NodeShare>, end: Timestamp) {
    for share in &shares {
        let Some(node) = view.nodes.get_mut(share.node.0 as usize) else {
            continue;
        };
        let used = &mut Arc::make_mut(node).used;
        used.cpus.add_all(&share.cpus);
        used.memory = Megabytes(used.memory.0 + share.memory.0);
        used.gres.extend(share.gres.iter().cloned());
        used.jobs_running += 1;
        if job.yields_to.is_some() {
            used.cpus_claimed.add_all(&share.cpus);
            used.jobs_suspended += 1;
        }
    }
    job.state = if job.yields_to.is_some() { JobState::Suspended } else { JobState::Running };
    job.start_time = Some(view.now);
    job.end_time = Some(end);
    job.allocation = Some(Arc::new(Allocation::from(shares)));
    view.running.insert((end, job.id), Arc::new(job));
}

/// A reservation of nothing, now and for an hour, that everybody may use.
pub fn reservation(name: &str) -> Reservation {
    Reservation {
        name: name.into(),
        number: 0,
        changed: NOW,
        start: NOW,
        end: NOW + Span::from_minutes(60),
        anchor: None,
        float: None,
        flags: Vec::new(),
        nodes: Vec::new(),
        node_list: None,
        nodes_wanted: None,
        cores_wanted: Vec::new(),
        tres: Default::default(),
        partition: None,
        features: None,
        users: Default::default(),
        groups: Default::default(),
        accounts: Default::default(),
        qos: Default::default(),
        partitions: Default::default(),
        purge_after: None,
        start_delay_max: None,
        comment: None,
        creator_uid: 0,
        idle_since: None,
    }
}
