//! Laws of placement in detail: sockets, shared cores, parts of GPUs, switches. Over small random clusters.

use std::collections::BTreeSet;
use std::fmt::Write;

use muster_sched::{Budget, Planner};
use muster_testkit::cases;
use muster_testkit::load::Numbers;
use proptest::prelude::*;

use crate::common::view;
use crate::properties::{apply, keep};

/// A random scenario with nodes of two sockets.
fn scenario(seed: u64, with_running: bool) -> String {
    let mut numbers = Numbers::new(seed);
    let mut pick = |bound: u32| numbers.below(bound);
    let config = ["", " unit=socket", " one_task_per_core", " block_cores", " lln", " serial_at_end"];
    let mut text = format!("config memory=on{}\n", config[pick(6) as usize]);
    let nodes = 2 + pick(4);
    for index in 0..nodes {
        let threads = 1 + pick(2);
        let cores = 2 + pick(3);
        let cpus = 2 * cores * threads;
        let last = 2 * cores - 1;
        let gres = match pick(4) {
            0 => String::new(),
            1 => " gres=gpu:4".to_owned(),
            2 => format!(" gres=gpu:4 near=gpu:2@0-{}+gpu:2@{}-{last}", cores - 1, cores),
            _ => format!(" gres=gpu:4,shard:16 near=gpu:2@0-{}+gpu:2@{}-{last}", cores - 1, cores),
        };
        let reserved = if pick(4) == 0 { format!(" reserved={}-{}", cpus - threads, cpus - 1) } else { String::new() };
        let feature = ["a", "b", "a,b"][pick(3) as usize];
        let _ = writeln!(
            text,
            "nodes n{index} cpus={cpus} sockets=2 threads={threads} mem=1000{gres}{reserved} features={feature}"
        );
    }
    let _ = writeln!(text, "partition p mem_per_cpu=10 cpus_per_gpu=2");
    let _ = writeln!(text, "partition f nodes=n[0-{}] mem_per_cpu=10 share=force:2", nodes - 1);
    let _ = writeln!(text, "partition y mem_per_node=50 share=yes:3 cpus_per_socket_max={}", 1 + pick(4));
    let _ = writeln!(text, "partition l mem_per_node=50 lln exclusive_user");
    for index in 0..nodes {
        if with_running && pick(2) == 0 {
            let _ = writeln!(text, "run {} t=30 user={} part=p on=n{index}:0-1", 900 + index, 1000 + pick(2));
        }
    }
    for id in 1..=(1 + pick(12)) {
        let _ = write!(text, "job {id} part={}", ["p", "p", "f", "y", "l", "p,f"][pick(6) as usize]);
        let _ = write!(text, " t={} user={}", 10 * (1 + pick(12)), 1000 + pick(2));
        const WORDS: &[&str] = &[
            "n=1",
            "n=5",
            "n=3 c=2",
            "c=3",
            "N=2 n=4",
            "tpc=1",
            "tpcore=1 n=3",
            "tpsocket=1 n=2",
            "sockets=2 cores=2",
            "S=1",
            "m=block n=4",
            "gres=gpu:1",
            "gres=gpu:3",
            "gres=gpu:1 n=3 binding=enforced",
            "gres=gpu:1 binding=disabled",
            "gres=shard:3",
            "gres=shard:5",
            "gpus=3 cpus_per_gpu=1",
            "gpus_per_task=1 n=2",
            "gpus_per_socket=1 sockets=2",
            "spread n=4",
            "N=1-3 min_nodes",
            "prefer=a",
            "share",
            "exclusive",
            "mcs=x exclusive=mcs",
            "mcs=y",
            "tpn=2 N=2",
            "O n=9",
        ];
        for _ in 0..=pick(2) {
            let _ = write!(text, " {}", WORDS[pick(WORDS.len() as u32) as usize]);
        }
        text.push('\n');
    }
    text
}

/// A random tree of up to six leaf switches in two branches, with some nodes busy, and a number of nodes to ask for.
fn tree(seed: u64) -> (String, Vec<Vec<u32>>, u32) {
    let mut numbers = Numbers::new(seed);
    let mut pick = |bound: u32| numbers.below(bound);
    let sizes: Vec<u32> = (0..2 + pick(5)).map(|_| 1 + pick(4)).collect();
    let total: u32 = sizes.iter().sum();
    let mut text = format!("nodes n[0-{}] cpus=2\n", total - 1);
    let (mut leaves, mut first) = (Vec::new(), 0);
    for (leaf, size) in sizes.iter().enumerate() {
        let _ = writeln!(text, "switch s{leaf} nodes=n[{first}-{}]", first + size - 1);
        leaves.push((first..first + size).collect::<Vec<u32>>());
        first += size;
    }
    let cut = 1 + pick(leaves.len() as u32 - 1);
    let _ = writeln!(text, "switch a switches={}", names(0..cut));
    let _ = writeln!(text, "switch b switches={}", names(cut..leaves.len() as u32));
    let _ = writeln!(text, "switch top switches=a,b");
    for node in 0..total {
        if pick(3) == 0 {
            let _ = writeln!(text, "run {} t=30 on=n{node}:0-1", 900 + node);
            leaves.iter_mut().for_each(|leaf| leaf.retain(|other| *other != node));
        }
    }
    let wanted = 2 + pick(total);
    let _ = writeln!(text, "job 1 N={wanted} tpn=2 t=10");
    let mut branches = vec![leaves[..cut as usize].to_vec(), leaves[cut as usize..].to_vec()];
    branches.push(leaves.clone());
    (text, fewest(&branches, &leaves, wanted), wanted)
}

