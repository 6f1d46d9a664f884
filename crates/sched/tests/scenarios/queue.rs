//! The order of the queue, reasons, arrays and planned starts.

use crate::common::{check, check_with, plan_with, view};
use muster_model::time::TimeLimit;
use muster_sched::{Budget, Planner};

#[test]
fn first_come_first_served_while_there_is_room() {
    check(
        "nodes n[1-2] cpus=4
         job 1 n=4
         job 2 n=2
         job 3 n=2",
        "1 starts in main: n1 4c 4t
         2 starts in main: n2 2c 2t
         3 starts in main: n2 2c 2t",
    );
}

#[test]
fn the_first_blocked_waits_for_resources_and_the_others_for_priority() {
    check(
        "nodes n1 cpus=4
         run 9 on=n1:0-2 t=30
         job 1 n=4 t=60
         job 2 n=2 t=60
         job 3 n=4 t=60",
        "1 waits Resources, +30m on n1
         2 waits Priority, +90m on n1
         3 waits Priority, +150m on n1",
    );
}

#[test]
fn a_job_that_names_its_nodes_keeps_only_those_from_the_others() {
    // As in Slurm, whose main scheduler goes on with the other nodes: job 2 is the first that waits for any.
    let cluster = |naming: &str| {
        format!(
            "nodes n[1-2] cpus=4
             run 8 on=n1:0-3 t=30
             run 9 on=n2:0-3 t=40
             job 1 {naming} n=4 t=60
             job 2 x=n1 n=4 t=60
             job 3 x=n1 n=4 t=60"
        )
    };
    check(
        &cluster("w=n1"),
        "1 waits Resources, +30m on n1
         2 waits Resources, +40m on n2
         3 waits Priority, +100m on n2",
    );
    // Two nodes are wanted and one is named.
    check(
        &cluster("N=2 w=n1"),
        "1 waits Resources, +40m on n[1-2]
         2 waits Priority, +100m on n2
         3 waits Priority, +160m on n2",
    );
    check(
        &format!("config backfill=off\n{}", cluster("w=n1")),
        "1 waits Resources
         2 waits Resources
         3 waits Priority",
    );
}

#[test]
fn backfill_does_not_delay_the_planned_start() {
    // Job 3 is gone when job 1 is to start. Job 1 leaves two CPUs of n2 free, until job 2 is to have all of them:
    // job 4 would be there too long, job 5 just fits.
    check(
        "nodes n1 cpus=4
         nodes n2 cpus=6
         run 9 on=n1:0-3 t=30
         job 1 N=2 tpn=4 t=60
         job 2 N=1 n=6 t=60
         job 3 n=4 t=20
         job 4 n=2 t=91
         job 5 n=2 t=90",
        "3 starts in main: n2 4c 4t
         5 starts in main: n2 2c 2t
         1 waits Resources, +30m on n[1-2]
         2 waits Priority, +90m on n2
         4 waits Priority, +90m on n1",
    );
}

#[test]
fn a_planned_start_moves_for_a_job_behind_it_but_is_never_later() {
    // Job 1 would take n1, which is free, and n2. It can as well have n2 and n3, and then job 2 starts.
    check(
        "nodes n[1-3] cpus=4
         run 8 on=n2:0-3 t=30
         run 9 on=n3:0-3 t=30
         job 1 N=2 tpn=4 t=60
         job 2 n=4 t=120",
        "2 starts in main: n1 4c 4t
         1 waits Resources, +30m on n[2-3]",
    );
    // Here it cannot without coming later.
    check(
        "nodes n[1-3] cpus=4
         run 8 on=n2:0-3 t=30
         run 9 on=n3:0-3 t=31
         job 1 N=2 tpn=4 t=60
         job 2 n=4 t=120",
        "1 waits Resources, +30m on n[1-2]
         2 waits Priority, +31m on n3",
    );
}

