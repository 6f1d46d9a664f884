//! The end of a run: nothing fails any more, and everything has to come to rest. What does not is a bug.

use std::collections::BTreeSet;

use muster_core::{Cluster, ReadView};
use muster_model::dependency::{DependencyKind, DependencyState};
use muster_model::ids::JobId;
use muster_model::job::Job;
use muster_model::state::{JobState, Reason};
use muster_model::time::Span;

use crate::options::Hazards;
use crate::scenario::WHILE;
use crate::world::{Happening, World};

/// How long everything may take to come to rest, in virtual time: far more than all jobs one after the other.
const REST_MAX: Span = Span::from_minutes(8 * 60);

impl World {
    pub(crate) fn repair(&mut self) {
        self.note("everything is repaired");
        self.winding_up = true;
        self.hazards = Hazards::none();
        for node in &mut self.nodes {
            node.reachable = true;
        }
        self.after(WHILE, Happening::Look);
    }

    pub(crate) fn look(&mut self) {
        match self.what_is_going_on() {
            None => self.finish(),
            Some(what) if self.now > crate::world::START + self.options.activity + REST_MAX => {
                self.fail(format!("it does not come to rest: {what}"));
            }
            Some(_) => {
                self.operator_tidies_up();
                self.after(WHILE, Happening::Look);
            }
        }
    }

    /// What has not come to an end, in words.
    fn what_is_going_on(&self) -> Option<String> {
        let Some(cluster) = self.controller.cluster().filter(|_| self.controller.is_idle()) else {
            return Some("the controller is busy".to_owned());
        };
        if let Some(node) = self.nodes.iter().find_map(|node| node.what_is_going_on()) {
            return Some(node);
        }
        if let Some((number, asker)) = self.askers.first_key_value() {
            return Some(format!("asker {number} goes on: {asker:?}"));
        }
        let view = cluster.read_view();
        let waiting = rightly_waiting(&view);
        let jobs = || view.jobs.values();
        if let Some(job) = jobs().find(|job| !waiting.contains(&job.id) && !is_over(job)) {
            return Some(format!("job {} is {} {}, completing {}", job.id, job.state, job.reason, job.completing));
        }
        if let Some(step) = self.store.all_steps().find(|step| !step.state.is_final()) {
            return Some(format!("step {}.{}.{} is open", step.job_id, step.restart.0, step.step_id));
        }
        let arrays: BTreeSet<JobId> = waiting.iter().filter_map(|id| view.jobs.get(id)?.array_job_id()).collect();
        let kept =
            |job: &Job| waiting.contains(&job.id) || job.array_job_id().is_some_and(|array| arrays.contains(&array));
        if let Some(job) = jobs().find(|job| !kept(job)) {
            return Some(format!("job {} stays in memory", job.id));
        }
        self.differs_from_store(cluster)
    }

    /// The rows on the disk are those in memory.
    fn differs_from_store(&self, cluster: &Cluster) -> Option<String> {
        let view = cluster.read_view();
        let stored: BTreeSet<JobId> = self.store.resident_jobs().map(|job| job.id).collect();
        let known: BTreeSet<JobId> = view.jobs.keys().copied().collect();
        if stored != known {
            return Some(format!("jobs {stored:?} are stored, {known:?} are known"));
        }
        let unlike = |job: &&std::sync::Arc<Job>| view.jobs.get(&job.id).is_none_or(|known| known.state != job.state);
        self.store.resident_jobs().find(unlike).map(|job| format!("job {} is stored otherwise", job.id))
    }
}

fn is_over(job: &Job) -> bool {
    job.state.is_final() && !job.completing
}

/// Jobs that can never start because of what they depend on, and those that wait for them.
fn rightly_waiting(view: &ReadView) -> BTreeSet<JobId> {
    let mut waiting = BTreeSet::new();
    loop {
        let more: Vec<JobId> = view
            .jobs
            .values()
            .filter(|job| job.state == JobState::Pending && !job.completing && !waiting.contains(&job.id))
            .filter(|job| waits_rightly(view, &waiting, job))
            .map(|job| job.id)
            .collect();
        if more.is_empty() {
            return waiting;
        }
        waiting.extend(more);
    }
}

fn waits_rightly(view: &ReadView, waiting: &BTreeSet<JobId>, job: &Job) -> bool {
    if job.reason == Reason::DependencyNeverSatisfied || job.components().any(|id| waiting.contains(&id)) {
        return true;
    }
    let of_same_name = |other: &&JobId| {
        view.jobs.get(*other).is_some_and(|other| {
            other.spec.name == job.spec.name && other.spec.identity.uid == job.spec.identity.uid && other.id < job.id
        })
    };
    let of_array = |target: JobId| {
        waiting
            .iter()
            .any(|id| *id == target || view.jobs.get(id).is_some_and(|job| job.array_job_id() == Some(target)))
    };
    job.dependencies.all.iter().filter(|dependency| dependency.state == DependencyState::Unfulfilled).any(
        |dependency| match (dependency.kind, dependency.job) {
            (DependencyKind::Singleton, _) => waiting.iter().any(|other| of_same_name(&other)),
            (_, Some(target)) => of_array(target),
            (_, None) => false,
        },
    )
}
