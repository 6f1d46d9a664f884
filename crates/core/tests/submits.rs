//! A submit with a token makes one job, however often it is said.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_core::{Cluster, Effect, Event, Outcome, RequestId, invariants};
use muster_model::array::{ArraySpec, TaskSet};
use muster_model::config::ClusterConfig;
use muster_model::fact::{Fact, StoredState};
use muster_model::ids::{JobId, SubmitToken};
use muster_model::job::{Hold, Job, JobSpec};
use muster_model::partition::Partition;
use muster_model::request::{Answer, Cancel, Command, JobTarget};
use muster_model::resources::ResourceRequest;
use muster_model::time::{Span, Timestamp};
use muster_testkit::builders;

const USER: u32 = 1000;

/// A cluster with what it has stored.
struct Stage {
    cluster: Cluster,
    jobs: BTreeMap<JobId, Arc<Job>>,
    counters: BTreeMap<String, u64>,
    seconds: i64,
}

fn config() -> ClusterConfig {
    ClusterConfig {
        nodes: vec![builders::node_config("n1", 4)],
        partitions: vec![Partition { default: true, ..builders::partition("main", 0..1) }],
        job_age_min: Span::from_seconds(2),
        ..ClusterConfig::default()
    }
}

fn spec(uid: u32) -> JobSpec {
    JobSpec { identity: builders::identity(uid), hold: true, ..builders::spec(ResourceRequest::default()) }
}

fn submit(uid: u32) -> Command {
    Command::Submit(Box::new(spec(uid)))
}

fn array(tasks: u32) -> Command {
    let tasks = TaskSet::from_indices(0..tasks);
    Command::Submit(Box::new(JobSpec { array: Some(ArraySpec { tasks, throttle: None }), ..spec(USER) }))
}

impl Stage {
    fn new() -> Stage {
        let cluster = Cluster::restore(config(), StoredState::default(), Timestamp(0), &mut Outcome::default());
        Stage { cluster, jobs: BTreeMap::new(), counters: BTreeMap::new(), seconds: 100_000 }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(self.seconds)
    }

    /// As after `kill -9`: everything but what was stored is gone.
    fn restart(&mut self) {
        let stored = StoredState {
            jobs: self.jobs.values().cloned().collect(),
            counters: self.counters.iter().map(|(name, value)| (name.clone(), *value)).collect(),
            ..StoredState::default()
        };
        let mut out = Outcome::default();
        self.cluster = Cluster::restore(config(), stored, self.now(), &mut out);
        self.keep(out.facts);
    }

    fn keep(&mut self, facts: Vec<Fact>) {
        for fact in facts {
            match fact {
                Fact::Job(job) => drop(self.jobs.insert(job.id, job)),
                Fact::JobForgotten(id) => drop(self.jobs.remove(&id)),
                Fact::Counter { name, value } => drop(self.counters.insert(name.to_owned(), value)),
                _ => {}
            }
        }
    }

    fn step(&mut self, at: Timestamp, event: Event) -> Vec<Effect> {
        let mut out = Outcome::default();
        self.cluster.step(at, event, &mut out);
        assert_eq!(invariants::check(&self.cluster), Vec::<String>::new());
        self.keep(out.facts);
        out.effects
    }

    fn wait(&mut self, seconds: i64) {
        self.seconds += seconds;
        while let Some(due) = self.cluster.next_timer().filter(|due| *due <= self.now()) {
            self.step(due, Event::Tick);
        }
    }

    /// Says it as user `uid` with a token: the number of the job, or why not.
    fn say(&mut self, uid: u32, token: u8, command: Command) -> Result<u32, String> {
        let (request, identity, token) = (RequestId(1), builders::identity(uid), SubmitToken([token; 16]));
        let event = Event::Submit { request, identity, token, command: Box::new(command) };
        let effects = self.step(self.now(), event);
        let replies = effects.into_iter().filter_map(|effect| match effect {
            Effect::Reply { result, .. } => Some(result),
            _ => None,
        });
        let [reply] = <[_; 1]>::try_from(replies.collect::<Vec<_>>()).expect("one reply");
        match reply {
            Ok(Answer::Submitted(job_id)) => Ok(job_id.0),
            Ok(other) => panic!("{other:?}"),
            Err(refusal) => Err(refusal.to_string()),
        }
    }

    fn cancel(&mut self, job: u32) {
        let target = JobTarget::job(JobId(job));
        let cancel = Cancel { target, signal: None, batch_only: false, full: false, states: Vec::new() };
        let command = Box::new(Command::Cancel(cancel));
        self.step(self.now(), Event::Command { request: RequestId(1), identity: builders::identity(USER), command });
    }

