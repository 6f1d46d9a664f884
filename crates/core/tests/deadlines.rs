//! Deadlines: a job is given up when it can no longer end in time, and starts with what is left of its limit.

use muster_core::{Cluster, Effect, Event, Outcome, RequestId};
use muster_model::config::ClusterConfig;
use muster_model::fact::StoredState;
use muster_model::ids::JobId;
use muster_model::job::{JobKind, JobSpec};
use muster_model::partition::Partition;
use muster_model::request::{Answer, Command, JobChanges, JobTarget, Refusal};
use muster_model::resources::ResourceRequest;
use muster_model::time::{TimeLimit, Timestamp};
use muster_testkit::builders;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn ask(cluster: &mut Cluster, seconds: i64, command: Command) {
    answer(cluster, seconds, command).unwrap_or_else(|refusal| panic!("refused: {refusal:?}"));
}

fn answer(cluster: &mut Cluster, seconds: i64, command: Command) -> Result<Answer, Refusal> {
    let event = Event::Command { request: RequestId(1), identity: builders::identity(0), command: Box::new(command) };
    let mut out = Outcome::default();
    cluster.step(at(seconds), event, &mut out);
    let reply = out.effects.into_iter().find_map(|effect| match effect {
        Effect::Reply { result, .. } => Some(result),
        _ => None,
    });
    reply.expect("a reply")
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

/// What a submit of a job to partitions with a longest and, where there is one, a usual time comes to: its limit and its least time.
fn admitted(default: Option<i64>, most: TimeLimit, edit: impl FnOnce(&mut JobSpec)) -> String {
    let partition = builders::partition("main", 0..1);
    let partition = Partition { default: true, time_default: default.and_then(minutes), time_max: most, ..partition };
    let config = ClusterConfig {
        nodes: vec![builders::node_config("n1", 4)],
        partitions: vec![partition],
        ..ClusterConfig::default()
    };
    let mut cluster = Cluster::restore(config, StoredState::default(), at(0), &mut Outcome::default());
    let mut spec = builders::spec(ResourceRequest::default());
    spec.identity = builders::identity(0);
    edit(&mut spec);
    match answer(&mut cluster, 0, Command::Submit(Box::new(spec))) {
        Err(refusal) => refusal.code.text().to_owned(),
        Ok(_) => times(&cluster),
    }
}

fn times(cluster: &Cluster) -> String {
    let job = cluster.read_view().jobs[&JobId(1)].clone();
    let least = job.spec.time_limit_min.map_or("N/A".to_owned(), |least| least.to_string());
    format!("{} {least}", job.time_limit)
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

/// As Slurm 22.05 answered on such partitions at second 0.
#[test]
fn the_least_time_fits_into_limit_and_deadline() {
    const INVALID: &str = "Invalid time-min specification (exceeds job's time or other limits)";
    let hour = TimeLimit::from_minutes(60);
    let without = TimeLimit::Unlimited;
    // Minutes: usual time of the partition, limit, least time, deadline.
    let check = |(default, most), (limit, least, deadline): (Option<i64>, Option<i64>, Option<i64>), expected: &str| {
        let found = admitted(default, most, |spec| {
            spec.time_limit = limit.and_then(minutes);
            spec.time_limit_min = least.and_then(minutes);
            spec.deadline = deadline.map(|minutes| at(minutes * 60));
        });
        assert_eq!(found, expected, "{default:?} {most} {limit:?} {least:?} {deadline:?}");
    };
    check((None, without), (None, Some(11), Some(10)), INVALID);
    check((None, without), (None, Some(10), Some(10)), "UNLIMITED 00:10:00");
    check((None, without), (Some(20), Some(11), Some(10)), INVALID);
    check((None, without), (Some(20), Some(9), Some(10)), "00:20:00 00:09:00");
    check((None, without), (Some(11), None, Some(10)), "00:11:00 N/A");
    check((None, without), (None, Some(61), None), "UNLIMITED 01:01:00");
    check((None, without), (Some(60), Some(61), None), INVALID);
    check((None, hour), (None, Some(61), None), INVALID);
    check((None, hour), (None, Some(60), None), "01:00:00 01:00:00");
    check((None, hour), (Some(62), Some(61), None), INVALID);
    check((Some(10), hour), (None, Some(11), None), INVALID);
    check((Some(10), hour), (Some(20), Some(11), None), "00:20:00 00:11:00");
    check((None, hour), (None, None, Some(10)), "01:00:00 00:01:00");
    check((Some(10), hour), (None, None, Some(10)), "00:10:00 N/A");
    assert_eq!(admitted(None, hour, |spec| spec.time_limit_min = Some(TimeLimit::Unlimited)), INVALID);
}

#[test]
fn a_change_keeps_the_least_time_within_the_limit() {
    let mut cluster = submitted(|spec| (spec.time_limit, spec.hold) = (minutes(30), true));
    let mut change = |limit: Option<i64>, least: Option<i64>, expected: &str| {
        let changes = JobChanges {
            time_limit: limit.and_then(minutes),
            time_limit_min: least.and_then(minutes),
            ..JobChanges::default()
        };
        let command = Command::UpdateJob { target: JobTarget::job(JobId(1)), changes: Box::new(changes) };
        let found = match answer(&mut cluster, 0, command) {
            Err(_) => "refused".to_owned(),
            Ok(_) => times(&cluster),
        };
        assert_eq!(found, expected, "{limit:?} {least:?}");
    };
    change(None, Some(31), "refused");
    change(None, Some(30), "00:30:00 00:30:00");
    change(Some(20), None, "refused");
    change(Some(20), Some(15), "00:20:00 00:15:00");
    change(None, Some(0), "00:20:00 N/A");
}
