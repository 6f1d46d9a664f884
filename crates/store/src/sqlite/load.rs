//! Reading back what a controller needs to go on: resident jobs with their specifications, open steps, nodes, counters.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use muster_model::document::Document;
use muster_model::fact::{NodeRecord, StoredState};
use muster_model::ids::{CommitSequence, Name, SpecId};
use muster_model::job::{Job, JobSpec};
use muster_model::step::Step;
use rusqlite::{Connection, OptionalExtension, Row};
use serde::de::DeserializeOwned;

use crate::document::JobDocuments;
use crate::error::StoreError;
use crate::store::LoadedState;

/// Counter that is derived from the specifications themselves: even those of forgotten jobs keep their number.
const NEXT_SPEC_ID: &str = "next_spec_id";

/// Number of the last commit.
pub(super) fn last_sequence(connection: &Connection) -> rusqlite::Result<CommitSequence> {
    let value: i64 = connection.query_row("SELECT value FROM meta WHERE name = 'sequence'", [], |row| row.get(0))?;
    Ok(CommitSequence(value.cast_unsigned()))
}

/// Everything resident, from one snapshot.
pub(super) fn load(connection: &Connection, path: &Path, documents: &JobDocuments) -> Result<LoadedState, StoreError> {
    let database = |source| StoreError::database("load", path, source);
    let snapshot = connection.unchecked_transaction().map_err(database)?;
    let rows = Rows { connection: &snapshot, path, documents };
    let sequence = last_sequence(&snapshot).map_err(database)?;
    let state = StoredState {
        jobs: rows.jobs()?,
        steps: rows.steps()?,
        nodes: rows.nodes()?,
        counters: rows.counters()?,
        documents: rows.documents()?,
    };
    Ok(LoadedState { sequence, state })
}

/// Reads rows; shared with the history.
pub(super) struct Rows<'a> {
    pub(super) connection: &'a Connection,
    pub(super) path: &'a Path,
    pub(super) documents: &'a JobDocuments,
}

/// Specifications read so far, by number.
pub(super) type Specs = HashMap<i64, Arc<JobSpec>>;

