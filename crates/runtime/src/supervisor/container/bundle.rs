//! Bundles of OCI containers: a task is started by the site's runtime (crun, runc) in a copy of the bundle's description.
//!
//! The runtime is called as the user, with the streams, control groups and signals of the task; so its end is that of the task.
//! What is left of a container is removed by the runtime too, see [`super::bundle_lease`].

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, lchown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use muster_model::container::OciSettings;
use muster_model::ids::StepId;
use serde_json::{Value, json};

use super::bundle_lease::{self, BundleLease, TaskRemains};
use super::namespace::Words;
use super::pattern;
use crate::supervisor::files::{self, UserRights};
use crate::supervisor::processes::MARK_NAME;
use crate::unit::{BundleLaunch, LaunchUnit};

/// Largest description of a bundle.
const CONFIG_BYTES_MAX: u64 = 16 << 20;

/// Name of the file with the environment, beside the description.
const ENVIRONMENT_FILE: &str = "environment";

/// Held by whoever gives a container a name that its user chose.
static TAKING_NAMES: Mutex<()> = Mutex::new(());

/// One task that is to run in a bundle.
pub(crate) struct BundleTask<'a> {
    pub(crate) unit: &'a LaunchUnit,
    pub(crate) launch: &'a BundleLaunch,
    pub(crate) rank: u32,
    pub(crate) command: &'a [String],
    /// `NAME=value`.
    pub(crate) environment: Vec<String>,
    /// The batch script on the node.
    pub(crate) script: Option<&'a Path>,
    /// It has a terminal.
    pub(crate) terminal: bool,
}

/// How a program that runs a task in a container is called.
pub(crate) struct Call {
    /// Program and arguments.
    pub(crate) command: Vec<String>,
    /// `NAME=value`.
    pub(crate) environment: Vec<String>,
    /// Its standard input, where it is not that of the task.
    pub(crate) input: Option<OwnedFd>,
}

/// What was tried, and the error.
type Failure = (Words, io::Error);

fn failed(doing: impl Into<Words>) -> impl FnOnce(io::Error) -> Failure {
    let doing = doing.into();
    move |error| (doing, error)
}

