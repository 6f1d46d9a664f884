//! The store of the simulation: batches are kept as a whole or not at all, and a controller gets back exactly what a
//! real store would give it.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_model::document::{Document, DocumentKind};
use muster_model::fact::{Fact, NodeRecord, StoredState};
use muster_model::ids::{JobId, Name, RestartCount, StepId};
use muster_model::job::Job;
use muster_model::step::Step;

/// All rows ever committed.
#[derive(Debug, Default)]
pub(crate) struct Store {
    jobs: BTreeMap<(JobId, RestartCount), Row>,
    steps: BTreeMap<(JobId, RestartCount, StepId), Arc<Step>>,
    nodes: BTreeMap<Name, NodeRecord>,
    counters: BTreeMap<String, u64>,
    documents: BTreeMap<(DocumentKind, Name), Document>,
    next_spec_id: u64,
}

#[derive(Debug)]
struct Row {
    job: Arc<Job>,
    resident: bool,
}

impl Store {
    /// Makes a batch durable.
    pub(crate) fn commit(&mut self, facts: &[Fact]) {
        for fact in facts {
            match fact {
                Fact::Spec(id, _) => self.next_spec_id = self.next_spec_id.max(id.0 + 1),
                Fact::Job(job) => self.put_job(job),
                Fact::JobForgotten(id) => {
                    let all = (*id, RestartCount(0))..=(*id, RestartCount(u32::MAX));
                    self.jobs.range_mut(all).for_each(|(_, row)| row.resident = false);
                }
                Fact::Step(step) => drop(self.steps.insert((step.job_id, step.restart, step.step_id), step.clone())),
                Fact::Node { name, record } => drop(self.nodes.insert(name.clone(), record.clone())),
                Fact::Counter { name, value } => drop(self.counters.insert((*name).to_owned(), *value)),
                Fact::Document(document) => drop(self.documents.insert(document.key(), document.clone())),
                Fact::DocumentGone { kind, name } => drop(self.documents.remove(&(*kind, name.clone()))),
                Fact::Blob { .. } => {}
            }
        }
    }

    fn put_job(&mut self, job: &Arc<Job>) {
        let (id, restart) = (job.id, job.restart);
        self.jobs.range_mut((id, RestartCount(0))..(id, restart)).for_each(|(_, row)| row.resident = false);
        let later = (id, RestartCount(restart.0.saturating_add(1)))..=(id, RestartCount(u32::MAX));
        let resident = self.jobs.range(later).next().is_none();
        self.jobs.insert((id, restart), Row { job: job.clone(), resident });
    }

    /// What a controller goes on with, after a way through the written form.
    pub(crate) fn load(&self) -> Result<StoredState, String> {
        let jobs = self.jobs.values().filter(|row| row.resident);
        let steps = self
            .steps
            .values()
            .filter(|step| !step.state.is_final() && self.latest(step.job_id).is_some_and(|row| row.resident));
        let mut counters: Vec<(String, u64)> = self.counters.clone().into_iter().collect();
        counters.push(("next_spec_id".to_owned(), self.next_spec_id));
        Ok(StoredState {
            jobs: jobs.map(|row| written_and_read(&row.job)).collect::<Result<_, _>>()?,
            steps: steps.map(written_and_read).collect::<Result<_, _>>()?,
            nodes: self.nodes.iter().map(|(name, record)| (name.clone(), record.clone())).collect(),
            counters,
            documents: self.documents.values().cloned().collect(),
        })
    }

    fn latest(&self, id: JobId) -> Option<&Row> {
        self.jobs.range((id, RestartCount(0))..=(id, RestartCount(u32::MAX))).next_back().map(|(_, row)| row)
    }

    /// The row of the latest start of a job.
    pub(crate) fn job(&self, id: JobId) -> Option<&Arc<Job>> {
        self.latest(id).map(|row| &row.job)
    }

    /// Rows of the latest starts of jobs that a controller would load.
    pub(crate) fn resident_jobs(&self) -> impl Iterator<Item = &Arc<Job>> {
        self.jobs.values().filter(|row| row.resident).map(|row| &row.job)
    }

    /// All steps of all starts.
    pub(crate) fn all_steps(&self) -> impl Iterator<Item = &Arc<Step>> {
        self.steps.values()
    }
}

fn written_and_read<T>(row: &Arc<T>) -> Result<Arc<T>, String>
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let text = serde_json::to_string(&**row).map_err(|error| format!("a row cannot be written: {error}"))?;
    let read: T = serde_json::from_str(&text).map_err(|error| format!("a row cannot be read: {error}: {text}"))?;
    if read == **row { Ok(row.clone()) } else { Err(format!("a row is read otherwise than it was written: {text}")) }
}
