//! What tasks use: told by `sacct` after the end.

mod support;

use support::Cluster;

/// Each task holds memory by its rank, and reads a file.
const WORK: &str = "#!/bin/sh
x=$(head -c $(((SLURM_PROCID + 2) * 10000000)) /dev/zero | tr '\\0' x)
cat big >/dev/null
";

#[test]
fn sacct_tells_what_steps_used() {
    let cluster = Cluster::start(&["--nodes", "2"]);
    cluster.file("work.sh", WORK);
    cluster.out("chmod 755 work.sh; head -c 5000000 /dev/zero >big");
    // Nothing is looked at but the end of each task, so nothing depends on when one looks.
    let job =
        cluster.submit("-W -N2 -n3 -o out --acctg-freq=task=0 --wrap 'echo $SLURM_ACCTG_FREQ; srun ./work.sh' || true");
    assert_eq!(cluster.read("out"), "task=0\n", "{}", cluster.logs());
    let fields = |step: &str, names: &str| -> Vec<String> {
        let line = cluster.out(&format!("sacct -n -P --noconvert -j {job}.{step} -o {names}"));
        line.split('|').map(str::to_owned).collect()
    };
    assert_eq!(fields("0", "MaxRSSNode,MaxRSSTask,MinCPUTask,NTasks")[..2], ["n2", "2"]);
    let amounts: Vec<u64> = fields("0", "MaxRSS,AveRSS").iter().map(|text| text.parse().expect(text)).collect();
    // Tasks hold 20, 30 and 40 MB at least; how much more is the shell's business.
    assert!(amounts[0] > 40_000_000 && amounts[1] > 30_000_000 && amounts[1] < amounts[0], "{amounts:?}");
    let read = &fields("0", "TRESUsageInTot")[0];
    let read: u64 = read.split("fs/disk=").nth(1).and_then(|rest| rest.split(',').next()).unwrap().parse().unwrap();
    assert!(
        (15_000_000 + 3 * 90_000_000..400_000_000).contains(&read),
        "head, tr and the shell read all of it: {read}"
    );
    assert_eq!(fields("0", "TRESUsageInMaxNode")[0].matches("mem=n2").count(), 1);
    assert_eq!(fields("0", "TRESUsageInMaxTask")[0].matches("mem=2").count(), 1);
    assert!(fields("0", "TRESUsageOutTot")[0].starts_with("energy=0,fs/disk="), "{:?}", fields("0", "TRESUsageOutTot"));
    let batch = fields("batch", "MaxRSSNode,MaxRSSTask,MaxDiskReadNode,TRESUsageInMinNode");
    assert_eq!(batch[..3], ["n1", "0", "n1"], "{batch:?}");
    // Of the job itself only what the kernel counts is told.
    let line = cluster.out(&format!("sacct -X -n -P -j {job} -o MaxRSS,TRESUsageInTot,ConsumedEnergy,NTasks"));
    assert_eq!(line, "||0|");
}

/// As [`WORK`], and stays.
const HOLD: &str = "#!/bin/sh
x=$(head -c $(((SLURM_PROCID + 2) * 10000000)) /dev/zero | tr '\\0' x)
touch ready.$SLURM_PROCID
sleep 1000
";

