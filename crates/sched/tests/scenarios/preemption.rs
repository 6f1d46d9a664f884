//! Who makes room for whom.

use std::sync::Arc;

use crate::common::check;
use muster_model::ids::JobId;
use muster_model::preemption::{Eviction, PreemptMode};
use muster_model::time::Span;
use muster_sched::{Budget, Planner};
use muster_testkit::show;

#[test]
fn a_higher_tier_preempts_what_loses_least() {
    // Job 8 has worked for an hour on two CPUs, job 9 for ten minutes.
    check(
        "config preempt=partition:requeue
         nodes n1 cpus=4
         partition low tier=1
         partition high tier=2
         run 8 part=low on=n1:0-1 t=600 since=60
         run 9 part=low on=n1:2-3 t=600 since=10
         job 1 part=high n=2 t=60",
        "9 makes room for 1: requeue
         1 waits Resources, +600m on n1",
    );
}

#[test]
fn only_as_many_as_are_needed_make_room() {
    // By work lost 7 comes first and does not help: it is on the other node.
    check(
        "config preempt=partition:cancel
         nodes n[1-2] cpus=4
         partition low tier=1
         partition high tier=2 grace=2
         run 7 part=low on=n1:0-0 t=600 since=1
         run 8 part=low on=n1:1-3 t=600 since=60
         run 9 part=low on=n2:0-3 t=600 since=50
         job 1 part=high N=1 n=4 t=60",
        "7 makes room for 1: cancel
         8 makes room for 1: cancel
         1 waits Resources, +600m on n1",
    );
}

#[test]
fn grace_and_mode_are_those_of_the_victims_partition() {
    check(
        "config preempt=partition:cancel
         nodes n[1-3] cpus=4
         partition safe tier=1 preempt=off
         partition low tier=1 preempt=requeue grace=5
         partition high tier=2
         run 7 part=safe on=n1:0-3 t=600 since=1
         run 8 part=low on=n2:0-3 t=600 since=60
         run 9 part=low on=n3:0-3 t=600 since=50
         job 1 part=high n=4 t=60",
        "9 makes room for 1: requeue in +5m
         1 waits Resources, +600m on n1",
    );
}

#[test]
fn nobody_makes_room_for_what_starts_or_does_not_fit_anyway() {
    check(
        "config preempt=partition:cancel
         nodes n[1-2] cpus=4
         partition low tier=1
         partition high tier=2
         run 8 part=low on=n1:0-3 t=600
         job 1 part=high n=4 t=60
         job 2 part=high N=2 n=8 exclusive w=n2 t=60",
        "1 starts in high: n2 4c 4t
         2 waits Resources, +600m on n[1-2]",
    );
}

#[test]
fn a_qos_preempts_those_it_names_once_they_have_run_long_enough() {
    check(
        "config preempt=qos:requeue
         qos urgent prio=100 preempts=idle,normal
         qos normal prio=10 exempt=30
         qos idle prio=0 grace=1
         nodes n1 cpus=4
         run 7 qos=normal on=n1:0-1 t=600 since=10
         run 8 qos=idle on=n1:2-3 t=600 since=500
         job 1 qos=urgent n=2 t=60
         job 2 qos=urgent n=2 t=60
         job 3 qos=normal n=1 t=60",
        "8 makes room for 1: requeue in +1m
         1 waits Resources, +600m on n1
         2 waits Priority, +600m on n1
         3 waits Priority, +660m on n1",
    );
}

#[test]
fn who_is_suspended_gives_its_cpus_at_once_and_keeps_its_memory() {
    // Job 9 has lost less. Job 2 does not fit beside what both keep.
    check(
        "config gang preempt=partition:suspend memory=on
         nodes n1 cpus=4 mem=4000
         partition low tier=1
         partition high tier=2
         run 8 part=low on=n1:0-1 mem=1000 t=600 since=60
         run 9 part=low on=n1:2-3 mem=1000 t=600 since=10
         job 1 part=high n=2 t=60 mem=1000
         job 2 part=high n=2 t=60 mem=2000",
        "1 starts in high over 9: n1 2c 2t 1000M
         2 waits Resources, +600m on n1",
    );
}

