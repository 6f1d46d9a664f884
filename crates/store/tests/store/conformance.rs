//! What every database behind [`Store`] and [`History`] must do. A new one adds a [`Backend`] and calls [`all`].

use std::ops::ControlFlow;
use std::sync::Arc;

use muster_model::document::DocumentKind;
use muster_model::fact::Fact;
use muster_model::ids::{BlobId, CommitSequence, JobId, StepId};
use muster_model::job::Job;
use muster_model::request::{HistoryFilter, HistoryRow};
use muster_model::state::JobState;
use muster_model::time::Timestamp;
use muster_store::{History, LoadedState, Store, StoreError};

use crate::rows::*;

/// A database that can be closed and opened again.
pub trait Backend {
    /// Opens what was written before; at first an empty store.
    fn open(&self) -> (Box<dyn Store>, Box<dyn History>);
}

/// Runs every test, each on a fresh database.
pub fn all<B: Backend>(fresh: impl Fn() -> B) {
    for test in TESTS {
        test(&fresh());
    }
}

const TESTS: &[fn(&dyn Backend)] = &[
    a_new_store_is_empty,
    rows_come_back_as_they_were,
    the_last_of_several_facts_counts,
    sequence_numbers_must_ascend,
    a_requeued_job_leaves_its_past_in_the_history,
    a_late_row_of_an_earlier_start_stays_history,
    a_forgotten_job_is_history,
    numbers_of_specifications_are_never_given_twice,
    a_specification_never_changes,
    filters_choose,
    arrays_are_found_by_their_number,
    long_answers_come_in_parts_and_can_be_stopped,
    steps_come_in_order_of_start,
    readers_see_commits_at_once,
    a_failed_batch_leaves_nothing,
];

fn commit(store: &mut dyn Store, sequence: u64, facts: &[Fact]) {
    store.commit(CommitSequence(sequence), facts).unwrap();
}

fn search(history: &dyn History, filter: &HistoryFilter) -> Vec<HistoryRow> {
    let mut rows = Vec::new();
    let mut take = |part: Vec<HistoryRow>| {
        rows.extend(part);
        ControlFlow::Continue(())
    };
    history.history(filter, &mut take).unwrap();
    rows
}

/// `job[.restart]` of all rows.
fn found(history: &dyn History, filter: &HistoryFilter) -> String {
    let name = |row: &HistoryRow| match row.job.restart.0 {
        0 => row.job.id.to_string(),
        restart => format!("{}.{restart}", row.job.id),
    };
    search(history, filter).iter().map(name).collect::<Vec<_>>().join(" ")
}

fn loaded_jobs(loaded: &LoadedState) -> Vec<&Job> {
    loaded.state.jobs.iter().map(|job| &**job).collect()
}

fn a_new_store_is_empty(backend: &dyn Backend) {
    let (mut store, history) = backend.open();
    let loaded = store.load().unwrap();
    assert_eq!(loaded.sequence, CommitSequence(0));
    assert!(loaded.state.jobs.is_empty() && loaded.state.steps.is_empty() && loaded.state.nodes.is_empty());
    assert_eq!(loaded.state.counters, [("next_spec_id".to_owned(), 1)]);
    assert_eq!(found(&*history, &HistoryFilter::default()), "");
    assert_eq!(history.blob(&BlobId("x".into())).unwrap(), None);
}

fn rows_come_back_as_they_were(backend: &dyn Backend) {
    let spec = spec(7, "train \"spec\":{},");
    let (pending, active) = (job(1, 1, &spec), running(&job(2, 1, &spec), 10));
    let (open, closed) = (step(&active, StepId::Number(0), 11), step_ended(&step(&active, StepId::Batch, 10), 12));
    {
        let (mut store, _) = backend.open();
        let content: Arc<[u8]> = Arc::from(&b"#!/bin/sh\n\0"[..]);
        let first = [spec_fact(1, &spec), job_fact(&pending), Fact::Blob { id: BlobId("b1".into()), content }];
        commit(&mut *store, 3, &first);
        let second = [
            job_fact(&active),
            step_fact(&open),
            step_fact(&closed),
            node_fact("n1", node(9)),
            Fact::Counter { name: "next_job_id", value: u64::MAX },
        ];
        commit(&mut *store, 8, &second);
    }
    let (mut store, history) = backend.open();
    let loaded = store.load().unwrap();
    assert_eq!(loaded.sequence, CommitSequence(8));
    assert_eq!(loaded_jobs(&loaded), [&pending, &active]);
    assert!(Arc::ptr_eq(&loaded.state.jobs[0].spec, &loaded.state.jobs[1].spec), "one specification is shared");
    assert_eq!(loaded.state.steps.iter().map(|step| &**step).collect::<Vec<_>>(), [&open]);
    assert_eq!(loaded.state.nodes, [("n1".into(), node(9))]);
    let counters = [("next_job_id".to_owned(), u64::MAX), ("next_spec_id".to_owned(), 2)];
    assert_eq!(loaded.state.counters, counters);
    assert_eq!(history.blob(&BlobId("b1".into())).unwrap().as_deref(), Some(&b"#!/bin/sh\n\0"[..]));
    let rows = search(&*history, &HistoryFilter::default());
    assert_eq!(rows.iter().map(|row| (&*row.job, row.steps.len())).collect::<Vec<_>>(), [(&pending, 0), (&active, 2)]);
}