    fn in_memory(&self) -> Vec<u32> {
        self.cluster.read_view().jobs.keys().map(|id| id.0).collect()
    }
}

#[test]
fn a_submit_that_is_said_again_makes_no_other_job() {
    let mut stage = Stage::new();
    assert_eq!(stage.say(USER, 1, submit(USER)), Ok(1));
    assert_eq!(stage.say(USER, 1, submit(USER)), Ok(1));
    assert_eq!(stage.say(USER, 2, submit(USER)), Ok(2));
    // The token of one user is none of another.
    assert_eq!(stage.say(1001, 1, submit(1001)), Ok(3));
    assert_eq!(stage.say(1001, 1, submit(USER)), Err("Access/permission denied".to_owned()));
    // An operator may submit for others, and say that again.
    assert_eq!(stage.say(0, 3, submit(USER)), Ok(4));
    stage.restart();
    assert_eq!(stage.say(0, 3, submit(USER)), Ok(4));
    assert_eq!(stage.say(USER, 1, submit(USER)), Ok(1));
    assert_eq!(stage.say(1001, 1, submit(1001)), Ok(3));
    assert_eq!(stage.say(USER, 4, submit(USER)), Ok(5));
    assert_eq!(stage.in_memory(), [1, 2, 3, 4, 5]);
}

#[test]
fn a_refused_submit_is_judged_anew() {
    let mut stage = Stage::new();
    let elsewhere = JobSpec { partitions: vec!["none".into()], ..spec(USER) };
    assert!(stage.say(USER, 1, Command::Submit(Box::new(elsewhere))).is_err());
    assert_eq!(stage.say(USER, 1, submit(USER)), Ok(1));
}

#[test]
fn it_is_remembered_for_ten_minutes_whatever_becomes_of_the_job() {
    let mut stage = Stage::new();
    assert_eq!(stage.say(USER, 1, submit(USER)), Ok(1));
    stage.cancel(1);
    stage.wait(60);
    assert_eq!(stage.in_memory(), [0; 0], "MinJobAge is over");
    assert_eq!(stage.say(USER, 1, submit(USER)), Ok(1));
    stage.restart();
    assert_eq!(stage.say(USER, 1, submit(USER)), Ok(1));
    stage.wait(1);
    assert_eq!(stage.in_memory(), [0; 0], "it does not come back");
    stage.wait(500);
    assert_eq!(stage.say(USER, 1, submit(USER)), Ok(1));
    assert!(stage.jobs.contains_key(&JobId(1)));
    stage.wait(60);
    assert!(stage.jobs.is_empty(), "its row is history now");
    assert_eq!(stage.say(USER, 1, submit(USER)), Ok(2));
}

#[test]
fn of_arrays_and_heterogeneous_jobs_the_number_that_was_told_is_told_again() {
    let mut stage = Stage::new();
    assert_eq!(stage.say(USER, 1, array(3)), Ok(1));
    let tasks = TaskSet::from_indices([1]);
    let target = JobTarget { tasks: Some(tasks), ..JobTarget::job(JobId(1)) };
    let release = Event::Command {
        request: RequestId(1),
        identity: builders::identity(USER),
        command: Box::new(Command::Release(target)),
    };
    stage.step(stage.now(), release);
    assert_eq!(stage.in_memory(), [1, 2], "a task has a record of its own");
    let het = || Command::SubmitHet(vec![spec(USER), spec(USER)]);
    assert_eq!(stage.say(USER, 2, het()), Ok(3));
    stage.restart();
    assert_eq!(stage.say(USER, 1, array(3)), Ok(1));
    assert_eq!(stage.say(USER, 2, het()), Ok(3));
    assert_eq!(stage.in_memory(), [1, 2, 3, 4]);
    let tokens = stage.jobs.values().filter_map(|job| job.submit_token.map(|token| (job.id.0, token.to_string())));
    assert_eq!(tokens.collect::<Vec<_>>(), [(1, "01".repeat(16)), (3, "02".repeat(16))]);
}

/// The owner may release it, whoever has submitted it for him: real behaviour of `sbatch --uid`.
#[test]
fn a_job_that_root_submits_held_for_somebody_is_held_by_its_owner() {
    let mut stage = Stage::new();
    let id = stage.say(0, 1, submit(USER)).unwrap();
    assert_eq!(stage.jobs[&JobId(id)].hold, Some(Hold::User));
}
