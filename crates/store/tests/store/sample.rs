//! Databases as earlier versions wrote them, kept as SQL text, must be readable for ever.
//!
//! A release that changes what is stored adds a sample: run the ignored test below with `MUSTER_STORE_SAMPLE` set to
//! the name of the new file, and describe what is new in it here.
//!
//! - `v1.sql`: the first tables: a pending array with a started task, a requeued job with steps, a forgotten job, a
//!   drained node, a script, counters.

use std::ops::ControlFlow;
use std::path::Path;

use muster_model::fact::{Fact, NodeRecord};
use muster_model::ids::{BlobId, CommitSequence, JobId, StepId};
use muster_model::job::Job;
use muster_model::request::{HistoryFilter, HistoryRow};
use muster_model::state::JobState;
use muster_store::{DATABASE_NAME, History, SqliteHistory, SqliteStore, Store};
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::rows::*;

const SAMPLE_V1: &str = include_str!("samples/v1.sql");

/// What the sample holds; also what writes it.
fn facts() -> Vec<Fact> {
    let (alice, bob) = (spec(1001, "sweep"), spec(1002, "train"));
    let first = running(&job(20, 2, &bob), 30);
    vec![
        spec_fact(1, &alice),
        spec_fact(2, &bob),
        job_fact(&waiting(&job(10, 1, &alice), "1-9:2")),
        job_fact(&running(&task(&job(11, 1, &alice), 10, 0), 12)),
        job_fact(&ended(&first, JobState::Requeued, 40)),
        step_fact(&step_ended(&step(&first, StepId::Batch, 30), 40)),
        job_fact(&running(&restarted(&first, 1), 50)),
        step_fact(&step(&restarted(&first, 1), StepId::Number(0), 51)),
        job_fact(&ended(&running(&job(5, 2, &bob), 6), JobState::Failed, 7)),
        Fact::JobForgotten(JobId(5)),
        node_fact("n1", node(17)),
        Fact::Blob { id: BlobId("hash".into()), content: (*b"#!/bin/sh\nhostname\n").into() },
        Fact::Counter { name: "next_job_id", value: 21 },
    ]
}

#[test]
fn the_first_tables_can_still_be_read() {
    let dir = tempfile::tempdir().unwrap();
    Connection::open(dir.path().join(DATABASE_NAME)).unwrap().execute_batch(SAMPLE_V1).unwrap();
    let mut store = SqliteStore::open(dir.path()).unwrap();
    let loaded = store.load().unwrap();
    assert_eq!(loaded.sequence, CommitSequence(3));
    let alice = spec(1001, "sweep");
    let bob = spec(1002, "train");
    let second = running(&restarted(&running(&job(20, 2, &bob), 30), 1), 50);
    let expected =
        [waiting(&job(10, 1, &alice), "1-9:2"), running(&task(&job(11, 1, &alice), 10, 0), 12), second.clone()];
    let jobs: Vec<Job> = loaded.state.jobs.iter().map(|job| (**job).clone()).collect();
    assert_eq!(jobs, expected);
    assert_eq!(*loaded.state.steps[0], step(&second, StepId::Number(0), 51));
    let drained = NodeRecord { places_found: None, ..node(17) };
    assert_eq!(loaded.state.nodes, [("n1".into(), drained)]);
    assert_eq!(loaded.state.counters, [("next_job_id".to_owned(), 21), ("next_spec_id".to_owned(), 3)]);
    let history = SqliteHistory::open(dir.path()).unwrap();
    assert_eq!(history.blob(&BlobId("hash".into())).unwrap().as_deref(), Some(&b"#!/bin/sh\nhostname\n"[..]));
    let mut rows = Vec::new();
    let all = HistoryFilter { duplicates: true, ..HistoryFilter::default() };
    let mut take = |part: Vec<HistoryRow>| {
        rows.extend(part.iter().map(|row| format!("{} {} {}", row.job.id, row.job.state, row.steps.len())));
        ControlFlow::Continue(())
    };
    history.history(&all, &mut take).unwrap();
    assert_eq!(rows, ["5 FAILED 0", "10 PENDING 0", "11 RUNNING 0", "20 REQUEUED 1", "20 RUNNING 1"]);
}

#[test]
#[ignore = "writes a new sample"]
fn write_a_sample() {
    let Some(name) = std::env::var_os("MUSTER_STORE_SAMPLE") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(dir.path()).unwrap();
    store.commit(CommitSequence(3), &facts()).unwrap();
    let text = dump(&Connection::open(dir.path().join(DATABASE_NAME)).unwrap());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/store/samples").join(name);
    std::fs::write(path, text).unwrap();
}

/// All tables and rows as SQL.
fn dump(connection: &Connection) -> String {
    let mut text = String::from("BEGIN;\n");
    let mut objects = connection
        .prepare("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type DESC, name")
        .unwrap();
    let mut rows = objects.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let (kind, name, sql): (String, String, String) =
            (row.get(0).unwrap(), row.get(1).unwrap(), row.get(2).unwrap());
        text.push_str(&format!("{sql};\n"));
        if kind == "table" {
            dump_rows(connection, &name, &mut text);
        }
    }
    text.push_str("COMMIT;\n");
    text
}

fn dump_rows(connection: &Connection, table: &str, text: &mut String) {
    let mut statement = connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
    let columns = statement.column_count();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let values: Vec<String> = (0..columns).map(|column| literal(row.get_ref(column).unwrap())).collect();
        text.push_str(&format!("INSERT INTO {table} VALUES ({});\n", values.join(", ")));
    }
}

fn literal(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) => format!("'{}'", String::from_utf8_lossy(text).replace('\'', "''")),
        ValueRef::Blob(bytes) => format!("X'{}'", bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>()),
    }
}
