//! Which nodes a request gets and how much of each. Unless said otherwise the expected placements are those of
//! Slurm 22.05 with select/cons_tres on the same cluster.

use crate::common::view;
use muster_sched::{Budget, Planner};
use muster_testkit::show;

const SIX: &str = "
    config memory=on
    nodes n[1-6] cpus=16 mem=64000 gres=gpu:2
    nodes s[1-3] cpus=8 threads=2 mem=8000 features=smt,a weight=10
    partition batch nodes=n[1-6]
    partition smt nodes=s[1-3] mem_per_cpu=100
    partition two nodes=n[1-2] nodes_min=2
    partition excl nodes=n[1-2] exclusive mem_per_cpu=100
    partition tiny nodes=n1 nodes_max=1 cpus_per_node_max=4 mem_per_node=1000
    partition mc nodes=n[1-6] max_mem_per_cpu=1000 mem_per_cpu=100
";

/// Places one job on the idle cluster of six.
#[track_caller]
fn place(job: &str, expected: &str) {
    place_on(SIX, job, expected);
}

#[track_caller]
fn place_on(cluster: &str, job: &str, expected: &str) {
    let view = view(&format!("{cluster}\njob 1 {job}"));
    let plan = show::plan(&view, &Planner::new().plan(&view, &Budget::default()));
    let outcome = plan.trim_end();
    let outcome = outcome.split_once(": ").map_or(outcome, |(_, shares)| shares);
    assert_eq!(outcome, expected, "{job}");
}

#[test]
fn tasks_fill_nodes_in_order() {
    place("n=4 mem=10", "n1 4c 4t 10M");
    place("n=20 mem=10", "n1 16c 16t 10M | n2 4c 4t 10M");
    place("n=40 mem=10", "n1 16c 16t 10M | n2 16c 16t 10M | n3 8c 8t 10M");
    place("n=20 mem_per_cpu=10", "n1 16c 16t 160M | n2 4c 4t 40M");
    place("n=16 mem_per_cpu=10000", "n1 6c 6t 60000M | n2 6c 6t 60000M | n3 4c 4t 40000M");
}

#[test]
fn every_wanted_node_gets_a_task() {
    place("N=2 n=4 c=2 mem=1024 gres=gpu:1", "n1 6c 3t 1024M gpu:0 | n2 2c 1t 1024M gpu:0");
    place("N=4 n=10 mem=1", "n1 7c 7t 1M | n2 1c 1t 1M | n3 1c 1t 1M | n4 1c 1t 1M");
    place("N=3 n=5 c=4 mem=1", "n1 12c 3t 1M | n2 4c 1t 1M | n3 4c 1t 1M");
    place("N=2 mem=1", "n1 1c 1t 1M | n2 1c 1t 1M");
    place("N=2-4 mem=1", "n1 1c 1t 1M | n2 1c 1t 1M | n3 1c 1t 1M | n4 1c 1t 1M");
    place("N=2-4 n=3 mem=1", "n1 1c 1t 1M | n2 1c 1t 1M | n3 1c 1t 1M");
    place("N=1-3 n=2 mem=1", "n1 1c 1t 1M | n2 1c 1t 1M");
    place("part=two n=1 mem=1", "n1 1c 1t 1M | n2 1c 0t 1M");
}

/// `-N1-3` takes three nodes when it can, and leaves nothing over for those that are in use or not there.
#[test]
fn fewer_nodes_than_wanted_take_all_tasks() {
    place("part=two N=1-3 n=4 mem=1", "n1 3c 3t 1M | n2 1c 1t 1M");
    place("part=two N=1-3 n=32 mem=1", "n1 16c 16t 1M | n2 16c 16t 1M");
    let partly = "nodes n[1-4] cpus=16\nrun 7 on=n1:0-10\nrun 8 on=n3:0-15+n4:0-15";
    place_on(partly, "N=1-3 n=16", "n1 5c 5t | n2 11c 11t");
    let apart = "nodes n[1-4] cpus=16\nrun 7 on=n1:0-7+n3:0-7\nrun 8 on=n2:0-15+n4:0-15";
    place_on(apart, "N=1-3 n=16", "n1 8c 8t | n3 8c 8t");
}

