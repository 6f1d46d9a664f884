//! PMI: how the processes of an MPI program find each other (`srun --mpi=pmi2`).
//!
//! Without input or output of its own. A node of a step has a [`Server`] for its tasks; the `srun` that waits for the step
//! has a [`Hub`] between the nodes. Both take bytes and say what is to be done.
//!
//! # What a task sees
//!
//! `PMI_FD` is the number of a connected socket, `PMI_RANK` the rank of the task, `PMI_SIZE` the number of tasks, `PMI_JOBID`
//! the name of the step (`12.0`). A task that never uses the socket is none the worse for it.
//!
//! Two protocols are spoken over it, and the first line tells which:
//! `cmd=init pmi_version=1 pmi_subversion=1` or `cmd=init pmi_version=2 pmi_subversion=0`, either way ended by a line feed and
//! answered by `cmd=response_to_init rc=0 pmi_version=… pmi_subversion=…`.
//!
//! **PMI-1** goes on with such lines: pairs `name=value` between blanks, none of which is in a value. An order to spawn spans
//! lines from `mcmd=spawn` to `endcmd`.
//!
//! **PMI-2** goes on with frames: the length in decimal, padded to six bytes with blanks, then so many bytes of
//! `cmd=NAME;name=value;…`. A semicolon within a value is doubled. A request with `thrid=N` gets an answer with the same.
//!
//! # What can be asked
//!
//! | PMI-1 | PMI-2 | answer |
//! |---|---|---|
//! | | `fullinit` | rank, size, number of the application |
//! | `get_maxes`, `get_appnum`, `get_universe_size`, `get_my_kvsname` | `job-getid`, `info-getjobattr` (`universeSize`) | facts of the step |
//! | `put`, `get` | `kvs-put`, `kvs-get` | values of the step; those of other nodes are seen after a fence |
//! | `barrier_in` | `kvs-fence` | when all tasks of the step have asked for it |
//! | | `info-putnodeattr`, `info-getnodeattr` (`wait=TRUE`) | values of the node |
//! | `abort` | `abort` | none; the step ends |
//! | `finalize` | `finalize` | the task needs nothing any more |
//!
//! `PMI_process_mapping` (a value of the step in PMI-1, an attribute of the job in PMI-2) tells which ranks share a node, as
//! `(vector,(FIRST,NODES,TASKS),…)`: TASKS consecutive ranks on each of NODES nodes from number FIRST on, and so on.
//!
//! Spawning, names of services and connections between jobs are refused, with a word in the error stream of the step.

mod hub;
mod mapping;
mod message;
mod server;

use serde::{Deserialize, Serialize};

pub use hub::Hub;
pub use mapping::process_mapping;
pub use server::{Action, Server};

/// What the server of a node has to know of the step.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StepFacts {
    /// Name of the step: `12.0`.
    pub step_name: String,
    /// Tasks on all nodes.
    pub tasks: u32,
    /// Which ranks share a node (see [`process_mapping`]); empty where it is not known.
    pub process_mapping: String,
}

/// The environment of the task `rank`, whose socket has the number `descriptor`.
pub fn variables(facts: &StepFacts, rank: u32, descriptor: i32) -> [String; 4] {
    [
        format!("PMI_FD={descriptor}"),
        format!("PMI_RANK={rank}"),
        format!("PMI_SIZE={}", facts.tasks),
        format!("PMI_JOBID={}", facts.step_name),
    ]
}
