//! The whole system in virtual time, with everything that can fail failing: a failure is a seed.
//!
//! The real core, the real scheduler and the real decisions of the agent are put together with a store that keeps
//! whole batches, a network that loses connections, supervisors whose processes run on paper, and users who change
//! their minds. One generator of random numbers decides everything, so a seed gives the same trace every time.
//!
//! After each event the invariants of the core are checked, and what really happened is compared with what is promised:
//!
//! - no acknowledged submit is lost, whenever the controller dies;
//! - no unit is started twice, and no CPU is used by two jobs at once, whatever the controller believes;
//! - a job or step ends with the exit code and usage of its processes;
//! - when nothing fails any more, everything comes to rest: no job completes for ever, no process is forgotten, nobody
//!   waits who need not wait.
//!
//! | subject | module |
//! |---|---|
//! | agenda and main loop | `world` |
//! | the actors | `controller`, `node`, `supervisor`, `users`, `askers` |
//! | what lies between them | `network`, `store` |
//! | what goes wrong | `misfortune`, and the hazards in `options` |
//! | what must hold | `truth`, `patience`, `ending`, and `muster_core::invariants` |

mod askers;
mod controller;
mod ending;
mod misfortune;
mod network;
mod node;
mod options;
mod patience;
mod random;
mod scenario;
mod store;
mod supervisor;
mod trace;
mod truth;
mod users;
mod world;

pub use options::{Counts, Options, Report};
pub use random::Random;
pub use world::run;
