//! Seeds that must run without anything going wrong, and reproducibility itself.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use muster_sim::{Counts, Options, run};
use muster_testkit::cases;

/// Seeds run by every CI.
const SEEDS: u32 = 200;

#[test]
fn nothing_goes_wrong() {
    let wanted = u64::from(cases(SEEDS));
    let next = AtomicU64::new(0);
    let failures = Mutex::new(Vec::new());
    let all = Mutex::new(Counts::default());
    let workers = std::thread::available_parallelism().map_or(1, |count| count.get().min(8));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= wanted {
                        return;
                    }
                    let report = run(seed, &Options::default());
                    all.lock().unwrap().add(report.counts);
                    if let Some(failure) = report.failure {
                        let tail = report.trace.len().saturating_sub(40);
                        failures.lock().unwrap().push((seed, failure, report.trace[tail..].join("\n")));
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    for (seed, failure, trace) in failures.iter().take(3) {
        println!("{trace}\nseed {seed}: {failure}\nwhole trace: cargo run -p muster-sim -- --trace {seed}\n");
    }
    let counts = all.into_inner().unwrap();
    let seeds: Vec<u64> = failures.iter().map(|(seed, _, _)| *seed).collect();
    assert!(seeds.is_empty(), "seeds {seeds:?} fail; {counts:?}");
    // A simulation in which nothing happens finds nothing.
    let happened = [counts.submits, counts.units_ended, counts.steps_created, counts.controller_crashes];
    assert!(happened.iter().all(|count| *count > wanted), "too little happens: {counts:?}");
    assert!(counts.long_passes > wanted, "too few passes over everything are made beside others: {counts:?}");
    assert!(counts.starts_together > wanted / 2, "too few heterogeneous jobs start: {counts:?}");
    assert!(
        counts.agent_crashes > wanted && counts.machine_failures > wanted && counts.requeues > wanted,
        "{counts:?}"
    );
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let options = Options { trace: true, ..Options::default() };
    for seed in (0..u64::from(cases(2))).map(|number| 3 + 74 * number) {
        let (once, again) = (run(seed, &options), run(seed, &options));
        assert_eq!(once.trace, again.trace, "seed {seed}");
        assert_eq!(once, again);
        assert!(once.trace_count > 100);
    }
    assert_ne!(run(3, &options).trace_hash, run(4, &options).trace_hash);
}
