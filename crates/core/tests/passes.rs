//! What is over by itself asks for a pass: nothing else tells the scheduler that it may decide otherwise now.

use muster_core::{AgentReport, Cluster, Event, Outcome, RequestId};
use muster_model::config::ClusterConfig;
use muster_model::fact::StoredState;
use muster_model::ids::{JobId, NodeIndex};
use muster_model::job::{Job, JobKind, JobSpec};
use muster_model::node::NodeReport;
use muster_model::partition::Partition;
use muster_model::planning::{Plan, PlannedShare, PlannedStart};
use muster_model::preemption::{PreemptType, PreemptionConfig};
use muster_model::request::Command;
use muster_model::resources::{Megabytes, ResourceRequest, SwitchLimit};
use muster_model::time::{Span, Timestamp};
use muster_testkit::builders;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

/// A cluster with a job that is submitted at 0.
fn submitted(preemption: PreemptionConfig, edit: impl FnOnce(&mut JobSpec)) -> Cluster {
    let config = ClusterConfig {
        nodes: vec![builders::node_config("n1", 4)],
        partitions: vec![Partition { default: true, ..builders::partition("main", 0..1) }],
        preemption,
        ..ClusterConfig::default()
    };
    let mut cluster = Cluster::restore(config, StoredState::default(), at(0), &mut Outcome::default());
    let report = NodeReport::default();
    let connected =
        AgentReport::Connected { hardware: None, report, launch_sequence_seen: 0, units: Vec::new(), session: 1 };
    cluster.step(at(0), Event::Agent(NodeIndex(0), connected), &mut Outcome::default());
    let mut spec = builders::spec(ResourceRequest::default());
    spec.kind = JobKind::Batch;
    spec.identity = builders::identity(0);
    edit(&mut spec);
    let command = Box::new(Command::Submit(Box::new(spec)));
    let event = Event::Command { request: RequestId(1), identity: builders::identity(0), command };
    cluster.step(at(0), event, &mut Outcome::default());
    cluster
}

/// The first second after 0 at which a pass is asked for, though nothing happens.
fn pass_asked(cluster: &mut Cluster) -> Option<i64> {
    (1..1000).find(|seconds| {
        let mut out = Outcome::default();
        cluster.step(at(*seconds), Event::Tick, &mut out);
        out.plan_needed
    })
}

#[test]
fn a_pass_is_made_when_a_job_does_not_insist_on_few_switches_any_more() {
    let with_switches = |seconds: Option<i64>| {
        let limit = SwitchLimit { count: 1, wait: seconds.map(Span::from_seconds) };
        let edit = move |spec: &mut JobSpec| spec.request.preference.switches = Some(limit);
        pass_asked(&mut submitted(PreemptionConfig::default(), edit))
    };
    assert_eq!(with_switches(Some(60)), Some(60));
    assert_eq!(with_switches(None), Some(300), "as long as max_switch_wait");
    assert_eq!(pass_asked(&mut submitted(PreemptionConfig::default(), |_| {})), None);
}

#[test]
fn a_pass_is_made_when_a_running_job_may_be_told_to_make_room() {
    let started = |exempt_time: Span| {
        let preemption = PreemptionConfig { kind: PreemptType::Qos, exempt_time, ..PreemptionConfig::default() };
        let mut cluster = submitted(preemption, |_| {});
        let row: Job = (*cluster.read_view().jobs[&JobId(1)]).clone();
        let share = PlannedShare {
            node: NodeIndex(0),
            cpus: 1,
            cpu_set: None,
            memory: Megabytes(0),
            gres: Vec::new(),
            tasks: 1,
        };
        let start = PlannedStart {
            suspends: Vec::new(),
            job_id: row.id,
            restart: row.restart,
            task_index: None,
            partition: "main".into(),
            reservation: None,
            time_limit: None,
            shares: vec![share],
            together: Vec::new(),
        };
        cluster.step(at(0), Event::Plan(Plan { starts: vec![start], ..Plan::default() }), &mut Outcome::default());
        assert_eq!(cluster.read_view().jobs[&JobId(1)].state.to_string(), "RUNNING");
        pass_asked(&mut cluster)
    };
    assert_eq!(started(Span::from_seconds(15)), Some(15));
    assert_eq!(started(Span::ZERO), None);
}
