//! Units as an agent sees them: what runs, what is left in files, how it ends.

use crate::common::{Node, key, lives, pid_in, wait_until};
use muster_model::state::ExitStatus;
use muster_runtime::measure::{EnergySource, MeasureHow};
use muster_runtime::protocol::{Notice, Refused, Request, SignalScope};
use muster_runtime::supervisor::CgroupUse;
use muster_runtime::unit::{Input, Outcome, Output, Streams, TaskLaunch, UnitUser};

/// Both ways to track processes. Where no control group can be made the second is the first again.
const BOTH: [CgroupUse; 2] = [CgroupUse::Off, CgroupUse::Auto];

#[test]
fn exit_codes_signals_and_output_are_told() {
    let mut node = Node::start(CgroupUse::Auto);
    let mut check = |job: u32, script: &str, exit: ExitStatus, output: &str| {
        let end = node.run(node.batch(job, script));
        assert_eq!((end.outcome, end.exit, node.read("out").as_str()), (Outcome::Ran, exit, output), "{script}");
    };
    check(1, "exit 0", ExitStatus::SUCCESS, "");
    check(2, "echo $GREETING; echo oops >&2; exit 7", ExitStatus::exited(7), "hi\noops\n");
    check(3, "kill -9 $$", ExitStatus::signaled(9), "");
    check(4, "kill -SEGV $$", ExitStatus::signaled(11), "");
    check(5, "[ $SLURM_TASK_PID = $$ ] && echo same", ExitStatus::SUCCESS, "same\n");
    check(6, "umask; ulimit -n >/dev/null; readlink /proc/self/fd/0", ExitStatus::SUCCESS, "0022\n/dev/null\n");
}

#[test]
fn the_script_runs_from_the_spool_directory() {
    let mut node = Node::start(CgroupUse::Off);
    let mut unit = node.batch(12, "echo $0 \"$@\"; ls -l $0 | cut -c1-10; stat -c %a $(dirname $0)");
    unit.command = vec!["one".into(), "two words".into()];
    assert!(node.run(unit).exit.is_success());
    let script = std::fs::canonicalize(node.dir.path()).unwrap().join("job00012/slurm_script");
    assert_eq!(node.read("out"), format!("{} one two words\n-rwx------\n750\n", script.display()));
    assert!(!node.path("job00012").exists(), "the script is removed");
}

#[test]
fn usage_is_measured() {
    let mut node = Node::start(CgroupUse::Off);
    let end = node.run(node.batch(1, "for ((i = 0; i < 200000; i++)); do :; done"));
    assert!(end.usage.user_cpu_us > 10_000 && end.usage.rss_kb_max > 500, "{:?}", end.usage);
    assert!(end.end_time >= end.start_time && end.start_time.0 > 0);
    assert_eq!(end.tasks.len(), 1);
}

#[test]
fn files_are_emptied_or_continued() {
    let mut node = Node::start(CgroupUse::Off);
    let mut run = |append: bool, error: Option<&str>| {
        let mut unit = node.unit(0, &["sh", "-c", "echo out; echo err >&2; echo more"]);
        unit.key = key(rand_job());
        unit.streams.append = append;
        unit.streams.error = error.map(|name| Output::File(name.into()));
        assert!(node.run(unit).exit.is_success());
        (node.read("out"), node.read("err"))
    };
    assert_eq!(run(false, None).0, "out\nerr\nmore\n");
    assert_eq!(run(true, None).0, "out\nerr\nmore\nout\nerr\nmore\n");
    assert_eq!(run(false, Some("./out")).0, "out\nerr\nmore\n", "one file under two names");
    assert_eq!(run(false, Some("err")), ("out\nmore\n".into(), "err\n".into()));
}

/// A job number that no other call of this test has.
fn rand_job() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(1000);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[test]
fn input_comes_from_a_file() {
    let mut node = Node::start(CgroupUse::Off);
    std::fs::write(node.path("in"), "line\n").unwrap();
    let mut unit = node.unit(1, &["cat"]);
    unit.streams.input = Input::File("in".into());
    assert!(node.run(unit).exit.is_success());
    assert_eq!(node.read("out"), "line\n");
}

