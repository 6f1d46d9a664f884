//! What control groups hold jobs to, with the real commands, real processes and the kernel's own limits.
//!
//! Where no control groups can be made these tests say so and do nothing.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::Cluster;

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

/// Whether control groups can be made here for `controller` of version 1, or of version 2 for none; says why not.
fn has_controller(controller: &str) -> bool {
    let why = || -> Result<(), String> {
        if !is_root() {
            return Err("only root can make control groups".to_owned());
        }
        let own = std::fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
        let base = own.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            controllers.split(',').any(|name| name == controller).then(|| match controller {
                "" if Path::new("/sys/fs/cgroup/unified").exists() => format!("/sys/fs/cgroup/unified{path}"),
                _ => format!("/sys/fs/cgroup/{controller}{path}"),
            })
        });
        let base = base.ok_or_else(|| format!("there is no hierarchy for {controller:?}"))?;
        let probe = Path::new(&base).join(format!("muster-test-{}", std::process::id()));
        std::fs::create_dir(&probe).map_err(|error| format!("{}: {error}", probe.display()))?;
        std::fs::remove_dir(&probe).map_err(|error| format!("{}: {error}", probe.display()))
    };
    match why() {
        Ok(()) => true,
        Err(reason) => {
            eprintln!("SKIPPED, no control groups here: {reason}");
            false
        }
    }
}

/// A cluster of one node with two CPUs, and the files that belong to its slurm.conf.
fn start(task: &str, companions: &[(&str, &str)]) -> Cluster {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let text = format!(
        "ClusterName=peer\nSlurmctldHost=localhost\nKillWait=1\nReturnToService=2\nGresTypes=gpu\n\
         SelectTypeParameters=CR_Core_Memory\n{task}\n\
         NodeName=n1 CPUs=2 RealMemory=1000 Gres=gpu:2 State=UNKNOWN\nPartitionName=all Nodes=n1 Default=YES\n"
    );
    let path = directory.path().join("site.conf");
    std::fs::write(&path, text).expect("a file");
    for (name, text) in companions {
        std::fs::write(directory.path().join(name), text).expect("a file");
    }
    // Not where jobs may have a directory to themselves.
    Cluster::start_in(Path::new("/var/tmp"), &["--conf", &path.display().to_string()])
}

/// Process number of the supervisor of the node.
fn supervisor(cluster: &Cluster) -> i32 {
    let spool = cluster.path().join("spool/n1").display().to_string();
    let is_it = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        words.iter().any(|word| word == "supervisor") && words.iter().any(|word| *word == spool)
    };
    let all = std::fs::read_dir("/proc").expect("/proc").flatten();
    let mut pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.find(is_it).expect("a supervisor")
}

fn kill_9(pid: i32) {
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().expect("kill runs").success());
}

