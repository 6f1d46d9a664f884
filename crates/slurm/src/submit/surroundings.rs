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
    /// Numbers of the limits that go along unless the user says which; `None` for all.
    pub limits_propagated: Option<&'a [u32]>,
    /// `MaxArraySize`, if known; else Slurm's greatest.
    pub array_size_max: Option<u32>,
    /// `max_script_size` in bytes, if known; else Slurm's default of 4 MiB.
    pub script_size_max: Option<u64>,
    /// The longest time from one look at the tasks of a job with limited memory to the next, in seconds, if there is one.
    pub measure_seconds_max: Option<u32>,
    /// Jobs that ask for no memory have a limit of it.
    pub memory_by_default: bool,
}

impl Surroundings<'_> {
    /// The same with another environment.
    pub fn with_environment<'b>(&'b self, environment: &'b BTreeMap<String, String>) -> Surroundings<'b> {
        let world = &self.world;
        Surroundings {
            world: World { zone: world.zone.clone(), ..*world },
            environment,
            identity: self.identity.clone(),
            ..*self
        }
    }

    /// The environment as it is for one component of the heterogeneous job around: what is said of that component is said
    /// plainly, and what is said of others only is not there.
    pub fn environment_of_group(&self, group: u32) -> BTreeMap<String, String> {
        let mut all = self.environment.clone();
        if !all.contains_key("SLURM_HET_SIZE") {
            return all;
        }
        let parts = |name: &str| {
            let (base, group) = name.split_once("_HET_GROUP_")?;
            // The number is that of the leader, whichever component is meant.
            let is_number = matches!(base, "SLURM_JOB_ID" | "SLURM_JOBID");
            Some((base.to_owned(), group.parse::<u32>().ok()?)).filter(|_| !is_number)
        };
        for (base, _) in self.environment.keys().filter_map(|name| parts(name)) {
            all.remove(&base);
        }
        for (name, value) in self.environment {
            if let Some((base, _)) = parts(name).filter(|(_, of)| *of == group) {
                all.insert(base, value.clone());
            }
        }
        all
    }

    /// A variable of the environment.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str)
    }
}
