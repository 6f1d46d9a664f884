//! `--json` of `squeue`, `sinfo` and `sacct`, in the shape of Slurm 22.05 (data version 0.0.38).

use muster_model::ids::StepId;
use muster_model::job::{Job, JobKind};
use muster_model::node::{Node, NodeHealth};
use muster_model::request::HistoryRow;
use muster_model::resources::{GresScope, MemoryRequest};
use muster_model::state::{ExitStatus, JobState, Usage};
use muster_model::step::Step;
use muster_model::time::{TimeLimit, Timestamp};
use serde_json::{Value, json};

use super::billing;
use super::context::{Answers, Cluster, Context};
use super::job_text;
use super::node_text::{Base, NodeState};
use super::tres::{self, Amounts};
use super::{order, states};

/// `squeue --json`.
pub fn jobs(answers: &Answers, context: &Context) -> String {
    let mut jobs = answers.jobs.clone();
    order::by_list(&mut jobs);
    let jobs: Vec<Value> = jobs.iter().map(|job| job_value(job, &answers.cluster, context)).collect();
    document("openapi/v0.0.38", "Slurm OpenAPI v0.0.38", json!({ "jobs": jobs }))
}

/// `sinfo --json`.
pub fn nodes_and_partitions(answers: &Answers, _: &Context) -> String {
    let nodes: Vec<Value> = answers
        .cluster
        .nodes
        .iter()
        .enumerate()
        .map(|(index, node)| node_value(index, node, &answers.cluster))
        .collect();
    document("openapi/v0.0.38", "Slurm OpenAPI v0.0.38", json!({ "nodes": nodes }))
}

/// `sacct --json`.
pub fn history(rows: &[&HistoryRow], answers: &Answers, context: &Context) -> String {
    let jobs: Vec<Value> = rows.iter().map(|row| history_value(row, &answers.cluster, context)).collect();
    document("openapi/dbv0.0.38", "Slurm OpenAPI DB v0.0.38", json!({ "jobs": jobs }))
}

/// A document in the shape that all answers of the REST interface have.
pub(super) fn document(kind: &str, name: &str, content: Value) -> String {
    let mut document = json!({
        "meta": {
            "plugin": { "type": kind, "name": name },
            "Slurm": { "version": { "major": 22, "micro": 8, "minor": 5 }, "release": "22.05.8" },
        },
        "errors": [],
    });
    if let (Value::Object(document), Value::Object(content)) = (&mut document, content) {
        document.extend(content);
    }
    format!("{document:#}\n")
}

fn seconds(time: Option<Timestamp>) -> i64 {
    time.map_or(0, |time| time.seconds())
}

fn minutes(limit: Option<TimeLimit>) -> Value {
    match limit {
        Some(TimeLimit::Limited(span)) => json!(span.minutes_rounded_up()),
        Some(TimeLimit::Unlimited) => json!(u32::MAX),
        None => Value::Null,
    }
}

/// The status as `wait` tells it, which is how 22.05 shows it for jobs in memory.
fn wait_status(exit: ExitStatus) -> u32 {
    u32::from(exit.code) << 8 | u32::from(exit.signal)
}

fn job_value(job: &Job, cluster: &Cluster, context: &Context) -> Value {
    let mut value = job_identity(job, cluster, context);
    for part in [job_times(job, context), job_place(job, cluster)] {
        if let (Value::Object(value), Value::Object(part)) = (&mut value, part) {
            value.extend(part);
        }
    }
    value
}

fn job_identity(job: &Job, cluster: &Cluster, context: &Context) -> Value {
    let spec = &job.spec;
    let files = job_text::files(job, None);
    json!({
        "account": job.account_name().unwrap_or_default(),
        "admin_comment": job_text::admin_comment(job).unwrap_or_default(),
        "array_job_id": job.array_job_id().map_or(0, |id| id.0),
        "array_task_id": job.task_index(),
        "array_max_tasks": job_text::throttle(job).unwrap_or(0),
        "array_task_string": job_text::waiting_tasks(job, context).unwrap_or_default(),
        "association_id": 0,
        "batch_flag": spec.kind == JobKind::Batch,
        "batch_features": job.spec.request.preference.batch_features.as_deref().unwrap_or_default(),
        "batch_host": job_text::batch_host(job).unwrap_or_default(),
        "cluster": cluster.name.as_deref().unwrap_or_default(),
        "command": if spec.command.is_some() { job_text::command(job) } else { String::new() },
        "comment": job_text::comment(job).unwrap_or_default(),
        "current_working_directory": *spec.work_dir,
        "dependency": if job.dependencies.is_empty() { String::new() } else { job.dependencies.to_string() },
        "derived_exit_code": wait_status(job.derived_exit),
        "exit_code": wait_status(job.exit),
        "group_id": spec.identity.gid,
        "het_job_id": job.het.map_or(0, |role| role.leader.0),
        "het_job_id_set": job.het.map(job_text::het_set).unwrap_or_default(),
        "het_job_offset": job.het.map_or(0, |role| role.offset),
        "job_id": job.id.0,
        "job_state": states::of(job).long(),
        "name": *spec.name,
        "nice": spec.nice,
        "priority": job.priority,
        "qos": job.qos_name().unwrap_or("normal"),
        "requeue": job_text::requeue(job),
        "restart_cnt": job.restart.0,
        "resv_name": job.reservation_shown().map_or("", |name| name),
        "standard_error": files.error,
        "standard_input": files.input,
        "standard_output": files.output,
        "state_description": job.reason_detail.as_deref().unwrap_or_default(),
        "state_reason": job_text::reason(job),
        "user_id": spec.identity.uid,
        "user_name": *spec.identity.user,
        "wckey": job_text::wckey(job).unwrap_or_default(),
    })
}

