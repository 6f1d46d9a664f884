//! The document that says what to run: the only thing the runner is told.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use russh::keys::PublicKey;
use serde::{Deserialize, Serialize};

/// Longest document in bytes: far more than environments and keys need.
const DOCUMENT_BYTES_MAX: u64 = 16 << 20;

/// One command, and who may watch or visit it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Program and arguments. A program without a slash is looked for in the PATH of `environment`.
    pub command: Vec<String>,
    /// Set over what the image sets; secrets come this way too.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Name or number of the user in the image's `/etc/passwd`, `USER:GROUP` too; without it the user of the runner.
    #[serde(default)]
    pub user: Option<String>,
    /// Where the command starts; made when it is missing. Without it the image's own.
    #[serde(default)]
    pub working_directory: Option<PathBuf>,
    /// Whether the command gets a terminal, as people expect of progress bars and colours.
    #[serde(default = "yes")]
    pub terminal: bool,
    /// Seconds between the request to end (SIGTERM) and the end (SIGKILL).
    #[serde(default = "grace_seconds")]
    pub grace_seconds: u64,
    /// The SSH server, if one is wanted.
    #[serde(default)]
    pub ssh: Option<Ssh>,
    /// The address of the websocket of live logs, if one is wanted.
    #[serde(default)]
    pub logs: Option<SocketAddr>,
    /// A file into which the addresses that were taken are written, as JSON with `ssh` and `logs`; without it stderr tells them.
    #[serde(default)]
    pub announce: Option<PathBuf>,
}

/// Who may come in, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ssh {
    /// The address to listen on; port 0 takes a free one, which is said on stderr.
    pub address: SocketAddr,
    /// Public keys, one `authorized_keys` line each, without options.
    pub authorized_keys: Vec<String>,
    /// A private key in OpenSSH's form; without it a new one is made for this container.
    #[serde(default)]
    pub host_key: Option<String>,
}

impl Ssh {
    /// The keys that open the door.
    ///
    /// # Errors
    /// A line that is no public key: which one.
    pub fn keys(&self) -> Result<Vec<PublicKey>> {
        let lines = self.authorized_keys.iter().map(|line| line.trim()).enumerate();
        lines
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
            .map(|(at, line)| {
                PublicKey::from_openssh(line).with_context(|| {
                    format!("ssh.authorized_keys[{at}] is no public key in OpenSSH's form (options are not understood)")
                })
            })
            .collect()
    }
}

fn yes() -> bool {
    true
}

/// Docker's own time between `docker stop` and the kill.
fn grace_seconds() -> u64 {
    10
}

/// Reads the document `name` (`-`: standard input), and removes its file unless `is_kept`.
///
/// # Errors
/// When it cannot be read, is too long, or is no valid document: what is wrong with it.
pub fn read(name: &str, is_kept: bool) -> Result<Job> {
    let mut text = String::new();
    let mut source: Box<dyn Read> = match name {
        "-" => Box::new(std::io::stdin()),
        path => Box::new(std::fs::File::open(path).with_context(|| format!("cannot open the job {path}"))?),
    };
    source
        .by_ref()
        .take(DOCUMENT_BYTES_MAX)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read {name}"))?;
    if name != "-" && !is_kept {
        // A mount that is read only, or a file that is a mount itself, cannot be removed: whoever placed it there does.
        let _ = std::fs::remove_file(name);
    }
    parse(&text).with_context(|| format!("{name} is no valid job"))
}

/// Reads and checks the text of a document.
///
/// # Errors
/// What is wrong with it, and where.
pub fn parse(text: &str) -> Result<Job> {
    let job: Job = serde_json::from_str(text)?;
    ensure!(job.command.first().is_some_and(|program| !program.is_empty()), "command is empty");
    let words = job.command.iter().chain(job.environment.keys()).chain(job.environment.values());
    ensure!(words.into_iter().all(|word| !word.contains('\0')), "a NUL in command or environment");
    let mut names = job.environment.keys();
    ensure!(names.all(|name| !name.is_empty() && !name.contains('=')), "a variable's name is empty or has a `=`");
    if let Some(ssh) = &job.ssh {
        ssh.keys()?;
    }
    Ok(job)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_document_has_useful_defaults() {
        let job = parse(r#"{"command": ["true"]}"#).unwrap();
        assert!(job.terminal && job.ssh.is_none() && job.logs.is_none() && job.user.is_none());
        assert_eq!(job.grace_seconds, 10);
    }

    #[test]
    fn faults_are_named() {
        let fault = |text: &str| format!("{:#}", parse(text).unwrap_err());
        assert_eq!(fault(r#"{"command": []}"#), "command is empty");
        assert!(fault(r#"{"command": ["a"], "wrong": 1}"#).contains("unknown field `wrong`"));
        assert!(fault(r#"{"command": ["a"], "environment": {"A=B": "c"}}"#).contains("variable's name"));
        let text = r#"{"command": ["a"], "ssh": {"address": "127.0.0.1:0", "authorized_keys": ["", "ssh-rsa !"]}}"#;
        assert!(fault(text).contains("authorized_keys[1]"), "{}", fault(text));
    }

    #[test]
    fn a_document_with_secrets_does_not_stay() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("job.json");
        std::fs::write(&path, r#"{"command": ["true"]}"#).unwrap();
        read(path.to_str().unwrap(), true).unwrap();
        assert!(path.exists());
        read(path.to_str().unwrap(), false).unwrap();
        assert!(!path.exists());
    }
}
