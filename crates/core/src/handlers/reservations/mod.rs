//! Reservations: made, changed and deleted by operators, and carried along by time.
//!
//! | subject | module |
//! |---|---|
//! | the three commands | [`create`], [`update`], [`delete`] |
//! | what the words of a command make of a row | [`shape`] |
//! | which nodes, CPUs and units a reservation gets | [`selection`] |
//! | whether two of them want the same | [`overlap`] |
//! | begin, end, recurrence, purge, replaced nodes | [`life`] |
//! | who may ask for one, and what a start may take | [`access`] |
//!
//! A reservation is one row. Whatever changes it goes through [`put`] and [`remove`].

pub(crate) mod access;
mod create;
mod delete;
pub(crate) mod life;
mod overlap;
mod selection;
mod shape;
mod update;

use std::sync::Arc;

use muster_model::document::{Document, DocumentKind};
use muster_model::fact::Fact;
use muster_model::ids::Name;
use muster_model::reservation::Reservation;
use muster_model::reservation::claim::Setting;
use muster_model::time::Timestamp;

pub(super) use create::create;
pub(super) use delete::delete;
pub(super) use update::update;

use crate::cluster::Cluster;
use crate::effect::Outcome;

/// Stores the new row. What follows from it is done when the event is over.
fn put(cluster: &mut Cluster, reservation: Reservation, out: &mut Outcome) {
    let row = Arc::new(reservation);
    out.facts.push(Fact::Document(Document::Reservation(row.clone())));
    cluster.reservations.insert(row.name.clone(), row);
    cluster.reservations_touched = true;
    out.plan_needed = true;
}

/// Takes the row away.
fn remove(cluster: &mut Cluster, name: &Name, out: &mut Outcome) {
    cluster.reservations.remove(name);
    out.facts.push(Fact::DocumentGone { kind: DocumentKind::Reservation, name: name.clone() });
    cluster.reservations_touched = true;
    out.plan_needed = true;
}

/// What claims of jobs are judged by.
pub(crate) fn setting(cluster: &Cluster, now: Timestamp) -> Setting<'_> {
    Setting { now, zone: &cluster.config.zone, over_run: cluster.config.reservation_over_run }
}