impl BundleTask<'_> {
    /// Makes the task's own bundle, and gives the call that runs it. What is to be removed afterwards is in `lease` before there is
    /// anything to remove.
    ///
    /// # Errors
    /// What was tried, and the error.
    pub(crate) fn prepare(&self, spool: &Path, lease: &mut Option<BundleLease>) -> Result<Call, Failure> {
        let settings = &self.launch.settings;
        let missing = || io::Error::new(io::ErrorKind::Unsupported, "RunTimeRun is not set");
        let run = settings.run.as_deref().ok_or_else(|| failed("run a container by oci.conf")(missing()))?;
        let given = pattern::without(&self.environment, settings.excluded.as_deref());
        let given = given.map_err(failed("read EnvExclude of oci.conf"))?;
        let own = pattern::without(&self.environment, settings.excluded_of_runtime.as_deref());
        let mut own = own.map_err(failed("read RunTimeEnvExclude of oci.conf"))?;
        // The mark of the unit is not the site's to leave out: by it processes are found.
        let is_mark = |line: &&String| name(line) == MARK_NAME;
        if !own.iter().any(|line| is_mark(&line)) {
            own.extend(self.environment.iter().filter(is_mark).cloned());
        }
        let (config, rootfs, words) = self.description(given.as_slice())?;
        let id =
            self.id().map_err(failed(format!("call a container {}", self.launch.id.as_deref().unwrap_or_default())))?;
        let mut facts = Facts { task: self, bundle: String::new(), rootfs, command: quoted(&words), id };
        let parent = match &settings.container_path {
            Some(pattern) => PathBuf::from(facts.expand(pattern)),
            None => spool.join(directory_name(self.unit)),
        };
        let directory = parent.join(format!("task-{:05}", self.rank));
        facts.bundle = directory.display().to_string();
        let lines = [&settings.kill, &settings.delete].into_iter().flatten();
        let lines = lines.map(|line| facts.line(line)).collect();
        let remains = TaskRemains { directory: directory.clone(), lines, id: facts.id.clone() };
        self.write_down(spool, &parent, &own, remains, lease)?;
        let made = self.make(&parent, &directory, settings.container_path.is_none());
        let written = made.and_then(|()| self.write(&directory, config.as_ref(), &given));
        written.map_err(failed(format!("make the bundle {}", directory.display())))?;
        let command = vec!["/bin/sh".to_owned(), "-c".to_owned(), executed(run, &facts.line(run))];
        Ok(Call { command, environment: own, input: None })
    }

    /// What its container is to be called, where the user says so: tasks that are not alone on the node add their number.
    fn id(&self) -> io::Result<Option<String>> {
        let Some(id) = &self.launch.id else { return Ok(None) };
        // What runtimes take; it is the name of a directory of theirs, and a word of their command lines.
        let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '+' | '-' | '.');
        if !id.chars().all(fits) || id.starts_with(['-', '.']) {
            let text = "only letters, digits and any of _ + - . can be in a name, and the last two not in front";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let is_alone = self.unit.tasks.len() == 1;
        Ok(Some(if is_alone { id.clone() } else { format!("{id}.{}", self.rank) }))
    }

    /// Writes down what is to be removed of the task, unless another unit has a container of that name: then nothing may be removed.
    fn write_down(
        &self,
        spool: &Path,
        parent: &Path,
        environment: &[String],
        remains: TaskRemains,
        lease: &mut Option<BundleLease>,
    ) -> Result<(), Failure> {
        // Names are compared and taken as one.
        let _taking = remains.id.as_ref().map(|_| TAKING_NAMES.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some((id, holder)) =
            remains.id.as_ref().and_then(|id| Some((id, bundle_lease::holder(spool, id, self.unit.key)?)))
        {
            let text = format!("step {} of job {} has one of that name on this node", holder.step, holder.job_id);
            return Err(failed(format!("call a container {id}"))(io::Error::new(io::ErrorKind::AlreadyExists, text)));
        }
        let doing = "write down what is to be removed";
        if lease.is_none() {
            let keep_files = self.launch.settings.keep_files;
            let made = BundleLease::new(spool, self.unit, parent.to_owned(), keep_files, environment.to_vec());
            *lease = Some(made.map_err(failed(doing))?);
        }
        lease.as_mut().map_or(Ok(()), |lease| lease.add(remains)).map_err(failed(doing))
    }

    /// The description for the task (`None` where the site ignores it), the root file system, and the words of the program.
    fn description(&self, environment: &[String]) -> Result<(Option<Value>, String, Vec<String>), Failure> {
        let path = Path::new(&self.launch.path);
        let script = self.script.map(|script| script.display().to_string());
        if self.launch.settings.ignores_description {
            let words = script.into_iter().chain(self.command.iter().cloned()).collect();
            return Ok((None, self.launch.path.clone(), words));
        }
        let mut config = self.read(path).map_err(failed(format!("read {}/config.json", path.display())))?;
        let rootfs = path.join(config["root"]["path"].as_str().unwrap_or("rootfs")).display().to_string();
        let startup = format!("{}/startup", self.launch.settings.spool_mount.trim_end_matches('/'));
        let words: Vec<String> = script.iter().map(|_| startup.clone()).chain(self.command.iter().cloned()).collect();
        let mount = script
            .map(|script| json!({"type": "none", "source": script, "destination": startup, "options": ["bind", "ro"]}));
        let changes = Changes { settings: &self.launch.settings, terminal: self.terminal, environment, words: &words };
        changes.apply(&mut config, &rootfs, mount);
        Ok((Some(config), rootfs, words))
    }

    /// The description of the bundle, with the rights of the user.
    fn read(&self, path: &Path) -> io::Result<Value> {
        let _rights = UserRights::of(&self.unit.user)?;
        let mut bytes = Vec::new();
        // A pipe in its place would keep whoever opens it.
        let file = fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path.join("config.json"))?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "config.json is no file"));
        }
        file.take(CONFIG_BYTES_MAX).read_to_end(&mut bytes)?;
        let config: Value = serde_json::from_slice(&bytes)?;
        let is_sound = config.is_object() && ["process", "root"].iter().all(|key| config[*key].is_object());
        match is_sound {
            true => Ok(config),
            false => Err(io::Error::new(io::ErrorKind::InvalidData, "it has no process or no root")),
        }
    }

    fn write(&self, directory: &Path, config: Option<&Value>, environment: &[String]) -> io::Result<()> {
        if let Some(config) = config {
            self.write_file(&directory.join("config.json"), config.to_string().as_bytes())?;
        }
        if let Some(end) = self.launch.settings.environment_file {
            let lines = environment.iter().filter(|text| !text.contains(end));
            let text: String = lines.map(|text| format!("{text}{end}")).collect();
            self.write_file(&directory.join(ENVIRONMENT_FILE), text.as_bytes())?;
        }
        Ok(())
    }

    /// Makes the directories, which are the user's alone. What an earlier start of the job left is removed. Below the spool `parent`
    /// is made as root; elsewhere directories above may be another's, who could exchange them under us.
    fn make(&self, parent: &Path, directory: &Path, in_spool: bool) -> io::Result<()> {
        let user = &self.unit.user;
        let make = |path: &Path| fs::DirBuilder::new().mode(0o700).create(path);
        if in_spool && owner(parent)?.is_none() {
            make(parent)?;
            if files::must_switch(user) {
                lchown(parent, Some(user.uid), Some(user.gid))?;
            }
        }
        let _rights = UserRights::of(user)?;
        if owner(parent)?.is_none() {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(parent.parent().unwrap_or(parent))?;
            make(parent)?;
        }
        // Another user could put another bundle in its place.
        if !owner(parent)?.is_some_and(|uid| uid == user.uid || uid == 0) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        if owner(directory)? == Some(user.uid) {
            fs::remove_dir_all(directory)?;
        }
        make(directory)
    }

    fn write_file(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        // The directory is the user's by now, who may have put a link there.
        let _rights = UserRights::of(&self.unit.user)?;
        fs::File::options().write(true).create_new(true).mode(0o600).open(path)?.write_all(bytes)
    }
}