#[test]
fn what_cannot_be_opened_keeps_the_unit_from_running() {
    let mut node = Node::start(CgroupUse::Auto);
    let mut check = |job: u32, streams: Streams| {
        let mut unit = node.unit(job, &["touch", "ran"]);
        unit.streams = streams;
        let end = node.run(unit);
        assert!(matches!(end.outcome, Outcome::NotStarted { errno: libc::ENOENT, .. }), "{end:?}");
        assert_eq!((end.exit, end.tasks.len(), node.path("ran").exists()), (ExitStatus::signaled(53), 0, false));
    };
    check(1, Streams { output: Output::File("/no/such/out".into()), ..Streams::default() });
    check(2, Streams { error: Some(Output::File("no/err".into())), ..Streams::default() });
    check(3, Streams { input: Input::File("no-input".into()), ..Streams::default() });
}

#[test]
fn programs_that_cannot_run_are_reported_as_slurmstepd_does() {
    let mut node = Node::start(CgroupUse::Auto);
    std::fs::write(node.path("plain"), "data").unwrap();
    let dir = node.dir.path().display().to_string();
    let mut check = |job: u32, command: &[&str], code: u8, message: &str| {
        let end = node.run(node.unit(job, command));
        assert_eq!((end.outcome, end.exit), (Outcome::Ran, ExitStatus::exited(code)), "{command:?}");
        assert_eq!(node.read("out"), format!("slurmstepd: error: execve(): {message}\n"));
    };
    check(1, &["/no/such"], 2, "/no/such: No such file or directory");
    check(2, &["nosuchcommand"], 2, "nosuchcommand: No such file or directory");
    check(3, &["./plain"], 13, &format!("{dir}/./plain: Permission denied"));
    check(4, &["/tmp"], 13, "/tmp: Permission denied");
    let mut unit = node.unit(5, &[]);
    node.requests.put(&crate::common::blob("bad"), b"#!/no/interpreter -x\n").unwrap();
    unit.script = Some(crate::common::blob("bad"));
    unit.message_name = "slurmstepd-n1".into();
    assert_eq!(node.run(unit).exit, ExitStatus::exited(2));
    let message = "slurmstepd-n1: error: execve(): bad interpreter(/no/interpreter -x): No such file or directory\n";
    assert_eq!(node.read("out"), message);
}

#[test]
fn a_missing_directory_becomes_tmp_with_a_word() {
    let mut node = Node::start(CgroupUse::Off);
    let mut unit = node.unit(1, &["pwd"]);
    unit.work_dir = "/no/such".into();
    unit.streams.output = Output::File(node.path("out").display().to_string());
    assert!(node.run(unit).exit.is_success());
    let message = "slurmstepd: error: couldn't chdir to `/no/such': No such file or directory: going to /tmp instead\n";
    assert_eq!(node.read("out"), format!("{message}{message}/tmp\n"));
}

#[test]
fn several_tasks_have_their_own_commands_variables_and_ends() {
    let mut node = Node::start(CgroupUse::Auto);
    let mut unit = node.unit(1, &["sh", "-c", "echo $RANK; exit $RANK"]);
    unit.tasks = (0..4)
        .map(|rank| TaskLaunch {
            rank,
            variables: vec![format!("RANK={rank}")],
            streams: Some(Streams { output: Output::File(format!("out.{rank}")), ..Streams::default() }),
            ..TaskLaunch::default()
        })
        .collect();
    unit.tasks[3].command = Some(vec!["sh".into(), "-c".into(), "echo other; kill -15 $$".into()]);
    let end = node.run(unit);
    let exits: Vec<String> = end.tasks.iter().map(|task| format!("{} {}", task.rank, task.exit)).collect();
    assert_eq!(exits, ["0 0:0", "1 1:0", "2 2:0", "3 0:15"]);
    assert_eq!(end.exit, ExitStatus::signaled(15));
    let outputs: Vec<String> = (0..4).map(|rank| node.read(&format!("out.{rank}"))).collect();
    assert_eq!(outputs, ["0\n", "1\n", "2\n", "other\n"]);
}

