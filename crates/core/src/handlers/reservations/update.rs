//! `scontrol update ReservationName=`.

use muster_model::ids::{Identity, Name};
use muster_model::request::{Refusal, RefusalCode};
use muster_model::reservation::ReservationChanges;
use muster_model::time::Timestamp;

use super::super::authorisation;
use super::{put, shape};
use crate::cluster::Cluster;
use crate::effect::Outcome;

/// Changes a reservation; all of it or nothing.
pub(in crate::handlers) fn update(
    cluster: &mut Cluster,
    now: Timestamp,
    identity: &Identity,
    name: &Name,
    changes: &ReservationChanges,
    out: &mut Outcome,
) -> Result<(), Refusal> {
    authorisation::may_change_cluster(identity)?;
    let old = cluster.reservations.get(name).cloned().ok_or(RefusalCode::InvalidReservation)?;
    let mut new = if changes.skip {
        skipped(cluster, &old)?
    } else {
        shape::apply(cluster, now, (*old).clone(), changes, shape::Occasion::Update)?
    };
    new.changed = now;
    new.idle_since = None;
    put(cluster, new, out);
    Ok(())
}

/// The reservation with this occurrence left out.
fn skipped(
    cluster: &Cluster,
    reservation: &muster_model::reservation::Reservation,
) -> Result<muster_model::reservation::Reservation, Refusal> {
    // Also where a job only waits for it (observed with 22.05).
    if cluster.reservation_jobs.get(&reservation.name).is_some_and(|jobs| !jobs.is_empty()) {
        return Err(RefusalCode::ReservationInUse.into());
    }
    let next = reservation.occurrence_after(&cluster.config.zone, reservation.end);
    let next = next.ok_or(RefusalCode::ReservationNotSkippable)?;
    let mut reservation = reservation.clone();
    (reservation.start, reservation.end) = (next.start, next.end);
    Ok(reservation)
}
