//! The environment of batch scripts, steps and tasks, as Slurm sets it, and the files that they write to.
//!
//! What a process gets is put together from four lists, see [`combine`]: what the client captured when the job or step
//! was submitted, names that must not survive from that, values for names that it lacks, and values that win over it.
//! Which name is in which list follows what real Slurm 22.05 was seen to do. Everything else that the user's
//! environment holds stays, also `SLURM_` variables of an outer job, as there.
//!
//! One file for each subject: `identity`, `layout`, `memory`, `gpus`, `gpu_facts`, `array`, `het`, `requested`. The files
//! `batch`, `step` and `client` say which of these a process gets.
//!
//! Left out: `SLURM_TASK_PID`, which only the process itself can know; whoever starts it adds it.

mod array;
mod batch;
mod client;
mod combine;
mod facts;
mod gpu_facts;
mod gpus;
mod het;
mod hooks;
mod identity;
mod layout;
mod login;
mod mail;
mod memory;
mod paths;
mod requested;
mod step;
#[cfg(test)]
pub(crate) mod tests;

pub use batch::{batch_environment, batch_fallbacks, batch_removals};
pub use client::{
    ClientFacts, StepClientFacts, allocation_environment, het_allocation_environment, step_client_environment,
    step_client_fallbacks, submit_environment,
};
pub use combine::combine;
pub use facts::{LaunchFacts, NodeFacts, Variables};
pub use gpu_facts::GpuFacts;
pub use hooks::{controller_hook_environment, node_hook_environment, unkillable_environment};
pub use layout::{cpus_per_node, tasks_per_node};
pub use login::{LoginFacts, login_environment, wants_login_environment};
pub use mail::{Letter, is_mail_address, letter};
pub use paths::{OutputPaths, Stream, output_paths, task_paths};
pub use step::{step_environment, step_fallbacks, step_removals, task_environment, task_gpu_lines};
