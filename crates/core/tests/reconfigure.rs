//! The configuration is read again while jobs wait and run: what changes, what stays, and what is refused.
//!
//! Nodes `n1` and `n2` have 4 CPUs each and are up; partition `main` has both, `small` has `n1`. Job 1 runs in `small` on
//! `n1`, job 2 waits there, job 3 waits in `main`, and job 4 in `main` has ended.

use std::sync::Arc;

use muster_core::{AgentReport, Cluster, Effect, Event, NodeCommand, Outcome, RequestId};
use muster_model::config::{ClusterConfig, KeptPartitions};
use muster_model::fact::StoredState;
use muster_model::ids::{JobId, NodeIndex};
use muster_model::job::JobSpec;
use muster_model::node::NodeReport;
use muster_model::partition::{Partition, PartitionState};
use muster_model::planning::{Plan, PlannedShare, PlannedStart};
use muster_model::request::{Cancel, Command, JobTarget, NodeChanges, PartitionChanges};
use muster_model::resources::{Megabytes, ResourceRequest};
use muster_model::time::{Span, Timestamp};
use muster_testkit::builders;

fn config() -> ClusterConfig {
    ClusterConfig {
        nodes: vec![builders::node_config("n1", 4), builders::node_config("n2", 4)],
        partitions: vec![
            Partition { default: true, ..builders::partition("main", 0..2) },
            builders::partition("small", 0..1),
        ],
        ..ClusterConfig::default()
    }
}

struct Stage {
    cluster: Cluster,
    seconds: i64,
}

impl Stage {
    fn new() -> Stage {
        let mut out = Outcome::default();
        let cluster = Cluster::restore(config(), StoredState::default(), Timestamp::from_seconds(1), &mut out);
        let mut stage = Stage { cluster, seconds: 1 };
        for node in [NodeIndex(0), NodeIndex(1)] {
            stage.connect(node, 1);
        }
        for partition in ["small", "small", "main", "main"] {
            let spec = JobSpec { partitions: vec![partition.into()], ..builders::spec(ResourceRequest::default()) };
            stage.ask(0, Command::Submit(Box::new(spec)));
        }
        stage.start(1);
        let (target, states) = (JobTarget::job(JobId(4)), Vec::new());
        let cancel = Cancel { target, signal: None, batch_only: false, full: false, states };
        stage.ask(0, Command::Cancel(cancel));
        stage
    }

    fn step(&mut self, event: Event) -> Outcome {
        self.seconds += 1;
        let mut out = Outcome::default();
        self.cluster.step(Timestamp::from_seconds(self.seconds), event, &mut out);
        assert_eq!(muster_core::invariants::check(&self.cluster), Vec::<String>::new());
        out
    }

    fn connect(&mut self, node: NodeIndex, session: u64) -> String {
        let report = NodeReport::default();
        let units = Vec::new();
        let connected = AgentReport::Connected { session, hardware: None, report, launch_sequence_seen: 9, units };
        told(&self.step(Event::Agent(node, connected)))
    }

    /// The answer, and which nodes are told to read their configuration.
    fn ask(&mut self, uid: u32, command: Command) -> String {
        let (identity, command) = (builders::identity(uid), Box::new(command));
        let out = self.step(Event::Command { request: RequestId(1), identity, command });
        let reply = out.effects.iter().find_map(|effect| match effect {
            Effect::Reply { result: Ok(_), .. } => Some("ok".to_owned()),
            Effect::Reply { result: Err(refusal), .. } => Some(refusal.to_string()),
            _ => None,
        });
        format!("{}{}", reply.unwrap_or_default(), told(&out))
    }

    fn reconfigure(&mut self, config: ClusterConfig) -> String {
        self.ask(0, Command::Reconfigure { config: Some(Box::new(config)) })
    }

    fn start(&mut self, id: u32) {
        let view = self.cluster.read_view();
        let job = &view.jobs[&JobId(id)];
        let (cpu_set, memory, gres) = (None, Megabytes(0), Vec::new());
        let start = PlannedStart {
            suspends: Vec::new(),
            reservation: None,
            job_id: job.id,
            restart: job.restart,
            task_index: None,
            partition: job.partition.clone(),
            time_limit: None,
            together: Vec::new(),
            shares: vec![PlannedShare { node: NodeIndex(0), cpus: 1, cpu_set, memory, gres, tasks: 1 }],
        };
        self.step(Event::Plan(Plan { starts: vec![start], ..Plan::default() }));
    }

    fn jobs(&self) -> String {
        let view = self.cluster.read_view();
        let jobs = view.jobs.values().map(|job| format!("{}:{:?}", job.id, job.state));
        jobs.collect::<Vec<_>>().join(" ")
    }

    fn partitions(&self) -> String {
        let view = self.cluster.read_view();
        let rows = view.partitions.iter();
        rows.map(|row| format!("{}:{:?}/{}", row.name, row.state, row.priority_tier)).collect::<Vec<_>>().join(" ")
    }

    fn n1(&self) -> String {
        let view = self.cluster.read_view();
        let node = &view.nodes[0];
        let features: Vec<&str> = node.config.features.iter().map(|name| &**name).collect();
        let comment = node.comment.as_deref().unwrap_or("none");
        format!(
            "weight={} features={} comment={comment} used={}",
            node.config.weight,
            features.join(","),
            node.used.cpus
        )
    }
}

