//! How many rows of jobs are made durable in a second, in an empty store and above a long history.
//!
//! `cargo bench -p muster-store -- [HISTORY_ROWS]`; a million by default.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use muster_model::fact::Fact;
use muster_model::ids::{CommitSequence, JobId, SpecId};
use muster_model::job::{Job, JobSpec};
use muster_model::request::HistoryFilter;
use muster_model::state::JobState;
use muster_model::time::Timestamp;
use muster_store::{History, SqliteStore, Store};

const ROWS_IN_BATCH: u32 = 256;

fn main() {
    let history_rows = std::env::args().filter_map(|word| word.parse().ok()).next().unwrap_or(1_000_000);
    let dir = tempfile::tempdir_in(".").unwrap();
    let mut store = SqliteStore::open(dir.path()).unwrap();
    let spec = spec();
    let mut sequence = CommitSequence(1);
    store.commit(sequence, &[Fact::Spec(SpecId(1), spec.clone())]).unwrap();

    let mut next_id = 1;
    measure("empty store", &mut store, &mut sequence, &mut next_id, &spec);
    println!("filling in {history_rows} rows of history");
    while next_id < history_rows {
        let ids = next_id..next_id + 5000;
        next_id = ids.end;
        let mut facts: Vec<Fact> =
            ids.clone().map(|id| Fact::Job(Arc::new(job(id, &spec, JobState::Completed)))).collect();
        facts.extend(ids.map(|id| Fact::JobForgotten(JobId(id))));
        sequence.0 += 1;
        store.commit(sequence, &facts).unwrap();
    }
    measure("long history", &mut store, &mut sequence, &mut next_id, &spec);

    let begin = Instant::now();
    let loaded = store.load().unwrap();
    println!("load: {} resident jobs in {:?}", loaded.state.jobs.len(), begin.elapsed());
    let history = store.history().unwrap();
    let last_day = Timestamp::from_seconds(i64::from(next_id) - 2000);
    search("one job", &history, &HistoryFilter { ids: Some(vec![JobId(77)]), ..HistoryFilter::default() });
    search("recent", &history, &HistoryFilter { since: Some(last_day), ..HistoryFilter::default() });
    search(
        "recent of a user",
        &history,
        &HistoryFilter { since: Some(last_day), uids: Some(vec![3]), ..HistoryFilter::default() },
    );
    search("all failed", &history, &HistoryFilter { states: Some(vec![JobState::Failed]), ..HistoryFilter::default() });
    println!("file: {} MiB", std::fs::metadata(dir.path().join(muster_store::DATABASE_NAME)).unwrap().len() >> 20);
}

/// Lets 20,000 jobs be submitted, start, and end.
fn measure(what: &str, store: &mut SqliteStore, sequence: &mut CommitSequence, next_id: &mut u32, spec: &Arc<JobSpec>) {
    const JOBS: u32 = 20_480;
    for state in [JobState::Pending, JobState::Running, JobState::Completed] {
        let (begin, mut slowest) = (Instant::now(), std::time::Duration::ZERO);
        for first in (*next_id..*next_id + JOBS).step_by(ROWS_IN_BATCH as usize) {
            let jobs = first..first + ROWS_IN_BATCH;
            let facts: Vec<Fact> = jobs.map(|id| Fact::Job(Arc::new(job(id, spec, state)))).collect();
            sequence.0 += 1;
            let commit = Instant::now();
            store.commit(*sequence, &facts).unwrap();
            slowest = slowest.max(commit.elapsed());
        }
        let seconds = begin.elapsed().as_secs_f64();
        println!("{what}: {state}: {:.0} rows/s, slowest commit {slowest:?}", f64::from(JOBS) / seconds);
    }
    *next_id += JOBS;
}

fn search(what: &str, history: &impl History, filter: &HistoryFilter) {
    let (begin, mut rows) = (Instant::now(), 0);
    let mut count = |part: Vec<_>| {
        rows += part.len();
        ControlFlow::Continue(())
    };
    history.history(filter, &mut count).unwrap();
    println!("search {what}: {rows} rows in {:?}", begin.elapsed());
}

fn spec() -> Arc<JobSpec> {
    let text = serde_json::json!({
        "identity": {"uid": 1000, "gid": 1000, "user": "alice", "group": "users"}, "name": "train", "kind": "batch",
        "request": {"nodes_min": 1, "tasks": 1, "cpus_per_task": 1}, "work_dir": "/home/alice", "submit_host": "login",
    });
    Arc::new(serde_json::from_value(text).unwrap())
}

fn job(id: u32, spec: &Arc<JobSpec>, state: JobState) -> Job {
    let mut text = serde_json::json!({
        "id": id, "spec_id": 1, "spec": null, "state": state, "reason": "none", "partition": "batch", "priority": 1,
        "time_limit": {"limited": 3_600_000}, "submit_time": i64::from(id) * 1000,
        "eligible_time": i64::from(id) * 1000, "last_evaluated": i64::from(id) * 1000,
    });
    if state != JobState::Pending {
        text["start_time"] = (i64::from(id) * 1000 + 500).into();
        text["end_time"] = (i64::from(id) * 1000 + 900).into();
        text["node_list"] = "node0001".into();
        text["batch_host"] = "node0001".into();
        text["allocation"] = serde_json::json!({"shares": [
            {"node": 1, "cpus": [1], "memory": 1024, "tasks": 1},
        ]});
    }
    text["spec"] = serde_json::to_value(&**spec).unwrap();
    let job: Job = serde_json::from_value(text).unwrap();
    Job { spec: spec.clone(), ..job }
}
