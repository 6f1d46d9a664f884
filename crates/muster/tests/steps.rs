//! `srun` and `salloc`: tasks, labels, exit codes, input, allocations.

mod support;

use std::process::Stdio;

use support::Cluster;

#[test]
fn srun_from_the_shell() {
    let cluster = Cluster::start(&["--nodes", "2"]);
    assert_eq!(
        cluster.out("srun -N2 -n4 -l sh -c 'echo $SLURM_PROCID of $SLURM_NTASKS' | sort"),
        "0: 0 of 4\n1: 1 of 4\n2: 2 of 4\n3: 3 of 4"
    );
    // Where the number of nodes is open, there is a task for each that there is.
    assert_eq!(cluster.out("srun -N1-2 -l sh -c 'echo $SLURM_PROCID of $SLURM_NTASKS' | sort"), "0: 0 of 2\n1: 1 of 2");
    assert_eq!(cluster.out("srun -N1-2 -n1 sh -c 'echo $SLURM_NTASKS'"), "1");
    let ran = cluster.run("srun -n2 sh -c 'exit $((SLURM_PROCID + 6))'");
    assert_eq!(ran.code, 7);
    assert!(ran.stderr.contains(": task 1: Exited with exit code 7\n"), "{}", ran.stderr);
    let ran = cluster.run("srun sh -c 'kill -9 $$'");
    assert_eq!((ran.code, ran.stderr.contains(": task 0: Killed\n")), (137, true), "{}", ran.stderr);
    assert_eq!(cluster.out("echo hello | srun cat"), "hello");
    cluster.wait("the queue to be empty", || cluster.out("squeue -h").is_empty());
}

#[test]
fn input_reaches_all_tasks_however_much_they_write() {
    let cluster = Cluster::start(&["--nodes", "2"]);
    let counted = cluster.out("head -c 8000000 /dev/zero | srun -N2 -n8 cat | wc -c");
    assert_eq!(counted, "64000000");
    // The first node has gone while input still flows.
    let ran = cluster.out("head -c 4000000 /dev/zero | srun -N2 -n2 sh -c 'test $SLURM_PROCID = 0 || wc -c'");
    assert_eq!(ran, "4000000");
    // Whoever ends srun is heard though nobody takes the input.
    cluster.file("task.sh", "echo up >> up\nexec sleep 60\n");
    let mut srun = cluster.command("yes | sh -c 'echo $$ > pid; exec srun -w n1 -n2 sh task.sh'");
    let srun = srun.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("bash runs");
    cluster.wait("both tasks to run", || cluster.read("up") == "up\nup\n");
    cluster.out("kill -TERM $(cat pid)");
    let errors = String::from_utf8(srun.wait_with_output().expect("srun ends").stderr).expect("text");
    // In one line where their ends come together.
    let killed = |task: &str| errors.contains(&format!("srun: error: n1: {task}: Killed\n"));
    assert!(killed("tasks 0-1") || (killed("task 0") && killed("task 1")), "{errors}");
}

#[test]
fn unbuffered_output_goes_to_a_terminal() {
    let cluster = Cluster::start(&["--nodes", "1"]);
    // It changes nothing of what is written.
    assert_eq!(
        cluster.out("srun -u sh -c 'test -t 1 && echo terminal; test -t 2 || echo none' | od -c -An"),
        cluster.out("printf 'terminal\\nnone\\n' | od -c -An")
    );
    assert_eq!(cluster.out("srun sh -c 'test -t 1 || echo none'"), "none");
}

/// What an MPI library says at its start, in the shell.
const LIBRARY: &str = "say() { echo \"cmd=$1\" >&$PMI_FD; read -r answer <&$PMI_FD; }
say 'init pmi_version=1 pmi_subversion=1'
say \"put kvsname=x key=from$PMI_RANK value=on-$SLURMD_NODENAME\"
say barrier_in
say \"get kvsname=x key=from$(((PMI_RANK + 1) % PMI_SIZE))\"
echo \"$PMI_RANK of $PMI_SIZE in $PMI_JOBID: $answer\"
say 'get kvsname=x key=PMI_process_mapping'
test $PMI_RANK = 0 && echo \"$answer\"
say finalize
";

