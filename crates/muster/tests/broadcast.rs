//! Files that come to the nodes of a job straight from a command: `sbcast` and `srun --bcast`.

mod support;

use std::os::unix::fs::MetadataExt;

use support::Cluster;

#[test]
fn sbcast_puts_a_file_on_all_nodes_of_a_job() {
    let cluster = Cluster::start(&["--nodes", "2"]);
    cluster.file("src", "hello\n");
    cluster.out("chmod 754 src; touch -d @1000000000 src; mkdir dir");
    let alone = cluster.run("sbcast src $PWD/dst");
    assert_eq!(alone.code, 1);
    assert_eq!(
        alone.stderr,
        "sbcast: error: Need a job id to run this command.  Run from within a Slurm job or use the --jobid option.\n"
    );
    let within = |line: &str| cluster.run(&format!("salloc -Q -N1 bash -c '{line}'"));
    let sent = within("sbcast src dst && sbcast -p src $PWD/kept");
    assert_eq!((sent.code, sent.stderr.as_str()), (0, ""), "{}", cluster.logs());
    assert_eq!(cluster.read("dst"), "hello\n");
    let metadata = |name: &str| std::fs::metadata(cluster.work().join(name)).unwrap();
    assert_eq!((metadata("dst").mode() & 0o7777, metadata("kept").mtime()), (0o754, 1_000_000_000));
    assert_ne!(metadata("dst").mtime(), 1_000_000_000);
    // The words and codes of real Slurm 22.05.
    let check = |line: &str, stderr: &str, code: i32| {
        let ran = within(line);
        assert_eq!((ran.stderr.as_str(), ran.code), (stderr, code), "{line}\n{}", cluster.logs());
    };
    check("sbcast src dst", "sbcast: error: REQUEST_FILE_BCAST(n1): File exists\n", 17);
    check("sbcast src /nodir/x", "sbcast: error: REQUEST_FILE_BCAST(n1): No such file or directory\n", 2);
    check("sbcast src dir/", "sbcast: error: Target filename cannot be a directory.\n", 1);
    check("sbcast src dir", "sbcast: error: REQUEST_FILE_BCAST(n1): File exists\n", 17);
    check("sbcast . x", "sbcast: error: Can't mmap file `.`, No such device.\n", 255);
    check("sbcast none x", "sbcast: error: Can't open `none`: No such file or directory\n", 255);
    check("sbcast /dev/null x", "sbcast: error: Can't mmap file `/dev/null`, No such device.\n", 255);
    check("sbcast -j 99 src x", "sbcast: error: Slurm job 99 lookup error: Invalid job id specified\n", 255);
    let no_step = within("sbcast -j $SLURM_JOB_ID.7 src x");
    assert!(
        no_step.code == 255 && no_step.stderr.contains(".7 lookup error: Invalid job id specified\n"),
        "{no_step:?}"
    );
    let unknown = within("sbcast -C src packed");
    assert!(unknown.code == 0 && unknown.stderr.contains("--compress is not supported"), "{unknown:?}");
    cluster.out("cd dir && test -z \"$(ls -A)\"");
    // Two nodes that share the directory: with -f the last one wins, and the file is whole.
    cluster.out("head -c 20000000 /dev/urandom > large");
    let forced = cluster.run("salloc -Q -N2 bash -c 'sbcast -f -F1 -s 1m large dst; sbcast -f large dst'");
    assert_eq!((forced.code, forced.stderr.as_str()), (0, ""), "{}", cluster.logs());
    cluster.out("cmp large dst && test -z \"$(ls -A | grep '^[.]')\"");
    // Of a step, from outside.
    let job = cluster.submit("-N2 --wrap 'srun -N1 -n1 sleep 100'");
    cluster.wait("the step to run", || cluster.out("squeue -hs -o %i").contains(&format!("{job}.0")));
    let verbose = cluster.run(&format!("sbcast -v -j {job}.0 src stepped"));
    assert_eq!(verbose.code, 0, "{}", verbose.stderr);
    assert!(verbose.stderr.contains("sbcast: node_list  = n1\n"), "{}", verbose.stderr);
    cluster.out(&format!("scancel {job}"));
    cluster.wait_state(job, "CANCELLED");
    let late = cluster.run(&format!("sbcast -j {job} src late"));
    assert!(late.code == 255 && !cluster.work().join("late").exists(), "{late:?}");
}

#[test]
fn srun_bcast_runs_the_copy_of_its_program() {
    let cluster = Cluster::start(&["--nodes", "2"]);
    cluster.file("program", "#!/bin/sh\necho ${0##*/} $1\n");
    cluster.out("chmod 755 program; mkdir copies");
    // Names as those of real Slurm 22.05.
    let own = cluster.out("srun -N2 --bcast ./program x | sort");
    assert_eq!(own, "slurm_bcast_1.0_n1 x\nslurm_bcast_1.0_n2 x", "{}", cluster.logs());
    assert_eq!(cluster.out("srun -N1 --bcast=$PWD/copies/ ./program y"), "slurm_bcast_2.0_n1 y");
    assert_eq!(cluster.out("SLURM_BCAST=$PWD/copies/mine srun -N2 ./program z"), "mine z\nmine z");
    assert_eq!(cluster.out("ls copies"), "mine\nslurm_bcast_2.0_n1");
    let ran = cluster.run("srun -N2 --bcast=/nodir/x ./program; srun --bcast ./nothing");
    assert_eq!(ran.code, 1);
    // The step ends with the first node that says so, whichever that is.
    let told = |node: &str| {
        ran.stderr.contains(&format!("srun: error: REQUEST_FILE_BCAST({node}): No such file or directory\n"))
    };
    assert!(told("n1") || told("n2"), "{}", ran.stderr);
    let path = cluster.work().join("./program").display().to_string();
    assert!(
        ran.stderr.contains(&format!("srun: fatal: Failed to broadcast '{path}'. Step launch aborted.\n")),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.ends_with("srun: fatal: Can not execute ./nothing\n"), "{}", ran.stderr);
    assert_eq!((ran.stdout.as_str(), cluster.out("sinfo -h -o %T").as_str()), ("", "idle"));
}
