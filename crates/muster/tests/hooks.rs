//! Prologs and epilogs of a site, with the real commands and real processes.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use support::Cluster;

/// Two nodes with all hooks of nodes and tasks, which note in `DIR/log` what they saw and fail where `DIR/fail-NAME` exists.
struct Site {
    cluster: Cluster,
    directory: tempfile::TempDir,
}

impl Site {
    fn start() -> Site {
        let directory = tempfile::tempdir().expect("a temporary directory");
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o777)).expect("permissions");
        let at = |name: &str| directory.path().join(name).display().to_string();
        for name in ["prolog", "epilog"] {
            let seen = "$SLURM_JOB_ID $SLURMD_NODENAME $SLURM_SCRIPT_CONTEXT $SLURM_JOB_EXIT_CODE2";
            write_hook(directory.path(), name, &format!("echo \"{name} {seen}\""));
        }
        write_hook(
            directory.path(),
            "taskprolog",
            "echo \"export SEEN=by the prolog\"; echo unset WISHED; echo \"print task $SLURM_PROCID\"; exec >/dev/null",
        );
        for name in ["before", "after"] {
            let seen = "$SLURM_JOB_ID $SLURM_JOB_NODELIST $SLURM_SCRIPT_CONTEXT $SLURM_JOB_EXIT_CODE2";
            write_hook(directory.path(), name, &format!("echo \"{name} {seen}\""));
        }
        write_hook(directory.path(), "taskepilog", "echo \"taskepilog $SLURM_JOB_ID $SLURM_SCRIPT_CONTEXT $SEEN\"");
        let text = format!(
            "ClusterName=peer\nSlurmctldHost=localhost\nKillWait=1\nReturnToService=2\nProlog={}\nEpilog={}\n\
             TaskProlog={}\nTaskEpilog={}\nPrologEpilogTimeout=20\nPrologSlurmctld={}\nEpilogSlurmctld={}\n\
             NodeName=n[1-2] CPUs=4 RealMemory=1000 State=UNKNOWN\nPartitionName=all Nodes=n[1-2] Default=YES\n",
            at("prolog"),
            at("epilog"),
            at("taskprolog"),
            at("taskepilog"),
            at("before"),
            at("after"),
        );
        std::fs::write(at("site.conf"), text).expect("a file");
        let cluster = Cluster::start(&["--conf", &at("site.conf")]);
        Site { cluster, directory }
    }

    fn fail(&self, hook: &str, fails: bool) {
        let path = self.directory.path().join(format!("fail-{hook}"));
        if fails { std::fs::write(path, "") } else { std::fs::remove_file(path) }.expect("a file");
    }

    /// Lines of the log that belong to `job`, in order.
    fn log(&self, job: u32) -> Vec<String> {
        let text = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        let is_of_job = |line: &&str| line.split(' ').nth(1) == Some(&job.to_string());
        text.lines().filter(is_of_job).map(str::to_owned).collect()
    }

    fn reason(&self, node: &str) -> String {
        self.cluster.out(&format!("sinfo -h -N -n {node} -o '%T %E'"))
    }
}

fn write_hook(directory: &Path, name: &str, line: &str) {
    let (log, fail) = (directory.join("log"), directory.join(format!("fail-{name}")));
    // A task's hook talks to its task, so that only the others log all they print.
    let into = if name == "taskprolog" { String::new() } else { format!("exec >>{}\n", log.display()) };
    let text = format!("#!/bin/sh\n{into}{line}\n[ -e {} ] && exit 3\nexit 0\n", fail.display());
    let path = directory.join(name);
    std::fs::write(&path, text).expect("a hook");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("permissions");
}

