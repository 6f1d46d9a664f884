//! A development cluster for tests: started by the real program, used through the real commands, taken down at the end.
#![allow(dead_code, reason = "each test file uses a part of this")]

pub mod bundle;
pub mod docker;
pub mod hang;
pub mod image;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A cluster in a temporary directory.
pub struct Cluster {
    directory: tempfile::TempDir,
    /// What its daemons find in their environment.
    variables: Vec<(String, String)>,
}

/// What a command printed and how it ended.
#[derive(Debug, Clone)]
pub struct Ran {
    pub stdout: String,
    pub stderr: String,
    pub code: i32,
}

impl Cluster {
    /// Starts a cluster with `muster dev up DIR ARGS`.
    pub fn start(args: &[&str]) -> Cluster {
        Cluster::start_as(&std::env::temp_dir(), args, &[])
    }

    /// The same, with variables for its daemons.
    pub fn start_with(args: &[&str], variables: &[(&str, String)]) -> Cluster {
        Cluster::start_as(&std::env::temp_dir(), args, variables)
    }

    /// As [`Cluster::start`], with the directory of the cluster in `parent`.
    pub fn start_in(parent: &Path, args: &[&str]) -> Cluster {
        Cluster::start_as(parent, args, &[])
    }

    /// As [`Cluster::start`], by another program than that of the tests.
    pub fn start_of(program: &Path, args: &[&str]) -> Cluster {
        let cluster = Cluster::new(&std::env::temp_dir(), &[]);
        cluster.up_with(program, args);
        cluster
    }

    fn start_as(parent: &Path, args: &[&str], variables: &[(&str, String)]) -> Cluster {
        let cluster = Cluster::new(parent, variables);
        cluster.up(args);
        cluster
    }

    fn new(parent: &Path, variables: &[(&str, String)]) -> Cluster {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let directory =
            tempfile::Builder::new().prefix("muster-test-").tempdir_in(parent).expect("a temporary directory");
        let cluster = Cluster { directory, variables };
        std::fs::create_dir(cluster.work()).expect("a directory for jobs");
        cluster
    }

    /// `muster dev up` on the same directory.
    pub fn up(&self, args: &[&str]) {
        self.up_with(Path::new(env!("CARGO_BIN_EXE_muster")), args);
    }

