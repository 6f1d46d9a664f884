//! Speed and quality of replays: `cargo run --release -p muster-replay --example bench [TRACE.swf]`.
//!
//! Speed is measured on a made-up workload, one core; quality on the trace, with a line for each policy.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use muster_model::time::Span;
use muster_replay::{
    Figures, Machine, Passes, Policy, Product, Schedule, Synthetic, Unit, Workload, make_synthetic, parse_swf,
    reference,
};

/// Jobs for all but FCFS.
const SOME: u32 = 10_000;
/// Processors and nodes of the machine for speed.
const CPUS: u32 = 4096;
const NODES: u32 = 64;
/// Passes over changes, and over everything once in ten minutes.
const CHANGES: Passes = Passes::Changes { full_every: Span::from_minutes(10) };

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let wanted = |jobs| Synthetic { jobs, cpus: CPUS, load_percent: 85, users: 100, seed: 1 };
    let many = make_synthetic(&wanted(2_000_000));
    let demands = many.demands(Unit::Processors);
    // tidy: a program of its own, not part of the crate
    let began = Instant::now();
    reference::run(Policy::Fcfs, &demands, CPUS, &mut |_| {});
    speed("fcfs, 2,000,000 jobs", demands.len(), began, "goal 1,000,000/s");
    let some = make_synthetic(&wanted(SOME));
    for policy in [Policy::Easy, Policy::SjfEasy, Policy::Conservative] {
        // tidy: a program of its own, not part of the crate
        let began = Instant::now();
        reference::run(policy, &some.demands(Unit::Processors), CPUS, &mut |_| {});
        speed(&format!("{policy}, {SOME} jobs"), some.jobs.len(), began, "");
    }
    for (nodes, passes, name) in [(1, Passes::Full, "full"), (NODES, Passes::Full, "full"), (NODES, CHANGES, "partial")]
    {
        let machine = Machine::of_size(nodes, CPUS, false)?;
        // tidy: a program of its own, not part of the crate
        let began = Instant::now();
        let product = Product::replay(&some, &machine, passes, &mut |_| {});
        let what = format!("muster, {SOME} jobs, {nodes} nodes, {} {name} passes", product.passes);
        speed(&what, some.jobs.len(), began, &format!("goal 16,667/s   decisions {:016x}", digest(&product.schedule)));
    }
    // tidy: a program of its own, not part of the crate
    let Some(path) = std::env::args().nth(1) else {
        return Ok(());
    };
    // tidy: a program of its own, not part of the crate
    let trace = std::fs::read(path)?;
    quality(&parse_swf(&String::from_utf8_lossy(&trace))?)
}

fn speed(what: &str, jobs: usize, began: Instant, goal: &str) {
    let rate = jobs as f64 / began.elapsed().as_secs_f64();
    println!("{what:<50} {rate:>14.0} jobs/s   {goal}");
}

/// A number that two builds have in common if they start the same jobs at the same times.
fn digest(schedule: &Schedule) -> u64 {
    let mut hasher = DefaultHasher::new();
    schedule.starts.iter().for_each(|start| start.map(|start| start.0).hash(&mut hasher));
    hasher.finish()
}

fn quality(workload: &Workload) -> Result<(), Box<dyn std::error::Error>> {
    let cpus = workload.cpus.unwrap_or_else(|| workload.cpus_max());
    println!("\npolicy            mean wait      longest  slowdown  bounded  utilisation  fairness      time  starts");
    let mut all = Vec::new();
    for policy in Policy::ALL {
        let sizes: &[u32] = if policy == Policy::Muster { &[1, workload.nodes.unwrap_or(1)] } else { &[1] };
        for nodes in sizes {
            // tidy: a program of its own, not part of the crate
            let began = Instant::now();
            let schedule = match reference::run(policy, &workload.demands(Unit::Processors), cpus, &mut |_| {}) {
                Some(schedule) => schedule,
                None => {
                    let machine = Machine::of_size(*nodes, cpus, false)?;
                    Product::replay(workload, &machine, Passes::Full, &mut |_| {}).schedule
                }
            };
            let took = began.elapsed().as_secs_f64();
            let figures = Figures::of(workload, &schedule, cpus);
            let name = if *nodes == 1 { policy.to_string() } else { format!("{policy}, {nodes} nodes") };
            println!(
                "{name:<18} {:>8.2} {:>12.0} {:>9.2} {:>8.3} {:>12.4} {:>9.4} {:>7.2} s  {:016x}",
                figures.wait_mean,
                figures.wait_max,
                figures.slowdown_mean,
                figures.bounded_slowdown_mean,
                figures.utilisation,
                figures.fairness,
                took,
                digest(&schedule)
            );
            all.push((policy, figures));
        }
    }
    goals(&all);
    Ok(())
}

/// Whether the planner is as good as it should be.
fn goals(all: &[(Policy, Figures)]) {
    let of = |wanted: Policy| all.iter().filter(move |(policy, _)| *policy == wanted).map(|(_, figures)| figures);
    let worst = |wanted, figure: fn(&Figures) -> f64| of(wanted).map(figure).fold(0.0, f64::max);
    let verdict = |ours: f64, theirs: f64| if ours <= theirs { "met" } else { "MISSED" };
    let (ours, easy) = (worst(Policy::Muster, bounded), worst(Policy::Easy, bounded));
    println!("\nmean bounded slowdown {ours:.3} at most EASY's {easy:.3}: {}", verdict(ours, easy));
    let (ours, fcfs) = (worst(Policy::Muster, longest), worst(Policy::Fcfs, longest));
    println!("longest wait {ours:.0} s at most twice FCFS's {fcfs:.0} s: {}", verdict(ours, 2.0 * fcfs));
}

fn bounded(figures: &Figures) -> f64 {
    figures.bounded_slowdown_mean
}

fn longest(figures: &Figures) -> f64 {
    figures.wait_max
}