/// What `second` prints, a step of an allocation whose agent was killed after the step `first`.
fn across_a_killed_agent(cluster: &Cluster, first: &str, second: &str) -> String {
    let wait = "while test ! -e go; do sleep 0.05; done";
    cluster.file("steps.sh", &format!("srun -Q sh -c '{first}'\ntouch first\n{wait}\nsrun -Q sh -c '{second}'\n"));
    let mut command = cluster.command("salloc -Q -n1 sh steps.sh");
    let salloc = command.stdout(std::process::Stdio::piped()).spawn().expect("salloc runs");
    cluster.wait("the first step", || cluster.work().join("first").exists());
    cluster.kill("n1");
    cluster.up(&[]);
    cluster.file("go", "");
    let output = salloc.wait_with_output().expect("salloc ends");
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// Takes three times 100 megabytes of memory.
const HOG: &str = "sh -c 'head -c 300m /dev/zero | tail; true'";

/// Groups of this machine that supervisors of `cluster` have made.
fn groups(cluster: &Cluster) -> Vec<PathBuf> {
    let id = std::fs::read_to_string(cluster.path().join("spool/n1/supervisor.id")).unwrap_or_default();
    let found =
        Command::new("find").args(["/sys/fs/cgroup", "-type", "d", "-name"]).arg(format!("muster-{id}")).output();
    let found = found.expect("find runs");
    String::from_utf8_lossy(&found.stdout).lines().map(PathBuf::from).collect()
}

#[test]
fn who_takes_too_much_memory_is_killed_and_told() {
    if !has_controller("memory") {
        return;
    }
    let cluster = start(
        "TaskPlugin=task/cgroup\nProctrackType=proctrack/cgroup",
        &[("cgroup.conf", "ConstrainRAMSpace=yes\nConstrainSwapSpace=yes\nMinRAMSpace=10\n")],
    );
    let ran = cluster.run(&format!("srun -n1 --mem=60 {HOG}"));
    let expected = |id: &str| {
        format!(
            "slurmstepd: error: Detected 1 oom-kill event(s) in StepId={id}. Some of your processes may have been killed by \
             the cgroup out-of-memory handler."
        )
    };
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains(&expected("1.0")), "{ran:?}");
    assert!(ran.stderr.contains("srun: error: n1: task 0: Out Of Memory\n"), "{ran:?}");
    // A script that goes on afterwards fails all the same; what it starts counts for itself.
    let job = cluster.submit(&format!("--wait -n1 --mem=60 -o batch.out --wrap '{}' || true", HOG.replace('\'', "\"")));
    cluster.wait_state(job, "OUT_OF_MEMORY");
    assert!(cluster.read("batch.out").contains(&expected(&format!("{job}.batch"))), "{}", cluster.read("batch.out"));
    cluster.file("steps.sh", &format!("#!/bin/sh\nsrun -n1 {HOG}\necho srun $?\nexit 3\n"));
    let failed = cluster.submit("-n1 --mem=60 -o steps.out steps.sh");
    let after = cluster.submit(&format!("-n1 --dependency=afternotok:{job} -o /dev/null --wrap true"));
    let never = cluster.submit(&format!("-n1 --dependency=afterok:{job} --wrap true"));
    cluster.wait_state(failed, "FAILED");
    cluster.wait_state(after, "COMPLETED");
    let reason = || cluster.out(&format!("squeue -h -o %r -j {never}"));
    cluster.wait("the other dependency to fail", || reason() == "DependencyNeverSatisfied");
    let seen = cluster.read("steps.out");
    assert!(seen.contains("srun: error: n1: task 0: Out Of Memory") && seen.contains("srun 1\n"), "{seen}");
    let rows = cluster.out(&format!("sacct -n -P -o jobid,state,exitcode -j 1,{job},{failed}"));
    assert_eq!(
        rows,
        format!(
            "1|OUT_OF_MEMORY|0:125\n1.0|OUT_OF_MEMORY|0:125\n{job}|OUT_OF_MEMORY|0:125\n{job}.batch|OUT_OF_MEMORY|0:125\n\
             {failed}|FAILED|3:0\n{failed}.batch|FAILED|3:0\n{failed}.0|OUT_OF_MEMORY|0:125"
        )
    );
    let shown = cluster.out(&format!("scontrol show job {job}"));
    assert!(shown.contains("JobState=OUT_OF_MEMORY Reason=OutOfMemory"), "{shown}");
    assert!(shown.contains("ExitCode=0:125"), "{shown}");
    assert_eq!(cluster.out("sinfo -h -o %t"), "idle");
}

#[test]
fn all_steps_of_a_job_share_its_memory() {
    if !has_controller("memory") {
        return;
    }
    let conf = "ConstrainRAMSpace=yes\nMinRAMSpace=10\n";
    let cluster = start("TaskPlugin=task/cgroup", &[("cgroup.conf", conf)]);
    // Each step may have as much as the job has, and both together have more. Each holds what it has until the other has it too,
    // or has ended.
    let half = "import os, sys, time\ntaken = b'x' * (50 << 20)\nopen('taken.' + sys.argv[1], 'w')\n\
                while not os.path.exists('ended') and not all(map(os.path.exists, ['taken.1', 'taken.2'])):\n    time.sleep(0.02)\n";
    cluster.file("half.py", half);
    let step = "(srun -n1 --overlap --mem=80 python3 half.py $at; touch ended)";
    cluster.file("steps.sh", &format!("#!/bin/sh\nfor at in 1 2; do {step} & done\nwait\n"));
    let job = cluster.submit("-n1 --mem=80 -o steps.out steps.sh");
    cluster.wait_state(job, "COMPLETED");
    let killed = cluster.out(&format!("sacct -n -P -o state -j {job} | grep -c OUT_OF_MEMORY; true"));
    assert_ne!(killed, "0", "{}", cluster.read("steps.out"));
}

