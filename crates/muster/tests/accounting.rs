//! Accounts, users, associations and QOS through the real commands.

mod support;

use support::Cluster;

/// A cluster with accounting.
fn cluster() -> Cluster {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let conf = directory.path().join("accounting.conf");
    let text = "ClusterName=peer\nSlurmctldHost=localhost\nAccountingStorageType=accounting_storage/slurmdbd\n\
                AccountingStorageEnforce=associations,limits,qos,safe\nSelectTypeParameters=CR_Core\n\
                NodeName=n[1-4] CPUs=16 RealMemory=1000 State=UNKNOWN\n\
                PartitionName=debug Nodes=n[1-4] Default=YES DefaultTime=00:10:00 MaxTime=01:00:00\n\
                PartitionName=special Nodes=n[1-4] AllowQos=high MaxTime=01:00:00\n\
                PartitionName=short Nodes=n[1-4] MinNodes=2 MaxNodes=2 MaxTime=00:30:00\n";
    std::fs::write(&conf, text).expect("a file");
    Cluster::start(&["--conf", conf.to_str().expect("a plain path")])
}

/// Replays a session of Slurm 22.05 with slurmdbd: `$ COMMAND`, its output, `! ` before what it says on standard error,
/// and `[N]` for an exit code other than 0. What is done after `~ ` prints something else here.
fn replay(cluster: &Cluster, session: &str, least: usize) {
    let (mut differences, mut count) = (Vec::new(), 0);
    for entry in session.split("\n\n").map(|entry| entry.trim_matches('\n')) {
        let (command, expected) = entry.split_once('\n').unwrap_or((entry, ""));
        let ran = cluster.run(&command[2..]);
        if command.starts_with('~') {
            continue;
        }
        count += 1;
        let mut found = ran.stdout.trim_end_matches('\n').to_owned();
        for line in ran.stderr.lines() {
            found.push_str(&format!("\n! {line}"));
        }
        if ran.code != 0 {
            found.push_str(&format!("\n[{}]", ran.code));
        }
        if found.trim_matches('\n') != expected {
            differences.push(format!("{command}\n--- expected\n{expected}\n--- found\n{found}"));
        }
    }
    assert!(count > least, "only {count} commands");
    assert!(differences.is_empty(), "{} of {count} differ:\n{}", differences.len(), differences.join("\n\n"));
}

/// Different here: help and configuration are our own; a cluster that is up shows its host; who answers nothing is taken to
/// say no; the exit of a change that comes in part is 0 where part was done; an account cannot be put below itself; there is
/// one cluster only.
#[test]
fn sacctmgr_prints_what_slurm_prints() {
    replay(&cluster(), include_str!("sacctmgr.txt"), 100);
}

#[test]
fn sacctmgr_prints_what_slurm_prints_of_its_cluster() {
    replay(&cluster(), include_str!("clusters.txt"), 30);
}

/// Different here: a resource of which nothing is allotted can be changed, too; its server cannot; names of fields may be
/// cut to a letter.
#[test]
fn sacctmgr_prints_what_slurm_prints_of_resources() {
    replay(&cluster(), include_str!("resources.txt"), 80);
}

#[test]
fn jobs_are_charged_and_wait_for_limits() {
    let cluster = cluster();
    let account = "Invalid account or account/partition combination specified";
    assert!(cluster.run("sbatch -A nobody --wrap true").stderr.contains(account));
    assert!(cluster.run("sbatch --test-only -A nobody --wrap true").stderr.contains(account));
    assert!(cluster.run("sbatch --qos=nothing --wrap true").stderr.contains("Invalid qos specification"));
    for change in [
        "add account science",
        "add qos high MaxTRESPerUser=cpu=2",
        "modify account root set qos+=high",
        "add user root account=science",
        "modify account science set grpsubmit=2",
    ] {
        let ran = cluster.run(&format!("sacctmgr -i {change}"));
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{change}");
    }
    let refused = cluster.run("sbatch -p special --wrap true");
    assert!(refused.stderr.contains("Invalid qos specification"), "{}", refused.stderr);
    let first = cluster.submit("-n 2 --qos=high --wrap 'sleep 100'");
    cluster.wait_state(first, "RUNNING");
    let second = cluster.submit("-A science -n 1 --qos=high --wrap 'sleep 100'");
    let line = format!("squeue -h -j {second} -o '%a %q %T %r %R'");
    let expected = "science high PENDING QOSMaxCpuPerUserLimit (QOSMaxCpuPerUserLimit)";
    cluster.wait("the job to wait for the limit", || cluster.out(&line) == expected);
    let third = cluster.submit("-A science --hold --wrap 'sleep 100'");
    let shown = cluster.out(&format!("scontrol show job {third}"));
    assert!(shown.contains("Account=science QOS=normal"), "{shown}");
    let refused = cluster.run("sbatch -A science --wrap true");
    assert!(refused.stderr.contains("Job violates accounting/QOS policy"), "{}", refused.stderr);
    cluster.out(&format!("scontrol update JobId={second} QOS=normal"));
    cluster.wait_state(second, "RUNNING");
    assert_eq!(cluster.out(&format!("sacct -n -X -j {second} -o account,qos | xargs")), "science normal");
    let gone = cluster.run("sacctmgr -i delete account science");
    assert!(gone.code == 1 && gone.stderr.contains(&format!("job {second} runs under it")), "{}", gone.stderr);
}

