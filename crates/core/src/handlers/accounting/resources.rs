//! Remote licences. A job that holds some keeps them when fewer are allotted, as in Slurm.

use std::sync::Arc;

use muster_model::accounting::{RemoteResource, ResourceChanges};
use muster_model::document::Document;
use muster_model::ids::{Identity, Name};
use muster_model::request::{Refusal, RefusalCode};
use muster_model::time::Timestamp;

use super::super::authorisation;
use super::Draft;

/// Most that can be allotted, in percent.
const PERCENT_MAX: u32 = 100;

/// Adds resources. One that is there is left alone.
pub(super) fn create(
    draft: &mut Draft,
    now: Timestamp,
    identity: &Identity,
    resources: &[RemoteResource],
) -> Result<(), Refusal> {
    authorisation::may_change_accounting(&draft.policy, identity)?;
    for row in resources {
        let is_name = |name: &str| !name.is_empty() && !name.contains([',', ';', ':', '|', '=', '*']);
        if !is_name(&row.name) || !is_name(&row.server) {
            return Err(Refusal::new(RefusalCode::InvalidLicense, "a resource needs a name and a server"));
        }
        check_percent(row.percent_allowed)?;
        if draft.policy.resources.contains_key(&row.key()) {
            continue;
        }
        let last = draft.policy.resources.values().map(|known| known.id).max().unwrap_or(0);
        let row = RemoteResource { id: last.saturating_add(1), changed: now, ..row.clone() };
        draft.put(Document::Resource(Arc::new(row)));
    }
    Ok(())
}

/// Changes the resources called `name@server`.
pub(super) fn modify(
    draft: &mut Draft,
    now: Timestamp,
    identity: &Identity,
    keys: &[Name],
    changes: &ResourceChanges,
) -> Result<(), Refusal> {
    authorisation::may_change_accounting(&draft.policy, identity)?;
    check_percent(changes.percent_allowed.flatten())?;
    for key in keys {
        let old = draft.policy.resources.get(key).ok_or_else(|| unknown(key))?;
        let mut row = (**old).clone();
        row.description = changes.description.clone().unwrap_or(row.description);
        row.server_kind = changes.server_kind.clone().unwrap_or(row.server_kind);
        row.count = changes.count.unwrap_or(row.count);
        row.percent_allowed = changes.percent_allowed.unwrap_or(row.percent_allowed);
        if row.allotted() != old.allotted() {
            row.changed = now;
        }
        draft.put(Document::Resource(Arc::new(row)));
    }
    Ok(())
}

/// Takes resources away.
pub(super) fn delete(draft: &mut Draft, identity: &Identity, keys: &[Name]) -> Result<(), Refusal> {
    authorisation::may_change_accounting(&draft.policy, identity)?;
    for key in keys {
        draft.policy.resources.remove(key).ok_or_else(|| unknown(key))?;
    }
    Ok(())
}

fn check_percent(percent: Option<u32>) -> Result<(), Refusal> {
    if percent.is_some_and(|percent| percent > PERCENT_MAX) {
        return Err(Refusal::new(RefusalCode::InvalidLicense, "more than 100% of a resource cannot be allotted"));
    }
    Ok(())
}

fn unknown(key: &Name) -> Refusal {
    Refusal::new(RefusalCode::InvalidLicense, format!("no resource {key}"))
}
