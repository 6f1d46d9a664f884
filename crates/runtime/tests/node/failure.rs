//! Deaths of agents and supervisors.

use crate::common::{Node, key, lives, pid_in, wait_until};
use muster_model::ids::BlobId;
use muster_model::state::ExitStatus;
use muster_runtime::client;
use muster_runtime::protocol::{Notice, Refused, Request};
use muster_runtime::supervisor::CgroupUse;
use muster_runtime::unit::{LaunchUnit, Outcome};

fn kill_supervisor(node: &Node) {
    // SAFETY: ends a process of this test.
    unsafe { libc::kill(node.hello.pid as i32, libc::SIGKILL) };
    wait_until("supervisor to die", || !lives(node.hello.pid));
}

#[test]
fn units_outlive_the_agent() {
    let mut node = Node::start(CgroupUse::Auto);
    node.launch(node.batch(1, "while ! [ -e go ]; do sleep 0.01; done; exit 5"));
    let pids = node.wait_started(key(1));
    let supervisor = node.hello.pid;
    node.requests.close();
    assert_eq!(node.notices.next().unwrap(), None);
    node.reconnect();
    let running: Vec<_> = node.hello.running.iter().map(|unit| (unit.key, unit.pids.clone())).collect();
    assert_eq!((running, node.hello.pid), (vec![(key(1), vec![(0, pids[0])])], supervisor));
    node.requests.close();
    std::fs::write(node.path("go"), "").unwrap();
    wait_until("task to end", || !lives(pids[0]));
    // Nobody is connected: the end waits.
    wait_until("the end", || {
        node.reconnect();
        !node.hello.ends.is_empty()
    });
    assert_eq!((node.hello.ends[0].exit, node.hello.running.len()), (ExitStatus::exited(5), 0));
    node.reconnect();
    assert_eq!(node.hello.ends.len(), 1, "told until acknowledged");
    node.send(Request::Acknowledge { keys: vec![key(1)] });
    node.run(node.unit(2, &["true"])); // requests are carried out in order
    node.reconnect();
    assert_eq!(node.hello.ends, []);
}

#[test]
fn a_supervisor_tells_which_launch_it_took_in_last() {
    let mut node = Node::start(CgroupUse::Auto);
    assert_eq!(node.hello.launched, None);
    for (job, sequence) in [(1, 7), (2, 6), (3, 0)] {
        node.run(LaunchUnit { sequence, ..node.unit(job, &["true"]) });
    }
    // What lacks something is not started, so that it may be sent again.
    node.launch(LaunchUnit { sequence: 8, environment: Some(BlobId("gone".into())), ..node.unit(4, &["true"]) });
    assert!(matches!(node.next(), Notice::Refused { .. }));
    node.reconnect();
    assert_eq!(node.hello.launched, Some(7));
}

#[test]
fn a_newer_agent_takes_over() {
    let mut node = Node::start(CgroupUse::Off);
    let old = node.requests.clone();
    let (requests, notices, _) = client::connect(node.dir.path()).unwrap();
    node.requests = requests;
    let mut old_notices = std::mem::replace(&mut node.notices, notices);
    assert_eq!(old_notices.next().unwrap(), None);
    let _ = old.send(&Request::Retire { kill: true });
    assert!(node.run(node.unit(1, &["true"])).exit.is_success(), "the old agent has no say any more");
}

#[test]
fn a_killed_supervisor_leaves_nothing_and_its_units_are_lost() {
    for cgroup in [CgroupUse::Off, CgroupUse::Auto] {
        let mut node = Node::start(cgroup);
        node.run(node.unit(7, &["true"]));
        node.launch(node.unit(8, &["true"]));
        while !matches!(node.next(), Notice::Ended(_)) {}
        let script = "(setsid sh -c 'echo $$ >daemon; exec sleep 1000' &); sleep 1000 & echo $! >child; wait";
        node.launch(node.batch(1, script));
        let task = node.wait_started(key(1))[0];
        let (daemon, child) = (pid_in(&node.path("daemon")), pid_in(&node.path("child")));
        kill_supervisor(&node);
        node.reconnect();
        let ends: Vec<_> = node.hello.ends.iter().map(|end| (end.key, end.outcome.clone())).collect();
        assert_eq!(ends, [(key(1), Outcome::Lost), (key(8), Outcome::Ran)], "{cgroup:?}");
        for pid in [task, daemon, child] {
            assert!(!lives(pid), "{pid} with {}", node.hello.tracking);
        }
        assert!(!node.path("job00001").exists());
        node.launch(node.unit(1, &["touch", "again"]));
        assert!(matches!(node.next(), Notice::Ended(end) if end.outcome == Outcome::Lost));
        node.send(Request::Acknowledge { keys: vec![key(1), key(8)] });
        kill_supervisor_after(&mut node);
        assert_eq!((node.hello.ends.len(), node.path("again").exists()), (0, false));
    }
}