/// Nodes are taken for as many tasks as fit beside the least number of nodes; where that is more than there are, these go round the nodes.
#[test]
fn tasks_of_more_nodes_than_are_needed_are_dealt_round_them() {
    let twelve = "nodes n[1-4] cpus=12";
    place_on(twelve, "N=1-3 n=16", "n1 11c 11t | n2 4c 4t | n3 1c 1t");
    place_on(twelve, "N=2-3 n=16", "n1 11c 11t | n2 4c 4t | n3 1c 1t");
    place_on(twelve, "N=3 n=16", "n1 12c 12t | n2 3c 3t | n3 1c 1t");
    place_on(twelve, "N=2-4 n=13", "n1 10c 10t | n2 1c 1t | n3 1c 1t | n4 1c 1t");
    place_on(twelve, "N=1-4 n=16 w=n[1-3]", "n1 11c 11t | n2 3c 3t | n3 1c 1t | n4 1c 1t");
    place_on("nodes n[1-4] cpus=9", "N=1-4 n=9 c=3", "n1 9c 3t | n2 9c 3t | n3 6c 2t | n4 3c 1t");
    let unequal = "nodes n1 cpus=3\nnodes n2 cpus=2\nnodes n[3-4] cpus=12";
    place_on(unequal, "N=1-3 n=16", "n1 3c 3t | n2 2c 2t | n3 11c 11t");
    place_on(unequal, "N=1-4 n=16", "n1 3c 3t | n2 2c 2t | n3 10c 10t | n4 1c 1t");
    let falling = "nodes n[1-2] cpus=8\nnodes n3 cpus=3\nnodes n4 cpus=2";
    place_on(falling, "N=1-4 n=12 w=n3", "n1 1c 1t | n2 6c 6t | n3 3c 3t | n4 2c 2t");
    place_on(falling, "N=1-4 n=12 w=n2", "n1 1c 1t | n2 7c 7t | n3 3c 3t | n4 1c 1t");
    place_on(falling, "spread n=18", "n1 8c 8t | n2 7c 7t | n3 2c 2t | n4 1c 1t");
    let apart = "nodes n[1-4] cpus=12\nrun 7 on=n2:0-11";
    place_on(apart, "N=1-3 n=18", "n1 1c 1t | n3 11c 11t | n4 6c 6t");
    // Units that are counted over the job end it before all nodes that there may be are used.
    place_on("nodes n[1-4] cpus=16 gres=gpu:4", "N=2-3 n=6 gpus=6", "n1 5c 5t gpu:0-3 | n2 1c 1t gpu:0-1");
}

#[test]
fn tasks_per_node() {
    place("N=2 tpn=2 mem=1", "n1 2c 2t 1M | n2 2c 2t 1M");
    place("n=8 tpn=3 mem=1", "n1 3c 3t 1M | n2 3c 3t 1M | n3 3c 3t 1M");
    place("n=8 tpn=3 N=4 mem=1", "n1 3c 3t 1M | n2 3c 3t 1M | n3 3c 3t 1M | n4 3c 3t 1M");
    place("part=smt n=4 tpn=2 c=2", "s1 4c 2t 400M | s2 4c 2t 400M");
}

#[test]
fn cores_are_given_whole() {
    place("part=smt", "s1 2c 2t 200M");
    place("part=smt n=1", "s1 2c 1t 200M");
    place("part=smt n=3", "s1 4c 3t 400M");
    place("part=smt c=3", "s1 4c 1t 400M");
    place("part=smt N=2 n=3", "s1 2c 2t 200M | s2 2c 1t 200M");
    place("part=smt n=3 c=3", "s1 6c 2t 600M | s2 4c 1t 400M");
}

#[test]
fn whole_nodes() {
    place("exclusive mem=10", "n1 16c 16t 10M gpu:0-1");
    place("exclusive n=2 mem=10", "n1 16c 2t 10M gpu:0-1");
    place("exclusive c=3 mem=10", "n1 16c 5t 10M gpu:0-1");
    place("exclusive N=2 n=3 mem=10", "n1 16c 2t 10M gpu:0-1 | n2 16c 1t 10M gpu:0-1");
    place("part=excl n=1", "n1 16c 1t 1600M gpu:0-1");
    place("part=smt exclusive", "s1 8c 8t 800M");
    place_on("config whole_nodes\nnodes n1 cpus=4", "n=1", "n1 4c 1t");
    let linear = "config whole_nodes\nnodes n[1-2] cpus=8 threads=2";
    place_on(linear, "tpc=1 n=8", "n1 8c 8t");
    place_on(linear, "tpcore=1 n=5", "n1 8c 5t");
    place_on(linear, "tpc=1 c=8", "n1 8c 1t");
}

