//! A process that is killed in the middle of commits loses nothing that it was told is durable, and keeps no half.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use muster_model::fact::Fact;
use muster_model::ids::CommitSequence;
use muster_store::{SqliteStore, Store};

use crate::rows::*;

/// Tells the test binary to be the process that is killed.
const DIRECTORY: &str = "MUSTER_STORE_CRASH_DIRECTORY";

const JOBS_IN_BATCH: u32 = 50;

/// Not a test of its own: commits batches for ever and prints the number of each when it is durable.
#[test]
#[ignore = "only run by the test below"]
fn commits_until_killed() {
    let Some(dir) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let mut store = SqliteStore::open(dir.as_ref()).unwrap();
    let spec = spec(1, "a");
    let first = store.load().unwrap().sequence.0 + 1;
    if first == 1 {
        store.commit(CommitSequence(first), &[spec_fact(1, &spec)]).unwrap();
    }
    for sequence in first + 1.. {
        let facts = batch(u32::try_from(sequence).unwrap(), &spec);
        store.commit(CommitSequence(sequence), &facts).unwrap();
        println!("durable {sequence}");
    }
}

/// Rewrites some jobs of the batch before and adds new ones.
fn batch(sequence: u32, spec: &std::sync::Arc<muster_model::job::JobSpec>) -> Vec<Fact> {
    let base = sequence * JOBS_IN_BATCH;
    let mut facts: Vec<Fact> = (base..base + JOBS_IN_BATCH).map(|id| job_fact(&job(id, 1, spec))).collect();
    facts.push(Fact::Counter { name: "last_batch", value: sequence.into() });
    facts
}

#[test]
fn a_killed_writer_leaves_whole_batches_and_all_it_confirmed() {
    let dir = tempfile::tempdir().unwrap();
    let mut batches_before = 0;
    for confirmed_wanted in [1, 7, 40] {
        let confirmed = commit_and_kill(dir.path(), confirmed_wanted);
        let mut store = SqliteStore::open(dir.path()).unwrap();
        let loaded = store.load().unwrap();
        assert!(loaded.sequence.0 >= confirmed, "{} was confirmed, {} is there", confirmed, loaded.sequence.0);
        let last = loaded.state.counters.iter().find(|(name, _)| name == "last_batch").map(|(_, value)| *value);
        assert_eq!(last, Some(loaded.sequence.0), "the parts of a batch belong together");
        assert_eq!(loaded.state.jobs.len() % JOBS_IN_BATCH as usize, 0);
        let batches = loaded.state.jobs.len() / JOBS_IN_BATCH as usize;
        assert!(batches >= batches_before + confirmed_wanted, "{batches}");
        batches_before = batches;
    }
}

/// Gives the number of the last commit that the killed process confirmed.
fn commit_and_kill(dir: &std::path::Path, confirmed_wanted: usize) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["crash::commits_until_killed", "--exact", "--ignored", "--nocapture"])
        .env(DIRECTORY, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    // The test harness may print before the first number, on the same line.
    let number = |line: String| line.split_once("durable ").and_then(|(_, number)| number.parse().ok());
    let confirmed: Vec<u64> = lines.filter_map(number).take(confirmed_wanted).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(confirmed.len(), confirmed_wanted);
    confirmed.last().copied().unwrap_or(0)
}
