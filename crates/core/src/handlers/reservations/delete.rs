//! `scontrol delete ReservationName=`.

use muster_model::ids::{Identity, Name};
use muster_model::request::{Refusal, RefusalCode};
use muster_model::reservation::{Applicant, Reservation, ReservationFlag};

use super::super::authorisation;
use super::remove;
use crate::cluster::Cluster;
use crate::effect::Outcome;

/// Deletes a reservation, unless a job that has not ended asks for it or runs in it. Operators may; with `USER_DELETE`
/// also those who may use it.
pub(in crate::handlers) fn delete(
    cluster: &mut Cluster,
    identity: &Identity,
    name: &Name,
    out: &mut Outcome,
) -> Result<(), Refusal> {
    let found = cluster.reservations.get(name).cloned();
    if !found.as_ref().is_some_and(|found| found.has(ReservationFlag::UserDelete) && is_for(found, identity)) {
        authorisation::may_change_cluster(identity)?;
    }
    if found.is_none() {
        return Err(RefusalCode::InvalidReservation.into());
    }
    if cluster.reservation_jobs.get(name).is_some_and(|jobs| !jobs.is_empty()) {
        return Err(RefusalCode::ReservationInUse.into());
    }
    remove(cluster, name, out);
    Ok(())
}

/// Whether its lists name the user himself, one way or the other.
fn is_for(reservation: &Reservation, identity: &Identity) -> bool {
    let spec = muster_model::job::JobSpec::new(identity.clone(), "".into(), muster_model::job::JobKind::Allocation);
    reservation.accounts.is_empty() && reservation.admits(&Applicant::of(&spec, ""))
}
