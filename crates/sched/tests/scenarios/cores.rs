//! Which cores, threads and units a request gets on nodes with sockets. The expected placements are those of Slurm
//! 22.05 on the same nodes, unless said otherwise.

use crate::common::{check, view};
use muster_sched::{Budget, Planner};
use muster_testkit::show;

/// `t`: 2 sockets of 4 cores of 2 threads. `u`: 2 sockets of 4 cores. Two GPUs beside each socket of either.
const SOCKETS: &str = "
    config memory=on
    nodes t[1-2] cpus=16 sockets=2 threads=2 mem=64000 gres=gpu:4 near=gpu:2@0-3+gpu:2@4-7
    nodes u1 cpus=8 sockets=2 mem=64000 gres=gpu:4 near=gpu:2@0-3+gpu:2@4-7
    nodes r1 cpus=16 sockets=2 threads=2 mem=64000 reserved=6-7,14-15 spec_mem=1000
    nodes s1 cpus=16 sockets=2 threads=2 mem=64000 gres=gpu:4,shard:16 near=gpu:2@0-3+gpu:2@4-7
    partition t nodes=t[1-2] mem_per_cpu=10
    partition u nodes=u1 mem_per_cpu=10
    partition r nodes=r1 mem_per_cpu=10
    partition s nodes=s1 mem_per_cpu=10
    partition g nodes=t[1-2] mem_per_cpu=10 cpus_per_gpu=4 mem_per_gpu=500
    partition f nodes=u1 mem_per_cpu=10 share=force:2
    partition y nodes=u1 mem_per_cpu=10 share=yes:3
";

#[track_caller]
fn place(job: &str, expected: &str) {
    let view = view(&format!("{SOCKETS}\njob 1 {job}"));
    let plan = show::plan(&view, &Planner::new().plan(&view, &Budget::default()));
    let outcome = plan.trim_end();
    let outcome = outcome.split_once(": ").map_or(outcome, |(_, shares)| shares);
    assert_eq!(outcome, expected, "{job}");
}

#[test]
fn cores_go_round_the_sockets() {
    place("part=t n=1", "t1 2c 1t cpus:0-1 20M");
    place("part=t n=3", "t1 4c 3t cpus:0-1,8-9 40M");
    place("part=t n=5", "t1 6c 5t cpus:0-3,8-9 60M");
    place("part=t c=3", "t1 4c 1t cpus:0-3 40M");
    place("part=t n=2 c=4", "t1 8c 2t cpus:0-7 80M");
    place("part=t n=4 m=block", "t1 4c 4t cpus:0-3 40M");
    place("part=u n=5", "u1 5c 5t cpus:0-2,4-5 50M");
    place("part=u c=5", "u1 5c 1t cpus:0-2,4-5 50M");
    place("part=u n=3 c=2", "u1 6c 3t cpus:0-5 60M");
    place("part=u n=2 c=3", "u1 6c 2t cpus:0-2,4-6 60M");
    place("part=u n=5 m=block", "u1 5c 5t cpus:0-4 50M");
}

#[test]
fn threads_and_tasks_of_a_core() {
    place("part=t n=3 tpc=1", "t1 6c 3t cpus:0-3,8-9 30M");
    place("part=t n=9 tpc=1", "t1 16c 8t cpus:0-15 80M | t2 2c 1t cpus:0-1 10M");
    place("part=t c=5 tpc=1", "t1 10c 1t cpus:0-5,8-11 50M");
    place("part=t n=4 tpcore=1", "t1 8c 4t cpus:0-3,8-11 80M");
    place("part=t n=4 tpcore=2", "t1 4c 4t cpus:0-1,8-9 40M");
    place("part=t n=4 tpsocket=1", "t1 4c 4t cpus:0-1,8-9 40M");
    place("part=t n=8 sockets=2 cores=4 tpc=1", "t1 16c 8t cpus:0-15 80M");
    place("part=t sockets=2", "t1 2c 2t cpus:0-1 20M");
}

#[test]
fn the_system_keeps_its_cores_and_memory() {
    place("part=r n=1", "r1 2c 1t cpus:0-1 20M");
    place("part=r n=12", "r1 12c 12t cpus:0-5,8-13 120M");
    place("part=r n=13", "1 waits BadConstraints");
    place("part=r mem=63000", "r1 2c 2t cpus:0-1 63000M");
    place("part=r mem=63001", "1 waits BadConstraints");
    place("part=r S=1 N=1 mem=1", "r1 14c 12t cpus:0-5,8-15 1M");
    place("part=t S=3 N=1 mem=1", "t1 10c 10t cpus:0-5,8-11 1M gpu:0-3");
}

