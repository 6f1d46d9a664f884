//! Processes that outlive KILL: their step is given up, the site's program is run, and the node takes no further jobs.

mod support;

use std::os::unix::fs::PermissionsExt;

use support::Cluster;
use support::hang::Hang;

#[test]
fn what_cannot_be_killed_is_given_up_and_drains_its_node() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).expect("permissions");
    let at = |name: &str| directory.path().join(name).display().to_string();
    std::fs::write(at("program"), format!("#!/bin/sh\nenv | grep SLURM | sort >>{}\nexit 3\n", at("seen")))
        .expect("a file");
    std::fs::set_permissions(at("program"), std::fs::Permissions::from_mode(0o755)).expect("permissions");
    let text = format!(
        "ClusterName=peer\nSlurmctldHost=localhost\nKillWait=1\nUnkillableStepTimeout=3\nUnkillableStepProgram={}\n\
         NodeName=n[1-2] CPUs=4 RealMemory=1000 State=UNKNOWN\nPartitionName=all Nodes=n[1-2] Default=YES\n",
        at("program")
    );
    std::fs::write(at("site.conf"), text).expect("a file");
    let cluster = Cluster::start(&["--conf", &at("site.conf")]);
    let Some(_hang) = Hang::mount(&directory.path().join("hang")) else { return };

    // The script itself hangs.
    let hung = cluster.submit(&format!("-w n1 -o out1 --wrap 'echo begun; exec cat {}/x'", at("hang")));
    cluster.wait("the script to hang", || cluster.read("out1").contains("begun"));
    // A script that leaves behind what hangs.
    let left = cluster.submit(&format!("-w n2 -o out2 --wrap 'cat {}/y & sleep 1; exit 7'", at("hang")));
    cluster.out(&format!("scancel {hung}"));
    for node in ["n1", "n2"] {
        cluster.wait("the node to be drained", || {
            cluster.out(&format!("sinfo -h -N -n {node} -o '%T %E %u'")) == "drained Kill task failed root"
        });
    }
    assert_eq!(cluster.out("squeue -h"), "");
    let told = |job: u32| cluster.out(&format!("sacct -n -P -o jobid,state,exitcode -j {job}"));
    assert_eq!(told(hung), format!("{hung}|CANCELLED by 0|0:0\n{hung}.batch|FAILED|0:0"));
    assert_eq!(told(left), format!("{left}|FAILED|7:0\n{left}.batch|FAILED|7:0"));
    for (job, node, file) in [(hung, "n1", "out1"), (left, "n2", "out2")] {
        let line = format!("slurmstepd: error: *** JOB {job} STEPD TERMINATED ON {node} AT ");
        let output = cluster.read(file);
        let last = output.lines().find(|said| said.starts_with(&line)).unwrap_or_else(|| panic!("{output}"));
        assert!(last.ends_with(" DUE TO JOB NOT ENDING WITH SIGNALS ***"), "{output}");
        let numbers =
            format!("SLURM_JOBID={job}\nSLURM_JOB_ID={job}\nSLURM_STEPID=4294967291\nSLURM_STEP_ID=4294967291\n");
        cluster.wait("the program to be run", || {
            std::fs::read_to_string(at("seen")).unwrap_or_default().contains(&numbers)
        });
    }
    // Nobody is to think that the two are gone.
    let hanging = format!("ps -eo stat,args | grep -c '^D.*cat {}/'", at("hang"));
    assert_eq!(cluster.out(&hanging), "2");
}