/// A node with two devices in place of GPUs, which may be read by whoever may open them.
fn with_devices(plugin: &str) -> Option<(tempfile::TempDir, Cluster)> {
    let devices = tempfile::tempdir_in("/var/tmp").expect("a temporary directory");
    for (name, minor) in [("g0", "5"), ("g1", "7")] {
        let made = Command::new("mknod").arg(devices.path().join(name)).args(["c", "1", minor]).status();
        if !made.is_ok_and(|status| status.success()) {
            eprintln!("SKIPPED, no devices can be made here");
            return None;
        }
    }
    let gres = format!("NodeName=n1 Name=gpu File={}/g[0-1]\n", devices.path().display());
    let conf = format!("CgroupPlugin={plugin}\nConstrainDevices=yes\n");
    let cluster = start("TaskPlugin=task/cgroup", &[("gres.conf", &gres), ("cgroup.conf", &conf)]);
    Some((devices, cluster))
}

/// Which of the two devices a step with `options` may open.
fn opened(devices: &Path, cluster: &Cluster, options: &str) -> String {
    let look = format!("for at in 0 1; do head -c1 {}/g$at | wc -c; done 2>/dev/null", devices.display());
    cluster.out(&format!("srun -n1 {options} sh -c '{look}'")).replace('\n', " ")
}

#[test]
fn devices_of_others_cannot_be_opened() {
    for (plugin, controller) in [("cgroup/v1", "devices"), ("cgroup/v2", "")] {
        if !has_controller(controller) {
            continue;
        }
        let Some((devices, cluster)) = with_devices(plugin) else { return };
        let opened = |options: &str| opened(devices.path(), &cluster, options);
        assert_eq!(opened(""), "0 0", "{plugin}");
        assert_eq!(opened("--gres=gpu:1"), "1 0", "{plugin}");
        assert_eq!(opened("--gres=gpu:2"), "1 1", "{plugin}");
        // Another job has the first.
        let other = cluster.submit("-n1 --mem=10 --gres=gpu:1 -o /dev/null --wrap 'sleep 600'");
        cluster.wait_state(other, "RUNNING");
        assert_eq!(opened("--mem=10 --gres=gpu:1"), "0 1", "{plugin}");
        cluster.out(&format!("scancel {other}"));
    }
}

#[test]
fn tasks_cannot_leave_their_cores() {
    if !has_controller("cpuset") {
        return;
    }
    let cluster = start("TaskPlugin=task/cgroup", &[("cgroup.conf", "ConstrainCores=yes\n")]);
    // The widest mask that can be asked for leads nowhere else.
    let seen = cluster.out("srun -n1 sh -c 'taskset -pc 0-1 $$ >/dev/null; grep Cpus_allowed_list /proc/self/status'");
    assert_eq!(seen, "Cpus_allowed_list:\t0");
}

#[test]
fn a_node_without_control_groups_says_so() {
    let conf = "CgroupPlugin=cgroup/v1\nCgroupMountpoint=/no/such\nConstrainRAMSpace=yes\n";
    let cluster = start("TaskPlugin=task/cgroup", &[("cgroup.conf", conf)]);
    let reason = "what cgroup.conf wants cannot be enforced on this node: no freezer hierarchy of cgroup/v1 is mounted at /no/such";
    let ran = cluster.run("timeout 20 srun -n1 true");
    assert!(ran.code != 0 && ran.stderr.contains(reason), "{ran:?}");
    cluster.submit("-n1 -o /dev/null --wrap true");
    cluster.wait("the node to be drained", || cluster.out("sinfo -h -o %t") == "drain");
    let shown = cluster.out("scontrol show node n1");
    assert!(shown.contains(reason), "{shown}");
}

#[test]
fn a_job_has_a_directory_until_it_ends() {
    let cluster = start("TaskPlugin=task/none", &[]);
    let script = "#!/bin/sh\necho $SLURM_TMPDIR\nstat -c %a $SLURM_TMPDIR\necho kept > $SLURM_TMPDIR/file\n\
                  srun -n1 sh -c 'cat $SLURM_TMPDIR/file'\nsbcast /etc/hostname $SLURM_TMPDIR/cast && ls $SLURM_TMPDIR\n";
    cluster.file("job.sh", script);
    let job = cluster.submit("-n1 -o job.out job.sh");
    cluster.wait_state(job, "COMPLETED");
    let dir = cluster.path().join(format!("tmp/slurm_tmpdir.{job}.0"));
    assert_eq!(cluster.read("job.out"), format!("{}\n700\nkept\ncast\nfile\n", dir.display()));
    let tmp = cluster.path().join("tmp");
    let is_empty = || std::fs::read_dir(&tmp).expect("a directory").count() == 0;
    cluster.wait("the directory to be removed", is_empty);
    // An allocation keeps it from step to step, whoever is killed meanwhile.
    let seen = across_a_killed_agent(&cluster, "echo kept > $SLURM_TMPDIR/file", "cat $SLURM_TMPDIR/file");
    assert_eq!(seen, "kept");
    cluster.wait("the directory to be removed", is_empty);
}