fn the_last_of_several_facts_counts(backend: &dyn Backend) {
    let (mut store, history) = backend.open();
    let spec = spec(1, "a");
    let (first, last) = (job(5, 1, &spec), running(&job(5, 1, &spec), 6));
    let facts = [
        spec_fact(1, &spec),
        job_fact(&first),
        node_fact("n", node(1)),
        Fact::Counter { name: "c", value: 1 },
        job_fact(&last),
        node_fact("n", node(2)),
        Fact::Counter { name: "c", value: 2 },
        qos_fact("normal", 1),
        qos_fact("gone", 2),
        qos_fact("normal", 3),
        Fact::DocumentGone { kind: DocumentKind::Qos, name: "gone".into() },
        job_fact(&job(6, 1, &spec)),
        Fact::JobForgotten(JobId(6)),
    ];
    commit(&mut *store, 1, &facts);
    let loaded = store.load().unwrap();
    assert_eq!(loaded_jobs(&loaded), [&last]);
    assert_eq!(loaded.state.nodes, [("n".into(), node(2))]);
    assert_eq!(loaded.state.counters.first(), Some(&("c".to_owned(), 2)));
    assert_eq!(loaded.state.documents.iter().cloned().map(Fact::Document).collect::<Vec<_>>(), [qos_fact("normal", 3)]);
    assert_eq!(found(&*history, &HistoryFilter::default()), "5 6");
}

fn sequence_numbers_must_ascend(backend: &dyn Backend) {
    let (mut store, _) = backend.open();
    commit(&mut *store, 4, &[]);
    for attempted in [4, 3, 0].map(CommitSequence) {
        let error = store.commit(attempted, &[Fact::Counter { name: "c", value: 1 }]).unwrap_err();
        assert!(matches!(error, StoreError::Order { last: CommitSequence(4), .. }), "{error:?}");
    }
    drop(store);
    let (mut store, _) = backend.open();
    assert!(store.commit(CommitSequence(4), &[]).is_err(), "the number outlives the process");
    assert_eq!(store.load().unwrap().state.counters.len(), 1, "nothing of a refused commit is stored");
}

fn a_requeued_job_leaves_its_past_in_the_history(backend: &dyn Backend) {
    let (mut store, history) = backend.open();
    let spec = spec(1, "a");
    let first = running(&job(5, 1, &spec), 10);
    commit(&mut *store, 1, &[spec_fact(1, &spec), job_fact(&first), step_fact(&step(&first, StepId::Batch, 10))]);
    let past = ended(&first, JobState::Requeued, 20);
    let second = restarted(&first, 1);
    commit(&mut *store, 2, &[job_fact(&past), job_fact(&second)]);

    let loaded = store.load().unwrap();
    assert_eq!(loaded_jobs(&loaded), [&second]);
    assert_eq!(loaded.state.steps.len(), 1, "a step of the earlier start that still runs is needed");
    assert_eq!(found(&*history, &HistoryFilter::default()), "5.1");
    let all = HistoryFilter { duplicates: true, ..HistoryFilter::default() };
    assert_eq!(found(&*history, &all), "5 5.1");
    assert_eq!(search(&*history, &all)[0].steps.len(), 1, "steps stay with their start");
}

fn a_late_row_of_an_earlier_start_stays_history(backend: &dyn Backend) {
    let (mut store, _) = backend.open();
    let spec = spec(1, "a");
    let first = running(&job(5, 1, &spec), 10);
    commit(&mut *store, 1, &[spec_fact(1, &spec), job_fact(&first), job_fact(&restarted(&first, 2))]);
    commit(&mut *store, 2, &[job_fact(&ended(&first, JobState::Requeued, 20))]);
    commit(&mut *store, 3, &[job_fact(&ended(&restarted(&first, 1), JobState::NodeFail, 21))]);
    assert_eq!(loaded_jobs(&store.load().unwrap()), [&restarted(&first, 2)]);
}