fn told(out: &Outcome) -> String {
    let nodes = out.effects.iter().filter_map(|effect| match effect {
        Effect::Send { node, command: NodeCommand::Reconfigure } => Some(format!(" n{}", node.0 + 1)),
        _ => None,
    });
    nodes.collect()
}

fn change_by_hand(stage: &mut Stage) {
    let changes = NodeChanges {
        weight: Some(7),
        features: Some(vec!["fast".into()]),
        comment: Some("mine".into()),
        ..NodeChanges::default()
    };
    assert_eq!(stage.ask(0, Command::UpdateNodes { nodes: "n1".into(), changes }), "ok");
    let changes =
        PartitionChanges { state: Some(PartitionState::Down), priority_tier: Some(5), ..PartitionChanges::default() };
    let command = Command::ChangePartition { name: "main".into(), changes: Box::new(changes), create: false };
    assert_eq!(stage.ask(0, command), "ok");
    let command = Command::ChangePartition { name: "new".into(), changes: Box::default(), create: true };
    assert_eq!(stage.ask(0, command), "ok");
}

#[test]
fn what_operators_have_changed_gives_way_to_the_file() {
    let mut stage = Stage::new();
    change_by_hand(&mut stage);
    assert_eq!(stage.n1(), "weight=7 features=fast comment=mine used=0");
    assert_eq!(stage.partitions(), "main:Down/5 small:Up/1 new:Up/1");
    assert_eq!(stage.reconfigure(config()), "ok n1 n2");
    assert_eq!(stage.n1(), "weight=1 features= comment=mine used=0");
    assert_eq!(stage.partitions(), "main:Up/1 small:Up/1");
    assert_eq!(stage.jobs(), "1:Running 2:Pending 3:Pending 4:Cancelled");
}

#[test]
fn reconfig_flags_keep_what_they_name() {
    for (kept_partitions, expected) in [
        (KeptPartitions::State, "main:Down/1 small:Up/1 more:Up/1"),
        (KeptPartitions::Whole, "main:Down/5 small:Up/1 more:Up/1 new:Up/1"),
    ] {
        let mut stage = Stage::new();
        change_by_hand(&mut stage);
        let mut with_more = ClusterConfig { kept_partitions, ..config() };
        with_more.partitions.push(builders::partition("more", 1..2));
        assert_eq!(stage.reconfigure(with_more), "ok n1 n2");
        assert_eq!(stage.partitions(), expected, "{kept_partitions:?}");
    }
}

#[test]
fn jobs_of_a_partition_that_is_gone_end() {
    let mut stage = Stage::new();
    let mut without = config();
    without.partitions.truncate(1);
    assert_eq!(stage.reconfigure(without), "ok n1 n2");
    assert_eq!(stage.jobs(), "1:NodeFail 2:NodeFail 3:Pending 4:Cancelled");
}

#[test]
fn other_nodes_and_other_people_are_refused() {
    let mut stage = Stage::new();
    let mut more = config();
    more.nodes.push(builders::node_config("n3", 4));
    assert_eq!(stage.reconfigure(more), "Unable to process configuration file");
    assert_eq!(stage.ask(1001, Command::Reconfigure { config: Some(Box::new(config())) }), "Invalid user id");
    assert_eq!(stage.ask(0, Command::Reconfigure { config: None }), "Requested operation not supported on this system");
    assert_eq!(stage.connect(NodeIndex(0), 2), "");
}

#[test]
fn a_node_that_was_away_reads_its_configuration_when_it_is_back() {
    let mut stage = Stage::new();
    stage.step(Event::Agent(NodeIndex(1), AgentReport::Disconnected { session: 1 }));
    assert_eq!(stage.reconfigure(config()), "ok n1");
    assert_eq!(stage.connect(NodeIndex(1), 2), " n2");
}

#[test]
fn ended_jobs_are_forgotten_by_the_new_age() {
    let mut stage = Stage::new();
    stage.reconfigure(ClusterConfig { job_age_min: Span::from_seconds(20), ..config() });
    for _ in 0..30 {
        stage.step(Event::Tick);
    }
    assert_eq!(stage.jobs(), "1:Running 2:Pending 3:Pending");
}

#[test]
fn silent_nodes_are_given_up_by_the_new_time_or_never() {
    for (timeout, expected) in [(5, "Down"), (0, "Up")] {
        let mut stage = Stage::new();
        stage.step(Event::Agent(NodeIndex(1), AgentReport::Disconnected { session: 1 }));
        stage.reconfigure(ClusterConfig { node_timeout: Span::from_seconds(timeout), ..config() });
        for _ in 0..400 {
            stage.step(Event::Tick);
        }
        let node = Arc::clone(&stage.cluster.read_view().nodes[1]);
        assert_eq!(format!("{:?}", node.health), expected, "{timeout}");
    }
}

#[test]
fn accounting_that_is_turned_on_has_what_it_begins_with() {
    let mut stage = Stage::new();
    assert!(stage.cluster.read_view().accounting.account_association("root").is_none());
    assert_eq!(stage.reconfigure(ClusterConfig { accounting: true, ..config() }), "ok n1 n2");
    assert!(stage.cluster.read_view().accounting.account_association("root").is_some());
}
