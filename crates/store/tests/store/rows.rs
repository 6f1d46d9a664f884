//! Short ways to make rows for tests.

use std::sync::Arc;

use muster_model::accounting::Qos;
use muster_model::array::TaskSet;
use muster_model::document::Document;
use muster_model::fact::{Fact, NodeRecord};
use muster_model::ids::{JobId, Name, NodeIndex, RestartCount, SpecId, StepId};
use muster_model::job::{ArrayRole, Job, JobSpec};
use muster_model::node::{GresPlace, NodeHealth, NodeReason};
use muster_model::resources::{Allocation, IndexSet, Megabytes, NodeShare};
use muster_model::state::{ExitStatus, JobState};
use muster_model::step::Step;
use muster_model::time::Timestamp;

/// A specification of `uid` named `name`, with quotation marks where a careless writer would stumble over them.
pub fn spec(uid: u32, name: &str) -> Arc<JobSpec> {
    let text = serde_json::json!({
        "identity": {"uid": uid, "gid": 100, "user": format!("user{uid}"), "group": "users"},
        "name": name, "kind": "batch",
        "request": {"nodes_min": 1, "tasks": 1, "cpus_per_task": 2},
        "work_dir": "/home/a \"b\"", "submit_host": "login",
        "output": "\"spec\":{}, %j",
    });
    Arc::new(serde_json::from_value(text).unwrap())
}

/// A pending job, submitted `id` seconds after 1970.
pub fn job(id: u32, spec_id: u64, spec: &Arc<JobSpec>) -> Job {
    let text = serde_json::json!({
        "id": id, "spec_id": spec_id, "spec": &**spec, "state": "pending", "reason": "none",
        "partition": "batch", "priority": 1, "time_limit": "unlimited", "submit_time": i64::from(id) * 1000,
    });
    Job { spec: spec.clone(), ..serde_json::from_value(text).unwrap() }
}

/// `job` as it runs from `at` on node 0.
pub fn running(job: &Job, at: i64) -> Job {
    let share =
        NodeShare { node: NodeIndex(0), cpus: IndexSet::first_n(2), memory: Megabytes(64), gres: Vec::new(), tasks: 1 };
    Job {
        state: JobState::Running,
        start_time: Some(Timestamp::from_seconds(at)),
        end_time: Some(Timestamp::from_seconds(at + 3600)),
        allocation: Some(Arc::new(Allocation::from(vec![share]))),
        node_list: Some("n1".into()),
        ..job.clone()
    }
}

/// `job` as it has ended at `at` in `state`.
pub fn ended(job: &Job, state: JobState, at: i64) -> Job {
    Job { state, end_time: Some(Timestamp::from_seconds(at)), exit: ExitStatus::exited(1), ..job.clone() }
}

/// `job` as the task `task_index` of `array_job_id`.
pub fn task(job: &Job, array_job_id: u32, task_index: u32) -> Job {
    Job { array: Some(ArrayRole::Task { array_job_id: JobId(array_job_id), task_index }), ..job.clone() }
}

/// `job` as the waiting tasks `tasks` of an array.
pub fn waiting(job: &Job, tasks: &str) -> Job {
    let tasks = TaskSet::parse(tasks, 1000).unwrap();
    Job { array: Some(ArrayRole::Waiting { tasks }), ..job.clone() }
}

/// `job` put back into the queue for its start number `restart`.
pub fn restarted(job: &Job, restart: u32) -> Job {
    Job {
        restart: RestartCount(restart),
        state: JobState::Pending,
        start_time: None,
        end_time: None,
        allocation: None,
        ..job.clone()
    }
}

/// A running step of `job`.
pub fn step(job: &Job, step: StepId, at: i64) -> Step {
    let text = serde_json::json!({
        "job_id": job.id, "step_id": step, "restart": job.restart, "name": "work", "state": "running", "tasks": 1,
        "layout": [], "node_list": "n1", "start_time": at * 1000,
    });
    serde_json::from_value(text).unwrap()
}

/// `step` as it has ended.
pub fn step_ended(step: &Step, at: i64) -> Step {
    Step { state: JobState::Completed, end_time: Some(Timestamp::from_seconds(at)), ..step.clone() }
}

/// A drained node.
pub fn node(launch_sequence: u64) -> NodeRecord {
    let reason = NodeReason { text: "disk".into(), user: "root".into(), uid: 0, time: Timestamp(5) };
    let place = GresPlace { name: "gpu".into(), count: 1, cores: None, gpu: None, links: vec![-1] };
    NodeRecord {
        health: NodeHealth::Up,
        drain: true,
        reason: Some(reason),
        launch_sequence,
        comment: None,
        extra: None,
        last_busy: None,
        places_found: Some(Arc::new(vec![place])),
    }
}

pub fn job_fact(job: &Job) -> Fact {
    Fact::Job(Arc::new(job.clone()))
}

pub fn step_fact(step: &Step) -> Fact {
    Fact::Step(Arc::new(step.clone()))
}

pub fn node_fact(name: &str, record: NodeRecord) -> Fact {
    Fact::Node { name: Name::from(name), record }
}

pub fn qos_fact(name: &str, priority: u32) -> Fact {
    Fact::Document(Document::Qos(Arc::new(Qos { name: name.into(), priority, ..Qos::default() })))
}

pub fn spec_fact(id: u64, spec: &Arc<JobSpec>) -> Fact {
    Fact::Spec(SpecId(id), spec.clone())
}
