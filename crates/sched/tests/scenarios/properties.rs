//! What must hold for every plan, over small random clusters and queues.

use std::collections::BTreeSet;
use std::fmt::Write;

use muster_model::array::TaskSet;
use muster_model::job::{ArrayRole, Job};
use muster_model::node::{CpuRow, Node};
use muster_model::planning::{Plan, PlanView, PlannedShare};
use muster_model::resources::{IndexSet, NodeShare, Sharing};
use muster_model::time::{Span, Timestamp};
use muster_sched::{Budget, Planner};
use muster_testkit::load::Numbers;
use muster_testkit::{builders, cases, show};
use proptest::prelude::*;

use crate::common::view;

/// A random scenario as text, so that a failure can be read and tried by hand.
pub fn scenario(seed: u64) -> String {
    let mut numbers = Numbers::new(seed);
    let mut pick = |bound: u32| numbers.below(bound);
    let mut text = String::new();
    let _ = writeln!(text, "config memory={} licenses=lic:4", ["on", "off"][pick(2) as usize]);
    let nodes = 2 + pick(6);
    for index in 0..nodes {
        let threads = 1 + pick(2);
        let state = ["", "", "", "", "", " state=drain", " state=down"][pick(7) as usize];
        let gres = ["", " gres=gpu:4", " gres=gpu:a:2,gpu:b:2"][pick(3) as usize];
        let feature = ["a", "b", "a,b"][pick(3) as usize];
        let cpus = threads * (2 + pick(6));
        let weight = 1 + pick(2);
        let _ = writeln!(
            text,
            "nodes n{index} cpus={cpus} threads={threads} mem=1000{gres} features={feature} weight={weight}{state}"
        );
    }
    let _ = writeln!(text, "partition p mem_per_cpu=10");
    let _ = writeln!(text, "partition q nodes=n[0-{}] mem_per_node=50 cpus_per_node_max=6", nodes / 2);
    let _ = writeln!(text, "partition r nodes=n[{}-{}] max=90", nodes / 2, nodes - 1);
    for index in 0..nodes {
        if pick(2) == 0 {
            let _ = writeln!(
                text,
                "run {} t={} user={} part=p on=n{index}:0-1 mem={}{}",
                900 + index,
                [0, 10, 30, 60][pick(4) as usize],
                1000 + pick(2),
                pick(500),
                // No more than there are.
                if index < 3 { ["", " L=lic"][pick(2) as usize] } else { "" }
            );
        }
    }
    for id in 1..=(1 + pick(14)) {
        let _ = write!(text, "job {id} part={}", ["p", "q", "r", "p,q", "r,p"][pick(5) as usize]);
        let _ = write!(text, " t={} user={}", 10 * (1 + pick(12)), 1000 + pick(2));
        let words = [
            "n=1",
            "n=3",
            "n=7 c=2",
            "N=2",
            "N=1-3 n=4",
            "N=3 n=5",
            "tpn=2 N=2",
            "exclusive",
            "mem=300 n=2",
            "mem=0",
            "gres=gpu:1",
            "gres=gpu:a:1,gpu:1",
            "gpus=5",
            "gpus_per_task=1 n=3",
            "C=a",
            "C=[a*1&b*1]",
            "w=n1",
            "x=n0",
            "contiguous N=2",
            "O n=20",
            "array=0-5 n=2",
            "array=0-9 slots=3",
            "exclusive=user",
            "mincpus=3",
            "L=lic",
            "L=lic:3",
        ];
        for _ in 0..=pick(2) {
            let _ = write!(text, " {}", words[pick(words.len() as u32) as usize]);
        }
        text.push('\n');
    }
    text
}

