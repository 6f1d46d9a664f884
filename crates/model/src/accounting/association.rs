//! Accounts, users, and the tree that they form.

use serde::{Deserialize, Serialize};

use super::Limits;
use crate::ids::Name;

/// Number of an association; never reused. The root account has 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AssociationId(pub u32);

/// What an association is found by. The user is empty for an account as a whole, the partition for all partitions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AssociationKey {
    /// Account.
    pub account: Name,
    /// User, or empty.
    pub user: Name,
    /// Partition, or empty.
    pub partition: Name,
}

/// Claim on the cluster, relative to siblings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shares {
    /// So many.
    Raw(u32),
    /// `fairshare=parent`: counts as its parent does.
    Parent,
}

/// An account: a name for people. Its place and limits are in its association.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Name, in lower case.
    pub name: Name,
    /// Description.
    pub description: Name,
    /// Organisation.
    pub organization: Name,
    /// Users who may change it and what is below it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub coordinators: Vec<Name>,
}

/// A user of accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Name, in lower case.
    pub name: Name,
    /// Account of jobs that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_account: Option<Name>,
    /// `None`, `Operator` or `Administrator`, as Slurm writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_level: Option<Name>,
}

/// One node of the tree of accounts and users, with shares and limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Association {
    /// Number.
    pub id: AssociationId,
    /// What it is found by.
    pub key: AssociationKey,
    /// Association above it; `None` for the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<AssociationId>,
    /// Claim relative to its siblings.
    pub shares: Shares,
    /// Priority, compared with the greatest of all associations; 0 takes that of its parent.
    #[serde(default)]
    pub priority: u32,
    /// QOS that its jobs may use; `None` takes those of its parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qos_allowed: Option<Vec<Name>>,
    /// QOS of jobs that name none; `None` takes that of its parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qos_default: Option<Name>,
    /// Limits. `Grp…` hold over it and all below it; of the others it takes from its parent what it does not set.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
}
