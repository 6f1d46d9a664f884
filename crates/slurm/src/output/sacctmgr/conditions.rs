//! Which rows a command is about: `where` conditions, and names that stand alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use muster_model::accounting::{AccountingPolicy, Association, AssociationId};
use muster_model::ids::Name;

use super::words::Setting;

/// Conditions; an empty list is none. All must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Conditions {
    /// Names that the entity goes by: accounts, users or QOS.
    pub(super) names: Vec<Name>,
    pub(super) accounts: Vec<Name>,
    pub(super) users: Vec<Name>,
    pub(super) partitions: Vec<Name>,
    pub(super) parents: Vec<Name>,
    pub(super) clusters: Vec<Name>,
    pub(super) qos: Vec<Name>,
    pub(super) ids: Vec<Name>,
}

impl Conditions {
    /// Takes in one condition; `false` when it is none. What stands alone is a name.
    pub(super) fn take(&mut self, setting: &Setting) -> bool {
        let list = match setting {
            plain if plain.key.is_empty() => &mut self.names,
            named if named.is(&[("names", 1)]) => &mut self.names,
            account if account.is(&[("accounts", 2)]) => &mut self.accounts,
            user if user.is(&[("users", 1)]) => &mut self.users,
            partition if partition.is(&[("partitions", 4)]) => &mut self.partitions,
            parent if parent.is(&[("parents", 3)]) => &mut self.parents,
            cluster if cluster.is(&[("clusters", 1)]) => &mut self.clusters,
            qos if qos.is(&[("qoslevel", 1)]) => &mut self.qos,
            id if id.is(&[("ids", 1)]) => &mut self.ids,
            _ => return false,
        };
        list.extend(setting.names());
        true
    }

    /// Whether nothing is asked for.
    pub(super) fn are_empty(&self) -> bool {
        *self == Conditions::default()
    }

    /// Whether the cluster is meant.
    pub(super) fn is_here(&self, cluster: &str) -> bool {
        self.clusters.is_empty() || self.clusters.iter().any(|name| name.eq_ignore_ascii_case(cluster))
    }

    /// Whether an association passes.
    pub(super) fn takes(&self, policy: &AccountingPolicy, association: &Association) -> bool {
        let among = |list: &[Name], value: &Name| list.is_empty() || list.contains(value);
        let key = &association.key;
        let parent = association.parent.and_then(|id| policy.associations.get(&id));
        among(&self.accounts, &key.account)
            && among(&self.users, &key.user)
            && among(&self.partitions, &key.partition)
            && (self.parents.is_empty() || parent.is_some_and(|parent| self.parents.contains(&parent.key.account)))
            && (self.qos.is_empty() || policy.qos_allowed(association).iter().any(|name| self.qos.contains(name)))
            && among(&self.ids, &association.id.0.to_string().as_str().into())
    }
}

/// Associations from the top down: an account, its users, the accounts below it, each by name; with their depth.
pub(super) fn tree(policy: &AccountingPolicy) -> Vec<(usize, Arc<Association>)> {
    let mut found = Vec::new();
    let roots = policy.associations.values().filter(|association| association.parent.is_none());
    for root in roots {
        descend(policy, root, 0, &mut found);
    }
    found
}

/// Those of [`tree`] that pass. What stands without the one above it comes in the order of age, the newest first.
pub(super) fn part_of_tree(
    policy: &AccountingPolicy,
    passes: impl Fn(&Association) -> bool,
) -> Vec<(usize, Arc<Association>)> {
    let mut groups: Vec<Vec<(usize, Arc<Association>)>> = Vec::new();
    let mut there: BTreeSet<AssociationId> = BTreeSet::new();
    for (depth, row) in tree(policy).into_iter().filter(|(_, row)| passes(row)) {
        there.insert(row.id);
        match groups.last_mut().filter(|_| row.parent.is_some_and(|parent| there.contains(&parent))) {
            Some(group) => group.push((depth, row)),
            None => groups.push(vec![(depth, row)]),
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.first().map(|(_, row)| row.id)));
    groups.concat()
}

fn descend(policy: &AccountingPolicy, at: &Arc<Association>, depth: usize, found: &mut Vec<(usize, Arc<Association>)>) {
    // A tree cannot be deeper than it has nodes: damage in a row must not make this endless.
    if found.len() > policy.associations.len() {
        return;
    }
    found.push((depth, at.clone()));
    let mut below: Vec<&Arc<Association>> = policy.children(at.id).collect();
    below.sort_by_key(|association| (association.key.user.is_empty(), association.key.clone()));
    for association in below {
        descend(policy, association, depth + 1, found);
    }
}

/// All associations below one, the newest first.
pub(super) fn below(policy: &AccountingPolicy, top: AssociationId) -> Vec<Arc<Association>> {
    let is_below = |association: &&Arc<Association>| {
        association.id != top && policy.lineage(association.id).any(|line| line.id == top)
    };
    let mut found: Vec<Arc<Association>> = policy.associations.values().filter(is_below).cloned().collect();
    found.reverse();
    found
}
