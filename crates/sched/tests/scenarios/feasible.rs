//! Refusals at submit, and `--test-only`. The refusals are Slurm 22.05's on the same cluster.

use crate::common::view;
use muster_model::hostlist;
use muster_model::job::Job;
use muster_model::planning::PlanView;
use muster_sched::Planner;
use muster_testkit::show;

const CLUSTER: &str = "
    config memory=on licenses=matlab:4,foo:2
    nodes n[1-6] cpus=16 mem=64000 gres=gpu:2
    nodes s[1-2] cpus=8 threads=2 mem=8000 features=smt,a weight=10
    nodes s3 cpus=8 threads=2 mem=8000 features=smt,b weight=10
    partition batch nodes=n[1-6]
    partition smt nodes=s[1-3] mem_per_cpu=100
    partition two nodes=n[1-2] nodes_min=2
    partition tiny nodes=n1 nodes_max=1 cpus_per_node_max=4 mem_per_node=1000
    partition small nodes=n1 nodes_max=1
    partition mc nodes=n[1-6] max_mem_per_cpu=1000 mem_per_cpu=100
";

fn with_job(cluster: &str, job: &str) -> (PlanView, Job) {
    let view = view(&format!("{cluster}\njob 1 {job}"));
    let job = view.queue.values().next().map(|job| Job::clone(job)).unwrap();
    (view, job)
}

#[track_caller]
fn check(job: &str, expected: &str) {
    let (view, parsed) = with_job(CLUSTER, job);
    let outcome = match Planner::new().check_feasible(&view, &parsed.spec) {
        Ok(()) => "ok".to_owned(),
        Err(refusal) if refusal.detail.is_empty() => format!("{:?}", refusal.code),
        Err(refusal) => format!("{:?}: {}", refusal.code, refusal.detail),
    };
    assert_eq!(outcome, expected, "{job}");
}

#[test]
fn nodes_needed_when_nothing_runs() {
    let check = |job: &str, expected: Option<u32>| {
        let (view, parsed) = with_job(CLUSTER, job);
        assert_eq!(Planner::new().nodes_when_empty(&view, &parsed.spec), expected, "{job}");
    };
    check("n=17 mem=10", Some(2));
    check("n=40 mem=10", Some(3));
    check("N=2 n=40 mem=10", None);
    check("N=1-3 n=17 mem=10", Some(3));
    check("n=6 tpn=2 mem=10", Some(3));
    check("gpus=3 mem=10", Some(2));
    check("n=20 mem_per_cpu=8000", Some(3));
    check("part=smt n=9", Some(2));
    check("part=tiny n=17", None);
    check("part=tiny,batch n=17 mem=10", Some(2));
}

#[test]
fn what_only_limits_forbid_is_accepted() {
    for job in [
        "N=7",
        "n=97 mem=10",
        "n=200 mem_per_cpu=10",
        "part=two N=1 mem=1",
        "part=two N=3",
        "part=tiny N=2",
        "part=tiny n=5",
        "part=tiny n=17",
        "part=small n=17 mem=1",
        "part=small N=2 mem=1",
        "part=small c=17",
        "part=small w=n1,n2 mem=1",
        "part=smt C=[a*2&b*1] N=4",
        "w=n1 N=2 mem=1",
    ] {
        check(job, "ok");
    }
}

#[test]
fn what_no_node_has_is_refused_with_a_word_on_what() {
    let memory = "NodeConfigUnavailable: Memory specification can not be satisfied";
    let cpus = "NodeConfigUnavailable: CPU count per node can not be satisfied";
    check("mem=64001", memory);
    check("mem_per_cpu=64001", memory);
    check("part=smt mem=8001", memory);
    check("c=17", cpus);
    check("mincpus=17", cpus);
    check("part=mc mem=0", cpus);
    check("N=1 tpn=17 mem=1", cpus);
    check("tmp=5", "NodeConfigUnavailable: Temporary disk specification can not be satisfied");
}

