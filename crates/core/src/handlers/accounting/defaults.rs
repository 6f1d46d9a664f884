//! The rows that a cluster with accounting has from the beginning, as slurmdbd makes them.

use std::sync::Arc;

use muster_model::accounting::{Account, AssociationKey, Qos, User};
use muster_model::document::Document;

use super::Draft;
use crate::cluster::Cluster;
use crate::effect::Outcome;

/// Name of the account above all others, and of the user who may do everything.
pub(super) const ROOT: &str = "root";

/// Makes them where they are missing and accounting is on.
pub(crate) fn ensure_defaults(cluster: &mut Cluster, out: &mut Outcome) {
    if !cluster.config.accounting || cluster.accounting.account_association(ROOT).is_some() {
        return;
    }
    let mut draft = Draft::of(cluster);
    let normal = Qos {
        id: draft.next_qos_id,
        name: "normal".into(),
        description: "Normal QOS default".into(),
        ..Qos::default()
    };
    draft.next_qos_id += 1;
    draft.put(Document::Qos(Arc::new(normal)));
    draft.put(Document::Account(Arc::new(Account {
        name: ROOT.into(),
        description: "default root account".into(),
        organization: ROOT.into(),
        coordinators: Vec::new(),
    })));
    draft.put(Document::User(Arc::new(User {
        name: ROOT.into(),
        default_account: Some(ROOT.into()),
        admin_level: Some("Administrator".into()),
    })));
    let key = |user: &str| AssociationKey { account: ROOT.into(), user: user.into(), partition: "".into() };
    let root = draft.associate(key(""), None).map(|mut root| {
        root.qos_allowed = Some(vec!["normal".into()]);
        root
    });
    let parent = root.as_ref().map(|root| root.id);
    for association in [root, draft.associate(key(ROOT), parent)].into_iter().flatten() {
        draft.put(Document::Association(Arc::new(association)));
    }
    draft.settle(cluster, out);
}
