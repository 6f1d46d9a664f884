//! Accounts, users, associations, QOS and remote licences: who may use how much. One file for each kind of row.
//!
//! A change is worked out on a copy of the rows, which shares all that stays; only when nothing was refused does the copy
//! take the place of the rows, with a fact for each difference. So a change is made as a whole or not at all.

mod accounts;
mod associations;
mod charge;
mod coordinators;
mod defaults;
mod qos;
mod resources;
mod users;

use std::sync::Arc;

use muster_model::accounting::{AccountingChange, AccountingPolicy, Association, AssociationId, AssociationKey};
use muster_model::document::{Document, DocumentKind};
use muster_model::fact::Fact;
use muster_model::ids::{Identity, Name};
use muster_model::request::{Refusal, RefusalCode};
use muster_model::time::Timestamp;

use crate::cluster::{Cluster, NEXT_ASSOCIATION_ID, NEXT_QOS_ID};
use crate::effect::Outcome;

pub(crate) use charge::{check_submit, forbids, may_ask_qos, resolve};
pub(crate) use defaults::ensure_defaults;

/// Carries out a change.
pub(super) fn change(
    cluster: &mut Cluster,
    now: Timestamp,
    identity: &Identity,
    change: &AccountingChange,
    out: &mut Outcome,
) -> Result<(), Refusal> {
    if !cluster.config.accounting {
        return Err(Refusal::new(
            RefusalCode::Disabled,
            "accounting is off: AccountingStorageType is not accounting_storage/slurmdbd",
        ));
    }
    let mut draft = Draft::of(cluster);
    match change {
        AccountingChange::CreateAccounts { accounts, parent, association } => {
            accounts::create(&mut draft, identity, accounts, parent, association)?;
        }
        AccountingChange::ModifyAccounts { names, description, organization } => {
            accounts::modify(&mut draft, identity, names, description.as_ref(), organization.as_ref())?;
        }
        AccountingChange::DeleteAccounts { names } => accounts::delete(&mut draft, identity, names)?,
        AccountingChange::CreateUsers { names, accounts, partitions, default_account, admin_level, association } => {
            let new = users::New { names, accounts, partitions, default_account, admin_level, association };
            users::create(&mut draft, identity, &new)?;
        }
        AccountingChange::ModifyUsers { names, default_account, admin_level } => {
            users::modify(&mut draft, identity, names, default_account.as_ref(), admin_level.as_ref())?;
        }
        AccountingChange::DeleteUsers { names } => users::delete(&mut draft, identity, names)?,
        AccountingChange::ModifyAssociations { ids, changes } => {
            associations::modify(&mut draft, identity, ids, changes)?;
        }
        AccountingChange::DeleteAssociations { ids } => associations::delete(&mut draft, identity, ids)?,
        AccountingChange::AddCoordinators { users, accounts } => {
            coordinators::change(&mut draft, identity, users, accounts, true)?;
        }
        AccountingChange::RemoveCoordinators { users, accounts } => {
            coordinators::change(&mut draft, identity, users, accounts, false)?;
        }
        AccountingChange::CreateQos { names, changes } => qos::create(&mut draft, identity, names, changes)?,
        AccountingChange::ModifyQos { names, changes } => qos::modify(&mut draft, identity, names, changes)?,
        AccountingChange::DeleteQos { names } => qos::delete(&mut draft, identity, names)?,
        AccountingChange::CreateResources { resources } => {
            resources::create(&mut draft, now, identity, resources)?;
        }
        AccountingChange::ModifyResources { keys, changes } => {
            resources::modify(&mut draft, now, identity, keys, changes)?;
        }
        AccountingChange::DeleteResources { keys } => resources::delete(&mut draft, identity, keys)?,
    }
    nobody_runs_under_what_goes(cluster, &draft)?;
    if draft.settle(cluster, out) {
        charge::reconsider(cluster, now, out);
        super::priority::policy_changed(cluster, now);
    }
    Ok(())
}

/// Jobs keep being charged to their association: it cannot be taken away under a running one.
fn nobody_runs_under_what_goes(cluster: &Cluster, draft: &Draft) -> Result<(), Refusal> {
    let gone = |id: &AssociationId| !draft.policy.associations.contains_key(id);
    match cluster.running.values().find(|job| job.association.as_ref().is_some_and(gone)) {
        Some(job) => Err(Refusal::new(RefusalCode::JobRunning, format!("job {} runs under it", job.id))),
        None => Ok(()),
    }
}

/// Rows as they will be.
struct Draft {
    policy: AccountingPolicy,
    next_association_id: u32,
    next_qos_id: u32,
}