#[test]
fn a_held_job_is_not_asked_yet_whether_it_can_run() {
    for (request, expected) in
        [("c=17", "ok"), ("mem=70000", "ok"), ("part=nosuch", "InvalidPartition"), ("gres=nosuch:1", "InvalidGres")]
    {
        let (view, mut job) = with_job(CLUSTER, request);
        std::sync::Arc::make_mut(&mut job.spec).hold = true;
        let refusal = Planner::new().check_feasible(&view, &job.spec).err();
        assert_eq!(refusal.map_or("ok".to_owned(), |refusal| format!("{:?}", refusal.code)), expected, "{request}");
    }
}

#[test]
fn what_no_set_of_nodes_has_is_refused() {
    for job in [
        "N=1 n=16 mem_per_cpu=5000",
        "c=16 mem_per_cpu=5000",
        "x=n[1-6]",
        "x=n[2-6] N=2",
        "gres=gpu:3",
        "gres=gpu:a100:1",
        "gpus=13 mem=1",
        "gpus=5 n=2 mem=1",
        "part=smt gres=gpu:1",
        "n=9 tpn=1 mem=1",
        "C=smt",
        "part=smt C=smt*4",
        "part=smt C=[smt*4]",
        "part=smt C=smt*2 N=1",
        "part=smt C=[a|b] N=3",
        "part=smt C=a&b",
        "part=smt C=a|smt&b N=3",
        "c=10 n=2 N=1 mem=1",
        "part=small w=n2 mem=1",
        "n=9 gpus_per_task=2 mem=1",
    ] {
        check(job, "NodeConfigUnavailable");
    }
}

#[test]
fn unknown_things_are_refused_by_name() {
    check("w=nosuch", "InvalidNodeName");
    check("w=n1,n9", "InvalidNodeName");
    check("w=n[1", "InvalidNodeName");
    check("x=nosuch", "InvalidNodeName");
    check("w=n1 x=n1", "InvalidNodeName");
    check("gres=nosuch:1", "InvalidGres");
    check("gres=nosuch:0 mem=1", "ok");
    check("C=nosuch", "InvalidFeature");
    check("C=smt|nosuch part=smt", "InvalidFeature");
    check("C=(smt part=smt", "InvalidFeature");
    check("L=nosuch", "InvalidLicense");
    check("L=matlab:99", "InvalidLicense");
    check("L=matlab:abc", "InvalidLicense");
    check("L=matlab:1;foo:1 mem=1", "ok");
    check("resv=nosuch", "InvalidReservation");
    check("part=nosuch", "InvalidPartition: no partition nosuch");
    check("part=small,nosuch", "InvalidPartition: no partition nosuch");
    check("part=smt,batch gres=gpu:1 mem=1", "ok");
}

#[track_caller]
fn expect(cluster: &str, job: &str, expected: &str) {
    let (mut view, job) = with_job(cluster, job);
    view.queue.clear();
    let outcome = match Planner::new().expect(&view, &job.spec) {
        Ok(expectation) => {
            let shares = &expectation.allocation.shares;
            let names = shares.iter().map(|share| view.nodes[share.node.0 as usize].name().clone());
            let when = show::show_time(view.now, expectation.start);
            let cpus = expectation.allocation.cpus();
            format!("{when} using {cpus} on {} in {}", hostlist::compress(names), expectation.partition)
        }
        Err(refusal) => format!("{:?}", refusal.code),
    };
    assert_eq!(outcome, expected);
}

