//! Rows of small tables: what is kept as a whole document, found by its kind and name.
//!
//! Things of which a cluster has a few to some thousands, and that nobody searches by their content.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::accounting::{Account, Association, Qos, RemoteResource, User};
use crate::cron::Crontab;
use crate::ids::Name;
use crate::priority::UsageRecord;
use crate::reservation::Reservation;

/// Which table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentKind {
    /// [`Document::Account`].
    Account,
    /// [`Document::Association`].
    Association,
    /// [`Document::Qos`].
    Qos,
    /// [`Document::Reservation`].
    Reservation,
    /// [`Document::User`].
    User,
    /// [`Document::Usage`].
    Usage,
    /// [`Document::Crontab`].
    Crontab,
    /// [`Document::Resource`].
    Resource,
}

impl DocumentKind {
    /// Name of the table in the store; never changes.
    pub const fn as_str(self) -> &'static str {
        match self {
            DocumentKind::Account => "account",
            DocumentKind::Association => "association",
            DocumentKind::Qos => "qos",
            DocumentKind::Reservation => "reservation",
            DocumentKind::User => "user",
            DocumentKind::Usage => "usage",
            DocumentKind::Crontab => "crontab",
            DocumentKind::Resource => "resource",
        }
    }
}

/// One row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Document {
    /// An account.
    Account(Arc<Account>),
    /// An association.
    Association(Arc<Association>),
    /// A quality of service.
    Qos(Arc<Qos>),
    /// A reservation.
    Reservation(Arc<Reservation>),
    /// A user of accounts.
    User(Arc<User>),
    /// What was used by one association or QOS.
    Usage(Arc<UsageRecord>),
    /// The table of jobs of a user that come again.
    Crontab(Arc<Crontab>),
    /// A remote licence.
    Resource(Arc<RemoteResource>),
}

impl Document {
    /// What it is found by.
    pub fn key(&self) -> (DocumentKind, Name) {
        match self {
            Document::Account(account) => (DocumentKind::Account, account.name.clone()),
            Document::Association(association) => {
                (DocumentKind::Association, association.id.0.to_string().as_str().into())
            }
            Document::Qos(qos) => (DocumentKind::Qos, qos.name.clone()),
            Document::Reservation(reservation) => (DocumentKind::Reservation, reservation.name.clone()),
            Document::User(user) => (DocumentKind::User, user.name.clone()),
            Document::Usage(record) => (DocumentKind::Usage, record.name()),
            Document::Crontab(table) => (DocumentKind::Crontab, table.key()),
            Document::Resource(row) => (DocumentKind::Resource, row.key()),
        }
    }
}