fn job_times(job: &Job, context: &Context) -> Value {
    json!({
        "accrue_time": seconds(job_text::accrue_time(job, context.now)),
        "deadline": seconds(job.spec.deadline),
        "eligible_time": seconds(job_text::eligible_time(job)),
        "end_time": seconds(job_text::end_time(job, context.now)),
        "last_sched_evaluation": seconds(job.last_evaluated),
        "pre_sus_time": job_text::suspension(job).1,
        "preempt_time": seconds(job.eviction.as_ref().map(|eviction| eviction.since)),
        "resize_time": seconds(job.resize.as_ref().map(|resize| resize.time)),
        "start_time": seconds(job_text::start_time(job, context.now)),
        "submit_time": job.submit_time.seconds(),
        "suspend_time": seconds(job_text::suspension(job).0),
        "time_limit": minutes(Some(job.time_limit)),
        "time_minimum": minutes(job.spec.time_limit_min),
    })
}

fn job_place(job: &Job, cluster: &Cluster) -> Value {
    let request = &job.spec.request;
    let (per_node, per_cpu) = match job_text::memory_in_force(job, cluster) {
        Some(MemoryRequest::PerNode(memory)) => (json!(memory.0), Value::Null),
        Some(MemoryRequest::PerCpu(memory)) => (Value::Null, json!(memory.0)),
        _ => (Value::Null, Value::Null),
    };
    let tracked = cluster.tracked_gres();
    let allocated = job.allocation.as_ref().map(|allocation| Amounts::held(job, allocation, cluster).text());
    let tres = |scope| tres::requests(&request.gres, scope).unwrap_or_default();
    json!({
        "contiguous": request.contiguous,
        "cpus": job_text::cpus(job),
        "cpus_per_task": request.cpus_per_task,
        "excluded_nodes": request.nodes_excluded.as_deref().unwrap_or_default(),
        "features": request.constraint.as_deref().unwrap_or_default(),
        "licenses": request.licenses.as_deref().unwrap_or_default(),
        "max_cpus": 0,
        "max_nodes": request.nodes_max.unwrap_or(0),
        "memory_per_node": per_node,
        "memory_per_cpu": per_cpu,
        "minimum_cpus_per_node": job_text::cpus_per_node_min(job),
        "minimum_tmp_disk_per_node": request.tmp_disk_min.map_or(0, |disk| disk.0),
        "node_count": job_text::node_count(job),
        "nodes": job_text::nodes(job),
        "partition": super::squeue::partition_text(job),
        "required_nodes": request.nodes_required.as_deref().unwrap_or_default(),
        "tasks": job_text::tasks(job),
        "tasks_per_node": request.tasks_per_node,
        "tres_per_job": tres(GresScope::Job),
        "tres_per_node": tres(GresScope::Node),
        "tres_per_socket": tres(GresScope::Socket),
        "tres_per_task": tres(GresScope::Task),
        "tres_req_str": Amounts::requested(job, cluster, &tracked).text(),
        "tres_alloc_str": allocated.unwrap_or_default(),
    })
}

fn base_word(base: Base) -> &'static str {
    match base {
        Base::Unknown => "unknown",
        Base::Down => "down",
        Base::Idle => "idle",
        Base::Allocated => "allocated",
        Base::Mixed => "mixed",
        Base::Future => "future",
    }
}

