//! GPUs of several types, with the real scheduler over the real core: what one counts as given the other counts too.

use muster_core::{AgentReport, Cluster, Effect, Event, Outcome, RequestId};
use muster_model::config::ClusterConfig;
use muster_model::fact::StoredState;
use muster_model::ids::{Identity, Name, NodeIndex};
use muster_model::job::JobKind;
use muster_model::node::NodeReport;
use muster_model::partition::Partition;
use muster_model::request::Command;
use muster_model::resources::{Gres, GresRequest, GresScope, Megabytes, MemoryRequest, ResourceRequest};
use muster_model::time::Timestamp;
use muster_sched::{Budget, Planner};
use muster_testkit::builders;

fn gpus(kind: Option<&str>, count: u64) -> Gres {
    Gres { name: "gpu".into(), kind: kind.map(Name::from), count }
}

/// Two nodes with two GPUs of one type, and one with one of each.
fn config() -> ClusterConfig {
    let nodes =
        [vec![gpus(Some("a100"), 2)], vec![gpus(Some("a100"), 2)], vec![gpus(Some("a100"), 1), gpus(Some("h100"), 1)]];
    let node = |(number, gres): (u32, Vec<Gres>)| {
        let mut node = builders::node_config(&format!("n{number}"), 8);
        node.hardware.gres = gres;
        node
    };
    ClusterConfig {
        nodes: (1..).zip(nodes).map(node).collect(),
        partitions: vec![Partition { default: true, ..builders::partition("main", 0..3) }],
        gres_types: vec!["gpu".into()],
        ..ClusterConfig::default()
    }
}

struct Stage {
    cluster: Cluster,
    planner: Planner,
    seconds: i64,
}

impl Stage {
    fn new() -> Stage {
        let mut out = Outcome::default();
        let cluster = Cluster::restore(config(), StoredState::default(), Timestamp::from_seconds(1), &mut out);
        let mut stage = Stage { cluster, planner: Planner::new(), seconds: 1 };
        for node in (0..3).map(NodeIndex) {
            stage.step(Event::Agent(
                node,
                AgentReport::Connected {
                    hardware: None,
                    report: NodeReport::default(),
                    launch_sequence_seen: 0,
                    units: Vec::new(),
                    session: 1,
                },
            ));
        }
        stage
    }

    fn step(&mut self, event: Event) -> Outcome {
        self.seconds += 1;
        let mut out = Outcome::default();
        self.cluster.step(Timestamp::from_seconds(self.seconds), event, &mut out);
        assert_eq!(muster_core::invariants::check(&self.cluster), Vec::<String>::new());
        out
    }

    /// Submits a job for GPUs of its node and lets the scheduler look at it. What holds what afterwards.
    fn submit(&mut self, gres: Gres) -> String {
        let request = ResourceRequest {
            gres: vec![GresRequest { scope: GresScope::Node, gres }],
            memory: Some(MemoryRequest::PerNode(Megabytes(1))),
            ..ResourceRequest::default()
        };
        let mut spec = builders::spec(request);
        (spec.kind, spec.partitions) = (JobKind::Batch, vec!["main".into()]);
        let identity = Identity { uid: 1000, gid: 1000, user: "alice".into(), group: "alice".into() };
        let command = Box::new(Command::Submit(Box::new(spec)));
        let out = self.step(Event::Command { request: RequestId(1), identity, command });
        let replied = |effect: &Effect| matches!(effect, Effect::Reply { result: Ok(_), .. });
        assert!(out.effects.iter().any(replied), "refused");
        let view = self.cluster.plan_view(Timestamp::from_seconds(self.seconds + 1));
        let plan = self.planner.plan(&view, &Budget::default());
        self.step(Event::Plan(plan));
        let view = self.cluster.read_view();
        let held = |(number, node): (u32, &std::sync::Arc<muster_model::node::Node>)| {
            let of = |share: &muster_model::resources::GresShare| {
                format!("{}:{}", share.kind.as_deref().unwrap_or("-"), share.units)
            };
            let held: Vec<String> = node.used.gres.iter().map(of).collect();
            (!held.is_empty()).then(|| format!("n{number} {}", held.join(" ")))
        };
        (1..).zip(&view.nodes).filter_map(held).collect::<Vec<_>>().join(", ")
    }
}

#[test]
fn a_node_whose_gpus_of_a_type_are_given_is_passed_by() {
    let mut stage = Stage::new();
    assert_eq!(stage.submit(gpus(None, 2)), "n1 a100:0-1");
    assert_eq!(stage.submit(gpus(Some("a100"), 1)), "n1 a100:0-1, n2 a100:0");
    assert_eq!(stage.submit(gpus(None, 2)), "n1 a100:0-1, n2 a100:0, n3 a100:0 h100:1");
    assert_eq!(stage.submit(gpus(Some("a100"), 1)), "n1 a100:0-1, n2 a100:0-1, n3 a100:0 h100:1");
    // Nothing is left.
    assert_eq!(stage.submit(gpus(None, 1)), "n1 a100:0-1, n2 a100:0-1, n3 a100:0 h100:1");
}
