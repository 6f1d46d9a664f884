//! `scontrol requeue Incomplete JOBS`: which jobs are meant.

use std::sync::Arc;

use muster_model::job::{ArrayRole, Job};
use muster_model::request::JobTarget;
use muster_model::state::JobState;

use super::super::context::Answers;
use super::super::ids;

/// Of a job as named, the jobs and tasks that run or are suspended (man scontrol, `Incomplete`). Of one that is not known the
/// controller says so.
pub(super) fn of((text, target): (String, Option<JobTarget>), answers: &Answers) -> Vec<(String, Option<JobTarget>)> {
    let is_meant = |job: &&Arc<Job>| target.as_ref().is_some_and(|target| ids::matches(target, job));
    let found: Vec<_> = answers.jobs.iter().filter(is_meant).collect();
    if found.is_empty() {
        return vec![(text, target)];
    }
    let runs = found.into_iter().filter(|job| matches!(job.state, JobState::Running | JobState::Suspended));
    let each = runs.map(|job| match &job.array {
        Some(ArrayRole::Task { array_job_id, task_index }) => format!("{array_job_id}_{task_index}"),
        _ => job.id.to_string(),
    });
    each.map(|name| (name.clone(), ids::target(&name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tests::scenes;

    #[test]
    fn tasks_that_have_ended_or_wait_are_left_alone() {
        let task = |id, task_index, state| {
            scenes::job(id, "array", "08:00:00", |job, _| {
                job.array = Some(ArrayRole::Task { array_job_id: muster_model::ids::JobId(12), task_index });
                job.state = state;
            })
        };
        let jobs = vec![
            task(13, 1, JobState::Completed),
            task(14, 2, JobState::Running),
            task(15, 3, JobState::Suspended),
            task(12, 4, JobState::Pending),
        ];
        let answers = Answers { jobs, ..Answers::default() };
        let named = |text: &str| -> Vec<String> {
            of((text.to_owned(), ids::target(text)), &answers).into_iter().map(|(text, _)| text).collect()
        };
        assert_eq!(named("12"), ["12_2", "12_3"]);
        assert_eq!(named("12_[1-2]"), ["12_2"]);
        assert!(named("12_1").is_empty());
        assert_eq!(named("99"), ["99"], "the controller says that there is none");
    }
}
