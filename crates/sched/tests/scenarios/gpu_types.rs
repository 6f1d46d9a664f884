//! Several types of GPU in one request. Nodes and refusals are those of Slurm 22.05 on the same cluster.

use crate::common::{plan_with, view};
use muster_sched::{Budget, Planner};

const CLUSTER: &str = "
    config memory=on
    nodes n1 cpus=16 mem=64000 gres=gpu:a100:4
    nodes n2 cpus=16 mem=64000 gres=gpu:h100:4
    nodes n[3-4] cpus=16 mem=64000 gres=gpu:a100:2,gpu:h100:2
";

/// Where a job goes, or why it never runs.
#[track_caller]
fn check(job: &str, expected: &str) {
    let text = format!("{CLUSTER}\njob 1 mem=10 {job}");
    let seen = view(&text);
    let spec = seen.queue.values().next().expect("a job").spec.clone();
    let found = match Planner::new().check_feasible(&seen, &spec) {
        Ok(()) => plan_with(&text, &Budget::default()),
        Err(refusal) => format!("{:?}", refusal.code),
    };
    assert_eq!(found.trim().trim_start_matches("1 starts in main: "), expected, "{job}");
}

#[test]
fn each_node_gives_some_of_each_type() {
    check("gpus=a100:1,h100:2", "n3 1c 1t 10M gpu:a100:0 gpu:h100:2-3");
    check("gpus=h100:1,a100:1 N=1", "n3 1c 1t 10M gpu:a100:0 gpu:h100:2");
    let both = "n3 1c 1t 10M gpu:a100:0-1 gpu:h100:2-3 | n4 1c 1t 10M gpu:a100:0 gpu:h100:2";
    check("gpus=a100:3,h100:3", both);
    check("gpus=a100:3,h100:3 N=2", both);
    // Slurm does not put the types of a job on different nodes.
    check("gpus=a100:6,h100:6 N=4", "NodeConfigUnavailable");
    check("gpus=a100:5,h100:5", "NodeConfigUnavailable");
    check("gpus=h100:1,bogus:1", "NodeConfigUnavailable");
}

#[test]
fn types_are_counted_by_node_and_task_beside_each_other() {
    check("gpus_per_node=a100:1,h100:1", "n3 1c 1t 10M gpu:a100:0 gpu:h100:2");
    check("gpus_per_node=a100:3,h100:1", "NodeConfigUnavailable");
    check("gpus_per_task=a100:1,h100:1 n=2", "n3 2c 2t 10M gpu:a100:0-1 gpu:h100:2-3");
    let four = "n3 2c 2t 10M gpu:a100:0-1 gpu:h100:2-3 | n4 2c 2t 10M gpu:a100:0-1 gpu:h100:2-3";
    check("gpus_per_task=a100:1,h100:1 n=4", four);
    check("gpus=a100:2,h100:2 gpus_per_task=a100:1,h100:1 n=2", "n3 2c 2t 10M gpu:a100:0-1 gpu:h100:2-3");
    let by_node = "n3 1c 1t 10M gpu:a100:0 gpu:h100:2 | n4 1c 1t 10M gpu:a100:0 gpu:h100:2";
    check("gpus=a100:2,h100:2 gpus_per_node=a100:1,h100:1", by_node);
    // Two nodes by one type, one by the other.
    check("gpus=a100:2,h100:1 gpus_per_node=a100:1,h100:1", "InvalidGres");
    check("gpus=a100:2 gpus_per_node=h100:1", "n3 1c 1t 10M gpu:a100:0-1 gpu:h100:2");
}

#[test]
fn cpus_and_memory_of_gpus_count_all_types() {
    check("gpus=a100:2,h100:2 cpus_per_gpu=2", "n3 8c 8t 10M gpu:a100:0-1 gpu:h100:2-3");
    // With five CPUs for each GPU a node has room for three of them.
    let shared = "n3 10c 10t 10M gpu:a100:0 gpu:h100:2 | n4 10c 10t 10M gpu:a100:0 gpu:h100:2";
    check("gpus=a100:2,h100:2 cpus_per_gpu=5", shared);
    check("gpus=a100:2,h100:2 cpus_per_gpu=5 N=1", "NodeConfigUnavailable");
}

#[test]
fn of_two_lines_about_the_same_type_the_last_counts() {
    check("gpus=1,2", "n1 1c 1t 10M gpu:a100:0-1");
    check("gres=gpu:1,gpu:2", "n1 1c 1t 10M gpu:a100:0-1");
    check("gpus=a100:1,a100:1", "n1 1c 1t 10M gpu:a100:0");
    check("gpus=a100:1,2", "InvalidGres");
}