#[test]
fn units_and_cores_near_each_other() {
    place("part=u gres=gpu:1 n=4", "u1 4c 4t cpus:0-3 40M gpu:0");
    place("part=u gres=gpu:1 n=6", "u1 6c 6t cpus:0-2,4-6 60M gpu:0");
    place("part=u gres=gpu:1 n=6 binding=enforced", "1 waits BadConstraints");
    place("part=u gres=gpu:1 n=4 binding=enforced", "u1 4c 4t cpus:0-3 40M gpu:0");
    place("part=u gres=gpu:2 n=5 binding=enforced", "1 waits BadConstraints");
    place("part=u gres=gpu:3 n=5 binding=enforced", "u1 5c 5t cpus:0-2,4-5 50M gpu:0-2");
    place("part=u gres=gpu:1 n=6 binding=disabled", "u1 6c 6t cpus:0-2,4-6 60M gpu:0");
    place("part=t gpus_per_socket=1 sockets=2", "t1 2c 2t cpus:0-1 20M gpu:0,2");
    place("part=t gpus_per_socket=1 sockets=1", "t1 2c 2t cpus:0-1 20M gpu:0");
    place("part=t gpus=3 cpus_per_gpu=2", "t1 6c 6t cpus:0-3,8-9 60M gpu:0-2");
    place("part=t gpus_per_node=2 cpus_per_gpu=2", "t1 4c 4t cpus:0-3 40M gpu:0-1");
    check(
        &format!("{SOCKETS}\nrun 9 on=u1:0-3 t=30\njob 1 part=u gres=gpu:1\njob 2 part=u gres=gpu:1"),
        "1 starts in u: u1 1c 1t cpus:4 10M gpu:2
         2 starts in u: u1 1c 1t cpus:5 10M gpu:3",
    );
}

#[test]
fn defaults_for_jobs_with_gpus() {
    place("part=g gpus=2", "t1 8c 8t cpus:0-7 1000M gpu:0-1");
    place("part=g gres=gpu:1", "t1 4c 4t cpus:0-3 500M gpu:0");
    place("part=g gres=gpu:1 c=2", "t1 2c 1t cpus:0-1 500M gpu:0");
    place("part=g n=1", "t1 2c 1t cpus:0-1 20M");
}

#[test]
fn a_gpu_is_given_whole_or_in_parts_of_one_kind() {
    place("part=s gres=shard:3", "s1 2c 2t cpus:0-1 20M shard:0-2");
    place("part=s gres=shard:5", "1 waits BadConstraints");
    place("part=s gres=shard:1,gpu:1", "1 waits BadConstraints");
    check(
        &format!(
            "{SOCKETS}
             job 1 part=s gres=shard:3
             job 2 part=s gres=shard:3
             job 3 part=s gres=shard:1
             job 4 part=s gres=gpu:2
             job 5 part=s gres=gpu:1"
        ),
        "1 starts in s: s1 2c 2t cpus:0-1 20M shard:0-2
         2 starts in s: s1 2c 2t cpus:2-3 20M shard:4-6
         3 starts in s: s1 2c 2t cpus:4-5 20M shard:3
         4 starts in s: s1 2c 2t cpus:8-9 20M gpu:2-3
         5 waits Resources, +525600m",
    );
}

#[test]
fn jobs_share_cores_where_the_partition_says_so() {
    check(
        &format!(
            "{SOCKETS}
             job 1 part=f n=4
             job 2 part=f n=4
             job 3 part=f n=4
             job 4 part=f n=4
             job 5 part=f n=4"
        ),
        "1 starts in f: u1 4c 4t cpus:0-1,4-5 40M
         2 starts in f: u1 4c 4t cpus:2-3,6-7 40M
         3 starts in f: u1 4c 4t cpus:0-1,4-5 40M
         4 starts in f: u1 4c 4t cpus:2-3,6-7 40M
         5 waits Resources, +525600m",
    );
    // Who asks to share may do so three times; who does not, waits for cores of his own.
    check(
        &format!(
            "{SOCKETS}
             job 1 part=y n=8 share
             job 2 part=y n=8 share
             job 3 part=y n=8 share
             job 4 part=y n=1
             job 5 part=u n=1"
        ),
        "1 starts in y: u1 8c 8t cpus:0-7 80M
         2 starts in y: u1 8c 8t cpus:0-7 80M
         3 starts in y: u1 8c 8t cpus:0-7 80M
         4 waits Resources, +525600m
         5 waits Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions, +525600m",
    );
}

