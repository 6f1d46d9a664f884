//! Shares, limits and QOS of associations, and their place in the tree.

use std::sync::Arc;

use muster_model::accounting::{AccountingPolicy, Association, AssociationChanges, AssociationId, ListChange};
use muster_model::document::Document;
use muster_model::ids::Identity;
use muster_model::request::{Refusal, RefusalCode};

use super::super::authorisation;
use super::{Draft, missing};

pub(super) fn modify(
    draft: &mut Draft,
    identity: &Identity,
    ids: &[AssociationId],
    changes: &AssociationChanges,
) -> Result<(), Refusal> {
    for id in ids {
        let mut association = (**draft.policy.associations.get(id).ok_or_else(|| unknown(*id))?).clone();
        authorisation::may_change_account(&draft.policy, identity, &association.key.account)?;
        apply(&draft.policy, &mut association, changes)?;
        draft.put(Document::Association(Arc::new(association)));
    }
    Ok(())
}

fn unknown(id: AssociationId) -> Refusal {
    Refusal::new(RefusalCode::InvalidAccount, format!("no association {}", id.0))
}

/// Makes `changes` in a row that is not yet put.
pub(super) fn apply(
    policy: &AccountingPolicy,
    association: &mut Association,
    changes: &AssociationChanges,
) -> Result<(), Refusal> {
    if let Some(parent) = &changes.parent {
        reparent(policy, association, parent)?;
    }
    association.shares = changes.shares.unwrap_or(association.shares);
    association.priority = changes.priority.unwrap_or(association.priority);
    if let Some(list) = &changes.qos_allowed {
        if let Some(name) = list.items().iter().find(|name| !policy.qos.contains_key(*name)) {
            return Err(missing("qos", name));
        }
        association.qos_allowed = match list {
            ListChange::Set(names) if names.is_empty() => None,
            change => {
                // A list that adds to what was taken from above begins with that.
                let inherited = || association.parent.and_then(|id| policy.associations.get(&id));
                let base = association.qos_allowed.clone();
                let base = base.or_else(|| inherited().map(|above| policy.qos_allowed(above))).unwrap_or_default();
                Some(change.apply(&base))
            }
        };
    }
    if let Some(default) = &changes.qos_default {
        if let Some(name) = default.as_ref().filter(|name| !policy.qos.contains_key(*name)) {
            return Err(missing("qos", name));
        }
        association.qos_default = default.clone();
    }
    association.limits.change(&changes.limits);
    Ok(())
}

fn reparent(policy: &AccountingPolicy, association: &mut Association, parent: &str) -> Result<(), Refusal> {
    if !association.key.user.is_empty() || association.parent.is_none() {
        return Err(Refusal::new(
            RefusalCode::InvalidAccount,
            "only accounts below root have another account above them",
        ));
    }
    let above = policy.account_association(parent).ok_or_else(|| missing("account", parent))?;
    if policy.lineage(above.id).any(|line| line.id == association.id) {
        return Err(Refusal::new(
            RefusalCode::InvalidAccount,
            format!("{parent} is below {}", association.key.account),
        ));
    }
    association.parent = Some(above.id);
    Ok(())
}

/// Takes associations of users away; a user stays, even without any.
pub(super) fn delete(draft: &mut Draft, identity: &Identity, ids: &[AssociationId]) -> Result<(), Refusal> {
    for id in ids {
        let association = draft.policy.associations.get(id).ok_or_else(|| unknown(*id))?.clone();
        authorisation::may_change_account(&draft.policy, identity, &association.key.account)?;
        if association.key.user.is_empty() {
            return Err(Refusal::new(RefusalCode::InvalidAccount, "an account goes as a whole"));
        }
        draft.policy.remove_association(*id);
    }
    super::users::forget_default_accounts(draft);
    Ok(())
}