#[test]
fn the_last_node_holds_all_that_is_left() {
    let nodes = "nodes n[1-3] cpus=16 weight=5\nnodes n[4-5] cpus=8 weight=1";
    place_on(nodes, "N=2 n=20", "n1 12c 12t | n4 8c 8t");
    place_on(nodes, "N=2 n=24", "n1 16c 16t | n4 8c 8t");
    place_on(nodes, "N=2 n=26", "n1 16c 16t | n2 10c 10t");
    place_on(nodes, "N=3 n=30", "n1 14c 14t | n4 8c 8t | n5 8c 8t");
    place_on(nodes, "N=3 n=40", "n1 16c 16t | n2 16c 16t | n3 8c 8t");
}

#[test]
fn overcommit_and_least_cpus() {
    place("O n=40 N=1 mem=10", "n1 1c 40t 10M");
    place("O n=40 mem=10", "n1 1c 40t 10M");
    place("O n=40 N=2 mem=10", "n1 1c 20t 10M | n2 1c 20t 10M");
    place("O n=3 c=2 mem=10", "n1 2c 3t 10M");
    place("O N=2 mem=10", "n1 1c 1t 10M | n2 1c 1t 10M");
    place("N=2 mincpus=4 mem=10", "n1 4c 4t 10M | n2 4c 4t 10M");
    place("n=3 mincpus=4 mem=10", "n1 4c 3t 10M");
}

#[test]
fn memory() {
    place("mem=0", "n1 1c 1t 64000M");
    place("", "n1 1c 1t 64000M");
    place("part=tiny", "n1 1c 1t 1000M");
    place("part=mc mem=2500", "n1 3c 3t 2500M");
    place("part=mc n=1 mem_per_cpu=2500", "n1 3c 1t 2502M");
    place("part=mc n=2 c=2 mem_per_cpu=2500", "n1 12c 2t 10008M");
    place_on("nodes n1 cpus=4 mem=1000", "mem=900", "n1 1c 1t");
    place_on("config memory=on\nnodes n1 cpus=4 mem=100\nnodes n2 cpus=4 mem=1000", "mem=900", "n2 1c 1t 900M");
    // All memory of a node is there only where nobody holds any.
    place_on("config memory=on\nnodes n[1-2] cpus=4 mem=100\nrun 9 on=n1:0 mem=1", "", "n2 1c 1t 100M");
}

#[test]
fn generic_resources() {
    place("gpus=3 mem=10", "n1 1c 1t 10M gpu:0-1 | n2 1c 1t 10M gpu:0");
    place("gpus=3 N=3 mem=10", "n1 1c 1t 10M gpu:0 | n2 1c 1t 10M gpu:0 | n3 1c 1t 10M gpu:0");
    place("gpus=4 n=4 mem=10", "n1 3c 3t 10M gpu:0-1 | n2 1c 1t 10M gpu:0-1");
    place("n=4 gpus_per_task=1 mem=10", "n1 2c 2t 10M gpu:0-1 | n2 2c 2t 10M gpu:0-1");
    place("gpus_per_node=2 n=3 mem=10", "n1 3c 3t 10M gpu:0-1");
    place("gpus=2 mem_per_gpu=100", "n1 1c 1t 200M gpu:0-1");
    let typed = "
        nodes n1 cpus=8 gres=gpu:a100:2,gpu:v100:2
        nodes n2 cpus=8 gres=gpu:v100:2
        run 9 on=n1:0 gres=gpu:v100:2";
    place_on(typed, "gres=gpu:v100:1", "n1 1c 1t gpu:v100:3");
    place_on(typed, "gres=gpu:v100:2", "n2 1c 1t gpu:v100:0-1");
    place_on(typed, "gres=gpu:3", "n1 1c 1t gpu:a100:0-1 gpu:v100:3");
    place_on(typed, "gres=gpu:v100:1,gpu:1 w=n1", "n1 1c 1t gpu:a100:0 gpu:v100:3");
}