/// Makes sure that all requests so far are carried out, then kills and reconnects.
fn kill_supervisor_after(node: &mut Node) {
    node.send(Request::Sample { number: 0, keys: Vec::new() });
    while !matches!(node.next(), Notice::Sampled { .. }) {}
    kill_supervisor(node);
    node.reconnect();
}

#[test]
fn one_supervisor_serves_a_directory() {
    let mut node = Node::start(CgroupUse::Off);
    let first = node.hello.pid;
    let status = std::process::Command::new(env!("CARGO_BIN_EXE_muster-supervisor"))
        .arg("--dir")
        .arg(node.dir.path())
        .status()
        .unwrap();
    assert!(status.success(), "the second goes at once");
    node.reconnect();
    assert_eq!(node.hello.pid, first);
}

#[test]
fn a_supervisor_whose_directory_is_gone_goes_too() {
    let mut node = Node::start(CgroupUse::Off);
    node.launch(node.unit(1, &["sleep", "1000"]));
    let pid = node.wait_started(key(1))[0];
    std::fs::remove_dir_all(node.dir.path()).unwrap();
    node.requests.close();
    // It still has a unit, which must not die of this.
    std::thread::park_timeout(std::time::Duration::from_millis(50));
    assert!(lives(pid) && lives(node.hello.pid));
    // SAFETY: ends a process of this test.
    unsafe { libc::kill(pid as i32, libc::SIGKILL) };
    wait_until("supervisor to go", || !lives(node.hello.pid));
}

#[test]
fn retirement_waits_for_units_and_acknowledgements() {
    let mut node = Node::start(CgroupUse::Auto);
    node.launch(node.batch(1, "while ! [ -e go ]; do sleep 0.01; done"));
    node.wait_started(key(1));
    node.send(Request::Retire { kill: false });
    node.launch(node.unit(2, &["true"]));
    assert_eq!(node.next(), Notice::Refused { key: key(2), why: Refused::Retiring });
    std::fs::write(node.path("go"), "").unwrap();
    node.wait_end(key(1)); // and acknowledge
    assert_eq!(node.notices.next_within(crate::common::PATIENCE).unwrap(), None);
    wait_until("supervisor to go", || !lives(node.hello.pid));
    assert_eq!(crate::common::kind(client::connect(node.dir.path())), Some(std::io::ErrorKind::NotFound));
}

#[test]
fn a_supervisor_told_to_end_kills_its_units_and_keeps_their_ends() {
    let mut node = Node::start(CgroupUse::Auto);
    node.launch(node.unit(1, &["sleep", "1000"]));
    let pid = node.wait_started(key(1))[0];
    // SAFETY: ends a process of this test.
    unsafe { libc::kill(node.hello.pid as i32, libc::SIGTERM) };
    wait_until("supervisor to go", || !lives(node.hello.pid));
    assert!(!lives(pid));
    node.reconnect();
    let ends: Vec<_> = node.hello.ends.iter().map(|end| (end.key, end.exit)).collect();
    assert_eq!(ends, [(key(1), ExitStatus::signaled(9))]);
}

#[test]
fn a_long_directory_name_is_no_obstacle() {
    let dir = tempfile::tempdir().unwrap();
    let long = dir.path().join("d".repeat(100)).join("e".repeat(60));
    let program = [env!("CARGO_BIN_EXE_muster-supervisor").into()];
    let (requests, mut notices, hello) = client::connect_or_start(&long, &program, &Default::default()).unwrap();
    assert!(hello.ends.is_empty());
    requests.send(&Request::Retire { kill: true }).unwrap();
    assert_eq!(notices.next_within(crate::common::PATIENCE).unwrap(), None);
}