#[test]
fn nothing_of_a_job_is_left_whoever_is_killed() {
    if !has_controller("memory") {
        return;
    }
    let conf = "ConstrainRAMSpace=yes\nConstrainCores=yes\n";
    let cluster = start("TaskPlugin=task/cgroup\nProctrackType=proctrack/cgroup", &[("cgroup.conf", conf)]);
    let job = cluster.submit("--no-requeue -n1 --mem=80 -o job.out --wrap 'touch $SLURM_TMPDIR/x started; sleep 600'");
    cluster.wait("the job to be there", || cluster.work().join("started").exists());
    let made = groups(&cluster);
    assert!(made.iter().any(|base| base.join(format!("job_{job}.0/{job}.0.batch")).exists()), "{made:?}");
    let (agent, supervisor) = (cluster.pid("n1"), supervisor(&cluster));
    kill_9(supervisor);
    kill_9(agent);
    cluster.up(&[]);
    cluster.wait("the job to be lost", || ["NODE_FAIL", "FAILED"].contains(&cluster.state(job).as_str()));
    cluster.wait("the directory to be removed", || {
        std::fs::read_dir(cluster.path().join("tmp")).expect("a directory").count() == 0
    });
    let is_left = |base: &PathBuf| {
        std::fs::read_dir(base).is_ok_and(|entries| entries.flatten().any(|entry| entry.path().is_dir()))
    };
    cluster.wait("the groups to be removed", || !groups(&cluster).iter().any(is_left));
}

#[test]
fn jobs_have_directories_to_themselves() {
    if !is_root() {
        eprintln!("SKIPPED: only root can make private directories");
        return;
    }
    let base = tempfile::tempdir_in("/var/tmp").expect("a temporary directory");
    let conf = format!("AutoBasePath=true\nBasePath={}/base\n", base.path().display());
    let cluster = start("JobContainerType=job_container/tmpfs", &[("job_container.conf", &conf)]);
    let outside = format!("/tmp/muster-outside-{}", std::process::id());
    std::fs::write(&outside, "").expect("a file");
    let script = "#!/bin/sh\nls -A /tmp /dev/shm\nstat -c %a /tmp\necho x > /tmp/batch; echo y > /dev/shm/batch\n\
                  srun -n1 sh -c 'cat /tmp/batch /dev/shm/batch; pwd'\nsbcast /etc/hostname /tmp/cast\nls /tmp\n\
                  cd /tmp && srun -n1 pwd\n\
                  for i in 1 2 3 4 5 6; do\n\
                  srun --overlap -n1 sh -c \"touch /tmp/at.$i; until [ -e /tmp/go ]; do sleep 0.02; done; cat /tmp/batch\" &\n\
                  done\nuntil [ -e /tmp/at.6 ] && [ $(ls /tmp/at.* | wc -l) = 6 ]; do sleep 0.02; done\ntouch /tmp/go; wait\n";
    cluster.file("job.sh", script);
    let job = cluster.submit("-n1 -o job.out job.sh");
    cluster.wait_state(job, "COMPLETED");
    let work = cluster.work();
    let expected = format!("/dev/shm:\n\n/tmp:\n700\nx\ny\n{}\nbatch\ncast\n/tmp\n{}", work.display(), "x\n".repeat(6));
    assert_eq!(cluster.read("job.out"), expected);
    assert!(!Path::new("/tmp/batch").exists() && !Path::new("/dev/shm/batch").exists());
    std::fs::remove_file(&outside).expect("the file is still there");
    // Steps of an allocation see the same, and so does a step after the agent was killed.
    let seen = across_a_killed_agent(&cluster, "echo kept > /tmp/file", "cat /tmp/file");
    assert_eq!(seen, "kept");
    cluster.wait("the directories to be removed", || {
        std::fs::read_dir(base.path().join("base")).expect("a directory").count() == 0
    });
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    assert!(!mounts.contains(&base.path().display().to_string()), "{mounts}");
}