#[test]
fn units_that_are_planned_for_somebody_are_left() {
    // Job 1 needs the one GPU of type a that is free. Job 2 takes any: not that one.
    check(
        "nodes n1 cpus=4 gres=gpu:a:2,gpu:b:2
         run 8 on=n1:0-0 t=70 gres=gpu:a:0-0
         run 9 on=n1:1-2 t=10
         job 1 n=2 gres=gpu:a:1,gpu:1 t=30
         job 2 n=1 gres=gpu:1 t=60",
        "2 starts in main: n1 1c 1t gpu:b:2
         1 waits Resources, +10m on n1",
    );
}

#[test]
fn what_fits_fits_all_the_more_when_more_is_free() {
    // The cheapest node with each feature are no neighbours, others are.
    check(
        "nodes n1 cpus=4 features=a
         nodes n2 cpus=4 features=b weight=2
         nodes n3 cpus=4 features=a weight=2
         nodes n4 cpus=4 features=b weight=2 state=drain
         nodes n5 cpus=4 features=b
         job 1 contiguous N=2 C=[a*1&b*1]",
        "1 starts in main: n1 1c 1t | n2 1c 1t",
    );
    check(
        "nodes n1 cpus=4 features=a
         nodes n3 cpus=4 features=a,b weight=2
         nodes n5 cpus=4 features=b
         nodes n6 cpus=4 features=a weight=3
         job 1 contiguous N=2 C=[a*1&b*1]",
        "1 starts in main: n1 1c 1t | n3 1c 1t",
    );
    // Units over the job, one on each node at the least; the nodes with most units have too few CPUs.
    check(
        "nodes n1 cpus=6 gres=gpu:4
         nodes n2 cpus=2 gres=gpu:4
         nodes n3 cpus=6 gres=gpu:2
         job 1 gpus=5 n=7 c=2 t=30",
        "1 starts in main: n1 6c 3t gpu:0-2 | n2 2c 1t gpu:0 | n3 6c 3t gpu:0",
    );
}

#[test]
fn a_job_that_waits_for_units_is_told_when_they_come_back() {
    // No node has room for more tasks then, but for more units.
    check(
        "nodes n1 cpus=8 gres=gpu:4
         nodes n2 cpus=8 gres=gpu:4
         run 8 on=n1:0-1 t=30 gres=gpu:0-2
         run 9 on=n2:0-1 t=50 gres=gpu:0-2
         job 1 tpn=2 gpus=5",
        "1 waits Resources, +30m on n[1-2]",
    );
}

#[test]
fn who_wants_a_node_for_himself_minds_only_those_who_are_still_there() {
    // The job of the other user is over in time; one that is not has to wait.
    let text = "nodes n1 cpus=5
         run 9 user=1 on=n1:0-3 t=80
         job 1 user=1 n=2 exclusive=user t=30
         job 2 user=2 n=1 t=60";
    check(
        text,
        "2 starts in main: n1 1c 1t
         1 waits Resources, +80m on n1",
    );
    check(
        &text.replace("t=60", "t=90"),
        "1 waits Resources, +80m on n1
         2 waits Priority, +110m on n1",
    );
}

#[test]
fn classic_backfill_holds_for_one_job_only() {
    let budget = Budget { reservations_per_partition_max: 1, ..Budget::default() };
    check_with(
        "nodes n1 cpus=4
         run 9 on=n1:0-2 t=30
         job 1 n=4 t=60
         job 2 n=4 t=60
         job 3 n=1 t=30",
        &budget,
        "3 starts in main: n1 1c 1t
         1 waits Resources, +30m on n1
         2 waits Priority, +90m on n1 or so",
    );
}

#[test]
fn the_first_blocked_job_of_each_partition_gets_a_planned_start() {
    let budget = Budget { reservations_max: 1, ..Budget::default() };
    check_with(
        "nodes n[1-2] cpus=4
         partition a nodes=n1
         partition b nodes=n2
         run 8 on=n1:0-2 t=30
         run 9 on=n2:0-2 t=40
         job 1 part=a n=4 t=60
         job 2 part=a n=4 t=60
         job 3 part=b n=4 t=60",
        &budget,
        "1 waits Resources, +30m on n1
         2 waits Priority, +90m or so
         3 waits Resources, +40m on n2",
    );
}

