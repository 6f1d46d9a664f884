//! `scontrol create reservation`.

use muster_model::fact::Fact;
use muster_model::ids::{Identity, Name};
use muster_model::request::{Refusal, RefusalCode};
use muster_model::reservation::{Reservation, ReservationChanges};
use muster_model::time::Timestamp;

use super::super::authorisation;
use super::{put, shape};
use crate::cluster::{Cluster, NEXT_RESERVATION};
use crate::effect::Outcome;

/// Most reservations at once: each pass of the scheduler looks at all of them.
const RESERVATIONS_MAX: usize = 10_000;

/// Makes a reservation and tells its name.
pub(in crate::handlers) fn create(
    cluster: &mut Cluster,
    now: Timestamp,
    identity: &Identity,
    name: Option<Name>,
    changes: &ReservationChanges,
    out: &mut Outcome,
) -> Result<Name, Refusal> {
    authorisation::may_change_cluster(identity)?;
    if cluster.reservations.len() >= RESERVATIONS_MAX {
        return Err(Refusal::new(RefusalCode::Disabled, format!("there are {RESERVATIONS_MAX} reservations already")));
    }
    if name.as_ref().is_some_and(|name| cluster.reservations.contains_key(name)) {
        return Err(RefusalCode::ReservationNameDuplicate.into());
    }
    let number = cluster.next_reservation;
    let blank = blank(identity, number);
    let mut reservation = shape::apply(cluster, now, blank, changes, shape::Occasion::Create)?;
    reservation.name = name.unwrap_or_else(|| unused_name(cluster, &reservation, number));
    reservation.changed = now;
    cluster.next_reservation = number.saturating_add(1);
    out.facts.push(Fact::Counter { name: NEXT_RESERVATION, value: cluster.next_reservation });
    let name = reservation.name.clone();
    put(cluster, reservation, out);
    Ok(name)
}

/// `root_1`: for whom it is, and which it is.
fn unused_name(cluster: &Cluster, reservation: &Reservation, number: u64) -> Name {
    let lists = [&reservation.accounts, &reservation.users, &reservation.groups];
    let whose = lists.iter().find_map(|list| list.allowed.first()).map_or("resv", |name| name);
    let names = (number..).map(|number| Name::from(format!("{whose}_{number}")));
    names.into_iter().find(|name| !cluster.reservations.contains_key(name)).unwrap_or_else(|| whose.into())
}

fn blank(identity: &Identity, number: u64) -> Reservation {
    Reservation {
        name: "".into(),
        number,
        changed: Timestamp::default(),
        start: Timestamp::default(),
        end: Timestamp::default(),
        anchor: None,
        float: None,
        flags: Vec::new(),
        nodes: Vec::new(),
        node_list: None,
        nodes_wanted: None,
        cores_wanted: Vec::new(),
        tres: Default::default(),
        partition: None,
        features: None,
        users: Default::default(),
        groups: Default::default(),
        accounts: Default::default(),
        qos: Default::default(),
        partitions: Default::default(),
        purge_after: None,
        start_delay_max: None,
        comment: None,
        creator_uid: identity.uid,
        idle_since: None,
    }
}
