//! How `srun` and `salloc` end, and what they say then: the lines of real Slurm.

mod support;

use support::{Cluster, Ran};

/// Checks standard error line by line; `@` in `expected` stands for any text, and `\n` ends each line.
#[track_caller]
fn says(cluster: &Cluster, line: &str, code: i32, expected: &str) {
    check(&cluster.run(line), line, code, expected);
}

#[track_caller]
fn check(ran: &Ran, line: &str, code: i32, expected: &str) {
    let matches = |line: &str, pattern: &str| match pattern.split_once('@') {
        Some((start, end)) => line.len() >= start.len() + end.len() && line.starts_with(start) && line.ends_with(end),
        None => line == pattern,
    };
    let found: Vec<&str> = ran.stderr.lines().collect();
    let wanted: Vec<&str> = expected.lines().collect();
    let same = found.len() == wanted.len() && found.iter().zip(&wanted).all(|(line, pattern)| matches(line, pattern));
    assert!(
        same && ran.code == code,
        "{line}\nexit {}, stderr:\n{}\nexpected exit {code}:\n{expected}",
        ran.code,
        ran.stderr
    );
}

#[test]
fn steps_that_are_ended() {
    let cluster = Cluster::start(&["--nodes", "1"]);
    says(
        &cluster,
        "srun sh -c 'kill -9 $$'",
        137,
        "srun: error: n1: task 0: Killed\nsrun: Force Terminated StepId=1.0\n",
    );
    says(
        &cluster,
        "srun -K -n2 sh -c '[ $SLURM_PROCID = 0 ] && exit 4; exec sleep 60'",
        143,
        "srun: error: n1: task 0: Exited with exit code 4\n\
         srun: launch/slurm: _step_signal: Terminating StepId=2.0\n\
         slurmstepd: error: *** STEP 2.0 ON n1 CANCELLED AT @ ***\n\
         srun: error: n1: task 1: Terminated\n\
         srun: Force Terminated StepId=2.0\n",
    );
    says(
        &cluster,
        "srun -W1 -n2 sh -c '[ $SLURM_PROCID = 0 ] && exit 0; exec sleep 60'",
        137,
        "srun: First task exited 1s ago\n\
         srun: StepId=3.0 task 1: running\n\
         srun: StepId=3.0 task 0: exited\n\
         srun: launch/slurm: _step_signal: Terminating StepId=3.0\n\
         slurmstepd: error: *** STEP 3.0 ON n1 CANCELLED AT @ ***\n\
         srun: Job step aborted: Waiting up to @ seconds for job step to finish.\n\
         srun: error: n1: task 1: Killed\n",
    );
    let script = "#!/bin/bash\nsrun -l sleep 60\necho after $?\n";
    cluster.file("step.sh", script);
    let job = cluster.submit("-o out step.sh");
    cluster
        .wait("the step to run", || cluster.out(&format!("squeue -h -s -j {job} -o %i")).contains(&format!("{job}.0")));
    cluster.out(&format!("scancel {job}.0"));
    cluster.wait("the script to go on", || cluster.read("out").contains("after"));
    let out = cluster.read("out");
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with(&format!("0: slurmstepd: error: *** STEP {job}.0 ON n1 CANCELLED AT ")), "{out}");
    assert!(lines[1].starts_with("srun: Job step aborted: Waiting up to "), "{out}");
    assert_eq!(lines[2..], ["srun: error: n1: task 0: Killed", "after 137"], "{out}");
}

#[test]
fn streams_of_a_step() {
    let cluster = Cluster::start(&["--nodes", "1"]);
    cluster.file("in", "from a file\n");
    assert_eq!(cluster.out("srun -n2 -l -i in cat | sort"), "0: from a file\n1: from a file");
    says(&cluster, "srun -i nosuch cat", 1, "srun: error: Could not open stdin file: No such file or directory\n");
    assert_eq!(cluster.out("srun -n3 -o 1 sh -c 'echo $SLURM_PROCID'"), "1");
    assert_eq!(cluster.out("srun -n3 -o 7 sh -c 'echo $SLURM_PROCID'"), "");
    says(
        &cluster,
        "srun --pty true",
        0,
        "srun: error: ioctl(TIOCGWINSZ): Inappropriate ioctl for device\n\
         srun: error: Not using a pseudo-terminal, disregarding --pty option\n",
    );
    let inherited = "exec 9</dev/zero; srun sh -c 'ls /proc/self/fd | wc -l'";
    assert_eq!(cluster.out(inherited), cluster.out("srun sh -c 'ls /proc/self/fd | wc -l'"));
}

