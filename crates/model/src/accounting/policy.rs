//! All rows together, with the ways to find them.

use std::sync::Arc;

use imbl::OrdMap;

use super::{Account, Association, AssociationId, AssociationKey, CountLimit, Layers, Qos, RemoteResource, User};
use crate::document::Document;
use crate::ids::Name;

/// Accounts, users, associations, QOS and remote licences of the cluster. Cloning copies a few pointers.
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
    /// Remote licences by `name@server`.
    pub resources: OrdMap<Name, Arc<RemoteResource>>,
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

    /// QOS that jobs of `association` may use: its own list, or that of the nearest above it with one.
    pub fn qos_allowed(&self, association: &Association) -> Vec<Name> {
        let found = self.lineage(association.id).find_map(|association| association.qos_allowed.clone());
        found.unwrap_or_default()
    }

    /// Priority of an association: its own, or that of the nearest above it with one.
    pub fn association_priority(&self, association: &Association) -> u32 {
        self.lineage(association.id).map(|association| association.priority).find(|own| *own > 0).unwrap_or(0)
    }

    /// QOS of jobs of `association` that name none, if one is set for it or above it.
    pub fn qos_default(&self, association: &Association) -> Option<Name> {
        self.lineage(association.id).find_map(|association| association.qos_default.clone())
    }

    /// Priority below which no resources are kept for a job in future (`MinPrioThreshold`): of the first QOS or
    /// association that sets one.
    pub fn priority_min(layers: &Layers) -> Option<u64> {
        let limit = CountLimit::MinPrioThreshold;
        let of_association = || layers.association_count(limit).map(|(_, least)| least);
        layers.qos_count(limit).map(|(_, least)| least).or_else(of_association)
    }

    /// Associations directly below `parent`.
    pub fn children(&self, parent: AssociationId) -> impl Iterator<Item = &Arc<Association>> + '_ {
        self.associations.values().filter(move |association| association.parent == Some(parent))
    }

    /// The association of an account as a whole.
    pub fn account_association(&self, account: &str) -> Option<&Arc<Association>> {
        let key = AssociationKey { account: account.into(), user: "".into(), partition: "".into() };
        self.association_index.get(&key).and_then(|id| self.associations.get(id))
    }

    /// Puts a row in, in place of the one with its key.
    pub fn put(&mut self, document: &Document) {
        match document.clone() {
            Document::Account(row) => drop(self.accounts.insert(row.name.clone(), row)),
            Document::User(row) => drop(self.users.insert(row.name.clone(), row)),
            Document::Qos(row) => drop(self.qos.insert(row.name.clone(), row)),
            Document::Resource(row) => drop(self.resources.insert(row.key(), row)),
            Document::Association(row) => {
                if let Some(old) = self.associations.insert(row.id, row.clone()) {
                    self.association_index.remove(&old.key);
                }
                self.association_index.insert(row.key.clone(), row.id);
            }
            Document::Reservation(_) | Document::Usage(_) | Document::Crontab(_) => {}
        }
    }

    /// All rows.
    pub fn documents(&self) -> impl Iterator<Item = Document> + '_ {
        let accounts = self.accounts.values().cloned().map(Document::Account);
        let users = self.users.values().cloned().map(Document::User);
        let qos = self.qos.values().cloned().map(Document::Qos);
        let resources = self.resources.values().cloned().map(Document::Resource);
        let associations = self.associations.values().cloned().map(Document::Association);
        accounts.chain(users).chain(qos).chain(resources).chain(associations)
    }

    /// Takes an association away.
    pub fn remove_association(&mut self, id: AssociationId) {
        if let Some(old) = self.associations.remove(&id) {
            self.association_index.remove(&old.key);
        }
    }
}