/// Without a planned start nothing protects a large job from small ones.
#[test]
fn without_planned_starts_small_jobs_pass() {
    let budget = Budget { reservations_max: 0, ..Budget::default() };
    check_with(
        "nodes n1 cpus=4
         run 9 on=n1:0-2 t=30
         job 1 n=4 t=60
         job 3 n=1 t=600",
        &budget,
        "3 starts in main: n1 1c 1t
         1 waits Resources",
    );
}

#[test]
fn starts_beyond_the_window_are_told_and_not_held() {
    check(
        "nodes n1 cpus=4
         run 9 on=n1:0-2 t=3000
         job 1 n=4 t=60
         job 2 n=1 t=6000",
        "2 starts in main: n1 1c 1t
         1 waits Resources, +3000m",
    );
}

#[test]
fn without_backfill_a_blocked_job_closes_its_partition() {
    check(
        "config backfill=off
         nodes n[1-3] cpus=4
         partition a nodes=n[1-2]
         partition b nodes=n[2-3]
         run 9 on=n1:0-3 t=30
         job 1 part=a N=2 t=60
         job 2 part=a n=1 t=1
         job 3 part=b n=1 t=1
         job 4 part=b n=1 w=n2 t=1",
        "3 starts in b: n3 1c 1t
         1 waits Resources
         2 waits Priority
         4 waits ReqNodeNotAvail, UnavailableNodes:n2",
    );
}

#[test]
fn partitions_that_share_nodes() {
    check(
        "nodes n[1-2] cpus=4
         partition a nodes=n[1-2]
         partition b nodes=n2
         run 9 on=n1:0-3 t=30
         run 8 on=n2:0-3 t=30
         job 1 part=a N=2 t=60
         job 2 part=b n=1 t=60",
        "1 waits Resources, +30m on n[1-2]
         2 waits Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions, +30m on n2",
    );
}

#[test]
fn nodes_out_of_service_are_left_alone() {
    check(
        "nodes n1 cpus=4 state=drain
         nodes n2 cpus=4 state=down
         nodes n3 cpus=4 state=silent
         nodes n4 cpus=4
         job 1 n=4
         job 2 w=n1
         job 3 N=2
         job 4 n=1",
        "1 starts in main: n4 4c 4t
         2 waits ReqNodeNotAvail, UnavailableNodes:n1
         3 waits Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions
         4 waits Priority, +525600m",
    );
}

#[test]
fn limits_of_partitions() {
    check(
        "config memory=on
         nodes n[1-2] cpus=4 mem=4000
         partition a max=60 nodes_max=1 max_mem_per_node=1000
         partition down nodes=n1 state=down
         partition off nodes=n1 state=inactive
         partition drain nodes=n1 state=drain
         partition two nodes=n[1-2] nodes_min=2
         job 1 N=2 mem=1
         job 2 t=61 mem=1
         job 3 part=down mem=1
         job 4 part=off mem=1
         job 5 part=drain mem=1 t=1
         job 6 part=two N=1 mem=1
         job 7 n=9 mem=1
         job 8 mem=2000
         job 9 resv=gone mem=1
         job 10 part=drain mem=1 t=1 C=none",
        "5 starts in drain: n1 1c 1t 1M
         9 waits Reservation
         1 waits PartitionNodeLimit
         2 waits PartitionTimeLimit
         3 waits PartitionDown
         4 waits PartitionInactive
         6 waits PartitionNodeLimit
         7 waits PartitionConfig
         8 waits MaxMemPerLimit
         10 waits BadConstraints",
    );
}

