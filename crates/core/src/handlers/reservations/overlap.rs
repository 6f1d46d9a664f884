//! Whether two reservations want the same at the same time.

use muster_model::licenses::{self, Licenses};
use muster_model::request::{Refusal, RefusalCode};
use muster_model::reservation::{Reservation, ReservationFlag, ReservedNode};
use muster_model::resources::IndexSet;
use muster_model::time::{Span, Timestamp};

use crate::cluster::Cluster;

/// Everything that recurs does so within a week; a day more for changes of the clock.
const WEEK: Span = Span::from_seconds(8 * 86_400);
/// Occurrences compared of two that both recur: every hour of a week, and some.
const OCCURRENCES_MAX: usize = 200;

/// Whether `reservation` may lie over others.
pub(super) fn is_allowed(reservation: &Reservation) -> bool {
    reservation.has(ReservationFlag::Maint) || reservation.has(ReservationFlag::Overlap)
}

/// Whether another reservation keeps something of `node` that `wanted` would keep too, while `reservation` lasts.
pub(super) fn is_taken(cluster: &Cluster, now: Timestamp, reservation: &Reservation, wanted: &ReservedNode) -> bool {
    others(cluster, now, reservation, wanted.node).any(|(other, _)| share_something(&other, wanted))
}

/// As [`is_taken`], but for reservations that were themselves made over others: those are no obstacle to one that names
/// its nodes.
pub(super) fn is_refused(cluster: &Cluster, now: Timestamp, reservation: &Reservation, wanted: &ReservedNode) -> bool {
    let mut others = others(cluster, now, reservation, wanted.node);
    others.any(|(other, of)| !is_allowed(of) && share_something(&other, wanted))
}

/// What others keep of `node` while `reservation` lasts.
pub(super) fn others<'a>(
    cluster: &'a Cluster,
    now: Timestamp,
    reservation: &'a Reservation,
    node: muster_model::ids::NodeIndex,
) -> impl Iterator<Item = (ReservedNode, &'a Reservation)> + 'a {
    let others = cluster.reservations.values().filter(move |other| other.name != reservation.name);
    others.filter_map(move |other| {
        let kept = other.on(node)?;
        meet(cluster, now, reservation, other).then(|| (kept.clone(), &**other))
    })
}

/// Whether there are the licences that `reservation` keeps, beside those that others keep while it lasts.
///
/// # Errors
/// `InvalidLicense`, as Slurm 22.05 refuses it. What jobs hold does not matter.
pub(super) fn check_licenses(cluster: &Cluster, now: Timestamp, reservation: &Reservation) -> Result<(), Refusal> {
    if reservation.licenses().next().is_none() {
        return Ok(());
    }
    let mut kept: Licenses = reservation.licenses_unused(&Licenses::new());
    let others = cluster.reservations.values().filter(|other| other.name != reservation.name);
    for other in others.filter(|other| meet(cluster, now, reservation, other)) {
        for (name, count) in other.licenses() {
            kept.entry(name.into()).and_modify(|kept| *kept = kept.saturating_add(count));
        }
    }
    if licenses::suffice(&cluster.licenses_total(), &kept) { Ok(()) } else { Err(RefusalCode::InvalidLicense.into()) }
}

fn share_something(a: &ReservedNode, b: &ReservedNode) -> bool {
    let (Some(a_cpus), Some(b_cpus)) = (&a.cpus, &b.cpus) else {
        return true;
    };
    let none = IndexSet::default();
    let units_of = |node: &ReservedNode, name: &str| {
        node.gres.iter().find(|gres| *gres.name == *name).map_or(none.clone(), |gres| gres.units.clone())
    };
    !a_cpus.is_disjoint(b_cpus) || a.gres.iter().any(|gres| !gres.units.is_disjoint(&units_of(b, &gres.name)))
}

/// Whether both are in force at some time.
fn meet(cluster: &Cluster, now: Timestamp, a: &Reservation, b: &Reservation) -> bool {
    let zone = &cluster.config.zone;
    let ((a_start, a_end), (b_start, b_end)) = (a.window(now), b.window(now));
    if b.met_by(zone, now, a_start, a_end).is_some() || a.met_by(zone, now, b_start, b_end).is_some() {
        return true;
    }
    if a.recurrence().is_none() || b.recurrence().is_none() {
        return false;
    }
    let first = a_start.max(b_start);
    let mut moment = first;
    for _ in 0..OCCURRENCES_MAX {
        let Some(occurrence) = a.occurrence_after(zone, moment) else { return false };
        if occurrence.start > first + WEEK {
            return false;
        }
        if b.met_by(zone, now, occurrence.start, occurrence.end).is_some() {
            return true;
        }
        moment = occurrence.end;
    }
    false
}
