//! Figures that are known: a small trace of our own, worked out by hand, and a real one where it is there.

use std::path::PathBuf;

use muster_replay::{Figures, Machine, Passes, Policy, Product, Workload, parse_swf, reference};

/// Where `cargo xtask bench replay` puts the real trace, and the first step of CI where the network is there. It is not
/// ours to distribute.
const GAIA: &str = "traces/UniLu-Gaia-2014-2.swf";

fn figures(policy: Policy, workload: &Workload, cpus: u32) -> Figures {
    let schedule = reference::run(policy, &workload.demands(Default::default()), cpus, &mut |_| {}).unwrap();
    Figures::of(workload, &schedule, cpus)
}

fn starts(policy: Policy, workload: &Workload, cpus: u32) -> Vec<i64> {
    let schedule = match policy {
        Policy::Muster => {
            let machine = Machine::of_size(1, cpus, false).unwrap();
            Product::replay(workload, &machine, Passes::Full, &mut |_| {}).schedule
        }
        policy => reference::run(policy, &workload.demands(Default::default()), cpus, &mut |_| {}).unwrap(),
    };
    schedule.starts.iter().map(|start| start.unwrap().seconds()).collect()
}

/// Four processors. Job 1 holds three of them until 10, and could until 20. Job 2 wants all four. Jobs 3 and 4 want one:
/// 3 for 15 seconds, which ends before job 2 could need it, and 4 for 30, which does not. Job 5 is like 4, but shorter
/// than 4, so that SJF-EASY takes it first among those that wait. Job 6 comes when all is over.
const SMALL: &str = include_str!("small.swf");

#[test]
fn the_small_trace_is_as_worked_out_by_hand() {
    let workload = parse_swf(SMALL).unwrap();
    let check = |policy, expected: [i64; 6]| assert_eq!(starts(policy, &workload, 4), expected, "{policy}");
    check(Policy::Fcfs, [0, 10, 15, 15, 15, 100]);
    // Job 3 passes job 2, which then waits for it until 16.
    check(Policy::Easy, [0, 16, 1, 21, 21, 100]);
    check(Policy::Conservative, [0, 16, 1, 21, 21, 100]);
    check(Policy::SjfEasy, [0, 16, 1, 21, 21, 100]);
    check(Policy::Muster, [0, 16, 1, 21, 21, 100]);
}

#[test]
fn fifo_on_gaia_waits_as_long_as_in_other_programs() {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let own = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target"));
    let path = target.unwrap_or(own).join(GAIA);
    let Ok(bytes) = std::fs::read(&path) else {
        eprintln!("skipped: {} is not there; `cargo xtask bench replay` fetches it", path.display());
        return;
    };
    let workload = parse_swf(&String::from_utf8_lossy(&bytes)).unwrap();
    // Of the 51,987 records, 128 have no run time above zero.
    assert_eq!((workload.jobs.len(), workload.left_out, workload.cpus), (51_859, 128, Some(2004)));
    let figures = figures(Policy::Fcfs, &workload, 2004);
    assert_eq!(format!("{:.2} {:.2}", figures.wait_mean, figures.slowdown_mean), "445.96 3.12");
}
