//! Bad input and bad nodes: a job fails with what its user can act on, and a node is drained only when it is at fault. States,
//! codes and words are those of real Slurm 22.05.

mod support;

use support::Cluster;

/// Submits a job and gives what `scontrol` and `sacct` say when it has ended, and what it wrote into `out`.
#[track_caller]
fn check(cluster: &Cluster, args: &str, expected: &str, output: &str) {
    cluster.file("out", "");
    let job = cluster.submit(args);
    cluster.wait(&format!("{args}: the end"), || {
        !["PENDING", "RUNNING", "COMPLETING", ""].contains(&&*cluster.state(job))
    });
    let text = cluster.out(&format!("scontrol -o show job {job}"));
    let field = |name: &str| text.split_whitespace().find_map(|word| word.strip_prefix(name)).unwrap_or("").to_owned();
    let rows = cluster.out(&format!("sacct -n -P -j {job}.batch -o State,ExitCode"));
    let found = format!("{} {} {} | {rows}", field("JobState="), field("Reason="), field("ExitCode="));
    assert_eq!(found, expected, "{args}");
    let spool = format!("{}/spool/n1/", cluster.path().display());
    let shown = cluster.read("out").replace(&spool, "SPOOL/").replace(&format!("job{job:05}"), "JOB");
    assert_eq!(shown.replace(&*cluster.work().to_string_lossy(), "WORK"), output, "{args}");
}

/// What a script that could not be started ends as.
const NOT_STARTED: &str = "FAILED JobLaunchFailure 0:53 | CANCELLED|0:53";

#[test]
fn scripts_that_cannot_run() {
    let cluster = Cluster::start(&["--nodes", "1"]);
    cluster.file("bad.sh", "#!/no/such/interpreter -x\necho hi\n");
    cluster.file("plain.sh", "#!/bin/sh\necho hi\n");
    let bad = "slurmstepd: error: execve(): bad interpreter(/no/such/interpreter -x): No such file or directory\n";
    check(&cluster, "-o out bad.sh", "FAILED NonZeroExitCode 2:0 | FAILED|2:0", bad);
    let missing = "SPOOL/JOB/slurm_script: 4: nosuch: not found\n";
    check(&cluster, "-o out --wrap nosuch", "FAILED NonZeroExitCode 127:0 | FAILED|127:0", missing);
    let denied = "SPOOL/JOB/slurm_script: 4: ./plain.sh: Permission denied\n";
    check(&cluster, "-o out --wrap ./plain.sh", "FAILED NonZeroExitCode 126:0 | FAILED|126:0", denied);
    // Somewhere else to work is found, somewhere to write is not.
    let elsewhere =
        "slurmstepd: error: couldn't chdir to `/no/such': No such file or directory: going to /tmp instead\n";
    let output = format!("{elsewhere}{elsewhere}/tmp\n");
    let out = cluster.work().join("out");
    let args = format!("-D /no/such -o {} --wrap pwd", out.display());
    check(&cluster, &args, "COMPLETED None 0:0 | COMPLETED|0:0", &output);
    for place in ["/no/such/out", "/sys/out", "/tmp"] {
        check(&cluster, &format!("-o {place} --wrap true"), NOT_STARTED, "");
    }
    check(&cluster, "-o out -i /no/such --wrap true", NOT_STARTED, "");
    check(&cluster, "-o out -e /sys/err --wrap true", NOT_STARTED, "");
    let job = cluster.submit("-o /no/such/out --wrap true");
    cluster.wait_state(job, "FAILED");
    let why = "open output file /no/such/out: No such file or directory (os error 2)";
    assert_eq!(cluster.out(&format!("sacct -X -n -P -j {job} -o SystemComment")), why);
    let text = cluster.out(&format!("scontrol show job {job}"));
    assert!(text.contains(&format!("\n   SystemComment={why} \n")), "{text}");
    // The disk is full: the program sees it, and the job lives as long as the program wants.
    check(&cluster, "-o /dev/full --wrap '/bin/echo hi || exit 7'", "FAILED NonZeroExitCode 7:0 | FAILED|7:0", "");
    check(&cluster, "-o out --wrap 'kill -9 $$'", "FAILED JobLaunchFailure 0:9 | CANCELLED|0:9", "");
    assert_eq!(cluster.out("sinfo -h -N -p debug -o '%T %E'"), "idle none");
    assert_eq!(cluster.run("sbatch --uid=54321 --wrap true").stderr, "sbatch: error: Invalid --uid specification\n");
}

#[test]
fn steps_that_cannot_run() {
    let cluster = Cluster::start(&["--nodes", "1"]);
    cluster.file("plain.sh", "#!/bin/sh\necho hi\n");
    let step = |line: &str, code: i32, error: &str| {
        let ran = cluster.run(line);
        let text = ran.stderr.replace(&*cluster.work().to_string_lossy(), "WORK");
        let mut found: Vec<&str> = text.lines().collect();
        found.sort_unstable();
        assert_eq!((ran.code, found.join("\n").as_str()), (code, error), "{line}");
    };
    step(
        "srun nosuch",
        2,
        "slurmstepd: error: execve(): nosuch: No such file or directory\nsrun: error: n1: task 0: Exited with exit code 2",
    );
    step(
        "srun ./plain.sh",
        13,
        "slurmstepd: error: execve(): WORK/./plain.sh: Permission denied\nsrun: error: n1: task 0: Exited with exit code 13",
    );
    step(
        "srun ''",
        2,
        "slurmstepd: error: execve(): : No such file or directory\nsrun: error: n1: task 0: Exited with exit code 2",
    );
    step("srun -o /no/such/out true", 1, "srun: error: Could not open stdout file: No such file or directory");
    step(
        "srun -o /dev/full echo hi",
        1,
        "srun: error: cannot write to /dev/full: No space left on device (os error 28)",
    );
    step("salloc -Q nosuch", 1, "salloc: error: _fork_command: Unable to find command \"nosuch\"");
    step("salloc -D /no/such true", 1, "salloc: error: chdir(/no/such): No such file or directory");
    step("srun --uid=54321 true", 255, "srun: error: Invalid --uid specification");
    cluster.wait("the queue to be empty", || cluster.out("squeue -h").is_empty());
    assert_eq!(cluster.out("sinfo -h -N -p debug -o '%T %E'"), "idle none");
}

#[test]
fn a_node_whose_spool_cannot_be_written_is_drained_and_its_job_waits_for_another() {
    let cluster = Cluster::start(&["--nodes", "1"]);
    // In the place of the directory of the job.
    std::fs::write(cluster.path().join("spool/n1/job00001"), "").expect("a file in the spool");
    let job = cluster.submit("-o out --wrap true");
    cluster.wait("the node to be drained", || cluster.out("sinfo -h -p debug -o %T") == "drained");
    let reason = cluster.out("sinfo -h -p debug -o %E");
    assert!(reason.starts_with("launch failed: write the batch script into SlurmdSpoolDir: "), "{reason}");
    cluster.wait_state(job, "PENDING");
    assert_eq!(cluster.out(&format!("scontrol -o show job {job} | grep -o 'Restarts=[0-9]*'")), "Restarts=1");
}
