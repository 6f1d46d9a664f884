//! Dependencies on jobs that nobody knows: kept while the job is held, satisfied as soon as it could run.

use muster_core::{Cluster, Effect, Event, Outcome, RequestId};
use muster_model::array::{ArraySpec, TaskSet};
use muster_model::config::ClusterConfig;
use muster_model::dependency::{Dependencies, Dependency, DependencyKind, DependencyState};
use muster_model::fact::StoredState;
use muster_model::ids::JobId;
use muster_model::job::JobKind;
use muster_model::partition::Partition;
use muster_model::request::{Cancel, Command, JobTarget};
use muster_model::resources::ResourceRequest;
use muster_model::time::Timestamp;
use muster_testkit::builders;

fn ask(cluster: &mut Cluster, seconds: i64, command: Command) {
    let event = Event::Command { request: RequestId(1), identity: builders::identity(0), command: Box::new(command) };
    let mut out = Outcome::default();
    cluster.step(Timestamp::from_seconds(seconds), event, &mut out);
    let refused = out.effects.iter().any(|effect| matches!(effect, Effect::Reply { result: Err(_), .. }));
    assert!(!refused && muster_core::invariants::check(cluster).is_empty());
}

/// Dependencies and reason of the only job.
fn shown(cluster: &Cluster) -> String {
    let view = cluster.read_view();
    let job = view.jobs.get(&JobId(1)).unwrap();
    format!("[{}] {}", job.dependencies, job.reason)
}

fn submitted(hold: bool) -> Cluster {
    let config = ClusterConfig {
        nodes: vec![builders::node_config("n1", 4)],
        partitions: vec![Partition { default: true, ..builders::partition("main", 0..1) }],
        ..ClusterConfig::default()
    };
    let mut cluster =
        Cluster::restore(config, StoredState::default(), Timestamp::from_seconds(1), &mut Outcome::default());
    let mut spec = builders::spec(ResourceRequest::default());
    spec.kind = JobKind::Batch;
    spec.identity = builders::identity(0);
    spec.hold = hold;
    let unknown = Dependency {
        kind: DependencyKind::AfterOk,
        job: Some(JobId(999_999)),
        task_index: None,
        delay_minutes: 0,
        of_array: false,
        state: DependencyState::Unfulfilled,
    };
    spec.dependencies = Dependencies { all: vec![unknown], any_is_enough: false };
    ask(&mut cluster, 2, Command::Submit(Box::new(spec)));
    cluster
}

#[test]
fn a_held_job_keeps_what_it_waits_for() {
    let mut cluster = submitted(true);
    assert_eq!(shown(&cluster), "[afterok:999999(unfulfilled)] JobHeldUser");
    ask(&mut cluster, 3, Command::Release(JobTarget::job(JobId(1))));
    assert_eq!(shown(&cluster), "[] None");
}

#[test]
fn a_whole_array_is_shown_with_a_star() {
    let mut cluster = submitted(true);
    let mut array = builders::spec(ResourceRequest::default());
    (array.kind, array.identity) = (JobKind::Batch, builders::identity(0));
    array.array = Some(ArraySpec { tasks: TaskSet::parse("1-2", 10).unwrap(), throttle: None });
    ask(&mut cluster, 3, Command::Submit(Box::new(array)));
    let on = |task_index| Dependency {
        kind: DependencyKind::AfterAny,
        job: Some(JobId(2)),
        task_index,
        delay_minutes: 0,
        of_array: false,
        state: DependencyState::Unfulfilled,
    };
    let mut spec = builders::spec(ResourceRequest::default());
    (spec.kind, spec.identity) = (JobKind::Batch, builders::identity(0));
    spec.dependencies.all = vec![on(None), on(Some(2))];
    ask(&mut cluster, 4, Command::Submit(Box::new(spec)));
    let view = cluster.read_view();
    let shown = view.jobs.get(&JobId(3)).unwrap().dependencies.to_string();
    assert_eq!(shown, "afterany:2_*(unfulfilled),afterany:2_2(unfulfilled)");
}

#[test]
fn an_unknown_job_keeps_nobody_waiting() {
    assert_eq!(shown(&submitted(false)), "[] None");
}

/// State and reason of a job.
fn state(cluster: &Cluster, id: u32) -> String {
    let view = cluster.read_view();
    let job = &view.jobs[&JobId(id)];
    format!("{} {}", job.state, job.reason)
}

#[test]
fn who_waits_for_what_has_failed_already_is_cancelled_at_once() {
    for (hold, kill, expected) in [
        (false, Some(true), "CANCELLED DependencyNeverSatisfied"),
        (false, None, "PENDING DependencyNeverSatisfied"),
        (true, Some(true), "PENDING JobHeldUser"),
    ] {
        let mut cluster = submitted(false);
        let target = JobTarget::job(JobId(1));
        let cancel = Cancel { target, signal: None, batch_only: false, full: false, states: Vec::new() };
        ask(&mut cluster, 3, Command::Cancel(cancel));
        let mut spec = builders::spec(ResourceRequest::default());
        (spec.kind, spec.identity, spec.hold) = (JobKind::Batch, builders::identity(0), hold);
        spec.kill_on_invalid_dependency = kill;
        spec.dependencies.all.push(Dependency {
            kind: DependencyKind::AfterOk,
            job: Some(JobId(1)),
            task_index: None,
            delay_minutes: 0,
            of_array: false,
            state: DependencyState::Unfulfilled,
        });
        ask(&mut cluster, 4, Command::Submit(Box::new(spec)));
        assert_eq!(state(&cluster, 2), expected);
        if hold {
            ask(&mut cluster, 5, Command::Release(JobTarget::job(JobId(2))));
            assert_eq!(state(&cluster, 2), "CANCELLED DependencyNeverSatisfied");
        }
    }
}
