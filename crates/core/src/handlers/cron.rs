//! Jobs that come again: a table takes the place of another as a whole, and a job of it goes back to the queue after each
//! run, to wait for its next time. It is the same job all along, as in Slurm; a time that passes while it waits or runs is
//! left out.

use std::sync::Arc;

use muster_model::cron::Crontab;
use muster_model::document::{Document, DocumentKind};
use muster_model::fact::Fact;
use muster_model::ids::{Identity, JobId};
use muster_model::job::Job;
use muster_model::request::{CronJob, Refusal, RefusalCode};
use muster_model::state::JobState;
use muster_model::time::Timestamp;

use super::{cancel, submit};
use crate::cluster::Cluster;
use crate::effect::Outcome;

/// Most jobs of one table: more than anybody writes by hand.
const JOBS_MAX: usize = 1000;
/// Longest table, in bytes.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// Puts a table in place of the present one of the user.
pub(super) fn update(
    cluster: &mut Cluster,
    now: Timestamp,
    identity: &Identity,
    uid: u32,
    text: Option<String>,
    jobs: Vec<CronJob>,
    out: &mut Outcome,
) -> Result<Vec<JobId>, Refusal> {
    if identity.uid != uid && !identity.is_operator() {
        return Err(RefusalCode::AccessDenied.into());
    }
    if !cluster.config.cron {
        return Err(RefusalCode::Disabled.into());
    }
    if jobs.len() > JOBS_MAX || text.as_ref().is_some_and(|text| text.len() > TEXT_BYTES_MAX) {
        let detail = format!("a table may have {JOBS_MAX} jobs and {TEXT_BYTES_MAX} bytes");
        return Err(Refusal::new(RefusalCode::Internal, detail));
    }
    let jobs = jobs.into_iter().map(|job| prepare(cluster, now, uid, job)).collect::<Result<Vec<_>, _>>()?;
    for job in &jobs {
        submit::check(cluster, now, identity, &job.spec).map(drop).map_err(|refusal| in_lines(job, refusal))?;
    }
    let before: Vec<JobId> = cluster
        .jobs
        .values()
        .filter(|job| job.spec.identity.uid == uid && job.cron().is_some())
        .map(|job| job.id)
        .collect();
    let mut ids = Vec::with_capacity(jobs.len());
    for job in jobs {
        // Those before it count against limits; what they leave may not do for the last ones.
        let admitted = match submit::check(cluster, now, identity, &job.spec) {
            Ok(admitted) => admitted,
            Err(refusal) => {
                ids.into_iter().for_each(|id| take_away(cluster, now, id, out));
                return Err(in_lines(&job, refusal));
            }
        };
        ids.push(submit::enter(cluster, now, identity, job.spec, admitted, None, out));
    }
    before.into_iter().for_each(|id| take_away(cluster, now, id, out));
    match text {
        Some(text) => put(cluster, Crontab { uid, text, disabled: Vec::new() }, out),
        None => {
            if let Some(table) = cluster.crontabs.remove(&uid) {
                out.facts.push(Fact::DocumentGone { kind: DocumentKind::Crontab, name: table.key() });
            }
        }
    }
    Ok(ids)
}

/// The job with its first time.
fn prepare(cluster: &Cluster, now: Timestamp, uid: u32, mut job: CronJob) -> Result<CronJob, Refusal> {
    let entry = job.spec.cron.as_deref().filter(|_| job.spec.identity.uid == uid && job.spec.array.is_none());
    let Some(entry) = entry else {
        return Err(in_lines(&job, Refusal::from(RefusalCode::NotSupported)));
    };
    let Some(next) = entry.schedule.next(now, &cluster.config.zone) else {
        return Err(in_lines(&job, Refusal::from(RefusalCode::InvalidTimeValue)));
    };
    job.spec.begin = Some(next);
    Ok(job)
}

/// The refusal, which says which lines of the table it is about.
fn in_lines(job: &CronJob, refusal: Refusal) -> Refusal {
    let (first, last) = job.spec.cron.as_deref().map_or((0, 0), |entry| (entry.line_first, entry.line_last));
    Refusal::new(refusal.code, format!("{first}-{last} {}", refusal.detail))
}

/// A job whose table is gone: it ends, or runs to its end and does not come again.
fn take_away(cluster: &mut Cluster, now: Timestamp, id: JobId, out: &mut Outcome) {
    let Some(job) = cluster.jobs.get(&id) else { return };
    let mut job = (**job).clone();
    job.cron_over = true;
    if job.state == JobState::Pending {
        cancel::end_pending(cluster, now, job, None, out);
    } else {
        cluster.put_job(now, job, out);
    }
}

fn put(cluster: &mut Cluster, table: Crontab, out: &mut Outcome) {
    let table = Arc::new(table);
    cluster.crontabs.insert(table.uid, table.clone());
    out.facts.push(Fact::Document(Document::Crontab(table)));
}

/// A job that comes again was cancelled: it does not, and its lines of the table are out of force.
pub(super) fn cancelled(cluster: &mut Cluster, job: &Job, out: &mut Outcome) {
    let Some(entry) = job.cron() else { return };
    if let Some(table) = cluster.crontabs.get(&job.spec.identity.uid) {
        let mut table = (**table).clone();
        table.disabled.push((entry.line_first, entry.line_last));
        put(cluster, table, out);
    }
}
