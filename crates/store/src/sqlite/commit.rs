//! Writing a batch: one transaction, prepared statements, and only the last of several rows with the same key.

use std::collections::HashSet;
use std::path::Path;

use muster_model::document::{Document, DocumentKind};
use muster_model::fact::{Fact, NodeRecord};
use muster_model::ids::{BlobId, CommitSequence, JobId, Name, SpecId, StepId};
use muster_model::job::{Job, JobSpec};
use muster_model::state::JobState;
use muster_model::step::Step;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::document::JobDocuments;
use crate::error::StoreError;

/// Writes `facts` and the number of the commit, all or nothing.
pub(super) fn commit(
    connection: &mut Connection,
    path: &Path,
    documents: &JobDocuments,
    sequence: CommitSequence,
    facts: &[Fact],
) -> Result<(), StoreError> {
    let database = |action| move |source| StoreError::database(action, path, source);
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(database("begin a transaction"))?;
    let batch = Batch { transaction: &transaction, path, documents, sequence: sequence.0.cast_signed() };
    for (fact, wanted) in facts.iter().zip(last_of_each_key(facts)) {
        if wanted {
            batch.write(fact)?;
        }
    }
    batch.execute(
        "write the sequence number",
        "UPDATE meta SET value = ?1 WHERE name = 'sequence'",
        params![batch.sequence],
    )?;
    transaction.commit().map_err(database("commit"))
}