fn names(range: std::ops::Range<u32>) -> String {
    range.map(|leaf| format!("s{leaf}")).collect::<Vec<_>>().join(",")
}

/// By trying all sets of leaves: those sets that are below the lowest switch that suffices, and are smallest.
/// Each answer is a set of leaves as their numbers.
fn fewest(branches: &[Vec<Vec<u32>>], leaves: &[Vec<u32>], wanted: u32) -> Vec<Vec<u32>> {
    let count = |set: u32| {
        (0..leaves.len()).filter(|leaf| set & (1 << leaf) != 0).map(|leaf| leaves[leaf].len()).sum::<usize>()
    };
    let all: Vec<u32> = (1..1u32 << leaves.len()).filter(|set| count(*set) >= wanted as usize).collect();
    let single: Vec<u32> = all.iter().copied().filter(|set| set.count_ones() == 1).collect();
    let cut = branches[0].len();
    let is_within = |set: u32, branch: usize| {
        let mask = if branch == 0 { (1u32 << cut) - 1 } else { ((1u32 << leaves.len()) - 1) & !((1u32 << cut) - 1) };
        set & !mask == 0
    };
    let branch: Vec<u32> = all.iter().copied().filter(|set| is_within(*set, 0) || is_within(*set, 1)).collect();
    let level = [single, branch, all].into_iter().find(|sets| !sets.is_empty()).unwrap_or_default();
    let least = level.iter().map(|set| set.count_ones()).min().unwrap_or(0);
    let best = level.into_iter().filter(|set| set.count_ones() == least);
    best.map(|set| (0..leaves.len() as u32).filter(|leaf| set & (1 << leaf) != 0).collect()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases(256)) })]

    /// Whole cores, none given to more jobs than may be on it, units and memory once, nothing that the system keeps.
    #[test]
    fn a_detailed_plan_can_be_carried_out(seed: u64) {
        let text = scenario(seed, true);
        let mut view = view(&text);
        let plan = Planner::new().plan(&view, &Budget::default());
        prop_assert!(!plan.exhausted);
        apply(&mut view, &plan);
    }

    #[test]
    fn what_is_feasible_in_detail_starts_on_an_empty_cluster(seed: u64) {
        let text = scenario(seed, false);
        let all = view(&text);
        for job in all.queue.values() {
            let mut alone = all.clone();
            keep(&mut alone, |other| other.id == job.id);
            let accepted = Planner::new().check_feasible(&alone, &job.spec).is_ok();
            let plan = Planner::new().plan(&alone, &Budget::default());
            let reason = plan.outlook.iter().next().map(|wait| wait.reason.as_str());
            let is_limit = reason.is_some_and(|reason| reason.starts_with("Partition"));
            let line = |line: &&str| line.starts_with("job") && !line.starts_with(&format!("job {} ", job.id));
            let text: Vec<&str> = text.lines().filter(|text| !line(text)).collect();
            prop_assert!(!accepted || !plan.starts.is_empty() || is_limit, "{} {:?}\n{}", job.id, reason, text.join("\n"));
        }
    }

    /// The job is below the lowest switch that can hold it, on as few leaf switches as there can be.
    #[test]
    fn no_fewer_switches_would_do(seed: u64) {
        let (text, best, wanted) = tree(seed);
        let view = view(&text);
        let plan = Planner::new().plan(&view, &Budget::default());
        let Some(start) = plan.starts.first() else {
            prop_assert!(best.is_empty(), "{} nodes fit\n{}", wanted, text);
            return Ok(());
        };
        let Some(muster_model::topology::Topology::Tree(switches)) = &view.config.topology else { panic!("no tree") };
        let used: BTreeSet<u32> = start.shares.iter().map(|share| {
            let at = switches.iter().position(|switch| switch.level == 0 && switch.nodes.contains(&share.node));
            at.unwrap() as u32
        }).collect();
        prop_assert_eq!(start.shares.len() as u32, wanted);
        prop_assert!(best.iter().any(|set| set.len() == used.len()), "{:?} of {:?}\n{}", used, best, text);
    }
}
