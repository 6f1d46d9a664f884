//! Why a job waits: from its row where something about the job itself keeps it back, from the planner where others do.

use muster_core::ReadView;
use muster_model::dependency::DependencyState;
use muster_model::explain::{Cause, Explanation};
use muster_model::ids::JobId;
use muster_model::job::{Hold, Job};
use muster_model::request::{Refusal, RefusalCode, Reply};
use muster_model::state::JobState;
use muster_sched::Budget;

use super::ApiService;
use crate::clock;

impl ApiService {
    pub(super) fn explained(&self, view: &ReadView, job_id: JobId) -> Reply {
        let Some(job) = view.job(job_id) else {
            return Reply::Refused(RefusalCode::InvalidJobId.into());
        };
        if job.state != JobState::Pending {
            let detail = format!("job {job_id} does not wait: it is {}", job.state);
            return Reply::Refused(Refusal::new(RefusalCode::JobRunning, detail));
        }
        let plan_view = view.plan_view(clock::now());
        let budget = Budget::of(&view.config);
        let mut explainer = self.explainer.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let found = explainer.explain(&plan_view, &budget, job_id);
        drop(explainer);
        Reply::Explained(Box::new(found.unwrap_or_else(|| by_itself(view, &job))))
    }
}

/// A job that is not in the queue: something about itself keeps it back.
fn by_itself(view: &ReadView, job: &Job) -> Explanation {
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
        ahead_count: u32::try_from(view.queue.len()).unwrap_or(u32::MAX),
        ahead: Vec::new(),
        blockers: Vec::new(),
        alternatives: Vec::new(),
    }
}
