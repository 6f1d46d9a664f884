//! Jobs to replay, in the order in which they came.

use std::sync::Arc;

use muster_model::ids::Name;
use muster_model::job::JobSpec;
use muster_model::time::{Span, Timestamp};

/// Jobs and what is known of the machine they ran on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Workload {
    /// In the order in which they became eligible; equal times in the order of the source.
    pub jobs: Vec<Submission>,
    /// Nodes of the machine, where the source says so (`MaxNodes` of an SWF header).
    pub nodes: Option<u32>,
    /// Processors of the machine, where the source says so (`MaxProcs`).
    pub cpus: Option<u32>,
    /// Records of the source that are no jobs to replay: those that never ran or did so for no time.
    pub left_out: usize,
    /// Jobs whose limit was raised to the time they really ran.
    pub limits_raised: usize,
}

/// One job.
#[derive(Debug, Clone, PartialEq)]
pub struct Submission {
    /// Its number in the source.
    pub number: u32,
    /// When it could start at the earliest: its submit, or later where it was held back.
    pub submit: Timestamp,
    /// How long it ran; more than nothing.
    pub run: Span,
    /// How long its user said it would run at most; at least [`Submission::run`].
    pub limit: Span,
    /// Processors it held; at least 1.
    pub cpus: u32,
    /// Number of its user.
    pub user: u32,
    /// Its priority, where the source knows one; 1 leaves the order to the submit time.
    pub priority: u32,
    /// Its partition or queue; `None` for the default one.
    pub partition: Option<Name>,
    /// All that it asked for, where the source knows more than processors.
    pub spec: Option<Arc<JobSpec>>,
}

/// What jobs are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unit {
    /// Any free processors, as if the machine were one pool.
    #[default]
    Processors,
    /// Whole nodes with so many processors each.
    WholeNodes {
        /// Processors of a node.
        cpus_per_node: u32,
    },
}

/// One job as the reference policies see it: numbers only. Times are milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// When it comes.
    pub submit: i64,
    /// How long it runs.
    pub run: i64,
    /// How long it is expected to run at most.
    pub limit: i64,
    /// Units it holds.
    pub size: u32,
}

impl Workload {
    /// Puts the jobs into order and makes limits cover run times.
    pub(crate) fn settle(mut self) -> Workload {
        for job in &mut self.jobs {
            if job.run > job.limit {
                job.limit = job.run;
                self.limits_raised += 1;
            }
        }
        // Stable: records of one time keep their order.
        self.jobs.sort_by_key(|job| job.submit);
        self
    }

    /// The jobs as the reference policies see them.
    pub fn demands(&self, unit: Unit) -> Vec<Demand> {
        let size = |cpus: u32| match unit {
            Unit::Processors => cpus,
            Unit::WholeNodes { cpus_per_node } => cpus.div_ceil(cpus_per_node.max(1)),
        };
        let demand = |job: &Submission| Demand {
            submit: job.submit.0,
            run: job.run.0,
            limit: job.limit.0,
            size: size(job.cpus),
        };
        self.jobs.iter().map(demand).collect()
    }

    /// The most processors that one job holds.
    pub fn cpus_max(&self) -> u32 {
        self.jobs.iter().map(|job| job.cpus).max().unwrap_or(0)
    }

    /// Takes out the jobs that `machine_cpus` processors can never hold, and says how many these were.
    pub fn leave_out_larger_than(&mut self, machine_cpus: u32) -> usize {
        let before = self.jobs.len();
        self.jobs.retain(|job| job.cpus <= machine_cpus);
        let gone = before - self.jobs.len();
        self.left_out += gone;
        gone
    }
}
