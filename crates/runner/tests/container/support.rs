//! A runner with a command of its own, and the real clients that visit it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use tempfile::TempDir;

/// A started runner; it is killed with this.
pub struct Runner {
    pub child: Child,
    pub directory: TempDir,
    pub ssh_port: u16,
    pub logs: Option<String>,
    output: Option<std::thread::JoinHandle<Vec<u8>>>,
}

/// The user who runs the tests, by name.
pub fn user() -> String {
    String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap().trim().to_owned()
}

impl Runner {
    /// Starts a runner whose command is the shell line `line`, with `more` fields in its document.
    pub fn start(line: &str, more: &[(&str, &str)]) -> Runner {
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("key");
        let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status().unwrap();
        assert!(made.success());
        let public = fs::read_to_string(key.with_extension("pub")).unwrap();
        let mut document = format!(
            r#"{{"command": ["/bin/sh", "-c", {line:?}], "ssh": {{"address": "127.0.0.1:0", "authorized_keys": [{:?}]}},
               "environment": {{"TOLD": "by the job"}}"#,
            public.trim()
        );
        for (name, value) in more {
            document.push_str(&format!(", \"{name}\": {value}"));
        }
        document.push('}');
        let job = directory.path().join("job.json");
        fs::write(&job, document).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_muster-runner"))
            .args(["run", "--job"])
            .arg(&job)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut next = |before: &str| {
            let mut line = String::new();
            said.read_line(&mut line).unwrap();
            line.trim().strip_prefix(before).unwrap_or_else(|| panic!("{line:?} is no {before:?}")).to_owned()
        };
        let ssh_port = next("muster-runner: ssh on 127.0.0.1:").parse().unwrap();
        let logs = more.iter().any(|(name, _)| *name == "logs").then(|| next("muster-runner: logs on "));
        std::thread::spawn(move || said.read_to_end(&mut Vec::new()));
        let mut output = child.stdout.take().unwrap();
        let output = std::thread::spawn(move || {
            let mut all = Vec::new();
            output.read_to_end(&mut all).unwrap();
            all
        });
        let runner = Runner { child, directory, ssh_port, logs, output: Some(output) };
        runner.write_client_configuration(&key);
        runner
    }

    fn write_client_configuration(&self, key: &Path) {
        let text = format!(
            "Host here\n HostName 127.0.0.1\n Port {}\n User {}\n IdentityFile {}\n IdentitiesOnly yes\n \
             StrictHostKeyChecking no\n UserKnownHostsFile /dev/null\n LogLevel ERROR\n BatchMode yes\n",
            self.ssh_port,
            user(),
            key.display()
        );
        fs::write(self.configuration(), text).unwrap();
    }

    /// The configuration of the SSH clients, whose host is `here`.
    pub fn configuration(&self) -> PathBuf {
        self.directory.path().join("config")
    }

    /// One of OpenSSH's clients with that configuration.
    pub fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("-F").arg(self.configuration()).stdin(Stdio::null());
        command
    }

    /// What `ssh here LINE` says and how it ends.
    pub fn ssh(&self, line: &str) -> Output {
        self.client("ssh").args(["here", line]).output().unwrap()
    }

    /// Waits for the end; what the command wrote, and how the runner ended.
    pub fn finish(mut self) -> (String, ExitStatus) {
        let status = self.child.wait().unwrap();
        let output = self.output.take().unwrap().join().unwrap();
        (String::from_utf8(output).unwrap(), status)
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The text of an output, both streams and the code.
pub fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace("\r\n", "\n");
    format!("{}|{}|{:?}", text(&output.stdout), text(&output.stderr), output.status.code())
}
