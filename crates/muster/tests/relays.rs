//! A tree of agents (`TreeWidth`): few hold connections to the controller and carry the links of the others.

mod support;

use std::collections::BTreeMap;

use support::Cluster;

/// Seven nodes in a tree of width two: n1 and n5 connect to the controller, n2 and n4 to n1, n3 to n2, n6 and n7 to n5.
fn start() -> Cluster {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("site.conf");
    let text = "ClusterName=tree\nSlurmctldHost=localhost\nKillWait=1\nReturnToService=2\nTreeWidth=2\n\
                NodeName=n[1-7] NodeAddr=127.0.0.1 CPUs=4 RealMemory=1000 State=UNKNOWN\nPartitionName=all Nodes=ALL Default=YES\n";
    std::fs::write(&path, text).expect("a file");
    Cluster::start(&["--conf", &path.display().to_string()])
}

/// How many connections the controller has from agents.
fn connections(cluster: &Cluster) -> usize {
    let conf = std::fs::read_to_string(cluster.path().join("slurm.conf")).expect("a configuration");
    let port = conf.lines().find_map(|line| line.strip_prefix("SlurmctldPort=")).expect("a port");
    let end = format!(":{:04X}", port.parse::<u16>().expect("a number"));
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the connections of this machine");
    let is_ours = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // The local address, and the state of an open connection.
        fields.get(1).is_some_and(|local| local.ends_with(&end)) && fields.get(3) == Some(&"01")
    };
    table.lines().filter(is_ours).count()
}

/// For each node that came by way of a relay, the port of the last one.
fn relays(cluster: &Cluster) -> BTreeMap<String, String> {
    let log = std::fs::read_to_string(cluster.path().join("log/controller.log")).expect("a log");
    let word = |line: &str, name: &str| {
        let value = line.split_once(&format!(" {name}=\""))?.1;
        Some(value.split_once('"')?.0.to_owned())
    };
    let lines = log.lines().filter(|line| line.contains("by way of a relay"));
    lines.filter_map(|line| Some((word(line, "node")?, word(line, "relay")?))).collect()
}

fn wait_for_tree(cluster: &Cluster) {
    cluster.wait("all nodes to be idle in a tree", || {
        let relays = relays(cluster);
        let under = |node: &str| relays.get(node);
        connections(cluster) == 2
            && cluster.out("sinfo -h -t idle -o %D") == "7"
            && under("n2").is_some()
            && under("n2") == under("n4")
            && under("n6").is_some()
            && under("n6") == under("n7")
            && under("n3").is_some_and(|relay| Some(relay) != under("n2"))
    });
}

fn check_step(cluster: &Cluster) {
    let step = cluster.out("srun -N7 -l sh -c 'echo $SLURM_NODEID' | sort");
    assert_eq!(step, (0..7).map(|rank| format!("{rank}: {rank}")).collect::<Vec<_>>().join("\n"));
}

#[test]
fn launches_signals_and_ends_go_by_the_tree_and_it_mends_itself() {
    let cluster = start();
    wait_for_tree(&cluster);
    check_step(&cluster);

    // A job with a step on all nodes; two of the nodes that carry others are killed under it.
    cluster.file(
        "job.sh",
        "#!/bin/sh\nsrun -N7 sh -c 'trap \"echo told $SLURM_NODEID >> told; exit 3\" USR1; echo up >> up; \
         while :; do sleep 0.1; done'\n",
    );
    let job = cluster.submit("-N7 -o job.out job.sh");
    cluster.wait("all tasks to run", || cluster.read("up").lines().count() == 7);
    cluster.kill("n1");
    cluster.kill("n2");
    cluster.wait("those below to come by other ways", || connections(&cluster) == 3);
    let ran = cluster.run(&format!("scancel -s USR1 {job}.0"));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    cluster.wait("five nodes to have heard", || cluster.read("told").lines().count() >= 5);

    // The killed come back and carry others again. What was a matter of the moment they have not heard.
    cluster.up(&[]);
    cluster.wait("two to connect to the controller", || connections(&cluster) == 2);
    let all_told = || cluster.read("told").split_whitespace().filter(|word| *word != "told").count() == 7;
    cluster.wait("all nodes to have heard", || {
        cluster.run(&format!("scancel -s USR1 {job}.0"));
        all_told()
    });
    cluster.wait_state(job, "FAILED");
    assert_eq!(cluster.out(&format!("sacct -n -P -j {job}.0 -o ExitCode")), "3:0");
    wait_for_tree(&cluster);
    check_step(&cluster);

    cluster.kill("controller");
    cluster.up(&[]);
    wait_for_tree(&cluster);
    check_step(&cluster);
}