/// Carries the plan out as the core does, and checks that everything was free and allowed.
pub(crate) fn apply(view: &mut PlanView, plan: &Plan) {
    for start in &plan.starts {
        let job = queued(view, start.job_id.0);
        assert_eq!(job.restart, start.restart);
        let partition = view.partitions.iter().find(|part| part.name == start.partition).unwrap().clone();
        let mut shares = Vec::new();
        let mut before = None;
        for share in &start.shares {
            assert!(before < Some(share.node), "nodes ascend");
            before = Some(share.node);
            assert!(partition.nodes.contains(&share.node));
            let node = &view.nodes[share.node.0 as usize];
            assert!(node.is_schedulable(), "placed on a node out of service");
            assert!(share.cpus > 0);
            assert!(share.cpus.is_multiple_of(node.config.hardware.threads_per_core), "part of a core");
            assert!(share.memory <= node.memory_free(), "memory given twice");
            for gres in &share.gres {
                let held = node.used.gres.iter().filter(|held| held.name == gres.name);
                assert!(held.clone().all(|held| held.units.is_disjoint(&gres.units)), "units given twice");
                assert!(gres.units.iter().all(|unit| unit < 16));
            }
            let rows = partition.over_subscribe.rows(job.spec.request.sharing, false);
            let cpus = cpus(node, share, rows, &partition.name, job.spec.request.layout.cores_reserved.is_some());
            if rows > 1 {
                let index = share.node.0 as usize;
                let used = &mut std::sync::Arc::make_mut(view.nodes.get_mut(index).unwrap()).used;
                let row = CpuRow::room(&used.rows, &partition.name, rows, &cpus).unwrap_or(usize::MAX);
                CpuRow::put(&mut used.rows, &partition.name, row, &cpus);
            }
            shares.push(NodeShare {
                node: share.node,
                cpus,
                memory: share.memory,
                gres: share.gres.clone(),
                tasks: share.tasks,
            });
        }
        let end = view.now + job.time_limit.span().unwrap();
        let mut started = job.clone();
        started.partition = start.partition.clone();
        // Several tasks of an array run at once; keys only have to differ.
        started.id.0 = job.id.0 * 1000 + start.task_index.unwrap_or(999);
        if let Some(task_index) = start.task_index {
            started.array = Some(ArrayRole::Task { array_job_id: job.id, task_index });
        }
        if job.spec.request.sharing == Sharing::ExclusiveUser {
            for share in &shares {
                let node = std::sync::Arc::make_mut(view.nodes.get_mut(share.node.0 as usize).unwrap());
                node.used.exclusive_user = Some(job.spec.identity.uid);
            }
        }
        let uid = job.spec.identity.uid;
        builders::start(view, started, shares.clone(), end);
        for share in &shares {
            let owner = view.nodes[share.node.0 as usize].used.exclusive_user;
            assert!(owner.is_none_or(|owner| owner == uid), "a job on a node of another user");
        }
        licences_are_given_once(view);
    }
}

/// Running jobs hold no more of the licence `lic` than there are.
fn licences_are_given_once(view: &PlanView) {
    let lists = view.running.values().filter_map(|job| job.spec.request.licenses.clone());
    let held: u64 = lists.map(|list| list.strip_prefix("lic:").map_or(1, |count| count.parse().unwrap())).sum();
    assert!(held <= 4, "licences given twice");
}

/// The CPUs of a share: those of the plan if they can be given, else the lowest free ones.
fn cpus(node: &Node, share: &PlannedShare, rows: u32, partition: &str, may_use_reserved: bool) -> IndexSet {
    let (hardware, used) = (&node.config.hardware, &node.used);
    let Some(cpus) = &share.cpu_set else {
        assert!(share.cpus <= node.cpus_free(), "CPUs given twice");
        let mut cpus = IndexSet::default();
        let free = (0..hardware.cpus).filter(|cpu| !used.cpus.contains(*cpu) && !hardware.cpus_reserved.contains(*cpu));
        free.take(share.cpus as usize).for_each(|cpu| cpus.insert(cpu));
        return cpus;
    };
    assert_eq!(cpus.len(), share.cpus);
    assert!(cpus.iter().all(|cpu| cpu < hardware.cpus));
    assert!(may_use_reserved || cpus.is_disjoint(&hardware.cpus_reserved), "CPUs of the system given away");
    let threads = hardware.threads_per_core;
    assert!(cpus.iter().all(|cpu| (0..threads).all(|t| cpus.contains(cpu - cpu % threads + t))), "part of a core");
    let mut others = used.cpus.clone();
    if rows > 1 {
        used.rows.iter().filter(|row| *row.partition == *partition).for_each(|row| others.remove_all(&row.cpus));
        assert!(CpuRow::room(&used.rows, &partition.into(), rows, cpus).is_some(), "too many jobs on a core");
    }
    assert!(cpus.is_disjoint(&others), "CPUs given twice");
    cpus.clone()
}

fn queued(view: &PlanView, id: u32) -> Job {
    view.queue.values().find(|job| job.id.0 == id).map(|job| Job::clone(job)).unwrap()
}