#[test]
fn limits_and_affinity_are_set() {
    for cgroup in BOTH {
        let mut node = Node::start(cgroup);
        let mut unit = node.batch(1, "ulimit -S -n; ulimit -S -c; taskset -pc $$ | sed 's/.*: //'");
        unit.limits = vec![(libc::RLIMIT_NOFILE, 77), (libc::RLIMIT_CORE, 0), (9999, 1)];
        unit.affinity = vec![0, 4095];
        assert!(node.run(unit).exit.is_success());
        assert_eq!(node.read("out"), "77\n0\n0\n", "{}", node.hello.tracking);
    }
}

#[test]
fn what_daemonises_is_killed_at_the_end() {
    for cgroup in BOTH {
        let mut node = Node::start(cgroup);
        let script = "sleep 1000 & echo $! >plain\n\
             (setsid sh -c 'echo $$ >session; sleep 1000' &)\n\
             (setsid env -i sh -c 'echo $$ >bare; setsid sleep 1000 & sleep 1000' & wait) & \n\
             while ! [ -s session ] || ! [ -s bare ]; do :; done";
        let end = node.run(node.batch(1, script));
        assert!(end.exit.is_success());
        let names: &[&str] = match node.hello.tracking.as_str() {
            // Without a group, what cleared its environment in a session of its own is found by its parent only.
            "none" => &["plain", "session"],
            _ => &["plain", "session", "bare"],
        };
        for name in names {
            assert!(!lives(pid_in(&node.path(name))), "{name} with {}", node.hello.tracking);
        }
        if let Some(bare) = Some(pid_in(&node.path("bare"))).filter(|pid| lives(*pid)) {
            // SAFETY: ends a process of this test.
            unsafe { libc::kill(bare as i32, libc::SIGKILL) };
        }
    }
}

#[test]
fn terminate_asks_then_kills() {
    for cgroup in BOTH {
        let mut node = Node::start(cgroup);
        let message = Some("slurmstepd: error: *** JOB 1 ON n1 CANCELLED ***".to_owned());
        let terminate =
            |job, kill_wait_ms| Request::Terminate { key: key(job), kill_wait_ms, message: message.clone() };

        node.launch(node.unit(1, &["sleep", "1000"]));
        node.wait_started(key(1));
        node.send(terminate(1, 600_000));
        let end = node.wait_end(key(1));
        assert_eq!((end.exit, end.terminated), (ExitStatus::signaled(15), true));
        assert_eq!(node.read("out"), "slurmstepd: error: *** JOB 1 ON n1 CANCELLED ***\n");

        node.launch(node.batch(2, "trap '' TERM; sleep 1000 & echo $! >child; echo ready; while :; do wait; done"));
        let child = pid_in(&node.path("child"));
        wait_until("trap is set", || node.read("out").starts_with("ready"));
        node.send(terminate(2, 100));
        assert_eq!(node.wait_end(key(2)).exit, ExitStatus::signaled(9));
        assert!(!lives(child));

        node.launch(node.unit(3, &["sleep", "1000"]));
        node.send(terminate(3, 0));
        let end = node.wait_end(key(3));
        assert!(end.terminated && end.exit.signal > 0, "{end:?}");
    }
}

