//! All rows together, with the ways to find them.

use std::sync::Arc;

use imbl::OrdMap;

use super::{Account, Association, AssociationId, AssociationKey, Qos, User};
use crate::ids::Name;

/// Accounts, users, associations and QOS of the cluster. Cloning copies a few pointers.
#[derive(Debug, Clone, Default)]
pub struct AccountingPolicy {
    /// Accounts by name.
    pub accounts: OrdMap<Name, Arc<Account>>,
    /// Users by name.
    pub users: OrdMap<Name, Arc<User>>,
    /// Associations by number: parents need not come first.
    pub associations: OrdMap<AssociationId, Arc<Association>>,
    /// Numbers of associations by what they are found by.
    pub association_index: OrdMap<AssociationKey, AssociationId>,
    /// QOS by name.
    pub qos: OrdMap<Name, Arc<Qos>>,
}

impl AccountingPolicy {
    /// The association for jobs of `user` with `account` in `partition`: that of the partition before that of all.
    pub fn association(&self, account: &str, user: &str, partition: &str) -> Option<&Arc<Association>> {
        let find = |partition: &str| {
            let key = AssociationKey { account: account.into(), user: user.into(), partition: partition.into() };
            self.association_index.get(&key).and_then(|id| self.associations.get(id))
        };
        find(partition).or_else(|| find(""))
    }

    /// `association` and those above it, up to the root.
    pub fn lineage(&self, association: AssociationId) -> impl Iterator<Item = &Arc<Association>> + '_ {
        let first = self.associations.get(&association);
        // A tree cannot be deeper than it has nodes: damage in a row must not make this endless.
        std::iter::successors(first, |below| below.parent.and_then(|parent| self.associations.get(&parent)))
            .take(self.associations.len())
    }
}