#[test]
fn test_only() {
    expect(CLUSTER, "mem=1", "+0m using 1 on n1 in batch");
    expect(CLUSTER, "N=2 n=8 mem=1", "+0m using 8 on n[1-2] in batch");
    expect(CLUSTER, "w=n1 exclusive mem=1", "+0m using 16 on n1 in batch");
    expect(CLUSTER, "N=9", "NodeConfigUnavailable");
    expect(CLUSTER, "part=nosuch", "InvalidPartition");
    let busy = "
        nodes n[1-2] cpus=4
        partition a nodes=n1
        partition b nodes=n2
        run 8 on=n1:0-3 t=30
        run 9 on=n2:0-3 t=20";
    expect(busy, "part=a,b n=2", "+20m using 2 on n2 in b");
    expect(busy, "part=a n=2", "+30m using 2 on n1 in a");
    expect("nodes n1 cpus=4 state=drain", "n=2", "NodesBusy");
}

/// The outcome of a submit without `EnforcePartLimits`, with `ANY` and with `ALL`.
#[track_caller]
fn check_enforced(job: &str, expected: [&str; 3]) {
    use muster_model::config::PartitionEnforcement::{All, Any, No};
    let cluster = "
        nodes n[1-3] cpus=16 mem=64000
        partition debug max=60
        partition batch
        partition small nodes=n1 nodes_max=1 max=480
        partition mp max=10 max_mem_per_node=1000
        partition min2 nodes_min=2 max=10
        partition mc cpus_per_node_max=4 max=10";
    let (mut view, parsed) = with_job(cluster, job);
    let outcomes = [No, Any, All].map(|enforcement| {
        std::sync::Arc::make_mut(&mut view.config).enforce_partition_limits = enforcement;
        match Planner::new().check_feasible(&view, &parsed.spec) {
            Ok(()) => "ok".to_owned(),
            Err(refusal) => format!("{:?}", refusal.code),
        }
    });
    assert_eq!(outcomes, expected, "{job}");
}

#[test]
fn limits_of_partitions_refuse_where_they_are_enforced() {
    // As sbatch of 22.05 answers on the same partitions.
    check_enforced("part=small t=540", ["ok", "InvalidTimeLimit", "InvalidTimeLimit"]);
    check_enforced("part=small N=2", ["ok", "InvalidNodeCount", "InvalidNodeCount"]);
    check_enforced("part=small,batch N=2", ["ok", "ok", "InvalidNodeCount"]);
    check_enforced("part=batch,small N=2", ["ok", "ok", "InvalidNodeCount"]);
    check_enforced("part=small,mp N=2 t=540", ["ok", "InvalidTimeLimit", "InvalidNodeCount"]);
    check_enforced("part=mp,small N=2 t=540", ["ok", "InvalidNodeCount", "InvalidTimeLimit"]);
    check_enforced("part=small N=2 t=540", ["ok", "InvalidNodeCount", "InvalidNodeCount"]);
    check_enforced("part=mp mem=2000 t=1", ["ok", "MemoryUnavailable", "MemoryUnavailable"]);
    check_enforced("part=mp mem=2000 t=540", ["ok", "InvalidTimeLimit", "InvalidTimeLimit"]);
    check_enforced("part=min2 N=1 t=1", ["ok", "InvalidNodeCount", "InvalidNodeCount"]);
    check_enforced("part=mc n=20 t=1", ["ok", "TooManyCpus", "TooManyCpus"]);
    check_enforced("part=debug N=9 t=1", ["ok", "InvalidNodeCount", "InvalidNodeCount"]);
    check_enforced("part=debug t=120 tmin=5", ["ok", "InvalidTimeLimit", "InvalidTimeLimit"]);
    check_enforced("part=batch,debug t=120", ["ok", "ok", "InvalidTimeLimit"]);
    check_enforced("part=small w=n2 t=1", ["NodeConfigUnavailable", "NodesNotInPartition", "NodesNotInPartition"]);
    check_enforced("part=small w=n2 N=2 t=1", ["ok", "InvalidNodeCount", "InvalidNodeCount"]);
    check_enforced("part=small,batch w=n2 t=1", ["ok", "ok", "NodesNotInPartition"]);
    check_enforced("part=debug t=60", ["ok", "ok", "ok"]);
}
