//! Live steps: streams between tasks and a waiting client.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::common::{Node, PATIENCE, key, lives};
use muster_model::state::ExitStatus;
use muster_runtime::supervisor::CgroupUse;
use muster_runtime::unit::{ClientLink, Input, LaunchUnit, Outcome, Output, Streams, TaskLaunch};
use muster_runtime::wire::{self, ALL_RANKS, Frame, NodeHello};

/// The side of `srun`.
struct Client {
    listener: TcpListener,
}

struct Connection {
    stream: TcpStream,
    decoder: wire::Decoder,
    hello: NodeHello,
}

/// All that came until the end.
#[derive(Default, Debug)]
struct Transcript {
    out: BTreeMap<u32, Vec<u8>>,
    err: BTreeMap<u32, Vec<u8>>,
    ends: BTreeMap<u32, String>,
    failed: Option<String>,
    finished: bool,
    ending: bool,
}

impl Client {
    fn new() -> Client {
        Client { listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    /// Makes all streams of `unit` go here, for `tasks` tasks.
    fn take(&self, mut unit: LaunchUnit, tasks: u32) -> LaunchUnit {
        let address = self.listener.local_addr().unwrap().to_string();
        unit.client = Some(ClientLink { address, cookie: "secret".into(), node_name: "n1".into() });
        unit.streams =
            Streams { input: Input::Client, output: Output::Client, error: Some(Output::Client), ..Streams::default() };
        unit.tasks = (0..tasks)
            .map(|rank| TaskLaunch { rank, variables: vec![format!("RANK={rank}")], ..TaskLaunch::default() })
            .collect();
        unit
    }

    fn accept(&self) -> Connection {
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let hello = NodeHello::default();
        let mut connection = Connection { stream, decoder: wire::Decoder::default(), hello };
        match connection.next() {
            Some(Frame::Hello(hello)) if hello.cookie == "secret" => connection.hello = hello,
            other => panic!("expected a hello, got {other:?}"),
        }
        connection.send(Frame::Welcome);
        connection
    }
}

impl Connection {
    fn send(&mut self, frame: Frame) {
        let mut bytes = Vec::new();
        wire::encode(&frame, &mut bytes);
        self.stream.write_all(&bytes).unwrap();
    }

    fn stdin(&mut self, rank: u32, bytes: &[u8]) {
        self.send(Frame::Stdin { rank, bytes: bytes.to_vec() });
    }

    fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return Some(frame);
            }
            let mut buffer = vec![0; 64 << 10];
            match self.stream.read(&mut buffer).unwrap() {
                0 => return None,
                count => self.decoder.feed(&buffer[..count]),
            }
        }
    }

    fn read_all(&mut self) -> Transcript {
        let mut seen = Transcript::default();
        while let Some(frame) = self.next() {
            assert!(!seen.finished, "{frame:?} after the end");
            match frame {
                Frame::Stdout { rank, bytes } => {
                    assert!(!seen.ends.contains_key(&rank), "output of {rank} after its end");
                    seen.out.entry(rank).or_default().extend(bytes);
                }
                Frame::Stderr { rank, bytes } => seen.err.entry(rank).or_default().extend(bytes),
                Frame::Ended { rank, exit } => drop(seen.ends.insert(rank, exit.to_string())),
                Frame::Failed { message, .. } => seen.failed = Some(message),
                Frame::Finished => seen.finished = true,
                Frame::Started { pid, .. } => assert!(pid > 1),
                Frame::Ending => seen.ending = true,
                Frame::Taken { .. } => {}
                other => panic!("unexpected {other:?}"),
            }
        }
        seen
    }
}

impl Transcript {
    fn out(&self, rank: u32) -> String {
        String::from_utf8_lossy(self.out.get(&rank).map(Vec::as_slice).unwrap_or_default()).into_owned()
    }

    fn err(&self, rank: u32) -> String {
        String::from_utf8_lossy(self.err.get(&rank).map(Vec::as_slice).unwrap_or_default()).into_owned()
    }
}

#[test]
fn output_and_ends_reach_the_client_before_the_agent() {
    let (mut node, client) = (Node::start(CgroupUse::Auto), Client::new());
    let command = ["sh", "-c", "echo out $RANK; echo err $RANK >&2; exit $RANK"];
    node.launch(client.take(node.unit(1, &command), 3));
    let mut connection = client.accept();
    assert_eq!((connection.hello.ranks.as_slice(), connection.hello.node.as_str()), (&[0, 1, 2][..], "n1"));
    let seen = connection.read_all();
    for rank in 0..3 {
        assert_eq!((seen.out(rank), seen.err(rank)), (format!("out {rank}\n"), format!("err {rank}\n")));
        assert_eq!(seen.ends[&rank], format!("{rank}:0"));
    }
    assert!(seen.finished);
    assert_eq!(node.wait_end(key(1)).exit, ExitStatus::exited(2));
}

