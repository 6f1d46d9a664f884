//! Changes of accounting rows, as clients ask for them. Each is carried out as a whole or not at all.

use serde::{Deserialize, Serialize};

use super::{Account, AssociationId, LimitChanges, QosFlag, RemoteResource, ResourceChanges, Shares};
use crate::ids::Name;
use crate::preemption::PreemptMode;
use crate::time::Span;

/// How a list of names or flags changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListChange<T> {
    /// `=`: these instead.
    Set(Vec<T>),
    /// `+=`: these too.
    Add(Vec<T>),
    /// `-=`: without these.
    Remove(Vec<T>),
}

impl<T: Clone + PartialEq> ListChange<T> {
    /// The list after the change. Order stays; nothing is there twice.
    pub fn apply(&self, list: &[T]) -> Vec<T> {
        let mut result: Vec<T> = Vec::new();
        let (kept, added): (Vec<&T>, &[T]) = match self {
            ListChange::Set(new) => (Vec::new(), new),
            ListChange::Add(more) => (list.iter().collect(), more),
            ListChange::Remove(less) => (list.iter().filter(|item| !less.contains(item)).collect(), &[]),
        };
        for item in kept.into_iter().chain(added) {
            if !result.contains(item) {
                result.push(item.clone());
            }
        }
        result
    }

    /// The items that the change names.
    pub fn items(&self) -> &[T] {
        match self {
            ListChange::Set(items) | ListChange::Add(items) | ListChange::Remove(items) => items,
        }
    }
}

/// What changes in an association; `None` leaves a field.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AssociationChanges {
    /// `Fairshare`.
    pub shares: Option<Shares>,
    /// `Priority`.
    pub priority: Option<u32>,
    /// `QosLevel`; `Set` of nothing takes those of the parent.
    pub qos_allowed: Option<ListChange<Name>>,
    /// `DefaultQOS`; `Some(None)` takes that of the parent.
    #[serde(skip_serializing_if = "Option::is_none", with = "crate::unset")]
    pub qos_default: Option<Option<Name>>,
    /// The account above; for accounts only.
    pub parent: Option<Name>,
    /// Limits.
    pub limits: LimitChanges,
}

/// What changes in a QOS; `None` leaves a field.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each field has the meaning of the field of that name in Qos")]
pub struct QosChanges {
    pub description: Option<Name>,
    pub priority: Option<u32>,
    pub flags: Option<ListChange<QosFlag>>,
    pub preempts: Option<ListChange<Name>>,
    #[serde(skip_serializing_if = "Option::is_none", with = "crate::unset")]
    pub preempt_mode: Option<Option<PreemptMode>>,
    #[serde(skip_serializing_if = "Option::is_none", with = "crate::unset")]
    pub grace_time: Option<Option<Span>>,
    #[serde(skip_serializing_if = "Option::is_none", with = "crate::unset")]
    pub preempt_exempt_time: Option<Option<Span>>,
    pub usage_factor: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", with = "crate::unset")]
    pub usage_threshold: Option<Option<f64>>,
    #[serde(skip_serializing_if = "Option::is_none", with = "crate::unset")]
    pub limit_factor: Option<Option<f64>>,
    pub limits: LimitChanges,
}

/// One change of accounts, users, associations, QOS or remote licences.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountingChange {
    /// Accounts below `parent`. One that is there is left alone.
    CreateAccounts {
        /// New accounts.
        accounts: Vec<Account>,
        /// Account above them.
        parent: Name,
        /// Of their associations.
        association: AssociationChanges,
    },
    /// Words about accounts.
    ModifyAccounts {
        /// Which.
        names: Vec<Name>,
        /// New description.
        description: Option<Name>,
        /// New organisation.
        organization: Option<Name>,
    },
    /// Takes accounts away with all below them.
    DeleteAccounts {
        /// Which.
        names: Vec<Name>,
    },
    /// Users in accounts: an association for each user, account and partition that has none.
    CreateUsers {
        /// Names.
        names: Vec<Name>,
        /// Accounts.
        accounts: Vec<Name>,
        /// Partitions; empty for all as one.
        partitions: Vec<Name>,
        /// Account of jobs that name none; the first of `accounts` for a new user where nothing is said.
        default_account: Option<Name>,
        /// `None`, `Operator` or `Administrator`.
        admin_level: Option<Name>,
        /// Of their associations.
        association: AssociationChanges,
    },
    /// Things of users apart from associations.
    ModifyUsers {
        /// Which.
        names: Vec<Name>,
        /// New default account.
        default_account: Option<Name>,
        /// New level.
        admin_level: Option<Name>,
    },
    /// Takes users away with their associations.
    DeleteUsers {
        /// Which.
        names: Vec<Name>,
    },
    /// Changes associations.
    ModifyAssociations {
        /// Which.
        ids: Vec<AssociationId>,
        /// What.
        changes: AssociationChanges,
    },
    /// Takes associations of users away.
    DeleteAssociations {
        /// Which.
        ids: Vec<AssociationId>,
    },
    /// Makes users coordinators of accounts.
    AddCoordinators {
        /// Users.
        users: Vec<Name>,
        /// Accounts.
        accounts: Vec<Name>,
    },
    /// They are no coordinators any more.
    RemoveCoordinators {
        /// Users.
        users: Vec<Name>,
        /// Accounts.
        accounts: Vec<Name>,
    },
    /// New QOS.
    CreateQos {
        /// Names.
        names: Vec<Name>,
        /// What differs from a QOS as such.
        changes: Box<QosChanges>,
    },
    /// Changes QOS.
    ModifyQos {
        /// Which.
        names: Vec<Name>,
        /// What.
        changes: Box<QosChanges>,
    },
    /// Takes QOS away, also from lists that name them.
    DeleteQos {
        /// Which.
        names: Vec<Name>,
    },
    /// New remote licences.
    CreateResources {
        /// Their rows; number and time are set where they are kept.
        resources: Vec<RemoteResource>,
    },
    /// Changes remote licences.
    ModifyResources {
        /// Which, as `name@server`.
        keys: Vec<Name>,
        /// What.
        changes: ResourceChanges,
    },
    /// Takes remote licences away.
    DeleteResources {
        /// Which, as `name@server`.
        keys: Vec<Name>,
    },
}
