//! What nodes are asked to do straight for a client: they call it, so that files and streams do not pass the controller.
//!
//! The client listens on a port of its own and gives address and cookie with the request, as `srun` does for a step.
//! Nothing of this is stored: whoever calls too late finds the port closed.

use serde::{Deserialize, Serialize};

use crate::ids::{JobId, StepId};

/// A request to the nodes of a job or of a step to call a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeCall {
    /// The job, which must be running and belong to the caller.
    pub job_id: JobId,
    /// Only the nodes of this step.
    pub step: Option<StepId>,
    /// `host:port` where the client waits.
    pub address: String,
    /// Secret that opens that port.
    pub cookie: String,
    /// What the nodes are called for.
    pub purpose: CallPurpose,
}

/// What nodes call a client for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallPurpose {
    /// They take a file from it (`sbcast`).
    Receive(FileReceipt),
    /// They tell what the units of the job or step use (`sstat`).
    Measure,
    /// They send it what the tasks of the step write, and take input for them (`sattach`).
    Attach,
    /// They connect it with the SSH server of the runner in the container of the job.
    Visit,
}

/// A file that a node takes from a client and writes as the user of the job.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FileReceipt {
    /// Where it is put. For the program of a step this may be a directory, which ends in `/`: the node makes a name of
    /// its own there.
    pub path: String,
    /// File mode, whatever the mask is.
    pub mode: u32,
    /// Replaces what is there.
    #[serde(default)]
    pub force: bool,
    /// Times of last access and change that it gets, in nanoseconds since 1970; `None` leaves them as they come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times_ns: Option<(i64, i64)>,
}

/// Which nodes were asked to call.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NodesCalled {
    /// Names of the nodes that will call.
    pub called: Vec<String>,
    /// Names of those that cannot be asked now: their agents are not connected.
    pub absent: Vec<String>,
}
