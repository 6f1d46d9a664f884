//! What control groups hold a unit to, as data: what a site wants enforced, worked out by the agent.

use serde::{Deserialize, Serialize};

/// To how much memory a unit or all units of a job are held, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MemoryBounds {
    /// More is not given: the kernel kills a process.
    pub hard: u64,
    /// Where memory is short, what exceeds this is taken back first.
    pub soft: u64,
    /// Memory and swap together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with_swap: Option<u64>,
    /// How gladly the kernel swaps, 0 to 100; version 1 only, as in Slurm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swappiness: Option<u8>,
}

/// What a site wants enforced for a unit. What of it cannot be enforced keeps the unit from being started, with
/// [`crate::unit::CONFINEMENT_FAILED`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Confinement {
    /// Its processes are held together by a control group, or it is not started.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tracked: bool,
    /// The site says nothing of limits: [`crate::unit::LaunchUnit::memory_limit`] and CPUs are enforced as far as they can be.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub limits_as_possible: bool,
    /// It cannot leave the CPUs of [`crate::unit::LaunchUnit::affinity`].
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cpus: bool,
    /// Its memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryBounds>,
    /// Memory of all units of its job together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_memory: Option<MemoryBounds>,
    /// Device files that it may not open. Files that are the same device as one of `devices_allowed` are not among them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices_denied: Vec<String>,
    /// Device files that it may open; all others than those denied may be too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices_allowed: Vec<String>,
}