#[test]
fn sstat_tells_what_running_steps_use() {
    let cluster = Cluster::start(&["--nodes", "2"]);
    cluster.file("hold.sh", HOLD);
    let job = cluster.submit("-N2 -n3 --wrap 'chmod 755 hold.sh; srun ./hold.sh'");
    cluster.wait("the tasks to hold their memory", || {
        (0..3).all(|rank| cluster.work().join(format!("ready.{rank}")).exists())
    });
    let fields = "JobID,MaxRSS,MaxRSSNode,MaxRSSTask,AveRSS,MaxDiskRead,NTasks,Nodelist";
    let line = cluster.out(&format!("sstat -n -P --noconvert -o {fields} {job}"));
    let values: Vec<&str> = line.split('|').collect();
    assert_eq!(
        (values[0], &values[2..4], &values[6..]),
        (&*format!("{job}.0"), &["n2", "2"][..], &["3", "n[1-2]"][..])
    );
    let amount = |at: usize| -> u64 { values[at].parse().expect(values[at]) };
    assert!(amount(1) > 40_000_000 && amount(4) > 30_000_000 && amount(4) < amount(1), "{line}");
    assert!(amount(5) > 40_000_000, "{line}");
    assert_eq!(cluster.out(&format!("sstat -a -n -P -o jobid {job}")), format!("{job}.batch\n{job}.0"));
    let pids = cluster.out(&format!("sstat -i -n -P {job}.0"));
    let rows: Vec<Vec<&str>> = pids.lines().map(|row| row.split('|').collect()).collect();
    assert_eq!(rows.iter().map(|row| row[1]).collect::<Vec<_>>(), ["n1", "n2"]);
    for pid in rows.iter().flat_map(|row| row[2].split(',')) {
        assert!(std::path::Path::new("/proc").join(pid).exists(), "{pids}");
    }
    // Two shells with a child each on the first node, one on the second.
    assert_eq!(rows.iter().map(|row| row[2].split(',').count()).collect::<Vec<_>>(), [4, 2], "{pids}");
    let ran = cluster.run(&format!("sstat -n -o jobid,ntasks {job}.7,{job}.0,999"));
    assert_eq!(
        (ran.stdout.as_str(), ran.stderr.as_str(), ran.code),
        (
            &*format!("{:<12} {:>8} \n", format!("{job}.0"), 3),
            &*format!("sstat: error: StepId={job}.7 not found running.\nsstat: error: No steps running for job 999\n"),
            0
        )
    );
    cluster.out(&format!("scancel {job}"));
    cluster.wait_state(job, "CANCELLED");
    // The same is told after the end, though nobody asked the tasks whether they would end.
    let peak = cluster.out(&format!("sacct -n -P -j {job}.0 -o MaxRSSNode,MaxRSSTask"));
    assert_eq!(peak, "n2|2");
}

#[test]
fn a_step_with_too_much_memory_is_killed_where_the_site_wants_it() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let text = "ClusterName=peer\nSlurmctldHost=localhost\nReturnToService=2\nSelectTypeParameters=CR_Core_Memory\nTaskPlugin=task/none\n\
                JobAcctGatherType=jobacct_gather/linux\nJobAcctGatherFrequency=1\nJobAcctGatherParams=OverMemoryKill,NoShared\n\
                NodeName=n1 CPUs=2 RealMemory=1000 State=UNKNOWN\nPartitionName=all Nodes=n1 Default=YES\n";
    let path = directory.path().join("site.conf");
    std::fs::write(&path, text).expect("a file");
    let cluster = Cluster::start(&["--conf", &path.display().to_string()]);
    cluster.file("hog.py", "import time\nx = b'x' * (80 << 20)\ntime.sleep(1000)\n");
    let ran = cluster.run("srun -n1 --mem=20 python3 hog.py");
    assert_eq!(ran.code, 137, "{ran:?}");
    assert!(
        ran.stderr.contains("slurmstepd: error: StepId=1.0 exceeded memory limit (")
            && ran.stderr.contains(" > 20971520), being killed"),
        "{ran:?}"
    );
    assert!(ran.stderr.contains("Exceeded job memory limit"), "{ran:?}");
    let states = |job: u32| cluster.out(&format!("sacct -n -P -o jobid,state,exitcode -j {job}"));
    cluster.wait("the end to be known", || states(1).ends_with("1.0|CANCELLED by 0|0:9"));
    let ran = cluster.run("srun -n1 --mem=200 timeout 3 python3 hog.py");
    assert_eq!(ran.code, 124, "enough memory: {ran:?}");
    let job = cluster.submit("-n1 --mem=20 -o out --wrap 'exec python3 hog.py'");
    let expected = format!("{job}|FAILED|0:9\n{job}.batch|CANCELLED by 0|0:9");
    cluster.wait("the script to be killed", || states(job) == expected);
}
