//! OCI bundles with a shell in the place of a runtime: what is done once nothing of a unit runs any more.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::common::{Node, key, lives, own_user, pid_in, wait_until};
use muster_model::container::OciSettings;
use muster_model::state::ExitStatus;
use muster_runtime::protocol::Request;
use muster_runtime::supervisor::CgroupUse;
use muster_runtime::unit::{BundleLaunch, LaunchUnit, Outcome, UnitUser};

/// A unit whose command is run by a "runtime" that executes it.
fn bundled(node: &Node, job: u32, settings: OciSettings) -> LaunchUnit {
    let settings = OciSettings {
        run: Some("/bin/sh -c %@".into()),
        ignores_description: true,
        spool_mount: "/tmp/slurm".into(),
        ..settings
    };
    let bundle = BundleLaunch { path: "/".into(), id: None, settings, node_name: "n1".into(), user_name: "u".into() };
    LaunchUnit { bundle: Some(Box::new(bundle)), ..node.unit(job, &["exit 3"]) }
}

#[test]
fn what_a_runtime_leaves_behind_dies_with_its_unit() {
    for cgroup in [CgroupUse::Auto, CgroupUse::Off] {
        let mut node = Node::start(cgroup);
        let pid = node.path("pid");
        // What a hook of the user may do. The environment of a process is empty while its program is loaded.
        let hook = format!(
            "setsid sleep 1000 & echo $! > {0}; until grep -q $MUSTER_UNIT /proc/$!/environ; do :; done; echo marked >> {0}",
            pid.display()
        );
        let lines = OciSettings { kill: Some("sleep 1000 &".into()), delete: Some(hook), ..OciSettings::default() };
        // The mark cannot be left out.
        let lines = OciSettings { excluded_of_runtime: Some(".".into()), ..lines };
        let unit = bundled(&node, 1, lines);
        assert_eq!(node.run(unit).exit, ExitStatus::exited(3));
        let text = node.read("pid");
        let (number, is_marked) = text.trim().split_once('\n').expect("two lines");
        assert_eq!((lives(number.parse().expect("a number")), is_marked), (false, "marked"));
        assert_eq!(std::fs::read_dir(node.path("bundles")).expect("the documents").count(), 0);
    }
}

#[test]
fn a_runtime_removes_the_container_of_a_unit_that_was_killed() {
    for cgroup in [CgroupUse::Auto, CgroupUse::Off] {
        let mut node = Node::start(cgroup);
        let done = node.path("done");
        let lines = OciSettings {
            delete: Some(format!("sleep 0.05; echo done > {}", done.display())),
            ..OciSettings::default()
        };
        let unit = LaunchUnit {
            command: vec!["trap '' TERM; echo > begun; while :; do sleep 0.01; done".into()],
            ..bundled(&node, 1, lines)
        };
        node.launch(unit);
        wait_until("the task to begin", || node.path("begun").exists());
        node.send(Request::Terminate { key: key(1), kill_wait_ms: 10, message: None });
        assert_eq!(node.wait_end(key(1)).exit, ExitStatus::signaled(9));
        assert_eq!(node.read("done"), "done\n");
    }
}

#[test]
fn a_runtime_that_is_killed_with_its_supervisor_is_called_by_the_next() {
    for cgroup in [CgroupUse::Auto, CgroupUse::Off] {
        let mut node = Node::start(cgroup);
        let (pid, again) = (node.path("pid"), node.path("again"));
        let hook = format!(
            "setsid sleep 1000 & file={0}; test ! -e $file || file={1}; echo $! > $file; test -e {1} || exec sleep 1000",
            pid.display(),
            again.display()
        );
        let unit = bundled(&node, 1, OciSettings { delete: Some(hook), ..OciSettings::default() });
        node.launch(unit);
        let first = pid_in(&pid);
        let supervisor = i32::try_from(node.hello.pid).expect("a process number");
        // SAFETY: a plain system call on the number of our own supervisor.
        assert_eq!(unsafe { libc::kill(supervisor, libc::SIGKILL) }, 0);
        node.reconnect();
        // The unit had not ended while its container was being removed.
        let lost = node.hello.ends.iter().find(|end| end.key == key(1));
        assert_eq!(lost.map(|end| &end.outcome), Some(&Outcome::Lost));
        assert!(!lives(first));
        let second = pid_in(&again);
        wait_until("what the runtime leaves to be killed", || !lives(second));
    }
}

#[test]
fn directories_outside_of_the_spool_are_made_with_the_rights_of_the_user() {
    let mut node = Node::start(CgroupUse::Auto);
    if own_user().uid != 0 {
        eprintln!("SKIPPED: not root");
        return;
    }
    let place = tempfile::tempdir_in("/tmp").expect("a directory");
    let mode = |mode| std::fs::set_permissions(place.path(), PermissionsExt::from_mode(mode)).expect("its mode");
    let owner = |path: &Path| path.metadata().map(|found| found.uid()).ok();
    let nobody = UnitUser { uid: 65534, gid: 65534, groups: Vec::new() };
    let unit = |node: &Node, job| {
        let pattern = format!("{}/a/b.%j", place.path().display());
        let settings = OciSettings {
            container_path: Some(pattern),
            delete: Some(format!("ls {0}/a/b.%j > {0}/seen; rmdir {0}/no", place.path().display())),
            ..OciSettings::default()
        };
        LaunchUnit {
            user: nobody.clone(),
            work_dir: "/".into(),
            streams: Default::default(),
            ..bundled(node, job, settings)
        }
    };
    // Only root could make it.
    mode(0o755);
    let refused = unit(&node, 1);
    assert!(matches!(node.run(refused).outcome, Outcome::NotStarted { errno: libc::EACCES, .. }));
    assert_eq!(std::fs::read_dir(place.path()).expect("the place").count(), 0);
    mode(0o777);
    let made = unit(&node, 2);
    assert_eq!(node.run(made).exit, ExitStatus::exited(3));
    assert_eq!(owner(&place.path().join("a")), Some(65534));
    assert_eq!(std::fs::read_to_string(place.path().join("seen")).expect("what was seen"), "task-00000\n");
    assert!(!place.path().join("a/b.2").exists());
}