#[test]
fn features() {
    let mixed = "
        nodes s[1-2] cpus=2 features=smt,a
        nodes s3 cpus=2 features=smt,b";
    place_on(mixed, "C=b", "s3 1c 1t");
    place_on(mixed, "C=a|b N=3", "s1 1c 1t | s2 1c 1t | s3 1c 1t");
    place_on(mixed, "C=[a|b] N=2", "s1 1c 1t | s2 1c 1t");
    place_on(mixed, "C=smt&[b|a] N=2", "s1 1c 1t | s2 1c 1t");
    place_on(mixed, "C=[a*1&b*1] N=2", "s1 1c 1t | s3 1c 1t");
    place_on(mixed, "C=[a*1&b*1]", "s1 1c 1t | s3 1c 1t");
    place_on(mixed, "C=[smt*2&b*1]", "s1 1c 1t | s2 1c 1t | s3 1c 1t");
    place_on(mixed, "C=smt*3", "s1 1c 1t | s2 1c 1t | s3 1c 1t");
    place_on(mixed, "C=a*2 n=3", "s1 2c 2t | s2 1c 1t");
}

/// n1=6 n2=0 n3=4 n4=0 n5=12 n6=16 CPUs free.
const FRAGMENTED: &str = "
    nodes n[1-6] cpus=16
    run 91 on=n1:0-9
    run 92 on=n2:0-15
    run 93 on=n3:0-11
    run 94 on=n4:0-15
    run 95 on=n5:0-3";

/// The same with n4=16.
const LESS_FRAGMENTED: &str = "
    nodes n[1-6] cpus=16
    run 91 on=n1:0-9
    run 92 on=n2:0-15
    run 93 on=n3:0-11
    run 95 on=n5:0-3";

#[test]
fn the_tightest_run_of_neighbours_is_used() {
    place_on(FRAGMENTED, "n=1", "n3 1c 1t");
    place_on(FRAGMENTED, "n=5", "n1 5c 5t");
    place_on(FRAGMENTED, "n=7", "n5 7c 7t");
    place_on(FRAGMENTED, "n=13", "n6 13c 13t");
    place_on(FRAGMENTED, "n=18", "n5 12c 12t | n6 6c 6t");
    place_on(FRAGMENTED, "N=2 n=6", "n5 5c 5t | n6 1c 1t");
    place_on(FRAGMENTED, "N=3", "n3 1c 1t | n5 1c 1t | n6 1c 1t");
    place_on(FRAGMENTED, "N=1-3 n=3", "n1 1c 1t | n3 1c 1t | n5 1c 1t");
    place_on(FRAGMENTED, "N=4", "n1 1c 1t | n3 1c 1t | n5 1c 1t | n6 1c 1t");
    place_on(LESS_FRAGMENTED, "n=1", "n1 1c 1t");
    place_on(LESS_FRAGMENTED, "n=13", "n4 13c 13t");
    place_on(LESS_FRAGMENTED, "n=14 N=2", "n3 4c 4t | n4 10c 10t");
    place_on(LESS_FRAGMENTED, "N=3 n=20", "n3 4c 4t | n4 15c 15t | n5 1c 1t");
    place_on(LESS_FRAGMENTED, "n=40", "n3 4c 4t | n4 16c 16t | n5 12c 12t | n6 8c 8t");
    place_on(LESS_FRAGMENTED, "exclusive", "n4 16c 16t");
    place_on(LESS_FRAGMENTED, "c=4 n=4", "n4 16c 4t");
}

#[test]
fn named_nodes() {
    place_on(LESS_FRAGMENTED, "w=n1 N=3", "n1 1c 1t | n3 1c 1t | n4 1c 1t");
    place_on(LESS_FRAGMENTED, "w=n5 N=2", "n5 1c 1t | n6 1c 1t");
    place_on(LESS_FRAGMENTED, "w=n5 n=30", "n4 2c 2t | n5 12c 12t | n6 16c 16t");
    place("w=n3,n5 N=3 mem=1", "n3 1c 1t 1M | n4 1c 1t 1M | n5 1c 1t 1M");
    place("w=n3 n=20 mem=1", "n3 16c 16t 1M | n4 4c 4t 1M");
    place("x=n[1-2] mem=1", "n3 1c 1t 1M");
    place_on(LESS_FRAGMENTED, "contiguous N=2", "n3 1c 1t | n4 1c 1t");
    place_on(LESS_FRAGMENTED, "contiguous N=3", "n3 1c 1t | n4 1c 1t | n5 1c 1t");
    place("contiguous w=n1,n3 mem=1", "n1 1c 1t 1M | n2 1c 1t 1M | n3 1c 1t 1M");
}

