//! Full disks. In the spool: what runs ends as it ended, what is to start waits, and the node says why. In the state directory: nothing is
//! promised, and whoever asks is told.

mod support;

use std::process::Stdio;

use muster_testkit::Disk;
use support::Cluster;

/// Room for the files of daemons that have just started, and little more.
const DISK_BYTES: u64 = 4 << 20;

#[test]
fn a_full_spool_loses_no_end_and_starts_nothing() {
    let parent = tempfile::tempdir().expect("a directory");
    let cluster = Cluster::start_in(parent.path(), &["--nodes", "1"]);
    cluster.down();
    let disk = Disk::mount(&cluster.path().join("spool/n1"), DISK_BYTES);
    cluster.up(&["--nodes", "1"]);
    cluster.out("mkfifo go");
    // Runs when the disk is filled, and ends while it is full.
    let running = cluster.submit("-o out --wrap 'echo up; read line <go; echo $line; exit 3'");
    cluster.wait("the job to run", || cluster.read("out") == "up\n");
    disk.fill();
    let waiting = cluster.submit("-o next --wrap 'echo ran'");
    cluster.wait("the node to be drained", || cluster.out("sinfo -h -p debug -o %T") == "draining");
    let reason = cluster.out("sinfo -h -p debug -o %E");
    let is_told = reason.starts_with("launch failed: write ") && reason.contains("SlurmdSpoolDir");
    assert!(is_told && reason.contains("No space left on device"), "{reason}");
    cluster.out("echo on >go");
    cluster.wait_state(running, "FAILED");
    assert_eq!(cluster.read("out"), "up\non\n");
    assert_eq!(cluster.out(&format!("sacct -X -n -P -j {running} -o State,ExitCode")), "FAILED|3:0");
    cluster.wait_state(waiting, "PENDING");
    // An agent that starts on the full disk is of use again when there is room.
    cluster.kill("n1");
    cluster.up(&["--nodes", "1"]);
    cluster.wait("the node to be back", || cluster.out("sinfo -h -p debug -o %T") == "drained");
    disk.make_room();
    cluster.out(&format!("scontrol update nodename=n1 state=resume; scontrol update jobid={waiting} starttime=now"));
    cluster.wait_state(waiting, "COMPLETED");
    assert_eq!(cluster.read("next"), "ran\n");
}

#[test]
fn a_controller_that_cannot_write_says_so_and_promises_nothing() {
    let parent = tempfile::tempdir().expect("a directory");
    let cluster = Cluster::start_in(parent.path(), &["--nodes", "1"]);
    cluster.down();
    let disk = Disk::mount(&cluster.path().join("state"), DISK_BYTES);
    cluster.up(&["--nodes", "1"]);
    cluster.out("mkfifo go");
    let running = cluster.submit("-o out --wrap 'echo up; read line <go; exit 3'");
    cluster.wait("the job to run", || cluster.read("out") == "up\n");
    disk.fill();
    // One that comes before the disk is known to be full waits, and its job is there when it is answered.
    let mut first = cluster.command("sbatch --parsable -o first --wrap true").stdout(Stdio::piped()).spawn().unwrap();
    cluster.out("echo >go");
    cluster.wait("a refusal", || {
        let told = cluster.run("timeout 2 scontrol hold 1000");
        told.code == 1 && told.stderr.contains("I/O error writing script/environment to file")
    });
    let refused = cluster.run("sbatch --wrap true");
    let why = "sbatch: error: Batch job submission failed: I/O error writing script/environment to file\n";
    assert_eq!((refused.code, refused.stderr.as_str()), (1, why));
    assert_eq!(cluster.state(running), "RUNNING", "readers see what is durable");
    assert!(first.try_wait().expect("sbatch").is_none(), "not promised");
    disk.make_room();
    let first = first.wait_with_output().expect("sbatch");
    assert_eq!(String::from_utf8_lossy(&first.stdout), "2\n");
    cluster.wait_state(running, "FAILED");
    cluster.wait_state(2, "COMPLETED");
}
