//! A job that changed its size while it ran has a line for each size, as in Slurm: those before the last are RESIZING. Steps
//! are below the size in which they began.

use std::sync::Arc;

use muster_model::job::Job;
use muster_model::request::HistoryRow;
use muster_model::state::{ExitStatus, JobState};
use muster_model::step::Step;
use muster_model::time::{Span, Timestamp};

/// The job as it was at each of its sizes, the last as it is, with the steps of each.
pub(super) fn by_size(row: &HistoryRow) -> Vec<(Arc<Job>, Vec<Step>)> {
    let Some(resize) = row.job.resize.as_ref().filter(|resize| !resize.past.is_empty()) else {
        return vec![(row.job.clone(), row.steps.clone())];
    };
    let began_before = |step: &Step, end: Timestamp| step.start_time.is_some_and(|start| start < end);
    let mut left = row.steps.clone();
    let mut sizes = Vec::with_capacity(resize.past.len() + 1);
    let mut submit_time = row.job.submit_time;
    for past in &resize.past {
        let (mine, later) = left.into_iter().partition(|step| began_before(step, past.end));
        left = later;
        let job = Job {
            state: JobState::Resizing,
            completing: false,
            cleaning: None,
            submit_time,
            start_time: Some(past.start),
            end_time: Some(past.end),
            suspend_time: None,
            suspended: Span::ZERO,
            allocation: Some(past.allocation.clone()),
            node_list: Some(past.node_list.clone()),
            exit: ExitStatus::SUCCESS,
            derived_exit: ExitStatus::SUCCESS,
            energy_joules: 0,
            resize: None,
            ..Job::clone(&row.job)
        };
        sizes.push((Arc::new(job), mine));
        submit_time = past.end;
    }
    let mut job = Job::clone(&row.job);
    let start = job.start_time.replace(resize.time).unwrap_or(resize.time);
    // How long it had stood by then is no part of what is left.
    let stood = Span((resize.time.since(start).0 - resize.run.0).max(0));
    job.suspended = Span((job.suspended.0 - stood.0).max(0));
    job.submit_time = submit_time;
    sizes.push((Arc::new(job), left));
    sizes
}

#[cfg(test)]
mod tests {
    use muster_model::ids::{Identity, JobId, SpecId};
    use muster_model::job::{JobKind, JobSpec};
    use muster_model::resources::Allocation;

    use super::*;

    #[test]
    fn each_size_has_its_own_time() {
        let identity = Identity { uid: 0, gid: 0, user: "root".into(), group: "root".into() };
        let spec = Arc::new(JobSpec::new(identity, "s".into(), JobKind::Batch));
        let at = Timestamp::from_seconds;
        let mut job = Job::new(JobId(2), SpecId(1), spec, "debug".into(), at(1));
        let none = || Arc::new(Allocation::default());
        job.state = JobState::Running;
        (job.start_time, job.allocation, job.node_list) = (Some(at(10)), Some(none()), Some("n[1-4]".into()));
        job.change_size(at(20), none(), "n[1-2]".into());
        job.suspended = Span::from_seconds(5);
        job.change_size(at(40), none(), "n1".into());
        job.suspended = Span::from_seconds(7);
        let lines = by_size(&HistoryRow { job: Arc::new(job), steps: Vec::new() }).into_iter().map(|(job, _)| {
            let seconds = |time: Option<Timestamp>| time.map_or(0, Timestamp::seconds);
            let list = job.node_list.clone().unwrap_or_default();
            let (start, end) = (seconds(job.start_time), seconds(job.end_time));
            format!(
                "{} {list} {} {start}-{end} stood {}",
                job.state,
                job.submit_time.seconds(),
                job.suspended.seconds()
            )
        });
        assert_eq!(
            lines.collect::<Vec<_>>(),
            ["RESIZING n[1-4] 1 10-20 stood 0", "RESIZING n[1-2] 20 20-40 stood 0", "RUNNING n1 40 40-0 stood 2"]
        );
    }
}
