//! Licences: counted things of the whole cluster that belong to no node (`--licenses=matlab:2,ansys`). Those of the
//! configuration are local; those that servers give to several clusters are remote, and called `name@server`.
//!
//! The scheduler plans by these functions and the core checks each start with them, so that no licence is given twice.
//! What reservations keep of them, [`claim`](crate::reservation::claim) tells.

use std::collections::BTreeMap;

use crate::accounting::AccountingPolicy;
use crate::config::ClusterConfig;
use crate::ids::Name;
use crate::job::{Job, JobSpec};
use crate::state::JobState;

/// Licences by name.
pub type Licenses = BTreeMap<Name, u64>;

/// Reads `name[:count],…`; `;` separates as `,` does and a missing count is 1. `None` when malformed.
pub fn parse(text: &str) -> Option<Licenses> {
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

/// The licences that there are: what the parameter `Licenses` names, and what is allotted of remote ones.
pub fn totals(config: &ClusterConfig, accounting: &AccountingPolicy) -> Licenses {
    let value = config.shown.iter().find(|(key, _)| key.eq_ignore_ascii_case("licenses")).map(|(_, value)| value);
    let mut totals = match value {
        Some(text) if text != "(null)" => parse(text).unwrap_or_default(),
        _ => Licenses::new(),
    };
    if config.accounting {
        totals.extend(remote(accounting));
    }
    totals
}

/// What is allotted of remote licences.
pub fn remote(accounting: &AccountingPolicy) -> Licenses {
    let rows = accounting.resources.iter();
    rows.filter_map(|(key, row)| Some((key.clone(), row.allotted()?))).collect()
}

/// What a job with `spec` wants; nothing where it is malformed, which no submit lets through.
pub fn wanted(spec: &JobSpec) -> Licenses {
    spec.request.licenses.as_deref().and_then(parse).unwrap_or_default()
}

/// What `job` holds: from its start to its end, also while it is suspended. What it is still being cleaned up after holds
/// no licence (Slurm gives them back as soon as the job ends).
pub fn held(job: &Job) -> Licenses {
    match job.state {
        JobState::Running | JobState::Suspended => wanted(&job.spec),
        _ => Licenses::new(),
    }
}

/// Whether `free` has all of `wanted`.
pub fn suffice(free: &Licenses, wanted: &Licenses) -> bool {
    wanted.iter().all(|(name, count)| free.get(name).is_some_and(|have| have >= count))
}

/// Takes `held` out of `free`.
pub fn take(free: &mut Licenses, held: &Licenses) {
    for (name, count) in held {
        if let Some(have) = free.get_mut(name) {
            *have = have.saturating_sub(*count);
        }
    }
}

/// Adds `more` to `all`.
pub fn add(all: &mut Licenses, more: &Licenses) {
    for (name, count) in more {
        let have = all.entry(name.clone()).or_default();
        *have = have.saturating_add(*count);
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
        check("matlab@flex:3", Some(&[("matlab@flex", 3)]));
        check("matlab:0", Some(&[("matlab", 0)]));
        check("matlab:abc", None);
        check("a|b", None);
    }
}
