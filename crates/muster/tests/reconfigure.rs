//! `scontrol reconfigure` and HUP: files are changed under a running cluster.

mod support;

use support::Cluster;

fn rewrite(cluster: &Cluster, change: impl FnOnce(String) -> String) {
    let path = cluster.path().join("slurm.conf");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, change(text)).unwrap();
}

fn shown(cluster: &Cluster, parameter: &str) -> String {
    cluster.out(&format!("scontrol show config | sed -n 's/^{parameter} *= //p'"))
}

#[test]
fn the_running_daemons_go_on_by_the_new_file() {
    let cluster = Cluster::start(&["--nodes", "2"]);
    let job = cluster.submit("--wrap 'sleep 300'");
    cluster.wait_state(job, "RUNNING");
    let prolog = cluster.path().join("prolog");
    std::fs::write(&prolog, format!("#!/bin/sh\ntouch {}/ran-$SLURMD_NODENAME\n", cluster.path().display())).unwrap();
    cluster.out(&format!("chmod +x {}", prolog.display()));
    rewrite(&cluster, |text| format!("{text}\nKillWait=7\nProlog={}\n", prolog.display()));
    assert_eq!(cluster.run("scontrol reconfigure").code, 0);
    assert_eq!(shown(&cluster, "KillWait"), "7 sec");
    assert_eq!(cluster.out("srun -w n2 --overlap -p debug true; echo done"), "done");
    assert!(cluster.path().join("ran-n2").exists(), "the prolog of the new file runs");
    assert_eq!(cluster.state(job), "RUNNING");

    // HUP does the same.
    rewrite(&cluster, |text| text.replace("KillWait=7", "KillWait=8"));
    cluster.out("kill -HUP $(cut -d' ' -f1 ../run/controller.pid)");
    cluster.wait("the controller to read its file", || shown(&cluster, "KillWait") == "8 sec");
    cluster.out(&format!("scancel {job}"));
}

#[test]
fn a_file_that_cannot_be_used_changes_nothing_and_is_told() {
    let cluster = Cluster::start(&["--nodes", "1"]);
    let before = std::fs::read_to_string(cluster.path().join("slurm.conf")).unwrap();
    rewrite(&cluster, |text| format!("{text}\nKillWait=7\nBogus=1\n"));
    let ran = cluster.run("scontrol reconfigure");
    let line = before.lines().count() + 3;
    let said = "slurm_reconfigure error: Unable to process configuration file: ";
    let path = cluster.path().join("slurm.conf");
    let expected = format!("{said}{} line {line}: Parsing error at unrecognized key: Bogus\n", path.display());
    assert_eq!((ran.code, ran.stderr), (1, expected));
    assert_ne!(shown(&cluster, "KillWait"), "7 sec");

    std::fs::write(&path, format!("{before}\nSchedulerType=sched/builtin\nKillWait=7\n")).unwrap();
    let ran = cluster.run("scontrol reconfigure");
    let said =
        "slurm_reconfigure error: SchedulerType change requires restart of the slurmctld daemon to take effect\n";
    assert_eq!((ran.code, ran.stderr.as_str()), (1, said));
    assert_ne!(shown(&cluster, "KillWait"), "7 sec");

    let ran = cluster.run("scontrol reconfigure one two");
    assert_eq!((ran.code, ran.stderr.as_str()), (1, "too many arguments for keyword:reconfigure\n"));
}