#[test]
fn nothing_of_much_output_is_lost() {
    let (mut node, client) = (Node::start(CgroupUse::Off), Client::new());
    let command = ["sh", "-c", "head -c 33554432 /dev/zero | tr '\\0' x; head -c 1000000 /dev/zero >&2"];
    node.launch(client.take(node.unit(1, &command), 2));
    let seen = client.accept().read_all();
    for rank in 0..2 {
        assert_eq!((seen.out[&rank].len(), seen.err[&rank].len()), (33_554_432, 1_000_000));
        assert!(seen.out[&rank].iter().all(|byte| *byte == b'x'));
    }
    assert!(node.wait_end(key(1)).exit.is_success());
}

#[test]
fn a_slow_client_holds_tasks_back_and_loses_nothing() {
    let (mut node, client) = (Node::start(CgroupUse::Off), Client::new());
    node.launch(client.take(node.unit(1, &["sh", "-c", "head -c 20000000 /dev/zero; echo done >done"]), 1));
    let mut connection = client.accept();
    node.wait_started(key(1));
    // The task cannot be done before the client reads: buffers on the way hold far less.
    std::thread::park_timeout(std::time::Duration::from_millis(200));
    assert!(!node.path("done").exists());
    assert_eq!(connection.read_all().out[&0].len(), 20_000_000);
    node.wait_end(key(1));
}

#[test]
fn input_goes_to_all_or_to_one() {
    let (mut node, client) = (Node::start(CgroupUse::Auto), Client::new());
    node.launch(client.take(node.unit(1, &["cat"]), 3));
    let mut connection = client.accept();
    connection.stdin(ALL_RANKS, b"all\n");
    connection.stdin(1, b"one\n");
    connection.stdin(2, b"");
    connection.stdin(ALL_RANKS, b"rest\n");
    connection.stdin(ALL_RANKS, b"");
    let seen = connection.read_all();
    let outputs: Vec<String> = (0..3).map(|rank| seen.out(rank)).collect();
    assert_eq!(outputs, ["all\nrest\n", "all\none\nrest\n", "all\n"]);
    assert!(node.wait_end(key(1)).exit.is_success());
}

#[test]
fn much_input_is_carried_through() {
    let (mut node, client) = (Node::start(CgroupUse::Off), Client::new());
    node.launch(client.take(node.unit(1, &["md5sum"]), 2));
    let mut connection = client.accept();
    for _ in 0..128 {
        connection.stdin(ALL_RANKS, &[b'y'; 64 << 10]);
    }
    connection.stdin(ALL_RANKS, b"");
    let seen = connection.read_all();
    assert_eq!(seen.out(0), seen.out(1));
    // printf of 8 MiB of y through md5sum
    let expected = std::process::Command::new("sh")
        .args(["-c", "head -c 8388608 /dev/zero | tr '\\0' y | md5sum"])
        .output()
        .unwrap();
    assert_eq!(seen.out(0).as_bytes(), expected.stdout);
    node.wait_end(key(1));
}

#[test]
fn a_task_ends_for_the_client_while_others_run() {
    let (mut node, client) = (Node::start(CgroupUse::Auto), Client::new());
    // The background process keeps the pipe of rank 0 open.
    let command = ["sh", "-c", "if [ $RANK = 0 ]; then echo zero; sleep 1000 & exit 4; else cat; fi"];
    node.launch(client.take(node.unit(1, &command), 2));
    let mut connection = client.accept();
    let mut before_end = Vec::new();
    loop {
        match connection.next() {
            Some(Frame::Ended { rank: 0, exit }) => break assert_eq!(exit, ExitStatus::exited(4)),
            Some(Frame::Stdout { rank: 0, bytes }) => before_end.extend(bytes),
            Some(_) => {}
            None => panic!("closed"),
        }
    }
    assert_eq!(before_end, b"zero\n");
    connection.stdin(1, b"still here\n");
    connection.stdin(1, b"");
    let seen = connection.read_all();
    assert_eq!((seen.out(1).as_str(), seen.finished), ("still here\n", true));
    node.wait_end(key(1));
}

