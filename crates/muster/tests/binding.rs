//! Binding of tasks to CPUs, with the real commands and real processes. The declared machine is larger than the real one, so
//! that layouts can be seen in what tasks are told; what the kernel has set is looked at on its first CPU.

mod support;

use support::Cluster;

fn start(task: &str) -> Cluster {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("site.conf");
    let text = format!(
        "ClusterName=peer\nSlurmctldHost=localhost\nKillWait=1\nReturnToService=2\n{task}\n\
         NodeName=n1 Sockets=2 CoresPerSocket=4 ThreadsPerCore=2 CPUs=16 RealMemory=1000 State=UNKNOWN\n\
         PartitionName=all Nodes=n1 Default=YES\n"
    );
    std::fs::write(&path, text).expect("a file");
    Cluster::start(&["--conf", &path.display().to_string()])
}

/// What `line` prints, process numbers apart, sorted.
fn seen(cluster: &Cluster, line: &str) -> String {
    let ran = cluster.run(&format!("({line}) 2>&1 | sed 's/\\[[0-9]*\\]/[P]/' | sort"));
    ran.stdout.trim_end().to_owned()
}

/// The machine of the test has a first domain of memory, as each has.
#[test]
fn memory_is_bound_as_asked() {
    let cluster = start("TaskPlugin=task/affinity");
    let check = |line: &str, expected: &str| assert_eq!(seen(&cluster, line), expected, "{line}");
    let told = "sh -c 'echo $SLURM_MEM_BIND; head -1 /proc/self/numa_maps | cut -d\" \" -f2'";
    check(
        &format!("srun --mem-bind=verbose,map_mem:0 {told}"),
        "bind:0\nmem-bind=MAP - n1, task  0  0 [P]: mask 0x1 set\nverbose,map_mem:0",
    );
    check(&format!("srun --mem-bind=prefer,mask_mem:0x1 {told}"), "prefer:0\nquiet,prefer,mask_mem:1");
    check(&format!("srun --mem-bind=none {told}"), "default\nquiet,none");
    check(&format!("SLURM_MEM_BIND=local srun --cpu-bind=none {told}"), &local(&cluster));
    let ran = cluster.run("srun --mem-bind=map_mem:999 true");
    let words = "slurmstepd: error: NUMA node 999 does not exist; cannot bind local task 0 to it (--mem-bind=map_mem)\n\
        slurmstepd: error: Failed to invoke task plugins: task_p_pre_launch error\n\
        srun: error: n1: task 0: Exited with exit code 1\n";
    assert_eq!((ran.code, ran.stderr.as_str()), (1, words));
}

/// What `local` is where the task may use all domains.
fn local(cluster: &Cluster) -> String {
    let domains = cluster.out("cat /sys/devices/system/node/online 2>/dev/null || echo 0");
    format!("bind:{domains}\nquiet,local")
}

#[test]
fn tasks_are_bound_as_asked() {
    let cluster = start("TaskPlugin=task/affinity");
    let check = |line: &str, expected: &str| assert_eq!(seen(&cluster, line), expected, "{line}");
    let list = "sh -c 'echo $SLURM_PROCID $SLURM_CPU_BIND_TYPE $SLURM_CPU_BIND_LIST'";
    // By itself: as many tasks as threads, cores or sockets of the step.
    check(&format!("srun -n2 {list}"), "0 mask_cpu: 0x0001,0x0002\n1 mask_cpu: 0x0001,0x0002");
    let within = |line: &str| format!("salloc -Q -N1 --exclusive {line}");
    check(&within(&format!("srun -n2 {list}")), "0 mask_cpu: 0x00FF,0xFF00\n1 mask_cpu: 0x00FF,0xFF00");
    check(&within(&format!("srun -n1 {list}")), "0 mask_cpu: 0xFFFF");
    // As asked, with the second level of the distribution.
    check(
        &within(&format!("srun -n2 --cpu-bind=cores -m block:block {list}")),
        "0 mask_cpu: 0x0003,0x000C\n1 mask_cpu: 0x0003,0x000C",
    );
    check(
        &within(&format!("srun -n2 --cpu-bind=cores {list}")),
        "0 mask_cpu: 0x0003,0x0300\n1 mask_cpu: 0x0003,0x0300",
    );
    check(
        &within(
            "srun -n2 --cpu-bind=verbose,map_cpu:0 sh -c 'grep Cpus_allowed_list /proc/self/status; echo $SLURM_CPU_BIND'",
        ),
        "Cpus_allowed_list:\t0\nCpus_allowed_list:\t0\n\
         cpu-bind=MAP  - n1, task  0  0 [P]: mask 0x1 set\ncpu-bind=MAP  - n1, task  1  1 [P]: mask 0x1 set\n\
         verbose,map_cpu:0\nverbose,map_cpu:0",
    );
    check(&within("srun -n1 --cpu-bind=v,none true"), "cpu-bind=NONE - n1, task  0  0 [P]: mask 0x0");
    // The script has what its job has, and hears nothing of it.
    let job =
        cluster.submit("--wait -n1 -o out --wrap 'env | grep -c CPU_BIND; grep Cpus_allowed_list /proc/self/status'");
    cluster.wait_state(job, "COMPLETED");
    assert!(cluster.read("out").starts_with("0\nCpus_allowed_list:"), "{}", cluster.read("out"));
}

#[test]
fn what_cannot_be_is_refused() {
    let cluster = start("TaskPlugin=task/affinity");
    let refused = cluster.run("timeout 20 srun -n1 --cpu-bind=map_cpu:9 true");
    let expected = "CPU binding outside of job step allocation, allocated CPUs are: 0x0003.";
    assert!(refused.code != 0 && refused.stderr.contains(expected), "{refused:?}");
    let refused = cluster.run("timeout 20 srun -n1 --cpu-bind=rank true");
    assert!(
        refused.code != 0 && refused.stderr.contains("Entire node must be allocated for quiet,rank"),
        "{refused:?}"
    );
    // Nobody is at fault but the user.
    cluster.wait("the node to be idle", || cluster.out("sinfo -h -o %t") == "idle");
    let refused = cluster.run("srun --cpu-bind=mask_cpu:zz true");
    let expected = "srun: error: Failed to validate number: zz, the offending character is z\n\
                    srun: fatal: Failed to parse --cpu-bind= values.\n";
    assert_eq!(refused.stderr, expected);
}

#[test]
fn a_site_may_bind_nothing() {
    let cluster = start("TaskPlugin=task/none");
    let ran = cluster.run("srun -n1 --cpu-bind=cores sh -c 'cat /proc/self/status'");
    assert_eq!(ran.stderr, "srun: cluster configuration lacks support for cpu binding\n");
    let allowed = |text: &str| text.lines().find(|line| line.starts_with("Cpus_allowed_list")).map(str::to_owned);
    let own = std::fs::read_to_string("/proc/self/status").expect("the own status");
    assert_eq!(allowed(&ran.stdout), allowed(&own));
}