fn a_forgotten_job_is_history(backend: &dyn Backend) {
    let (mut store, history) = backend.open();
    let spec = spec(1, "a");
    let first = running(&job(5, 1, &spec), 10);
    let facts = [
        spec_fact(1, &spec),
        job_fact(&first),
        job_fact(&restarted(&first, 1)),
        job_fact(&job(6, 1, &spec)),
        step_fact(&step(&first, StepId::Number(0), 9)),
    ];
    commit(&mut *store, 1, &facts);
    commit(&mut *store, 2, &[Fact::JobForgotten(JobId(5)), Fact::JobForgotten(JobId(99))]);
    let loaded = store.load().unwrap();
    assert_eq!(loaded_jobs(&loaded), [&job(6, 1, &spec)]);
    assert!(loaded.state.steps.is_empty());
    assert_eq!(found(&*history, &HistoryFilter::default()), "5.1 6");
}

fn numbers_of_specifications_are_never_given_twice(backend: &dyn Backend) {
    let (mut store, _) = backend.open();
    let spec = spec(1, "a");
    commit(&mut *store, 1, &[spec_fact(41, &spec), job_fact(&job(1, 41, &spec)), Fact::JobForgotten(JobId(1))]);
    assert_eq!(store.load().unwrap().state.counters, [("next_spec_id".to_owned(), 42)]);
    commit(&mut *store, 2, &[Fact::Counter { name: "next_spec_id", value: 7 }]);
    assert_eq!(store.load().unwrap().state.counters, [("next_spec_id".to_owned(), 42)]);
}

fn a_specification_never_changes(backend: &dyn Backend) {
    let (mut store, _) = backend.open();
    commit(&mut *store, 1, &[spec_fact(1, &spec(1, "a"))]);
    commit(&mut *store, 2, &[spec_fact(1, &spec(1, "a"))]);
    let error = store.commit(CommitSequence(3), &[spec_fact(1, &spec(1, "b"))]).unwrap_err();
    assert!(matches!(error, StoreError::SpecChanged { .. }), "{error:?}");
}

fn filters_choose(backend: &dyn Backend) {
    let (mut store, history) = backend.open();
    let (alice, bob) = (spec(1, "train"), spec(2, "test"));
    let mut other_partition = job(4, 2, &bob);
    other_partition.partition = "gpu".into();
    other_partition.start_time = Some(Timestamp::from_seconds(9999));
    let facts = [
        spec_fact(1, &alice),
        spec_fact(2, &bob),
        job_fact(&ended(&running(&job(1, 1, &alice), 5), JobState::Completed, 10)),
        job_fact(&ended(&running(&job(2, 2, &bob), 6), JobState::Failed, 20)),
        job_fact(&running(&job(3, 1, &alice), 7)),
        job_fact(&other_partition),
    ];
    commit(&mut *store, 1, &facts);
    let check = |expected: &str, change: &dyn Fn(&mut HistoryFilter)| {
        let mut filter = HistoryFilter::default();
        change(&mut filter);
        assert_eq!(found(&*history, &filter), expected, "{filter:?}");
    };
    let at = |seconds: i64| Some(Timestamp::from_seconds(seconds));
    check("1 2 3 4", &|_| ());
    check("1 3", &|filter| filter.uids = Some(vec![1, 77]));
    check("", &|filter| filter.uids = Some(vec![]));
    check("2 4", &|filter| filter.ids = Some(vec![JobId(4), JobId(2), JobId(9)]));
    check("2 3 4", &|filter| filter.since = at(11));
    check("1 2 3 4", &|filter| filter.since = at(10));
    check("3 4", &|filter| filter.since = at(21));
    check("1 2", &|filter| filter.until = at(3));
    check("2", &|filter| (filter.since, filter.until) = (at(15), at(3)));
    check("1 3", &|filter| filter.states = Some(vec![JobState::Running, JobState::Completed]));
    check("2 4", &|filter| filter.names = Some(vec!["test".into()]));
    check("4", &|filter| filter.partitions = Some(vec!["gpu".into(), "x' OR 1=1 --".into()]));
    check("1", &|filter| {
        filter.uids = Some(vec![1]);
        filter.states = Some(vec![JobState::Completed]);
        filter.names = Some(vec!["train".into()]);
        filter.until = at(100);
    });
}