#[test]
fn the_client_sends_signals() {
    let (mut node, client) = (Node::start(CgroupUse::Auto), Client::new());
    node.launch(client.take(node.unit(1, &["sleep", "1000"]), 2));
    let mut connection = client.accept();
    node.wait_started(key(1));
    connection.send(Frame::Signal { rank: 1, signal: 2 });
    loop {
        if let Some(Frame::Ended { rank, exit }) = connection.next() {
            break assert_eq!((rank, exit), (1, ExitStatus::signaled(2)));
        }
    }
    connection.send(Frame::Signal { rank: ALL_RANKS, signal: 15 });
    assert_eq!(connection.read_all().ends[&0], "0:15");
    node.wait_end(key(1));
}

#[test]
fn a_step_dies_with_its_client() {
    let (mut node, client) = (Node::start(CgroupUse::Auto), Client::new());
    node.launch(client.take(node.unit(1, &["sh", "-c", "while :; do echo much; done"]), 1));
    let connection = client.accept();
    let pid = node.wait_started(key(1))[0];
    drop(connection);
    let end = node.wait_end(key(1));
    assert!(end.terminated && end.exit.signal > 0, "{end:?}");
    assert!(!lives(pid));
}

#[test]
fn a_client_that_is_not_there_keeps_the_step_from_running() {
    let (mut node, client) = (Node::start(CgroupUse::Auto), Client::new());
    let mut unit = client.take(node.unit(1, &["touch", "ran"]), 2);
    // A port of the system's range that nobody listens on; one that was just closed could be another test's by now.
    if let Some(link) = &mut unit.client {
        link.address = "127.0.0.1:1".into();
    }
    let end = node.run(unit);
    assert!(matches!(end.outcome, Outcome::NotStarted { errno: libc::ECONNREFUSED, .. }), "{end:?}");
    assert!(!node.path("ran").exists());
}

#[test]
fn failures_are_told_to_the_client() {
    let (mut node, client) = (Node::start(CgroupUse::Auto), Client::new());
    let mut unit = client.take(node.unit(1, &["true"]), 1);
    unit.streams.output = Output::File("/no/such/file".into());
    node.launch(unit);
    let seen = client.accept().read_all();
    let message = seen.failed.as_deref().unwrap_or_default();
    assert!(message.starts_with("open output file /no/such/file") && seen.finished, "{seen:?}");
    assert!(matches!(node.wait_end(key(1)).outcome, Outcome::NotStarted { .. }));

    node.launch(client.take(node.unit(2, &["nosuchcommand"]), 1));
    let seen = client.accept().read_all();
    assert_eq!(seen.err(0), "slurmstepd: error: execve(): nosuchcommand: No such file or directory\n");
    assert_eq!(seen.ends[&0], "2:0");
    node.wait_end(key(2));
}

#[test]
fn cancelling_says_so_on_the_error_stream() {
    let (mut node, client) = (Node::start(CgroupUse::Auto), Client::new());
    node.launch(client.take(node.unit(1, &["sleep", "1000"]), 2));
    let mut connection = client.accept();
    node.wait_started(key(1));
    let message = Some("slurmstepd: error: *** STEP 1.0 ON n1 CANCELLED ***".to_owned());
    let request = muster_runtime::protocol::Request::Terminate { key: key(1), kill_wait_ms: 600_000, message };
    node.send(request);
    let seen = connection.read_all();
    assert!(seen.ending, "the client was not told that somebody else ends the step");
    assert_eq!(seen.err(ALL_RANKS), "slurmstepd: error: *** STEP 1.0 ON n1 CANCELLED ***\n");
    assert_eq!(seen.ends.values().collect::<Vec<_>>(), ["0:15", "0:15"]);
    node.wait_end(key(1));
}

#[test]
fn rank_0_gets_a_terminal() {
    let (mut node, client) = (Node::start(CgroupUse::Auto), Client::new());
    let script = "tty >/dev/null && stty size; trap 'stty size; exit 3' WINCH; echo ready; read a; echo got $a; \
        while :; do sleep 0.01; done";
    let mut unit = client.take(node.unit(1, &["bash", "-c", script]), 1);
    unit.pty = Some((33, 99));
    node.launch(unit);
    let mut connection = client.accept();
    let mut shown = String::new();
    let mut until = |connection: &mut Connection, word: &str| {
        while !shown.contains(word) {
            match connection.next() {
                Some(Frame::Stdout { rank: 0, bytes }) => shown.push_str(&String::from_utf8_lossy(&bytes)),
                Some(Frame::Started { .. } | Frame::Taken { .. }) => {}
                other => panic!("{other:?} after {shown:?}"),
            }
        }
        std::mem::take(&mut shown)
    };
    assert_eq!(until(&mut connection, "ready\r\n"), "33 99\r\nready\r\n");
    connection.stdin(0, b"word\n");
    assert_eq!(until(&mut connection, "got word\r\n"), "word\r\ngot word\r\n", "the terminal echoes");
    connection.send(Frame::WindowSize { rows: 40, columns: 120 });
    let seen = connection.read_all();
    assert_eq!((seen.out(0).as_str(), seen.ends[&0].as_str()), ("40 120\r\n", "3:0"));
    node.wait_end(key(1));
}

