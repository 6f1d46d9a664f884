//! A spool directory on a full disk.

use crate::common::{Node, key, wait_until};
use muster_model::state::ExitStatus;
use muster_runtime::protocol::{Notice, Refused, Request};
use muster_runtime::supervisor::CgroupUse;
use muster_runtime::unit::{LaunchUnit, Output, Streams};
use muster_testkit::Disk;

/// Room for the files of a supervisor that has just started, and little more.
const DISK_BYTES: u64 = 256 << 10;

#[test]
fn what_runs_ends_and_is_told_of_and_nothing_is_launched() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let disk = Disk::mount(dir.path(), DISK_BYTES);
    let mut node = Node::start_in(dir.path(), CgroupUse::Off);
    let fifo = std::ffi::CString::new(node.path("fifo").display().to_string()).unwrap();
    // SAFETY: the path is NUL-terminated.
    unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) };
    let quiet = |unit: LaunchUnit| {
        let streams = Streams { output: Output::File("/dev/null".into()), ..Streams::default() };
        LaunchUnit { streams, ..unit }
    };
    node.launch(quiet(node.unit(1, &["sh", "-c", "read line <fifo; exit 5"])));
    node.wait_started(key(1));
    disk.fill();
    // The journal has room until its last block is full.
    let mut job = 1;
    let why = loop {
        job += 1;
        assert!(job < 1000, "the disk is never full");
        node.launch(quiet(node.unit(job, &["true"])));
        match node.next() {
            Notice::Started { .. } => drop(node.wait_end(key(job))),
            Notice::Refused { key: refused, why } if refused == key(job) => break why,
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(&why, Refused::Journal(text) if text.contains("No space left")), "{why:?}");
    std::fs::write(node.path("fifo"), "\n").unwrap();
    let end = loop {
        if let Notice::Ended(end) = node.next() {
            break *end;
        }
    };
    assert_eq!((end.key, end.exit), (key(1), ExitStatus::exited(5)));
    node.reconnect();
    let told = node.hello.ends.iter().find(|end| end.key == key(1)).map(|end| end.exit);
    assert_eq!(told, Some(ExitStatus::exited(5)), "an agent that comes now is told too");
    let keys = node.hello.ends.iter().map(|end| end.key).collect();
    node.send(Request::Acknowledge { keys });
    disk.make_room();
    wait_until("room to be used", || {
        job += 1;
        node.launch(node.unit(job, &["true"]));
        loop {
            match node.next() {
                Notice::Refused { .. } => return false,
                Notice::Ended(end) => return end.exit.is_success(),
                _ => {}
            }
        }
    });
    node.reconnect();
    assert!(node.hello.ends.iter().all(|end| end.key == key(job)), "{:?}", node.hello.ends);
}