/// Slurm 22.05 cuts the greatest number of nodes to the tasks and to the nodes that the partition has, but not to its
/// MaxNodes.
#[test]
fn the_greatest_number_of_nodes_and_the_limit_of_the_partition() {
    check(
        "nodes n[1-2] cpus=4
         partition small nodes=n1 nodes_max=1
         partition pair nodes=n[1-2]
         job 1 part=small N=1-2 n=1 t=1
         job 2 part=small N=1-3 n=3
         job 3 part=small N=1-3
         job 4 part=pair N=1-3 n=4 t=1
         job 5 part=pair N=3
         job 6 part=pair N=3-4",
        "1 starts in small: n1 1c 1t
         4 starts in pair: n1 3c 3t | n2 1c 1t
         2 waits PartitionNodeLimit
         3 waits PartitionNodeLimit
         5 waits PartitionNodeLimit
         6 waits PartitionNodeLimit",
    );
}

#[test]
fn licenses_run_out_without_blocking_others() {
    check(
        "config licenses=matlab:3
         nodes n1 cpus=8
         run 9 on=n1:0 L=matlab:1
         job 1 L=matlab
         job 2 L=matlab:2
         job 3 n=1
         job 4 L=matlab t=60",
        "1 starts in main: n1 1c 1t
         3 starts in main: n1 1c 1t
         4 starts in main: n1 1c 1t
         2 waits Licenses, +60m on n1",
    );
}

#[test]
fn licences_are_held_for_planned_starts() {
    // Job 2 gets all licences when job 9 is over. Job 3 would hold one of them beyond that; job 4 is over in time.
    check(
        "config licenses=matlab:3
         nodes n1 cpus=8
         run 9 t=30 on=n1:0 L=matlab:1
         job 2 L=matlab:3 t=60
         job 3 L=matlab t=60
         job 4 L=matlab t=30
         job 5 t=60",
        "4 starts in main: n1 1c 1t
         5 starts in main: n1 1c 1t
         2 waits Licenses, +30m on n1
         3 waits Licenses, +90m on n1",
    );
    // Each is told a start after those before it.
    check(
        "config licenses=matlab:2
         nodes n1 cpus=8
         run 9 t=30 on=n1:0 L=matlab:2
         job 1 L=matlab:2 t=10
         job 2 L=matlab:2 t=10
         job 3 L=matlab:1 t=10
         job 4 L=matlab:1 t=10",
        "1 waits Licenses, +30m on n1
         2 waits Licenses, +40m on n1
         3 waits Licenses, +50m on n1
         4 waits Licenses, +50m on n1",
    );
    // Who waits for nodes waits for licences too: the nodes are there sooner.
    check(
        "config licenses=matlab:2
         nodes n1 cpus=4
         run 8 t=10 on=n1:0-2
         run 9 t=30 on=n1:3 L=matlab:2
         job 1 n=3 L=matlab t=10
         job 2 n=3 t=10",
        "1 waits Licenses, +30m on n1
         2 waits Resources, +10m on n1",
    );
}

#[test]
fn planned_starts_take_nodes_in_use_where_that_is_wanted() {
    let cluster = "nodes n1 cpus=4 state=drain
         nodes n[2-4] cpus=4
         run 9 t=60 on=n4:0-3
         run 8 t=60 on=n3:0-3
         job 1 N=2 n=8 t=60";
    check(cluster, "1 waits Resources, +60m on n[2-3]");
    check(&format!("config busy_nodes=on\n{cluster}"), "1 waits Resources, +60m on n[3-4]");
    // Nodes that are idle make up what is missing.
    check(
        &format!("config busy_nodes=on\n{}", cluster.replace("N=2 n=8", "N=3 n=12")),
        "1 waits Resources, +60m on n[2-4]",
    );
}

#[test]
fn the_first_job_without_nodes_is_planned_beside_those_without_licences() {
    check_with(
        "config licenses=matlab:1
         nodes n1 cpus=2
         run 9 t=30 on=n1:0 L=matlab:1
         job 1 L=matlab t=60
         job 2 L=matlab t=60
         job 3 n=2 t=10
         job 4 n=1 t=60",
        &Budget { reservations_max: 1, expectations: false, ..Budget::default() },
        "4 starts in main: n1 1c 1t
         1 waits Licenses, +30m on n1
         2 waits Licenses
         3 waits Resources, +90m on n1",
    );
}

