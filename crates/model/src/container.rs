//! What a user says of the container in which a script or the tasks of a step run.
//!
//! The words and their meaning are those of pyxis, the plugin by which Slurm sites run Docker images. The document
//! travels unchanged from submit to the node; only whoever executes looks inside.

use serde::{Deserialize, Serialize};

/// The container of a script or a step.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerRequest {
    /// `--container-image`, as written: `[USER@][REGISTRY#]IMAGE[:TAG]`. `None` takes a named container that is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// `--container-name`: the container stays on the node and is used again under this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<ContainerName>,
    /// `--container-mounts`, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<ContainerMount>,
    /// `--container-workdir`; `None` takes that of the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub work_dir: Option<String>,
    /// `--container-mount-home`: the home directory of the user is there too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub mount_home: bool,
    /// `--container-entrypoint`: programs are started by the entry point of the image.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub entrypoint: bool,
    /// `--no-container-entrypoint`: they are not, whatever the site wants.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_entrypoint: bool,
    /// `--container-readonly`: the file system of the image cannot be written to.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// All devices of the node are there, and nothing that the image has is restricted; only for jobs of root.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub privileged: bool,
    /// `--container-env`: names of variables that keep the value of the submit where the image has one too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<String>,
    /// The runner starts the script in it, on a terminal; without it the script is started as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runner: Option<Box<RunnerRequest>>,
}

/// A variable of a job with what the registry of its image is to be told, a document with `username` and `password`. Nobody else
/// can read variables of jobs; the node takes it out before anything is started.
pub const REGISTRY_AUTH: &str = "MUSTER_REGISTRY_AUTH";

/// How the runner starts a script in a container: by a login shell, on a terminal, with an SSH server beside it. Environment,
/// script and arguments are those of the job. Everybody can read this, so nothing in it is a secret.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunnerRequest {
    /// Name or number of a user of the image, `USER:GROUP` too; only jobs of root can have another than their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Size of its own `/dev/shm`; `None` for that of the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shm_megabytes: Option<u64>,
    /// Who may come in by SSH: public keys, one line of `authorized_keys` each. None for no server.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub authorized_keys: Vec<String>,
    /// `NAME=value` of `HOME`, `SHELL`, `USER` and `LOGNAME`, which else are those of the image.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub account_variables: Vec<String>,
}

/// The name of a container that is kept, and what is expected of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerName {
    /// The name; each user has names of his own.
    pub name: String,
    /// What is expected.
    pub mode: NameMode,
    /// How long it stays: the site's choice, which each node puts in.
    #[serde(default, skip_serializing_if = "NameScope::is_global")]
    pub scope: NameScope,
}

/// How long a named container stays (`container_scope` of pyxis).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameScope {
    /// Until somebody removes it; any job of the user can use it.
    #[default]
    Global,
    /// As long as its job, which alone can use it.
    Job,
}

impl NameScope {
    fn is_global(&self) -> bool {
        *self == NameScope::Global
    }
}

/// Whether a named container has to be there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameMode {
    /// Used if it is there, else made.
    #[default]
    Auto,
    /// It must not be there yet.
    Create,
    /// It must be there, and something must run in it.
    Exec,
    /// Nothing may run in it.
    NoExec,
}

impl NameMode {
    /// Its word in `--container-name=NAME:WORD`; `None` for no word that is known.
    pub fn parse(word: &str) -> Option<NameMode> {
        match word {
            "" | "auto" => Some(NameMode::Auto),
            "create" => Some(NameMode::Create),
            "exec" => Some(NameMode::Exec),
            "no_exec" => Some(NameMode::NoExec),
            _ => None,
        }
    }
}

/// What is mounted into a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerMount {
    /// From where.
    pub source: MountSource,
    /// Path in the container.
    pub target: String,
    /// Nothing can be written through it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// No program can be executed from it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_execute: bool,
    /// Without what is mounted below the source.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shallow: bool,
    /// What the node mounts below the source later appears in the container (`rslave`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub follows: bool,
}

/// From where something is mounted into a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountSource {
    /// A file or directory of the node; a relative one lies in the directory of the job.
    Path(String),
    /// A new file system in memory.
    Memory,
    /// Nothing: what is mounted there is taken away.
    Unmount,
}