#[test]
fn signals_reach_those_who_are_meant() {
    for cgroup in BOTH {
        let mut node = Node::start(cgroup);
        let script = "trap 'echo shell >>got' USR1\n\
            bash -c 'trap \"echo child >>got\" USR1; echo $$ >child; while :; do sleep 0.01; done' & echo go\n\
            while :; do sleep 0.01; done";
        node.launch(node.batch(1, script));
        node.wait_started(key(1));
        pid_in(&node.path("child"));
        let check = |scope: SignalScope, expected: &[&str]| {
            node.send(Request::Signal { key: key(1), signal: libc::SIGUSR1 as u8, scope });
            wait_until("signals arrive", || node.read("got").lines().count() >= expected.len());
            let got = node.read("got");
            let mut got: Vec<&str> = got.lines().collect();
            got.sort_unstable();
            assert_eq!(got, expected, "{scope:?}");
        };
        check(SignalScope::Tasks, &["shell"]);
        check(SignalScope::Children, &["child", "shell"]);
        check(SignalScope::All, &["child", "child", "shell", "shell"]);
        node.send(Request::Terminate { key: key(1), kill_wait_ms: 0, message: None });
        node.wait_end(key(1));
    }
}

#[test]
fn lines_are_written_into_the_error_file_also_during_the_launch() {
    for cgroup in BOTH {
        let mut node = Node::start(cgroup);
        node.launch(node.unit(1, &["sleep", "1000"]));
        let say = |job, line: &str| Request::Say { key: key(job), line: line.to_owned() };
        node.send(say(1, "first"));
        node.wait_started(key(1));
        node.send(say(2, "to nobody"));
        node.send(say(1, "second"));
        wait_until("both", || node.read("out") == "first\nsecond\n");
        node.send(Request::Terminate { key: key(1), kill_wait_ms: 0, message: None });
        node.wait_end(key(1));
    }
}

#[test]
fn suspended_units_stand_still() {
    for cgroup in BOTH {
        let mut node = Node::start(cgroup);
        node.launch(node.batch(1, "while :; do echo x >>ticks; sleep 0.005; done"));
        let pid = node.wait_started(key(1))[0];
        wait_until("ticks", || node.read("ticks").len() > 10);
        node.send(Request::Suspend { key: key(1) });
        let cpu = |node: &mut Node| loop {
            node.send(Request::Sample { number: 7, keys: Vec::new() });
            if let Notice::Sampled { number: 7, units } = node.next() {
                break units.into_iter().find(|unit| unit.key == key(1)).expect("sampled");
            }
        };
        let sample = cpu(&mut node);
        assert!(sample.pids.contains(&pid) && sample.measured.rss_kb.is_some_and(|rss| rss.max > 0), "{sample:?}");
        // Who does not catch TSTP is stopped as by it, before anything is frozen.
        wait_until("stopped", || {
            std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") T "))
        });
        wait_until("standing still", || {
            let before = node.read("ticks");
            std::thread::park_timeout(std::time::Duration::from_millis(30));
            before == node.read("ticks")
        });
        let before = node.read("ticks").len();
        node.send(Request::Resume { key: key(1) });
        wait_until("going on", || node.read("ticks").len() > before);
        node.send(Request::Suspend { key: key(1) });
        node.send(Request::Terminate { key: key(1), kill_wait_ms: 600_000, message: None });
        assert_eq!(node.wait_end(key(1)).exit, ExitStatus::signaled(15), "a stopped unit can be ended");
    }
}

#[test]
fn who_catches_the_signal_gets_ready_to_stand_still() {
    for cgroup in BOTH {
        let mut node = Node::start(cgroup);
        let traps = "trap 'echo ready >>told' TSTP; trap 'echo back >>told' CONT; echo up >up";
        node.launch(node.batch(1, &format!("{traps}; while :; do echo x >>ticks; done")));
        node.wait_started(key(1));
        wait_until("up", || node.read("up") == "up\n");
        node.send(Request::Suspend { key: key(1) });
        wait_until("told", || node.read("told") == "ready\n");
        // Who catches it goes on for a while.
        wait_until("standing still", || {
            let before = node.read("ticks");
            std::thread::park_timeout(std::time::Duration::from_millis(30));
            before == node.read("ticks")
        });
        node.send(Request::Resume { key: key(1) });
        wait_until("told that it goes on", || node.read("told") == "ready\nback\n");
        node.send(Request::Suspend { key: key(1) });
        node.send(Request::Resume { key: key(1) });
        let before = node.read("ticks").len();
        wait_until("going on", || node.read("ticks").len() > before);
        node.send(Request::Terminate { key: key(1), kill_wait_ms: 0, message: None });
        assert_eq!(node.wait_end(key(1)).exit, ExitStatus::signaled(9));
    }
}

