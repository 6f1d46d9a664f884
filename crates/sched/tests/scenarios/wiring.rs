//! Which nodes a request gets where nodes are wired. The expected placements in the tree are those of Slurm 22.05 on the
//! same cluster.

use crate::common::view;
use muster_sched::{Budget, Planner};
use muster_testkit::show;

const TREE: &str = "
    nodes n[1-12] cpus=4
    switch s0 nodes=n[1-2]
    switch s1 nodes=n[3-6]
    switch s2 nodes=n[7-9]
    switch s3 nodes=n[10-12]
    switch a switches=s0,s1
    switch b switches=s2,s3
    switch top switches=a,b
";

const BLOCKS: &str = "
    config block_sizes=4,8
    nodes n[1-16] cpus=4
    block b1 nodes=n[1-4]
    block b2 nodes=n[5-8]
    block b3 nodes=n[9-12]
    block b4 nodes=n[13-16]
";

/// Names of the nodes that a job gets, or why it waits.
#[track_caller]
fn nodes(cluster: &str, job: &str, expected: &str) {
    let view = view(&format!("{cluster}\njob 1 {job}"));
    let plan = Planner::new().plan(&view, &Budget::default());
    let outcome = match plan.starts.first() {
        Some(start) => {
            let names = start.shares.iter().filter_map(|share| view.nodes.get(share.node.0 as usize));
            muster_model::hostlist::compress(names.map(|node| node.name()))
        }
        None => show::plan(&view, &plan).trim_end().to_owned(),
    };
    assert_eq!(outcome, expected, "{job}");
}

#[test]
fn the_lowest_and_tightest_switch_holds_the_job() {
    for (job, expected) in [
        ("N=1", "n1"),
        ("N=2", "n[1-2]"),
        ("N=3", "n[7-9]"),
        ("N=4", "n[3-6]"),
        ("N=5", "n[1,3-6]"),
        ("N=6", "n[1-6]"),
        ("N=8", "n[1-8]"),
        ("N=12", "n[1-12]"),
        ("N=2 w=n1", "n[1-2]"),
        ("N=3 w=n1", "n[1-3]"),
        ("N=2 w=n1,n7", "n[1,7]"),
        ("N=3 w=n1,n7", "n[1-2,7]"),
        ("n=6", "n[1-2]"),
        ("n=12", "n[1-3]"),
        ("n=17", "n[1-5]"),
        ("N=2-4", "n[3-6]"),
        ("N=3 contiguous", "n[1-3]"),
        ("N=4 n=10", "n[3-6]"),
        ("N=3 x=n4", "n[3,5-6]"),
        ("N=3 x=n8", "n[10-12]"),
        // Two leaf switches; Slurm takes three here (n[1-7]), since it goes to the nearest leaf whatever its size.
        ("N=7", "n[3-9]"),
        ("N=4 x=n4", "n[1,3,5-6]"),
    ] {
        nodes(TREE, job, expected);
    }
}

#[test]
fn few_switches_are_waited_for_only_so_long() {
    nodes(TREE, "N=5 switches=2", "n[1,3-6]");
    // Jobs of these scenarios have waited for a minute; max_switch_wait is five.
    nodes(TREE, "N=6 switches=1", "1 waits Resources, +4m on n[1-6]");
    nodes(TREE, "N=6 switches=1@2", "1 waits Resources, +1m on n[1-6]");
    nodes(TREE, "N=6 switches=1@1", "n[1-6]");
}

#[test]
fn nodes_without_a_common_switch() {
    let islands = "nodes n[1-4] cpus=4\nswitch s0 nodes=n[1-2]\nswitch s1 nodes=n[3-4]";
    nodes(islands, "N=2 x=n1", "n[3-4]");
    nodes(islands, "N=3", "1 waits BadConstraints");
    nodes(&format!("config topology_optional\n{islands}"), "N=3", "n[1-3]");
}

#[test]
fn blocks_are_filled_one_after_the_other() {
    nodes(BLOCKS, "N=3", "n[1-3]");
    nodes(&format!("{BLOCKS}\nrun 9 on=n1:0-3+n6:0-3"), "N=3", "n[2-4]");
    nodes(BLOCKS, "N=6", "n[1-6]");
    nodes(&format!("{BLOCKS}\nrun 9 on=n1:0-3+n2:0-3+n3:0-3"), "N=6", "n[9-14]");
    nodes(BLOCKS, "N=12", "n[1-12]");
    // Not a segment of two, but of four, lies within a block here.
    nodes(&format!("{BLOCKS}\nrun 9 on=n1:0-3+n5:0-3"), "N=6 segment=2", "n[9-14]");
    nodes(&format!("{BLOCKS}\nrun 9 on=n1:0-3+n6:0-3+n9:0-3"), "N=8 segment=4", "1 waits Resources, +60m on n[1-8]");
}

#[test]
fn preferences_between_nodes() {
    let three = "nodes n[1-3] cpus=4 features=x\nnodes m1 cpus=4 features=y";
    nodes(three, "n=4 spread", "n[1-3],m1");
    nodes(three, "N=1-2 n=4 spread", "n[1-2]");
    nodes(three, "N=1-3", "n[1-3]");
    nodes(three, "N=1-3 min_nodes", "n1");
    nodes(three, "n=1 prefer=y", "m1");
    nodes(&format!("{three}\nrun 9 on=m1:0-3"), "n=1 prefer=y", "n1");
    nodes(three, "n=1 prefer=z", "1 waits BadConstraints");
    nodes(&format!("config lln\n{three}\nrun 9 on=n1:0+n2:0"), "n=1", "n3");
    nodes(&format!("config serial_at_end\n{three}"), "n=1", "m1");
    nodes(&format!("config serial_at_end\n{three}"), "n=2", "n1");
}