#[test]
fn lower_weights_come_first() {
    let cluster = "
        nodes a1 cpus=4 weight=5
        nodes b1 cpus=4 weight=1
        nodes c1 cpus=4 weight=3";
    place_on(cluster, "n=1", "b1 1c 1t");
    place_on(cluster, "n=6", "b1 4c 4t | c1 2c 2t");
    place_on(cluster, "n=12", "a1 4c 4t | b1 4c 4t | c1 4c 4t");
}

/// Filling in order would end on small nodes; the greatest number of nodes allows only the large ones.
#[test]
fn large_nodes_are_found_where_few_are_allowed() {
    let cluster = "
        nodes n1 cpus=4
        nodes n[2-3] cpus=16
        nodes n4 cpus=4";
    place_on(cluster, "N=2 n=30", "n2 16c 16t | n3 14c 14t");
    place_on(cluster, "N=1 n=16", "n2 16c 16t");
}

#[test]
fn a_node_for_one_user() {
    let cluster = "
        nodes n[1-2] cpus=4
        run 9 user=7 on=n1:0";
    place_on(cluster, "exclusive=user user=7", "n1 1c 1t");
    place_on(cluster, "exclusive=user user=8", "n2 1c 1t");
}

#[test]
fn cpus_of_a_partition_on_a_node() {
    let cluster = "
        nodes n1 cpus=16
        partition all
        partition few nodes=n1 cpus_per_node_max=4
        run 8 part=few on=n1:0-1
        run 9 part=all on=n1:2-9";
    place_on(cluster, "part=few n=2", "n1 2c 2t");
    place_on(cluster, "part=few n=3", "1 waits Resources, +60m on n1");
}

#[test]
fn devices_with_the_most_links_go_together() {
    // Pairs 0-3 and 1-2 are joined by four links, all others by one.
    let links = "links=-1,1,1,4/1,-1,4,1/1,4,-1,1/4,1,1,-1";
    crate::common::check(
        &format!("nodes n1 cpus=8 gres=gpu:4 {links}\njob 1 gres=gpu:2\njob 2 gres=gpu:2"),
        "1 starts in main: n1 1c 1t gpu:0,3
         2 starts in main: n1 1c 1t gpu:1-2",
    );
    // One is taken: its partner is left for who wants one.
    crate::common::check(
        &format!("nodes n1 cpus=8 gres=gpu:4 {links}\nrun 9 on=n1:0 gres=gpu:0\njob 1 gres=gpu:2\njob 2 gres=gpu:1"),
        "1 starts in main: n1 1c 1t gpu:1-2
         2 starts in main: n1 1c 1t gpu:3",
    );
    crate::common::check(
        &format!("nodes n1 cpus=8 gres=gpu:4 {links}\njob 1 gres=gpu:3"),
        "1 starts in main: n1 1c 1t gpu:0-2",
    );
}

#[test]
fn what_is_not_consumed_only_has_to_be_there() {
    crate::common::check(
        "nodes n1 cpus=2 kept=lustre:4
         nodes n2 cpus=2
         job 1 n=2 gres=lustre:4
         job 2 n=2 gres=lustre:1 t=10
         job 3 N=2 gres=lustre:1
         job 4 exclusive
         job 5 gres=lustre:5",
        "1 starts in main: n1 2c 2t
         4 starts in main: n2 2c 2t
         2 waits Resources, +525600m
         3 waits BadConstraints
         5 waits BadConstraints",
    );
}

#[test]
fn beside_named_nodes_the_lightest_are_taken() {
    let cluster = "
        nodes h[1-3] cpus=16 weight=5 features=slow
        nodes l[1-2] cpus=8
        partition main nodes=h[1-3],l[1-2]";
    place_on(cluster, "w=h3 N=2", "h3 1c 1t | l1 1c 1t");
    place_on(cluster, "w=h3 N=4", "h2 1c 1t | h3 1c 1t | l1 1c 1t | l2 1c 1t");
    place_on(cluster, "w=h3 n=30", "h3 16c 16t | l1 8c 8t | l2 6c 6t");
    place_on(cluster, "C=slow*2 N=3", "h1 1c 1t | h2 1c 1t | l1 1c 1t");
}
