//! What jobs have to themselves on this node: made before the first process of a job is started, kept until the agent says that
//! the job is over here.
//!
//! What is made is written down before, in a file for each job, so that a supervisor after this one knows of it. A view of the
//! file system lives only as long as the supervisor; the next one makes it anew over the same content.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use muster_model::ids::{JobId, RestartCount};

use super::namespace::{self, Visit};
use super::spawn::Stack;
use super::task_hooks::{self, Setting};
use crate::space::{JobSpace, PrivateDirs, RECORDS, Record, SpaceKey, record_path};
use crate::unit::UnitUser;

/// How long `InitScript` may take; Slurm waits for it without end.
const INIT_PATIENCE: Duration = Duration::from_secs(120);

/// What a job has, ready for use.
#[derive(Debug)]
pub(crate) struct Space {
    /// What `SLURM_TMPDIR` names; or why there is no such directory.
    pub(crate) scratch: Result<PathBuf, String>,
    namespace: Option<OwnedFd>,
    /// Directories that only the job sees.
    private: Vec<PathBuf>,
}

impl Space {
    /// While the result lives, the calling thread sees what the job sees; `None` where that is what all see.
    pub(crate) fn enter<'a>(&self, spaces: &'a Spaces) -> io::Result<Option<Visit<'a>>> {
        let Some(namespace) = &self.namespace else { return Ok(None) };
        Visit::enter(namespace, &spaces.own).map(Some)
    }

    /// The directories that are the job's alone, as the job sees them.
    pub(crate) fn dirs(&self) -> impl Iterator<Item = &Path> {
        // It may lie in one of the others.
        let scratch = self.scratch.iter().filter(|scratch| !self.private.iter().any(|dir| scratch.starts_with(dir)));
        self.private.iter().chain(scratch).map(PathBuf::as_path)
    }
}

type Slot = Arc<Mutex<Option<Arc<Space>>>>;

/// The spaces of all jobs here.
#[derive(Debug)]
pub(crate) struct Spaces {
    spool: PathBuf,
    /// Tells directories of several supervisors apart.
    id: String,
    /// What this process itself sees.
    own: OwnedFd,
    slots: Mutex<BTreeMap<SpaceKey, Slot>>,
}

impl Spaces {
    /// Looks what a supervisor before this one has left.
    pub(crate) fn open(spool: &Path, id: &str) -> io::Result<Spaces> {
        let dir = spool.join(RECORDS);
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let mut slots = BTreeMap::new();
        for entry in fs::read_dir(&dir)?.flatten() {
            let Some(key) = entry.file_name().to_str().and_then(parse_key) else {
                continue;
            };
            slots.insert(key, Slot::default());
            // Nobody must take another file for its view.
            if let Some(record) = read(&entry.path()) {
                write(&entry.path(), &Record { namespace: None, is_ready: false, ..record })?;
            }
        }
        let own = File::open("/proc/self/ns/mnt")?.into();
        Ok(Spaces { spool: spool.to_owned(), id: id.to_owned(), own, slots: Mutex::new(slots) })
    }

    /// Whose there are.
    pub(crate) fn keys(&self) -> Vec<SpaceKey> {
        lock(&self.slots).keys().copied().collect()
    }

    /// The space of a job, if it is made.
    pub(crate) fn present(&self, key: SpaceKey) -> Option<Arc<Space>> {
        let slot = lock(&self.slots).get(&key).cloned()?;
        let space = lock(&slot);
        space.clone()
    }

    /// The space of a job, made if need be.
    pub(crate) fn of_job(&self, key: SpaceKey, wanted: &JobSpace, user: &UnitUser) -> io::Result<Arc<Space>> {
        loop {
            let slot = lock(&self.slots).entry(key).or_default().clone();
            // Units of one job wait for each other; others do not.
            let mut space = lock(&slot);
            // Whoever was waited for may have removed it; what would be made then nobody would know of.
            if !lock(&self.slots).get(&key).is_some_and(|present| Arc::ptr_eq(present, &slot)) {
                continue;
            }
            if let Some(space) = &*space {
                return Ok(Arc::clone(space));
            }
            let made = Arc::new(self.make(key, wanted, user)?);
            *space = Some(Arc::clone(&made));
            return Ok(made);
        }
    }

