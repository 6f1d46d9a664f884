//! Licences: counted things of the whole cluster that belong to no node (`--licenses=matlab:2,ansys`).
//!
//! Their totals are taken from the parameter `Licenses` of the configuration. What jobs hold is counted from the
//! requests of those that run. What reservations keep of them, [`crate::reservation`] tells. Remote licences are not known here.

use std::collections::BTreeMap;

use muster_model::config::ClusterConfig;
use muster_model::ids::Name;
use muster_model::planning::PlanView;
use muster_model::time::Timestamp;

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

/// What running jobs hold, until when, and in which reservation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Holdings {
    list: Vec<(Timestamp, Option<Name>, Licenses)>,
}

impl Holdings {
    /// Reads `view`.
    pub(crate) fn of(view: &PlanView) -> Holdings {
        let held = view.running.iter().filter_map(|((end, _), job)| {
            let held = job.spec.request.licenses.as_deref().and_then(parse)?;
            let end = if *end > view.now { *end } else { view.now + crate::future::OVERDUE };
            Some((end, job.reservation.clone(), held))
        });
        Holdings { list: held.collect() }
    }

    /// A job in `reservation` starts and holds `held` until `end`.
    pub(crate) fn add(&mut self, end: Timestamp, reservation: Option<Name>, held: &Licenses) {
        self.list.push((end, reservation, held.clone()));
    }

    /// What is free of `totals` at `time`.
    pub(crate) fn free_at(&self, totals: &Licenses, time: Timestamp) -> Licenses {
        let mut free = totals.clone();
        self.list.iter().filter(|(end, ..)| *end > time).for_each(|(.., held)| take(&mut free, held));
        free
    }

    /// Whether `wanted` is free of `totals` at `time`, beside what is `withheld`.
    pub(crate) fn suffice(&self, totals: &Licenses, withheld: &Licenses, wanted: &Licenses, time: Timestamp) -> bool {
        let mut free = self.free_at(totals, time);
        take(&mut free, withheld);
        suffice(&free, wanted)
    }

    /// What jobs in `reservation` hold at `time`.
    pub(crate) fn used_in(&self, reservation: &Name, time: Timestamp) -> Licenses {
        let mut used = Licenses::new();
        let inside = self.list.iter().filter(|(end, name, _)| *end > time && name.as_ref() == Some(reservation));
        for (name, count) in inside.flat_map(|(.., held)| held) {
            *used.entry(name.clone()).or_default() += count;
        }
        used
    }
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
