//! Heterogeneous jobs: several jobs with different resources that are submitted as one and start at the same instant.
//!
//! Each component is a job of its own, with a number, a specification and an allocation; what ties them together is the
//! [`HetRole`] in their rows. The first component leads: the whole is named by its number, and the batch script runs in it.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::ids::JobId;
use crate::job::Job;

/// Most components of one heterogeneous job (Slurm: `MAX_HET_JOB_COMPS`).
pub const COMPONENTS_MAX: usize = 128;

/// A job's place in a heterogeneous job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HetRole {
    /// Number of the first component, by which the whole is named (Slurm: `HetJobId`).
    pub leader: JobId,
    /// Position of this component; the leader has 0 (Slurm: `HetJobOffset`).
    pub offset: u32,
    /// Number of components.
    pub size: u32,
}

impl HetRole {
    /// Whether this is the first component.
    pub fn is_leader(self) -> bool {
        self.offset == 0
    }

    /// The number of the component at `offset`, if there is one: they were given numbers one after the other.
    pub fn component(self, offset: u32) -> Option<JobId> {
        (offset < self.size).then(|| JobId(self.leader.0.saturating_add(offset)))
    }

    /// The numbers of all components, ascending (Slurm: `HetJobIdSet`).
    pub fn ids(self) -> impl DoubleEndedIterator<Item = JobId> {
        self.range().map(JobId)
    }

    /// The same as a range, to look up rows by.
    pub fn range(self) -> RangeInclusive<u32> {
        self.leader.0..=self.leader.0.saturating_add(self.size.saturating_sub(1))
    }
}

impl Job {
    /// The numbers of all components of its heterogeneous job; only its own, where it belongs to none.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = JobId> + use<> {
        let alone = HetRole { leader: self.id, offset: 0, size: 1 };
        self.het.unwrap_or(alone).ids()
    }

    /// Whether it is a component that another one leads.
    pub fn is_led(&self) -> bool {
        self.het.is_some_and(|role| !role.is_leader())
    }

    /// The number by which people name it in a heterogeneous job: that of the leader.
    pub fn het_job_id(&self) -> Option<JobId> {
        self.het.map(|role| role.leader)
    }
}
