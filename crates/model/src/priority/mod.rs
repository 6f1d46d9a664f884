//! The order of the queue: what each job's priority is made of, what was used by whom, and who is owed how much.
//!
//! A job's priority is a pure function of its row and of a [`PrioritySnapshot`], which is taken at one calculation and
//! stays as it is until the next. So whoever asks later why a job has its priority gets, as a [`PriorityLedger`], the
//! very parts whose sum is the number in its row.
//!
//! The arithmetic is that of Slurm 22.05 (`priority/multifactor`, Fair Tree and classic), found by running it.

mod amounts;
mod config;
mod fair_share;
mod ledger;
mod report;
mod snapshot;
#[cfg(test)]
mod tests;
mod usage;
mod weight;

pub use amounts::{TresCounts, allocated, billed, billing_of, cpus_requested, requested, with_billing};
pub use config::{PriorityConfig, PriorityFlag, PriorityType, UsageResetPeriod};
pub use fair_share::{FairShare, FairShares, ShareInput, fair_shares};
pub use ledger::{
    PriorityLedger, PriorityTerm, SITE_PRIORITY_BASE, TresTerm, by_partition, ledger, ledgers, once_changed,
    site_factor,
};
pub use report::{PriorityReport, PriorityRow, ShareFigures, ShareReport, ShareRow};
pub use snapshot::{CalculationProgress, PartitionTerms, PrioritySnapshot, Standing, association_of, qos_of};
pub use usage::{PastRun, Usage, UsageAccounts, UsageOf, UsageRecord};
pub use weight::Weight;
