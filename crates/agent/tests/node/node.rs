//! A node of its own in a temporary directory.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use muster_agent::AgentOptions;
use muster_runtime::client;
use muster_runtime::protocol::Request;
use muster_runtime::supervisor::{CgroupUse, Options};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::controller::{Controller, Session, TOKEN};

/// The program whose process is an agent or a supervisor.
const PROGRAM: &str = env!("CARGO_BIN_EXE_muster-agent");

/// Name of the node.
pub const NAME: &str = "n1";

/// A node and its controller. The supervisor and all it runs end with it.
pub struct Node {
    pub dir: tempfile::TempDir,
    pub controller: Controller,
    agent: Option<(oneshot::Sender<()>, JoinHandle<anyhow::Result<()>>)>,
}

impl Node {
    /// A node with an agent that has connected.
    pub async fn start() -> (Node, Session) {
        let mut node = Node::new().await;
        let session = node.start_agent().await;
        (node, session)
    }

    /// A node without agent.
    pub async fn new() -> Node {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("token"), format!("{TOKEN}\n")).unwrap();
        Node { dir, controller: Controller::start().await, agent: None }
    }

    /// Starts an agent in this process.
    pub async fn start_agent(&mut self) -> Session {
        let options = options(self.dir.path(), &self.controller.address.to_string());
        let (stop, stopped) = oneshot::channel();
        let agent = tokio::spawn(muster_agent::run_until(options, async move {
            let _ = stopped.await;
        }));
        self.agent = Some((stop, agent));
        self.controller.session().await
    }

    /// Ends the agent as TERM does.
    pub async fn stop_agent(&mut self) {
        let (stop, agent) = self.agent.take().unwrap();
        stop.send(()).unwrap();
        agent.await.unwrap().unwrap();
    }

    /// Takes the agent away in the middle of whatever it does.
    pub async fn abort_agent(&mut self) {
        let (_stop, agent) = self.agent.take().unwrap();
        agent.abort();
        assert!(agent.await.unwrap_err().is_cancelled());
    }

    /// Starts an agent as a process.
    pub fn spawn_agent(&self) -> Child {
        let path = |name: &str| self.path(name).into_os_string();
        Command::new(PROGRAM)
            .args(["--node-name", NAME, "--cgroup=off", "--no-cpu-binding", "--controller"])
            .arg(self.controller.address.to_string())
            .args(["--token-file".into(), path("token"), "--spool-dir".into(), path("spool")])
            .args(["--tmp-dir".into(), path("")])
            .spawn()
            .unwrap()
    }

    /// Kills the supervisor that started process `pid`.
    pub fn kill_supervisor_of(&self, pid: u32) {
        let read = |pid: &str, file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
        let status = read(&pid.to_string(), "status");
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().to_owned();
        // Never anything else, whatever became of the process.
        assert!(read(&parent, "cmdline").starts_with(PROGRAM), "{pid} does not belong to a supervisor");
        let parent = nix::unistd::Pid::from_raw(parent.parse().unwrap());
        nix::sys::signal::kill(parent, nix::sys::signal::Signal::SIGKILL).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Content of a file; empty where there is none.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Waits until a file is there.
    pub async fn wait_for(&self, name: &str) {
        let there = async {
            while !self.path(name).exists() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(crate::controller::PATIENCE, there)
            .await
            .unwrap_or_else(|_| panic!("{name} did not come"));
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some((_stop, agent)) = self.agent.take() {
            agent.abort();
        }
        let spool = self.dir.path().join("spool");
        if let Ok((requests, mut notices, _)) = client::connect(&spool) {
            let _ = requests.send(&Request::Retire { kill: true });
            while let Ok(Some(_)) = notices.next() {}
        }
    }
}

fn options(dir: &Path, controller: &str) -> AgentOptions {
    let mut options = AgentOptions::new(NAME, controller, dir.join("token"), dir.join("spool")).unwrap();
    options.supervisor = vec![PROGRAM.into(), "supervisor".into()];
    options.supervisor_options = Options { cgroup: CgroupUse::Off, ..Options::default() };
    options.cpu_binding = false;
    options.tmp_dir = dir.to_owned();
    options
}
