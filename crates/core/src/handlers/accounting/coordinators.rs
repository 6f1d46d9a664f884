//! Coordinators: users who look after an account.

use std::sync::Arc;

use muster_model::document::Document;
use muster_model::ids::{Identity, Name};
use muster_model::request::Refusal;

use super::super::authorisation;
use super::{Draft, missing};

/// Adds or removes `users` as coordinators of `accounts`.
pub(super) fn change(
    draft: &mut Draft,
    identity: &Identity,
    users: &[Name],
    accounts: &[Name],
    add: bool,
) -> Result<(), Refusal> {
    for name in accounts {
        authorisation::may_change_account(&draft.policy, identity, name)?;
        let mut account = (**draft.policy.accounts.get(name).ok_or_else(|| missing("account", name))?).clone();
        for user in users {
            if !draft.policy.users.contains_key(user) {
                return Err(missing("user", user));
            }
            account.coordinators.retain(|known| known != user);
            if add {
                account.coordinators.push(user.clone());
            }
        }
        account.coordinators.sort_unstable();
        draft.put(Document::Account(Arc::new(account)));
    }
    Ok(())
}