#[test]
fn a_key_is_started_once() {
    let mut node = Node::start(CgroupUse::Off);
    let unit = node.unit(1, &["sh", "-c", "echo x >>starts; read nothing <fifo"]);
    let fifo = std::ffi::CString::new(node.path("fifo").display().to_string()).unwrap();
    // SAFETY: the path is NUL-terminated.
    unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) };
    node.launch(unit.clone());
    node.launch(unit.clone());
    let pids = node.wait_started(key(1));
    node.launch(unit.clone());
    assert_eq!(node.wait_started(key(1)), pids);
    std::fs::write(node.path("fifo"), "\n").unwrap();
    let end = loop {
        if let Notice::Ended(end) = node.next() {
            break end;
        }
    };
    node.launch(unit.clone());
    assert_eq!(node.next(), Notice::Ended(end), "told again until acknowledged");
    node.send(Request::Acknowledge { keys: vec![key(1)] });
    node.launch(unit);
    assert_eq!(node.next(), Notice::Refused { key: key(1), why: Refused::AlreadyEnded });
    assert_eq!(node.read("starts"), "x\n");
}

#[test]
fn unknown_blobs_and_nonsense_are_refused() {
    let mut node = Node::start(CgroupUse::Off);
    let mut unit = node.unit(1, &["true"]);
    unit.environment = Some(crate::common::blob("never put"));
    node.launch(unit.clone());
    let why = Refused::UnknownBlob(crate::common::blob("never put"));
    assert_eq!(node.next(), Notice::Refused { key: key(1), why });
    node.requests.put(&crate::common::blob("never put"), b"").unwrap();
    assert!(node.run(unit).exit.is_success(), "the same key again, now with its blob");
    let unit = node.unit(2, &[]);
    node.launch(unit);
    let why = Refused::Invalid("no program".into());
    assert_eq!(node.next(), Notice::Refused { key: key(2), why });
}

#[test]
fn many_short_units_are_all_told_once() {
    for cgroup in BOTH {
        let mut node = Node::start(cgroup);
        let units: Vec<_> = (1..=300).map(|job| node.unit(job, &["/bin/true"])).collect();
        units.into_iter().for_each(|unit| node.launch(unit));
        let mut seen = std::collections::BTreeSet::new();
        while seen.len() < 300 {
            if let Notice::Ended(end) = node.next() {
                assert!(end.exit.is_success() && seen.insert(end.key), "{end:?}");
            }
        }
    }
}

#[test]
fn another_user_is_taken_over_by_root() {
    let mut node = Node::start(CgroupUse::Auto);
    // SAFETY: cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        let mut unit = node.unit(1, &["true"]);
        unit.user.uid += 1;
        node.launch(unit);
        assert!(matches!(node.next(), Notice::Refused { why: Refused::Invalid(_), .. }));
        return;
    }
    let mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    mode(node.dir.path(), 0o755);
    std::fs::create_dir(node.path("home")).unwrap();
    let owner = |path: &std::path::Path| std::os::unix::fs::chown(path, Some(65533), Some(65533)).unwrap();
    owner(&node.path("home"));
    mode(&node.path("home"), 0o700);
    let mut unit = node.batch(1, "id -u; id -g; id -G; ls -ln $0 | cut -d' ' -f1,3; cat ../root-only");
    unit.user = UnitUser { uid: 65533, gid: 65533, groups: vec![65533, 65532] };
    unit.work_dir = node.path("home").display().to_string();
    std::fs::write(node.path("root-only"), "secret").unwrap();
    mode(&node.path("root-only"), 0o600);
    let end = node.run(unit.clone());
    let out = node.read("home/out");
    assert!(out.starts_with("65533\n65533\n65533 65532\n-rwx------ 65533\n"), "{out}");
    assert!(!out.contains("secret") && end.exit == ExitStatus::exited(1));
    let owner_of = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(node.path("home/out")).unwrap());
    assert_eq!(owner_of, 65533, "output files belong to the user");
    // Files are opened with the user's rights.
    unit.key = key(2);
    unit.streams.output = Output::File("../root-only".into());
    assert!(matches!(node.run(unit).outcome, Outcome::NotStarted { errno: libc::EACCES, .. }));
    assert_eq!(node.read("root-only"), "secret");
}

