//! Jobs and steps as a controller would send them.

use std::sync::Arc;

use muster_model::ids::{BlobId, NodeIndex, RestartCount};
use muster_model::job::{ExecutionContext, Job, JobKind, JobSpec};
use muster_model::resources::{Allocation, IndexSet, Megabytes, NodeShare};
use muster_model::step::{Step, StepLaunch};
use muster_proto::document::encode;
use muster_proto::{Launch, NodeAddress};

use crate::controller::Session;
use crate::node::{NAME, Node};

/// The content address of `content`.
pub fn id_of(content: &[u8]) -> BlobId {
    BlobId(blake3::hash(content).to_hex().as_str().into())
}

/// A batch script.
pub fn script(body: &str) -> Vec<u8> {
    format!("#!/bin/bash\n{body}\n").into_bytes()
}

/// The execution context of all jobs.
pub fn context() -> Vec<u8> {
    let environment = ["PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/", "GREETING=hi", "DSTACK_RUN_NAME=mine"];
    let environment = environment.map(str::to_owned).to_vec();
    encode(&ExecutionContext { environment, umask: 0o027, limits: Vec::new() })
}

/// Gives the agent what a batch job with this script needs.
pub async fn give(session: &Session, script: &[u8]) {
    session.blob(&id_of(script), script).await;
    session.blob(&id_of(&context()), &context()).await;
}

/// A running batch job in the node's directory.
pub fn batch(node: &Node, id: u32, script: &[u8]) -> Job {
    let own = (nix::unistd::Uid::effective().as_raw(), nix::unistd::Gid::effective().as_raw());
    let spec = serde_json::json!({
        "identity": {"uid": own.0, "gid": own.1, "user": "alice", "group": "users"},
        "name": "work", "kind": "batch", "request": {"nodes_min": 1, "tasks": 1, "cpus_per_task": 1},
        "work_dir": node.dir.path(), "submit_host": "login",
        "script": id_of(script), "context": id_of(&context()),
    });
    let spec: Arc<JobSpec> = Arc::new(serde_json::from_value(spec).unwrap());
    let job = serde_json::json!({
        "id": id, "spec_id": 1, "spec": &*spec, "state": "running", "reason": "none", "partition": "debug",
        "priority": 1, "time_limit": "unlimited", "submit_time": 1000, "start_time": 2000,
        "node_list": NAME, "batch_host": NAME,
    });
    let share =
        NodeShare { node: NodeIndex(0), cpus: IndexSet::first_n(1), memory: Megabytes(0), gres: Vec::new(), tasks: 1 };
    let allocation = Some(Arc::new(Allocation::from(vec![share])));
    Job { spec, allocation, ..serde_json::from_value(job).unwrap() }
}

/// `job` with another specification.
pub fn with_spec(job: Job, change: impl FnOnce(&mut JobSpec)) -> Job {
    let mut spec = (*job.spec).clone();
    change(&mut spec);
    Job { spec: Arc::new(spec), ..job }
}

/// `job` as the task of a run.
pub fn of_run(job: Job) -> Job {
    with_spec(job, |spec| {
        spec.kind = JobKind::EveryNode;
        let run = serde_json::json!({"run_name": "train", "project": "main", "configuration": "{}"});
        spec.run = Some(serde_json::from_value(run).unwrap());
    })
}

/// `job` in its start number `restart`.
pub fn restarted(job: Job, restart: u32) -> Job {
    Job { restart: RestartCount(restart), ..job }
}

/// The order to start the main unit of `job`.
pub fn launch(sequence: u64, job: &Job) -> Launch {
    Launch {
        launch_sequence: sequence,
        job_json: encode(job).into(),
        nodes: vec![NodeAddress { index: 0, name: NAME.into(), address: "10.0.0.1".into(), ..NodeAddress::default() }],
        cluster_name: "test".into(),
        controller_host: "head".into(),
        kill_wait_ms: 5000,
        ..Launch::default()
    }
}

/// A step of `tasks` tasks that runs `command` with all streams in files.
pub fn step(job: &Job, number: u32, tasks: u32, command: &[&str], output: &str) -> Step {
    let how = serde_json::json!({
        "command": command, "work_dir": &*job.spec.work_dir, "environment": ["PATH=/usr/bin:/bin"], "umask": 0o22,
        "input": "null", "output": {"file": output}, "client_address": "", "client_cookie": "",
    });
    let how: StepLaunch = serde_json::from_value(how).unwrap();
    let ranks: Vec<u32> = (0..tasks).collect();
    let step = serde_json::json!({
        "job_id": job.id, "step_id": {"number": number}, "restart": job.restart, "name": "s", "state": "running",
        "tasks": tasks, "node_list": NAME, "start_time": 3000,
        "layout": [{"node": 0, "ranks": ranks, "cpus": [1]}],
    });
    Step { launch: Some(Arc::new(how)), ..serde_json::from_value(step).unwrap() }
}

/// The order to start a step.
pub fn launch_step(sequence: u64, job: &Job, step: &Step) -> Launch {
    Launch { step_json: encode(step).into(), ..launch(sequence, job) }
}