/// What a row is found by.
#[derive(PartialEq, Eq, Hash)]
enum Key<'a> {
    Job(JobId, u32),
    Step(JobId, u32, StepId),
    Node(&'a Name),
    Counter(&'static str),
    Document(DocumentKind, Name),
    Blob(&'a BlobId),
}

/// For each fact whether it is the last about its row.
fn last_of_each_key(facts: &[Fact]) -> Vec<bool> {
    let mut seen = HashSet::with_capacity(facts.len());
    let mut wanted: Vec<bool> = facts
        .iter()
        .rev()
        .map(|fact| match fact {
            Fact::Job(job) => seen.insert(Key::Job(job.id, job.restart.0)),
            Fact::Step(step) => seen.insert(Key::Step(step.job_id, step.restart.0, step.step_id)),
            Fact::Node { name, .. } => seen.insert(Key::Node(name)),
            Fact::Counter { name, .. } => seen.insert(Key::Counter(name)),
            Fact::Document(document) => {
                let (kind, name) = document.key();
                seen.insert(Key::Document(kind, name))
            }
            Fact::DocumentGone { kind, name } => seen.insert(Key::Document(*kind, name.clone())),
            Fact::Blob { id, .. } => seen.insert(Key::Blob(id)),
            Fact::Spec(..) | Fact::JobForgotten(_) => true,
        })
        .collect();
    wanted.reverse();
    wanted
}

struct Batch<'a> {
    transaction: &'a Transaction<'a>,
    path: &'a Path,
    documents: &'a JobDocuments,
    sequence: i64,
}

impl Batch<'_> {
    fn write(&self, fact: &Fact) -> Result<(), StoreError> {
        match fact {
            Fact::Spec(id, spec) => self.spec(*id, spec),
            Fact::Job(job) => self.job(job),
            Fact::JobForgotten(id) => self.forget(*id),
            Fact::Step(step) => self.step(step),
            Fact::Node { name, record } => self.node(name, record),
            Fact::Counter { name, value } => self.counter(name, *value),
            Fact::Document(document) => {
                let (kind, name) = document.key();
                self.document(kind, &name, Some(document))
            }
            Fact::DocumentGone { kind, name } => self.document(*kind, name, None),
            Fact::Blob { id, content } => self.blob(id, content),
        }
    }

    fn execute(
        &self,
        action: &'static str,
        sql: &'static str,
        parameters: impl rusqlite::Params,
    ) -> Result<usize, StoreError> {
        self.transaction
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(parameters))
            .map_err(|source| StoreError::database(action, self.path, source))
    }

    fn job(&self, job: &Job) -> Result<(), StoreError> {
        const PUT: &str = "
            INSERT INTO job (job_id, restart, sequence, resident, array_job_id, uid, state, name, partition,
                             submit_time, start_time, end_time, spec_id, document)
            VALUES (?1, ?2, ?3, NOT EXISTS (SELECT 1 FROM job WHERE job_id = ?1 AND restart > ?2),
                    ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
            ON CONFLICT (job_id, restart) DO UPDATE SET
                sequence = excluded.sequence, resident = excluded.resident, array_job_id = excluded.array_job_id,
                uid = excluded.uid, state = excluded.state, name = excluded.name, partition = excluded.partition,
                submit_time = excluded.submit_time, start_time = excluded.start_time,
                end_time = excluded.end_time, spec_id = excluded.spec_id, document = excluded.document";
        const SUPERSEDE: &str = "UPDATE job SET resident = 0 WHERE job_id = ?1 AND restart < ?2 AND resident = 1";
        let document = self.documents.write(job).map_err(|source| encode(format!("job {}", job.id), source))?;
        // While a job waits or runs, these two hold what is expected, not what was.
        let start_time = job.start_time.filter(|_| job.state != JobState::Pending);
        let end_time = job.end_time.filter(|_| job.state.is_final());
        let parameters = params![
            job.id.0,
            job.restart.0,
            self.sequence,
            job.array_job_id().or(job.het_job_id()).map(|id| id.0),
            job.spec.identity.uid,
            job.state.as_str(),
            &*job.spec.name,
            &*job.partition,
            job.submit_time.0,
            start_time.map(|time| time.0),
            end_time.map(|time| time.0),
            job.spec_id.0.cast_signed(),
            document,
        ];
        self.execute("write a job", PUT, parameters)?;
        if job.restart.0 > 0 {
            self.execute("write a job", SUPERSEDE, params![job.id.0, job.restart.0])?;
        }
        Ok(())
    }

    fn forget(&self, id: JobId) -> Result<(), StoreError> {
        const FORGET: &str = "UPDATE job SET resident = 0, sequence = ?2 WHERE job_id = ?1 AND resident = 1";
        self.execute("forget a job", FORGET, params![id.0, self.sequence]).map(|_| ())
    }

    fn spec(&self, id: SpecId, spec: &JobSpec) -> Result<(), StoreError> {
        const PUT: &str = "INSERT INTO spec (spec_id, sequence, document) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
        const GET: &str = "SELECT document FROM spec WHERE spec_id = ?1";
        let document = to_json(spec, || format!("specification {}", id.0))?;
        let key = id.0.cast_signed();
        if self.execute("write a specification", PUT, params![key, self.sequence, document])? > 0 {
            return Ok(());
        }
        let stored: Option<String> = self
            .transaction
            .prepare_cached(GET)
            .and_then(|mut statement| statement.query_row([key], |row| row.get(0)).optional())
            .map_err(|source| StoreError::database("read a specification", self.path, source))?;
        if stored.as_ref() == Some(&document) { Ok(()) } else { Err(StoreError::SpecChanged { id }) }
    }

    fn step(&self, step: &Step) -> Result<(), StoreError> {
        const PUT: &str = "
            INSERT INTO step (job_id, restart, step, sequence, ended, start_time, document)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
            ON CONFLICT (job_id, restart, step) DO UPDATE SET
                sequence = excluded.sequence, ended = excluded.ended, start_time = excluded.start_time,
                document = excluded.document";
        let document = to_json(step, || format!("step {}.{}", step.job_id, step.step_id))?;
        let parameters = params![
            step.job_id.0,
            step.restart.0,
            step_number(step.step_id),
            self.sequence,
            step.state.is_final(),
            step.start_time.map(|time| time.0),
            document,
        ];
        self.execute("write a step", PUT, parameters).map(|_| ())
    }

    fn node(&self, name: &Name, record: &NodeRecord) -> Result<(), StoreError> {
        const PUT: &str = "
            INSERT INTO node (name, sequence, document) VALUES (?1, ?2, ?3)
            ON CONFLICT (name) DO UPDATE SET sequence = excluded.sequence, document = excluded.document";
        let document = to_json(record, || format!("node {name}"))?;
        self.execute("write a node", PUT, params![&**name, self.sequence, document]).map(|_| ())
    }

    fn document(&self, kind: DocumentKind, name: &Name, document: Option<&Document>) -> Result<(), StoreError> {
        const PUT: &str = "
            INSERT INTO document (kind, name, sequence, body) VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT (kind, name) DO UPDATE SET sequence = excluded.sequence, body = excluded.body";
        let body = document.map(|row| to_json(row, || format!("{} {name}", kind.as_str()))).transpose()?;
        self.execute("write a document", PUT, params![kind.as_str(), &**name, self.sequence, body]).map(|_| ())
    }

    fn counter(&self, name: &str, value: u64) -> Result<(), StoreError> {
        const PUT: &str = "
            INSERT INTO counter (name, sequence, value) VALUES (?1, ?2, ?3)
            ON CONFLICT (name) DO UPDATE SET sequence = excluded.sequence, value = excluded.value";
        self.execute("write a counter", PUT, params![name, self.sequence, value.cast_signed()]).map(|_| ())
    }

    fn blob(&self, id: &BlobId, content: &[u8]) -> Result<(), StoreError> {
        const PUT: &str = "INSERT INTO blob (id, sequence, content) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
        self.execute("write a script", PUT, params![&*id.0, self.sequence, content]).map(|_| ())
    }
}

/// Steps in the order in which `sacct` lists those that start together.
fn step_number(step: StepId) -> i64 {
    match step {
        StepId::Interactive => -6,
        StepId::Batch => -5,
        StepId::Extern | StepId::Prolog | StepId::Epilog => -4,
        StepId::Number(number) => number.into(),
    }
}

fn to_json<T: serde::Serialize>(document: &T, what: impl FnOnce() -> String) -> Result<String, StoreError> {
    serde_json::to_string(document).map_err(|source| encode(what(), source))
}

fn encode(what: String, source: serde_json::Error) -> StoreError {
    StoreError::Encode { what, source }
}
