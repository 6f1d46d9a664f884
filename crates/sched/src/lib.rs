//! Which jobs start now, where, and why the others wait.
//!
//! [`Planner::plan`] looks at an immutable [`PlanView`](muster_model::planning::PlanView) and proposes a
//! [`Plan`](muster_model::planning::Plan); the core re-checks each piece before it acts. The result is a function of
//! the view and the [`Budget`]: what the planner keeps between passes only saves work.
//!
//! # The rule of a pass
//!
//! The queue is walked in its order. A job that fits starts. The first of a partition that does not fit waits for
//! `Resources`, those behind it for `Priority`. Blocked jobs, up to the limits of the budget, get a planned start: the
//! earliest time at which they fit, given when running jobs must end and what is already planned for jobs before
//! them. A later job may start now only where it leaves every planned start as it is.
//!
//! # Cost
//!
//! Jobs that ask for the same thing share one compiled request, and once one of them is blocked the others are not
//! tried. Trying costs one sweep over the nodes of the partition, kept as plain columns of numbers.
//!
//! # Where to look
//!
//! | subject | module |
//! |---|---|
//! | the pass over the queue | `pass` |
//! | what is fixed about the nodes | `fleet` |
//! | accounts, QOS and their limits | `limits` |
//! | request and partition made ready | `ask`, `constraint`, `gres`, `licenses` |
//! | how much of a job fits on a node | `capacity`, over the columns of `free` |
//! | which nodes | `choose` |
//! | what exactly each node gives | `share` |
//! | what happens later | `future` |
//! | can it ever run, and when would it | `feasible`, `expect` |
//!
//! Preemption, reservations, topology and sockets are not part of this crate yet.

mod ask;
mod budget;
mod capacity;
mod choose;
mod constraint;
mod expect;
mod feasible;
mod fleet;
mod free;
mod future;
mod gres;
mod hash;
mod licenses;
mod limits;
mod nodeset;
mod pass;
mod people;
mod planner;
mod share;
mod supply;

pub use budget::Budget;
pub use planner::Planner;