    /// `muster dev down`: ends all daemons, keeps the directory.
    pub fn down(&self) {
        let output =
            Command::new(env!("CARGO_BIN_EXE_muster")).args(["dev", "down"]).arg(self.path()).output().unwrap();
        assert!(output.status.success(), "dev down: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// As [`Cluster::up`] by another program.
    pub fn up_with(&self, program: &Path, args: &[&str]) {
        let output = Command::new(program)
            .args(["dev", "up"])
            .arg(self.path())
            .args(args)
            .envs(self.variables.iter().cloned())
            .output()
            .unwrap();
        assert!(output.status.success(), "dev up: {}\n{}", String::from_utf8_lossy(&output.stderr), self.logs());
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Where jobs are submitted and write their output.
    pub fn work(&self) -> PathBuf {
        self.path().join("work")
    }

    /// A shell line pointed at the cluster, run in its work directory.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new("/bin/bash");
        command.arg("-c").arg(line).current_dir(self.work()).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy().into_owned();
            if ["SLURM", "SBATCH_", "SQUEUE_", "SINFO_", "SACCT_", "SALLOC_"]
                .iter()
                .any(|prefix| text.starts_with(prefix))
            {
                command.env_remove(name);
            }
        }
        let path = format!("{}:{}", self.path().join("bin").display(), std::env::var("PATH").unwrap_or_default());
        command.env("PATH", path).env("SLURM_CONF", self.path().join("slurm.conf"));
        command
    }

    /// Runs a shell line to its end.
    pub fn run(&self, line: &str) -> Ran {
        let output = self.command(line).output().expect("bash runs");
        Ran {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code().unwrap_or(-1),
        }
    }

    /// Runs a command that has to wait for an allocation until it says so, and ends it then as `timeout` does, whose exit code it gives.
    pub fn run_until_it_waits(&self, line: &str) -> Ran {
        let [stdout, stderr] = [1, 2].map(|stream| self.work().join(format!("waits-{stream}")));
        let file = |path: &Path| std::fs::File::create(path).expect("a file in the work directory");
        let mut command = self.command(&format!("exec {line}"));
        let mut child = command.stdout(file(&stdout)).stderr(file(&stderr)).spawn().expect("bash runs");
        let told = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        self.wait(&format!("{line} to wait"), || told(&stderr).contains("queued and waiting for resources"));
        let killed = Command::new("kill").arg(child.id().to_string()).status().expect("kill runs");
        assert!(killed.success());
        child.wait().expect("it ends");
        Ran { stdout: told(&stdout), stderr: told(&stderr), code: 124 }
    }

    /// Runs a shell line that must succeed and gives its standard output without the last line end.
    pub fn out(&self, line: &str) -> String {
        let ran = self.run(line);
        assert_eq!(ran.code, 0, "{line}\nstdout: {}\nstderr: {}\n{}", ran.stdout, ran.stderr, self.logs());
        ran.stdout.trim_end_matches('\n').to_owned()
    }

    /// `sbatch --parsable ARGS`; the number.
    pub fn submit(&self, args: &str) -> u32 {
        let text = self.out(&format!("sbatch --parsable {args}"));
        text.parse().unwrap_or_else(|_| panic!("sbatch printed {text:?}"))
    }

    /// State of a job as `scontrol` tells it.
    pub fn state(&self, job: impl std::fmt::Display) -> String {
        let text = self.run(&format!("scontrol -o show job {job}")).stdout;
        let states = text.split_whitespace().find_map(|word| word.strip_prefix("JobState="));
        states.unwrap_or("").to_owned()
    }

    /// Waits until a job is in `state`.
    pub fn wait_state(&self, job: impl std::fmt::Display, state: &str) {
        self.wait(&format!("job {job} to be {state}"), || self.state(&job) == state);
    }

    /// Waits for a condition with a deadline.
    pub fn wait(&self, what: &str, condition: impl FnMut() -> bool) {
        self.wait_within(Duration::from_secs(30), what, condition);
    }

    /// The same with a deadline of one's own.
    pub fn wait_within(&self, limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
        let end = Instant::now() + limit;
        while !condition() {
            assert!(
                Instant::now() < end,
                "not seen in time: {what}\n{}\n{}",
                self.run("squeue; sinfo").stdout,
                self.logs()
            );
            #[expect(clippy::disallowed_methods, reason = "the interval of a wait with a deadline")]
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Writes a file in the work directory.
    pub fn file(&self, name: &str, content: &str) {
        std::fs::write(self.work().join(name), content).expect("a file in the work directory");
    }

    /// Reads a file of the work directory; empty when it does not exist.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.work().join(name)).unwrap_or_default()
    }

    /// Process number of the controller or of a node's agent.
    pub fn pid(&self, name: &str) -> i32 {
        let text = std::fs::read_to_string(self.path().join("run").join(format!("{name}.pid"))).expect("a pid file");
        text.split_whitespace().next().and_then(|pid| pid.parse().ok()).expect("a process number")
    }

    /// `kill -9`, and waits until the process is gone.
    pub fn kill(&self, name: &str) {
        self.end(name, "KILL");
    }

    /// Asks the controller or an agent to stop, as an init system does, and waits until it is gone.
    pub fn stop(&self, name: &str) {
        self.end(name, "TERM");
    }

    fn end(&self, name: &str, signal: &str) {
        let pid = self.signal(name, signal);
        self.wait(&format!("{name} to be gone after {signal}"), || !alive(pid));
    }

    /// Sends a signal to the controller or to a node's agent; its process number.
    pub fn signal(&self, name: &str, signal: &str) -> i32 {
        let pid = self.pid(name);
        let sent = Command::new("kill").args(["-s", signal, &pid.to_string()]).status().expect("kill runs");
        assert!(sent.success());
        pid
    }

    /// The ends of all logs, for messages about failed tests.
    pub fn logs(&self) -> String {
        let mut all = String::new();
        for entry in std::fs::read_dir(self.path().join("log")).into_iter().flatten().flatten() {
            let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            all.push_str(&format!(
                "--- {}\n{}\n",
                entry.path().display(),
                lines[lines.len().saturating_sub(15)..].join("\n")
            ));
        }
        all
    }
}

fn alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(Command::new(env!("CARGO_BIN_EXE_muster")).args(["dev", "down"]).arg(self.path()).output());
    }
}
