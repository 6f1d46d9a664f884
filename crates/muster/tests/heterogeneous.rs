//! Heterogeneous jobs through the everyday commands, with real processes. The lines expected are those that real Slurm
//! 22.05 printed for the same commands.

mod support;

use support::Cluster;

const SCRIPT: &str = r#"#!/bin/bash
#SBATCH -J leader -n2 -t 3 -o out
#SBATCH hetjob
#SBATCH -N2 -n3
#SBATCH hetjob
#SBATCH -n1 -c2 -J third
env | grep '_HET_\|_PACK_' | sort > env
srun -l --het-group=0-2 sh -c 'echo $SLURM_PROCID/$SLURM_NTASKS $SLURM_JOB_ID.$SLURM_STEP_ID $SLURM_HET_SIZE' | sort -n > all
srun -l sh -c 'echo $SLURM_NTASKS' | sort > default
srun -l -n1 echo A : -n2 sh -c 'echo B $SLURM_PROCID of $SLURM_NTASKS' | sort > colon
srun --het-group=1 sh -c 'echo $SLURM_NTASKS' | sort -u > one
srun --het-group=2 sh -c 'exit 3' : --het-group=0 sh -c 'exit 5'; echo "rc $?" > codes
srun --het-group=7 true 2>> codes; echo "rc $?" >> codes
srun --het-group=1 true : --het-group=1 true 2>> codes; echo "rc $?" >> codes
touch ready
while [ ! -e go ]; do sleep 0.1; done
exit 4
"#;

#[test]
fn a_batch_job_of_three_components() {
    let cluster = Cluster::start(&["--nodes", "4"]);
    cluster.file("het.sh", SCRIPT);
    assert_eq!(cluster.out("sbatch het.sh"), "Submitted batch job 1");
    cluster.wait("the script to have run its steps", || cluster.work().join("ready").exists());
    assert_eq!(cluster.out("squeue -h -S i -o '%i %A %t %j'"), "1+0 1 R leader\n1+1 2 R leader\n1+2 3 R third");
    assert_eq!(
        cluster.out("squeue -h -j 1+1 -O hetjobid:4,hetjoboffset:4,hetjobidset"),
        "1   1   1-3                 "
    );
    assert_eq!(cluster.out("squeue -h -j 2 -o %i"), "1+1");
    let shown = cluster.out("scontrol show job 1 | grep -A1 HetJobId=");
    assert_eq!(
        shown,
        "JobId=1 HetJobId=1 HetJobOffset=0 JobName=leader\n   HetJobIdSet=1-3\n--\n\
         JobId=2 HetJobId=1 HetJobOffset=1 JobName=leader\n   HetJobIdSet=1-3\n--\n\
         JobId=3 HetJobId=1 HetJobOffset=2 JobName=third\n   HetJobIdSet=1-3"
    );
    assert_eq!(cluster.run("scontrol show job 1+7").stdout, "Job 1+7 not found\n");
    let starts = cluster.out("squeue -h -j 1 -o %S | sort -u | wc -l");
    assert_eq!(starts.trim(), "1", "they started at different times");
    steps_were_one(&cluster);
    environment_was_told(&cluster);
    cluster.file("go", "");
    cluster.wait_state("1+1", "FAILED");
    let history = cluster.out("sacct -n -P -X -j 1 -o JobID,JobIDRaw,JobName,State,ExitCode");
    assert_eq!(history, "1+0|1|leader|FAILED|4:0\n1+1|2|leader|FAILED|4:0\n1+2|3|third|FAILED|4:0");
    assert_eq!(cluster.out("sacct -n -P -j 1+1 -o JobID"), "1+1\n1+1.0\n1+1.2\n1+1.3");
    assert_eq!(cluster.out("sacct -n -P -X -j 2 --whole-hetjob=yes -o JobID"), "1+0\n1+1\n1+2");
    assert_eq!(cluster.out("sacct -n -P -X -j 1 --whole-hetjob=no -o JobID"), "1+0");
}

fn steps_were_one(cluster: &Cluster) {
    let ranks: String = (0..6).map(|rank| format!("{rank}: {rank}/6 1.0 3\n")).collect();
    assert_eq!(cluster.read("all"), ranks, "{}", cluster.read("out"));
    assert_eq!(cluster.read("default"), "0: 2\n1: 2\n");
    assert_eq!(cluster.read("colon"), "0: A\n1: B 1 of 3\n2: B 2 of 3\n");
    assert_eq!(cluster.read("one"), "3\n");
    assert_eq!(
        cluster.read("codes"),
        "rc 5\nsrun: error: Requested het-group offset exceeds highest hetjob index (7 > 2)\nrc 1\n\
         srun: fatal: Duplicate het groups in single srun not supported\nrc 1\n"
    );
}

fn environment_was_told(cluster: &Cluster) {
    let told = cluster.read("env");
    for line in [
        "SLURM_HET_SIZE=3",
        "SLURM_PACK_SIZE=3",
        "SLURM_JOB_ID_HET_GROUP_0=1",
        "SLURM_JOB_ID_HET_GROUP_2=3",
        "SLURM_JOB_ID_PACK_GROUP_1=2",
        "SLURM_JOB_NAME_HET_GROUP_2=third",
        "SLURM_JOB_NUM_NODES_HET_GROUP_1=2",
        "SLURM_NTASKS_HET_GROUP_1=3",
        "SLURM_TASKS_PER_NODE_HET_GROUP_1=2,1",
        "SLURM_CPUS_PER_TASK_HET_GROUP_2=2",
        "SLURM_JOB_PARTITION_HET_GROUP_0=debug",
    ] {
        assert!(told.lines().any(|other| other == line), "no {line} in\n{told}");
    }
    assert!(!told.contains("SLURM_JOBID_HET_GROUP_0="), "{told}");
}

