//! Jobs that stand for others, with the real commands and real processes.

mod support;

use support::Cluster;

/// One node; `low` gives way to `high`, and two jobs may be on a core of `turns`.
fn cluster() -> Cluster {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let conf = directory.path().join("suspension.conf");
    let text = "ClusterName=peer\nSlurmctldHost=localhost\nPreemptType=preempt/partition_prio\nPreemptMode=SUSPEND,GANG\n\
                SchedulerTimeSlice=5\nSelectTypeParameters=CR_Core_Memory\nDefMemPerCPU=10\nKillWait=1\n\
                NodeName=n[1-2] CPUs=4 RealMemory=1000 State=UNKNOWN\n\
                PartitionName=low Nodes=n1 Default=YES PriorityTier=1\nPartitionName=high Nodes=n1 PriorityTier=10\n\
                PartitionName=turns Nodes=n2 OverSubscribe=FORCE:2\n";
    std::fs::write(&conf, text).expect("a file");
    Cluster::start(&["--conf", conf.to_str().expect("a plain path")])
}

/// State and, for the memory that it keeps, what the node has given away.
fn states(cluster: &Cluster) -> String {
    cluster.out("squeue -h -S i -o '%i %t'").replace('\n', ", ")
}

#[test]
fn a_job_of_a_higher_tier_starts_where_another_stands_for_it() {
    let cluster = cluster();
    let first = cluster.submit("-p low -n 4 -o first --wrap 'echo begun; sleep 300'");
    cluster.wait("it to begin", || cluster.read("first").contains("begun"));
    let urgent = cluster.submit("-p high -n 2 -o urgent --wrap 'echo begun; sleep 300'");
    cluster.wait("the urgent one to begin", || cluster.read("urgent").contains("begun"));
    assert_eq!(states(&cluster), format!("{first} S, {urgent} R"));
    assert_eq!(cluster.out("sinfo -h -p low -o '%T %C'"), "allocated 4/0/0/4");
    let shown = cluster.out("scontrol show node n1");
    assert!(shown.contains("AllocMem=60"), "{shown}");
    let shown = cluster.out(&format!("scontrol show job {first}"));
    assert!(shown.contains("JobState=SUSPENDED") && shown.contains("PreemptTime=None"), "{shown}");
    // Nobody else gets the CPUs that it has a claim to.
    let waits = cluster.submit("-p low -n 1 -o /dev/null --wrap true");
    cluster.wait("a reason", || cluster.out(&format!("squeue -h -j {waits} -o '%t %r'")) == "PD Resources");
    cluster.out(&format!("scancel {urgent}"));
    cluster.wait("it to go on", || cluster.out(&format!("squeue -h -j {first} -o %t")) == "R");
    cluster.out(&format!("scancel {first}"));
    cluster.wait_state(waits, "COMPLETED");
}

#[test]
fn jobs_that_share_cores_take_turns() {
    let cluster = cluster();
    let first = cluster.submit("-p turns -n 4 -o first --wrap 'echo begun; sleep 300'");
    cluster.wait("it to begin", || cluster.read("first").contains("begun"));
    let second = cluster.submit("-p turns -n 4 -o second --wrap 'echo begun; sleep 300'");
    let third = cluster.submit("-p turns -n 4 -o third --wrap true");
    cluster.wait("the second to have a place", || states(&cluster) == format!("{first} R, {second} S, {third} PD"));
    cluster.wait("turns to change", || states(&cluster) == format!("{first} S, {second} R, {third} PD"));
    cluster.wait("the second to begin", || cluster.read("second").contains("begun"));
    cluster.out(&format!("scancel {first} {second}"));
    cluster.wait_state(third, "COMPLETED");
}
