//! Signals that `srun` and `salloc` get: what their tasks and command see of them, what they say, and how they end. The words of real
//! Slurm 22.05.

mod support;

use std::process::{Command, Stdio};

use support::Cluster;

/// A task that says when it is there, and then stays for half a minute or until the file `go` is there.
const TASK: &str = "sh -c 'echo here > here; for i in $(seq 600); do [ -e go ] && exit 0; sleep 0.05; done'";

/// One that dies of signals at once.
const PLAIN: &str = "sh -c 'echo here > here; exec sleep 30'";

/// Starts `srun ARGS`, sends it `signals` when its task is there, and checks code and standard error; `@` stands for any text.
#[track_caller]
fn check(cluster: &Cluster, args: &str, signals: &[&str], code: i32, expected: &str) {
    check_line(cluster, &format!("srun {args}"), signals, code, expected);
}

/// The same with any command.
#[track_caller]
fn check_line(cluster: &Cluster, line: &str, signals: &[&str], code: i32, expected: &str) {
    for name in ["here", "go"] {
        let _ = std::fs::remove_file(cluster.work().join(name));
    }
    let mut command = cluster.command(&format!("exec {line}"));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("bash runs");
    cluster.wait("the task to be there", || cluster.read("here") == "here\n");
    for signal in signals {
        let sent = Command::new("kill").args([*signal, &child.id().to_string()]).status().expect("kill runs");
        assert!(sent.success());
    }
    if line.contains("-e go") {
        cluster.file("go", "");
    }
    let output = child.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let matches = |(line, pattern): (&str, &str)| match pattern.split_once('@') {
        Some((start, end)) => line.starts_with(start) && line.ends_with(end),
        None => line == pattern,
    };
    let same = stderr.lines().count() == expected.lines().count() && stderr.lines().zip(expected.lines()).all(matches);
    assert!(same && output.status.code() == Some(code), "{line} {signals:?}: {}\n{stderr}", output.status);
    cluster.wait("the queue to be empty", || cluster.out("squeue -h").is_empty());
}

#[test]
fn what_ends_a_step() {
    let cluster = Cluster::start(&["--nodes", "1"]);
    let killed = "srun: Job step aborted: Waiting up to 7 seconds for job step to finish.\n\
                  slurmstepd: error: *** STEP @ ***\n\
                  srun: error: n1: task 0: Killed\n";
    let forced = format!("srun: forcing job termination\n{killed}");
    check(&cluster, PLAIN, &["-HUP"], 137, &forced);
    check(&cluster, PLAIN, &["-TERM"], 137, &forced);
    check(&cluster, PLAIN, &["-QUIT"], 137, &format!("srun: Quit\n{forced}"));
    check(&cluster, TASK, &["-PIPE"], 0, "");
    let quiet = "slurmstepd: error: *** STEP @ ***\nsrun: error: n1: task 0: Killed\n";
    check(&cluster, &format!("-Q {PLAIN}"), &["-HUP"], 137, quiet);
    let quit = "srun: sending Ctrl-C to StepId=@\n\
                srun: forcing job termination\n\
                srun: Job step aborted: Waiting up to 7 seconds for job step to finish.\n\
                slurmstepd: error: *** STEP @ ***\n";
    check(&cluster, &format!("--quit-on-interrupt {PLAIN}"), &["-INT"], 130, quit);
}

#[test]
fn what_only_reaches_the_tasks() {
    let cluster = Cluster::start(&["--nodes", "1"]);
    check(&cluster, PLAIN, &["-USR1"], 138, "srun: error: n1: task 0: User defined signal 1\n");
    check(&cluster, TASK, &["-ALRM"], 0, "");
    let interrupted = "srun: sending Ctrl-C to StepId=@\nsrun: error: n1: task 0: Interrupt\n";
    check(&cluster, &format!("-X {PLAIN}"), &["-INT"], 130, interrupted);
    let told = "srun: interrupt (one more within 1 sec to abort)\nsrun: StepId=@ task 0: running\n";
    check(&cluster, TASK, &["-INT"], 0, told);
}

