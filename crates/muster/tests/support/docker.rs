//! A daemon of Docker or Podman of its own for a test, with an image made of programs of this machine. Nothing of it stays: no process,
//! no mount, no directory.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Which one. The client of Docker talks with both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Docker,
    Podman,
}

/// A daemon in a temporary directory.
pub struct Docker {
    /// Goes last, when nothing is mounted in it any more.
    directory: tempfile::TempDir,
    kind: Kind,
    daemon: Child,
}

/// How the directories of daemons are called.
const PREFIX: &str = "muster-docker-";

/// File in them with the process number of the test.
const OWNER: &str = "owner";

/// Programs of the image.
const PROGRAMS: &str = "sh cat echo id pwd sleep touch true env ls grep stat whoami kill";

impl Docker {
    /// Starts one; `None`, with words on standard error, where none can run: without root, or without the programs.
    pub fn start(kind: Kind) -> Option<Docker> {
        let skipped = |why: &str| eprintln!("SKIPPED: no daemon of {kind:?} for this test: {why}");
        let is_root = shell("test $(id -u) = 0").0;
        let missing = ["docker", kind.program()].into_iter().find(|name| !shell(&format!("command -v {name}")).0);
        if !is_root || missing.is_some() {
            skipped(&missing.map_or("not root".to_owned(), |name| format!("{name} is not installed")));
            return None;
        }
        sweep();
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir().expect("a temporary directory");
        std::fs::write(directory.path().join(OWNER), std::process::id().to_string()).expect("a file");
        let daemon = launch(kind, directory.path());
        let mut docker = Docker { directory, kind, daemon };
        if !docker.is_up() {
            skipped(&std::fs::read_to_string(docker.directory.path().join("log")).unwrap_or_default());
            return None;
        }
        docker.import();
        Some(docker)
    }

    /// Where it listens, as `DOCKER_HOST` says it.
    pub fn host(&self) -> String {
        format!("unix://{}", socket(self.directory.path()).display())
    }

    /// Runs `docker WORDS`, which must succeed; its output.
    pub fn docker(&self, words: &str) -> String {
        let (done, output) = shell(&format!("docker -H {} {words}", self.host()));
        assert!(done, "docker {words}: {output}");
        output
    }

    /// Makes an image of a container.
    pub fn commit(&self, container: &str, image: &str) {
        let client = match self.kind {
            Kind::Docker => format!("docker -H {}", self.host()),
            // What Docker's client says for this has no body, and Podman wants one.
            Kind::Podman => format!("podman --remote --url {}", self.host()),
        };
        let (done, output) = shell(&format!("{client} commit {container} {image}"));
        assert!(done, "commit {container} {image}: {output}");
    }

