//! Accounts, with the associations that give them their place.

use std::sync::Arc;

use muster_model::accounting::{Account, AssociationChanges, AssociationId, AssociationKey};
use muster_model::document::Document;
use muster_model::ids::{Identity, Name};
use muster_model::request::{Refusal, RefusalCode};

use super::super::authorisation;
use super::defaults::ROOT;
use super::{Draft, associations, missing};

pub(super) fn create(
    draft: &mut Draft,
    identity: &Identity,
    accounts: &[Account],
    parent: &Name,
    changes: &AssociationChanges,
) -> Result<(), Refusal> {
    authorisation::may_change_account(&draft.policy, identity, parent)?;
    let parent =
        draft.policy.account_association(parent).map(|above| above.id).ok_or_else(|| missing("account", parent))?;
    for account in accounts {
        if account.name.is_empty() {
            return Err(Refusal::new(RefusalCode::InvalidAccount, "an account needs a name"));
        }
        if !draft.policy.accounts.contains_key(&account.name) {
            draft.put(Document::Account(Arc::new(account.clone())));
        }
        let key = AssociationKey { account: account.name.clone(), user: "".into(), partition: "".into() };
        if let Some(mut association) = draft.associate(key, Some(parent)) {
            let changes = AssociationChanges { parent: None, ..changes.clone() };
            associations::apply(&draft.policy, &mut association, &changes)?;
            draft.put(Document::Association(Arc::new(association)));
        }
    }
    Ok(())
}

pub(super) fn modify(
    draft: &mut Draft,
    identity: &Identity,
    names: &[Name],
    description: Option<&Name>,
    organization: Option<&Name>,
) -> Result<(), Refusal> {
    for name in names {
        authorisation::may_change_account(&draft.policy, identity, name)?;
        let mut account = (**draft.policy.accounts.get(name).ok_or_else(|| missing("account", name))?).clone();
        account.description = description.unwrap_or(&account.description).clone();
        account.organization = organization.unwrap_or(&account.organization).clone();
        draft.put(Document::Account(Arc::new(account)));
    }
    Ok(())
}

/// Takes accounts away, with those below them and all their users' associations.
pub(super) fn delete(draft: &mut Draft, identity: &Identity, names: &[Name]) -> Result<(), Refusal> {
    for name in names {
        if **name == *ROOT {
            return Err(Refusal::new(RefusalCode::AccessDenied, "the root account stays"));
        }
        authorisation::may_change_account(&draft.policy, identity, name)?;
        if draft.policy.accounts.remove(name).is_none() {
            return Err(missing("account", name));
        }
        let Some(top) = draft.policy.account_association(name).map(|association| association.id) else { continue };
        let mut below: Vec<AssociationId> = vec![top];
        let mut position = 0;
        while let Some(id) = below.get(position).copied() {
            below.extend(draft.policy.children(id).map(|child| child.id));
            position += 1;
        }
        for id in below {
            if let Some(association) = draft.policy.associations.get(&id).cloned() {
                draft.policy.accounts.remove(&association.key.account);
                draft.policy.remove_association(id);
            }
        }
    }
    super::users::forget_default_accounts(draft);
    Ok(())
}
