//! The history of this product as a workload, with all that the jobs asked for.

use std::collections::BTreeMap;

use muster_model::job::Job;
use muster_model::request::HistoryRow;
use muster_model::time::Span;

use crate::workload::{Submission, Workload};

/// The year that stands for a job without limit, as in plans.
const UNLIMITED: Span = Span::from_seconds(365 * 86_400);

/// Makes a workload of history. Only starts that have ended can be replayed; each counts as a job of its own. A job comes
/// when it became eligible, so dependencies, holds and begin times keep their effect as it was.
pub fn from_history(rows: &[HistoryRow]) -> Workload {
    let mut workload = Workload::default();
    // Equal specifications of different rows are one object again, so that planning can share work.
    let mut specs = BTreeMap::new();
    for row in rows {
        match submission(&row.job) {
            Some(mut job) => {
                let spec = specs.entry(row.job.spec_id).or_insert_with(|| row.job.spec.clone());
                job.spec = Some(spec.clone());
                workload.jobs.push(job);
            }
            None => workload.left_out += 1,
        }
    }
    workload.settle()
}

fn submission(job: &Job) -> Option<Submission> {
    if !job.state.is_final() {
        return None;
    }
    let (start, end) = (job.start_time?, job.end_time?);
    let run = Span(end.since(start).0 - job.suspended.0);
    let cpus = job.allocation.as_ref()?.cpus();
    if run <= Span::ZERO || cpus == 0 {
        return None;
    }
    Some(Submission {
        number: job.id.0,
        submit: job.eligible_time.unwrap_or(job.submit_time).max(job.submit_time).min(start),
        run,
        limit: job.time_limit.span().unwrap_or(UNLIMITED),
        cpus,
        user: job.spec.identity.uid,
        priority: job.priority.max(1),
        partition: Some(job.partition.clone()),
        spec: None,
    })
}
