//! What must survive: jobs and their ends, when the controller or an agent is killed.

mod support;

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

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

#[test]
fn runs_that_are_applied_while_controllers_are_killed_are_made_once() {
    let cluster = Cluster::start(&["--nodes", "2"]);
    let task = "type: task\ncommands: ['true']\nresources: {cpu: 1.., memory: 100MB.., disk: 1GB..}\n";
    cluster.file("task.dstack.yml", task);
    let applying =
        "for i in $(seq 10 39); do muster apply -f task.dstack.yml -n run-$i -y -d || exit; echo $i >> applied; done";
    let mut child = cluster.command(applying).stdout(Stdio::null()).spawn().expect("bash runs");
    for part in 1..=5 {
        cluster.wait("some to be applied", || cluster.read("applied").lines().count() >= 5 * part);
        cluster.kill("controller");
        cluster.up(&[]);
    }
    assert!(child.wait().expect("it ends").success(), "{}", cluster.logs());
    cluster.wait("the queue to be empty", || cluster.out("squeue -h").is_empty());
    let runs = cluster.out("sacct -X -n -P -o JobName,State | sort");
    assert_eq!(runs, (10..40).map(|number| format!("run-{number}|COMPLETED")).collect::<Vec<_>>().join("\n"));
}

/// Who waits until `go` is there and then ends with a code.
fn until_go(code: i32) -> String {
    format!("'while [ ! -e go ]; do sleep 0.05; done; exit {code}'")
}

#[test]
fn whoever_waits_for_a_job_does_so_over_a_controller_that_is_asked_to_stop() {
    let cluster = Cluster::start(&["--nodes", "1", "--cpus", "4"]);
    let start = |lines: [(String, i32); 3]| {
        lines.map(|(line, code)| {
            let child = cluster.command(&line).stdin(Stdio::null()).spawn().expect("bash runs");
            (line, code, child)
        })
    };
    let count = |state: &str| cluster.out(&format!("squeue -h -t {state}")).lines().count();
    let running = start([
        (format!("sbatch -Q --wait -n1 -o /dev/null --wrap {}", until_go(7)), 7),
        (format!("srun -Q -n1 sh -c {}", until_go(6)), 6),
        (format!("salloc -Q -n1 sh -c {}", until_go(5)), 5),
    ]);
    cluster.wait("three to run", || count("RUNNING") == 3);
    let pending = start([
        ("sbatch -Q --wait --exclusive -o /dev/null --wrap 'exit 4'".to_owned(), 4),
        ("srun -Q --exclusive sh -c 'exit 3'".to_owned(), 3),
        ("salloc -Q --exclusive sh -c 'exit 2'".to_owned(), 2),
    ]);
    cluster.wait("three to wait", || count("PENDING") == 3);
    for _ in 0..3 {
        cluster.stop("controller");
        cluster.up(&[]);
        assert_eq!((count("RUNNING"), count("PENDING")), (3, 3));
    }
    cluster.file("go", "");
    for (line, code, mut child) in running.into_iter().chain(pending) {
        assert_eq!(child.wait().expect("it ends").code(), Some(code), "{line}\n{}", cluster.logs());
    }
    let ends = cluster.out("sacct -X -n -P -o State,ExitCode | sort");
    assert_eq!(ends, (2..=7).map(|code| format!("FAILED|{code}:0")).collect::<Vec<_>>().join("\n"));
}

/// Longer than it takes `srun` to ask about its step, and to give it up after that.
const LOOK_AND_GRACE: Duration = Duration::from_secs(5);

#[test]
fn a_step_whose_node_has_not_called_is_not_given_up_while_the_controller_is_away() {
    let cluster = Cluster::start(&["--nodes", "2", "--cpus", "2"]);
    cluster.file(
        "job.sh",
        "#!/bin/sh\ntouch began\nwhile [ ! -e go ]; do sleep 0.05; done\nsrun -w n2 -N1 -n1 echo hello\nexit $?\n",
    );
    let job = cluster.submit("-N2 -o out job.sh");
    cluster.wait("the script to begin", || cluster.work().join("began").exists());
    cluster.signal("n2", "STOP");
    cluster.file("go", "");
    cluster.wait("the step to be created", || {
        !cluster.out(&format!("squeue -h -s -j {job} -o %i | grep '\\.0$'; true")).is_empty()
    });
    cluster.kill("controller");
    #[expect(clippy::disallowed_methods, reason = "nothing is to happen in this time")]
    std::thread::sleep(LOOK_AND_GRACE);
    assert_eq!(cluster.read("out"), "");
    cluster.signal("n2", "CONT");
    cluster.up(&[]);
    cluster.wait_state(job, "COMPLETED");
    assert_eq!(cluster.read("out"), "hello\n");
}
