//! Where things are in the directory of a development cluster.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// The directory of one development cluster.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The directory, made if need be, as an absolute path.
    pub(crate) fn create(directory: &Path) -> anyhow::Result<Layout> {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("cannot make the directory {}", directory.display()))?;
        Layout::open(directory)
    }

    /// An existing directory, as an absolute path.
    pub(crate) fn open(directory: &Path) -> anyhow::Result<Layout> {
        let root =
            directory.canonicalize().with_context(|| format!("no development cluster at {}", directory.display()))?;
        Ok(Layout { root })
    }

    /// As [`Layout::open`], but it must hold a cluster.
    pub(crate) fn existing(directory: &Path) -> anyhow::Result<Layout> {
        let layout = Layout::open(directory)?;
        anyhow::ensure!(
            layout.slurm_conf().exists(),
            "no development cluster at {}; start one with: muster dev up {}",
            directory.display(),
            directory.display()
        );
        Ok(layout)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Links to all commands.
    pub(crate) fn bin(&self) -> PathBuf {
        self.root.join("bin")
    }

    pub(crate) fn slurm_conf(&self) -> PathBuf {
        self.root.join("slurm.conf")
    }

    /// Database of the controller, and its socket.
    pub(crate) fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.state().join("muster.sock")
    }

    /// Working directory of the agent of `node`.
    pub(crate) fn spool(&self, node: &str) -> PathBuf {
        self.root.join("spool").join(node)
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.root.join("log").join(format!("{name}.log"))
    }

    pub(crate) fn pid_file(&self, name: &str) -> PathBuf {
        self.root.join("run").join(format!("{name}.pid"))
    }

    /// Port kept free for the REST door.
    pub(crate) fn rest_port_file(&self) -> PathBuf {
        self.root.join("run").join("rest.port")
    }

    /// Makes all directories.
    pub(crate) fn make_directories(&self) -> anyhow::Result<()> {
        for directory in ["bin", "state", "spool", "log", "run", "tmp"] {
            let path = self.root.join(directory);
            std::fs::create_dir_all(&path).with_context(|| format!("cannot make the directory {}", path.display()))?;
        }
        Ok(())
    }
}
