//! Which jobs and steps `sacct` shows.

use muster_model::ids::StepId;
use muster_model::job::Job;
use muster_model::request::{HistoryRow, JobTarget};
use muster_model::state::JobState;
use muster_model::time::Timestamp;

use super::super::context::touches;
use super::super::states::Shown;
use super::super::{ids, job_text};
use super::options::Options;
use super::row::Row;

/// Whether the start of a job in `row` passes all conditions.
pub fn wanted(row: &HistoryRow, options: &Options) -> bool {
    let job = &row.job;
    let spec = &job.spec;
    let among = |list: &Option<Vec<String>>, value: Option<&str>| {
        list.as_ref().is_none_or(|list| value.is_some_and(|value| list.iter().any(|entry| entry == value)))
    };
    let within =
        |bounds: Option<(u64, u64)>, value: u64| bounds.is_none_or(|(least, most)| value >= least && value <= most);
    options.jobs.as_ref().is_none_or(|targets| targets.iter().any(|target| names(target, job, options)))
        && in_time(job, options)
        && options.users.as_ref().is_none_or(|users| users.contains(&spec.identity.uid))
        && options.groups.as_ref().is_none_or(|groups| groups.contains(&spec.identity.gid))
        && among(&options.accounts, job.account_name())
        && among(&options.names, Some(&spec.name))
        && options.partitions.as_ref().is_none_or(|list| list.iter().any(|entry| **entry == *job.partition))
        && among(&options.qos, Some(job.qos_name().unwrap_or("normal")))
        && among(&options.constraints, spec.request.constraint.as_deref())
        && among(&options.wckeys, job_text::wckey(job))
        && options.nodes.as_ref().is_none_or(|list| ran_on(job, list))
        && within(options.node_count, u64::from(job_text::node_count(job)))
        && within(options.cpu_count, u64::from(job_text::cpus(job)))
        && within(
            options.limit,
            job.time_limit.span().map_or(u64::MAX, |span| u64::try_from(span.minutes_rounded_up()).unwrap_or(0)),
        )
}

/// Whether a job of `-j` is this one. Waiting tasks of an array are shown only with the whole array.
fn names(target: &JobTarget, job: &Job, options: &Options) -> bool {
    let matches = match (options.whole_het_job, job.het) {
        // All that belongs to any component that is named, or only what is named.
        (Some(true), Some(role)) => {
            role.leader == target.job_id || role.ids().any(|id| id == target.job_id && target.component.is_none())
        }
        (Some(false), Some(_)) if target.component.is_none() => target.job_id == job.id,
        _ => ids::matches(target, job),
    };
    matches && (target.tasks.is_none() || job.task_index().is_some())
}

fn ran_on(job: &Job, list: &str) -> bool {
    let names = muster_model::hostlist::expand(list).unwrap_or_default();
    job.node_list.as_deref().is_some_and(|nodes| touches(nodes, &names))
}

/// Whether the job lies in the window, or was in one of the states within it.
fn in_time(job: &Job, options: &Options) -> bool {
    let Some(states) = &options.states else {
        if options.jobs.is_some() {
            return options.since.0 == 0 || ended(job).is_none_or(|end| end >= options.since);
        }
        return job_text::eligible_time(job).is_some_and(|eligible| eligible <= options.until)
            && ended(job).is_none_or(|end| end >= options.since);
    };
    states.iter().any(|state| was(job, *state, options.since, options.until))
}

/// When the job ended; `None` while it waits or runs.
fn ended(job: &Job) -> Option<Timestamp> {
    job.end_time.filter(|_| job.state.is_final() || job.requeue_pending)
}

fn was(job: &Job, state: Shown, since: Timestamp, until: Timestamp) -> bool {
    let end = ended(job);
    let started = job.start_time.filter(|_| job.state != JobState::Pending && job_text::has_started(job));
    match state {
        Shown::Base(JobState::Pending) => {
            let eligible = job_text::eligible_time(job);
            eligible.is_some_and(|eligible| eligible <= until) && started.or(end).is_none_or(|start| start >= since)
        }
        Shown::Base(JobState::Running) => {
            started.is_some_and(|start| start <= until) && end.is_none_or(|end| end >= since)
        }
        Shown::Base(JobState::Suspended) => job.state == JobState::Suspended,
        Shown::Base(JobState::Requeued) => {
            (job.requeue_pending || job.state == JobState::Requeued)
                && end.is_some_and(|end| end >= since && end <= until)
        }
        Shown::Base(state) => {
            job.state == state && !job.requeue_pending && end.is_some_and(|end| end >= since && end <= until)
        }
        Shown::Completing => job.completing,
        Shown::Configuring => job.configuring,
        Shown::SpecialExit | Shown::ReservationGone => job.special_exit,
        Shown::Never(..) => false,
    }
}

/// The lines of `job`: itself and its steps, as far as they are wanted.
pub fn lines(job: Row, options: &Options) -> Vec<Row> {
    let mut lines = Vec::new();
    let targets = options.jobs.as_deref().unwrap_or_default();
    let mine: Vec<_> = targets.iter().filter(|target| names(target, &job.job, options)).collect();
    let whole = mine.is_empty() || mine.iter().any(|target| target.step.is_none());
    if whole || options.allocations_only {
        lines.push(job.clone());
    }
    if options.allocations_only {
        return lines;
    }
    let mut steps: Vec<_> = job.steps.iter().filter(|step| step.start_time.is_some()).collect();
    steps.sort_by_key(|step| match step.step_id {
        StepId::Batch => (0, 0),
        StepId::Extern | StepId::Prolog | StepId::Epilog => (1, 0),
        StepId::Interactive => (2, 0),
        StepId::Number(number) => (3, number),
    });
    for step in steps {
        if whole || mine.iter().any(|target| target.step == Some(step.step_id)) {
            lines.push(Row { step: Some(step.clone()), ..job.clone() });
        }
    }
    lines
}
