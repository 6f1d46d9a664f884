//! Identifiers of the things Muster knows: jobs, steps, nodes, users.
//!
//! Each is its own type, so that a task index can never be passed where a job number is meant.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A short shared string: names of partitions, users, nodes, accounts. Cloning is a counter increment.
pub type Name = Arc<str>;

/// The number of a job. Numbers are handed out in ascending order and are never reused within a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub u32);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names one submit, drawn by whoever submits, so that it is made once however often it is said. Written as 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SubmitToken(pub [u8; SubmitToken::SIZE]);

impl SubmitToken {
    /// Bytes of a token: enough that no two are ever drawn alike.
    pub const SIZE: usize = 16;
}

impl fmt::Display for SubmitToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl From<SubmitToken> for String {
    fn from(token: SubmitToken) -> String {
        token.to_string()
    }
}

impl TryFrom<String> for SubmitToken {
    type Error = String;

    fn try_from(text: String) -> Result<SubmitToken, String> {
        let digits = u128::from_str_radix(&text, 16).ok().filter(|_| text.len() == 2 * SubmitToken::SIZE);
        digits
            .map(|number| SubmitToken(number.to_be_bytes()))
            .ok_or_else(|| format!("{text:?} is no token of a submit"))
    }
}

/// A job, or one task of a job array: `36`, `36_4`. What users write on command lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ArrayTask {
    /// The number printed by `sbatch` for the whole array (Slurm: `ArrayJobId`).
    pub array_job_id: JobId,
    /// The index of the task within the array.
    pub task_index: u32,
}

impl fmt::Display for ArrayTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.array_job_id, self.task_index)
    }
}

/// A step of a job. Ordinary steps (`srun`) count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepId {
    /// A step made by `srun`, shown as `N.0`, `N.1`, …
    Number(u32),
    /// The batch script itself, shown as `N.batch`.
    Batch,
    /// The shell that `salloc` starts on a node, shown as `N.interactive`.
    Interactive,
    /// The step that adopts processes from outside, shown as `N.extern`.
    Extern,
    /// The site's prolog on a node. No step that anybody sees: it names a unit of the node only.
    Prolog,
    /// The site's epilog on a node, likewise.
    Epilog,
}

impl StepId {
    /// Whether it is a program of the site that runs around the job, and not a part of it.
    pub fn is_hook(self) -> bool {
        matches!(self, StepId::Prolog | StepId::Epilog)
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StepId::Number(number) => number.fmt(f),
            StepId::Batch => f.write_str("batch"),
            StepId::Interactive => f.write_str("interactive"),
            StepId::Extern => f.write_str("extern"),
            StepId::Prolog => f.write_str("prolog"),
            StepId::Epilog => f.write_str("epilog"),
        }
    }
}

impl std::str::FromStr for StepId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "batch" => Ok(StepId::Batch),
            "interactive" => Ok(StepId::Interactive),
            "extern" => Ok(StepId::Extern),
            "prolog" => Ok(StepId::Prolog),
            "epilog" => Ok(StepId::Epilog),
            number => number.parse().map(StepId::Number).map_err(|_| format!("invalid step id {text:?}")),
        }
    }
}

/// Dense index of a node in the cluster's node list; stable while the configuration is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeIndex(pub u32);

/// Dense index of a partition in the cluster's partition list, in the order of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PartitionIndex(pub u32);

/// Which start of a job a message is about: 0 for the first, one more after each requeue.
///
/// Every command to a node and every report from one carries it, so that a late message about an earlier
/// start can never touch a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RestartCount(pub u32);

/// Number of a stored job specification; several tasks of one array share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SpecId(pub u64);

/// Position of a commit in the history of the cluster. Each stored row carries that of its last change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CommitSequence(pub u64);

/// Content address (BLAKE3, hexadecimal) of a stored blob such as a batch script or an environment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlobId(pub Arc<str>);

/// Who asks: the Unix identity of the caller, as the operating system tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Unix user number.
    pub uid: u32,
    /// Unix group number.
    pub gid: u32,
    /// User name, or the number as text where the host does not know it.
    pub user: Name,
    /// Group name, or the number as text.
    pub group: Name,
}

impl Identity {
    /// Whether this user may act on everybody's jobs and on nodes (root; later also operators).
    pub fn is_operator(&self) -> bool {
        self.uid == 0
    }
}
