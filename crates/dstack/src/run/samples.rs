//! Jobs for tests.

use std::sync::Arc;

use muster_model::ids::{Identity, NodeIndex};
use muster_model::job::{Job, JobSpec, RunReference};
use muster_model::resources::{Allocation, GresShare, IndexSet, Megabytes, NodeShare, ResourceRequest};
use muster_model::state::{ExitStatus, JobState};
use muster_model::time::Timestamp;
use serde_json::json;

/// The user of the samples.
pub(crate) fn identity() -> Identity {
    Identity { uid: 1000, gid: 1000, user: "alice".into(), group: "users".into() }
}

/// A pending run of one node, submitted at second 1000.
pub(crate) fn job(name: &str) -> Job {
    let run = RunReference {
        run_name: name.into(),
        project: "main".into(),
        configuration: r#"{"type":"task","commands":["true"]}"#.into(),
    };
    let spec: JobSpec = serde_json::from_value(json!({
        "identity": identity(),
        "name": name,
        "kind": "every_node",
        "request": ResourceRequest::default(),
        "work_dir": "/work",
        "submit_host": "login",
        "run": run,
    }))
    .expect("a specification");
    serde_json::from_value(json!({
        "id": 7,
        "spec_id": 1,
        "spec": spec,
        "state": "pending",
        "reason": "none",
        "partition": "debug",
        "priority": 1,
        "time_limit": "unlimited",
        "submit_time": 1_000_000,
    }))
    .expect("a job")
}

/// `job` holding `cpus` CPUs and a GPU on each of the nodes 0 to `nodes` − 1, named n0, n1, …
pub(crate) fn running(job: Job, nodes: u32, cpus: u32) -> Job {
    let share = |index| NodeShare {
        node: NodeIndex(index),
        cpus: IndexSet::first_n(cpus),
        memory: Megabytes(2048),
        gres: vec![GresShare { name: "gpu".into(), kind: Some("a100".into()), units: IndexSet::first_n(1) }],
        tasks: 1,
    };
    let names: Vec<String> = (0..nodes).map(|index| format!("n{index}")).collect();
    Job {
        state: JobState::Running,
        start_time: Some(Timestamp::from_seconds(1010)),
        allocation: Some(Arc::new(Allocation::from((0..nodes).map(share).collect::<Vec<_>>()))),
        node_list: Some(names.join(",").into()),
        ..job
    }
}

/// `job` ended so.
pub(crate) fn ended(job: Job, state: JobState, exit: ExitStatus) -> Job {
    Job { state, exit, end_time: Some(Timestamp::from_seconds(1020)), ..job }
}