impl Rows<'_> {
    /// Calls `take` for each row of `sql`.
    pub(super) fn each(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
        mut take: impl FnMut(&Row<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let database = |source| StoreError::database("read", self.path, source);
        let mut statement = self.connection.prepare_cached(sql).map_err(database)?;
        let mut rows = statement.query(parameters).map_err(database)?;
        while let Some(row) = rows.next().map_err(database)? {
            take(row)?;
        }
        Ok(())
    }

    /// One column of a row. Damage may show in a value of the wrong type.
    pub(super) fn column<T: rusqlite::types::FromSql>(
        &self,
        table: &'static str,
        row: &Row<'_>,
        index: usize,
    ) -> Result<T, StoreError> {
        row.get(index).map_err(|source| self.bad_row(table, format!("column {index}"), source))
    }

    pub(super) fn document<T: DeserializeOwned>(
        &self,
        table: &'static str,
        key: impl FnOnce() -> String,
        text: &str,
    ) -> Result<T, StoreError> {
        serde_json::from_str(text).map_err(|source| self.bad_row(table, key(), source))
    }

    fn bad_row(
        &self,
        table: &'static str,
        row: String,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> StoreError {
        StoreError::Row { path: self.path.to_owned(), table, row, source: Box::new(source) }
    }

    /// The job of a row `job_id, restart, spec_id, document`.
    pub(super) fn job(&self, row: &Row<'_>, specs: &mut Specs) -> Result<Job, StoreError> {
        let (job_id, restart): (u32, u32) = (self.column("job", row, 0)?, self.column("job", row, 1)?);
        let spec = self.spec(self.column("job", row, 2)?, specs)?;
        let document: String = self.column("job", row, 3)?;
        self.documents
            .read(&document, spec)
            .map_err(|source| self.bad_row("job", format!("{job_id} restart {restart}"), source))
    }

    fn spec(&self, id: i64, specs: &mut Specs) -> Result<Arc<JobSpec>, StoreError> {
        if let Some(spec) = specs.get(&id) {
            return Ok(spec.clone());
        }
        let text: Option<String> = self
            .connection
            .prepare_cached("SELECT document FROM spec WHERE spec_id = ?1")
            .and_then(|mut statement| statement.query_row([id], |row| row.get(0)).optional())
            .map_err(|source| StoreError::database("read a specification", self.path, source))?;
        let Some(text) = text else {
            return Err(self.bad_row("spec", id.to_string(), rusqlite::Error::QueryReturnedNoRows));
        };
        let spec: Arc<JobSpec> = Arc::new(self.document("spec", || SpecId(id.cast_unsigned()).0.to_string(), &text)?);
        specs.insert(id, spec.clone());
        Ok(spec)
    }

    fn jobs(&self) -> Result<Vec<Arc<Job>>, StoreError> {
        const RESIDENT: &str =
            "SELECT job_id, restart, spec_id, document FROM job WHERE resident = 1 ORDER BY job_id, restart";
        let mut specs = Specs::new();
        let mut jobs = Vec::new();
        self.each(RESIDENT, [], |row| {
            jobs.push(Arc::new(self.job(row, &mut specs)?));
            Ok(())
        })?;
        Ok(jobs)
    }

    fn steps(&self) -> Result<Vec<Arc<Step>>, StoreError> {
        const OPEN: &str = "
            SELECT job_id, restart, step, document FROM step
            WHERE ended = 0 AND EXISTS (SELECT 1 FROM job WHERE job.job_id = step.job_id AND resident = 1)
            ORDER BY job_id, restart, step";
        let mut steps = Vec::new();
        self.each(OPEN, [], |row| {
            steps.push(Arc::new(self.step(row)?));
            Ok(())
        })?;
        Ok(steps)
    }

    /// The step of a row `job_id, restart, step, document`.
    pub(super) fn step(&self, row: &Row<'_>) -> Result<Step, StoreError> {
        let (job_id, restart, step): (i64, i64, i64) =
            (self.column("step", row, 0)?, self.column("step", row, 1)?, self.column("step", row, 2)?);
        let document: String = self.column("step", row, 3)?;
        self.document("step", || format!("{job_id} restart {restart} step {step}"), &document)
    }

    fn nodes(&self) -> Result<Vec<(Name, NodeRecord)>, StoreError> {
        let mut nodes = Vec::new();
        self.each("SELECT name, document FROM node ORDER BY name", [], |row| {
            let name: String = self.column("node", row, 0)?;
            let document: String = self.column("node", row, 1)?;
            let record = self.document("node", || name.clone(), &document)?;
            nodes.push((Name::from(name), record));
            Ok(())
        })?;
        Ok(nodes)
    }

    fn documents(&self) -> Result<Vec<Document>, StoreError> {
        const ALL: &str = "SELECT kind, name, body FROM document WHERE body IS NOT NULL ORDER BY kind, name";
        let mut documents = Vec::new();
        self.each(ALL, [], |row| {
            let (kind, name): (String, String) = (self.column("document", row, 0)?, self.column("document", row, 1)?);
            let body: String = self.column("document", row, 2)?;
            documents.push(self.document("document", || format!("{kind} {name}"), &body)?);
            Ok(())
        })?;
        Ok(documents)
    }

    fn counters(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let mut counters: Vec<(String, u64)> = Vec::new();
        self.each("SELECT name, value FROM counter ORDER BY name", [], |row| {
            let value: i64 = self.column("counter", row, 1)?;
            counters.push((self.column("counter", row, 0)?, value.cast_unsigned()));
            Ok(())
        })?;
        let mut next_spec = 1;
        self.each("SELECT max(spec_id) FROM spec", [], |row| {
            let greatest: Option<i64> = self.column("spec", row, 0)?;
            next_spec = greatest.map_or(1, |id| id.cast_unsigned().saturating_add(1));
            Ok(())
        })?;
        match counters.iter_mut().find(|(name, _)| name == NEXT_SPEC_ID) {
            Some((_, value)) => *value = next_spec.max(*value),
            None => counters.push((NEXT_SPEC_ID.to_owned(), next_spec)),
        }
        Ok(counters)
    }
}