#[test]
fn a_shorter_run_may_have_licences_until_others_need_them() {
    let view = view(
        "config licenses=matlab:2
         nodes n1 cpus=8
         run 9 t=30 on=n1:0 L=matlab:1
         job 1 L=matlab:2 t=60
         job 2 L=matlab t=60 tmin=10",
    );
    let plan = Planner::new().plan(&view, &Budget::default());
    let starts: Vec<_> = plan.starts.iter().map(|start| (start.job_id.0, start.time_limit)).collect();
    assert_eq!(starts, vec![(2, Some(TimeLimit::from_minutes(30)))]);
}

#[test]
fn arrays_start_tasks_in_order_as_far_as_they_may() {
    check(
        "nodes n1 cpus=4
         job 1 array=0-9 n=1 slots=2
         job 2 array=5,7,20-900 n=1 t=60
         job 3 n=1 t=10",
        "1_0 starts in main: n1 1c 1t
         1_1 starts in main: n1 1c 1t
         2_5 starts in main: n1 1c 1t
         2_7 starts in main: n1 1c 1t
         1 waits JobArrayTaskLimit
         2 waits Resources, +60m on n1
         3 waits Priority, +600m on n1",
    );
    check("nodes n1 cpus=4\njob 1 array=0-9 slots=0", "1 waits JobArrayTaskLimit");
}

#[test]
fn partitions_are_tried_in_order() {
    check(
        "nodes n[1-2] cpus=4
         partition a nodes=n1
         partition b nodes=n2
         partition c nodes=n1 state=down
         run 9 on=n1:0-3 t=30
         job 1 part=c,a,b n=4 t=60
         job 2 part=b,a n=4 t=60",
        "1 starts in b: n2 4c 4t
         2 waits Resources, +30m on n1",
    );
}

/// A job of several partitions stands in the queue once for each, with the tier of that partition.
#[test]
fn each_partition_of_a_job_has_its_tier() {
    // In high it comes before job 2; what it leaves there goes on to job 2.
    check(
        "nodes n1 cpus=4
         partition low
         partition high tier=9
         job 1 part=low n=1 t=60
         job 2 part=high n=2 t=60 prio=1
         job 3 part=low,high n=2 t=60",
        "3 starts in high: n1 2c 2t
         2 starts in high: n1 2c 2t
         1 waits Resources, +60m on n1",
    );
    // Its planned start in one partition does not keep it from starting in the other.
    check(
        "nodes n[1-2] cpus=4
         partition a nodes=n[1-2]
         partition b nodes=n1 tier=9
         run 9 on=n1:0-2 t=30
         job 1 part=a,b n=4 t=60
         job 2 part=a n=1 t=30
         job 3 part=a n=4 t=60",
        "1 starts in a: n2 4c 4t
         2 starts in a: n1 1c 1t
         3 waits Resources, +30m on n1",
    );
}

/// It is told one thing, and counts once for those behind it.
#[test]
fn a_job_of_several_partitions_is_told_once() {
    // In b it is to start later than in a, so nothing is kept for it there.
    check(
        "nodes n[1-2] cpus=4
         partition a nodes=n1
         partition b nodes=n2
         run 8 on=n1:0-2 t=30
         run 9 on=n2:0-2 t=40
         job 1 part=b,a n=4 t=60
         job 2 part=b n=1 t=600
         job 3 part=a n=1 t=600",
        "2 starts in b: n2 1c 1t
         1 waits Resources, +30m on n1
         3 waits Priority, +90m on n1",
    );
    // What may pass is told rather than what somebody has to change.
    check(
        "nodes n1 cpus=4
         partition off state=down tier=9
         partition on
         run 9 on=n1:0-3 t=30
         job 1 part=off,on n=4 t=60",
        "1 waits Resources, +30m on n1",
    );
}

