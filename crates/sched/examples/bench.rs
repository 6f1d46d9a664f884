//! Times passes over large queues: `cargo run --release -p muster-sched --example bench [NODES PENDING SHAPES] [CASE]`.
//!
//! `full`: all nodes are in use and everything waits; `three`: three quarters of them are; `empty`: nothing runs and the
//! pass fills the cluster. `+` is a second pass with warm tables, the starts of the first carried out: the usual pass of a
//! busy controller. `explain` asks why a job near the front and one in the middle wait. `one ends` is a pass over what has changed after one running job has ended.
//! `decisions` is a number that two builds have in common if they decide the same.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use muster_model::planning::{Plan, PlanView};
use muster_sched::{Budget, Planner};
use muster_testkit::load::{self, Load};

/// Jobs that end one after the other to be timed.
const ENDS: usize = 20;

fn main() {
    // tidy: a program of its own, not part of the crate
    let arguments: Vec<u32> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let sizes = match arguments.as_slice() {
        [nodes, pending, shapes] => vec![(*nodes, *pending, *shapes)],
        _ => vec![(1_000, 100_000, 1_000), (10_000, 100_000, 1_000)],
    };
    // tidy: a program of its own, not part of the crate
    let only = std::env::args().skip(1).find(|argument| argument.parse::<u32>().is_err());
    println!("nodes pending shapes pass      ms starts waits planned forecast decisions");
    for (nodes, pending, shapes) in sizes {
        for (name, busy_percent) in [("full", 100), ("three", 75), ("empty", 0)] {
            if only.as_ref().is_some_and(|only| only != name) {
                continue;
            }
            let view = load::make(&Load { nodes, pending, shapes, busy_percent, seed: 1 });
            let mut planner = Planner::new();
            let label = format!("{nodes} {pending} {shapes} {name}");
            let plan = time(&label, || planner.plan(&view, &Budget::default()));
            let mut rest = load::carry_out(&view, &plan);
            if name != "empty" {
                time(&format!("{label}+"), || planner.plan(&rest, &Budget::default()));
                time_ends(&label, &mut rest, &mut planner);
                time_explanations(&label, &rest, &mut planner);
            }
        }
    }
}

fn time_ends(label: &str, view: &mut PlanView, planner: &mut Planner) {
    let mut all = Vec::new();
    let mut starts = 0;
    let mut decisions = 0;
    for _ in 0..ENDS {
        load::end_first(view);
        // tidy: a program of its own, not part of the crate
        let begin = Instant::now();
        let plan = planner.plan_changes(view, &Budget::default());
        all.push(begin.elapsed().as_secs_f64() * 1e3);
        assert!(plan.is_partial, "the pass began anew");
        starts += plan.starts.len();
        decisions ^= digest(&plan).rotate_left(starts as u32);
        *view = load::carry_out(view, &plan);
    }
    all.sort_by(f64::total_cmp);
    let (median, worst) = (all[all.len() / 2], all[all.len() - 1]);
    println!("{label} one ends: median {median:.2} worst {worst:.2} ms, {starts} starts, decisions {decisions:016x}");
}

fn time_explanations(label: &str, view: &PlanView, planner: &mut Planner) {
    let mut view = view.clone();
    view.outlook = planner.plan(&view, &Budget::default()).outlook;
    let view = &view;
    let jobs: Vec<_> = view.queue.values().map(|job| job.id).collect();
    for position in [10, jobs.len() / 2] {
        // tidy: a program of its own, not part of the crate
        let begin = Instant::now();
        let found = planner.explain(view, &Budget::default(), jobs[position]);
        let took = begin.elapsed().as_secs_f64() * 1e3;
        println!("{label} explain number {position}: {took:.1} ms, {}", found.is_some());
    }
}

fn time(label: &str, plan: impl FnOnce() -> Plan) -> Plan {
    // tidy: a program of its own, not part of the crate
    let begin = Instant::now();
    let plan = plan();
    let elapsed = begin.elapsed();
    let count = |is_forecast| {
        plan.outlook.iter().filter(|wait| wait.expected_start.is_some() && wait.is_forecast == is_forecast).count()
    };
    println!(
        "{label} {:.1} {} {} {} {} {:016x}",
        elapsed.as_secs_f64() * 1e3,
        plan.starts.len(),
        plan.outlook.iter().count(),
        count(false),
        count(true),
        digest(&plan)
    );
    plan
}

/// A number that two builds have in common if they decide the same.
fn digest(plan: &Plan) -> u64 {
    let mut hasher = DefaultHasher::new();
    for start in &plan.starts {
        format!("{start:?}").hash(&mut hasher);
    }
    for wait in plan.outlook.iter() {
        format!("{wait:?}").hash(&mut hasher);
    }
    hasher.finish()
}