/// Replays a session of Slurm 22.05: limits one after the other, what is said to submits, and after each group of them the
/// state and reason of the jobs, by their place in the group. Then all of them are cancelled.
#[test]
fn jobs_wait_for_the_reasons_that_slurm_gives() {
    let cluster = cluster();
    let (mut first, mut groups) = (None, 0);
    for block in include_str!("limits.txt").split("$ ").filter(|block| !block.is_empty()) {
        let (command, expected) = block.split_once('\n').expect("a line");
        let (jobs, said): (Vec<&str>, Vec<&str>) = expected.lines().partition(|line| line.starts_with("   job "));
        let ran = cluster.run(command);
        if command.starts_with("sbatch") {
            let number = ran.stdout.trim().strip_prefix("Submitted batch job ").map(|text| text.to_owned());
            first = first.or_else(|| number.as_ref().and_then(|text| text.parse::<u32>().ok()));
            let text = format!("{}{}", ran.stdout, ran.stderr);
            let text = number.map_or(text.clone(), |number| text.replace(&number, "N"));
            assert_eq!(text.lines().collect::<Vec<_>>(), said, "{command}");
        } else {
            assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{command}");
        }
        if jobs.is_empty() {
            continue;
        }
        groups += 1;
        let base = first.take().expect("a submitted job") - 1;
        let shown = || -> Vec<String> {
            let lines = cluster.out("squeue -h -o '%A %t %r' --sort=i");
            let relative = |line: &str| {
                let (id, rest) = line.split_once(' ').expect("two words");
                format!("   job {} {rest}", id.parse::<u32>().expect("a number") - base)
            };
            lines.lines().map(relative).collect()
        };
        cluster.wait(&format!("{jobs:?} after {command}, not {:?}", shown()), || shown() == jobs);
        cluster.out("scancel -u root");
        cluster.wait("an empty queue", || cluster.out("squeue -h").is_empty());
    }
    assert!(groups > 15, "only {groups} groups");
}

#[test]
fn jobs_hold_remote_licences() {
    let cluster = cluster();
    for change in [
        "add resource name=matlab count=10 server=flex type=license cluster=peer percentallowed=30",
        "add resource name=ansys count=10 server=flex type=license",
    ] {
        let ran = cluster.run(&format!("sacctmgr -i {change}"));
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{change}");
    }
    // As Slurm 22.05: the whole name is needed, and no more than is allotted.
    for wanted in ["matlab:1", "matlab@flex:4", "matlab@other:1", "ansys@flex:1"] {
        let refused = cluster.run(&format!("sbatch -L {wanted} --wrap true"));
        assert_eq!(
            refused.stderr, "sbatch: error: Batch job submission failed: Invalid license specification\n",
            "{wanted}"
        );
    }
    let shown = || cluster.out("scontrol -o show licenses");
    let first = cluster.submit("-L matlab@flex:2 --wrap 'sleep 300'");
    cluster.wait_state(first, "RUNNING");
    assert_eq!(shown(), "LicenseName=matlab@flex Total=3 Used=2 Free=1 Reserved=0 Remote=yes");
    let second = cluster.submit("-L matlab@flex:2 --wrap 'sleep 300'");
    let queue = || cluster.out("squeue -h -o '%i %t %W %r' --sort=i");
    let waits = format!("{first} R matlab@flex:2 None\n{second} PD matlab@flex:2 Licenses");
    cluster.wait("the job to wait for licences", || queue() == waits);
    let why = cluster.out(&format!("muster explain {second}"));
    assert!(why.contains("asks for 2 of licence matlab@flex; 1 of 3 are left to it"), "{why}");
    // Taken away under both: who has them keeps them, who waits goes on waiting until there are some again.
    cluster.out("sacctmgr -i modify resource matlab where cluster=peer set percentallowed=10");
    assert_eq!(shown(), "LicenseName=matlab@flex Total=1 Used=2 Free=0 Reserved=0 Remote=yes");
    cluster.out("sacctmgr -i delete resource matlab");
    assert_eq!(shown(), "");
    cluster.out(&format!("scancel {first}"));
    cluster.wait_state(first, "CANCELLED");
    assert_eq!(queue(), format!("{second} PD matlab@flex:2 Licenses"));
    let why = cluster.out(&format!("muster explain {second}"));
    assert!(why.contains("asks for 2 of licence matlab@flex; 0 of 0 are left to it"), "{why}");
    cluster.out("sacctmgr -i add resource name=matlab count=4 server=flex type=license cluster=peer percent=50");
    cluster.wait_state(second, "RUNNING");
}