fn node_value(index: usize, node: &Node, cluster: &Cluster) -> Value {
    let (config, hardware, report) = (&node.config, &node.config.hardware, &node.report);
    let state = NodeState::of(node);
    let base = base_word(state.base);
    let flags = state.complete();
    let flags: Vec<&str> = flags.split('+').skip(1).collect();
    let partitions =
        cluster.partitions.iter().filter(|partition| partition.nodes.iter().any(|node| node.0 as usize == index));
    let partitions: Vec<&str> = partitions.map(|partition| partition.name.as_ref()).collect();
    let used = node.used.cpus.len();
    let mut amounts = Amounts { cpus: u64::from(hardware.cpus), memory: hardware.memory, ..Amounts::default() };
    amounts.billing = billing::of_node(&amounts, partitions.iter().copied(), cluster);
    let taken = Amounts { cpus: u64::from(used), memory: node.used.memory, ..Amounts::default() };
    json!({
        "active_features": config.active_features().map(|name| &**name).collect::<Vec<_>>().join(","),
        "address": *config.address,
        "alloc_cpus": used,
        "alloc_memory": node.used.memory.0,
        "architecture": *report.architecture,
        "boards": hardware.boards,
        "boot_time": report.boot_time.seconds(),
        "comment": "",
        "cores": hardware.cores_per_socket,
        "cpu_load": report.load_hundredths,
        "cpus": hardware.cpus,
        "extra": "",
        "features": config.features.join(","),
        "free_memory": report.memory_free.0,
        "gres": Some(tres::node_gres_of(hardware)).filter(|text| text != "(null)").unwrap_or_default(),
        "gres_drained": "N/A",
        "gres_used": if hardware.gres.is_empty() { String::new() } else { tres::node_gres_used(&hardware.gres, &node.used.gres, false) },
        "hostname": *config.host_name,
        "idle_cpus": if node.health == NodeHealth::Up { node.cpus_free() } else { 0 },
        "last_busy": seconds(node.last_busy),
        "mcs_label": "",
        "name": *config.name,
        "operating_system": *report.operating_system,
        "owner": node.used.exclusive_user,
        "partitions": partitions,
        "port": config.port,
        "real_memory": hardware.memory.0,
        "reason": node.reason.as_ref().map_or("", |reason| reason.text.as_ref()),
        "reason_changed_at": seconds(node.reason.as_ref().map(|reason| reason.time)),
        "reason_set_by_user": node.reason.as_ref().map(|reason| reason.user.to_string()),
        "slurmd_start_time": report.agent_start_time.seconds(),
        "slurmd_version": super::VERSION,
        "sockets": hardware.sockets,
        "state": base,
        "state_flags": flags,
        "temporary_disk": hardware.tmp_disk.0,
        "threads": hardware.threads_per_core,
        "tres": amounts.text_of_node(),
        "tres_used": Some(taken.text_of_node_use()).filter(|text| !text.is_empty()),
        "weight": config.weight,
    })
}

fn exit_value(exit: ExitStatus) -> Value {
    if exit.signal > 0 {
        json!({ "status": "SIGNALED", "return_code": exit.code, "signal": { "signal_id": exit.signal, "name": crate::grammar::signal::name(exit.signal) } })
    } else {
        json!({ "status": if exit.code == 0 { "SUCCESS" } else { "ERROR" }, "return_code": exit.code })
    }
}

fn cpu_value(microseconds: u64) -> Value {
    json!({ "seconds": microseconds / 1_000_000, "microseconds": microseconds % 1_000_000 })
}

fn amounts_value(amounts: &Amounts, none: bool) -> Value {
    if none {
        return json!([]);
    }
    let item = |kind: &str, id: u32, count: u64| json!({ "type": kind, "name": null, "id": id, "count": count });
    json!([
        item("cpu", 1, amounts.cpus),
        item("mem", 2, amounts.memory.0),
        item("node", 4, amounts.nodes),
        item("billing", 5, amounts.billing)
    ])
}

fn history_times(row: &HistoryRow, context: &Context) -> Value {
    let job = &row.job;
    let usage = row.steps.iter().fold(Usage::default(), |mut total, step| {
        total.add(step.usage);
        total
    });
    json!({
        "elapsed": job.run_time(context.now).seconds(),
        "eligible": seconds(job_text::eligible_time(job)),
        "end": seconds(job.end_time.filter(|_| job.state.is_final())),
        "start": seconds(job.start_time.filter(|_| job_text::has_started(job))),
        "submission": job.submit_time.seconds(),
        "suspended": job_text::stood(job, context.now).seconds(),
        "system": cpu_value(usage.system_cpu_us),
        "limit": minutes(Some(job.time_limit)),
        "total": cpu_value(usage.system_cpu_us + usage.user_cpu_us),
        "user": cpu_value(usage.user_cpu_us),
    })
}