    fn make(&self, key: SpaceKey, wanted: &JobSpace, user: &UnitUser) -> io::Result<Space> {
        let path = record_path(&self.spool, key);
        let private = wanted.private.as_ref();
        let is_private = private.is_some_and(|private| private.hide(&wanted.scratch_parent));
        let before = read(&path);
        let mut record = Record {
            scratch: (!is_private).then(|| wanted.scratch_parent.join(format!("slurm_tmpdir.{}.{}", key.0, key.1.0))),
            content: private.map(|private| self.content(&private.base, key)),
            namespace: None,
            is_ready: false,
            epilog: private.and_then(|private| private.clone_epilog.clone()),
        };
        // Another supervisor of this machine may have made the job's directory; then that one removes it.
        let is_known = before.as_ref().is_some_and(|before| before.scratch == record.scratch);
        let scratch = record.scratch.clone();
        let others = scratch.as_deref().is_some_and(|scratch| !is_known && belongs_to(scratch, user.uid));
        if others {
            record.scratch = None;
        }
        write(&path, &record)?;
        let scratch = match scratch {
            None => Ok(wanted.scratch_parent.clone()),
            Some(scratch) if others => Ok(scratch),
            Some(scratch) => make_scratch(&scratch, user).map(|()| scratch.clone()).map_err(|error| {
                record.scratch = None;
                format!("cannot make {}: {error}", scratch.display())
            }),
        };
        let namespace = match (private, &record.content) {
            (Some(private), Some(content)) => Some(self.make_private(key, private, content, user)?),
            _ => None,
        };
        record.namespace = namespace.as_ref().map(file_of);
        record.is_ready = true;
        write(&path, &record)?;
        let private = private.map(|private| private.dirs.clone()).unwrap_or_default();
        Ok(Space { scratch, namespace, private })
    }

    fn content(&self, base: &Path, (job_id, restart): SpaceKey) -> PathBuf {
        base.join(format!("muster-{}", self.id)).join(format!("{job_id}.{}", restart.0))
    }

    fn make_private(
        &self,
        key: SpaceKey,
        private: &PrivateDirs,
        content: &Path,
        user: &UnitUser,
    ) -> io::Result<OwnedFd> {
        if private.hide(&self.spool) {
            let spool = self.spool.display();
            return Err(io::Error::other(format!(
                "SlurmdSpoolDir {spool} lies in a directory that is private to jobs"
            )));
        }
        if private.makes_base {
            DirBuilder::new().recursive(true).mode(0o755).create(&private.base).map_err(at(&private.base))?;
        }
        // The content belongs to users, and nobody but root has to come to it by this way.
        for dir in content.parent().into_iter().chain([content]) {
            match DirBuilder::new().mode(0o700).create(dir) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    // Who made it could exchange what is in it.
                    // SAFETY: cannot fail.
                    if !belongs_to(dir, unsafe { libc::geteuid() }) {
                        let dir = dir.display();
                        return Err(io::Error::other(format!(
                            "{dir} is there already and does not belong to the user of slurmd: remove it"
                        )));
                    }
                }
                result => result.map_err(at(dir))?,
            }
        }
        let namespace = namespace::create(private, content, user, || match &private.init_script {
            Some(script) => run_script(key, script, INIT_PATIENCE, None),
            None => Ok(()),
        })?;
        if let Some((script, seconds)) = &private.clone_script {
            run_script(key, script, Duration::from_secs((*seconds).into()), Some(&file_of(&namespace)))?;
        }
        Ok(namespace)
    }

    /// Removes all that a job had. May take long.
    pub(crate) fn close(&self, key: SpaceKey) {
        let slot = lock(&self.slots).get(&key).cloned();
        let Some(slot) = slot else { return };
        // Whoever makes it at this moment is waited for.
        let mut space = lock(&slot);
        let path = record_path(&self.spool, key);
        if let Some(record) = read(&path) {
            if let (Some((script, seconds)), Some(namespace)) = (&record.epilog, &record.namespace) {
                let patience = Duration::from_secs((*seconds).into());
                run_script(key, script, patience, Some(namespace))
                    .unwrap_or_else(|error| tracing::error!(job = %key.0, %error, "CloneNSEpilog failed"));
            }
            *space = None;
            for dir in [&record.content, &record.scratch].into_iter().flatten() {
                if let Err(error) = namespace::remove_content(dir) {
                    tracing::error!(job = %key.0, %error, dir = %dir.display(), "cannot remove a directory of a job");
                }
            }
            if let Some(parent) = record.content.as_deref().and_then(Path::parent) {
                // Other jobs may be there.
                let _ = fs::remove_dir(parent);
            }
        }
        let _ = fs::remove_file(&path);
        lock(&self.slots).remove(&key);
    }
}