/// The queue after `plan`: without the jobs and tasks that started.
pub fn remaining(view: &PlanView, plan: &Plan) -> PlanView {
    let mut rest = view.clone();
    for (key, job) in &view.queue {
        let started: BTreeSet<Option<u32>> =
            plan.starts.iter().filter(|start| start.job_id == job.id).map(|start| start.task_index).collect();
        if started.is_empty() {
            continue;
        }
        let left = match &job.array {
            Some(ArrayRole::Waiting { tasks }) => {
                TaskSet::from_indices(tasks.iter().filter(|index| !started.contains(&Some(*index))))
            }
            _ => TaskSet::default(),
        };
        if left.is_empty() {
            rest.queue.remove(key);
        } else {
            let record = Job { array: Some(ArrayRole::Waiting { tasks: left }), ..Job::clone(job) };
            rest.queue.insert(*key, std::sync::Arc::new(record));
        }
    }
    for start in plan.starts.iter().filter(|start| start.task_index.is_some()) {
        if let Some(slots) = rest.array_slots.get_mut(&start.job_id) {
            *slots -= 1;
        }
    }
    rest
}

/// Takes all other jobs out of the queue.
pub(crate) fn keep(view: &mut PlanView, wanted: impl Fn(&Job) -> bool) {
    view.queue = view.queue.iter().filter(|(_, job)| wanted(job)).map(|(key, job)| (*key, job.clone())).collect();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases(256)) })]

    #[test]
    fn a_plan_can_be_carried_out_and_says_something_of_every_job(seed: u64) {
        let text = scenario(seed);
        let mut view = view(&text);
        let plan = Planner::new().plan(&view, &Budget::default());
        prop_assert!(!plan.exhausted);
        for job in view.queue.values() {
            let starts = plan.starts.iter().filter(|start| start.job_id == job.id).count();
            let waits = plan.outlook.iter().filter(|wait| wait.job_id == job.id).count();
            let tasks = job.spec.array.as_ref().map_or(1, |array| array.tasks.len() as usize);
            prop_assert!(starts == tasks || waits == 1, "nothing is said of {}\n{}", job.id, text);
            prop_assert!(starts + waits <= tasks + usize::from(job.array.is_some()));
        }
        apply(&mut view, &plan);
    }

    #[test]
    fn warm_caches_do_not_change_a_plan(seeds: [u64; 3]) {
        let mut warm = Planner::new();
        for seed in seeds.iter().chain(&seeds) {
            let mut view = view(&scenario(*seed));
            for _ in 0..3 {
                let cold = Planner::new().plan(&view, &Budget::default());
                prop_assert_eq!(&warm.plan(&view, &Budget::default()), &cold);
                let mut next = view.clone();
                apply(&mut next, &cold);
                view = remaining(&next, &cold);
            }
        }
    }

    /// Started jobs that are behind a blocked one leave its planned start as it is: planned anew with them running,
    /// it starts no later. Classic backfill, where the promise is to the first blocked job of each partition.
    #[test]
    fn backfill_never_delays_the_first_blocked_job(seed: u64) {
        let text = scenario(seed);
        let view = view(&text);
        let budget = Budget { reservations_max: 1, window: Span::from_minutes(1_000_000), ..Budget::default() };
        let plan = Planner::new().plan(&view, &budget);
        let Some(promise) = plan.outlook.iter().find(|wait| wait.expected_start.is_some() && !wait.is_forecast) else { return Ok(()) };
        let mut later = view.clone();
        apply(&mut later, &plan);
        let mut later = remaining(&later, &plan);
        // Everything in front of it has started or waits for other things; alone in the queue it must start in time.
        let promised: Timestamp = promise.expected_start.unwrap();
        keep(&mut later, |job| job.id == promise.job_id);
        for minute in 0..=100_000 {
            advance(&mut later, view.now + Span::from_minutes(minute));
            let next = Planner::new().plan(&later, &budget);
            if !next.starts.is_empty() {
                let ends = later.now;
                prop_assert!(ends <= promised + Span::from_minutes(1), "promised {} started {}\n{}\n{}",
                    show::show_time(view.now, promised), show::show_time(view.now, ends), text, show::plan(&view, &plan));
                return Ok(());
            }
            prop_assert!(later.now <= promised + Span::from_minutes(1), "promised {} not started\n{}\n{}",
                show::show_time(view.now, promised), text, show::plan(&view, &plan));
        }
    }

    /// Whether anybody wants to know when jobs start for which nothing is held decides nothing, however far planned starts
    /// may reach.
    #[test]
    fn expectations_decide_nothing(seed: u64, window in 1_i64..200) {
        // What is counted by node, and who minds others, is found out by a search in any case.
        let text = scenario(seed).replace(" cpus_per_node_max=6", "");
        let text = if seed % 4 == 0 { text } else { text.replace(" exclusive=user", "") };
        let told = Budget { window: Span::from_minutes(window), ..Budget::default() };
        let untold = Budget { expectations: false, ..told };
        let (mut teller, mut other) = (Planner::new(), Planner::new());
        let mut view = view(&text);
        for round in 0..6 {
            let pass = if round % 3 == 1 { Planner::plan_changes } else { Planner::plan };
            let plan = pass(&mut teller, &view, &told);
            let same = pass(&mut other, &view, &untold);
            prop_assert_eq!(&plan.starts, &same.starts, "round {}\n{}", round, text);
            apply(&mut view, &plan);
            view = remaining(&view, &plan);
            let Some(next) = view.running.keys().map(|(end, _)| *end).find(|end| *end > view.now) else { break };
            advance(&mut view, next);
        }
    }

    /// What is accepted as feasible starts on a cluster where nothing runs and all is in service.
    #[test]
    fn feasible_requests_start_on_an_empty_cluster(seed: u64) {
        let text: String = scenario(seed).lines().filter(|line| !line.starts_with("run")).fold(String::new(), |text, line| {
            text + &line.replace(" state=drain", "").replace(" state=down", "") + "\n"
        });
        let all = view(&text);
        for job in all.queue.values() {
            let mut alone = all.clone();
            keep(&mut alone, |other| other.id == job.id);
            let accepted = Planner::new().check_feasible(&alone, &job.spec).is_ok();
            let plan = Planner::new().plan(&alone, &Budget::default());
            let reason = plan.outlook.iter().next().map(|wait| wait.reason.as_str());
            let is_limit = reason.is_some_and(|reason| reason.starts_with("Partition"));
            prop_assert!(!accepted || !plan.starts.is_empty() || is_limit, "{} {:?}\n{}", job.id, reason, text);
            prop_assert!(accepted || reason == Some("BadConstraints") || is_limit, "{} {:?}\n{}", job.id, reason, text);
        }
    }
}

