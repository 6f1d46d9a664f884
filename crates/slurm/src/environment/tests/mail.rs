//! Mails as real Slurm 22.05 wrote them.

use std::sync::Arc;

use muster_model::array::TaskSet;
use muster_model::ids::JobId;
use muster_model::job::{ArrayRole, Job};
use muster_model::mail::{ArrayEnds, Mail, MailKind, MailSubject};
use muster_model::state::{ExitStatus, JobState};
use muster_model::time::{Span, Timestamp};

use super::fixture;
use crate::environment::{is_mail_address, letter};

const START: Timestamp = Timestamp::from_seconds(1_000);

fn job(id: u32) -> Job {
    let (submit_time, start_time) = (START - Span::from_seconds(3), Some(START));
    Job { state: JobState::Running, submit_time, start_time, ..fixture::job(id) }
}

fn check(kind: MailKind, subject: MailSubject, job: Job, expected: &str, variables: &str) {
    let name = job.spec.name.clone();
    let letter = letter(&Mail { kind, subject, job: Arc::new(job) }, "peer", START + Span::from_seconds(65));
    assert_eq!(letter.subject.replace(&format!("Name={name}"), "Name=N"), expected);
    for line in variables.split(' ').filter(|line| !line.is_empty()) {
        let found = letter.variables.iter().any(|(name, value)| format!("{name}={}", value.replace(' ', "_")) == line);
        assert!(found, "{line} is missing in {:?}", letter.variables);
    }
}

#[test]
fn one_job() {
    let one = || MailSubject::Job;
    check(
        MailKind::Began,
        one(),
        job(7),
        "Slurm Job_id=7 Name=N Began, Queued time 00:00:03",
        "SLURM_JOB_MAIL_TYPE=Began SLURM_JOB_QUEUED_TIME=00:00:03 SLURM_JOB_STATE=RUNNING SLURM_CLUSTER_NAME=peer",
    );
    let ended = |state, code| {
        let (end_time, exit) = (Some(START + Span::from_seconds(60)), ExitStatus::exited(code));
        Job { state, end_time, exit, ..job(7) }
    };
    check(
        MailKind::Ended,
        one(),
        ended(JobState::Cancelled, 0),
        "Slurm Job_id=7 Name=N Ended, Run time 00:01:00, CANCELLED, ExitCode 0",
        "SLURM_JOB_RUN_TIME=00:01:00 SLURM_JOB_EXIT_CODE_MAX=0",
    );
    check(
        MailKind::Failed,
        one(),
        ended(JobState::Failed, 3),
        "Slurm Job_id=7 Name=N Failed, Run time 00:01:00, FAILED, ExitCode 3",
        "SLURM_JOB_EXIT_CODE_MAX=3 SLURM_JOB_EXIT_CODE=768",
    );
    check(MailKind::Requeued, one(), job(7), "Slurm Job_id=7 Name=N Requeued, Run time 00:01:05", "");
    check(
        MailKind::LimitReached(50),
        one(),
        job(7),
        "Slurm Job_id=7 Name=N Reached 50% of time limit, Run time 00:01:05",
        "SLURM_JOB_MAIL_TYPE=Reached_50%_of_time_limit",
    );
    check(
        MailKind::LimitReached(100),
        one(),
        job(7),
        "Slurm Job_id=7 Name=N Reached time limit, Run time 00:01:05",
        "",
    );
    check(MailKind::InvalidDependency, one(), job(7), "Slurm Job_id=7 Name=N Invalid dependency", "");
}

#[test]
fn arrays() {
    let task = || Job { array: Some(ArrayRole::Task { array_job_id: JobId(9), task_index: 2 }), ..job(11) };
    check(
        MailKind::Began,
        MailSubject::Job,
        task(),
        "Slurm Array Task Job_id=9_2 (11) Name=N Began, Queued time 00:00:03",
        "",
    );
    check(MailKind::Began, MailSubject::Array(None), task(), "Slurm Array Summary Job_id=9_* (9) Name=N Began", "");
    let ends = |state, code_min, code_max, signal_max| {
        MailSubject::Array(Some(ArrayEnds { state, code_min, code_max, signal_max }))
    };
    let summary = "Slurm Array Summary Job_id=9_* (9) Name=N";
    let completed = ends(Some(JobState::Completed), 0, 0, 0);
    check(MailKind::Ended, completed, task(), &format!("{summary} Ended, COMPLETED, ExitCode [0-0]"), "");
    check(
        MailKind::Failed,
        ends(None, 0, 2, 0),
        task(),
        &format!("{summary} Failed, Mixed, ExitCode [0-2]"),
        "SLURM_JOB_EXIT_CODE_MAX=2 SLURM_JOB_EXIT_CODE_MIN=0",
    );
    let waiting = || Job { array: Some(ArrayRole::Waiting { tasks: TaskSet::default() }), ..job(9) };
    check(
        MailKind::Ended,
        ends(Some(JobState::Cancelled), 0, 0, 9),
        waiting(),
        &format!("{summary} Ended, Mixed, MaxSignal [9]"),
        "SLURM_JOB_TERM_SIGNAL_MAX=9",
    );
}

#[test]
fn a_mail_goes_to_addresses_only_and_has_one_subject() {
    for address in ["", "-X", "a\n-X", "a\0"] {
        assert!(!is_mail_address(address), "{address:?}");
    }
    assert!(is_mail_address("ann@example.org"));
    let mut job = job(7);
    Arc::make_mut(&mut job.spec).name = "a\nBcc: b".into();
    let mail = Mail { kind: MailKind::Began, subject: MailSubject::Job, job: Arc::new(job) };
    assert!(letter(&mail, "peer", START).subject.contains("Name=a Bcc: b Began"));
}
