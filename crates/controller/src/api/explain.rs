//! Why a job waits: from its row where something about the job itself keeps it back, from the planner where others do.

use muster_core::ReadView;
use muster_model::dependency::DependencyState;
use muster_model::explain::{Cause, Explanation};
use muster_model::ids::JobId;
use muster_model::job::{ArrayRole, Hold, Job};
use muster_model::request::{Refusal, RefusalCode, Reply};
use muster_model::state::JobState;
use muster_sched::Budget;

use super::ApiService;
use crate::clock;

impl ApiService {
    pub(crate) fn explained(&self, view: &ReadView, job_id: JobId) -> Reply {
        let Some(job) = view.job(job_id) else {
            return unknown(&job_id.to_string());
        };
        if job.state != JobState::Pending {
            let why = job.reason_detail.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
            let detail = format!("job {job_id} does not wait: it is {}{why}", job.state);
            return Reply::Refused(Refusal::new(RefusalCode::JobRunning, detail));
        }
        let plan_view = view.plan_view(clock::now());
        let budget = Budget::of(&view.config);
        let mut explainer = self.explainer.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let found = explainer.explain(&plan_view, &budget, job_id);
        drop(explainer);
        let mut explanation = found.unwrap_or_else(|| by_itself(&job));
        add_priorities(view, &job, &mut explanation);
        Reply::Explained(Box::new(explanation))
    }

    /// A task of an array: by its own record, or by that of the tasks that wait together.
    pub(crate) fn task_explained(&self, view: &ReadView, array_id: JobId, index: u32) -> Reply {
        if let Some(own) = view.array_tasks.get(&array_id).and_then(|tasks| tasks.get(&index)) {
            return self.explained(view, *own);
        }
        let waits = view.jobs.get(&array_id).is_some_and(
            |job| matches!(&job.array, Some(ArrayRole::Waiting { tasks }) if tasks.iter().any(|task| task == index)),
        );
        if waits { self.explained(view, array_id) } else { unknown(&format!("{array_id}_{index}")) }
    }
}

fn unknown(name: &str) -> Reply {
    let detail = format!("there is no job {name}, or it has ended and left the controller's memory (see sacct)");
    Reply::Refused(Refusal::new(RefusalCode::InvalidJobId, detail))
}

/// What its place in the queue comes from: the parts of its priority, and those of the jobs before it.
fn add_priorities(view: &ReadView, job: &Job, explanation: &mut Explanation) {
    explanation.priorities = view.ledgers_of(job);
    for other in &mut explanation.ahead {
        let row = view.jobs.get(&other.job_id);
        other.ledger = row.and_then(|row| view.ledgers_of(row).into_iter().next());
    }
}

/// A job that is not in the queue: something about itself keeps it back.
fn by_itself(job: &Job) -> Explanation {
    let now = clock::now();
    let mut causes = Vec::new();
    if let Some(hold) = job.hold {
        causes.push(Cause::Held { by_operator: hold == Hold::Admin });
    }
    if !job.dependencies.is_empty() {
        let list = job.dependencies.to_string();
        let failed = |dependency: &muster_model::dependency::Dependency| dependency.state == DependencyState::Failed;
        let hopeless = if job.dependencies.any_is_enough {
            job.dependencies.all.iter().all(failed)
        } else {
            job.dependencies.all.iter().any(failed)
        };
        causes.push(Cause::Dependency { list, hopeless });
    }
    if let Some(begin) = job.begin_time.filter(|begin| *begin > now) {
        causes.push(Cause::BeginTime(begin));
    }
    if causes.is_empty() {
        causes.push(Cause::Rule {
            reason: job.reason,
            detail: job.reason_detail.as_deref().unwrap_or_default().to_owned(),
        });
    }
    Explanation {
        job_id: job.id,
        time: now,
        reason: job.reason,
        causes,
        expected_start: job
            .begin_time
            .filter(|begin| *begin > now && job.hold.is_none() && job.dependencies.is_empty()),
        expected_nodes: None,
        is_forecast: true,
        ahead_count: 0,
        ahead: Vec::new(),
        blockers: Vec::new(),
        alternatives: Vec::new(),
        priorities: Vec::new(),
        latest_start: job.latest_start(),
    }
}
