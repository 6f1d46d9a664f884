//! Deadlines: a job is given up when it can no longer end in time, and starts with what is left of its limit.

use muster_core::{Cluster, Event, Outcome, RequestId};
use muster_model::config::ClusterConfig;
use muster_model::fact::StoredState;
use muster_model::ids::JobId;
use muster_model::job::{JobKind, JobSpec};
use muster_model::partition::Partition;
use muster_model::request::{Command, JobTarget};
use muster_model::resources::ResourceRequest;
use muster_model::time::{TimeLimit, Timestamp};
use muster_testkit::builders;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn ask(cluster: &mut Cluster, seconds: i64, command: Command) {
    let event = Event::Command { request: RequestId(1), identity: builders::identity(0), command: Box::new(command) };
    cluster.step(at(seconds), event, &mut Outcome::default());
}

/// A job that is submitted at 0 to a cluster without nodes in service.
fn submitted(edit: impl FnOnce(&mut JobSpec)) -> Cluster {
    let config = ClusterConfig {
        nodes: vec![builders::node_config("n1", 4)],
        partitions: vec![Partition { default: true, ..builders::partition("main", 0..1) }],
        ..ClusterConfig::default()
    };
    let mut cluster = Cluster::restore(config, StoredState::default(), at(0), &mut Outcome::default());
    let mut spec = builders::spec(ResourceRequest::default());
    spec.kind = JobKind::Batch;
    spec.identity = builders::identity(0);
    spec.deadline = Some(at(600));
    edit(&mut spec);
    ask(&mut cluster, 0, Command::Submit(Box::new(spec)));
    cluster
}

/// The first second after `from` at which it is given up.
fn given_up(cluster: &mut Cluster, from: i64) -> Option<i64> {
    (from..1000).find(|seconds| {
        cluster.step(at(*seconds), Event::Tick, &mut Outcome::default());
        cluster.read_view().jobs[&JobId(1)].state.to_string() == "DEADLINE"
    })
}

fn minutes(minutes: i64) -> Option<TimeLimit> {
    Some(TimeLimit::from_minutes(minutes))
}

#[test]
fn a_job_is_given_up_when_it_cannot_end_in_time() {
    let mut with_limit = submitted(|spec| spec.time_limit = minutes(4));
    assert_eq!(given_up(&mut with_limit, 0), Some(361));
    let mut hopeless = submitted(|spec| spec.time_limit = minutes(40));
    assert_eq!(given_up(&mut hopeless, 0), Some(0));
    let mut with_least = submitted(|spec| (spec.time_limit, spec.time_limit_min) = (minutes(40), minutes(2)));
    assert_eq!(given_up(&mut with_least, 0), Some(481));
}

#[test]
fn one_that_is_held_is_given_up_at_the_deadline() {
    let held = |spec: &mut JobSpec| (spec.time_limit, spec.hold) = (minutes(4), true);
    assert_eq!(given_up(&mut submitted(held), 0), Some(601));
    let mut released = submitted(held);
    ask(&mut released, 500, Command::Release(JobTarget::job(JobId(1))));
    assert_eq!(given_up(&mut released, 500), Some(500));
}