#[test]
fn waiting_components_are_one_thing_and_running_ones_are_not() {
    let cluster = Cluster::start(&["--nodes", "2"]);
    let full = cluster.submit("-N2 --exclusive -o /dev/null --wrap 'sleep 300'");
    cluster.wait_state(full, "RUNNING");
    assert_eq!(cluster.submit("-N1 : -N1 -o /dev/null --wrap 'sleep 300'"), 2);
    cluster.wait("the reason", || {
        cluster.out("squeue -h -j 2 -S i -o '%i %t %r'") == "2+0 PD Resources\n2+1 PD Resources"
    });
    let expected = cluster.out("squeue -h -j 2 --start -o %S | sort -u | wc -l");
    assert_eq!(expected.trim(), "1", "they are expected at different times");
    for name in ["2+1", "3"] {
        let ran = cluster.run(&format!("scancel {name}"));
        let said = format!(
            "scancel: error: Kill job error on job id {name}: Operation not permitted on individual component of heterogeneous job\n"
        );
        assert_eq!((ran.code, ran.stderr), (60, said));
    }
    cluster.out("scontrol hold 2+1");
    assert_eq!(cluster.out("squeue -h -j 2+1 -o %r"), "JobHeldAdmin");
    cluster.out("scontrol release 2");
    let ran = cluster.run("scontrol requeue 2");
    assert_eq!((ran.code, ran.stderr.as_str()), (1, "Job is pending execution for job 2\n"));
    cluster.out(&format!("scancel {full}"));
    cluster.wait_state("2+1", "RUNNING");
    let ran = cluster.run("scontrol requeue 3");
    assert_eq!((ran.code, ran.stderr.as_str()), (1, "Job not heterogeneous job leader for job 3\n"));
    let ran = cluster.run("scontrol suspend 2+1");
    let said = "Operation not permitted on individual component of heterogeneous job for job 2+1\n";
    assert_eq!((ran.code, ran.stderr.as_str()), (1, said));
    cluster.out("scancel 2+1");
    cluster.wait_state("2+1", "CANCELLED");
    assert_eq!(cluster.state("2+0"), "RUNNING");
    cluster.out("scancel 2");
    cluster.wait("the queue to be empty", || cluster.out("squeue -h").is_empty());
}

#[test]
fn refusals_and_tries() {
    let cluster = Cluster::start(&["--nodes", "2"]);
    let check = |line: &str, expected: &str| {
        let ran = cluster.run(line);
        assert_eq!(format!("{}{}", ran.stdout, ran.stderr), expected, "{line}");
    };
    check(
        "sbatch -n1 : -n2 --array=1-2 --wrap true",
        "sbatch: error: Batch job submission failed: Invalid job array specification\n",
    );
    check(
        "sbatch -n1 : -p nope --wrap true",
        "sbatch: error: invalid partition specified: nope\n\
         sbatch: error: Batch job submission failed: Invalid partition name specified\n",
    );
    check("srun -n1 : -n1", "srun: fatal: No command given to execute.\n");
    check("srun -n1 true :", "srun: fatal: No command given to execute.\n");
    let tried = cluster.run("sbatch --test-only -n1 : -n2 --wrap true").stderr;
    assert!(tried.starts_with("sbatch: Job 1 to start at ") && tried.contains(" using 3 processors on "), "{tried}");
    assert_eq!(cluster.out("squeue -h -t all"), "");
}

#[test]
fn srun_and_salloc_make_their_own() {
    let cluster = Cluster::start(&["--nodes", "2"]);
    let ran = cluster.run(
        "srun -l -n1 sh -c 'echo $SLURM_PROCID/$SLURM_NTASKS $SLURM_HET_SIZE' : -n2 sh -c 'echo b; exit 7' | sort",
    );
    assert_eq!(ran.stdout, "0: 0/3 2\n1: b\n2: b\n", "{}", ran.stderr);
    assert_eq!(cluster.run("srun -n1 sh -c 'exit 2' : -n2 sh -c 'exit 7'").code, 7);
    assert_eq!(cluster.out("srun -l -n1 : -n1 echo same | sort"), "0: same\n1: same");
    let ran = cluster.run(
        "salloc -n1 : -n2 sh -c 'echo $SLURM_JOB_ID $SLURM_HET_SIZE $SLURM_NTASKS $SLURM_JOB_ID_HET_GROUP_1; \
         srun echo one; srun --het-group=0,1 -l echo x | sort; srun --het-group=0,5 true; exit 6'",
    );
    assert_eq!((ran.code, ran.stdout.as_str()), (6, "7 2 3 8\none\n0: x\n1: x\n2: x\n"), "{}", ran.stderr);
    assert!(
        ran.stderr.contains(
            "srun: error: Attempt to run a job step with het group value of 5, but the job allocation has maximum value of 1\n"
        ),
        "{}",
        ran.stderr
    );
    // As in Slurm, where it always waits for a moment.
    let queued = "salloc: Pending job allocation 7\nsalloc: job 7 queued and waiting for resources\n\
                  salloc: job 7 has been allocated resources\nsalloc: Granted job allocation 7\n";
    assert!(ran.stderr.starts_with(queued), "{}", ran.stderr);
    cluster.wait("the queue to be empty", || cluster.out("squeue -h").is_empty());
    assert_eq!(cluster.out("sacct -n -P -X -j 7 -o JobID,State"), "7+0|FAILED\n7+1|FAILED");
}
