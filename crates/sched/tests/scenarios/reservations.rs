//! Reservations: what they keep from jobs, and when jobs start because of them.

use muster_sched::Budget;

use crate::common::{check, check_with};

const TWO_NODES: &str = "nodes n[1-2] cpus=4\n";

#[track_caller]
fn two(text: &str, expected: &str) {
    check(&format!("{TWO_NODES}{text}"), expected);
}

#[test]
fn the_limit_decides_who_runs_before_a_maintenance() {
    two(
        "reservation m nodes=n[1-2] from=30 until=90 users=root flags=maint
         job 1 t=30
         job 2 t=31
         job 3 t=31 w=n1 N=1",
        "1 starts in main: n1 1c 1t
         2 waits ReqNodeNotAvail, Reserved for maintenance, +90m on n1
         3 waits ReqNodeNotAvail, Reserved for maintenance, +90m on n1",
    );
}

#[test]
fn a_part_that_is_open_is_used() {
    two(
        "reservation r nodes=n1 from=0 until=90 users=root
         job 1 t=60
         job 2 t=60 N=2
         job 3 t=60 w=n1 N=1",
        "1 starts in main: n2 1c 1t
         2 waits ReqNodeNotAvail, May be reserved for other job, +90m on n[1-2]
         3 waits ReqNodeNotAvail, May be reserved for other job, +90m on n1",
    );
}

#[test]
fn those_inside_stay_inside() {
    two(
        "reservation r nodes=n1 from=0 until=90 users=user1000
         reservation later nodes=n2 from=20 until=90 users=user1000
         job 1 t=600 c=4 resv=r
         job 2 t=10 c=4 resv=r
         job 3 t=10 resv=later
         job 4 t=10 resv=gone
         job 5 t=10 user=1001 resv=r
         job 6 t=20",
        "1 starts in main in r: n1 4c 1t
         6 starts in main: n2 1c 1t
         2 waits Resources
         3 waits Reservation, +20m on n2
         4 waits Reservation
         5 waits Reservation",
    );
}

#[test]
fn flexible_and_magnetic_ones() {
    two(
        "reservation f nodes=n1 from=30 until=90 users=user1000 flags=flex
         job 1 t=600 N=2 resv=f",
        "1 starts in main in f: n1 1c 1t | n2 1c 1t",
    );
    two(
        "reservation m nodes=n2 from=0 until=90 users=user1000 flags=magnetic
         job 1 t=60 c=4
         job 2 t=60 c=4
         job 3 t=60 user=1001",
        "1 starts in main in m: n2 4c 1t
         2 starts in main: n1 4c 1t
         3 waits Resources, +60m on n1",
    );
}

#[test]
fn parts_of_nodes() {
    check(
        "nodes n1 cpus=8 gres=gpu:4
         reservation r nodes=n1 cpus=0-3 gres=gpu:0-1 from=0 until=90 users=user1000
         job 1 t=60 c=4 gres=gpu:2 resv=r
         job 2 t=60 c=1 resv=r
         job 3 t=60 c=3 gres=gpu:2 user=1001
         job 4 t=60 c=2 user=1001
         job 5 t=60 c=1 gres=gpu:1 user=1001",
        "1 starts in main in r: n1 4c 1t gpu:0-1
         3 starts in main: n1 3c 1t gpu:2-3
         2 waits Resources, +60m on n1
         4 waits Resources, +60m on n1
         5 waits Priority, +60m on n1",
    );
    check(
        "nodes n1 cpus=8
         reservation r nodes=n1 cpus=0-3 from=0 until=90 users=root
         job 1 t=60 exclusive
         job 2 t=60 c=5
         job 3 t=60 c=4",
        "3 starts in main: n1 4c 1t
         1 waits ReqNodeNotAvail, May be reserved for other job, +90m on n1
         2 waits ReqNodeNotAvail, May be reserved for other job, +150m on n1",
    );
}

#[test]
fn borrowers_may_overlap() {
    two(
        "reservation r nodes=n[1-2] from=30 until=90 users=root delay=10
         job 1 t=60 borrows=10
         job 2 t=60 borrows=11",
        "1 starts in main: n1 1c 1t
         2 waits ReqNodeNotAvail, May be reserved for other job, +90m on n1",
    );
}

#[test]
fn those_made_over_others_go_before() {
    two(
        "reservation r nodes=n1 from=0 until=90 users=user1000
         reservation o nodes=n1 from=30 until=60 users=root flags=overlap
         job 1 t=30 resv=r
         job 2 t=31 resv=r",
        "1 starts in main in r: n1 1c 1t
         2 waits ReqNodeNotAvail, May be reserved for other job, +60m on n1",
    );
}

#[test]
fn recurring_ones_come_back() {
    two(
        "reservation d nodes=n[1-2] from=60 until=120 users=root flags=daily
         job 1 t=60
         job 2 t=1380
         job 3 t=1381",
        "1 starts in main: n1 1c 1t
         2 waits ReqNodeNotAvail, May be reserved for other job, +120m on n1
         3 waits ReqNodeNotAvail, May be reserved for other job",
    );
}

#[test]
fn licences_that_are_kept() {
    check(
        "config licenses=matlab:4
         nodes n[1-2] cpus=4
         reservation l from=30 until=90 users=user1000 flags=any_nodes L=matlab:3
         run 7 t=20 user=1001 on=n1:0 L=matlab:1
         job 1 t=20 L=matlab:3 user=1001
         job 2 t=60 L=matlab:2 user=1001
         job 3 t=60 L=matlab:1 user=1001",
        "1 starts in main: n1 1c 1t
         2 waits Licenses, +90m on n1
         3 waits Licenses, +20m on n1",
    );
}

#[test]
fn forecasts_keep_out_of_the_time_in_which_nodes_are_closed() {
    // Job 1 is planned exactly, the others are forecast: 2 would begin with the end of 1 and reach into the reservation, 3 ends
    // before it. Without the reservation 2 is told +90m.
    let budget = Budget { reservations_max: 1, ..Budget::default() };
    let scene = |reservation: &str| {
        format!(
            "nodes n[1-2] cpus=4
             {reservation}
             run 8 on=n1:0-3+n2:0-3 t=30
             job 1 n=8 t=60
             job 2 n=8 t=60
             job 3 n=8 t=5"
        )
    };
    check_with(
        &scene("reservation noon nodes=n[1-2] from=100 until=200 users=u1001"),
        &budget,
        "1 waits Resources, +30m on n[1-2]
         2 waits Priority, +12094s or so
         3 waits Priority, +90m or so",
    );
    check_with(
        &scene("reservation noon nodes=n[1-2] from=100 until=200 users=u1001 cpus=0-0"),
        &budget,
        "1 waits Resources, +30m on n[1-2]
         2 waits Priority, +90m or so
         3 waits Priority, +9008s or so",
    );
}

#[test]
fn a_closed_node_leaves_the_others_of_its_pool_to_the_forecast() {
    // What runs on n1 into the reservation is not counted off twice.
    let budget = Budget { reservations_max: 1, ..Budget::default() };
    check_with(
        "nodes n[1-2] cpus=4
         reservation noon nodes=n1 from=40 until=200 users=u1001
         run 8 on=n1:0-3 t=60
         run 9 on=n2:0-3 t=30
         job 1 n=4 t=30
         job 2 n=4 t=30
         job 3 n=4 t=30",
        &budget,
        "1 waits Resources, +30m on n2
         2 waits Priority, +60m or so
         3 waits Priority, +90m or so",
    );
}