#[test]
fn who_is_started_by_nohup_lives_on() {
    let cluster = Cluster::start(&["--nodes", "1"]);
    let mut command = cluster.command(&format!("trap '' HUP; exec srun {TASK}"));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("bash runs");
    cluster.wait("the task to be there", || cluster.read("here") == "here\n");
    let sent = Command::new("kill").args(["-HUP", &child.id().to_string()]).status().expect("kill runs");
    assert!(sent.success());
    cluster.file("go", "");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn two_interrupts_end_a_step_that_catches_one() {
    let cluster = Cluster::start(&["--nodes", "1"]);
    let task = "bash -c 'trap : INT; echo here >here; while :; do sleep 0.05; done'";
    let mut command = cluster.command(&format!("exec srun -X {task}"));
    let child = command.stderr(Stdio::piped()).spawn().expect("bash runs");
    cluster.wait("the task to be there", || cluster.read("here") == "here\n");
    let mut child = Some(child);
    // Two within a second; under load it may take more than two.
    cluster.wait("the end", || {
        let running = child.as_mut().expect("srun");
        drop(Command::new("kill").args(["-INT", &running.id().to_string()]).status());
        running.try_wait().expect("srun").is_some()
    });
    let output = child.take().expect("srun").wait_with_output().expect("srun ends");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(137), "{stderr}");
    assert!(stderr.contains("srun: forcing job termination\n"), "{stderr}");
}

#[test]
fn in_the_background_of_a_terminal_it_goes_on_and_reads_when_it_is_in_front_again() {
    let cluster = Cluster::start(&["--nodes", "1"]);
    cluster.file(
        "session",
        "set -m\nsrun sh -c 'echo up; echo >up; read line; echo got $line' &\nuntil [ -e up ]; do sleep 0.05; done\n\
         jobs\necho in front; fg\necho ended with $?\n",
    );
    let told = cluster.out(
        "(until [ -e up ]; do sleep 0.05; done; echo word; tail -f /dev/null --pid=$$) | \
         timeout 50 script -qec 'bash session' /dev/null",
    );
    let told = told.replace('\r', "");
    assert!(told.contains("up\n") && told.contains("Running"), "{told}");
    assert!(told.contains("got word\nended with 0"), "{told}");
}

#[test]
fn what_ends_an_allocation() {
    let cluster = Cluster::start(&["--nodes", "1"]);
    let given_back = "salloc: Granted job allocation @\nsalloc: Relinquishing job allocation @\n";
    check_line(&cluster, &format!("salloc {TASK}"), &["-TERM", "-USR1", "-USR2"], 0, given_back);
    // The command and what it has started are told, and not waited for.
    let listens = "sh -c 'exec 2> /dev/null; trap \"echo HUP >> got\" HUP; trap \"echo TERM >> got; exit\" TERM; echo here > here; \
                   while :; do sleep 0.05; done'";
    let line = |options: &str| format!("salloc {options} {listens}");
    check_line(&cluster, &line("-K"), &["-HUP"], 1, given_back);
    cluster.wait("the command to hear of it", || {
        cluster.read("got").contains("HUP") && cluster.read("got").contains("TERM")
    });
    assert_eq!(cluster.out("sacct -n -X -P -o State,ExitCode | sort -u"), "COMPLETED|0:0");
    check_line(&cluster, &format!("nohup salloc {TASK}"), &["-HUP"], 0, given_back);
}

#[test]
fn tasks_stand_still_for_a_debugger_until_it_lets_them_go_on() {
    let cluster = Cluster::start(&["--nodes", "1"]);
    let line = "srun --debugger-test sh -c 'echo ran' >out 2>err & \
        until grep -q pid: err; do sleep 0.1; done; \
        pid=$(sed -n 's/.*pid:\\([0-9]*\\),.*/\\1/p' err); \
        until grep -q ') T ' /proc/$pid/stat; do sleep 0.1; done; \
        cat out; kill -CONT $pid; wait; echo then; cat out; sed 's/pid:[0-9]*/pid/' err";
    assert_eq!(cluster.out(line), "then\nran\nsrun: task:0, host:n1, pid, executable:sh");
}
