//! Users, with their associations.

use std::sync::Arc;

use muster_model::accounting::{AssociationChanges, AssociationId, AssociationKey, User};
use muster_model::document::Document;
use muster_model::ids::{Identity, Name};
use muster_model::request::{Refusal, RefusalCode};

use super::super::authorisation;
use super::{Draft, associations, missing};

/// Users to make.
pub(super) struct New<'a> {
    pub names: &'a [Name],
    pub accounts: &'a [Name],
    pub partitions: &'a [Name],
    pub default_account: &'a Option<Name>,
    pub admin_level: &'a Option<Name>,
    pub association: &'a AssociationChanges,
}

pub(super) fn create(draft: &mut Draft, identity: &Identity, new: &New<'_>) -> Result<(), Refusal> {
    check_level(draft, identity, new.admin_level.as_ref())?;
    let all: Vec<Name> = vec!["".into()];
    let partitions = if new.partitions.is_empty() { &all } else { new.partitions };
    // By name: numbers of associations are given in the order in which Slurm gives them.
    let accounts: std::collections::BTreeSet<&Name> = new.accounts.iter().collect();
    for account in accounts {
        authorisation::may_change_account(&draft.policy, identity, account)?;
        let parent = draft.policy.account_association(account).map(|above| above.id);
        let parent = parent.ok_or_else(|| missing("account", account))?;
        for (user, partition) in new.names.iter().flat_map(|user| partitions.iter().map(move |part| (user, part))) {
            let key = AssociationKey { account: account.clone(), user: user.clone(), partition: partition.clone() };
            if let Some(mut association) = draft.associate(key, Some(parent)) {
                associations::apply(&draft.policy, &mut association, new.association)?;
                draft.put(Document::Association(Arc::new(association)));
            }
        }
    }
    for name in new.names {
        let default = new.default_account.clone().or_else(|| new.accounts.first().cloned());
        let mut user = match draft.policy.users.get(name) {
            Some(known) => (**known).clone(),
            None if name.is_empty() => return Err(missing("user", "without name")),
            None => User { name: name.clone(), default_account: None, admin_level: None },
        };
        user.default_account = user.default_account.take().or(default);
        user.admin_level = new.admin_level.clone().or(user.admin_level.take());
        draft.put(Document::User(Arc::new(user)));
    }
    Ok(())
}

pub(super) fn modify(
    draft: &mut Draft,
    identity: &Identity,
    names: &[Name],
    default_account: Option<&Name>,
    admin_level: Option<&Name>,
) -> Result<(), Refusal> {
    check_level(draft, identity, admin_level)?;
    for name in names {
        let mut user = (**draft.policy.users.get(name).ok_or_else(|| missing("user", name))?).clone();
        if let Some(account) = default_account {
            if identity.user != *name {
                authorisation::may_change_account(&draft.policy, identity, account)?;
            }
            let is_member = |key: &AssociationKey| key.user == *name && key.account == *account;
            if !draft.policy.association_index.keys().any(is_member) {
                return Err(Refusal::new(RefusalCode::InvalidAccount, format!("user {name} is not in {account}")));
            }
            user.default_account = Some(account.clone());
        }
        user.admin_level = admin_level.cloned().or(user.admin_level);
        draft.put(Document::User(Arc::new(user)));
    }
    Ok(())
}

/// Only operators may make operators.
fn check_level(draft: &Draft, identity: &Identity, level: Option<&Name>) -> Result<(), Refusal> {
    match level.map(|level| &**level) {
        None => Ok(()),
        Some("None" | "Operator" | "Administrator") => authorisation::may_change_accounting(&draft.policy, identity),
        Some(other) => Err(Refusal::new(RefusalCode::UnexpectedMessage, format!("no admin level {other}"))),
    }
}

pub(super) fn delete(draft: &mut Draft, identity: &Identity, names: &[Name]) -> Result<(), Refusal> {
    authorisation::may_change_accounting(&draft.policy, identity)?;
    for name in names {
        if draft.policy.users.remove(name).is_none() {
            return Err(missing("user", name));
        }
        let of_user = draft.policy.associations.values().filter(|association| association.key.user == *name);
        let ids: Vec<AssociationId> = of_user.map(|association| association.id).collect();
        for id in ids {
            draft.policy.remove_association(id);
        }
    }
    Ok(())
}

/// A user does not default to an account that it is not in any more.
pub(super) fn forget_default_accounts(draft: &mut Draft) {
    let users: Vec<Arc<User>> = draft.policy.users.values().cloned().collect();
    for user in users {
        let is_in = |account: &Name| {
            draft.policy.association_index.keys().any(|key| key.user == user.name && key.account == *account)
        };
        if user.default_account.as_ref().is_some_and(|account| !is_in(account)) {
            let other = draft.policy.associations.values().find(|association| association.key.user == user.name);
            let default_account = other.map(|association| association.key.account.clone());
            draft.put(Document::User(Arc::new(User { default_account, ..(*user).clone() })));
        }
    }
}
