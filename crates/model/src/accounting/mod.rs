//! Who may use how much: accounts, users, their associations, and qualities of service.
//!
//! The words are Slurm's (`sacctmgr`): an *association* ties a user, or an account as a whole, to its place in the tree
//! of accounts, with shares and limits; a *QOS* carries priority, limits and the right to preempt. Both are current rows
//! of the cluster. What is used at present is counted elsewhere: these rows only say what is allowed.

pub mod ageing;
mod amounts;
mod association;
mod change;
mod check;
mod freedom;
mod layers;
mod limits;
mod past;
mod policy;
mod qos;
mod reasons;
mod relative;
mod resolve;
mod resource;
mod tally;
mod tres;
mod violation;

pub use ageing::Ageing;
pub use amounts::{NodeAmounts, asked, held, in_all};
pub use association::{Account, Association, AssociationId, AssociationKey, Shares, User};
pub use change::{AccountingChange, AssociationChanges, ListChange, QosChanges};
pub use check::{Enforcement, Request, check_start, check_submit};
pub use freedom::Freedom;
pub use layers::Layers;
pub use limits::{CountLimit, LimitChanges, Limits, TresLimit};
pub use past::{PastUse, Used, past_use};
pub use policy::AccountingPolicy;
pub use qos::{Qos, QosFlag};
pub use relative::{Whole, amounts_of};
pub use resolve::{AccountingEnforce, Charge, ChargeRequest, charge, partition_takes};
pub use resource::{RemoteResource, ResourceChanges};
pub use tally::{Charged, Holder, Tallies, Tally};
pub use tres::{TresAmounts, TresClass};
pub use violation::{Level, Limit, Violation};