/// Lets time pass: jobs whose time is over give back what they hold.
pub fn advance(view: &mut PlanView, now: Timestamp) {
    view.now = now;
    let over: Vec<_> = view.running.keys().copied().filter(|(end, _)| *end <= now).collect();
    over.into_iter().for_each(|key| end(view, key));
}

/// The scenario with each array as one job: their records would have to be kept up to date between passes.
pub fn without_arrays(text: &str) -> String {
    let word = |word: &&str| !word.starts_with("array=") && !word.starts_with("slots=");
    text.lines().map(|line| line.split(' ').filter(word).collect::<Vec<_>>().join(" ") + "\n").collect()
}

/// A job of one task for one CPU, behind all others.
pub fn queued_like(view: &PlanView, id: u32, limit: Span) -> Option<Job> {
    let mut job = view.queue.values().find(|job| job.array.is_none()).map(|job| Job::clone(job))?;
    let mut spec = builders::spec(Default::default());
    spec.time_limit = Some(muster_model::time::TimeLimit::Limited(limit));
    spec.partitions = vec!["p".into()];
    job.id.0 = id;
    job.time_limit = muster_model::time::TimeLimit::Limited(limit);
    job.partition = "p".into();
    job.priority = view.queue.values().map(|job| job.priority).min().unwrap_or(1);
    job.submit_time = view.now;
    job.spec = std::sync::Arc::new(spec);
    Some(job)
}

/// A running job gives back what it holds.
pub fn end(view: &mut PlanView, key: (Timestamp, muster_model::ids::JobId)) {
    if let Some(job) = view.running.remove(&key) {
        for share in job.allocation.iter().flat_map(|allocation| &allocation.shares) {
            let Some(node) = view.nodes.get_mut(share.node.0 as usize) else {
                continue;
            };
            let used = &mut std::sync::Arc::make_mut(node).used;
            used.cpus.remove_all(&share.cpus);
            used.memory.0 -= share.memory.0;
            for gres in &share.gres {
                let held = used.gres.iter_mut().filter(|held| held.name == gres.name && held.kind == gres.kind);
                held.for_each(|held| held.units.remove_all(&gres.units));
            }
            used.jobs_running -= 1;
            if used.jobs_running == 0 {
                used.exclusive_user = None;
            }
        }
        if let Some(slots) = job.array_job_id().and_then(|array| view.array_slots.get_mut(&array)) {
            *slots += 1;
        }
    }
}