#[test]
fn hooks_run_around_jobs_and_their_tasks() {
    let site = Site::start();
    let cluster = &site.cluster;
    let script = "#!/bin/sh\necho batch $SEEN ${WISHED-unset}\nsrun -n2 -N2 -l sh -c 'echo $SEEN'\nexit 5\n";
    cluster.file("job", script);
    let job = cluster.submit("-N 2 -o out --export=ALL,WISHED=1 job");
    cluster.wait("the job to be over", || site.log(job).iter().filter(|line| line.starts_with("epilog ")).count() == 2);
    cluster.wait("the nodes to be free", || cluster.out("sinfo -h -o %T") == "idle");
    let mut lines: Vec<String> = cluster.read("out").lines().map(str::to_owned).collect();
    lines.sort();
    let expected =
        ["0: by the prolog", "0: task 0", "1: by the prolog", "1: task 1", "batch by the prolog unset", "task 0"];
    assert_eq!(lines, expected, "{}", cluster.read("out"));
    let log = site.log(job);
    let mut hooks: Vec<&str> = log.iter().map(String::as_str).collect();
    hooks.sort_unstable();
    let expected = [
        format!("after {job} n[1-2] epilog_slurmctld 5:0"),
        format!("before {job} n[1-2] prolog_slurmctld "),
        format!("epilog {job} n1 epilog_slurmd 5:0"),
        format!("epilog {job} n2 epilog_slurmd 5:0"),
        format!("prolog {job} n1 prolog_slurmd "),
        format!("prolog {job} n2 prolog_slurmd "),
        format!("taskepilog {job} epilog_task by the prolog"),
        format!("taskepilog {job} epilog_task by the prolog"),
        format!("taskepilog {job} epilog_task by the prolog"),
    ];
    assert_eq!(hooks, expected);
    assert!(log[0].starts_with("before") && log[1].starts_with("prolog"), "{log:?}");
}

