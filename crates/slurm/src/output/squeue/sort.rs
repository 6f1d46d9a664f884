//! The order of lines: the letters of `-S`.

use std::cmp::Ordering;
use std::sync::Arc;

use muster_model::ids::StepId;
use muster_model::job::Job;
use muster_model::resources::MemoryRequest;

use super::super::context::Context;
use super::super::format::Field;
use super::super::job_text;
use super::job_fields::{self, JobRow};
use super::step_fields::{self, StepRow};

/// The default order of jobs: partition, state, priority downwards.
pub const DEFAULT: &str = "P,t,-p";
/// The default order with `--start`.
pub const START: &str = "S";
/// The default order of steps.
pub const STEPS: &str = "P,i";

/// The letters of `sort`, first the most important, each with whether it is reversed.
///
/// # Errors
/// The last letter that `known` does not know.
pub fn keys(sort: &str, known: impl Fn(char) -> bool) -> Result<Vec<(char, bool)>, char> {
    let letters: Vec<char> = sort.chars().collect();
    let mut found = Vec::new();
    // Read from the end, as Slurm does, so that of several unknown letters the same one is named.
    for (at, letter) in letters.iter().enumerate().rev() {
        match letter {
            ',' | '-' | '+' => {}
            letter if known(*letter) => found.push((*letter, at > 0 && letters[at - 1] == '-')),
            letter => return Err(*letter),
        }
    }
    found.reverse();
    Ok(found)
}

/// Whether jobs can be ordered by `letter`.
pub fn is_job_key(letter: char) -> bool {
    letter != 's' && job_fields::FIELDS.iter().any(|field| field.letter == Some(letter))
}

/// Whether steps can be ordered by `letter`.
pub fn is_step_key(letter: char) -> bool {
    step_fields::FIELDS.iter().any(|field| field.letter == Some(letter))
}

/// Puts `jobs`, which are in the order of Slurm's list, into the order that shows where the keys of a table are
/// equal: latest expected start first, those without one at the end and backwards.
pub fn by_start(jobs: Vec<Arc<Job>>, context: &Context) -> Vec<Arc<Job>> {
    let start = |job: &Arc<Job>| job_text::start_time(job, context.now).map(|time| time.seconds());
    let (mut known, unknown): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| start(job).is_some());
    known.sort_by_key(|job| std::cmp::Reverse(start(job)));
    known.extend(unknown.into_iter().rev());
    known
}

/// Puts `rows` into the order that `keys` want.
pub fn jobs(rows: &mut Vec<JobRow>, keys: &[(char, bool)], context: &Context) {
    for (letter, reversed) in keys.iter().rev() {
        if *letter == 'S' && !reversed {
            // Those without a start come last, and turn round.
            let start = |row: &JobRow| job_text::start_time(&row.job, context.now);
            let (mut known, unknown): (Vec<_>, Vec<_>) =
                std::mem::take(rows).into_iter().partition(|row| start(row).is_some());
            known.sort_by_key(|row| start(row));
            rows.extend(known);
            rows.extend(unknown.into_iter().rev());
        } else {
            rows.sort_by(|a, b| direct(compare_jobs(*letter, a, b, context), *reversed));
        }
    }
}

/// Puts `rows` into the order that `keys` want.
pub fn steps(rows: &mut [StepRow], keys: &[(char, bool)], context: &Context) {
    for (letter, reversed) in keys.iter().rev() {
        rows.sort_by(|a, b| direct(compare_steps(*letter, a, b, context), *reversed));
    }
}

fn direct(order: Ordering, reversed: bool) -> Ordering {
    if reversed { order.reverse() } else { order }
}

fn compare_jobs(letter: char, a: &JobRow, b: &JobRow, context: &Context) -> Ordering {
    let now = context.now;
    let number = |value: fn(&JobRow) -> u64| value(a).cmp(&value(b));
    match letter {
        'A' => a.job.id.cmp(&b.job.id),
        'i' | 'F' => id(a).cmp(&id(b)),
        'c' => number(|row| u64::from(job_text::cpus_per_node_min(&row.job))),
        'C' => number(|row| u64::from(job_text::cpus(&row.job))),
        'd' => number(|row| row.job.spec.request.tmp_disk_min.map_or(0, |size| size.0)),
        'D' => number(|row| u64::from(job_text::node_count(&row.job))),
        'e' => job_text::end_time(&a.job, now).cmp(&job_text::end_time(&b.job, now)),
        'G' => number(|row| u64::from(row.job.spec.identity.gid)),
        'K' => a.job.task_index().or(a.task).cmp(&b.job.task_index().or(b.task)),
        'l' => a.job.time_limit.cmp(&b.job.time_limit),
        'L' => left(a, context).cmp(&left(b, context)),
        'm' => memory(a).cmp(&memory(b)),
        'M' => job_text::seconds_used(&a.job, now).cmp(&job_text::seconds_used(&b.job, now)),
        'p' | 'Q' => a.job.priority.cmp(&b.job.priority),
        'S' => job_text::start_time(&a.job, now).cmp(&job_text::start_time(&b.job, now)),
        'U' => number(|row| u64::from(row.job.spec.identity.uid)),
        'V' => a.job.submit_time.cmp(&b.job.submit_time),
        'y' => a.job.spec.nice.cmp(&b.job.spec.nice),
        _ => by_text(job_fields::FIELDS, letter, a, b, context),
    }
}

/// By array, then by task, what waits last.
fn id(row: &JobRow) -> (u32, u32) {
    let waiting = if row.job.array.is_some() { u32::MAX } else { 0 };
    (job_text::array_job_id(&row.job).0, row.job.task_index().or(row.task).unwrap_or(waiting))
}

fn left(row: &JobRow, context: &Context) -> i64 {
    let limit = row.job.time_limit.span().map_or(i64::MAX, |span| span.seconds());
    limit.saturating_sub(job_text::seconds_used(&row.job, context.now))
}

fn memory(row: &JobRow) -> u64 {
    match row.job.spec.request.memory {
        Some(MemoryRequest::PerNode(memory) | MemoryRequest::PerCpu(memory)) => memory.0,
        _ => 0,
    }
}

fn compare_steps(letter: char, a: &StepRow, b: &StepRow, context: &Context) -> Ordering {
    match letter {
        'i' => step_id(a).cmp(&step_id(b)),
        'A' => a.step.tasks.cmp(&b.step.tasks),
        'l' => a.step.time_limit.cmp(&b.step.time_limit),
        'M' => a.seconds_used(context).cmp(&b.seconds_used(context)),
        'S' => a.step.start_time.cmp(&b.step.start_time),
        'U' => a.job.spec.identity.uid.cmp(&b.job.spec.identity.uid),
        _ => by_text(step_fields::FIELDS, letter, a, b, context),
    }
}

fn step_id(row: &StepRow) -> (u32, u64) {
    let number = match row.step.step_id {
        StepId::Number(number) => u64::from(number),
        StepId::Interactive => u64::from(u32::MAX) + 1,
        StepId::Batch => u64::from(u32::MAX) + 2,
        StepId::Extern | StepId::Prolog | StepId::Epilog => u64::from(u32::MAX) + 3,
    };
    (row.step.job_id.0, number)
}

fn by_text<R>(fields: &'static [Field<R>], letter: char, a: &R, b: &R, context: &Context) -> Ordering {
    match fields.iter().find(|field| field.letter == Some(letter)) {
        Some(field) => (field.text)(a, context).cmp(&(field.text)(b, context)),
        None => Ordering::Equal,
    }
}
