//! What the submitting commands must know from outside.

use std::collections::BTreeMap;

use muster_model::ids::Identity;

pub use crate::options::spec::{Host, ReadError, World};

/// Everything from outside. The command-line crate fills it in from the system, tests from constants.
pub struct Surroundings<'a> {
    /// Time, directory, look-ups.
    pub world: World<'a>,
    /// The environment of the command.
    pub environment: &'a BTreeMap<String, String>,
    /// Who calls.
    pub identity: Identity,
    /// Name of this host, without its domain.
    pub host_name: &'a str,
    /// Session number of the calling shell (`AllocNode:Sid`).
    pub session: u32,
    /// File mode creation mask.
    pub umask: u32,
    /// Soft resource limits: Linux number and value (`u64::MAX` for unlimited).
    pub limits: &'a [(u32, u64)],
    /// `MaxArraySize`, if known; else Slurm's greatest.
    pub array_size_max: Option<u32>,
    /// `max_script_size` in bytes, if known; else Slurm's default of 4 MiB.
    pub script_size_max: Option<u64>,
}

impl Surroundings<'_> {
    /// A variable of the environment.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str)
    }
}
