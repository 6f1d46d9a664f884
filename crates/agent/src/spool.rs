//! The directory of an agent, and the lock that keeps a second agent out of it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// The spool directory. The lock ends with it, or with the process.
#[derive(Debug)]
pub(crate) struct Spool {
    dir: PathBuf,
    _lock: File,
}

impl Spool {
    /// Makes the directory and locks it; `Ok(None)` when another agent has it.
    pub(crate) fn open(dir: &Path) -> anyhow::Result<Option<Spool>> {
        // Jobs of all users pass through to their scripts and logs, but cannot list what others have.
        let make = |dir: &Path| DirBuilder::new().recursive(true).mode(0o711).create(dir);
        make(dir).with_context(|| format!("cannot make the spool directory {}", dir.display()))?;
        // The supervisor works from `/`.
        let dir = fs::canonicalize(dir).with_context(|| format!("cannot find {}", dir.display()))?;
        let path = dir.join("agent.lock");
        let mut options = OpenOptions::new();
        let lock = options.write(true).create(true).truncate(false).open(&path);
        let lock = lock.with_context(|| format!("cannot open {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        let spool = Spool { dir, _lock: lock };
        make(&spool.logs()).with_context(|| format!("cannot make {}", spool.logs().display()))?;
        for dir in [spool.dir.join("blobs"), spool.hook_outputs()] {
            let private = DirBuilder::new().recursive(true).mode(0o700).create(&dir);
            private.with_context(|| format!("cannot make {}", dir.display()))?;
        }
        Ok(Some(spool))
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the output of tasks of runs goes.
    pub(crate) fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    /// Where prologs and epilogs leave what they print.
    pub(crate) fn hook_outputs(&self) -> PathBuf {
        self.dir.join("hooks")
    }
}
