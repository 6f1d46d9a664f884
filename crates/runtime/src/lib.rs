//! What happens on a node: processes, control groups, terminals and the streams between them.
//!
//! One small **supervisor** process per node and spool directory owns all processes of jobs. It outlives the
//! agent, so that an agent can be restarted or upgraded under running jobs. It knows nothing of queues, nodes
//! or dialects: file names come expanded, environments come complete.
//!
//! Where to look:
//!
//! - [`mod@unit`]: what is started, and how it ended;
//! - [`protocol`] and [`client`]: how an agent talks with the supervisor;
//! - [`supervisor`]: the process itself; `muster supervisor --dir SPOOL` calls [`supervisor::run`];
//! - [`pmi`]: how the processes of an MPI program find each other;
//! - [`pmix`]: the same with libpmix, in a process of its own;
//! - [`wire`]: how the streams of a live step travel between a node and the waiting `srun`;
//! - [`receipt`]: how a file comes from a client and is put in its place;
//! - [`confinement`]: what control groups hold a unit to;
//! - [`measure`] and [`energy`]: how it is measured what a unit uses;
//! - [`space`]: what a job has to itself on a node;
//! - [`visit`]: the way to the SSH server in a container;
//! - [`detect`]: what hardware and system this node has, and [`gpu`]: which GPUs.

pub mod client;
pub mod confinement;
pub mod detect;
pub mod energy;
pub mod gpu;
pub mod labels;
pub mod measure;
pub mod pmi;
pub mod pmix;
pub mod protocol;
pub mod receipt;
pub mod space;
pub mod supervisor;
pub mod unit;
pub mod visit;
pub mod wire;

mod cgroup;
mod frame;
mod system;
