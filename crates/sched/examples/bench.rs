//! Times passes over large queues: `cargo run --release -p muster-sched --example bench [NODES PENDING SHAPES]`.
//!
//! `full`: all nodes are in use and everything waits; `three`: three quarters of them are; `empty`: nothing runs and the
//! pass fills the cluster. `+` is a second pass with warm caches, the starts and reasons of the first carried out: the
//! usual pass of a busy controller.

use std::time::Instant;

use muster_model::planning::{Plan, PlanView};
use muster_sched::{Budget, Planner};
use muster_testkit::load::{self, Load};

fn main() {
    // tidy: a program of its own, not part of the crate
    let arguments: Vec<u32> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let sizes = match arguments.as_slice() {
        [nodes, pending, shapes] => vec![(*nodes, *pending, *shapes)],
        _ => vec![(1_000, 100_000, 1_000), (10_000, 100_000, 1_000)],
    };
    println!("nodes pending shapes pass      ms starts waits planned");
    for (nodes, pending, shapes) in sizes {
        for (name, busy_percent) in [("full", 100), ("three", 75), ("empty", 0)] {
            let view = load::make(&Load { nodes, pending, shapes, busy_percent, seed: 1 });
            let mut planner = Planner::new();
            let label = format!("{nodes} {pending} {shapes} {name}");
            let plan = time(&label, &view, &mut planner);
            if name != "empty" {
                let rest = without_starts(&view, &plan);
                time(&format!("{label}+"), &rest, &mut planner);
            }
        }
    }
}

fn time(label: &str, view: &PlanView, planner: &mut Planner) -> Plan {
    // tidy: a program of its own, not part of the crate
    let begin = Instant::now();
    let plan = planner.plan(view, &Budget::default());
    let elapsed = begin.elapsed();
    let planned = plan.waits.iter().filter(|wait| wait.expected_start.is_some()).count();
    println!("{label} {:.1} {} {} {planned}", elapsed.as_secs_f64() * 1e3, plan.starts.len(), plan.waits.len());
    plan
}

/// The queue without the jobs that were started, and the reasons told.
fn without_starts(view: &PlanView, plan: &Plan) -> PlanView {
    let mut rest = view.clone();
    let started: std::collections::BTreeSet<_> = plan.starts.iter().map(|start| start.job_id).collect();
    let waits: std::collections::BTreeMap<_, _> = plan.waits.iter().map(|wait| (wait.job_id, wait)).collect();
    rest.queue = view
        .queue
        .iter()
        .filter(|(_, job)| !started.contains(&job.id))
        .map(|(key, job)| {
            let mut job = job.clone();
            if let Some(wait) = waits.get(&job.id) {
                let changed = std::sync::Arc::make_mut(&mut job);
                changed.reason = wait.reason;
                changed.reason_detail = wait.detail.clone();
                changed.start_time = wait.expected_start;
                changed.planned_nodes = wait.expected_nodes.clone();
            }
            (*key, job)
        })
        .collect();
    for start in &plan.starts {
        for share in &start.shares {
            if let Some(node) = rest.nodes.get_mut(share.node.0 as usize) {
                let node = std::sync::Arc::make_mut(node);
                let free = (0..node.config.hardware.cpus).filter(|cpu| !node.used.cpus.contains(*cpu));
                let chosen: Vec<u32> = free.take(share.cpus as usize).collect();
                chosen.into_iter().for_each(|cpu| node.used.cpus.insert(cpu));
                node.used.memory.0 += share.memory.0;
                node.used.gres.extend(share.gres.iter().cloned());
            }
        }
    }
    rest
}
