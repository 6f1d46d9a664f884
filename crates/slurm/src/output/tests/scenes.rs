//! The clusters on which the transcripts were recorded, and short ways to build jobs for them.

use std::sync::Arc;

use muster_model::array::{ArraySpec, TaskSet};
use muster_model::ids::{Identity, JobId, Name, NodeIndex, StepId};
use muster_model::job::{ArrayRole, Hold, Job, JobSpec};
use muster_model::node::{Node, NodeConfig};
use muster_model::partition::Partition;
use muster_model::priority::{PriorityReport, ShareReport};
use muster_model::request::{HistoryRow, Pong};
use muster_model::resources::{Allocation, Gres, GresShare, IndexSet, Megabytes, NodeShare, ResourceRequest};
use muster_model::state::{ExitStatus, JobState, Reason};
use muster_model::statistics::Statistics;
use muster_model::step::Step;
use muster_model::time::{TimeLimit, Timestamp};
use serde_json::json;

use super::{scene_busy, scene_history, scene_nodes, scene_records, scene_shares, scene_statistics};

/// Everything a controller would tell.
#[derive(Clone, Default)]
pub struct Scene {
    pub jobs: Vec<Arc<Job>>,
    pub steps: Vec<Arc<Step>>,
    pub nodes: Vec<Arc<Node>>,
    pub partitions: Vec<Arc<Partition>>,
    pub parameters: Vec<(String, String)>,
    pub history: Vec<HistoryRow>,
    pub priorities: Option<PriorityReport>,
    pub shares: Option<ShareReport>,
    pub statistics: Option<Statistics>,
}

impl Scene {
    pub fn pong(&self) -> Pong {
        Pong {
            cluster_name: "peer".into(),
            host: "vm".into(),
            pid: 1,
            version: "22.05.8".into(),
            now: Timestamp(0),
            started: Timestamp(0),
            job_id_next: 1,
        }
    }
}

/// The scene called `name` in a transcript.
pub fn scene(name: &str) -> Scene {
    match name {
        "empty" => scene_nodes::idle(),
        "mixed" => scene_nodes::mixed(),
        "drained" => scene_nodes::drained(),
        "partly" => scene_nodes::partly(),
        "planned" => scene_nodes::planned(),
        "busy" => scene_busy::busy(true),
        "steps" => scene_busy::busy(false),
        "ended" => scene_busy::ended(),
        "records" => scene_records::records(),
        "history" => scene_history::history(),
        "shares" => scene_shares::shares(),
        "statistics" => scene_statistics::first(),
        "statistics_later" => scene_statistics::later(),
        "statistics_reset" => scene_statistics::reset(),
        other => panic!("unknown scene {other}"),
    }
}

/// `HH:MM:SS` on 2026-11-21, or `D HH:MM:SS` on another day of that month, in UTC.
pub fn at(time: &str) -> Timestamp {
    /// 2026-11-01T00:00:00Z.
    const MONTH: i64 = 1_793_491_200;
    let (day, clock) = time.split_once(' ').unwrap_or(("21", time));
    let parts: Vec<i64> = clock.split(':').map(|part| part.parse().expect("a number")).collect();
    Timestamp::from_seconds(
        MONTH + (day.parse::<i64>().expect("a day") - 1) * 86_400 + parts[0] * 3600 + parts[1] * 60 + parts[2],
    )
}

pub fn root() -> Identity {
    Identity { uid: 0, gid: 0, user: "root".into(), group: "root".into() }
}

pub fn alice() -> Identity {
    Identity { uid: 1001, gid: 1001, user: "alice".into(), group: "alice".into() }
}

/// A pending batch job of root, as `sbatch --wrap` makes it. `change` adds what is special.
pub fn job(id: u32, name: &str, submit: &str, change: impl FnOnce(&mut Job, &mut JobSpec)) -> Arc<Job> {
    // Read from a document, so that new fields of the model take their defaults.
    let mut spec: JobSpec = document(json!({
        "identity": root(),
        "name": name,
        "kind": "batch",
        "account": "root",
        "request": ResourceRequest::default(),
        "work_dir": "/tmp/w",
        "submit_host": "localhost",
        "submit_session": 1756,
    }));
    let mut job: Job = document(json!({
        "id": id,
        "spec_id": id,
        "spec": spec,
        "state": "pending",
        "reason": "none",
        "partition": "debug",
        "priority": 10232,
        "time_limit": TimeLimit::from_minutes(10),
        "submit_time": at(submit),
        "eligible_time": at(submit),
        "last_evaluated": at(submit),
    }));
    change(&mut job, &mut spec);
    job.spec = Arc::new(spec);
    Arc::new(job)
}

/// What one node gives: its number (1 to 4), CPUs, and units of `gpu`.
pub fn share(node: u32, cpus: &[u32], gpus: &[u32]) -> NodeShare {
    let set = |members: &[u32]| {
        let mut set = IndexSet::default();
        members.iter().for_each(|member| set.insert(*member));
        set
    };
    let gres =
        if gpus.is_empty() { Vec::new() } else { vec![GresShare { name: "gpu".into(), kind: None, units: set(gpus) }] };
    NodeShare { node: NodeIndex(node - 1), cpus: set(cpus), memory: Megabytes(0), gres, tasks: 1 }
}

