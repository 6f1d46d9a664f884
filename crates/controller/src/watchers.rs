//! Those who wait for news about jobs: `sbatch --wait`, `srun`, `salloc`, `muster apply`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use muster_model::ids::JobId;
use muster_model::job::Job;
use tokio::sync::mpsc;

type Listeners = HashMap<JobId, Vec<mpsc::UnboundedSender<Heard>>>;

/// What those who listen hear.
#[derive(Debug, Clone)]
pub(crate) enum Heard {
    /// The job has changed.
    Changed(Arc<Job>),
    /// Somebody says something to who holds the job.
    Said(Arc<Job>, Arc<str>),
}

/// Listeners by job, or by array for all its tasks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watchers {
    listeners: Arc<Mutex<Listeners>>,
}

impl Watchers {
    /// Listens to news about a job, or about all tasks of an array, from now on. News hold one pointer each.
    pub(crate) fn listen(&self, job_id: JobId) -> mpsc::UnboundedReceiver<Heard> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.lock().entry(job_id).or_default().push(sender);
        receiver
    }

    /// Tells all who listen; those who have gone are taken off the list.
    pub(crate) fn tell(&self, job: &Arc<Job>) {
        self.spread(job, &Heard::Changed(job.clone()));
    }

    /// Tells all who listen what somebody says to the job.
    pub(crate) fn say(&self, job: &Arc<Job>, text: &Arc<str>) {
        self.spread(job, &Heard::Said(job.clone(), text.clone()));
    }

    fn spread(&self, job: &Job, heard: &Heard) {
        let mut listeners = self.lock();
        if listeners.is_empty() {
            return;
        }
        let array = job.array_job_id().filter(|array| *array != job.id);
        for id in std::iter::once(job.id).chain(array) {
            if let Some(waiting) = listeners.get_mut(&id) {
                waiting.retain(|listener| listener.send(heard.clone()).is_ok());
                if waiting.is_empty() {
                    listeners.remove(&id);
                }
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Listeners> {
        self.listeners.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
