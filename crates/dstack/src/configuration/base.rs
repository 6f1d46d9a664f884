//! What tasks, services and dev environments have in common.

use serde::{Serialize, Serializer};

use super::resources::Resources;
use crate::document::{Fields, Node, Path, Problems, Read, Value};
use crate::values::{Env, FileMapping, Mount, RepoSpec, words};

words! {
    /// Version of Python in dstack's own image.
    PythonVersion {
        /// 3.9
        Py39 = "3.9",
        /// 3.10
        Py310 = "3.10",
        /// 3.11
        Py311 = "3.11",
        /// 3.12
        Py312 = "3.12",
        /// 3.13
        Py313 = "3.13",
        /// 3.14
        Py314 = "3.14",
        /// 3.15
        Py315 = "3.15",
    }
}

/// Reads a version; `3.1` is what a JSON number makes of 3.10.
pub(super) fn read_python(node: &Node, path: &Path<'_>) -> Result<Option<PythonVersion>, Problems> {
    match (&node.value, node.scalar_text().as_deref()) {
        (Value::Float(_), Some("3.1")) => Ok(Some(PythonVersion::Py310)),
        _ => PythonVersion::read(node, path).map(Some),
    }
}

/// Credentials of a registry.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct RegistryAuth {
    /// User name.
    pub username: String,
    /// Password or token.
    pub password: String,
}

/// Without the password.
impl std::fmt::Debug for RegistryAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegistryAuth").field("username", &self.username).finish_non_exhaustive()
    }
}

impl Read for RegistryAuth {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let mut fields = Fields::open(node, path)?;
        let pair = fields.required("username").zip(fields.required("password"));
        fields.finish(pair.map(|(username, password)| RegistryAuth { username, password }))
    }
}

/// The interpreter of the commands. In JSON its word or path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shell(String);

impl Shell {
    /// Absolute path of the program.
    pub fn path(&self) -> String {
        if self.0.starts_with('/') { self.0.clone() } else { format!("/bin/{}", self.0) }
    }
}

impl Read for Shell {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let text = String::read(node, path)?;
        let one_line = !text.contains(char::is_control);
        if one_line && (matches!(text.as_str(), "sh" | "bash") || text.starts_with('/')) {
            return Ok(Shell(text));
        }
        Err(node.problem(path, "must be sh, bash or an absolute path"))
    }
}

impl Serialize for Shell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// `USER[:GROUP]`, each a name or a number. In JSON its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunUser(String);

impl RunUser {
    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The user without the group.
    pub fn user(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }
}

impl Read for RunUser {
    fn read(node: &Node, path: &Path<'_>) -> Result<Self, Problems> {
        let text = String::read(node, path)?;
        let parts: Vec<&str> = text.split(':').collect();
        let is_id = |part: &str| !part.is_empty() && part.parse::<i64>().map_or(true, |id| id >= 0);
        if parts.len() <= 2 && parts.iter().all(|part| is_id(part)) {
            return Ok(RunUser(text));
        }
        Err(node.problem(path, format!("{text:?} is no USER or USER:GROUP")))
    }
}

impl Serialize for RunUser {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// What every run has.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct RunBase {
    /// Name of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Container image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// User in the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<RunUser>,
    /// Whether the container has all rights.
    pub privileged: bool,
    /// Program of the container, split as a shell does; the commands are then its arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<String>,
    /// Directory in which the commands start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Without effect since dstack 0.18.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub home_dir: Option<String>,
    /// Credentials of the image's registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry_auth: Option<RegistryAuth>,
    /// Version of Python in dstack's own image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub python: Option<PythonVersion>,
    /// Whether that image has the CUDA compiler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nvcc: Option<bool>,
    /// Whether only one branch of a repository is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub single_branch: Option<bool>,
    /// Environment variables.
    pub env: Env,
    /// Interpreter of the commands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<Shell>,
    /// What is needed of each node.
    pub resources: Resources,
    /// 0 to 100, higher first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// Mounts.
    pub volumes: Vec<Mount>,
    /// Whether the run can use a container engine of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker: Option<bool>,
    /// Repositories, one at most.
    pub repos: Vec<RepoSpec>,
    /// Files of the user.
    pub files: Vec<FileMapping>,
    /// Whether the run can reach the server.
    pub dstack: bool,
    /// Without effect for tasks and services since dstack 0.18.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub setup: Vec<String>,
}

/// Highest value of `priority`.
pub(crate) const PRIORITY_MAX: u32 = 100;

impl RunBase {
    /// Takes these properties out of a mapping that has others too.
    pub(super) fn take(fields: &mut Fields<'_>) -> RunBase {
        let base = RunBase {
            name: fields.optional("name"),
            image: fields.optional("image"),
            user: fields.optional("user"),
            privileged: fields.or_default("privileged"),
            entrypoint: fields.optional("entrypoint"),
            working_dir: fields.optional("working_dir"),
            home_dir: fields.optional("home_dir"),
            registry_auth: fields.optional("registry_auth"),
            python: fields.optional_with("python", read_python),
            nvcc: fields.optional("nvcc"),
            single_branch: fields.optional("single_branch"),
            env: fields.or_default("env"),
            shell: fields.optional("shell"),
            resources: fields.or_default("resources"),
            priority: fields.optional("priority"),
            volumes: fields.or_default("volumes"),
            docker: fields.optional("docker"),
            repos: fields.or_default("repos"),
            files: fields.or_default("files"),
            dstack: fields.or_default("dstack"),
            setup: fields.or_default("setup"),
        };
        base.check(fields);
        base
    }

    fn check(&self, fields: &mut Fields<'_>) {
        if let Some(name) = &self.name
            && !is_run_name(name)
        {
            fields.problem("name", RUN_NAME_RULE);
        }
        if self.priority.is_some_and(|priority| priority > PRIORITY_MAX) {
            fields.problem("priority", "goes from 0 to 100");
        }
        if self.repos.len() > 1 {
            fields.problem("repos", "one repository at most");
        }
        if self.image.is_some() && self.python.is_some() {
            fields.problem("python", "image and python exclude each other");
        }
        if self.docker == Some(true) {
            let excluded =
                [("image", self.image.is_some()), ("python", self.python.is_some()), ("nvcc", self.nvcc == Some(true))];
            for (name, _) in excluded.iter().filter(|(_, given)| *given) {
                fields.problem("docker", format!("{name} and docker exclude each other"));
            }
        }
    }
}

/// What is wrong with a name that [`is_run_name`] refuses.
pub(crate) const RUN_NAME_RULE: &str = "a name has 2 to 41 small letters, digits and `-`, and begins with a letter";

/// Whether runs, fleets and volumes may have that name.
pub(crate) fn is_run_name(name: &str) -> bool {
    (2..=41).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Gives unnamed groups their number as name and checks that names are well-formed and different.
pub(super) fn name_groups<'g>(fields: &mut Fields<'_>, names: impl Iterator<Item = &'g mut Option<String>>) {
    let mut known = std::collections::BTreeSet::new();
    for (index, name) in names.enumerate() {
        let name = name.get_or_insert_with(|| index.to_string()).as_str();
        let well_formed = (1..=40).contains(&name.len())
            && !name.starts_with('-')
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !well_formed {
            fields.problem("groups", format!("{name:?} is no name of a group: 1 to 40 small letters, digits and `-`"));
        }
        if !known.insert(name.to_owned()) {
            fields.problem("groups", format!("two groups have the name {name:?}"));
        }
    }
    if known.is_empty() {
        fields.problem("groups", "is empty");
    }
}