/// Who has the directory at `path`; `None` where there is nothing.
fn owner(path: &Path) -> io::Result<Option<u32>> {
    match path.symlink_metadata() {
        Ok(found) if found.is_dir() => Ok(Some(found.uid())),
        Ok(_) => Err(io::ErrorKind::NotADirectory.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What is changed in the description of a bundle, as Slurm does.
struct Changes<'a> {
    settings: &'a OciSettings,
    terminal: bool,
    environment: &'a [String],
    words: &'a [String],
}

impl Changes<'_> {
    /// `config` has a process and a root.
    fn apply(&self, config: &mut Value, rootfs: &str, mount: Option<Value>) {
        config["root"]["path"] = json!(rootfs);
        let process = &mut config["process"];
        process["terminal"] = json!(self.terminal);
        process["args"] = json!(self.words);
        // Behind those of the bundle, which they so override in all runtimes.
        match process["env"].as_array_mut() {
            Some(own) => own.extend(self.environment.iter().map(|line| json!(line))),
            None => process["env"] = json!(self.environment),
        }
        if let Some(mount) = mount {
            match config["mounts"].as_array_mut() {
                Some(mounts) => mounts.push(mount),
                None => config["mounts"] = json!([mount]),
            }
        }
        if let Some(hooks) = config["hooks"].as_object_mut() {
            hooks.retain(|kind, _| !self.settings.hooks_disabled.iter().any(|disabled| disabled == kind));
        }
    }
}

/// What the patterns of `oci.conf` stand for.
struct Facts<'a> {
    task: &'a BundleTask<'a>,
    bundle: String,
    rootfs: String,
    command: String,
    /// What the container is to be called.
    id: Option<String>,
}

impl Facts<'_> {
    /// A command line of the site: with the patterns replaced, and with the name that the user wants where the site makes one up.
    fn line(&self, pattern: &str) -> String {
        let Some(id) = &self.id else { return self.expand(pattern) };
        let words = pattern.split_inclusive(char::is_whitespace).map(|part| {
            let word = part.trim_end();
            let space = part.get(word.len()..).unwrap_or_default();
            if is_made_up(word) { format!("{id}{space}") } else { self.expand(part) }
        });
        words.collect()
    }

    /// Puts what the patterns stand for in their places (man oci.conf, "OCI Pattern").
    fn expand(&self, pattern: &str) -> String {
        let mut text = String::new();
        let mut letters = pattern.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                text.push(letter);
                continue;
            }
            match letters.next() {
                Some('%') => text.push('%'),
                Some('@') => text.push_str(&self.command),
                Some('b') => text.push_str(&self.bundle),
                Some('e') => text.push_str(&format!("{}/{ENVIRONMENT_FILE}", self.bundle)),
                Some('j') => text.push_str(&self.task.unit.key.job_id.to_string()),
                Some('m') => text.push_str(&self.task.launch.settings.spool_mount),
                Some('n') => text.push_str(&self.task.launch.node_name),
                Some('r') => text.push_str(&self.rootfs),
                Some('s') => text.push_str(&step_number(self.task.unit.key.step).to_string()),
                Some('t') => text.push_str(&self.task.rank.to_string()),
                Some('u') => text.push_str(&self.task.launch.user_name),
                Some('U') => text.push_str(&self.task.unit.user.uid.to_string()),
                Some(other) => text.extend(['%', other]),
                None => text.push('%'),
            }
        }
        text
    }
}

/// Whether a word of a command line is a name for a container, which tells job, step and task (`%n.%u.%j.%s.%t`).
fn is_made_up(word: &str) -> bool {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "_+-.%\"'".contains(letter);
    word.chars().all(fits) && !word.starts_with('-') && ["%j", "%s", "%t"].iter().all(|pattern| word.contains(pattern))
}

/// `oci-job00012-00003`, as Slurm names it.
fn directory_name(unit: &LaunchUnit) -> String {
    match unit.key.step {
        StepId::Number(number) => format!("oci-job{:05}-{number:05}", unit.key.job_id.0),
        other => format!("oci-job{:05}-{other}", unit.key.job_id.0),
    }
}