#[test]
fn control_c_on_the_terminal_interrupts() {
    let (mut node, client) = (Node::start(CgroupUse::Auto), Client::new());
    let mut unit = client.take(node.unit(1, &["sleep", "1000"]), 1);
    unit.pty = Some((24, 80));
    node.launch(unit);
    let mut connection = client.accept();
    node.wait_started(key(1));
    connection.stdin(0, &[3]);
    assert_eq!(connection.read_all().ends[&0], "0:2");
    node.wait_end(key(1));
}

#[test]
fn signals_pass_input_that_nobody_takes() {
    let (mut node, client) = (Node::start(CgroupUse::Auto), Client::new());
    let command = ["sh", "-c", "trap 'exit 3' USR1; echo ready; while :; do sleep 0.05; done"];
    node.launch(client.take(node.unit(1, &command), 1));
    let mut connection = client.accept();
    assert_eq!(connection.hello.version, wire::WIRE_VERSION);
    let chunk = vec![b'x'; wire::PAYLOAD_BYTES_MAX];
    (0..wire::INPUT_WINDOW_BYTES / chunk.len()).for_each(|_| connection.stdin(0, &chunk));
    while !matches!(connection.next(), Some(Frame::Stdout { .. })) {}
    connection.send(Frame::Signal { rank: 0, signal: 10 });
    assert_eq!(connection.read_all().ends[&0], "3:0");
    assert_eq!(node.wait_end(key(1)).exit, ExitStatus::exited(3));
}

#[test]
fn input_that_is_taken_is_told() {
    let (mut node, client) = (Node::start(CgroupUse::Auto), Client::new());
    node.launch(client.take(node.unit(1, &["wc", "-c"]), 2));
    let mut connection = client.accept();
    let chunk = vec![b'x'; wire::PAYLOAD_BYTES_MAX];
    let mut room = wire::INPUT_WINDOW_BYTES;
    for _ in 0..64 {
        while room < chunk.len() {
            if let Some(Frame::Taken { bytes }) = connection.next() {
                room += bytes as usize;
            }
        }
        room -= chunk.len();
        connection.stdin(ALL_RANKS, &chunk);
    }
    connection.stdin(ALL_RANKS, b"");
    let seen = connection.read_all();
    for rank in 0..2 {
        assert_eq!(seen.out(rank).trim(), (64 * chunk.len()).to_string());
    }
    assert!(node.wait_end(key(1)).exit.is_success());
}

#[test]
fn libraries_of_tasks_are_answered() {
    let (mut node, client) = (Node::start(CgroupUse::Auto), Client::new());
    let ask = "say() { echo \"cmd=$1\" >&$PMI_FD; read -r answer <&$PMI_FD; echo $answer; }; \
        say 'init pmi_version=1 pmi_subversion=1'; say \"put kvsname=x key=k$PMI_RANK value=v$PMI_RANK\"; \
        say barrier_in; say 'get kvsname=x key=far'; say finalize; echo $PMI_RANK $PMI_SIZE $PMI_JOBID";
    let mut unit = client.take(node.unit(1, &["bash", "-c", ask]), 2);
    unit.pmi = Some(muster_runtime::pmi::StepFacts {
        step_name: "1.0".into(),
        tasks: 3,
        process_mapping: "(vector,(0,1,2),(1,1,1))".into(),
    });
    node.launch(unit);
    let mut connection = client.accept();
    let mut values = Vec::new();
    loop {
        match connection.next() {
            Some(Frame::Values { bytes }) => values.extend(bytes),
            Some(Frame::Fence) => break,
            Some(_) => {}
            None => panic!("no fence"),
        }
    }
    assert!(values == b"k0\0v0\0k1\0v1\0" || values == b"k1\0v1\0k0\0v0\0", "{values:?}");
    values.extend(b"far\0away\0");
    connection.send(Frame::Values { bytes: values });
    connection.send(Frame::Fence);
    let seen = connection.read_all();
    for rank in 0..2 {
        let end =
            format!("cmd=barrier_out rc=0\ncmd=get_result rc=0 value=away\ncmd=finalize_ack rc=0\n{rank} 3 1.0\n");
        assert!(seen.out(rank).ends_with(&end), "{}\n{}", seen.out(rank), seen.err(rank));
    }
    assert!(node.wait_end(key(1)).exit.is_success());
}