/// Makes `job` run since `start` on what `shares` give.
pub fn run(job: &mut Job, start: &str, shares: Vec<NodeShare>) {
    let names: Vec<String> = shares.iter().map(|share| format!("n{}", share.node.0 + 1)).collect();
    job.state = JobState::Running;
    job.reason = Reason::None;
    job.start_time = Some(at(start));
    job.last_evaluated = Some(at(start));
    job.batch_host = names.first().map(|name| name.as_str().into());
    job.node_list = Some(muster_model::hostlist::compress(&names).into());
    job.end_time = job.time_limit.span().map(|span| at(start) + span);
    job.allocation = Some(Arc::new(Allocation::from(shares)));
}

/// Makes `job`, which runs, end in `state` at `end`.
pub fn end(job: &mut Job, time: &str, state: JobState, exit: ExitStatus) {
    job.state = state;
    job.end_time = Some(at(time));
    job.exit = exit;
    job.reason = match state {
        JobState::Failed if exit.signal > 0 => Reason::RaisedSignal,
        JobState::Failed => Reason::NonZeroExitCode,
        JobState::Timeout => Reason::TimeLimit,
        _ => Reason::None,
    };
}

/// Holds `job` back.
pub fn hold(job: &mut Job, by: Hold) {
    job.hold = Some(by);
    job.priority = 0;
    job.eligible_time = None;
    job.reason = if by == Hold::User { Reason::JobHeldUser } else { Reason::JobHeldAdmin };
}

/// Makes `job` one task of an array.
pub fn task(job: &mut Job, spec: &mut JobSpec, array: u32, index: u32, all: &str, throttle: Option<u32>) {
    spec.array = Some(array_spec(all, throttle));
    job.array = Some(ArrayRole::Task { array_job_id: JobId(array), task_index: index });
}

/// Makes `job` the record of the waiting tasks of an array.
pub fn waiting(job: &mut Job, spec: &mut JobSpec, tasks: &str, throttle: Option<u32>) {
    spec.array = Some(array_spec(tasks, throttle));
    job.array = Some(ArrayRole::Waiting { tasks: TaskSet::parse(tasks, 10_000).expect("tasks") });
}

fn array_spec(tasks: &str, throttle: Option<u32>) -> ArraySpec {
    ArraySpec { tasks: TaskSet::parse(tasks, 10_000).expect("tasks"), throttle }
}

/// `count` units of `gpu`.
pub fn gpu(count: u64) -> Gres {
    Gres { name: "gpu".into(), kind: None, count }
}

/// A step that runs since `start` with `tasks` tasks on the given nodes and CPUs of each.
pub fn step(job_id: u32, step_id: StepId, name: &str, start: &str, tasks: u32, layout: Vec<NodeShare>) -> Step {
    let names: Vec<String> = layout.iter().map(|share| format!("n{}", share.node.0 + 1)).collect();
    let layout: Vec<_> = layout
        .iter()
        .map(|share| json!({ "node": share.node, "ranks": [0], "cpus": share.cpus, "gres": share.gres }))
        .collect();
    document(json!({
        "job_id": job_id,
        "step_id": step_id,
        "restart": 0,
        "name": name,
        "state": "running",
        "tasks": tasks,
        "node_list": muster_model::hostlist::compress(&names),
        "layout": layout,
        "start_time": at(start),
    }))
}

/// Reads a value of the model from `document`.
pub fn document<T: serde::de::DeserializeOwned>(document: serde_json::Value) -> T {
    serde_json::from_value(document).expect("a document of the model")
}

/// Node `nN` of the four, idle and registered.
pub fn node(number: u32) -> Node {
    let features: Vec<Name> = if number <= 2 { vec!["fast".into(), "ssd".into()] } else { vec!["slow".into()] };
    let config: NodeConfig = document(json!({
        "name": format!("n{number}"),
        "host_name": "vm",
        "address": "127.0.0.1",
        "port": 17010 + number,
        "hardware": {
            "cpus": 16, "boards": 1, "sockets": 1, "cores_per_socket": 16, "threads_per_core": 1,
            "memory": 64000, "tmp_disk": 0, "gres": [gpu(2)],
        },
        "features": features,
        "weight": 1,
    }));
    document(json!({
        "config": config,
        "health": "up",
        "report": {
            "architecture": "x86_64",
            "operating_system": "Linux 6.18.44-fc-v657 #1 SMP PREEMPT_DYNAMIC @0",
            "version": "22.05.8",
            "boot_time": at("07:44:32"),
            "agent_start_time": at("07:50:42"),
            "load_hundredths": 50,
            "memory_free": 23000,
        },
    }))
}

/// The three partitions of the cluster.
pub fn partitions() -> Vec<Arc<Partition>> {
    let partition = |name: &str, nodes: u32, change: fn(&mut Partition)| {
        let mut partition: Partition = document(json!({
            "name": name,
            "node_list": if nodes == 1 { "n1" } else { "n[1-4]" },
            "nodes": (0..nodes).collect::<Vec<_>>(),
            "default": false,
            "state": "up",
            "time_max": TimeLimit::Unlimited,
            "nodes_min": 0,
            "priority_tier": 1,
            "priority_job_factor": 1,
            "over_subscribe": "no",
            "hidden": false,
            "root_only": false,
        }));
        change(&mut partition);
        Arc::new(partition)
    };
    vec![
        partition("debug", 4, |partition| {
            partition.default = true;
            partition.time_default = Some(TimeLimit::from_minutes(10));
            partition.time_max = TimeLimit::from_minutes(60);
        }),
        partition("batch", 4, |partition| {
            partition.time_default = Some(TimeLimit::from_minutes(60));
            partition.priority_job_factor = 10;
        }),
        partition("small", 1, |partition| {
            partition.nodes_max = Some(1);
            partition.time_max = TimeLimit::from_minutes(8 * 60);
        }),
    ]
}