/// Slurm's number of a step: the batch script and its kin have great ones.
fn step_number(step: StepId) -> u32 {
    match step {
        StepId::Number(number) => number,
        StepId::Batch => 0xffff_fffb,
        StepId::Extern => 0xffff_fffc,
        StepId::Interactive | StepId::Prolog | StepId::Epilog => 0xffff_fffa,
    }
}

/// The shell is to become a single command, so that signals for the task reach it. Whether `line` is one is told by its pattern: what
/// that stands for may have such letters in quotes.
fn executed(pattern: &str, line: &str) -> String {
    /// Words that are the shell's own.
    const OF_SHELL: [&str; 5] = ["exec", "eval", "command", ".", "!"];
    let first = pattern.split_whitespace().next().unwrap_or_default();
    let is_program = !first.is_empty() && !first.contains('=') && !OF_SHELL.contains(&first);
    let is_single = !pattern.contains([';', '|', '&', '\n', '<', '>', '(', '{', '`', '#']);
    if is_program && is_single { format!("exec {line}") } else { line.to_owned() }
}

fn quoted(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
    quoted.join(" ")
}

fn name(variable: &str) -> &str {
    variable.split('=').next().unwrap_or_default()
}

/// All variables of a task as lines: those that it shares with others (each ended by NUL), and its own over them.
pub(crate) fn environment_lines(shared: Option<&Arc<[u8]>>, own: &[&[u8]]) -> Vec<String> {
    let own: Vec<_> = own.iter().map(|text| String::from_utf8_lossy(text)).collect();
    let names: std::collections::BTreeSet<&str> = own.iter().map(|text| name(text)).collect();
    let shared = shared.map(|bytes| bytes.split(|byte| *byte == 0)).into_iter().flatten();
    let shared = shared.map(String::from_utf8_lossy).filter(|text| text.contains('=') && !names.contains(name(text)));
    let mut lines: Vec<String> = shared.map(std::borrow::Cow::into_owned).collect();
    for (index, text) in own.iter().enumerate() {
        let is_last = own.iter().skip(index + 1).all(|later| name(later) != name(text));
        if is_last && text.contains('=') {
            lines.push(text.clone().into_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_shell_are_made_single_where_they_are() {
        let same = |line: &str| assert_eq!(executed(line, line), line);
        assert_eq!(executed("crun run %@", "crun run 'a; b'"), "exec crun run 'a; b'");
        same("crun run x; true");
        same("XDG_RUNTIME_DIR=/run/user/%U crun run x");
        same(" exec crun run x");
        same("");
        assert_eq!(quoted(&["it's".to_owned(), "b".to_owned()]), r"'it'\''s' 'b'");
    }

    #[test]
    fn a_name_that_is_made_up_tells_job_step_and_task() {
        let are = |expected: bool, words: &[&str]| {
            words.iter().for_each(|word| assert_eq!(is_made_up(word), expected, "{word}"))
        };
        are(true, &["%n.%u.%j.%s.%t", "a-%j_%s_%t", "\"%j.%s.%t\""]);
        are(
            false,
            &["%j.%s", "/run/%j.%s.%t", "--name=%j.%s.%t", "-%j.%s.%t", "${ID:-%j.%s.%t}", "%j.%s.%t;", "run", ""],
        );
    }

    #[test]
    fn own_variables_replace_shared_ones() {
        let shared: Arc<[u8]> = Arc::from(b"A=1\0B=2\0D=4\0".as_slice());
        let own: [&[u8]; 4] = [b"B=3", b"C=4", b"A", b"C=5"];
        assert_eq!(environment_lines(Some(&shared), &own), ["D=4", "B=3", "C=5"]);
    }

    #[test]
    fn a_description_becomes_that_of_the_task() {
        let mut config = json!({
            "process": {"args": ["sh"], "env": ["PATH=/bin"], "terminal": true}, "root": {"path": "rootfs", "readonly": true},
            "hooks": {"prestart": [], "poststop": []},
        });
        let settings = OciSettings { hooks_disabled: vec!["prestart".into()], ..OciSettings::default() };
        let (environment, words) = (["PATH=/usr/bin".to_owned()], ["a".to_owned()]);
        let changes = Changes { settings: &settings, terminal: false, environment: &environment, words: &words };
        changes.apply(&mut config, "/b/rootfs", Some(json!({"destination": "/x"})));
        assert_eq!(
            config.to_string(),
            r#"{"hooks":{"poststop":[]},"mounts":[{"destination":"/x"}],"process":{"args":["a"],"env":["PATH=/bin","PATH=/usr/bin"],"terminal":false},"root":{"path":"/b/rootfs","readonly":true}}"#
        );
    }
}