fn history_value(row: &HistoryRow, cluster: &Cluster, context: &Context) -> Value {
    let job = &row.job;
    let spec = &job.spec;
    let started = job.start_time.filter(|_| job_text::has_started(job));
    let tracked = cluster.tracked_gres();
    let requested = Amounts::requested(job, cluster, &tracked);
    let allocated =
        job.allocation.as_ref().map(|allocation| Amounts::held(job, allocation, cluster)).unwrap_or_default();
    let state = if job.requeue_pending { "REQUEUED" } else { job.state.as_str() };
    let memory = match spec.request.memory {
        Some(MemoryRequest::PerNode(memory) | MemoryRequest::PerCpu(memory)) => memory.0,
        _ => 0,
    };
    json!({
        "account": job.account_name().unwrap_or_default(),
        "comment": { "administrator": job_text::admin_comment(job), "job": job_text::comment(job), "system": null },
        "allocation_nodes": allocated.nodes,
        "array": {
            "job_id": job.array_job_id().map_or(0, |id| id.0),
            "limits": { "max": { "running": { "tasks": job_text::throttle(job).unwrap_or(0) } } },
            "task": job_text::waiting_tasks(job, context),
            "task_id": job.task_index(),
        },
        "association": { "account": job.account_name(), "cluster": cluster.name.as_deref(), "partition": null, "user": *spec.identity.user },
        "cluster": cluster.name.as_deref().unwrap_or_default(),
        "constraints": spec.request.constraint.as_deref().unwrap_or_default(),
        "container": job_text::rare(job, "container"),
        "derived_exit_code": exit_value(job.derived_exit),
        "time": history_times(row, context),
        "exit_code": exit_value(if matches!(job.state, JobState::Cancelled | JobState::Timeout) { ExitStatus::SUCCESS } else { job.exit }),
        "flags": [],
        "group": *spec.identity.group,
        "het": { "job_id": job.het.map_or(0, |role| role.leader.0), "job_offset": job.het.map(|role| role.offset) },
        "job_id": job.id.0,
        "name": *spec.name,
        "mcs": { "label": "" },
        "nodes": job.node_list.as_deref().filter(|_| started.is_some()).unwrap_or("None assigned"),
        "partition": *job.partition,
        "priority": job.priority,
        "qos": job.qos_name().unwrap_or("normal"),
        "required": { "CPUs": job_text::cpus_requested(job), "memory": memory },
        "kill_request_user": job.cancelled_by.map(|uid| uid.to_string()),
        "reservation": { "id": 0, "name": 0 },
        "state": { "current": state, "reason": if job_text::has_started(job) { "None".to_owned() } else { job_text::reason(job) } },
        "steps": row.steps.iter().map(|step| step_value(step, context)).collect::<Vec<_>>(),
        "tres": { "allocated": amounts_value(&allocated, !job_text::has_started(job)), "requested": amounts_value(&requested, false) },
        "user": *spec.identity.user,
        "wckey": { "wckey": job_text::wckey(job).unwrap_or_default(), "flags": [] },
        "working_directory": *spec.work_dir,
    })
}

fn step_value(step: &Step, context: &Context) -> Value {
    let nodes = muster_model::hostlist::expand(&step.node_list).unwrap_or_default();
    let elapsed = step.start_time.map_or(0, |start| step.end_time.unwrap_or(context.now).since(start).seconds());
    let cpus: u64 = step.layout.iter().map(|node| u64::from(node.cpus.len())).sum();
    let id = match step.step_id {
        StepId::Number(number) => json!(number),
        other => json!(other.to_string()),
    };
    json!({
        "nodes": { "list": nodes, "count": step.layout.len().max(1), "range": *step.node_list },
        "tres": { "allocated": [
            { "type": "cpu", "name": null, "id": 1, "count": cpus },
            { "type": "node", "name": null, "id": 4, "count": step.layout.len() },
        ] },
        "time": {
            "elapsed": elapsed,
            "end": seconds(step.end_time),
            "start": seconds(step.start_time),
            "suspended": 0,
            "system": cpu_value(step.usage.system_cpu_us),
            "total": cpu_value(step.usage.system_cpu_us + step.usage.user_cpu_us),
            "user": cpu_value(step.usage.user_cpu_us),
        },
        "exit_code": exit_value(step.exit),
        "tasks": { "count": step.tasks },
        "pid": null,
        "kill_request_user": step.cancelled_by.map(|uid| uid.to_string()),
        "state": step.state.as_str(),
        "step": { "job_id": step.job_id.0, "het": { "component": null }, "id": id, "name": *step.name },
    })
}
