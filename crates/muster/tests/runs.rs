//! dstack tasks through `muster apply` and `dstack`.

mod support;

use support::Cluster;

#[test]
fn a_task_shows_its_plan_its_log_and_its_end() {
    let cluster = Cluster::start(&["--nodes", "2"]);
    cluster.file("task.dstack.yml", "type: task\nname: greet\nenv:\n  - WHO=world\ncommands:\n  - echo hello $WHO\n  - exit 4\nresources:\n  cpu: 1..\n  memory: 100MB..\n  disk: 1GB..\n");
    let ran = cluster.run("muster apply -f task.dstack.yml -y");
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("hello world"), "{}{}", ran.stdout, ran.stderr);
    assert!(cluster.out("dstack logs greet").contains("hello world"));
    let runs = cluster.out("dstack ps -a --json");
    assert!(runs.contains("greet") && runs.contains("failed"), "{runs}");
}

#[test]
fn nodes_of_a_task_start_together_and_know_each_other() {
    let cluster = Cluster::start(&["--nodes", "2"]);
    cluster.file("pair.dstack.yml", "type: task\nname: pair\nnodes: 2\ncommands:\n  - echo $DSTACK_NODE_RANK $DSTACK_NODES_NUM $(echo $DSTACK_NODES_IPS | wc -w) > rank-$DSTACK_NODE_RANK\nresources:\n  cpu: 1..\n  memory: 100MB..\n  disk: 1GB..\n");
    cluster.out("dstack apply -f pair.dstack.yml -y");
    assert_eq!((cluster.read("rank-0").as_str(), cluster.read("rank-1").as_str()), ("0 2 2\n", "1 2 2\n"));
}

#[test]
fn a_running_task_can_be_stopped() {
    let cluster = Cluster::start(&["--nodes", "1"]);
    cluster.file("long.dstack.yml", "type: task\nname: long\ncommands:\n  - echo started > started\n  - sleep 300\nresources:\n  cpu: 1..\n  memory: 100MB..\n  disk: 1GB..\nmax_duration: 1h\n");
    cluster.out("muster apply -f long.dstack.yml -y -d");
    cluster.wait("it to start", || cluster.read("started") == "started\n");
    cluster.out("muster stop long -y");
    cluster.wait("the queue to be empty", || cluster.out("squeue -h").is_empty());
    let runs = cluster.out("muster ps -a --json");
    assert!(runs.contains("terminated"), "{runs}");
}

#[test]
fn mistakes_in_a_file_are_named_with_their_place() {
    let cluster = Cluster::start(&["--nodes", "1"]);
    cluster.file("bad.dstack.yml", "type: task\ncommands: [true]\nresources:\n  gpus: 1\n");
    let ran = cluster.run("muster apply -f bad.dstack.yml -y");
    assert_ne!(ran.code, 0);
    assert!(ran.stderr.contains("gpus") && ran.stderr.contains("gpu"), "{}", ran.stderr);
    assert!(cluster.out("squeue -h -t all").is_empty());
}
