//! `sattach`: several clients at one step.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use support::Cluster;

/// Says what it reads until it is told to quit.
const LOOP: &str = "#!/bin/sh
echo start $SLURM_PROCID
echo err $SLURM_PROCID >&2
while read line; do
  echo got $SLURM_PROCID $line
  test \"$line\" = quit && exit $((SLURM_PROCID + 3))
done
";

/// A running `sattach`.
struct Attached {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    seen: String,
}

impl Attached {
    fn start(cluster: &Cluster, args: &str) -> Attached {
        let mut command = cluster.command(&format!("exec sattach {args}"));
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("sattach");
        let (stdin, stdout) = (child.stdin.take().expect("input"), child.stdout.take().expect("output"));
        Attached { child, stdin, stdout: BufReader::new(stdout), seen: String::new() }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").expect("sattach reads");
    }

    /// Reads lines until all of `wanted` have come.
    fn read_until(&mut self, wanted: &[&str]) {
        while !wanted.iter().all(|line| self.seen.lines().any(|seen| seen == *line)) {
            let count = self.stdout.read_line(&mut self.seen).expect("output");
            assert!(count > 0, "sattach ended before {wanted:?}:\n{}", self.seen);
        }
    }

    /// Output, errors and exit code at the end.
    fn end(mut self) -> (String, String, i32) {
        self.stdout.read_to_string(&mut self.seen).expect("output");
        drop(self.stdin);
        let mut errors = String::new();
        self.child.stderr.take().expect("errors").read_to_string(&mut errors).expect("errors");
        (self.seen, errors, self.child.wait().expect("an end").code().unwrap_or(-1))
    }
}

#[test]
fn several_clients_watch_a_step_and_give_it_input() {
    let cluster = Cluster::start(&["--nodes", "2"]);
    cluster.file("loop.sh", LOOP);
    cluster.out("chmod 755 loop.sh; mkfifo hold");
    let mut srun = cluster.command("exec 9<>hold; exec srun -N2 -n3 ./loop.sh <&9 >own 2>&1").spawn().unwrap();
    cluster.wait("the tasks to run", || (0..3).all(|rank| cluster.read("own").contains(&format!("start {rank}\n"))));
    let layout =
        "Job step layout:\n\t3 tasks, 2 nodes (n[1-2])\n\n\tNode 0 (n1), 2 task(s): 0 1 \n\tNode 1 (n2), 1 task(s): 2 ";
    assert_eq!(cluster.out("sattach --layout 1.0"), layout);
    // What was written before is seen, too.
    let mut all = Attached::start(&cluster, "1.0");
    all.read_until(&["start 0", "start 1", "start 2"]);
    let mut one = Attached::start(&cluster, "-l --input-filter=1 --output-filter=1 --error-filter=1 1.0");
    one.read_until(&["1: start 1"]);
    one.say("one");
    one.read_until(&["1: got 1 one"]);
    assert!(!one.seen.contains("start 0") && !one.seen.contains("start 2"), "{}", one.seen);
    // A client that is killed leaves the step as it is.
    one.child.kill().unwrap();
    let (_, errors, _) = one.end();
    // Written before the answer, and come by the same way.
    assert_eq!(errors, "1: err 1\n");
    all.say("two");
    all.read_until(&["got 0 two", "got 1 two", "got 2 two"]);
    all.say("quit");
    let (seen, errors, code) = all.end();
    assert_eq!(code, 5, "{errors}");
    assert!(seen.contains("got 1 one\n") && seen.contains("got 2 quit\n") && !seen.contains("got 0 one"), "{seen}");
    for (rank, code) in [(0, 3), (1, 4), (2, 5)] {
        assert!(errors.contains(&format!("sattach: error: task {rank} exited with exit code {code}\n")), "{errors}");
    }
    assert_eq!(srun.wait().unwrap().code(), Some(5));
    assert!(cluster.read("own").contains("got 1 one\n"), "{}", cluster.read("own"));
    let late = cluster.run("sattach 1.0");
    assert_eq!(
        (late.stderr.as_str(), late.code),
        ("sattach: error: Could not get job step info: Invalid job id specified\n", 1)
    );
}

#[test]
fn what_ends_a_step_is_seen_by_those_who_watch() {
    let cluster = Cluster::start(&["--nodes", "1"]);
    let mut srun = cluster.command("exec srun sh -c 'echo ready; sleep 1000'").stdout(Stdio::null()).spawn().unwrap();
    cluster.wait("the step to run", || cluster.out("squeue -hs -o %i").contains("1.0"));
    let mut attached = Attached::start(&cluster, "1.0");
    attached.read_until(&["ready"]);
    cluster.out("scancel 1.0");
    let (_, errors, code) = attached.end();
    assert!(errors.contains("*** STEP 1.0 ON n1 CANCELLED AT "), "{errors}");
    assert_eq!(code, 0, "tasks that a signal ended say nothing of it, as in Slurm");
    srun.wait().unwrap();
    // The end of input reaches the tasks, as that of srun does.
    let mut srun = cluster
        .command("mkfifo hold; exec 9<>hold; exec srun sh -c 'echo ready; cat; echo over; exit 7' <&9 >own")
        .spawn()
        .unwrap();
    cluster.wait("the second step to run", || cluster.read("own") == "ready\n");
    let ended = cluster.run("echo mine | sattach 2.0");
    assert_eq!((ended.stdout.as_str(), ended.code), ("ready\nmine\nover\n", 7), "{}", ended.stderr);
    assert_eq!(srun.wait().unwrap().code(), Some(7));
    let job = cluster.submit("--wrap 'sleep 1000'");
    cluster.wait_state(job, "RUNNING");
    assert_eq!(
        cluster.out(&format!("sattach --layout {job}.batch")),
        "Job step layout:\n\t1 tasks, 1 nodes (n1)\n\n\tNode 0 (n1), 1 task(s): 0 "
    );
    let batch = cluster.run(&format!("sattach {job}.batch"));
    assert!(batch.code == 1 && batch.stderr.contains("writes to files"), "{batch:?}");
}
