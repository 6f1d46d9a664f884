//! PMIx: how the processes of an MPI program find each other with the library of that name (`srun --mpi=pmix`).
//!
//! The protocol between a task and its server is that of libpmix, which each version changes; so the server *is* libpmix, of
//! whatever version the node has. It is loaded when it is needed (`dlopen`); nothing of ours is linked with it.
//!
//! # Who talks with whom
//!
//! ```text
//! task -- libpmix --> PMIx server of the node == pipe == relay of the step == stream of the step ==> srun (Hub)
//! ```
//!
//! A foreign library that crashes must not take the supervisor along, with all that runs on the node. So the **server** is a
//! process of its own for each step and node (`muster pmix-server`, [`server`]), with the rights of the user. It is told what it
//! has to know of the step by the launcher thread ([`Setup`]) and says what is to be in the environments of the tasks
//! ([`Head::Ready`]). From then on the relay of the step passes bytes between it and the [`Hub`] in `srun`, without looking inside:
//! fences, values that one node wants of another, names that were published. It ends when that pipe closes.
//!
//! What is not done, and is refused by the library's own code for that: spawning of further processes, other jobs, groups.

mod hub;
mod library;
mod message;
pub mod server;

use serde::{Deserialize, Serialize};

pub use hub::{Hub, HubAction};
pub use message::{Decoder, Head, Malformed, Message};

/// The argument by which this program is the server of a step.
pub const SERVER_ARGUMENT: &str = "pmix-server";

/// What a site says in `mpi.conf`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Seconds after which a fence or a question to another node has failed.
    pub timeout_seconds: u32,
    /// The library is to tell what it does.
    pub debug: bool,
    /// `NAME=value` for the environment of the server.
    pub environment: Vec<String>,
    /// Where libraries of tasks put their files; by default the directory of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_dir_base: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { timeout_seconds: 300, debug: false, environment: Vec::new(), client_dir_base: None }
    }
}

/// What the server of a node has to know of the step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepFacts {
    /// Name of the step: `12.0`.
    pub step_name: String,
    /// Tasks on all nodes.
    pub tasks: u32,
    /// All nodes of the step by name, each with the ranks of its tasks.
    pub nodes: Vec<(String, Vec<u32>)>,
    /// Which of them this is.
    pub node: usize,
    /// The version of libpmix that is wanted (`--mpi=pmix_v4`); `None` for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// What the site says.
    #[serde(default)]
    pub settings: Settings,
}

impl StepFacts {
    /// The name by which libraries know the step, as in Slurm.
    pub fn namespace(&self) -> String {
        format!("slurm.pmix.{}", self.step_name)
    }

    /// The node's name.
    pub(crate) fn node_name(&self) -> &str {
        self.nodes.get(self.node).map_or("", |(name, _)| name)
    }

    /// A node that stands in the list more than once.
    pub(crate) fn node_named_twice(&self) -> Option<&str> {
        let mut seen = std::collections::BTreeSet::new();
        self.nodes.iter().map(|(name, _)| name.as_str()).find(|name| !seen.insert(*name))
    }

    /// Ranks on this node.
    pub(crate) fn local_ranks(&self) -> &[u32] {
        self.nodes.get(self.node).map_or(&[], |(_, ranks)| ranks)
    }

    /// For each rank the position of its node.
    pub(crate) fn nodes_of_ranks(&self) -> Vec<u32> {
        let mut nodes = vec![0; self.tasks as usize];
        for (position, (_, ranks)) in (0..).zip(&self.nodes) {
            for rank in ranks {
                if let Some(place) = nodes.get_mut(*rank as usize) {
                    *place = position;
                }
            }
        }
        nodes
    }
}

/// What a server is started with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// The step.
    pub facts: StepFacts,
    /// A directory of its own.
    pub directory: String,
    /// Whom it serves. It takes over this identity, where it has another.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// All groups.
    pub groups: Vec<u32>,
    /// Tasks do not see the files of the node: everything is told over the connection.
    pub no_files: bool,
}

/// The major version of the libpmix of this machine.
///
/// # Errors
/// In words: there is none, or one that is not known here.
pub fn library_version() -> Result<u32, String> {
    library::Library::load().map(|library| library.major)
}
