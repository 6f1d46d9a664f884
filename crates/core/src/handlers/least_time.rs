//! The least time that a job is content with (`--time-min`), beside its limit, its partition and its deadline. The rules are as observed
//! with Slurm 22.05, which lets any job with a deadline in that whose limit is too long, and gives it up at the first look.

use muster_model::job::{Job, JobSpec};
use muster_model::partition::Partition;
use muster_model::request::{JobChanges, Refusal, RefusalCode};
use muster_model::time::{Span, TimeLimit, Timestamp};

/// What a job is content with that has only a deadline: whatever is left until then, but no less.
const LEFT_BY_DEADLINE_MIN: i64 = 1;

/// The least time of a job that is submitted now and gets `limit` in `partition`.
///
/// # Errors
///
/// When it is more than the job may take, or more than there is until its deadline. From when on it may start counts for nothing.
pub(super) fn of_new(
    now: Timestamp,
    spec: &JobSpec,
    partition: &Partition,
    limit: TimeLimit,
) -> Result<Option<TimeLimit>, Refusal> {
    let Some(least) = spec.time_limit_min else {
        let has_only_deadline =
            spec.deadline.is_some() && spec.time_limit.is_none() && partition.time_default.is_none();
        return Ok(has_only_deadline.then(|| TimeLimit::from_minutes(LEFT_BY_DEADLINE_MIN)));
    };
    let seconds_left = spec.deadline.map(|deadline| deadline.seconds() - now.seconds());
    let fits_until = seconds_left.is_none_or(|left| least.span().is_some_and(|least| least.seconds() <= left));
    if !fits_until || is_more(least, TimeLimit::min(limit, partition.time_max)) {
        return Err(RefusalCode::InvalidTimeMin.into());
    }
    Ok(Some(least))
}

/// Whether `changes` leave `job` a least time within its limit. Its deadline is not looked at.
pub(super) fn may_change(job: &Job, changes: &JobChanges) -> Result<(), Refusal> {
    if changes.time_limit.is_none() && changes.time_limit_min.is_none() {
        return Ok(());
    }
    let limit = changes.time_limit.unwrap_or(job.time_limit);
    match after(job.spec.time_limit_min, changes) {
        Some(least) if is_more(least, limit) => Err(RefusalCode::InvalidTimeMin.into()),
        _ => Ok(()),
    }
}

/// The least time of a job that had `before`: none at all (`TimeMin=0`) takes it away.
pub(super) fn after(before: Option<TimeLimit>, changes: &JobChanges) -> Option<TimeLimit> {
    match changes.time_limit_min {
        Some(least) => least.span().filter(|span| *span != Span::ZERO).map(|_| least),
        None => before,
    }
}

fn is_more(least: TimeLimit, limit: TimeLimit) -> bool {
    let order = |limit: TimeLimit| limit.span().map_or(i64::MAX, |span| span.0);
    order(least) > order(limit)
}
