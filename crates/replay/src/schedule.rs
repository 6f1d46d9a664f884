//! What a replay gives: when each job starts.

use std::fmt;
use std::str::FromStr;

use muster_model::time::Timestamp;

/// A way to decide who starts when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Policy {
    /// The planner of this product.
    Muster,
    /// First come, first served: nobody passes anybody.
    Fcfs,
    /// Backfill that may not delay the first job of the queue, going by limits.
    Easy,
    /// Backfill that may not delay any job of the queue, going by limits.
    Conservative,
    /// EASY that looks at the shortest jobs first.
    SjfEasy,
}

impl Policy {
    /// All, in the order in which they are shown.
    pub const ALL: [Policy; 5] = [Policy::Muster, Policy::Fcfs, Policy::Easy, Policy::Conservative, Policy::SjfEasy];

    /// The name on command lines and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Policy::Muster => "muster",
            Policy::Fcfs => "fcfs",
            Policy::Easy => "easy",
            Policy::Conservative => "conservative",
            Policy::SjfEasy => "sjf-easy",
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Policy, String> {
        Policy::ALL.into_iter().find(|policy| policy.name() == text).ok_or_else(|| {
            let names = Policy::ALL.map(Policy::name).join(", ");
            format!("no policy {text:?}; there are {names}, and all")
        })
    }
}

/// The start of each job of a workload, in its order; `None` for a job that cannot start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schedule {
    /// Starts.
    pub starts: Vec<Option<Timestamp>>,
}
