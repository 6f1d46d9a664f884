//! Runs as JSON, in the form of dstack's API, for `ps --json` and `run get --json`.

use muster_model::hostlist;
use muster_model::job::Job;
use muster_model::resources::NodeShare;
use muster_model::state::JobState;
use muster_model::time::Timestamp;
use serde_json::{Value, json};

use super::identity::{job_submission_id, run_id};
use super::status::{RunStatus, error_message, exit_code, status, status_message, termination_reason};
use super::times::iso_time;

/// `{"project": …, "runs": […]}`, as `ps --json` prints it.
pub fn runs_json(project: &str, jobs: &[&Job], now: Timestamp) -> Value {
    let runs: Vec<Value> = jobs.iter().map(|job| run_json(job, now)).collect();
    json!({ "project": project, "runs": runs })
}

/// One run. `now` is when it was looked at.
pub fn run_json(job: &Job, now: Timestamp) -> Value {
    let Some(run) = &job.spec.run else {
        return Value::Null;
    };
    let configuration: Value = serde_json::from_str(&run.configuration).unwrap_or(Value::Null);
    let ranks = job.spec.request.nodes_min.max(1);
    let jobs: Vec<Value> = (0..ranks).map(|rank| job_json(job, rank, ranks, &configuration, now)).collect();
    let latest = jobs.first().and_then(|job| job["job_submissions"].get(0)).cloned().unwrap_or(Value::Null);
    json!({
        "id": run_id(job.id, run),
        "project_name": &*run.project,
        "user": &*job.spec.identity.user,
        "fleet": { "id": run_id(job.id, run), "name": &*job.partition },
        "submitted_at": iso_time(job.submit_time),
        "last_processed_at": iso_time(now),
        "status": status(job).as_str(),
        "status_message": run_message(job),
        "termination_reason": run_termination_reason(job),
        "run_spec": {
            "run_name": &*run.run_name,
            "repo_id": "none",
            "repo_data": { "repo_type": "virtual" },
            "working_dir": &*job.spec.work_dir,
            "configuration": configuration,
        },
        "jobs": jobs,
        "latest_job_submission": latest,
        "cost": 0.0,
        "deployment_num": 0,
        "error": error_message(job),
        "deleted": false,
        "muster": { "job_id": job.id.0, "state": job.state.as_str(), "reason": job.reason.as_str() },
    })
}

/// The run's own message: its status, or `retrying`; how it ended is said by its submissions.
fn run_message(job: &Job) -> String {
    let status = status(job);
    if status.is_finished() { status.to_string() } else { status_message(job) }
}

fn run_termination_reason(job: &Job) -> Option<&'static str> {
    Some(match job.state {
        JobState::Pending | JobState::Running | JobState::Suspended | JobState::Requeued | JobState::Resizing => {
            return None;
        }
        JobState::Completed => "all_jobs_done",
        JobState::Cancelled => "stopped_by_user",
        _ => "job_failed",
    })
}

fn job_json(job: &Job, rank: u32, ranks: u32, configuration: &Value, now: Timestamp) -> Value {
    let Some(run) = &job.spec.run else {
        return Value::Null;
    };
    let share = job.allocation.as_ref().and_then(|allocation| allocation.shares.get(rank as usize));
    json!({
        "job_spec": {
            "replica_num": 0,
            "job_num": rank,
            "job_name": format!("{}-{rank}-0", run.run_name),
            "jobs_per_replica": ranks,
            "commands": configuration["commands"],
            "env": {},
            "image_name": configuration["image"].as_str().unwrap_or(""),
            "max_duration": job.time_limit.span().map(|span| span.seconds()),
            "working_dir": &*job.spec.work_dir,
            "requirements": { "resources": configuration["resources"] },
        },
        "job_submissions": [{
            "id": job_submission_id(job.id, job.restart, rank, run),
            "submission_num": job.restart.0,
            "deployment_num": 0,
            "submitted_at": iso_time(job.submit_time),
            "last_processed_at": iso_time(now),
            "finished_at": job.end_time.filter(|_| job.state.is_final()).map(iso_time),
            "status": submission_status(job),
            "status_message": status_message(job),
            "termination_reason": termination_reason(job),
            "exit_status": job.state.is_final().then(|| exit_code(job)),
            "job_provisioning_data": share.map(|share| provisioning(job, rank, share)),
            "error": error_message(job),
        }],
    })
}

/// A job submission has no `pending`.
fn submission_status(job: &Job) -> &'static str {
    match status(job) {
        RunStatus::Pending => RunStatus::Submitted.as_str(),
        other => other.as_str(),
    }
}

fn provisioning(job: &Job, rank: u32, share: &NodeShare) -> Value {
    let names = job.node_list.as_deref().and_then(|list| hostlist::expand(list).ok()).unwrap_or_default();
    let node = names.get(rank as usize).map_or("", String::as_str);
    let gpus: Vec<Value> = share
        .gres
        .iter()
        .filter(|gres| &*gres.name == "gpu")
        .flat_map(|gres| {
            let name = gres.kind.as_deref().unwrap_or("gpu");
            std::iter::repeat_n(json!({ "name": name, "memory_mib": 0 }), gres.units.len() as usize)
        })
        .collect();
    json!({
        "backend": "remote",
        "instance_type": {
            "name": node,
            "resources": {
                "cpus": share.cpus.len(),
                "memory_mib": share.memory.0,
                "gpus": gpus,
                "spot": false,
                "disk": { "size_mib": 0 },
                "description": "",
            },
        },
        "instance_id": node,
        "hostname": node,
        "internal_ip": Value::Null,
        "region": &*job.partition,
        "price": 0.0,
        "username": &*job.spec.identity.user,
        "dockerized": false,
    })
}

#[cfg(test)]
mod tests {
    use muster_model::state::ExitStatus;

    use super::*;
    use crate::run::samples::{ended, job, running};

    #[test]
    fn a_run_has_the_form_of_the_api() {
        let failed = ended(running(job("train"), 1, 2), JobState::Failed, ExitStatus::exited(3));
        let value = runs_json("main", &[&failed], Timestamp::from_seconds(2000));
        let run = &value["runs"][0];
        assert_eq!(value["project"], "main");
        assert_eq!(run["status"], "failed");
        assert_eq!(run["termination_reason"], "job_failed");
        assert_eq!(run["submitted_at"], "1970-01-01T00:16:40.000000Z");
        assert_eq!(run["run_spec"]["configuration"]["type"], "task");
        assert_eq!(run["latest_job_submission"]["status_message"], "exited (3)");
        assert_eq!(run["latest_job_submission"]["exit_status"], 3);
        let provisioned = &run["jobs"][0]["job_submissions"][0]["job_provisioning_data"];
        assert_eq!(provisioned["instance_type"]["resources"]["cpus"], 2);
        assert_eq!(provisioned["instance_type"]["resources"]["gpus"][0]["name"], "a100");
        assert_eq!(provisioned["hostname"], "n0");
    }
}