/// Two nodes with two GPUs each.
const WITH_GPUS: &str = "ClusterName=gpus\nSlurmctldHost=localhost\nGresTypes=gpu\nSelectType=select/cons_tres\n\
    SelectTypeParameters=CR_Core\nNodeName=g[1-2] CPUs=4 RealMemory=1000 Gres=gpu:2\n\
    PartitionName=main Nodes=g[1-2] Default=YES\n";

#[test]
fn steps_within_an_allocation() {
    let conf = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(conf.path(), WITH_GPUS).unwrap();
    let cluster = Cluster::start(&["--conf", conf.path().to_str().unwrap()]);
    let granted = "salloc: Granted job allocation @\n";
    let given_back = "salloc: Relinquishing job allocation @\n";
    let refused = |line: &str, text: &str| says(&cluster, line, 1, &format!("{granted}{text}{given_back}"));
    refused(
        "salloc -n1 srun -n2 true",
        "srun: error: Unable to create step for job @: More processors requested than permitted\n",
    );
    refused(
        "salloc -N1 srun -n1 -c5 true",
        "srun: error: Unable to create step for job @: More processors requested than permitted\n",
    );
    let eliminated = "srun: error: Required nodelist includes more nodes than permitted by max-node count (2 > 1). Eliminating \
                      nodes from the nodelist.\n";
    says(&cluster, "srun -w g1,g2 -N1 true", 0, eliminated);
    says(&cluster, "srun -N0 true", 1, "srun: error: Unable to allocate resources: Node count specification invalid\n");
    refused(
        "salloc -N1 srun -w nosuch true",
        "srun: error: Unable to create step for job @: Requested node configuration is not available\n",
    );
    refused(
        "salloc -n1 srun --gres=gpu:1 true",
        "srun: error: Step requested GRES but job doesn't have GRES\n\
         srun: error: Unable to create step for job @: Invalid generic resource (gres) specification\n",
    );
    refused(
        "salloc -n1 --gres=gpu:1 srun --gres=gpu:2 true",
        "srun: error: Unable to create step for job @: Insufficient GRES available in allocation\n",
    );
    let show = "sh -c 'echo $CUDA_VISIBLE_DEVICES'";
    assert_eq!(cluster.out(&format!("salloc -Q -n1 --gres=gpu:2 srun {show}")), "0,1");
    assert_eq!(cluster.out(&format!("salloc -Q -n1 --gres=gpu:2 srun --gres=gpu:1 {show}")), "0");
    // Two steps at once do not share a unit.
    let meet = "echo >at.$SLURM_STEP_ID; until [ -e at.0 ] && [ -e at.1 ]; do sleep 0.05; done";
    let both = format!("srun --exact -n1 --gres=gpu:1 sh -c '{meet}; echo $SLURM_STEP_GPUS' & ");
    cluster.file("both.sh", &format!("#!/bin/bash\n{both}\n{both}\nwait\n"));
    assert_eq!(cluster.run("salloc -Q -n2 --gres=gpu:2 bash both.sh | sort").stdout, "0\n1\n");
}

#[test]
fn allocations_that_end_early_or_stay() {
    let cluster = Cluster::start(&["--nodes", "1"]);
    let ran = cluster.run("salloc sh -c 'scancel $SLURM_JOB_ID; while squeue -h -j $SLURM_JOB_ID | grep -q .; do sleep 0.05; done; sleep 1; echo still'");
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "still\n"));
    assert_eq!(ran.stderr, "salloc: Granted job allocation 1\nsalloc: Job allocation 1 has been revoked.\n");
    says(&cluster, "salloc --no-shell -J stays", 0, "salloc: Granted job allocation 2\n");
    assert_eq!(cluster.out("srun --jobid=2 echo in"), "in");
    cluster.wait_state(2, "RUNNING");
    cluster.out("scancel 2");
    cluster.wait_state(2, "CANCELLED");
    let revoked = "srun: job 3 queued and waiting for resources\nsrun: Job allocation 3 has been revoked\nsrun: Force Terminated JobId=3\n";
    let expected = format!("srun: Requested partition configuration not available now\n{revoked}");
    let line = "srun -N9 true";
    check(&cluster.run_until_it_waits(line), line, 124, &expected);
}
