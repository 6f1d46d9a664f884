//! Account, association and QOS of a job, from what its user asked for.

use serde::{Deserialize, Serialize};

use super::{AccountingPolicy, Association, AssociationId, Qos};
use crate::ids::Name;
use crate::partition::Partition;
use crate::request::{Refusal, RefusalCode};

/// `AccountingStorageEnforce`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AccountingEnforce {
    /// Jobs need an association.
    pub associations: bool,
    /// Limits hold.
    pub limits: bool,
    /// Jobs need a QOS that they may use.
    pub qos: bool,
    /// A job starts only when minutes suffice to its end.
    pub safe: bool,
}

impl AccountingEnforce {
    /// Reads the list. What rests on something else turns that on too.
    ///
    /// # Errors
    /// The word that means nothing.
    pub fn parse(text: &str) -> Result<AccountingEnforce, &str> {
        let mut enforce = AccountingEnforce::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word.to_ascii_lowercase().as_str() {
                "none" | "0" | "nojobs" | "nosteps" => {}
                "associations" | "1" => enforce.associations = true,
                "limits" | "2" => (enforce.associations, enforce.limits) = (true, true),
                "qos" => (enforce.associations, enforce.qos) = (true, true),
                "safe" => (enforce.associations, enforce.limits, enforce.safe) = (true, true, true),
                "wckeys" => enforce.associations = true,
                "all" => {
                    enforce = AccountingEnforce { associations: true, limits: true, qos: true, safe: true };
                }
                _ => return Err(word),
            }
        }
        Ok(enforce)
    }
}

/// What a user asks for.
#[derive(Debug, Clone, Copy)]
pub struct ChargeRequest<'a> {
    /// User.
    pub user: &'a str,
    /// `--account`.
    pub account: Option<&'a str>,
    /// `--qos`.
    pub qos: Option<&'a str>,
    /// Where it is to run.
    pub partition: &'a Partition,
}

/// What a job is charged to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Charge {
    /// Account.
    pub account: Option<Name>,
    /// Association.
    pub association: Option<AssociationId>,
    /// QOS.
    pub qos: Option<Name>,
}

/// Finds what a job is charged to.
///
/// # Errors
/// An account, or a QOS, that the user may not use, or not in this partition, where that is enforced.
pub fn charge(
    policy: &AccountingPolicy,
    enforce: AccountingEnforce,
    request: &ChargeRequest<'_>,
) -> Result<Charge, Refusal> {
    let default_account = || policy.users.get(request.user).and_then(|user| user.default_account.clone());
    let account = request.account.map(Name::from).or_else(default_account);
    let find = |account: &Name| policy.association(account, request.user, &request.partition.name);
    let association = account.as_ref().and_then(find);
    if enforce.associations && association.is_none() {
        let detail = match &account {
            Some(account) => format!("user {} has no association with account {account}", request.user),
            None => format!("user {} has no default account", request.user),
        };
        return Err(Refusal::new(RefusalCode::InvalidAccount, detail));
    }
    account_is_allowed(request.partition, account.as_ref())?;
    let qos = choose_qos(policy, enforce, request, association.map(|found| &**found))?;
    qos_is_allowed(request.partition, qos.as_ref())?;
    Ok(Charge { account, association: association.map(|found| found.id), qos })
}

/// Whether a partition takes jobs of this account and QOS (`AllowAccounts`, `AllowQos` and their opposites).
///
/// # Errors
/// `InvalidAccount` or `InvalidQos`.
pub fn partition_takes(partition: &Partition, account: Option<&Name>, qos: Option<&Name>) -> Result<(), Refusal> {
    account_is_allowed(partition, account)?;
    qos_is_allowed(partition, qos)
}

fn account_is_allowed(partition: &Partition, account: Option<&Name>) -> Result<(), Refusal> {
    let (allowed, denied) = (&partition.accounts_allowed, &partition.accounts_denied);
    let is_allowed = match account {
        _ if !allowed.is_empty() => account.is_some_and(|account| allowed.contains(account)),
        Some(account) => !denied.contains(account),
        None => true,
    };
    if is_allowed { Ok(()) } else { Err(RefusalCode::InvalidAccount.into()) }
}

fn qos_is_allowed(partition: &Partition, qos: Option<&Name>) -> Result<(), Refusal> {
    let (allowed, denied) = (&partition.qos_allowed, &partition.qos_denied);
    let is_allowed = match qos {
        _ if !allowed.is_empty() => qos.is_some_and(|qos| allowed.contains(qos)),
        Some(qos) => !denied.contains(qos),
        None => true,
    };
    if is_allowed {
        return Ok(());
    }
    let named = qos.map_or("a job without QOS".to_owned(), |qos| format!("QOS {qos}"));
    Err(Refusal::new(RefusalCode::InvalidQos, format!("partition {} does not take {named}", partition.name)))
}

/// QOS of a job that names none where nothing else says so.
const QOS_DEFAULT: &str = "normal";

fn choose_qos(
    policy: &AccountingPolicy,
    enforce: AccountingEnforce,
    request: &ChargeRequest<'_>,
    association: Option<&Association>,
) -> Result<Option<Name>, Refusal> {
    let allowed = association.map(|association| policy.qos_allowed(association)).unwrap_or_default();
    let Some(asked) = request.qos else {
        let default = association.and_then(|association| policy.qos_default(association));
        // With a single QOS to choose from there is nothing to ask.
        let only = || (allowed.len() == 1).then(|| allowed[0].clone());
        let normal = || policy.qos.contains_key(QOS_DEFAULT).then(|| QOS_DEFAULT.into());
        let chosen = default.or_else(only).or_else(normal);
        return match &chosen {
            Some(chosen) if enforce.qos && !allowed.contains(chosen) => Err(not_allowed(chosen)),
            None if enforce.qos => Err(RefusalCode::InvalidQos.into()),
            _ => Ok(chosen),
        };
    };
    let name: Name = asked.to_ascii_lowercase().as_str().into();
    let known: Option<&Qos> = policy.qos.get(&name).map(|qos| &**qos);
    if known.is_none() && (enforce.qos || !policy.qos.is_empty()) {
        return Err(Refusal::new(RefusalCode::InvalidQos, format!("no QOS {asked}")));
    }
    if enforce.qos && !allowed.contains(&name) {
        return Err(not_allowed(&name));
    }
    // Where nothing is known of QOS, what the user wrote is kept as it stands.
    Ok(Some(if known.is_some() { name } else { asked.into() }))
}

fn not_allowed(name: &Name) -> Refusal {
    Refusal::new(RefusalCode::InvalidQos, format!("the association of the job may not use QOS {name}"))
}
