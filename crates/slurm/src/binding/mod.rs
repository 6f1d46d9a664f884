//! Which CPUs and which memory of a node each task of a step may use: `--mem-bind`, `--cpu-bind`, `--distribution` below the level of nodes, `TaskPlugin`.
//!
//! Texts and numbers in, masks out; nothing is set here. CPUs are counted in two ways. *Abstract* numbers are those of
//! allocations: socket by socket, core by core, thread by thread. *Machine* numbers are those of the kernel. Tasks are dealt
//! out in abstract numbers; what users name and what is printed are machine numbers, as in Slurm.
//!
//! - [`request`]: what is asked for;
//! - [`layout`]: how tasks are dealt to the CPUs of a step;
//! - [`step`]: both together, with what the tasks are told;
//! - [`memory`]: the same for memory.

pub mod layout;
pub mod memory;
pub mod request;
pub mod step;

pub use layout::{Second, Shape, Unit};
pub use memory::MemBind;
pub use request::{CpuBind, How};
pub use step::{Bound, Machine, StepFacts, bind};
