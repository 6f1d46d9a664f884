//! Qualities of service.

use std::collections::BTreeSet;
use std::sync::Arc;

use muster_model::accounting::{Association, Qos, QosChanges};
use muster_model::document::Document;
use muster_model::ids::{Identity, Name};
use muster_model::request::{Refusal, RefusalCode};

use super::super::authorisation;
use super::{Draft, missing};

pub(super) fn create(
    draft: &mut Draft,
    identity: &Identity,
    names: &[Name],
    changes: &QosChanges,
) -> Result<(), Refusal> {
    authorisation::may_change_accounting(&draft.policy, identity)?;
    for name in names {
        if name.is_empty() {
            return Err(Refusal::new(RefusalCode::InvalidQos, "a QOS needs a name"));
        }
        if draft.policy.qos.contains_key(name) {
            continue;
        }
        let mut qos = Qos { id: draft.next_qos_id, name: name.clone(), description: name.clone(), ..Qos::default() };
        draft.next_qos_id += 1;
        apply(draft, &mut qos, changes)?;
        draft.put(Document::Qos(Arc::new(qos)));
    }
    Ok(())
}

pub(super) fn modify(
    draft: &mut Draft,
    identity: &Identity,
    names: &[Name],
    changes: &QosChanges,
) -> Result<(), Refusal> {
    authorisation::may_change_accounting(&draft.policy, identity)?;
    for name in names {
        let mut qos = (**draft.policy.qos.get(name).ok_or_else(|| missing("qos", name))?).clone();
        apply(draft, &mut qos, changes)?;
        draft.put(Document::Qos(Arc::new(qos)));
    }
    Ok(())
}

fn apply(draft: &Draft, qos: &mut Qos, changes: &QosChanges) -> Result<(), Refusal> {
    let factors = [changes.usage_factor, changes.usage_threshold.flatten(), changes.limit_factor.flatten()];
    if factors.into_iter().flatten().any(|factor| !factor.is_finite() || factor < 0.0) {
        return Err(Refusal::new(RefusalCode::InvalidQos, "a factor is a number of at least 0"));
    }
    if let Some(preempts) = &changes.preempts {
        let is_known = |name: &Name| draft.policy.qos.contains_key(name) || *name == qos.name;
        if let Some(name) = preempts.items().iter().find(|name| !is_known(name)) {
            return Err(missing("qos", name));
        }
        qos.preempts = preempts.apply(&qos.preempts);
        if preempts_itself(draft, qos) {
            return Err(RefusalCode::QosPreemptionLoop.into());
        }
    }
    if let Some(flags) = &changes.flags {
        qos.flags = flags.apply(&qos.flags);
        qos.flags.sort_unstable();
    }
    qos.description = changes.description.clone().unwrap_or_else(|| qos.description.clone());
    qos.priority = changes.priority.unwrap_or(qos.priority);
    qos.preempt_mode = changes.preempt_mode.unwrap_or(qos.preempt_mode);
    qos.grace_time = changes.grace_time.unwrap_or(qos.grace_time);
    qos.preempt_exempt_time = changes.preempt_exempt_time.unwrap_or(qos.preempt_exempt_time);
    qos.usage_factor = changes.usage_factor.unwrap_or(qos.usage_factor);
    qos.usage_threshold = changes.usage_threshold.unwrap_or(qos.usage_threshold);
    qos.limit_factor = changes.limit_factor.unwrap_or(qos.limit_factor);
    qos.limits.change(&changes.limits);
    Ok(())
}

/// Whether `qos` may preempt itself, directly or by way of others: then its jobs would push each other out for ever.
fn preempts_itself(draft: &Draft, qos: &Qos) -> bool {
    let mut seen: BTreeSet<&Name> = BTreeSet::new();
    let mut open: Vec<&Name> = qos.preempts.iter().collect();
    while let Some(name) = open.pop() {
        if *name == qos.name {
            return true;
        }
        if seen.insert(name) {
            open.extend(draft.policy.qos.get(name).into_iter().flat_map(|next| &next.preempts));
        }
    }
    false
}

/// Takes QOS away, also from the lists that name them.
pub(super) fn delete(draft: &mut Draft, identity: &Identity, names: &[Name]) -> Result<(), Refusal> {
    authorisation::may_change_accounting(&draft.policy, identity)?;
    for name in names {
        if draft.policy.qos.remove(name).is_none() {
            return Err(missing("qos", name));
        }
    }
    let left: Vec<Arc<Qos>> = draft.policy.qos.values().cloned().collect();
    for qos in left.iter().filter(|qos| qos.preempts.iter().any(|name| names.contains(name))) {
        let mut qos = (**qos).clone();
        qos.preempts.retain(|name| !names.contains(name));
        draft.put(Document::Qos(Arc::new(qos)));
    }
    let associations: Vec<Arc<Association>> = draft.policy.associations.values().cloned().collect();
    for association in associations {
        let is_default = association.qos_default.as_ref().is_some_and(|name| names.contains(name));
        let is_listed = association.qos_allowed.iter().flatten().any(|name| names.contains(name));
        if is_default || is_listed {
            let mut association = (*association).clone();
            if is_default {
                association.qos_default = None;
            }
            if let Some(list) = &mut association.qos_allowed {
                list.retain(|name| !names.contains(name));
            }
            draft.put(Document::Association(Arc::new(association)));
        }
    }
    Ok(())
}