#[test]
fn of_any_type_the_unit_that_is_near_is_given_and_counted() {
    // The free cores are near the GPU of type b. Job 2 gets what job 1 leaves: the one of type a.
    let text = "config memory=off
         nodes n1 cpus=4 sockets=2 gres=gpu:a:1,gpu:b:1 near=gpu:1@0-1+gpu:1@2-3
         run 9 on=n1:0-1 t=60
         job 1 n=1 gres=gpu:1 t=60
         job 2 n=1 gres=gpu:a:1 t=60";
    check(
        text,
        "1 starts in main: n1 1c 1t cpus:2 gpu:b:1
         2 starts in main: n1 1c 1t cpus:3 gpu:a:0",
    );
}

#[test]
fn nearness_takes_no_unit_that_a_planned_start_needs() {
    // Job 1 needs the GPU of type b, which is near the free cores; job 2 takes the other one.
    check(
        "config memory=off
         nodes n1 cpus=8 sockets=2 gres=gpu:a:1,gpu:b:1 near=gpu:1@0-3+gpu:1@4-7
         run 9 on=n1:0-3 t=10
         job 1 n=6 gres=gpu:b:1 t=60
         job 2 n=1 gres=gpu:1 t=60",
        "2 starts in main: n1 1c 1t cpus:4 gpu:a:0
         1 waits Resources, +10m on n1",
    );
}

#[test]
fn cores_are_shared_where_idle_ones_do_not_suffice() {
    // Nodes of one socket, where it does not matter otherwise which cores a job gets.
    let cluster = "
        config memory=on
        nodes p[1-2] cpus=8 mem=64000
        partition f nodes=p[1-2] mem_per_cpu=10 share=force:2
        partition n nodes=p[1-2] mem_per_cpu=10";
    check(
        &format!(
            "{cluster}
             job 1 part=f n=8
             job 2 part=f n=8
             job 3 part=f n=8
             job 4 part=f n=8
             job 5 part=f n=8
             job 6 part=n n=1"
        ),
        "1 starts in f: p1 8c 8t cpus:0-7 80M
         2 starts in f: p2 8c 8t cpus:0-7 80M
         3 starts in f: p1 8c 8t cpus:0-7 80M
         4 starts in f: p2 8c 8t cpus:0-7 80M
         5 waits Resources, +525600m
         6 waits Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions, +525600m",
    );
    check(
        &format!(
            "{cluster}
             job 1 part=f n=6 w=p1
             job 2 part=f n=6 w=p1
             job 3 part=f n=4 w=p1
             job 4 part=f n=2
             job 5 part=f n=8"
        ),
        "1 starts in f: p1 6c 6t cpus:0-5 60M
         2 starts in f: p1 2c 2t cpus:6-7 20M | p2 4c 4t cpus:0-3 40M
         3 starts in f: p1 4c 4t cpus:0-3 40M
         4 starts in f: p2 2c 2t cpus:4-5 20M
         5 starts in f: p2 8c 8t cpus:0-7 80M",
    );
    // Whoever wants whole nodes gets all their cores and shares them, as the partition forces it.
    check(
        &format!(
            "{cluster}
             job 1 part=f n=1 exclusive w=p1
             job 2 part=f n=1 w=p1
             job 3 part=f n=1 exclusive w=p1"
        ),
        "1 starts in f: p1 8c 1t cpus:0-7 80M
         2 starts in f: p1 1c 1t cpus:0 10M
         3 waits Resources, +525600m",
    );
}

#[test]
fn no_core_is_shared_by_more_jobs_than_may_be_however_they_lie_in_rows() {
    // Two jobs are on each core, though they are in three rows: 1 and 2 in the first, 3 and 4 in one each.
    check(
        "nodes p1 cpus=3 mem=64000
         partition f nodes=p1 share=force:2
         run 1 on=p1:0-0 t=30
         run 2 on=p1:2-2 t=30
         run 3 on=p1:0-1 t=30
         run 4 on=p1:1-2 t=30
         job 5 part=f n=1",
        "5 waits Resources, +30m on p1",
    );
}
