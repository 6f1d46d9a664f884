//! Four nodes in several states.

use std::sync::Arc;

use muster_model::ids::Name;
use muster_model::node::{Node, NodeReason};
use muster_model::partition::PartitionState;
use muster_model::resources::{IndexSet, Megabytes};

use super::scenes::{Scene, at, node, partitions};

fn scene(nodes: Vec<Node>, small_is_down: bool) -> Scene {
    let mut partitions = partitions();
    if small_is_down {
        Arc::make_mut(&mut partitions[2]).state = PartitionState::Down;
    }
    Scene { nodes: nodes.into_iter().map(Arc::new).collect(), partitions, ..Scene::default() }
}

fn using(number: u32, cpus: u32) -> Node {
    let mut node = node(number);
    node.used.cpus = IndexSet::first_n(cpus);
    node.used.jobs_running = u32::from(cpus > 0);
    node
}

fn draining(mut node: Node, reason: &str, time: &str) -> Node {
    node.drain = true;
    node.reason = Some(NodeReason { text: reason.into(), user: Name::from("root"), uid: 0, time: at(time) });
    node
}

fn telling(mut node: Node, load: u32, free: u64) -> Node {
    node.report.load_hundredths = load;
    node.report.memory_free = Megabytes(free);
    node
}

/// Nothing runs.
pub fn idle() -> Scene {
    scene((1..=4).map(node).collect(), false)
}

/// All but n1 work; the partition `small` is down.
pub fn mixed() -> Scene {
    scene(vec![using(1, 0), using(2, 2), using(3, 8), using(4, 1)], true)
}

/// n1 and n2 are drained, n3 works.
pub fn drained() -> Scene {
    let n1 = draining(using(1, 0), "disk broken; call bob", "07:56:05");
    let n2 = draining(using(2, 0), "x", "07:56:05");
    scene(vec![n1, n2, using(3, 5), using(4, 0)], true)
}

/// n1 is idle, n2 drained, n3 full, n4 works.
pub fn partly() -> Scene {
    let n1 = telling(using(1, 0), 47, 23_670);
    let n2 = telling(draining(using(2, 0), "maint", "07:59:07"), 44, 23_694);
    let n3 = telling(using(3, 16), 47, 23_670);
    let n4 = telling(using(4, 2), 41, 23_708);
    scene(vec![n1, n2, n3, n4], false)
}

/// A planned start has n1, which is full, and n2, which is idle.
pub fn planned() -> Scene {
    let of_plan = |node: Node| Node { planned: true, ..node };
    scene(vec![of_plan(using(1, 16)), of_plan(using(2, 0)), using(3, 0), using(4, 0)], false)
}