/// The file by which others can join a namespace that this process has open.
fn file_of(namespace: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), namespace.as_raw_fd()))
}

fn make_scratch(path: &Path, user: &UnitUser) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => namespace::give(path, user),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && belongs_to(path, user.uid) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether there is a directory, not a link, of that user.
fn belongs_to(path: &Path, uid: u32) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == uid)
}

/// Runs a program of the site; `namespace` is told as `SLURM_NS`.
fn run_script(key: SpaceKey, script: &str, patience: Duration, namespace: Option<&Path>) -> io::Result<()> {
    let failed = |reason: String| io::Error::other(format!("{script} failed: {reason}"));
    let mut additions =
        vec![format!("SLURM_JOB_ID={}", key.0).into_bytes(), b"PATH=/usr/local/bin:/usr/bin:/bin".to_vec()];
    additions.extend(namespace.map(|path| format!("SLURM_NS={}", path.display()).into_bytes()));
    let setting = Setting::of_site(additions)?;
    match task_hooks::run(&setting, script, Some("job_container"), patience, &mut Stack::new()) {
        Ok((0, _)) => Ok(()),
        Ok((code, _)) => Err(failed(format!("exit code {code}"))),
        Err(error) => Err(failed(error.to_string())),
    }
}

fn parse_key(name: &str) -> Option<SpaceKey> {
    let (job, restart) = name.split_once('.')?;
    Some((JobId(job.parse().ok()?), RestartCount(restart.parse().ok()?)))
}

fn read(path: &Path) -> Option<Record> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// As a whole or not at all.
fn write(path: &Path, record: &Record) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new).map_err(at(&new))?;
    file.write_all(&serde_json::to_vec(record)?)?;
    fs::rename(&new, path).map_err(at(path))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    let path = path.to_owned();
    move |error| io::Error::new(error.kind(), format!("cannot make {}: {error}", path.display()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: SpaceKey = (JobId(12), RestartCount(1));

    fn own_user() -> UnitUser {
        // SAFETY: neither can fail.
        unsafe { UnitUser { uid: libc::geteuid(), gid: libc::getegid(), groups: Vec::new() } }
    }

    #[test]
    fn a_directory_lives_as_long_as_its_job() {
        let (spool, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let wanted = JobSpace { scratch_parent: scratch.path().to_owned(), private: None };
        let spaces = Spaces::open(spool.path(), "ab").unwrap();
        let space = spaces.of_job(KEY, &wanted, &own_user()).unwrap();
        let dir = space.scratch.clone().unwrap();
        assert_eq!(dir, scratch.path().join("slurm_tmpdir.12.1"));
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
        fs::create_dir_all(dir.join("a/b")).unwrap();
        assert!(Arc::ptr_eq(&space, &spaces.of_job(KEY, &wanted, &own_user()).unwrap()));
        // The next supervisor knows of it and goes on with it.
        drop(spaces);
        let spaces = Spaces::open(spool.path(), "ab").unwrap();
        assert_eq!(spaces.keys(), [KEY]);
        let again = spaces.of_job(KEY, &wanted, &own_user()).unwrap();
        assert!(again.scratch.as_ref().unwrap().join("a/b").is_dir());
        // One beside it on the same machine shares it, and does not remove it.
        let other = tempfile::tempdir().unwrap();
        let beside = Spaces::open(other.path(), "cd").unwrap();
        assert_eq!(beside.of_job(KEY, &wanted, &own_user()).unwrap().scratch, again.scratch);
        beside.close(KEY);
        assert!(dir.is_dir());
        spaces.close(KEY);
        assert!(!dir.exists() && spaces.keys().is_empty());
        for spool in [&spool, &other] {
            assert_eq!(fs::read_dir(spool.path().join(RECORDS)).unwrap().count(), 0);
        }
    }

    #[test]
    fn what_others_have_put_there_is_not_used() {
        let (spool, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let wanted = JobSpace { scratch_parent: scratch.path().to_owned(), private: None };
        let trap = scratch.path().join("slurm_tmpdir.12.1");
        std::os::unix::fs::symlink("/etc", &trap).unwrap();
        let spaces = Spaces::open(spool.path(), "ab").unwrap();
        let space = spaces.of_job(KEY, &wanted, &own_user()).unwrap();
        let problem = space.scratch.clone().unwrap_err();
        assert!(problem.contains("slurm_tmpdir.12.1: File exists"), "{problem}");
        spaces.close(KEY);
        assert!(fs::symlink_metadata(&trap).is_ok(), "it is not ours to remove");
    }
}
