//! Execution contexts: the environment, umask and limits of a submit, read once for all tasks of an array.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use muster_model::ids::BlobId;
use muster_model::job::ExecutionContext;
use muster_proto::document::{self, DocumentError};
use muster_runtime::protocol::environment_blob;
use muster_slurm::environment::wants_login_environment;

/// Contexts kept in memory.
const CONTEXTS_MAX: usize = 256;

/// A context, ready for use.
#[derive(Debug, Default)]
pub(crate) struct Context {
    /// Its name; `None` for the empty one of a job that brought none.
    id: Option<BlobId>,
    document: ExecutionContext,
    /// Names of the variables in it.
    pub(super) names: HashSet<String>,
    /// To be filled up with what a login sets.
    pub(crate) wants_login: bool,
}

impl Context {
    /// File mode creation mask.
    pub(super) fn umask(&self) -> u32 {
        /// Of a job without execution context.
        const UMASK_DEFAULT: u32 = 0o022;
        if self.id.is_some() { self.document.umask } else { UMASK_DEFAULT }
    }

    /// Soft resource limits.
    pub(super) fn limits(&self) -> Vec<(u32, u64)> {
        self.document.limits.clone()
    }

    /// Name under which the supervisor gets the environment without `removals`.
    pub(super) fn environment_id(&self, removals: &[&str]) -> Option<BlobId> {
        let wanted: Vec<&str> = removals.iter().copied().filter(|name| self.names.contains(*name)).collect();
        let id = self.id.as_ref()?;
        Some(BlobId(format!("environment of {} without {}", id.0, wanted.join(",")).into()))
    }

    /// The environment without `removals`, as the supervisor wants it.
    pub(crate) fn environment(&self, removals: &[&str]) -> Arc<[u8]> {
        let is_kept = |line: &&String| line.split_once('=').is_some_and(|(name, _)| !removals.contains(&name));
        environment_blob(self.document.environment.iter().filter(is_kept)).into()
    }
}

/// Contexts read so far.
#[derive(Debug, Default)]
pub(crate) struct Contexts {
    known: HashMap<BlobId, Arc<Context>>,
}

impl Contexts {
    /// The context `id`, whose document is `content`.
    pub(crate) fn read(&mut self, id: &BlobId, content: &[u8]) -> Result<Arc<Context>, DocumentError> {
        if let Some(context) = self.known.get(id) {
            return Ok(context.clone());
        }
        let document: ExecutionContext = document::decode(content, "an execution context")?;
        let name = |line: &String| line.split_once('=').map(|(name, _)| name.to_owned());
        let context = Arc::new(Context {
            id: Some(id.clone()),
            names: document.environment.iter().filter_map(name).collect(),
            wants_login: wants_login_environment(&document.environment),
            document,
        });
        if self.known.len() >= CONTEXTS_MAX {
            self.known.clear();
        }
        self.known.insert(id.clone(), context.clone());
        Ok(context)
    }
}
