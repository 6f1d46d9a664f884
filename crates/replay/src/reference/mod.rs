//! The policies that every paper compares with, each implemented simply and by itself.
//!
//! They know a machine as a number of equal units (processors, or whole nodes) and jobs as [`Demand`]s, and share nothing
//! with the planner of this product, so that each is a check of the other. Jobs that need more units than there are do
//! not start and hold nobody up. At one moment ends come first, then submits, then starts.

mod conservative;
mod easy;
mod fcfs;
mod profile;

use muster_model::time::Timestamp;

use crate::schedule::{Policy, Schedule};
use crate::workload::Demand;

/// What a replay tells while it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// The job at this place of the workload has started at this time (milliseconds).
    Started {
        /// Place in the workload.
        job: usize,
        /// When.
        at: i64,
    },
    /// The policy has promised that the job starts at this time or earlier.
    Promised {
        /// Place in the workload.
        job: usize,
        /// When at the latest.
        at: i64,
    },
}

/// Replays `jobs`, which are in the order of their submit, on `units` units; `None` for [`Policy::Muster`], which needs
/// more than numbers.
pub fn run(policy: Policy, jobs: &[Demand], units: u32, watch: &mut dyn FnMut(Note)) -> Option<Schedule> {
    let mut recorder = Recorder { starts: vec![None; jobs.len()], watch };
    match policy {
        Policy::Muster => return None,
        Policy::Fcfs => fcfs::run(jobs, units, &mut recorder),
        Policy::Easy => easy::run(jobs, units, easy::Order::Arrival, &mut recorder),
        Policy::SjfEasy => easy::run(jobs, units, easy::Order::Shortest, &mut recorder),
        Policy::Conservative => conservative::run(jobs, units, &mut recorder),
    }
    Some(Schedule { starts: recorder.starts })
}

/// Where the policies write down what they do.
struct Recorder<'a> {
    starts: Vec<Option<Timestamp>>,
    watch: &'a mut dyn FnMut(Note),
}

impl Recorder<'_> {
    fn start(&mut self, job: usize, at: i64) {
        self.starts[job] = Some(Timestamp(at));
        (self.watch)(Note::Started { job, at });
    }

    fn promise(&mut self, job: usize, at: i64) {
        (self.watch)(Note::Promised { job, at });
    }
}
