//! What must hold of any workload: each job starts once and not before it comes, no more is given than there is, promises
//! are kept, and the same workload gives the same schedule.

use std::collections::BTreeMap;

use muster_model::time::{Span, Timestamp};
use muster_replay::reference::{self, Note};
use muster_replay::{
    Demand, Machine, Passes, Policy, Product, Schedule, Submission, Synthetic, Unit, Workload, make_synthetic,
};
use muster_testkit::cases;
use proptest::prelude::*;

const REFERENCES: [Policy; 4] = [Policy::Fcfs, Policy::Easy, Policy::Conservative, Policy::SjfEasy];

/// Small workloads in which jobs meet: few processors, times that are often equal, limits at and above run times.
fn workloads() -> impl Strategy<Value = (Workload, u32)> {
    let job = (0..40_i64, 1..30_i64, 0..3_i64, 1..=8_u32, 0..3_u32);
    (proptest::collection::vec(job, 1..40), 8..=12_u32).prop_map(|(jobs, cpus)| {
        let mut jobs: Vec<Submission> = (1..)
            .zip(jobs)
            .map(|(number, (submit, run, slack, size, user))| Submission {
                number,
                submit: Timestamp::from_seconds(submit),
                run: Span::from_seconds(run),
                limit: Span::from_seconds(run + slack * 10),
                cpus: size,
                user: 1000 + user,
                priority: 1,
                partition: None,
                spec: None,
            })
            .collect();
        jobs.sort_by_key(|job| job.submit);
        (Workload { jobs, ..Workload::default() }, cpus)
    })
}

/// Each job starts, not before it comes, and no more than `units` are held at any time.
fn check_schedule(jobs: &[Demand], schedule: &Schedule, units: u32) {
    assert_eq!(schedule.starts.len(), jobs.len());
    let mut changes: BTreeMap<(i64, bool), i64> = BTreeMap::new();
    for (job, start) in jobs.iter().zip(&schedule.starts) {
        let start = start.expect("each job fits on the idle machine").0;
        assert!(start >= job.submit, "{job:?} starts at {start}");
        // What ends at a moment is free for what starts then.
        *changes.entry((start, true)).or_default() += i64::from(job.size);
        *changes.entry((start + job.run, false)).or_default() -= i64::from(job.size);
    }
    let mut held = 0;
    for ((at, _), change) in changes {
        held += change;
        assert!(held <= i64::from(units), "{held} of {units} units are held at {at}");
    }
}

fn replay(policy: Policy, jobs: &[Demand], units: u32) -> (Schedule, Vec<Note>) {
    let mut notes = Vec::new();
    let schedule = reference::run(policy, jobs, units, &mut |note| notes.push(note)).expect("a reference policy");
    (schedule, notes)
}

/// When each job was first promised to start at the latest; later promises may only be earlier.
fn check_promises(notes: &[Note]) {
    let mut promised: BTreeMap<usize, i64> = BTreeMap::new();
    for note in notes {
        match *note {
            Note::Promised { job, at } => {
                let before = *promised.entry(job).or_insert(at);
                assert!(at <= before, "job {job} was promised {before}, then {at}");
                promised.insert(job, at);
            }
            Note::Started { job, at } => {
                let latest = promised.get(&job).copied().unwrap_or(i64::MAX);
                assert!(at <= latest, "job {job} was promised {latest} and started at {at}");
            }
        }
    }
}

fn product(workload: &Workload, machine: &Machine) -> Product {
    Product::replay(workload, machine, Passes::Full, &mut |_| {})
}

/// Passes over changes for most of a small workload.
const CHANGES: Passes = Passes::Changes { full_every: Span::from_seconds(30) };

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases(200)) })]

    #[test]
    fn references_start_each_job_once_within_capacity((workload, cpus) in workloads()) {
        let jobs = workload.demands(Unit::Processors);
        for policy in REFERENCES {
            let (schedule, notes) = replay(policy, &jobs, cpus);
            check_schedule(&jobs, &schedule, cpus);
            let mut started: Vec<usize> =
                notes.iter().filter_map(|note| match note { Note::Started { job, .. } => Some(*job), _ => None }).collect();
            started.sort_unstable();
            prop_assert_eq!(started, (0..jobs.len()).collect::<Vec<_>>(), "{}", policy);
        }
    }

    #[test]
    fn backfill_keeps_its_promises((workload, cpus) in workloads()) {
        let jobs = workload.demands(Unit::Processors);
        for policy in [Policy::Easy, Policy::SjfEasy, Policy::Conservative] {
            check_promises(&replay(policy, &jobs, cpus).1);
        }
    }

    #[test]
    fn nobody_passes_under_fcfs((workload, cpus) in workloads()) {
        let starts = replay(Policy::Fcfs, &workload.demands(Unit::Processors), cpus).0.starts;
        prop_assert!(starts.is_sorted());
    }
}