    /// Where it keeps everything.
    pub fn directory(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    /// Names of all containers.
    pub fn containers(&self) -> Vec<String> {
        self.docker("ps -a --format '{{.Names}}'").lines().map(str::to_owned).collect()
    }

    /// `kill -9`, and a new daemon in its place once `meanwhile` is over.
    pub fn replace(&mut self, meanwhile: impl FnOnce()) {
        self.daemon.kill().expect("the daemon runs");
        self.daemon.wait().expect("the daemon was a child");
        meanwhile();
        // What the killed one could not take away.
        for left in ["docker.pid", "exec/containerd/containerd.pid"] {
            drop(std::fs::remove_file(self.directory.path().join(left)));
        }
        self.daemon = launch(self.kind, self.directory.path());
        assert!(self.is_up(), "the daemon does not come back");
    }

    fn is_up(&mut self) -> bool {
        let end = Instant::now() + Duration::from_secs(60);
        while Instant::now() < end && self.daemon.try_wait().expect("a child").is_none() {
            if shell(&format!("docker -H {} ps", self.host())).0 {
                return true;
            }
            #[expect(clippy::disallowed_methods, reason = "the interval of a wait with a deadline")]
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }

    /// `test:latest`: programs of this machine and their libraries, with a variable and a directory of its own.
    fn import(&self) {
        let root = self.directory.path().join("root");
        let script = format!(
            "set -e; mkdir -p {root}/bin {root}/etc {root}/tmp {root}/here; chmod 1777 {root}/tmp
             for name in {PROGRAMS}; do
                 file=$(command -v $name); case $file in /*) ;; *) file=/bin/$name ;; esac
                 cp -L $file {root}/bin/$name
                 for library in $(ldd $file | grep -o '/[^ ]*'); do
                     mkdir -p {root}$(dirname $library); cp -L $library {root}$library
                 done
             done
             echo root:x:0:0:root:/root:/bin/sh > {root}/etc/passwd
             printf '#!/bin/sh\\necho entered; exec \"$@\"\\n' > {root}/enter; chmod 755 {root}/enter
             tar -C {root} -c . | docker -H {host} import -c 'ENV PATH=/bin' -c 'ENV COLOR=image' \
                 -c 'WORKDIR /here' -c 'ENTRYPOINT [\"/enter\"]' - test",
            root = root.display(),
            host = self.host()
        );
        let (done, output) = shell(&script);
        assert!(done, "making an image: {output}");
    }

    /// Starts a registry that wants `user` and `secret`; the daemon's name for it.
    pub fn registry(&self) -> Option<Registry> {
        if !shell("command -v docker-registry").0 {
            eprintln!("SKIPPED: docker-registry is not installed");
            return None;
        }
        Some(Registry::start(self.directory.path()))
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let names = shell(&format!("docker -H {} ps -aq", self.host())).1.replace('\n', " ");
        if !names.trim().is_empty() {
            shell(&format!("docker -H {} rm -f {names}", self.host()));
        }
        // It takes its own children along, if it lives.
        shell(&format!("kill {}", self.daemon.id()));
        drop(self.daemon.wait());
        take_down(self.directory.path());
    }
}

/// Takes away what the daemon of a directory has left: mounts in any case, processes and mounts of containers where it was killed.
fn take_down(directory: &Path) {
    let own = directory.to_string_lossy().into_owned();
    // Its own helpers name the directory on their command lines; what runs in a container has its root there.
    let is_left = |process: &Path| {
        let read =
            |name: &str| String::from_utf8_lossy(&std::fs::read(process.join(name)).unwrap_or_default()).into_owned();
        let words = read("cmdline");
        let is_helper = ["containerd", "conmon"].iter().any(|name| words.contains(name)) && words.contains(&own);
        let roots = read("mountinfo");
        is_helper || roots.lines().any(|line| line.split(' ').nth(4) == Some("/") && line.contains(&own))
    };
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    for process in processes.filter(|process| is_left(process)) {
        shell(&format!("kill -9 {}", process.file_name().unwrap_or_default().to_string_lossy()));
    }
    let points = mounts(directory);
    // The last mounted first, for one may hide another.
    points.iter().rev().for_each(|point| drop(shell(&format!("umount -l '{point}'"))));
}

/// Where something is mounted in a directory.
pub fn mounts(directory: &Path) -> Vec<String> {
    let table = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(1));
    points.filter(|point| Path::new(point).starts_with(directory)).map(str::to_owned).collect()
}

/// Takes down the daemons of tests that were killed.
fn sweep() {
    let entries = std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    for directory in entries.map(|entry| entry.path()) {
        let is_daemon = directory.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
        let owner = std::fs::read_to_string(directory.join(OWNER)).ok().filter(|_| is_daemon);
        // One without an owner is being made.
        if owner.is_none_or(|owner| owner.is_empty() || Path::new("/proc").join(owner).exists()) {
            continue;
        }
        for name in ["docker.pid", "podman.pid"] {
            if let Ok(pid) = std::fs::read_to_string(directory.join(name)) {
                let daemon =
                    format!("tr '\\0' ' ' < /proc/{pid}/cmdline | grep -qF {} && kill -9 {pid}", directory.display());
                shell(&daemon);
            }
        }
        take_down(&directory);
        drop(std::fs::remove_dir_all(&directory));
    }
}

/// A registry of images on this machine.
pub struct Registry {
    server: Child,
    /// Host and port.
    pub name: String,
}

/// `user` with the password `secret`, as `htpasswd -nbB` writes it.
const PASSWORDS: &str = "user:$2y$05$wxr0M5HAMfraJWDP68v2PuwaI1XaCcSfuBFjmjVbBi7hx72MzW7hO\n";

impl Registry {
    fn start(directory: &Path) -> Registry {
        // The port is free now, and nobody else takes part in this test.
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
        let passwords = directory.join("passwords");
        std::fs::write(&passwords, PASSWORDS).expect("a file of passwords");
        let config = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {0}/registry}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n\
             auth: {{htpasswd: {{realm: test, path: {1}}}}}\n",
            directory.display(),
            passwords.display()
        );
        let path = directory.join("registry.yml");
        std::fs::write(&path, config).expect("a configuration");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&path).stdout(Stdio::null()).stderr(Stdio::null());
        Registry { server: command.spawn().expect("docker-registry runs"), name: format!("127.0.0.1:{port}") }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

fn socket(directory: &Path) -> PathBuf {
    directory.join("docker.sock")
}

impl Kind {
    fn program(self) -> &'static str {
        match self {
            Kind::Docker => "dockerd",
            Kind::Podman => "podman",
        }
    }
}

fn launch(kind: Kind, directory: &Path) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(directory.join("log")).expect("a log");
    let path = |name: &str| directory.join(name);
    let address = format!("unix://{}", socket(directory).display());
    let mut command = Command::new(kind.program());
    match kind {
        Kind::Docker => {
            command.arg("--data-root").arg(path("data")).arg("--exec-root").arg(path("exec"));
            command.arg("--pidfile").arg(path("docker.pid")).arg("-H").arg(address);
            // It is to leave the network of this machine alone.
            command.args(["--iptables=false", "--ip6tables=false", "--bridge=none"]);
        }
        Kind::Podman => {
            // Registries of tests speak plain HTTP.
            let registries = path("registries.conf");
            std::fs::write(&registries, "[[registry]]\nlocation = \"127.0.0.1\"\ninsecure = true\n").expect("a file");
            command.env("CONTAINERS_REGISTRIES_CONF", registries);
            // The other one, crun, refuses machines on which both versions of control groups are in use.
            command
                .args(["--runtime", "runc"])
                .arg("--root")
                .arg(path("data"))
                .arg("--runroot")
                .arg(path("run"))
                .arg("--tmpdir")
                .arg(path("exec"));
            command.args(["system", "service", "--time=0"]).arg(address);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let daemon = command.spawn().unwrap_or_else(|error| panic!("{} does not run: {error}", kind.program()));
    if kind == Kind::Podman {
        std::fs::write(path("podman.pid"), daemon.id().to_string()).expect("a file");
    }
    daemon
}

fn shell(line: &str) -> (bool, String) {
    let output = Command::new("sh").args(["-c", line]).stdin(Stdio::null()).output().expect("sh runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    let said = if output.status.success() { text(&output.stdout) } else { text(&output.stderr) };
    (output.status.success(), said)
}