/// How a site runs bundles of OCI containers: what a node needs of its `oci.conf`. Commands are lines of the shell with Slurm's
/// patterns in them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OciSettings {
    /// `RunTimeRun`; without it no bundle can be run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// `RunTimeKill`: kills what is left of a container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kill: Option<String>,
    /// `RunTimeDelete`: removes what is left of a container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete: Option<String>,
    /// `ContainerPath`: the directory of a step's generated files, where that is not in the spool directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_path: Option<String>,
    /// `CreateEnvFile`: what ends each variable in the file of the environment; `None` for no file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment_file: Option<char>,
    /// `DisableCleanup`: the generated files stay.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub keep_files: bool,
    /// `IgnoreFileConfigJson`: the description in a bundle is neither read nor written.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ignores_description: bool,
    /// `DisableHooks`: kinds of hooks that are taken out of a bundle's description.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hooks_disabled: Vec<String>,
    /// `EnvExclude`: a POSIX extended expression for `NAME=value` of what containers do not get of the job's environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excluded: Option<String>,
    /// `RunTimeEnvExclude`: the same for the runtime itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excluded_of_runtime: Option<String>,
    /// `MountSpoolDir`: where the batch script lies in a container.
    pub spool_mount: String,
}

/// Propagations and other words that say what holds anyway.
const MOOT_FLAGS: [&str; 11] = [
    "rw",
    "rbind",
    "private",
    "rprivate",
    "nosuid",
    "nodev",
    "dev",
    "exec",
    "x-create=auto",
    "x-create=dir",
    "x-create=file",
];

impl ContainerMount {
    /// Reads `SOURCE[:TARGET[:FLAG[+FLAG…]]]`.
    ///
    /// # Errors
    /// What pyxis says of it.
    pub fn parse(text: &str) -> Result<ContainerMount, String> {
        let invalid = || format!("--container-mounts: invalid format: {text}");
        let mut parts = text.splitn(3, ':');
        let source = parts.next().filter(|source| !source.is_empty()).ok_or_else(invalid)?;
        let target = parts.next().unwrap_or(source);
        if target.is_empty() {
            return Err(invalid());
        }
        let could_not = |why: &str| format!("could not add mount entry: {source}:{target}: {why}");
        let source = match source {
            "tmpfs" => MountSource::Memory,
            "umount" => MountSource::Unmount,
            path if path.starts_with(['.', '/']) => MountSource::Path(path.to_owned()),
            _ => {
                let why = "mount source must be a relative path, an absolute path, \"tmpfs\" or \"umount\"";
                return Err(could_not(why));
            }
        };
        if !target.starts_with(['.', '/']) {
            return Err(could_not("mount target must be a relative path or an absolute path"));
        }
        let mut mount = ContainerMount {
            source,
            target: target.to_owned(),
            read_only: false,
            no_execute: false,
            shallow: false,
            follows: false,
        };
        for flag in parts.next().unwrap_or_default().split('+').filter(|flag| !flag.is_empty()) {
            match flag {
                "ro" => mount.read_only = true,
                "noexec" => mount.no_execute = true,
                "bind" => mount.shallow = true,
                "slave" | "rslave" => mount.follows = true,
                moot if MOOT_FLAGS.contains(&moot) => {}
                other => return Err(could_not(&format!("the flag {other} is not supported"))),
            }
        }
        Ok(mount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let shown = match ContainerMount::parse(text) {
            Ok(mount) => serde_json::to_string(&mount).unwrap(),
            Err(error) => error,
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn mounts_are_read_as_pyxis_reads_them() {
        check("/data", r#"{"source":{"path":"/data"},"target":"/data"}"#);
        check("./a:/b:ro+rslave", r#"{"source":{"path":"./a"},"target":"/b","read_only":true,"follows":true}"#);
        check("/a:/b:rw+rprivate", r#"{"source":{"path":"/a"},"target":"/b"}"#);
        check("tmpfs:/x:noexec", r#"{"source":"memory","target":"/x","no_execute":true}"#);
        check("umount:/x", r#"{"source":"unmount","target":"/x"}"#);
        check("", "--container-mounts: invalid format: ");
        check("/a:", "--container-mounts: invalid format: /a:");
        check(
            "vol:/x",
            "could not add mount entry: vol:/x: mount source must be a relative path, an absolute path, \"tmpfs\" or \"umount\"",
        );
        check("/a:b", "could not add mount entry: /a:b: mount target must be a relative path or an absolute path");
        check("/a:/b:rshared", "could not add mount entry: /a:/b: the flag rshared is not supported");
    }

    #[test]
    fn a_request_with_nothing_said_is_small() {
        let request = ContainerRequest { image: Some("a".into()), ..ContainerRequest::default() };
        assert_eq!(serde_json::to_string(&request).unwrap(), r#"{"image":"a"}"#);
        assert_eq!(serde_json::from_str::<ContainerRequest>(r#"{"image":"a"}"#).unwrap(), request);
    }
}