#[test]
fn tasks_of_an_mpi_program_find_each_other() {
    let cluster = Cluster::start(&["--nodes", "2"]);
    cluster.file("library.sh", LIBRARY);
    let met = "0 of 3 in 1.0: cmd=get_result rc=0 value=on-n1\n\
        1 of 3 in 1.0: cmd=get_result rc=0 value=on-n2\n\
        2 of 3 in 1.0: cmd=get_result rc=0 value=on-n1\n\
        cmd=get_result rc=0 value=(vector,(0,1,2),(1,1,1))";
    assert_eq!(cluster.out("srun -N2 -n3 --mpi=pmi2 bash library.sh | sort"), met);
    assert_eq!(cluster.out("srun -n1 --mpi=pmi2 srun --mpi=none --overlap sh -c 'echo ${PMI_RANK:-none}'"), "none");
    let aborted =
        "echo 'cmd=init pmi_version=1 pmi_subversion=1' >&$PMI_FD; echo 'cmd=abort exitcode=5' >&$PMI_FD; sleep 60";
    let ran = cluster.run(&format!("srun -n2 --mpi=pmi2 bash -c \"{}\"", aborted.replace('$', "\\$")));
    assert!(ran.code == 137 && ran.stderr.contains("*** STEP 3.0 ON n1 CANCELLED AT "), "{}", ran.stderr);
    let spawning = "echo 'cmd=init pmi_version=1 pmi_subversion=1' >&$PMI_FD; read x <&$PMI_FD; \
        printf 'mcmd=spawn\\nnprocs=1\\nendcmd\\n' >&$PMI_FD; read x <&$PMI_FD; echo $x";
    let ran = cluster.run(&format!("srun --mpi=pmi2 bash -c \"{}\"", spawning.replace('$', "\\$")));
    assert_eq!(ran.stdout, "cmd=spawn_result rc=1 msg=not_supported\n");
    assert_eq!(ran.stderr, "slurmstepd: error: mpi/pmi2: PMI1 request of 'spawn' not supported\n");
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

#[test]
fn a_list_of_nodes_says_where_each_task_goes() {
    let cluster = Cluster::start(&["--nodes", "3", "--cpus", "4"]);
    let told = "sh -c 'echo $SLURM_PROCID $SLURMD_NODENAME $SLURM_NODEID $SLURM_LOCALID $SLURM_TASKS_PER_NODE'";
    // As real srun 22.05 deals them.
    let dealt = "0 n2 1 0 2,1(x2)\n1 n1 0 0 2,1(x2)\n2 n1 0 1 2,1(x2)\n3 n3 2 0 2,1(x2)";
    assert_eq!(cluster.out(&format!("srun -m arbitrary -w n2,n1,n1,n3 {told} | sort")), dealt);
    cluster.file("hosts", "n2\nn1*2\nn3\n");
    let hostfile = "export SLURM_HOSTFILE=$PWD/hosts";
    assert_eq!(cluster.out(&format!("{hostfile}; srun {told} | sort")), dealt);
    // Within an allocation.
    let within = cluster.out(&format!("salloc -Q -N3 -n6 srun -m arbitrary -w n3,n1,n1 {told} | sort"));
    assert_eq!(within, "0 n3 1 0 2,1\n1 n1 0 0 2,1\n2 n1 0 1 2,1");
    let ran = cluster.run("salloc -Q -N2 -n2 srun -m arbitrary -w n1,n1,n1,n1,n1 true");
    assert!(ran.code != 0 && ran.stderr.contains("srun: error: Unable to create step for job "), "{}", ran.stderr);
}

#[test]
fn with_v_srun_tells_where_its_tasks_go_and_how_they_end() {
    let cluster = Cluster::start(&["--nodes", "2"]);
    let told = |line: &str| {
        let ran = cluster.run(line);
        let mut lines: Vec<&str> =
            ran.stderr.lines().skip_while(|line| !line.ends_with("end of defined options")).skip(1).collect();
        // Nodes start and end in any order.
        lines.sort_unstable();
        lines.join("\n")
    };
    let both = "srun: jobid 1: nodes(2):`n[1-2]', cpu counts: 2(x1),1(x1)\n\
                srun: launch/slurm: _task_finish: Received task exit notification for 1 task of StepId=1.0 (status=0x0000).\n\
                srun: launch/slurm: _task_finish: Received task exit notification for 2 tasks of StepId=1.0 (status=0x0000).\n\
                srun: launch/slurm: _task_finish: n1: tasks 0-1: Completed\n\
                srun: launch/slurm: _task_finish: n2: task 2: Completed\n\
                srun: launch/slurm: _task_start: Node n1, 2 tasks started\n\
                srun: launch/slurm: _task_start: Node n2, 1 tasks started\n\
                srun: launching StepId=1.0 on host n1, 2 tasks: [0-1]\n\
                srun: launching StepId=1.0 on host n2, 1 tasks: 2";
    assert_eq!(told("srun -v -N2 -n3 true"), both);
    let bad = "srun: error: n1: task 0: Exited with exit code 3\n\
               srun: jobid 2: nodes(1):`n1', cpu counts: 1(x1)\n\
               srun: launch/slurm: _task_finish: Received task exit notification for 1 task of StepId=2.0 (status=0x0300).\n\
               srun: launch/slurm: _task_start: Node n1, 1 tasks started\n\
               srun: launching StepId=2.0 on host n1, 1 tasks: 0";
    assert_eq!(told("srun -v -n1 sh -c 'exit 3'"), bad);
}

#[test]
fn labels_stand_in_files_of_single_tasks_and_nodes() {
    let cluster = Cluster::start(&["--nodes", "2"]);
    cluster.out("srun -l -N2 -n2 -o t.%t sh -c 'echo hi; printf part; sleep 0.1; printf ial'");
    assert_eq!(
        (cluster.read("t.0").as_str(), cluster.read("t.1").as_str()),
        ("0: hi\n0: partial\n", "1: hi\n1: partial\n")
    );
    cluster.out("srun -l -N2 -n12 -o n.%n -e e.%t sh -c 'echo hi; test $SLURM_PROCID != 3 || echo err >&2'");
    assert_eq!(
        cluster.out("cat n.0 n.1 | sort | tr '\\n' ,"),
        (0..12).map(|rank| format!("{rank:2}: hi,")).collect::<String>()
    );
    assert_eq!((cluster.read("e.3").as_str(), cluster.read("e.0").as_str()), (" 3: err\n", ""));
    // Both streams are one unless the other is named, and a file is continued.
    cluster.out("srun -l -n1 -o both.%t sh -c 'echo a; echo b >&2'; srun -l -n1 -o both.%t --open-mode=append echo c");
    assert_eq!(cluster.read("both.0"), "0: a\n0: b\n0: c\n");
    cluster.out("srun -n1 -o plain.%t echo hi");
    assert_eq!(cluster.read("plain.0"), "hi\n");
}