/// As measured with Slurm 22.05; `Relative` is newer.
#[test]
fn flags_of_qos_act() {
    let cluster = cluster();
    for change in [
        "add account science",
        "add user root account=science",
        "add qos long flags=PartitionTimeLimit maxwall=45",
        "add qos inside flags=RequiresReservation",
        "add qos third flags=Relative GrpTRES=cpu=50",
        "modify account root set qos+=long,inside,third",
    ] {
        let ran = cluster.run(&format!("sacctmgr -i {change}"));
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{change}");
    }
    let limit = |options: &str| {
        let id = cluster.submit(&format!("-A science -H {options} --wrap true"));
        cluster.out(&format!("squeue -h -j {id} -o %l"))
    };
    assert_eq!(limit("-p short -N 2"), "30:00");
    assert_eq!(limit("-p short -N 2 -q long"), "45:00");

    cluster.out("scontrol create ReservationName=r start=now duration=20 users=root nodes=n1");
    let first = cluster.submit("-A science -H -N 1 -q inside --reservation=r --wrap true");
    let refused = cluster.run(&format!("scontrol update JobId={first} ReservationName="));
    assert_eq!(refused.stderr, format!("Invalid qos specification for job {first}\n"));
    let second = cluster.submit("-A science -H -N 1 --wrap true");
    let refused = cluster.run(&format!("scontrol update JobId={second} QOS=inside"));
    assert_eq!(refused.stderr, format!("Invalid qos specification for job {second}\n"));
    let third = cluster.submit("-A science -H -N 1 --reservation=r --wrap true");
    cluster.out(&format!("scontrol update JobId={third} QOS=inside"));
    cluster.out("scancel -u root; scontrol delete ReservationName=r");

    // Half of 64 CPUs.
    let fits = cluster.submit("-A science -q third -n 32 --wrap 'sleep 300'");
    let waits = cluster.submit("-A science -q third -n 1 --wrap 'sleep 300'");
    cluster.wait_state(fits, "RUNNING");
    let line = format!("squeue -h -j {waits} -o '%T %r'");
    cluster.wait("the job to wait for its QOS", || cluster.out(&line) == "PENDING QOSGrpCpuLimit");
    let why = cluster.out(&format!("muster explain {waits}"));
    assert!(why.contains("32"), "{why}");
    cluster.out("scontrol update PartitionName=debug QOS=third");
    let refused = cluster.run("sbatch -A science -q third --wrap true");
    assert!(refused.stderr.contains("Invalid qos specification"), "{}", refused.stderr);
    // Of the partition with one node, half are eight CPUs.
    cluster.out("scontrol update PartitionName=debug QOS=");
    cluster.out("scontrol create PartitionName=one Nodes=n4 QOS=third");
    let fits = cluster.submit("-A science -p one -n 8 --wrap 'sleep 300'");
    let waits = cluster.submit("-A science -p one -n 1 --wrap 'sleep 300'");
    let queue = || cluster.out("squeue -h -p one -o '%i %t %r' --sort=i");
    // What the QOS counts elsewhere counts here, too.
    cluster.wait("both to wait", || queue() == format!("{fits} PD QOSGrpCpuLimit\n{waits} PD QOSGrpCpuLimit"));
}
