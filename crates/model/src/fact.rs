//! What is made durable: facts about the cluster as current rows, never requests to decide again.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::document::{Document, DocumentKind};
use crate::ids::{BlobId, JobId, Name, SpecId};
use crate::job::{Job, JobSpec};
use crate::node::{GresPlace, Node, NodeHealth, NodeReason};
use crate::step::Step;
use crate::time::Timestamp;

/// One row as it is after a change. A batch of facts is committed as a whole.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// A job specification. Written once.
    Spec(SpecId, Arc<JobSpec>),
    /// The row of one start of a job, keyed by its number and restart count.
    Job(Arc<Job>),
    /// The job is no longer kept in memory; its rows are history from now on.
    JobForgotten(JobId),
    /// The row of a step, keyed by job, restart and step.
    Step(Arc<Step>),
    /// What outlives a restart of the controller about a node.
    Node {
        /// Name of the node.
        name: Name,
        /// The row.
        record: NodeRecord,
    },
    /// A row of a small table.
    Document(Document),
    /// That row of a small table is gone.
    DocumentGone {
        /// Which table.
        kind: DocumentKind,
        /// Which row.
        name: Name,
    },
    /// A counter of the cluster, such as the next job number.
    Counter {
        /// Which.
        name: &'static str,
        /// Its value.
        value: u64,
    },
    /// Content of a script or an execution context. Written once per content.
    Blob {
        /// Content address.
        id: BlobId,
        /// The bytes.
        content: Arc<[u8]>,
    },
}

/// The part of a [`Node`] that is stored; the rest comes from the configuration and from the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Whether it could be worked with.
    pub health: NodeHealth,
    /// Takes no new jobs.
    pub drain: bool,
    /// Why it is down or drained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<NodeReason>,
    /// Number of the last launch sent to it.
    #[serde(default)]
    pub launch_sequence: u64,
    /// Remark of an operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<Name>,
    /// A further remark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Name>,
    /// When the last job on it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_busy: Option<Timestamp>,
    /// Where units of generic resources were found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub places_found: Option<Arc<Vec<GresPlace>>>,
}

impl NodeRecord {
    /// The stored part of `node`.
    pub fn of(node: &Node) -> NodeRecord {
        NodeRecord {
            health: node.health,
            drain: node.drain,
            reason: node.reason.clone(),
            launch_sequence: node.launch_sequence,
            comment: node.comment.clone(),
            extra: node.extra.clone(),
            last_busy: node.last_busy,
            places_found: node.places_found.clone(),
        }
    }
}

/// Everything that a controller needs to go on where an earlier one stopped.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StoredState {
    /// Jobs still kept in memory, each in its latest start.
    pub jobs: Vec<Arc<Job>>,
    /// Steps of those jobs that have not ended.
    pub steps: Vec<Arc<Step>>,
    /// Nodes by name.
    pub nodes: Vec<(Name, NodeRecord)>,
    /// Counters by name.
    pub counters: Vec<(String, u64)>,
    /// Rows of small tables, by kind and name.
    pub documents: Vec<Document>,
}