impl Draft {
    fn of(cluster: &Cluster) -> Draft {
        let known = cluster.accounting.associations.keys().next_back().map_or(0, |id| id.0);
        let known_qos = cluster.accounting.qos.values().map(|qos| qos.id).max().unwrap_or(0);
        Draft {
            policy: cluster.accounting.clone(),
            next_association_id: cluster.next_association_id.max(known.saturating_add(1)),
            next_qos_id: cluster.next_qos_id.max(known_qos.saturating_add(1)),
        }
    }

    /// A new association, unless there is one with that key.
    fn associate(&mut self, key: AssociationKey, parent: Option<AssociationId>) -> Option<Association> {
        if self.policy.association_index.contains_key(&key) {
            return None;
        }
        let id = AssociationId(self.next_association_id);
        self.next_association_id += 1;
        Some(Association {
            id,
            key,
            parent,
            shares: muster_model::accounting::Shares::Raw(1),
            priority: 0,
            qos_allowed: None,
            qos_default: None,
            limits: Default::default(),
        })
    }

    fn put(&mut self, document: Document) {
        self.policy.put(&document);
    }

    /// Makes the draft the present, and writes down what differs. Whether more than numbers differ, so that jobs have to
    /// be looked at.
    fn settle(self, cluster: &mut Cluster, out: &mut Outcome) -> bool {
        let new = self.policy;
        let old = std::mem::replace(&mut cluster.accounting, new.clone());
        let mut facts = Vec::new();
        let gone = |kind: DocumentKind, name: Name| Fact::DocumentGone { kind, name };
        differences(&old.accounts, &new.accounts, |_, row| match row {
            Ok(row) => facts.push(Fact::Document(Document::Account(row))),
            Err(name) => facts.push(gone(DocumentKind::Account, name)),
        });
        differences(&old.users, &new.users, |_, row| match row {
            Ok(row) => facts.push(Fact::Document(Document::User(row))),
            Err(name) => facts.push(gone(DocumentKind::User, name)),
        });
        differences(&old.qos, &new.qos, |_, row| match row {
            Ok(row) => facts.push(Fact::Document(Document::Qos(row))),
            Err(name) => facts.push(gone(DocumentKind::Qos, name)),
        });
        differences(&old.resources, &new.resources, |_, row| match row {
            Ok(row) => facts.push(Fact::Document(Document::Resource(row))),
            Err(key) => facts.push(gone(DocumentKind::Resource, key)),
        });
        differences(&old.associations, &new.associations, |_, row| match row {
            Ok(row) => facts.push(Fact::Document(Document::Association(row))),
            Err(id) => facts.push(gone(DocumentKind::Association, id.0.to_string().as_str().into())),
        });
        for (name, value, known) in [
            (NEXT_ASSOCIATION_ID, self.next_association_id, &mut cluster.next_association_id),
            (NEXT_QOS_ID, self.next_qos_id, &mut cluster.next_qos_id),
        ] {
            if *known != value {
                *known = value;
                facts.push(Fact::Counter { name, value: value.into() });
            }
        }
        out.facts.extend(facts);
        out.plan_needed = true;
        structure(&old) != structure(&cluster.accounting)
    }
}

/// What decides which association and QOS a job has.
fn structure(policy: &AccountingPolicy) -> (Vec<AssociationStructure<'_>>, Vec<&Name>) {
    let rows =
        policy.associations.values().map(|row| (row.id, &row.key, row.parent, &row.qos_allowed, &row.qos_default));
    (rows.collect(), policy.qos.keys().collect())
}

type AssociationStructure<'a> =
    (AssociationId, &'a AssociationKey, Option<AssociationId>, &'a Option<Vec<Name>>, &'a Option<Name>);

/// Tells each row that is new or changed, and the key of each that is gone.
fn differences<K: Ord + Clone, V: PartialEq>(
    old: &imbl::OrdMap<K, Arc<V>>,
    new: &imbl::OrdMap<K, Arc<V>>,
    mut tell: impl FnMut(&K, Result<Arc<V>, K>),
) {
    for (key, row) in new {
        if old.get(key).is_none_or(|before| !Arc::ptr_eq(before, row) && before != row) {
            tell(key, Ok(row.clone()));
        }
    }
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        tell(key, Err(key.clone()));
    }
}

/// Refuses what names something that is not there.
fn missing(what: &str, name: &str) -> Refusal {
    let code = match what {
        "qos" => RefusalCode::InvalidQos,
        "user" => RefusalCode::InvalidUser,
        _ => RefusalCode::InvalidAccount,
    };
    Refusal::new(code, format!("no {what} {name}"))
}
