//! How users name jobs, tasks of arrays and steps: `12`, `12_3`, `12_[1-3,5]`, `12.0`, `12_3.batch`, `12+1`.

use muster_model::array::TaskSet;
use muster_model::ids::{JobId, StepId};
use muster_model::request::JobTarget;

/// Greatest task index that is looked at: Slurm's own bound on `MaxArraySize`.
const TASK_INDEX_MAX: u32 = 4_000_001;

/// Reads the name of a job, of tasks, or of a step. `None` when it is not one.
pub fn target(text: &str) -> Option<JobTarget> {
    let (job, step) = match text.split_once('.') {
        Some((job, step)) => (job, Some(step.parse::<StepId>().ok()?)),
        None => (text, None),
    };
    let (id, tasks, component) = match (job.split_once('_'), job.split_once('+')) {
        (Some((id, tasks)), _) => (id, Some(TaskSet::parse(tasks, TASK_INDEX_MAX)?), None),
        (None, Some((id, offset))) => (id, None, Some(number(offset)?)),
        (None, None) => (job, None, None),
    };
    let job_id = JobId(number(id)?);
    (job_id.0 > 0).then_some(JobTarget { job_id, tasks, step, component })
}

/// `0_3`: the tasks with that index of all arrays, as `scontrol show job` takes it.
pub fn task_of_any(text: &str) -> Option<JobTarget> {
    let tasks = TaskSet::parse(text.strip_prefix("0_")?, TASK_INDEX_MAX)?;
    Some(JobTarget { job_id: JobId(0), tasks: Some(tasks), step: None, component: None })
}

fn number(text: &str) -> Option<u32> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// Splits a list of job names at commas outside of brackets: `1,2_[1,3],4`.
pub fn split(list: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0u32, 0);
    for (at, c) in list.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[start..]);
    parts.retain(|part| !part.is_empty());
    parts
}

/// Whether `target` names `job`: it, its array, some of its tasks, the heterogeneous job that it is part of, or its place there.
pub fn matches(target: &JobTarget, job: &muster_model::job::Job) -> bool {
    use muster_model::job::ArrayRole;
    if let Some(offset) = target.component {
        return job.het.is_some_and(|role| role.leader == target.job_id && role.offset == offset);
    }
    match (&target.tasks, &job.array) {
        (None, None) => job.id == target.job_id || job.het_job_id() == Some(target.job_id),
        (None, _) => job.id == target.job_id || job.array_job_id() == Some(target.job_id),
        (Some(tasks), Some(ArrayRole::Task { array_job_id, task_index })) => {
            (*array_job_id == target.job_id || target.job_id.0 == 0) && tasks.contains(*task_index)
        }
        (Some(tasks), Some(ArrayRole::Waiting { tasks: waiting })) => {
            (job.id == target.job_id || target.job_id.0 == 0) && tasks.iter().any(|index| waiting.contains(index))
        }
        (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_jobs() {
        let check = |text: &str, expected: Option<(u32, Option<&str>, Option<StepId>)>| {
            let found =
                target(text).map(|target| (target.job_id.0, target.tasks.map(|tasks| tasks.to_string()), target.step));
            assert_eq!(found, expected.map(|(id, tasks, step)| (id, tasks.map(str::to_owned), step)), "{text}");
        };
        check("12", Some((12, None, None)));
        check("12_3", Some((12, Some("3"), None)));
        check("12_[1-3,5]", Some((12, Some("1-3,5"), None)));
        check("12.batch", Some((12, None, Some(StepId::Batch))));
        check("12_3.0", Some((12, Some("3"), Some(StepId::Number(0)))));
        for bad in ["", "abc", "0", "-1", "12.", "12_", "12x", "1 2", "99999999999"] {
            check(bad, None);
        }
        assert_eq!(
            task_of_any("0_3").and_then(|target| target.tasks).map(|tasks| tasks.to_string()).as_deref(),
            Some("3")
        );
        assert_eq!((task_of_any("1_3"), task_of_any("0")), (None, None));
        assert_eq!(split("1,2_[1,3],,4"), ["1", "2_[1,3]", "4"]);
    }
}