fn arrays_are_found_by_their_number(backend: &dyn Backend) {
    let (mut store, history) = backend.open();
    let spec = spec(1, "a");
    let facts = [
        spec_fact(1, &spec),
        job_fact(&job(9, 1, &spec)),
        job_fact(&waiting(&job(10, 1, &spec), "2-9")),
        job_fact(&task(&job(11, 1, &spec), 10, 0)),
        job_fact(&task(&job(12, 1, &spec), 10, 1)),
        job_fact(&job(13, 1, &spec)),
    ];
    commit(&mut *store, 1, &facts);
    let of = |id: u32| found(&*history, &HistoryFilter { ids: Some(vec![JobId(id)]), ..HistoryFilter::default() });
    assert_eq!((of(10), of(11), of(9)), ("10 11 12".to_owned(), "11".to_owned(), "9".to_owned()));
    assert_eq!(loaded_jobs(&store.load().unwrap())[1], &waiting(&job(10, 1, &spec), "2-9"));
}

fn long_answers_come_in_parts_and_can_be_stopped(backend: &dyn Backend) {
    let (mut store, history) = backend.open();
    let spec = spec(1, "a");
    let mut facts = vec![spec_fact(1, &spec)];
    facts.extend((1..=1000).map(|id| job_fact(&job(id, 1, &spec))));
    commit(&mut *store, 1, &facts);
    let (mut parts, mut rows) = (0, 0);
    let mut count = |part: Vec<HistoryRow>| {
        parts += 1;
        rows += part.len();
        ControlFlow::Continue(())
    };
    history.history(&HistoryFilter::default(), &mut count).unwrap();
    assert_eq!(rows, 1000);
    assert!(parts > 1);
    let mut calls = 0;
    let mut stop = |_| {
        calls += 1;
        ControlFlow::Break(())
    };
    history.history(&HistoryFilter::default(), &mut stop).unwrap();
    assert_eq!(calls, 1);
}

fn steps_come_in_order_of_start(backend: &dyn Backend) {
    let (mut store, history) = backend.open();
    let spec = spec(1, "a");
    let owner = running(&job(5, 1, &spec), 10);
    let mut not_started = step(&owner, StepId::Number(2), 0);
    not_started.start_time = None;
    let facts = [
        spec_fact(1, &spec),
        job_fact(&owner),
        step_fact(&not_started),
        step_fact(&step(&owner, StepId::Number(10), 12)),
        step_fact(&step(&owner, StepId::Number(9), 12)),
        step_fact(&step(&owner, StepId::Extern, 10)),
        step_fact(&step(&owner, StepId::Batch, 10)),
    ];
    commit(&mut *store, 1, &facts);
    let rows = search(&*history, &HistoryFilter::default());
    let order: Vec<String> = rows[0].steps.iter().map(|step| step.step_id.to_string()).collect();
    assert_eq!(order, ["batch", "extern", "9", "10", "2"]);
}

fn readers_see_commits_at_once(backend: &dyn Backend) {
    let (mut store, history) = backend.open();
    let spec = spec(1, "a");
    commit(&mut *store, 1, &[spec_fact(1, &spec)]);
    for id in 1..=20 {
        commit(&mut *store, u64::from(id) + 1, &[job_fact(&job(id, 1, &spec))]);
        assert_eq!(search(&*history, &HistoryFilter::default()).len(), id as usize);
    }
    // A search in progress holds up neither the writer nor other readers.
    let mut nested = |_| {
        commit(&mut *store, 100, &[job_fact(&job(50, 1, &spec))]);
        assert_eq!(search(&*history, &HistoryFilter::default()).len(), 21);
        ControlFlow::Break(())
    };
    history.history(&HistoryFilter::default(), &mut nested).unwrap();
}

fn a_failed_batch_leaves_nothing(backend: &dyn Backend) {
    let (mut store, history) = backend.open();
    commit(&mut *store, 1, &[spec_fact(1, &spec(1, "a"))]);
    let facts = [job_fact(&job(1, 1, &spec(1, "a"))), spec_fact(1, &spec(1, "other"))];
    assert!(store.commit(CommitSequence(2), &facts).is_err());
    assert_eq!(found(&*history, &HistoryFilter::default()), "");
    commit(&mut *store, 2, &facts[..1]);
    assert_eq!(found(&*history, &HistoryFilter::default()), "1");
}
