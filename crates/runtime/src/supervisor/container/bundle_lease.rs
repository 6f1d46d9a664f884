//! What is left of the containers of bundles once nothing of their unit runs: the site's runtime removes it.
//!
//! How that is done is written down before anything is started, so that a supervisor after this one can do it. What the runtime
//! does then may be of the user's choice (hooks in the description of a bundle): it runs where the unit ran, and what it leaves behind
//! is killed like what tasks leave behind.

use std::ffi::CString;
use std::fs;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::supervisor::environment::Environment;
use crate::supervisor::files::{self, UserRights, WorkDir};
use crate::supervisor::processes::MARK_NAME;
use crate::supervisor::spawn::{self, Failure, Plan, Stack};
use crate::system;
use crate::unit::{LaunchUnit, UnitKey, UnitUser};

/// How long a runtime may take to remove a container.
const DELETE_PATIENCE: Duration = Duration::from_secs(30);

/// How long all of a unit may take together.
const UNIT_PATIENCE_MAX: Duration = Duration::from_secs(300);

/// So much of what a runtime prints is kept.
const OUTPUT_BYTES_MAX: usize = 4096;

/// Runs the line `$0` and says when it is over: what it leaves behind may keep its output open.
const AROUND: &str = r#"/bin/sh -c "$0"; printf '\000'"#;

/// Directory in the spool with one document for each unit whose containers are to be removed.
const LEASES: &str = "bundles";

/// What is to be removed of a unit. Its document is a line with this, and one for each task behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BundleLease {
    /// Where the generated bundles are.
    directory: PathBuf,
    /// They stay.
    keep_files: bool,
    /// As whom and with what the runtime is called.
    user: UnitUser,
    environment: Vec<String>,
    /// Where this is written down.
    #[serde(skip)]
    document: PathBuf,
    #[serde(skip)]
    tasks: Vec<TaskRemains>,
}

/// What is to be removed of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TaskRemains {
    /// Its generated bundle.
    pub(super) directory: PathBuf,
    /// What the runtime is called with: lines of the shell, in order.
    pub(super) lines: Vec<String>,
    /// The name of its container, where the user chose it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
}

/// Where a runtime is called: among the processes of the unit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Within {
    /// Files by which a process joins the groups of the unit.
    pub(crate) groups: Vec<CString>,
    /// The mark of its processes, without the name of the variable.
    pub(crate) mark: String,
    /// Nobody waits any longer: no further process is started.
    pub(crate) given_up: Arc<AtomicBool>,
}

impl BundleLease {
    /// One for `unit`, whose bundles will be in `directory`.
    pub(super) fn new(
        spool: &Path,
        unit: &LaunchUnit,
        directory: PathBuf,
        keep_files: bool,
        environment: Vec<String>,
    ) -> io::Result<BundleLease> {
        let leases = spool.join(LEASES);
        // Only root may read the environments of others.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&leases)?;
        let document = leases.join(unit.key.to_string());
        let user = unit.user.clone();
        let lease = BundleLease { directory, keep_files, user, environment, document, tasks: Vec::new() };
        let mut line = serde_json::to_vec(&lease)?;
        line.push(b'\n');
        fs::write(&lease.document, line)?;
        Ok(lease)
    }

    /// Writes down what is to be removed of a task, before there is any of it.
    pub(super) fn add(&mut self, task: TaskRemains) -> io::Result<()> {
        let mut line = serde_json::to_vec(&task)?;
        line.push(b'\n');
        fs::File::options().append(true).open(&self.document)?.write_all(&line)?;
        self.tasks.push(task);
        Ok(())
    }

    /// Reads a document; of a line that was not written to its end nothing was made.
    fn read(document: &Path) -> io::Result<BundleLease> {
        let text = fs::read_to_string(document)?;
        let mut lines = text.lines();
        let mut lease: BundleLease = serde_json::from_str(lines.next().unwrap_or_default())?;
        lease.document = document.to_owned();
        lease.tasks = lines.filter_map(|line| serde_json::from_str(line).ok()).collect();
        Ok(lease)
    }

    /// How long [`BundleLease::release`] may take.
    pub(super) fn patience(&self) -> Duration {
        let calls: usize = self.tasks.iter().map(|task| task.lines.len()).sum();
        // Once more for the files.
        DELETE_PATIENCE.saturating_mul(u32::try_from(calls + 1).unwrap_or(u32::MAX)).min(UNIT_PATIENCE_MAX)
    }

