//! The question for one job by its number.

use std::sync::Arc;

use muster_model::ids::JobId;
use muster_model::job::Job;
use muster_model::request::{Query, Reply};

use crate::{Client, ClientError};

impl Client {
    /// The job of this number as it is now, with what the last plan said of it. `None` where the controller knows none, or has
    /// forgotten it since it ended (`MinJobAge`).
    ///
    /// # Errors
    /// When the controller stays away.
    pub async fn job(&self, job_id: JobId) -> Result<Option<Arc<Job>>, ClientError> {
        Ok(self.jobs_numbered(job_id).await?.into_iter().find(|job| job.id == job_id))
    }

    /// All that a number stands for, ascending: the job, with the number of an array all records of its tasks, with that of
    /// the leader of a heterogeneous job all components.
    ///
    /// # Errors
    /// When the controller stays away.
    pub async fn jobs_numbered(&self, job_id: JobId) -> Result<Vec<Arc<Job>>, ClientError> {
        let query = Query::Jobs { ids: Some(vec![job_id]), uids: None, active_only: false };
        let parts = self.inquire(&query).await?.into_iter().map(|reply| match reply {
            Reply::Jobs(jobs) => jobs,
            _ => Vec::new(),
        });
        Ok(parts.flatten().collect())
    }
}
