//! `srun` and `salloc`: tasks, labels, exit codes, input, allocations.

mod support;

use support::Cluster;

#[test]
fn srun_from_the_shell() {
    let cluster = Cluster::start(&["--nodes", "2"]);
    assert_eq!(
        cluster.out("srun -N2 -n4 -l sh -c 'echo $SLURM_PROCID of $SLURM_NTASKS' | sort"),
        "0: 0 of 4\n1: 1 of 4\n2: 2 of 4\n3: 3 of 4"
    );
    let ran = cluster.run("srun -n2 sh -c 'exit $((SLURM_PROCID + 6))'");
    assert_eq!(ran.code, 7);
    assert!(ran.stderr.contains(": task 1: Exited with exit code 7\n"), "{}", ran.stderr);
    let ran = cluster.run("srun sh -c 'kill -9 $$'");
    assert_eq!((ran.code, ran.stderr.contains(": task 0: Killed\n")), (137, true), "{}", ran.stderr);
    assert_eq!(cluster.out("echo hello | srun cat"), "hello");
    cluster.wait("the queue to be empty", || cluster.out("squeue -h").is_empty());
}

#[test]
fn steps_of_a_batch_job() {
    let cluster = Cluster::start(&["--nodes", "2"]);
    cluster.file("steps.sh", "#!/bin/bash\n#SBATCH -N2 -n2 -o out\nscontrol show hostnames\nsrun -l sh -c 'echo $SLURMD_NODENAME $SLURM_STEP_ID'\nsrun -n1 -N1 false || echo failed $?\n");
    let ran = cluster.run("sbatch -W steps.sh");
    assert_eq!(ran.code, 0, "{}\n{}", cluster.read("out"), cluster.logs());
    let text = cluster.read("out");
    let mut lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("srun: error:")).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["0: n1 0", "1: n2 0", "failed 1", "n1", "n2"]);
    let steps = cluster.out("sacct -n -P -o JobID,State,ExitCode");
    assert_eq!(steps, "1|COMPLETED|0:0\n1.batch|COMPLETED|0:0\n1.0|COMPLETED|0:0\n1.1|FAILED|1:0");
}

#[test]
fn salloc_holds_nodes_for_a_command() {
    let cluster = Cluster::start(&["--nodes", "2"]);
    let ran = cluster.run("salloc -N2 sh -c 'echo $SLURM_JOB_NODELIST; srun hostname | wc -l; exit 5'");
    assert_eq!((ran.code, ran.stdout.as_str()), (5, "n[1-2]\n2\n"), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("salloc: Granted job allocation 1\n")
            && ran.stderr.contains("salloc: Relinquishing job allocation 1\n"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_killed_srun_leaves_nothing_behind() {
    let cluster = Cluster::start(&["--nodes", "1"]);
    let mut srun = cluster.command("exec srun sh -c 'echo $$ > pid; sleep 300'").spawn().unwrap();
    cluster.wait("the task to run", || cluster.read("pid").ends_with('\n'));
    srun.kill().unwrap();
    srun.wait().unwrap();
    let pid = cluster.read("pid");
    cluster.wait("its task to be gone", || !std::path::Path::new(&format!("/proc/{}", pid.trim())).exists());
    cluster.wait("its job to be gone", || cluster.out("squeue -h").is_empty());
}