    /// Has the runtime remove the containers, and removes the files.
    pub(super) fn release(&self, within: &Within, stack: &mut Stack) {
        for line in self.tasks.iter().flat_map(|task| &task.lines) {
            if within.given_up.load(Ordering::SeqCst) {
                tracing::warn!(line, "the runtime is not called any more: it took too long before");
                continue;
            }
            // It says so where a container has gone by itself.
            match self.call(line, within, stack) {
                Ok(output) => tracing::debug!(line, output, "the runtime was called"),
                Err(error) => tracing::warn!(line, %error, "cannot call the runtime"),
            }
        }
        self.remove_files();
        // Gone already when this is done again.
        let _ = fs::remove_file(&self.document);
    }

    /// Outside of the spool directories may be exchanged by whoever owns those above.
    fn remove_files(&self) {
        let rights = (!self.is_in_spool()).then(|| UserRights::of(&self.user)).transpose();
        let _rights = match rights {
            Ok(rights) => rights,
            Err(error) => return tracing::warn!(%error, "cannot take the user's rights to remove bundles"),
        };
        let gone = |result: io::Result<()>| {
            result.or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            })
        };
        for task in self.tasks.iter().filter(|_| !self.keep_files) {
            if let Err(error) = gone(fs::remove_dir_all(&task.directory)) {
                tracing::warn!(directory = %task.directory.display(), %error, "cannot remove a bundle");
            }
        }
        // Where others have files in it, it stays.
        let _ = fs::remove_dir(&self.directory);
    }

    /// Whether the bundles are in a directory right below the spool, which is root's.
    fn is_in_spool(&self) -> bool {
        let spool = self.document.parent().and_then(Path::parent);
        spool.is_some() && self.directory.parent() == spool
    }

    /// Runs a line of the shell as the user; gives what it prints.
    fn call(&self, line: &str, within: &Within, stack: &mut Stack) -> io::Result<String> {
        let text = |text: &str| CString::new(text).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
        let arguments = [text("/bin/sh")?, text("-c")?, text(AROUND)?, text(line)?];
        let null = fs::File::open("/dev/null")?;
        let (read, write) = system::pipe()?;
        let mark = format!("{MARK_NAME}={}", within.mark);
        let variables: Vec<&[u8]> = self.environment.iter().chain([&mark]).map(String::as_bytes).collect();
        let environment = Environment::new(None, &variables);
        let work_dir = WorkDir::open("/")?;
        let groups = files::all_groups(&self.user);
        let identity = files::must_switch(&self.user).then_some((self.user.uid, self.user.gid, groups.as_slice()));
        let streams = [null.as_raw_fd(), write.as_raw_fd(), write.as_raw_fd()];
        let plan = Plan {
            identity,
            groups: &within.groups,
            ..Plan::helper(&arguments, &environment, streams, work_dir.fd.as_raw_fd(), 0o022)
        };
        let child = spawn::spawn(&plan, stack)?;
        drop(write);
        if let Some(Failure::Setup(errno) | Failure::Execute(errno)) = child.failure {
            return Err(io::Error::from_raw_os_error(errno));
        }
        // Until [`AROUND`] says that it is over.
        let is_over = |_: &[u8], part: &[u8]| part.ends_with(b"\0");
        let output = system::read_until(&read, Instant::now() + DELETE_PATIENCE, OUTPUT_BYTES_MAX, is_over);
        if output.is_err() {
            system::kill(-child.pid, libc::SIGKILL);
        }
        output.map(|bytes| String::from_utf8_lossy(&bytes).trim_end_matches('\0').trim_end().to_owned())
    }
}

/// The unit other than `own` that has a container of the name `id`, by what is written down of it.
pub(super) fn holder(spool: &Path, id: &str, own: UnitKey) -> Option<UnitKey> {
    let others = left(spool).into_iter().filter_map(|document| {
        let key: UnitKey = document.file_name()?.to_str()?.parse().ok()?;
        (key != own).then_some((key, document))
    });
    let has = |document: &Path| {
        BundleLease::read(document).is_ok_and(|lease| lease.tasks.iter().any(|task| task.id.as_deref() == Some(id)))
    };
    others.into_iter().find(|(_, document)| has(document)).map(|(key, _)| key)
}

/// What an earlier supervisor had to leave undone: its documents.
pub(super) fn left(spool: &Path) -> Vec<PathBuf> {
    fs::read_dir(spool.join(LEASES)).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Does it.
pub(super) fn settle(document: &Path, within: &Within, stack: &mut Stack) {
    match BundleLease::read(document) {
        Ok(lease) => lease.release(within, stack),
        Err(error) => {
            tracing::warn!(path = %document.display(), %error, "cannot tell what is left of a unit");
            // One that was not written to its end: then nothing was started.
            let _ = fs::remove_file(document);
        }
    }
}
