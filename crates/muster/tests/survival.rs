//! What must survive: jobs and their ends, when the controller or an agent is killed.

mod support;

use std::collections::BTreeSet;
use std::process::Stdio;

use support::Cluster;

/// Kills of the controller in a submit storm. More with `MUSTER_TEST_KILLS`.
fn kills() -> usize {
    std::env::var("MUSTER_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(5)
}

#[test]
fn no_acknowledged_submit_is_lost_and_no_job_runs_twice() {
    let cluster = Cluster::start(&["--nodes", "2"]);
    cluster.file("job.sh", "#!/bin/sh\necho $SLURM_JOB_ID >> ran\n");
    let mut acknowledged: BTreeSet<u32> = BTreeSet::new();
    for _ in 0..kills() {
        let storm = "for i in $(seq 40); do sbatch --parsable -o /dev/null job.sh 2>/dev/null; done";
        let child = cluster.command(storm).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let before = cluster.read("ran").lines().count();
        cluster.wait("some of the storm to run", || cluster.read("ran").lines().count() > before);
        cluster.kill("controller");
        // What is submitted meanwhile waits for the controller.
        cluster.up(&[]);
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        acknowledged.extend(text.lines().map(|line| line.parse::<u32>().unwrap()));
    }
    let ran = || -> Vec<u32> { cluster.read("ran").lines().filter_map(|line| line.parse().ok()).collect() };
    cluster.wait("all acknowledged jobs to run", || acknowledged.is_subset(&ran().into_iter().collect()));
    cluster.wait("the queue to be empty", || cluster.out("squeue -h").is_empty());
    let all = ran();
    let distinct: BTreeSet<u32> = all.iter().copied().collect();
    assert_eq!(all.len(), distinct.len(), "a job ran twice");
    let states = cluster.out("sacct -X -n -P -o State | sort | uniq -c");
    assert!(states.ends_with("COMPLETED") && states.lines().count() == 1, "{states}");
}

#[test]
fn jobs_end_with_their_exit_codes_when_agent_and_controller_are_killed() {
    let cluster = Cluster::start(&["--nodes", "1"]);
    let jobs: Vec<u32> = (1..=3)
        .map(|code| {
            cluster.submit(&format!(
                "-o out-{code} --wrap 'while [ ! -e go ]; do sleep 0.05; done; echo end; exit {code}'"
            ))
        })
        .collect();
    for job in &jobs {
        cluster.wait_state(job, "RUNNING");
    }
    cluster.kill("n1");
    cluster.kill("controller");
    // They end while nobody looks.
    cluster.file("go", "");
    cluster.wait("the scripts to end", || (1..=3).all(|code| cluster.read(&format!("out-{code}")) == "end\n"));
    cluster.up(&[]);
    for (job, code) in jobs.iter().zip(1..) {
        cluster.wait_state(job, "FAILED");
        let exit = cluster.out(&format!("sacct -X -n -P -j {job} -o ExitCode"));
        assert_eq!(exit, format!("{code}:0"));
    }
}

#[test]
fn a_running_job_is_found_again_and_can_be_cancelled() {
    let cluster = Cluster::start(&["--nodes", "1"]);
    let job = cluster.submit("-o out --wrap 'echo $$ > pid; sleep 300'");
    cluster.wait("the job to say its pid", || cluster.read("pid").ends_with('\n'));
    cluster.kill("n1");
    cluster.up(&[]);
    assert_eq!(cluster.state(job), "RUNNING");
    cluster.out(&format!("scancel {job}"));
    cluster.wait_state(job, "CANCELLED");
    let pid = cluster.read("pid");
    cluster.wait("its process to be gone", || !std::path::Path::new(&format!("/proc/{}", pid.trim())).exists());
}
