//! Licences: counted things of the whole cluster that belong to no node (`--licenses=matlab:2,ansys`).
//!
//! Their totals are taken from the parameter `Licenses` of the configuration. What jobs hold is counted from the
//! requests of those that run. Reservations of licences and remote licences are not known here.

use std::collections::BTreeMap;

use muster_model::config::ClusterConfig;
use muster_model::ids::Name;
use muster_model::planning::PlanView;

/// Licences by name.
pub(crate) type Licenses = BTreeMap<Name, u64>;

/// The totals that the configuration names.
pub(crate) fn of_config(config: &ClusterConfig) -> Licenses {
    let value = config.shown.iter().find(|(key, _)| key.eq_ignore_ascii_case("licenses")).map(|(_, value)| value);
    match value {
        Some(text) if text != "(null)" => parse(text).unwrap_or_default(),
        _ => Licenses::new(),
    }
}

/// Reads `name[:count],…`; `;` separates as `,` does and a missing count is 1. `None` when malformed.
pub(crate) fn parse(text: &str) -> Option<Licenses> {
    let mut licenses = Licenses::new();
    for part in text.split([',', ';']).map(str::trim).filter(|part| !part.is_empty()) {
        let (name, count) = match part.split_once([':', '*', '=']) {
            Some((name, count)) => (name, count.parse().ok()?),
            None => (part, 1),
        };
        if name.is_empty() || name.contains('|') {
            return None;
        }
        let entry = licenses.entry(name.into()).or_insert(0u64);
        *entry = entry.checked_add(count)?;
    }
    Some(licenses)
}

/// What is free of `totals` beside the jobs that run.
pub(crate) fn free(totals: &Licenses, view: &PlanView) -> Licenses {
    let mut free = totals.clone();
    if free.is_empty() {
        return free;
    }
    for job in view.running.values() {
        let Some(held) = job.spec.request.licenses.as_deref().and_then(parse) else {
            continue;
        };
        take(&mut free, &held);
    }
    free
}

/// Whether `free` has all of `wanted`.
pub(crate) fn suffice(free: &Licenses, wanted: &Licenses) -> bool {
    wanted.iter().all(|(name, count)| free.get(name).is_some_and(|have| have >= count))
}

/// Takes `held` out of `free`.
pub(crate) fn take(free: &mut Licenses, held: &Licenses) {
    for (name, count) in held {
        if let Some(have) = free.get_mut(name) {
            *have = have.saturating_sub(*count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licenses_read_as_sbatch_takes_them() {
        let check = |text: &str, expected: Option<&[(&str, u64)]>| {
            let expected = expected.map(|list| list.iter().map(|(name, count)| ((*name).into(), *count)).collect());
            assert_eq!(parse(text), expected, "{text}");
        };
        check("matlab", Some(&[("matlab", 1)]));
        check("matlab:4,foo:2", Some(&[("matlab", 4), ("foo", 2)]));
        check("matlab:1;foo:1", Some(&[("matlab", 1), ("foo", 1)]));
        check("matlab:0", Some(&[("matlab", 0)]));
        check("matlab:abc", None);
        check("a|b", None);
    }
}
