//! A spool directory on a full disk.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use crate::common::{Node, key, wait_until};
use muster_model::state::ExitStatus;
use muster_runtime::protocol::{Notice, Refused, Request};
use muster_runtime::supervisor::CgroupUse;
use muster_runtime::unit::{LaunchUnit, Output, Streams};

/// A small file system, for as long as it is needed.
struct Disk(tempfile::TempDir);

impl Disk {
    fn mount() -> Disk {
        let dir = tempfile::tempdir().expect("temporary directory");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(dir.path()).status();
        assert!(mounted.expect("mount runs").success());
        Disk(dir)
    }

    /// Takes all room that is left.
    fn fill(&self) {
        let mut file = File::create(self.0.path().join("rest")).expect("a file");
        while file.write(&[b'x'; 4096]).is_ok_and(|count| count > 0) {}
    }

    fn make_room(&self) {
        std::fs::remove_file(self.0.path().join("rest")).expect("the file that filled it");
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn what_runs_ends_and_is_told_of_and_nothing_is_launched() {
    let disk = Disk::mount();
    let mut node = Node::start_in(disk.path(), CgroupUse::Off);
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
