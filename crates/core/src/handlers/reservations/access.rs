//! Who may ask for a reservation, and what a job that starts must leave alone.

use std::sync::Arc;

use muster_model::ids::{Name, NodeIndex};
use muster_model::job::{Job, JobSpec};
use muster_model::planning::PlannedStart;
use muster_model::request::{Refusal, RefusalCode};
use muster_model::reservation::claim::{self, Claim, Setting};
use muster_model::reservation::{Applicant, Reservation, ReservationFlag, ReservedNode};
use muster_model::resources::{GresShare, IndexSet};
use muster_model::time::Timestamp;

use super::setting;
use crate::cluster::Cluster;

/// Whether the owner of `spec` may ask for the reservations that it names.
pub(in crate::handlers) fn may_ask(
    cluster: &Cluster,
    now: Timestamp,
    spec: &JobSpec,
    applicant: &Applicant<'_>,
) -> Result<(), Refusal> {
    for name in claim::names_of(spec) {
        let found = cluster.reservations.get(name);
        let found = found.filter(|found| found.window(now).1 > now || found.recurrence().is_some());
        if !found.ok_or(RefusalCode::InvalidReservation)?.admits(applicant) {
            return Err(RefusalCode::ReservationAccessDenied.into());
        }
    }
    Ok(())
}

/// What of a node a job must leave alone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Closed {
    pub cpus: IndexSet,
    pub gres: Vec<GresShare>,
}

impl Closed {
    pub(crate) fn gres_is_open(&self, wanted: &GresShare) -> bool {
        self.gres
            .iter()
            .filter(|closed| closed.name == wanted.name)
            .all(|closed| closed.units.is_disjoint(&wanted.units))
    }
}

/// Whether `job` may be in the reservation that a plan proposes for it, now.
pub(in crate::handlers) fn may_enter(cluster: &Cluster, now: Timestamp, job: &Job, start: &PlannedStart) -> bool {
    let asked = claim::names_of(&job.spec).next().is_some();
    let Some(name) = &start.reservation else {
        return !asked;
    };
    let Some(reservation) = cluster.reservations.get(name) else {
        return false;
    };
    let named = claim::names_of(&job.spec).any(|asked| *asked == **name);
    (named || (!asked && reservation.has(ReservationFlag::Magnetic)))
        && reservation.admits(&Applicant::of_job(job, &start.partition))
        && Claim::of(&job.spec, Some(reservation)).may_start(&setting(cluster, now), now)
}

/// What of `node` a job that starts now in `inside` and runs until `until` must leave alone; `None` when that is all of it.
pub(crate) fn closed_to(
    cluster: &Cluster,
    now: Timestamp,
    spec: &JobSpec,
    inside: Option<&Name>,
    node: NodeIndex,
    until: Timestamp,
) -> Option<Closed> {
    let mut closed = Closed::default();
    if cluster.reservations.is_empty() {
        return Some(closed);
    }
    let inside = inside.and_then(|name| cluster.reservations.get(name)).map(Arc::as_ref);
    let (claim, setting) = (Claim::of(spec, inside), setting(cluster, now));
    let until = claim.leaves_by(&setting, now, until);
    if let Some(inside) = inside.filter(|_| claim.is_confined()) {
        close_the_rest(cluster, inside.on(node)?, &mut closed);
    }
    for other in cluster.reservations.values() {
        let Some(kept) = other.on(node).filter(|_| claim.is_kept_from(&setting, other, node, now, until)) else {
            continue;
        };
        closed.cpus.add_all(kept.cpus.as_ref()?);
        closed.gres.extend(kept.gres.iter().cloned());
    }
    Some(closed)
}

/// A job in a reservation of a part of a node may use that part only.
fn close_the_rest(cluster: &Cluster, own: &ReservedNode, closed: &mut Closed) {
    let (Some(cpus), Some(node)) = (&own.cpus, cluster.nodes.get(own.node.0 as usize)) else {
        return;
    };
    // Where only units were reserved, any CPU will do.
    if !cpus.is_empty() {
        closed.cpus = IndexSet::first_n(node.config.hardware.cpus);
        closed.cpus.remove_all(cpus);
    }
    for gres in &own.gres {
        let count: u64 =
            node.config.hardware.gres.iter().filter(|have| have.name == gres.name).map(|have| have.count).sum();
        let mut units = IndexSet::first_n(u32::try_from(count).unwrap_or(u32::MAX).min(4096));
        units.remove_all(&gres.units);
        closed.gres.push(GresShare { name: gres.name.clone(), kind: None, units });
    }
}

/// The reservation that keeps something that `job` holds, although it was there first; for the invariants.
pub(crate) fn broken_by<'a>(cluster: &'a Cluster, setting: &Setting<'_>, job: &Job) -> Option<&'a Reservation> {
    let (start, end) = (job.start_time?, job.end_time?);
    let inside = job.reservation.as_ref().and_then(|name| cluster.reservations.get(name)).map(Arc::as_ref);
    if job.reservation.is_some() && inside.is_none() {
        return None;
    }
    let claim = Claim::of(&job.spec, inside);
    let then = Setting { now: start, ..*setting };
    let until = claim.leaves_by(&then, start, end);
    let shares = || job.allocation.iter().flat_map(|allocation| &allocation.shares);
    let takes = |other: &Reservation| {
        shares().any(|share| {
            other.on(share.node).is_some_and(|kept| {
                let cpus = kept.cpus.as_ref().is_none_or(|cpus| !cpus.is_disjoint(&share.cpus));
                cpus && claim.is_kept_from(&then, other, share.node, start, until)
            })
        })
    };
    cluster.reservations.values().map(Arc::as_ref).find(|other| other.changed < start && takes(other))
}
