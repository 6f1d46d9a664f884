//! `sacct -B` and `--env-vars`: the script of a job, or the environment it was submitted with, instead of a table.

use muster_model::ids::{BlobId, JobId};
use muster_model::job::{ExecutionContext, Job};

use super::super::context::{Answers, Outcome};
use super::{Sacct, filter};

/// What is to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// `-B`.
    Script,
    /// `--env-vars`.
    Environment,
}

/// One stored text that is to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The job.
    pub job_id: JobId,
    /// Where the text is; `None` for a job without it.
    pub blob: Option<BlobId>,
    content: Content,
    heading: String,
}

/// What real Slurm prints where a job has none.
const NONE: &str = "NONE\n";

impl Sacct {
    /// The texts to fetch, one for each job; `None` when a table is wanted.
    ///
    /// # Errors
    /// What to print where no job is named, as Slurm then refuses.
    pub fn contents(&self, answers: &Answers) -> Option<Result<Vec<Wanted>, Outcome>> {
        let content = self.options.content?;
        if self.options.jobs.is_none() {
            let option = match content {
                Content::Script => "--batch-script",
                Content::Environment => "--env-vars",
            };
            return Some(Err(Outcome::failure(format!("sacct: fatal: {option} requires a job id\n"), 1)));
        }
        let rows = answers.history.iter().filter(|row| filter::wanted(row, &self.options));
        Some(Ok(rows.map(|row| wanted(&row.job, content)).collect()))
    }
}

fn wanted(job: &Job, content: Content) -> Wanted {
    let id = job.id;
    let (blob, heading) = match content {
        Content::Script => (&job.spec.script, format!("Batch Script for {id}")),
        Content::Environment => (&job.spec.context, format!("Environment used for {id} (must be batch to display)")),
    };
    let batch = job.spec.script.is_some();
    Wanted { job_id: id, blob: blob.clone().filter(|_| batch), content, heading }
}

impl Wanted {
    /// The text with its heading; `stored` is what was fetched.
    pub fn text(&self, stored: Option<&[u8]>) -> String {
        let text = match (stored, self.content) {
            (None, _) => NONE.to_owned(),
            (Some(bytes), Content::Script) => String::from_utf8_lossy(bytes).into_owned(),
            (Some(bytes), Content::Environment) => match serde_json::from_slice::<ExecutionContext>(bytes) {
                Ok(context) => context.environment.iter().map(|line| format!("{line}\n")).collect(),
                Err(_) => NONE.to_owned(),
            },
        };
        format!("{}\n{}\n{text}\n", self.heading, "-".repeat(80))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stand_below_a_heading() {
        let wanted =
            |content, heading: &str| Wanted { job_id: JobId(531), blob: None, content, heading: heading.to_owned() };
        let line = "-".repeat(80);
        assert_eq!(
            wanted(Content::Script, "Batch Script for 531").text(Some(b"#!/bin/sh\necho hi\n")),
            format!("Batch Script for 531\n{line}\n#!/bin/sh\necho hi\n\n")
        );
        let context = br#"{"environment": ["A=1", "B=2"], "umask": 18}"#;
        assert_eq!(wanted(Content::Environment, "E").text(Some(context)), format!("E\n{line}\nA=1\nB=2\n\n"));
        assert_eq!(wanted(Content::Environment, "E").text(None), format!("E\n{line}\nNONE\n\n"));
    }
}
