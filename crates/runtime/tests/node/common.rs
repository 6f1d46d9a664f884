//! A supervisor of its own in a temporary directory, and the agent's side of it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use muster_model::ids::{BlobId, JobId, RestartCount, StepId};
use muster_runtime::client::{self, NoticeReader, RequestWriter};
use muster_runtime::protocol::{Hello, Notice, Request, environment_blob};
use muster_runtime::supervisor::{CgroupUse, Options};
use muster_runtime::unit::{LaunchUnit, Output, Streams, UnitEnd, UnitKey, UnitUser};

/// Longest wait for anything; only a failing test waits so long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running supervisor with a connected agent. Ends with everything it runs when dropped.
pub struct Node {
    pub dir: tempfile::TempDir,
    pub requests: RequestWriter,
    pub notices: NoticeReader,
    pub hello: Hello,
    options: Options,
}

impl Node {
    /// Starts a supervisor.
    pub fn start(cgroup: CgroupUse) -> Node {
        Node::start_in(&std::env::temp_dir(), cgroup)
    }

    /// The same with its directory in `parent`.
    pub fn start_in(parent: &Path, cgroup: CgroupUse) -> Node {
        let dir = tempfile::tempdir_in(parent).expect("temporary directory");
        let options = Options { cgroup, ..Options::default() };
        let (requests, notices, hello) = connect(dir.path(), &options);
        let node = Node { dir, requests, notices, hello, options };
        let environment = environment_blob(["PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/", "GREETING=hi"]);
        node.requests.put(&blob("environment"), &environment).expect("put");
        node
    }

    /// Connects anew, starting a supervisor if none runs.
    pub fn reconnect(&mut self) {
        (self.requests, self.notices, self.hello) = connect(self.dir.path(), &self.options);
    }

    /// A file in the node's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Content of a file in the node's directory; empty where there is none.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// A batch unit that runs `script` (`#!/bin/bash` is added) with output in `out`.
    pub fn batch(&self, job: u32, script: &str) -> LaunchUnit {
        let id = format!("script {job}");
        self.requests.put(&blob(&id), format!("#!/bin/bash\n{script}\n").as_bytes()).expect("put");
        LaunchUnit { script: Some(blob(&id)), ..self.unit(job, &[]) }
    }

    /// A unit that runs `command` once with output in `out`.
    pub fn unit(&self, job: u32, command: &[&str]) -> LaunchUnit {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        LaunchUnit {
            environment: Some(blob("environment")),
            streams: Streams { output: Output::File("out".into()), ..Streams::default() },
            ..LaunchUnit::new(key(job), own_user(), self.dir.path().display().to_string(), command)
        }
    }

    /// Sends a request.
    pub fn send(&self, request: Request) {
        self.requests.send(&request).expect("send");
    }

    /// Launches a unit.
    pub fn launch(&self, unit: LaunchUnit) {
        self.send(Request::Launch(Box::new(unit)));
    }

    /// The next notice that is no sample.
    pub fn next(&mut self) -> Notice {
        self.notices.next_within(PATIENCE).expect("notice").expect("supervisor is there")
    }

    /// Waits until `key` has started; gives its process numbers.
    pub fn wait_started(&mut self, wanted: UnitKey) -> Vec<u32> {
        loop {
            match self.next() {
                Notice::Started { key, pids, .. } if key == wanted => {
                    return pids.iter().map(|(_, pid)| *pid).collect();
                }
                Notice::Ended(end) if end.key == wanted => panic!("ended before it started: {end:?}"),
                _ => {}
            }
        }
    }

    /// Waits for the end of `key` and acknowledges it.
    pub fn wait_end(&mut self, wanted: UnitKey) -> UnitEnd {
        loop {
            match self.next() {
                Notice::Ended(end) if end.key == wanted => {
                    self.send(Request::Acknowledge { keys: vec![wanted] });
                    return *end;
                }
                Notice::Refused { key, why } if key == wanted => panic!("refused: {why:?}"),
                _ => {}
            }
        }
    }

    /// Launches and waits for the end.
    pub fn run(&mut self, unit: LaunchUnit) -> UnitEnd {
        let key = unit.key;
        self.launch(unit);
        self.wait_end(key)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.requests.send(&Request::Retire { kill: true });
        let deadline = Instant::now() + Duration::from_secs(10);
        while let Ok(Some(_)) = self.notices.next_within(deadline.saturating_duration_since(Instant::now())) {}
    }
}

fn connect(dir: &Path, options: &Options) -> (RequestWriter, NoticeReader, Hello) {
    let program = [env!("CARGO_BIN_EXE_muster-supervisor").into()];
    client::connect_or_start(dir, &program, options).unwrap_or_else(|error| {
        let log = std::fs::read_to_string(dir.join("supervisor.log")).unwrap_or_default();
        panic!("{error}\n{log}")
    })
}

/// The batch step of the first start of `job`.
pub fn key(job: u32) -> UnitKey {
    UnitKey { job_id: JobId(job), restart: RestartCount(0), step: StepId::Batch }
}

/// A blob's name.
pub fn blob(name: &str) -> BlobId {
    BlobId(name.into())
}

/// The user who runs the tests.
pub fn own_user() -> UnitUser {
    // SAFETY: neither call can fail.
    unsafe { UnitUser { uid: libc::geteuid(), gid: libc::getegid(), groups: Vec::new() } }
}

/// Whether a process is there and no zombie.
pub fn lives(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}

/// Waits until `condition` holds.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long for: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// Reads a number from a file that a job writes.
pub fn pid_in(path: &Path) -> u32 {
    let mut pid = None;
    wait_until("a process number in a file", || {
        pid = std::fs::read_to_string(path)
            .ok()
            .filter(|text| text.ends_with('\n'))
            .and_then(|text| text.trim().parse().ok());
        pid.is_some()
    });
    pid.unwrap_or_default()
}

/// The kind of an error, for short assertions.
pub fn kind<T>(result: io::Result<T>) -> Option<io::ErrorKind> {
    result.err().map(|error| error.kind())
}