#[test]
fn jobs_that_stand_already_are_stood_upon_first() {
    // Job 7 yields to job 6 on n1; its CPUs on n2 are nobody else's.
    check(
        "config gang preempt=partition:suspend
         nodes n[1-2] cpus=4
         partition low tier=1
         partition high tier=2
         run 6 part=high on=n1:0-3 t=600
         run 7 part=low on=n1:0-3+n2:0-1 t=600 yields=6
         run 8 part=low on=n2:2-3 t=600
         job 1 part=low n=1 t=60
         job 2 part=high n=2 t=60",
        "2 starts in high over 7: n2 2c 2t
         1 waits Resources, +600m on n1",
    );
}

#[test]
fn who_has_to_end_is_told_before_others_are_suspended() {
    check(
        "config gang preempt=partition:suspend
         nodes n1 cpus=4
         partition low tier=1
         partition gone tier=1 preempt=cancel
         partition high tier=2
         run 8 part=low on=n1:0-1 t=600 since=60
         run 9 part=gone on=n1:2-3 t=600 since=10
         job 1 part=high n=4 t=60",
        "9 makes room for 1: cancel
         1 waits Resources, +600m on n1",
    );
}

#[test]
fn without_gang_nobody_is_suspended() {
    check(
        "config preempt=partition:suspend
         nodes n1 cpus=4
         partition low tier=1
         partition high tier=2
         run 8 part=low on=n1:0-3 t=600
         job 1 part=high n=4 t=60",
        "1 waits Resources, +600m on n1",
    );
}

#[test]
fn cores_of_those_who_stand_are_chosen_where_cores_matter() {
    check(
        "config gang preempt=partition:suspend
         nodes n1 cpus=8 sockets=2 threads=2
         partition low tier=1
         partition high tier=2
         run 8 part=low on=n1:0-3 t=600
         run 9 part=high on=n1:4-7 t=600
         job 1 part=high n=2 t=60",
        "1 starts in high over 8: n1 2c 2t cpus:0-1",
    );
}

#[test]
fn cpus_that_several_take_turns_on_come_free_with_the_last_of_them() {
    check(
        "config gang preempt=partition:suspend
         nodes n1 cpus=4
         partition low tier=1 share=force:2
         partition high tier=2
         run 8 part=low on=n1:0-3 t=600
         run 9 part=low on=n1:0-3 t=600 yields=8
         job 1 part=high n=4 t=60",
        "1 starts in high over 9,8: n1 4c 4t cpus:0-3",
    );
}

#[test]
fn nobody_else_goes_while_one_is_leaving() {
    let seen = crate::common::view(
        "config preempt=qos:cancel
         qos high prio=100 preempts=low
         qos low
         nodes n[1-2] cpus=8
         run 7 qos=low on=n1:0-7 t=10
         run 8 qos=low on=n2:0-7 t=10
         job 1 qos=high n=8 t=10",
    );
    for kill_wait in [2, 30, 60] {
        let mut seen = seen.clone();
        std::sync::Arc::make_mut(&mut seen.config).kill_wait = Span::from_seconds(kill_wait);
        let first = Planner::new().plan(&seen, &Budget::default());
        assert_eq!(show::plan(&seen, &first), "7 makes room for 1: cancel\n1 waits Resources, +10m on n1\n");
        let at = (seen.now + Span::from_minutes(10), JobId(7));
        let mut gone = seen.running.remove(&at).expect("it runs");
        let leaving = Arc::make_mut(&mut gone);
        leaving.eviction = Some(Box::new(Eviction { since: seen.now, mode: PreemptMode::Cancel, by: JobId(1) }));
        (leaving.completing, leaving.end_time) = (true, Some(seen.now));
        seen.running.insert((seen.now, JobId(7)), gone);
        let then = Planner::new().plan(&seen, &Budget::default());
        assert_eq!(then.evictions, [], "{kill_wait}");
    }
}
