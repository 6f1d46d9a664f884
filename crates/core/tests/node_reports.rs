//! What agents tell of their machines, and what becomes of their nodes.

use muster_core::{AgentReport, Cluster, Event, Outcome};

use muster_model::config::ClusterConfig;
use muster_model::fact::{NodeRecord, StoredState};
use muster_model::ids::NodeIndex;
use muster_model::node::{GresPlace, Hardware, Node, NodeReport};
use muster_model::partition::Partition;
use muster_model::resources::{Gres, IndexSet};
use muster_model::time::Timestamp;
use muster_testkit::builders;

struct Stage {
    cluster: Cluster,
    seconds: i64,
}

impl Stage {
    /// A node that is said to have two GPUs; with `overrides` whatever it really has.
    fn new(overrides: bool) -> Stage {
        Stage::restore(Stage::config(overrides), StoredState::default())
    }

    fn config(overrides: bool) -> ClusterConfig {
        let mut node = builders::node_config("n1", 4);
        node.hardware.gres = gpus(2);
        ClusterConfig {
            nodes: vec![node],
            partitions: vec![Partition { default: true, ..builders::partition("main", 0..1) }],
            hardware_overrides: overrides,
            ..ClusterConfig::default()
        }
    }

    fn restore(config: ClusterConfig, stored: StoredState) -> Stage {
        let mut out = Outcome::default();
        let cluster = Cluster::restore(config, stored, Timestamp::from_seconds(1), &mut out);
        Stage { cluster, seconds: 1 }
    }

    fn tell(&mut self, report: AgentReport) {
        self.seconds += 1;
        let mut out = Outcome::default();
        let event = Event::Agent(NodeIndex(0), report);
        self.cluster.step(Timestamp::from_seconds(self.seconds), event, &mut out);
        assert_eq!(muster_core::invariants::check(&self.cluster), Vec::<String>::new());
    }

    fn connect(&mut self, hardware: Hardware) {
        let (report, units) = (NodeReport::default(), Vec::new());
        let hardware = Some(hardware);
        self.tell(AgentReport::Connected { session: 1, hardware, report, launch_sequence_seen: 0, units });
    }

    fn heartbeat(&mut self, fault: &str) {
        self.tell(AgentReport::Heartbeat(NodeReport { fault: fault.into(), ..NodeReport::default() }));
    }

    fn node(&self) -> Node {
        Node::clone(&self.cluster.read_view().nodes[0])
    }

    fn reason(&self) -> String {
        let node = self.node();
        let reason = node.reason.map_or_else(String::new, |reason| reason.text.to_string());
        format!("{} {reason}", node.drain)
    }
}

fn gpus(count: u64) -> Vec<Gres> {
    vec![Gres { name: "gpu".into(), kind: None, count }]
}

fn found(count: u64) -> Hardware {
    let place = |core| {
        let mut cores = IndexSet::default();
        cores.insert(core);
        GresPlace { name: "gpu".into(), count: 1, cores: Some(cores), gpu: None, links: Vec::new() }
    };
    let memory = builders::node_config("n1", 4).hardware.memory;
    Hardware {
        gres: gpus(count),
        places: (0..).take(count as usize).map(place).collect(),
        memory,
        ..Hardware::of_cpus(4)
    }
}

#[test]
fn units_are_where_the_machine_has_them() {
    let mut stage = Stage::new(false);
    stage.connect(found(2));
    assert_eq!(stage.reason(), "false ");
    assert_eq!(stage.node().config.hardware.places, found(2).places);
    // Of who says nothing of places the configuration is believed.
    stage.connect(Hardware { places: Vec::new(), ..found(2) });
    assert_eq!(stage.node().config.hardware.places, []);
}

#[test]
fn places_of_other_resources_stay_and_what_is_known_changes_nothing() {
    let nic = GresPlace { name: "nic".into(), count: 1, ..found(1).places[0].clone() };
    let own = GresPlace { count: 2, ..found(1).places[0].clone() };
    let config = |gpus_now: u64| {
        let mut config = Stage::config(false);
        let hardware = &mut config.nodes[0].hardware;
        hardware.gres = gpus(gpus_now);
        hardware.gres.push(Gres { name: "nic".into(), kind: None, count: 1 });
        hardware.gres.retain(|gres| gres.count > 0);
        hardware.places = vec![own.clone(), nic.clone()];
        config
    };
    let told = || Hardware { gres: config(2).nodes[0].hardware.gres.clone(), ..found(2) };
    let mut stage = Stage::restore(config(2), StoredState::default());
    stage.connect(told());
    let places = [found(2).places, vec![nic.clone()]].concat();
    assert_eq!(stage.node().config.hardware.places, places);
    // The same again, also to the next controller, is nothing to build plans anew for.
    let record = NodeRecord::of(&stage.node());
    let stored = || StoredState { nodes: vec![("n1".into(), record.clone())], ..StoredState::default() };
    let mut stage = Stage::restore(config(2), stored());
    let before = stage.node().config;
    stage.connect(told());
    assert!(std::sync::Arc::ptr_eq(&before, &stage.node().config));
    assert_eq!(before.hardware.places, places);
    // The configuration has no such resource any more.
    assert_eq!(Stage::restore(config(0), stored()).node().config.hardware.places, [own.clone(), nic.clone()]);
}

#[test]
fn a_node_with_fewer_units_is_drained() {
    let reason = "true gres/gpu count reported lower than configured (1 < 2)";
    let mut stage = Stage::new(false);
    stage.connect(found(1));
    assert_eq!(stage.reason(), reason);
    // As in Slurm: config_overrides does not stand for GPUs. CPUs that are not there are.
    let mut stage = Stage::new(true);
    stage.connect(Hardware { cpus: 1, ..found(1) });
    assert_eq!(stage.reason(), reason);
    let mut stage = Stage::new(true);
    stage.connect(Hardware { cpus: 1, ..found(2) });
    assert_eq!(stage.reason(), "false ");
    // An agent that is to tell nothing else of its machine.
    let mut stage = Stage::new(false);
    stage.connect(Hardware { gres: gpus(2), ..Hardware::of_cpus(0) });
    assert_eq!(stage.reason(), "false ");
    stage.connect(Hardware { gres: gpus(1), ..Hardware::of_cpus(0) });
    assert_eq!(stage.reason(), reason);
}

#[test]
fn a_node_on_which_something_breaks_is_drained() {
    let mut stage = Stage::new(false);
    stage.connect(found(2));
    stage.heartbeat("");
    assert_eq!(stage.reason(), "false ");
    let fault = "gres/gpu count reported lower than configured (1 < 2): /dev/nvidia1 lost";
    stage.heartbeat(fault);
    stage.heartbeat("");
    assert_eq!(stage.reason(), format!("true {fault}"), "it stays so until an operator resumes it");
}