#[test]
fn a_prolog_that_fails_holds_the_job_and_drains_the_node() {
    let site = Site::start();
    let cluster = &site.cluster;
    site.fail("prolog", true);
    let job = cluster.submit("-w n1 -o held --wrap 'echo ran'");
    cluster.wait("the job to be held", || {
        cluster.out(&format!("squeue -h -j {job} -o '%t %r'")) == "PD launch failed requeued held"
    });
    cluster.wait("the node to be drained", || site.reason("n1") == "drained Prolog error");
    let ran = cluster.run("srun -w n2 echo ran");
    assert_eq!((ran.code, ran.stdout.as_str()), (182, ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("failed on node n2: Job prolog failed"), "{}", ran.stderr);
    cluster.wait("the other node to be drained", || site.reason("n2") == "drained Prolog error");
    site.fail("prolog", false);
    cluster.out(&format!("scontrol update nodename=n[1-2] state=resume; scontrol release {job}"));
    cluster.wait_state(job, "COMPLETED");
    assert_eq!(cluster.read("held"), "task 0\nran\n");
}

#[test]
fn an_epilog_that_fails_drains_the_node_only() {
    let site = Site::start();
    let cluster = &site.cluster;
    site.fail("epilog", true);
    let job = cluster.submit("-w n2 -o /dev/null --wrap true");
    cluster.wait_state(job, "COMPLETED");
    cluster.wait("the node to be drained", || site.reason("n2") == "drained Epilog error");
    assert_eq!(site.reason("n1"), "idle none");
}

#[test]
fn a_task_prolog_that_fails_ends_its_task() {
    let site = Site::start();
    let cluster = &site.cluster;
    site.fail("taskprolog", true);
    // It ends before its exit code is asked for.
    write_hook(site.directory.path(), "taskprolog", "echo print no");
    let ran = cluster.run("srun -n2 -N1 sh -c 'echo ran'");
    assert_eq!((ran.code, ran.stdout.as_str()), (3, "no\nno\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("error: TaskProlog failed status=3"), "{}", ran.stderr);
    assert!(ran.stderr.contains("srun: error: n1: tasks 0-1: Exited with exit code 3"), "{}", ran.stderr);
}

#[test]
fn hooks_outlive_the_agent() {
    let site = Site::start();
    let cluster = &site.cluster;
    let gate = site.directory.path().join("gate");
    let wait = format!("while ! [ -e {} ]; do /bin/sleep 0.05; done; echo \"prolog $SLURM_JOB_ID\"", gate.display());
    write_hook(site.directory.path(), "prolog", &format!("echo \"begun $SLURM_JOB_ID\"; {wait}"));
    let job = cluster.submit("-w n1 -o out --wrap 'echo ran'");
    cluster.wait("the prolog to run", || site.log(job).iter().any(|line| line.starts_with("begun")));
    cluster.kill("n1");
    cluster.up(&[]);
    assert_eq!(cluster.read("out"), "");
    std::fs::write(&gate, "").expect("a file");
    cluster.wait_state(job, "COMPLETED");
    assert_eq!(cluster.read("out"), "task 0\nran\n");
    cluster.wait("the epilog", || site.log(job).iter().any(|line| line.starts_with("epilog")));
    let log: Vec<String> = site.log(job).iter().map(|line| line.split(' ').next().unwrap_or("").to_owned()).collect();
    let of_nodes: Vec<&str> = log.iter().map(String::as_str).filter(|name| *name != "after").collect();
    assert_eq!(of_nodes, ["before", "begun", "prolog", "taskepilog", "epilog"]);
}

#[test]
fn a_step_may_have_hooks_of_its_own() {
    let site = Site::start();
    let cluster = &site.cluster;
    let own = site.directory.path();
    write_hook(own, "taskprolog", "echo print of the site");
    for (name, line) in [("before", "echo print own; echo export OWN=1"), ("around", "echo $SLURM_SCRIPT_CONTEXT $*")] {
        std::fs::write(own.join(name), format!("#!/bin/sh\n{line}\n")).expect("a hook");
        std::fs::set_permissions(own.join(name), std::fs::Permissions::from_mode(0o755)).expect("permissions");
    }
    let dir = own.display();
    let step = format!("srun -n1 --task-prolog={dir}/before --prolog={dir}/around --epilog={dir}/around");
    let printed = cluster.out(&format!("{step} sh -c 'echo ran $OWN'"));
    let around = |moment: &str| format!("{moment}_srun sh -c echo ran $OWN");
    assert_eq!(printed, format!("{}\nof the site\nown\nran 1\n{}", around("prolog"), around("epilog")));
    let ran = cluster.run("srun -n1 --task-prolog=/no/such sh -c 'echo ran'");
    assert_eq!((ran.code, ran.stdout.as_str()), (1, "of the site\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("user task_prolog can not be executed (/no/such) No such file"), "{}", ran.stderr);
}

#[test]
fn a_job_is_configuring_until_the_prolog_of_the_controller_has_ended() {
    let site = Site::start();
    let cluster = &site.cluster;
    let gate = site.directory.path().join("gate");
    let wait = format!("while ! [ -e {} ]; do /bin/sleep 0.05; done", gate.display());
    write_hook(site.directory.path(), "before", &format!("echo \"before $SLURM_JOB_ID\"; {wait}"));
    let job = cluster.submit("-o out --wrap 'echo ran'");
    cluster.wait("it to be configured", || cluster.out(&format!("squeue -h -j {job} -o '%t %T'")) == "CF CONFIGURING");
    cluster.wait("the prolog to run", || site.log(job).len() == 1);
    // What was lost with the controller is run again.
    cluster.kill("controller");
    cluster.up(&[]);
    cluster.wait("it to run again", || site.log(job).len() == 2);
    assert_eq!((cluster.state(job).as_str(), cluster.read("out")), ("CONFIGURING", String::new()));
    std::fs::write(&gate, "").expect("a file");
    cluster.wait_state(job, "COMPLETED");
    assert_eq!(cluster.read("out"), "task 0\nran\n");
}

#[test]
fn a_prolog_of_the_controller_that_fails_puts_the_job_back() {
    let site = Site::start();
    let cluster = &site.cluster;
    site.fail("before", true);
    let job = cluster.submit("-o out --wrap 'echo ran'");
    cluster.wait("it to go back", || cluster.out(&format!("scontrol show job {job}")).contains("Restarts=1"));
    cluster.wait("it to wait", || cluster.out(&format!("squeue -h -j {job} -o '%t %r'")) == "PD BeginTime");
    let ran = cluster.run("srun -n1 echo ran");
    assert!(ran.code != 0 && ran.stdout.is_empty(), "{ran:?}");
    cluster.wait("a node that is not blamed", || site.reason("n1") == "idle none");
    site.fail("before", false);
    cluster.out(&format!("scontrol update jobid={job} starttime=now"));
    cluster.wait_state(job, "COMPLETED");
}
