//! A new program takes over from an older one under running jobs.
//!
//! `MUSTER_OLD` names the older program: `cargo xtask drill upgrade` builds one of an earlier commit, or is given one. Without it
//! this program takes over from itself, which shows that taking over works, and not that formats agree; those are held by the recorded samples
//! beside the protocol of the supervisor.

mod support;

use std::path::PathBuf;
use std::process::{Child, Stdio};

use support::Cluster;

fn new() -> PathBuf {
    env!("CARGO_BIN_EXE_muster").into()
}

fn old() -> PathBuf {
    std::env::var_os("MUSTER_OLD").map_or_else(new, PathBuf::from)
}

/// A line with its number every 20 ms until it is told to end; then it ends with `$1`.
const LINES: &str = "#!/bin/sh\nn=0\nwhile ! test -e $2; do n=$((n + 1)); echo $n; sleep 0.02; done\nexit $1\n";

/// How many lines there are, each with its number, none lost or doubled.
#[track_caller]
fn counted(text: &str) -> usize {
    let numbers: Vec<usize> = text.lines().map(|line| line.parse().unwrap_or(0)).collect();
    let expected: Vec<usize> = (1..=numbers.len()).collect();
    assert_eq!(numbers, expected, "lines were lost");
    numbers.len()
}

fn supervisor(cluster: &Cluster) -> String {
    let spool = cluster.path().join("spool/n1").display().to_string();
    let found = cluster.out(&format!("pgrep -f 'supervisor --dir {spool}$' | head -1"));
    assert!(!found.is_empty(), "no supervisor");
    found
}

/// Ends agent and controller, and starts those of `program`.
fn replace(cluster: &Cluster, program: &std::path::Path) {
    cluster.kill("n1");
    cluster.kill("controller");
    cluster.up_with(program, &[]);
}

/// More lines than `before` in each file.
fn wait_for_more(cluster: &Cluster, files: &[&str]) {
    let before: Vec<usize> = files.iter().map(|file| cluster.read(file).lines().count()).collect();
    cluster.wait("all jobs to go on", || {
        files.iter().zip(&before).all(|(file, before)| cluster.read(file).lines().count() > before + 5)
    });
}

fn finished(mut child: Child) -> i32 {
    child.wait().expect("srun ends").code().unwrap_or(-1)
}

#[test]
fn a_new_agent_takes_over_what_an_old_one_runs() {
    let cluster = Cluster::start_of(&old(), &["--nodes", "1"]);
    cluster.file("lines.sh", LINES);
    cluster.out("chmod 755 lines.sh");
    let batch = cluster.submit("-n1 -o batch.out --wrap 'exec ./lines.sh 7 go'");
    let inner = cluster.submit("-n1 -o inner.out --wrap 'srun ./lines.sh 5 go'");
    let cancelled = cluster.submit("-n1 -o cancelled.out --wrap 'exec ./lines.sh 0 never'");
    let live = cluster.command("srun -n1 ./lines.sh 3 go >live.out").stderr(Stdio::null()).spawn().expect("srun");
    let files = ["batch.out", "inner.out", "cancelled.out", "live.out"];
    wait_for_more(&cluster, &files);
    let before = supervisor(&cluster);

    // The supervisor, the steps and whoever waits for them are the old ones; agent, controller and commands are new.
    replace(&cluster, &new());
    wait_for_more(&cluster, &files);
    assert_eq!(supervisor(&cluster), before, "the supervisor that owns the processes stays");
    cluster.out(&format!("scancel {cancelled}"));
    cluster.wait_state(cancelled, "CANCELLED");
    assert_eq!(cluster.out("srun -n1 echo new work"), "new work");
    let told = cluster.out(&format!("sstat -n -P -a -j {batch} -o JobID,Pids"));
    assert!(told.starts_with(&format!("{batch}.batch|")), "{told}");

    // And back: what was new is older than nothing.
    replace(&cluster, &old());
    wait_for_more(&cluster, &["batch.out", "inner.out", "live.out"]);
    assert_eq!(cluster.out("srun -n1 echo old work"), "old work");
    replace(&cluster, &new());

    cluster.file("go", "");
    assert_eq!(finished(live), 3);
    for (job, code) in [(batch, 7), (inner, 5)] {
        cluster.wait_state(job, "FAILED");
        assert_eq!(cluster.out(&format!("sacct -X -n -P -j {job} -o ExitCode")), format!("{code}:0"));
    }
    for file in files {
        // Among the lines stands what `srun` and the shell say of the ends.
        let is_count = |line: &&str| line.starts_with(|first: char| first.is_ascii_digit());
        let text = cluster.read(file);
        let lines: Vec<&str> = text.lines().filter(is_count).collect();
        assert!(counted(&lines.join("\n")) > 10, "{file}");
    }
}
