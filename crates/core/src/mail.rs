//! Which mails follow from the change of a job's row.
//!
//! As in Slurm, of an array one mail tells of the first start and one of the end of the last task, unless each task is to be told of
//! (`ARRAY_TASKS`).

use std::sync::Arc;

use muster_model::ids::JobId;
use muster_model::job::{ArrayRole, Job};
use muster_model::mail::{ArrayEnds, Mail, MailKind, MailSubject};
use muster_model::state::{ExitStatus, JobState, Reason};
use muster_model::time::{Span, Timestamp};

use crate::cluster::Cluster;
use crate::effect::{Effect, Outcome};

/// Shares of the time limit of which mails may tell, with the types that ask for them.
const SHARES: [(u8, &str); 3] = [(90, "TIME_LIMIT_90"), (80, "TIME_LIMIT_80"), (50, "TIME_LIMIT_50")];

/// What is known of an array before the row changes.
pub(crate) fn has_begun(cluster: &Cluster, job: &Job) -> bool {
    job.array_job_id().and_then(|array| cluster.arrays.get(&array)).is_some_and(|info| info.began)
}

/// Writes the mails that follow from the change from `old` to `new`. The indexes are those after it, the rows those before;
/// `had_begun` is of the array before it.
pub(crate) fn tell(cluster: &Cluster, old: Option<&Arc<Job>>, new: &Arc<Job>, had_begun: bool, out: &mut Outcome) {
    if new.spec.rare.as_ref().is_none_or(|rare| rare.mail_type.is_none()) {
        return;
    }
    let before = old.map_or(JobState::Pending, |old| old.state);
    let mut write = |kind, job: &Arc<Job>| {
        if let Some(subject) = subject(cluster, kind, job, had_begun) {
            out.effects.push(Effect::Mail(Box::new(Mail { kind, subject, job: job.clone() })));
        }
    };
    if before == JobState::Pending && new.state == JobState::Running && new.wants_mail("BEGIN") {
        write(MailKind::Began, new);
    }
    if let Some(old) = old.filter(|old| old.restart < new.restart && !old.state.is_final() && new.wants_mail("REQUEUE"))
    {
        write(MailKind::Requeued, old);
    }
    let never = |job: &Job| job.reason == Reason::DependencyNeverSatisfied;
    if never(new) && old.is_none_or(|old| !never(old)) && new.wants_mail("INVALID_DEPEND") {
        write(MailKind::InvalidDependency, new);
    }
    if new.state.is_final() && !before.is_final() {
        if new.state == JobState::Timeout && new.wants_mail("TIME_LIMIT") {
            write(MailKind::LimitReached(100), new);
        }
        let is_well = matches!(new.state, JobState::Completed | JobState::Cancelled);
        match is_well {
            false if new.wants_mail("FAIL") => write(MailKind::Failed, new),
            _ if new.wants_mail("END") => write(MailKind::Ended, new),
            _ => {}
        }
    }
}

/// About whom the mail is; `None` where none is to be written.
fn subject(cluster: &Cluster, kind: MailKind, job: &Arc<Job>, had_begun: bool) -> Option<MailSubject> {
    let Some(array_id) = job.array_job_id().filter(|_| !job.wants_mail("ARRAY_TASKS")) else {
        return Some(MailSubject::Job);
    };
    match kind {
        MailKind::Began => (!had_begun).then_some(MailSubject::Array(None)),
        MailKind::Ended | MailKind::Failed => {
            let is_over = cluster.arrays.get(&array_id).is_none_or(|info| info.open == 0);
            let waits = cluster.jobs.get(&array_id).filter(|record| record.id != job.id).is_some_and(|record| {
                let is_waiting = matches!(&record.array, Some(ArrayRole::Waiting { tasks }) if !tasks.is_empty());
                is_waiting && !record.state.is_final()
            });
            (is_over && !waits).then(|| MailSubject::Array(Some(ends(cluster, array_id, job))))
        }
        MailKind::InvalidDependency => Some(MailSubject::Array(None)),
        MailKind::Requeued | MailKind::LimitReached(_) => None,
    }
}

/// How the tasks did of which there are records.
fn ends(cluster: &Cluster, array_id: JobId, last: &Arc<Job>) -> ArrayEnds {
    let ids = cluster.array_tasks.get(&array_id).into_iter().flat_map(|tasks| tasks.values());
    let others = ids.filter(|id| **id != last.id).filter_map(|id| cluster.jobs.get(id));
    let mut ends = ArrayEnds {
        state: Some(last.state),
        code_min: last.exit.code,
        code_max: last.exit.code,
        signal_max: last.exit.signal,
    };
    for ExitStatus { code, signal } in others
        .inspect(|job| {
            ends.state = ends.state.filter(|state| *state == job.state);
        })
        .map(|job| job.exit)
    {
        ends.code_min = ends.code_min.min(code);
        ends.code_max = ends.code_max.max(code);
        ends.signal_max = ends.signal_max.max(signal);
    }
    ends.state = ends.state.filter(|_| ends.code_min == ends.code_max);
    ends
}

/// When mails about shares of its time limit are due for a running job, as far as they are wanted and not written.
pub(crate) fn limit_moments(job: &Job) -> impl Iterator<Item = (u8, Timestamp)> + '_ {
    let limit = job.time_limit.span().filter(|_| job.state == JobState::Running);
    let moments = limit.zip(job.end_time).into_iter().flat_map(|(limit, end)| {
        SHARES.into_iter().map(move |(share, word)| (share, word, end - Span(limit.0 / 100 * i64::from(100 - share))))
    });
    moments.filter(|(share, word, _)| *share > job.limit_told && job.wants_mail(word)).map(|(share, _, at)| (share, at))
}

/// A share of the time limit may be over.
pub(crate) fn limit_reached(cluster: &mut Cluster, now: Timestamp, job_id: JobId, out: &mut Outcome) {
    let Some(job) = cluster.jobs.get(&job_id).cloned() else { return };
    let due: Vec<u8> = limit_moments(&job).filter(|(_, at)| *at <= now).map(|(share, _)| share).collect();
    let Some(greatest) = due.iter().copied().max() else { return };
    let kind = MailKind::LimitReached(greatest);
    if let Some(subject) = subject(cluster, kind, &job, true) {
        out.effects.push(Effect::Mail(Box::new(Mail { kind, subject, job: job.clone() })));
    }
    cluster.put_job_quietly(now, Job { limit_told: greatest, ..(*job).clone() }, out);
}
