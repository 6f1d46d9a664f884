//! A mail about a job as `MailProg` gets it: recipient, subject and environment as real Slurm 22.05 was seen to make them.

use muster_model::hooks::HookMoment;
use muster_model::job::Job;
use muster_model::mail::{ArrayEnds, Mail, MailKind, MailSubject};
use muster_model::time::{Timestamp, format_days_hours};

use super::facts::{Builder, Variables, node_list};
use super::hooks;

/// What the program gets: `MailProg -s SUBJECT RECIPIENT` with these variables and no text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// To whom.
    pub recipient: String,
    /// The subject.
    pub subject: String,
    /// The environment.
    pub variables: Variables,
}

/// Puts a mail into words.
pub fn letter(mail: &Mail, cluster_name: &str, now: Timestamp) -> Letter {
    let job = &*mail.job;
    let address = job.spec.rare.as_ref().and_then(|rare| rare.mail_user.as_ref());
    let what = verb(mail.kind);
    // Another line in a subject would be another header.
    let name = job.spec.name.replace(char::is_control, " ");
    Letter {
        recipient: address.unwrap_or(&job.spec.identity.user).to_string(),
        subject: format!("Slurm {} Name={name} {what}{}", whom(mail), details(mail, now)),
        variables: variables(mail, cluster_name, now),
    }
}

/// Whether a mail may go to this address: the program would take one that begins with a dash for an option, and it runs with the rights of the
/// controller.
pub fn is_mail_address(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('-') && !text.contains(char::is_control)
}

fn verb(kind: MailKind) -> String {
    match kind {
        MailKind::InvalidDependency => "Invalid dependency".to_owned(),
        MailKind::Began => "Began".to_owned(),
        MailKind::Ended => "Ended".to_owned(),
        MailKind::Failed => "Failed".to_owned(),
        MailKind::Requeued => "Requeued".to_owned(),
        MailKind::LimitReached(100) => "Reached time limit".to_owned(),
        MailKind::LimitReached(share) => format!("Reached {share}% of time limit"),
    }
}

/// `Job_id=12`, `Array Task Job_id=12_3 (15)`, `Array Summary Job_id=12_* (12)`
fn whom(mail: &Mail) -> String {
    let job = &*mail.job;
    match (&mail.subject, job.array_job_id(), job.task_index()) {
        (MailSubject::Array(_), Some(array), _) => format!("Array Summary Job_id={array}_* ({array})"),
        (MailSubject::Job, Some(array), Some(task)) => format!("Array Task Job_id={array}_{task} ({})", job.id),
        _ => format!("Job_id={}", job.id),
    }
}

fn details(mail: &Mail, now: Timestamp) -> String {
    let job = &*mail.job;
    match (mail.kind, &mail.subject) {
        (MailKind::InvalidDependency, _) | (_, MailSubject::Array(None)) => String::new(),
        (MailKind::Began, _) => format!(", Queued time {}", queued(job)),
        (MailKind::Ended | MailKind::Failed, MailSubject::Array(Some(ends))) => format!(", {}", together(ends)),
        (MailKind::Ended | MailKind::Failed, MailSubject::Job) => {
            format!(", Run time {}, {}, ExitCode {}", ran(job, now), job.state.as_str(), job.exit.code)
        }
        (MailKind::Requeued | MailKind::LimitReached(_), _) => format!(", Run time {}", ran(job, now)),
    }
}

/// `COMPLETED, ExitCode [0-0]`, `Mixed, ExitCode [0-2]`, `Mixed, MaxSignal [9]`
fn together(ends: &ArrayEnds) -> String {
    let state = ends.state.filter(|_| ends.signal_max == 0).map_or("Mixed", |state| state.as_str());
    match ends.signal_max {
        0 => format!("{state}, ExitCode [{}-{}]", ends.code_min, ends.code_max),
        signal => format!("{state}, MaxSignal [{signal}]"),
    }
}

fn queued(job: &Job) -> String {
    let start = job.start_time.unwrap_or(job.submit_time);
    format_days_hours(start.since(job.submit_time).seconds())
}

fn ran(job: &Job, now: Timestamp) -> String {
    format_days_hours(job.run_time(now).seconds())
}

fn variables(mail: &Mail, cluster_name: &str, now: Timestamp) -> Variables {
    let job = &*mail.job;
    let is_end = matches!(mail.kind, MailKind::Ended | MailKind::Failed);
    let mut list = hooks::common(job, cluster_name, if is_end { HookMoment::Epilog } else { HookMoment::Prolog });
    list.set(
        "SLURM_JOB_NODELIST",
        Some(node_list(job, &[])).filter(|names| !names.is_empty()).unwrap_or("(null)".into()),
    );
    list.set("SLURM_JOB_GROUP", &job.spec.identity.group);
    list.set("SLURM_JOB_MAIL_TYPE", verb(mail.kind));
    list.set("SLURM_JOB_STATE", job.state.as_str());
    match mail.kind {
        MailKind::Began if mail.subject == MailSubject::Job => list.set("SLURM_JOB_QUEUED_TIME", queued(job)),
        MailKind::Began | MailKind::InvalidDependency => {}
        _ => list.set("SLURM_JOB_RUN_TIME", ran(job, now)),
    }
    if is_end {
        exits(&mut list, job, &mail.subject);
    }
    list.finish()
}

fn exits(list: &mut Builder, job: &Job, subject: &MailSubject) {
    match subject {
        MailSubject::Array(Some(ends)) => {
            list.set("SLURM_JOB_EXIT_CODE_MAX", ends.code_max);
            list.set("SLURM_JOB_EXIT_CODE_MIN", ends.code_min);
            if ends.signal_max > 0 {
                list.set("SLURM_JOB_TERM_SIGNAL_MAX", ends.signal_max);
            }
        }
        _ => list.set("SLURM_JOB_EXIT_CODE_MAX", job.exit.code),
    }
}
