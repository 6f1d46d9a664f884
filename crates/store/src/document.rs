//! Jobs as JSON without their specification, which is stored apart, once for all tasks of an array.
//!
//! A mirror of [`Job`] would lose each field that is added there later. So the job is written with a small known
//! specification in place of its own, and those known bytes are cut out; reading puts them back in front and then
//! exchanges the specification. A change of the vocabulary needs no change here.

use std::sync::Arc;

use muster_model::job::{Job, JobSpec};
use serde::ser::Error as _;

/// The smallest specification there is: only members without a default.
const STAND_IN: &str = r#"{
    "identity": {"uid": 0, "gid": 0, "user": "", "group": ""}, "name": "", "kind": "batch",
    "request": {"nodes_min": 1, "tasks": 1, "cpus_per_task": 1}, "work_dir": "", "submit_host": ""
}"#;

/// Writes and reads jobs without their specification.
#[derive(Debug, Clone)]
pub(crate) struct JobDocuments {
    stand_in: Arc<JobSpec>,
    /// `"spec":{…},` as it appears in a document.
    member: String,
}

impl JobDocuments {
    pub(crate) fn new() -> Result<JobDocuments, serde_json::Error> {
        let stand_in: Arc<JobSpec> = Arc::new(serde_json::from_str(STAND_IN)?);
        let member = format!("\"spec\":{},", serde_json::to_string(&*stand_in)?);
        Ok(JobDocuments { stand_in, member })
    }

    /// `job` as JSON without the member `spec`.
    pub(crate) fn write(&self, job: &Job) -> Result<String, serde_json::Error> {
        let job = Job { spec: self.stand_in.clone(), ..job.clone() };
        let mut text = serde_json::to_string(&job)?;
        // Quotation marks within strings are escaped, so these bytes are found nowhere else.
        let Some(at) = text.find(&self.member) else {
            return Err(serde_json::Error::custom("a job has no member `spec`"));
        };
        text.replace_range(at..at + self.member.len(), "");
        Ok(text)
    }

    /// The job in `document` with `spec` put back.
    pub(crate) fn read(&self, document: &str, spec: Arc<JobSpec>) -> Result<Job, serde_json::Error> {
        let text = match document.strip_prefix('{') {
            Some(rest) => ["{", &self.member, rest].concat(),
            // Not an object; the parser says so in its own words.
            None => document.to_owned(),
        };
        let mut job: Job = serde_json::from_str(&text)?;
        job.spec = spec;
        Ok(job)
    }
}
