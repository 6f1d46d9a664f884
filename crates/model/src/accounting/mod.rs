//! Who may use how much: accounts, users, their associations, and qualities of service.
//!
//! The words are Slurm's (`sacctmgr`): an *association* ties a user, or an account as a whole, to its place in the tree
//! of accounts, with shares and limits; a *QOS* carries priority, limits and the right to preempt. Both are current rows
//! of the cluster. What is used at present is counted elsewhere: these rows only say what is allowed.

mod association;
mod limits;
mod policy;
mod qos;
mod tres;

pub use association::{Account, Association, AssociationId, AssociationKey, Shares, User};
pub use limits::{GroupLimits, JobLimits};
pub use policy::AccountingPolicy;
pub use qos::{Qos, QosFlag};
pub use tres::TresAmounts;
