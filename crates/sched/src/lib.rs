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
//! them. A later job may start now only where every planned start before it can stay at its time, on its nodes or on others.
//! Blocked jobs beyond the limits get a forecast over pools of like nodes. So every job is told when it is to start.
//!
//! # Cost
//!
//! Jobs that ask for the same thing form a group and share one compiled request; once one of them is blocked the others
//! are not tried. Trying costs one sweep over the nodes of the partition, kept as plain columns of numbers; a planned
//! start costs a walk over what comes free until then. A pass over what has changed since the last one
//! ([`Planner::plan_changes`]) costs a look at each group for each node that has changed.
//!
//! # Where to look
//!
//! | subject | module |
//! |---|---|
//! | the pass over the queue | `pass` |
//! | the queue in groups of equal requests | `queue` |
//! | what passes leave to each other | `books` |
//! | what is fixed about the nodes | `fleet` |
//! | accounts, QOS and their limits | `limits` |
//! | request and partition made ready | `ask`, `constraint`, `gres`, `licenses` |
//! | how much of a job fits on a node | `capacity`, over the columns of `free` |
//! | the same for blocks of nodes, remembered from sweep to sweep | `blocks` |
//! | which nodes | `choose`, over `runs` of neighbours, by `one_run` alone where that decides; `complete` where its order finds none |
//! | which running jobs make room | `preempt` |
//! | which nodes, where they are wired | `wiring` |
//! | what exactly each node gives | `share`, in amounts; `exact`, `cores`, `units` and `links`, one by one |
//! | what happens later | `future`, and its `order` |
//! | what reservations leave to a job, and when | `reservation` |
//! | the earliest time at which a job fits | `search` |
//! | starts deep in the queue, over classes of nodes | `forecast`, `classes` |
//! | can it ever run, may it, and when would it | `feasible`, `enforce`, `expect` |
//! | why does it wait, and what would help | `explain` |
//! | what comes about if nothing else happens | `play` |
//! | quick passes beside one over everything | `pair` |

mod alike;
mod ask;
mod blocks;
mod books;
mod budget;
mod capacity;
mod choose;
mod classes;
mod complete;
mod constraint;
mod cores;
mod enforce;
mod exact;
mod expect;
mod explain;
mod feasible;
mod fleet;
mod forecast;
mod free;
mod future;
mod gres;
mod hash;
mod job_units;
mod licenses;
mod limits;
mod links;
mod nodeset;
mod one_run;
mod order;
mod pair;
mod pass;
mod people;
mod planner;
mod play;
mod preempt;
mod queue;
mod reservation;
mod runs;
mod said;
mod search;
mod share;
mod supply;
mod units;
mod wiring;

pub use budget::Budget;
pub use pair::Planners;
pub use planner::Planner;
