//! The values that properties have, each with its spellings and its printed form.

mod cpu;
mod cron;
mod duration;
mod env;
mod gpu;
mod memory;
mod mount;
mod paths;
mod port;
mod range;
mod reference;
mod tags;
mod words;

pub(crate) use cpu::CPU_COUNT_DEFAULT;
pub use cpu::{Architecture, CpuSpec};
pub use cron::Cron;
pub use duration::{Duration, IdleDuration, OffDuration, format_duration};
pub use env::{Env, EnvValue};
pub use gpu::{ComputeCapability, GpuSpec, Vendor};
pub use memory::Memory;
pub use mount::{InstanceMount, Mount, VolumeMount, VolumeNames};
pub use paths::{FileMapping, IfExists, RepoSource, RepoSpec};
pub use port::PortMapping;
pub(crate) use port::read_port;
pub use range::{Bound, Range};
pub use reference::{EntityReference, InstanceSelector};
pub use tags::Tags;
pub(crate) use words::words;