#[test]
fn a_counter_of_energy_that_hangs_holds_nobody_up() {
    let mut node = Node::start(BOTH[0]);
    let zone = node.path("root/sys/class/powercap/intel-rapl:0");
    std::fs::create_dir_all(&zone).unwrap();
    std::fs::write(zone.join("name"), "package-0\n").unwrap();
    std::fs::write(zone.join("energy_uj"), "5000\n").unwrap();
    let measured = |node: &Node, job| {
        let root = Some(node.path("root").display().to_string());
        let how = MeasureHow { energy: Some(EnergySource::Rapl), root, ..MeasureHow::default() };
        let mut unit = node.unit(job, &["true"]);
        (unit.measure_ms, unit.measure_how) = (Some(0), Some(Box::new(how)));
        unit
    };
    // Read at the start and at the end, however short that is.
    let unit = measured(&node, 1);
    assert_eq!(node.run(unit).tasks[0].measure.energy_mj, Some(0));
    std::fs::remove_file(zone.join("energy_uj")).unwrap();
    let fifo = std::ffi::CString::new(zone.join("energy_uj").display().to_string()).unwrap();
    // SAFETY: the path is NUL-terminated.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    let unit = measured(&node, 2);
    assert_eq!(node.run(unit).tasks[0].measure.energy_mj, None, "whoever opens the counter waits for ever");
}

#[test]
fn what_tasks_use_is_measured_to_their_end() {
    for cgroup in BOTH {
        let mut node = Node::start(cgroup);
        let script = "head -c 3000000 /dev/zero >big; x=$(head -c 20000000 /dev/zero | tr '\\0' x); \
            echo ready >state; read nothing <fifo; cat big >/dev/null";
        let fifo = std::ffi::CString::new(node.path("fifo").display().to_string()).unwrap();
        // SAFETY: the path is NUL-terminated.
        assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
        let mut unit = node.batch(1, script);
        unit.measure_ms = Some(0);
        node.launch(unit);
        node.wait_started(key(1));
        wait_until("the memory", || node.read("state") == "ready\n");
        node.send(Request::Sample { number: 3, keys: vec![key(1)] });
        let unit = loop {
            if let Notice::Sampled { number: 3, mut units } = node.next() {
                break units.remove(0);
            }
        };
        let peak = unit.measured.rss_kb.unwrap().max;
        assert!(peak > 20_000 && unit.measured.vm_kb.unwrap().max >= peak, "{unit:?}");
        let before = unit.measured.read_bytes.unwrap().max;
        std::fs::write(node.path("fifo"), "\n").unwrap();
        let end = node.wait_end(key(1));
        let measure = end.tasks[0].measure;
        // The look at its end has seen what it did after the one before.
        assert!(measure.read_bytes.unwrap() >= before + 3_000_000, "{cgroup:?}: {before}, {measure:?}");
        assert!(measure.write_bytes.unwrap() >= 6_000_000 && measure.rss_kb.unwrap().0 >= peak, "{measure:?}");
        let usage = end.tasks[0].usage;
        assert!(measure.cpu_us.unwrap() >= usage.user_cpu_us + usage.system_cpu_us && measure.pages.is_some());
        // Where nobody wants it measured, the kernel's own figures are told.
        let plain = node.run(node.unit(2, &["true"])).tasks[0].measure;
        assert!(plain.cpu_us.is_some() && plain.rss_kb.is_some() && plain.read_bytes.is_none(), "{plain:?}");
    }
}