#[test]
fn tasks_of_an_array_start_in_either_partition_and_each_once() {
    check(
        "nodes n[1-2] cpus=2
         partition a nodes=n1
         partition b nodes=n2
         job 1 part=a,b array=0-4 n=1 t=60",
        "1_0 starts in a: n1 1c 1t
         1_1 starts in a: n1 1c 1t
         1_2 starts in b: n2 1c 1t
         1_3 starts in b: n2 1c 1t
         1 waits Resources, +60m on n2",
    );
}

#[test]
fn tiers_and_priorities_order_the_queue() {
    check(
        "nodes n1 cpus=2
         partition low
         partition high tier=9
         job 1 n=1 prio=5 t=1
         job 2 n=1 prio=9 t=1
         job 3 part=high n=1 prio=1 t=1",
        "3 starts in high: n1 1c 1t
         2 starts in low: n1 1c 1t
         1 waits Resources, +1m on n1",
    );
}

#[test]
fn a_user_who_has_a_node_for_himself_keeps_it_during_the_pass() {
    check(
        "nodes n1 cpus=4
         job 1 exclusive=user user=7 t=10
         job 2 user=8 t=10
         job 3 user=7 t=10
         job 4 user=8 t=10",
        "1 starts in main: n1 1c 1t
         3 starts in main: n1 1c 1t
         2 waits Resources, +10m on n1
         4 waits Priority, +10m on n1",
    );
}

#[test]
fn a_pass_ends_at_its_limits() {
    let text = "
        nodes n1 cpus=8
        job 1
        job 2 array=0-3
        job 3";
    check_with(
        text,
        &Budget { starts_max: 3, ..Budget::default() },
        "1 starts in main: n1 1c 1t
         2_0 starts in main: n1 1c 1t
         2_1 starts in main: n1 1c 1t
         exhausted",
    );
    check_with(text, &Budget { jobs_max: 1, ..Budget::default() }, "1 starts in main: n1 1c 1t\nexhausted");
}

#[test]
fn units_are_never_given_twice_in_one_pass() {
    check(
        "nodes n1 cpus=8 gres=gpu:4
         run 9 on=n1:0 gres=gpu:1
         job 1 gres=gpu:1
         job 2 gres=gpu:2
         job 3 gres=gpu:1 t=5",
        "1 starts in main: n1 1c 1t gpu:0
         2 starts in main: n1 1c 1t gpu:2-3
         3 waits Resources, +60m on n1",
    );
}

#[test]
fn nothing_is_kept_for_a_qos_without_reserve() {
    let scene = |flags: &str| {
        format!(
            "qos standby{flags}
             nodes n1 cpus=4
             run 8 on=n1:0-1 t=30
             job 1 qos=standby n=4 t=60
             job 2 n=2 t=60"
        )
    };
    check(&scene(""), "1 waits Resources, +30m on n1\n2 waits Priority, +90m on n1");
    check(&scene(" flags=NoReserve"), "2 starts in main: n1 2c 2t\n1 waits Resources, +60m on n1 or so");
}

#[test]
fn a_qos_lets_its_jobs_pass_limits_of_the_partition() {
    for (flag, job, reason) in [
        ("PartitionMaxNodes", "N=4 n=4 t=60", "PartitionNodeLimit"),
        ("PartitionMinNodes", "N=1-1 n=1 t=60", "PartitionNodeLimit"),
        ("PartitionTimeLimit", "N=2 n=2 t=90", "PartitionTimeLimit"),
    ] {
        let plan = |flags: &str| {
            let text = format!(
                "qos free{flags}
                 nodes n[1-4] cpus=4
                 partition short nodes=n[1-4] nodes_min=2 nodes_max=3 max=60
                 job 1 part=short qos=free {job}"
            );
            plan_with(&text, &Budget::default())
        };
        assert_eq!(plan(""), format!("1 waits {reason}\n"), "{flag}");
        assert!(plan(&format!(" flags={flag}")).starts_with("1 starts in short: n1"), "{flag}");
    }
}
