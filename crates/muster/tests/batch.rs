//! Batch jobs through the everyday commands.

mod support;

use support::Cluster;

#[test]
fn output_exit_codes_and_history() {
    let cluster = Cluster::start(&["--nodes", "2"]);
    cluster.file("ok.sh", "#!/bin/bash\n#SBATCH --job-name=first -c 2\n#SBATCH -o %x-%j.txt\necho \"$SLURM_JOB_NAME $SLURM_CPUS_PER_TASK $1\"\n");
    assert_eq!(cluster.out("sbatch ok.sh word"), "Submitted batch job 1");
    cluster.wait_state(1, "COMPLETED");
    assert_eq!(cluster.read("first-1.txt"), "first 2 word\n");

    let ran = cluster.run("sbatch -W -o /dev/null --wrap 'exit 3'");
    assert_eq!((ran.code, ran.stdout.as_str()), (3, "Submitted batch job 2\n"));
    let history = cluster.out("sacct -n -P -o JobID,JobName,State,ExitCode");
    assert_eq!(
        history,
        "1|first|COMPLETED|0:0\n1.batch|batch|COMPLETED|0:0\n2|wrap|FAILED|3:0\n2.batch|batch|FAILED|3:0"
    );
}

#[test]
fn arrays_with_a_throttle_and_a_dependency_on_them() {
    let cluster = Cluster::start(&["--nodes", "1"]);
    let array = cluster.submit("-a 0-5%2 -o a-%a --wrap 'ls run-* 2>/dev/null | wc -l; touch run-$SLURM_ARRAY_TASK_ID; sleep 0.2; rm run-$SLURM_ARRAY_TASK_ID'");
    let after = cluster.submit(&format!("-d afterok:{array} -o after --wrap 'cat a-* | sort -n | tail -1'"));
    assert_eq!(cluster.out(&format!("squeue -h -j {after} -o '%t %r'")), "PD Dependency");
    cluster.wait_state(after, "COMPLETED");
    assert!(
        cluster.read("after").trim().parse::<u32>().is_ok_and(|most| most <= 1),
        "more than two tasks at once: {}",
        cluster.read("after")
    );
    let tasks = cluster.out(&format!("sacct -X -n -P -j {array} -o JobID,State | sort -V | xargs"));
    let expected: Vec<String> = (0..6).map(|task| format!("{array}_{task}|COMPLETED")).collect();
    assert_eq!(tasks, expected.join(" "));
}

#[test]
fn cancel_hold_release_requeue_and_time_limit() {
    let cluster = Cluster::start(&["--nodes", "1"]);
    let held = cluster.submit("-H -o held --wrap 'echo ran'");
    assert_eq!(cluster.out(&format!("squeue -h -j {held} -o %r")), "JobHeldUser");
    cluster.out(&format!("scontrol release {held}"));
    cluster.wait_state(held, "COMPLETED");

    let long = cluster.submit("-o long --wrap 'echo start $SLURM_RESTART_COUNT; sleep 300'");
    cluster.wait("it to start", || cluster.read("long").starts_with("start"));
    cluster.out(&format!("scontrol requeue {long}"));
    cluster.wait("it to be back in the queue", || {
        cluster.out(&format!("squeue -h -j {long} -o '%t %r'")) == "PD BeginTime"
    });
    cluster.out(&format!("scontrol update JobId={long} StartTime=now"));
    cluster.wait("its second start", || cluster.read("long").starts_with("start 1"));
    cluster.out(&format!("scancel {long}"));
    cluster.wait_state(long, "CANCELLED");
    let history = cluster.out(&format!("sacct -D -X -n -P -j {long} -o State"));
    assert!(history.starts_with("REQUEUED\nCANCELLED by "), "{history}");
}

#[test]
fn drained_nodes_get_no_jobs() {
    let cluster = Cluster::start(&["--nodes", "2"]);
    cluster.out("scontrol update NodeName=n1 State=DRAIN Reason='new disk'");
    assert_eq!(cluster.out("sinfo -h -N -p debug -o '%N %t' | sort | xargs"), "n1 drain n2 idle");
    let job = cluster.submit("-w n1 -o /dev/null --wrap true");
    cluster.wait("the reason", || cluster.out(&format!("squeue -h -j {job} -o %r")).starts_with("ReqNodeNotAvail"));
    cluster.out("scontrol update NodeName=n1 State=RESUME");
    cluster.wait_state(job, "COMPLETED");
}

#[test]
fn a_script_runs_on_a_node_with_the_features_that_batch_names() {
    let cluster = Cluster::start(&["--nodes", "3"]);
    for node in 1..=3 {
        cluster.out(&format!("scontrol update node=n{node} AvailableFeatures=f{node} ActiveFeatures=f{node}"));
    }
    let options = "-N3 -C 'f1|f2|f3' --batch='f3'";
    let script =
        "echo $SLURMD_NODENAME $SLURM_NODEID $SLURM_JOB_NODELIST; srun -l sh -c 'echo $SLURMD_NODENAME' | sort";
    cluster.file("job.sh", &format!("#!/bin/sh\n{script}\n"));
    let job = cluster.submit(&format!("-W -o out {options} job.sh"));
    assert_eq!(cluster.read("out"), "n3 0 n[1-3]\n0: n1\n1: n2\n2: n3\n");
    let shown = cluster.out(&format!("scontrol show job {job} | grep Batch | grep -v BatchFlag"));
    assert_eq!(shown, "   BatchFeatures=f3 BatchHost=n3");
    assert_eq!(cluster.out(&format!("sacct -n -P -j {job}.batch -o NodeList")), "n3");
    // Of several the first of the job; where none has them all, the first of all.
    let host = |batch: &str| {
        let job = cluster.submit(&format!("-W -o /dev/null -N3 -C 'f1|f2|f3' --batch='{batch}' --wrap true"));
        cluster.out(&format!("squeue -h -t all -j {job} -O BatchHost:.4 | tr -d ' '"))
    };
    assert_eq!((host("f3|f2"), host("f3&f2")), ("n2".to_owned(), "n1".to_owned()));
    let refused = cluster.run("sbatch -N1 -C 'f1|f2' --batch=f3 --wrap true");
    let said =
        "sbatch: error: Batch job submission failed: Job --batch option is invalid or not a subset of --constraints\n";
    assert_eq!((refused.code, refused.stderr.as_str()), (1, said));
    // It is found there by who signals it, and the node cannot be given up.
    cluster.file("wait.sh", "#!/bin/sh\ntrap 'echo signal; exit 3' USR1\necho begin\nwhile :; do sleep 0.05; done\n");
    let job = cluster.submit(&format!("-o signalled {options} wait.sh"));
    cluster.wait("the script to begin", || cluster.read("signalled") == "begin\n");
    let given_up = cluster.run(&format!("scontrol update job={job} NumNodes=2"));
    assert!(given_up.stderr.contains("Invalid node name specified"), "{}", given_up.stderr);
    cluster.out(&format!("scancel --batch -s USR1 {job}"));
    cluster.wait_state(job, "FAILED");
    assert_eq!(cluster.read("signalled"), "begin\nsignal\n");
}