proptest! {
    // The planner does more for a job than the others do.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases(50)) })]

    #[test]
    fn the_planner_starts_each_job_within_capacity((workload, cpus) in workloads()) {
        for nodes in [1, 3] {
            let machine = Machine::of_size(nodes, cpus, false).expect("a small machine");
            let product = product(&workload, &machine);
            prop_assert!(product.stuck.is_empty(), "{:?}", product.stuck);
            check_schedule(&workload.demands(Unit::Processors), &product.schedule, cpus);
            let product = Product::replay(&workload, &machine, CHANGES, &mut |_| {});
            check_schedule(&workload.demands(Unit::Processors), &product.schedule, cpus);
        }
    }

    #[test]
    fn whole_nodes_are_given_to_one_job((workload, _) in workloads()) {
        let machine = Machine::of_size(4, 8, true).expect("a small machine");
        let jobs = workload.demands(machine.unit());
        check_schedule(&jobs, &product(&workload, &machine).schedule, machine.units());
        for policy in REFERENCES {
            check_schedule(&jobs, &replay(policy, &jobs, machine.units()).0, machine.units());
        }
    }
}

#[test]
fn the_same_workload_gives_the_same_schedule() {
    let wanted = Synthetic { jobs: 300, cpus: 64, load_percent: 95, users: 5, seed: 3 };
    let machine = Machine::of_size(8, 64, false).expect("a small machine");
    let (a, b) = (make_synthetic(&wanted), make_synthetic(&wanted));
    assert_eq!(product(&a, &machine).schedule, product(&b, &machine).schedule);
    for policy in REFERENCES {
        let jobs = a.demands(Unit::Processors);
        assert_eq!(replay(policy, &jobs, 64), replay(policy, &b.demands(Unit::Processors), 64), "{policy}");
    }
}

#[test]
fn a_job_that_is_too_large_holds_nobody_up() {
    let job = |size| Demand { submit: 0, run: 1000, limit: 1000, size };
    let jobs = [job(9), job(8)];
    for policy in REFERENCES {
        assert_eq!(replay(policy, &jobs, 8).0.starts, [None, Some(Timestamp(0))], "{policy}");
    }
}

#[test]
fn what_never_starts_is_told() {
    let workload = Workload {
        jobs: vec![Submission {
            number: 41,
            submit: Timestamp::from_seconds(1),
            run: Span::from_seconds(10),
            limit: Span::from_seconds(10),
            cpus: 9,
            user: 1,
            priority: 1,
            partition: None,
            spec: None,
        }],
        ..Workload::default()
    };
    let machine = Machine::of_size(2, 8, false).expect("a small machine");
    let product = product(&workload, &machine);
    let [stuck] = product.stuck.as_slice() else { panic!("{:?}", product.stuck) };
    assert_eq!((stuck.first, stuck.count), (41, 1));
    assert_eq!(product.schedule.starts, [None]);
}

#[test]
fn accounts_and_qos_keep_no_replayed_job_back() {
    let workload = Workload {
        jobs: vec![Submission {
            number: 41,
            submit: Timestamp::from_seconds(1),
            run: Span::from_seconds(10),
            limit: Span::from_seconds(10),
            cpus: 8,
            user: 1,
            priority: 1,
            partition: None,
            spec: None,
        }],
        ..Workload::default()
    };
    let mut config = Machine::of_size(2, 8, false).expect("a small machine").config().clone();
    config.accounting_enforce.associations = true;
    config.accounting_enforce.qos = true;
    config.partitions[0].accounts_allowed = vec!["science".into()];
    let product = product(&workload, &Machine::of_config(config));
    assert_eq!(product.schedule.starts, [Some(Timestamp::from_seconds(1))]);
}
