//! What the words of `create` and `update` make of a row.

use std::collections::BTreeSet;

use muster_model::ids::Name;
use muster_model::partition::Partition;
use muster_model::request::{Refusal, RefusalCode};
use muster_model::reservation::LICENSE_PREFIX;
use muster_model::reservation::{
    Anchor, DurationChange, FlagChange, ListChange, Reservation, ReservationChanges, ReservationFlag, SetOperation,
};
use muster_model::time::{Span, Timestamp};

use super::{overlap, selection};
use crate::cluster::Cluster;

/// Whether a row is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    Create,
    Update,
}

/// `Duration=UNLIMITED`: a year, as Slurm has it.
const UNLIMITED: Span = Span::from_seconds(365 * 86_400);
/// How far in the past a begin may be: `now`, on its way here.
const LATE_MAX: Span = Span::from_seconds(60);
/// `PURGE_COMP` without a time.
const PURGE_AFTER_DEFAULT: Span = Span::from_minutes(5);

/// `reservation` with `changes`, its nodes chosen anew where they have to be.
pub(super) fn apply(
    cluster: &Cluster,
    now: Timestamp,
    mut reservation: Reservation,
    changes: &ReservationChanges,
    occasion: Occasion,
) -> Result<Reservation, Refusal> {
    if occasion == Occasion::Update && changes.core_counts.is_some() {
        return Err(RefusalCode::ReservationCoresFixed.into());
    }
    if let Some(flags) = &changes.flags {
        set_flags(&mut reservation, flags, occasion)?;
    }
    set_times(&mut reservation, now, changes, occasion)?;
    set_series(&mut reservation, changes, now)?;
    set_lists(cluster, &mut reservation, changes)?;
    set_source(cluster, &mut reservation, changes)?;
    set_licenses(cluster, &mut reservation, changes)?;
    overlap::check_licenses(cluster, now, &reservation)?;
    if let Some(delay) = changes.start_delay_max {
        reservation.start_delay_max = delay;
    }
    if let Some(comment) = &changes.comment {
        reservation.comment = Some(comment.clone()).filter(|comment| !comment.is_empty());
    }
    selection::settle(cluster, now, reservation, changes, occasion)
}

fn set_flags(reservation: &mut Reservation, change: &FlagChange, occasion: Occasion) -> Result<(), Refusal> {
    let on = change.operation != SetOperation::Remove;
    for flag in &change.flags {
        if *flag == ReservationFlag::TimeFloat && occasion == Occasion::Update {
            return Err(RefusalCode::NotSupported.into());
        }
        reservation.set(*flag, on);
    }
    if reservation.has(ReservationFlag::PurgeComp) {
        let before = reservation.purge_after.unwrap_or(PURGE_AFTER_DEFAULT);
        reservation.purge_after = Some(change.purge_after.unwrap_or(before));
    } else {
        reservation.purge_after = None;
    }
    Ok(())
}

fn set_times(
    reservation: &mut Reservation,
    now: Timestamp,
    changes: &ReservationChanges,
    occasion: Occasion,
) -> Result<(), Refusal> {
    let bad = || Refusal::from(RefusalCode::InvalidTimeValue);
    let length = reservation.end.since(reservation.start);
    match changes.start {
        Some(start) if start == reservation.start => {}
        Some(_) if occasion == Occasion::Update && reservation.start <= now => {
            return Err(RefusalCode::ReservationStarted.into());
        }
        Some(start) if start + LATE_MAX < now => return Err(bad()),
        Some(start) => {
            reservation.start = start;
            reservation.end = start + length;
        }
        None if occasion == Occasion::Create => return Err(bad()),
        None => {}
    }
    if let Some(end) = changes.end {
        reservation.end = end;
    }
    match changes.duration {
        Some(DurationChange::To(span)) => reservation.end = reservation.start + span,
        Some(DurationChange::Unlimited) => reservation.end = reservation.start + UNLIMITED,
        Some(DurationChange::Longer(span)) => reservation.end = reservation.end + span,
        Some(DurationChange::Shorter(span)) => reservation.end = reservation.end - span,
        None if occasion == Occasion::Create && changes.end.is_none() => return Err(bad()),
        None => {}
    }
    if reservation.end < reservation.start || reservation.end + LATE_MAX < now { Err(bad()) } else { Ok(()) }
}

/// What follows from times and flags: where the series of a recurring reservation begins, how far a floating one is ahead.
fn set_series(reservation: &mut Reservation, changes: &ReservationChanges, now: Timestamp) -> Result<(), Refusal> {
    let floats = reservation.has(ReservationFlag::TimeFloat);
    let recurs = reservation.recurrence().is_some();
    if floats && recurs {
        return Err(RefusalCode::NotSupported.into());
    }
    if floats && (changes.start.is_some() || reservation.float.is_none()) {
        reservation.float = Some(reservation.start.since(now));
    }
    let times_changed = changes.start.is_some() || changes.end.is_some() || changes.duration.is_some();
    if !recurs {
        reservation.anchor = None;
    } else if times_changed || reservation.anchor.is_none() {
        reservation.anchor = Some(Anchor { start: reservation.start, end: reservation.end });
    }
    Ok(())
}

fn set_lists(cluster: &Cluster, reservation: &mut Reservation, changes: &ReservationChanges) -> Result<(), Refusal> {
    if let Some(change) = &changes.accounts {
        known(cluster, change, |name| cluster.accounting.accounts.contains_key(name), RefusalCode::InvalidAccount)?;
    }
    if let Some(change) = &changes.qos {
        known(cluster, change, |name| cluster.accounting.qos.contains_key(name), RefusalCode::InvalidQos)?;
    }
    for name in changes.partitions.iter().flat_map(|change| &change.names) {
        cluster.partition(name).ok_or(RefusalCode::InvalidPartition)?;
    }
    let lists = [
        (&changes.users, &mut reservation.users),
        (&changes.groups, &mut reservation.groups),
        (&changes.accounts, &mut reservation.accounts),
        (&changes.qos, &mut reservation.qos),
        (&changes.partitions, &mut reservation.partitions),
    ];
    for (change, list) in lists {
        if let Some(change) = change {
            change.apply(list);
        }
    }
    let all = [&reservation.users, &reservation.groups, &reservation.accounts, &reservation.qos];
    if all.iter().all(|list| list.is_empty()) && reservation.partitions.is_empty() {
        return Err(RefusalCode::ReservationEmpty.into());
    }
    Ok(())
}

/// Names are checked once there is accounting; the account `root` is always there.
fn known(
    cluster: &Cluster,
    change: &ListChange,
    is_known: impl Fn(&Name) -> bool,
    otherwise: RefusalCode,
) -> Result<(), Refusal> {
    let checked = !cluster.accounting.accounts.is_empty() && change.operation != SetOperation::Remove;
    match change.names.iter().find(|name| checked && &***name != "root" && !is_known(name)) {
        Some(name) => Err(Refusal::new(otherwise, format!("no {name}"))),
        None => Ok(()),
    }
}

fn set_source(cluster: &Cluster, reservation: &mut Reservation, changes: &ReservationChanges) -> Result<(), Refusal> {
    if let Some(name) = &changes.partition {
        if !name.is_empty() {
            cluster.partition(name).ok_or(RefusalCode::InvalidPartition)?;
        }
        reservation.partition = Some(name.clone()).filter(|name| !name.is_empty());
    }
    if let Some(features) = &changes.features {
        if reservation.has(ReservationFlag::SpecNodes) {
            // Its nodes were named; there is nothing to choose by.
            return Err(RefusalCode::NotSupported.into());
        }
        selection::Features::read(cluster, features)?;
        reservation.features = Some(features.clone()).filter(|features| !features.is_empty());
    }
    Ok(())
}

fn set_licenses(cluster: &Cluster, reservation: &mut Reservation, changes: &ReservationChanges) -> Result<(), Refusal> {
    let Some(licenses) = &changes.licenses else { return Ok(()) };
    let totals = cluster.licenses_total();
    for (name, count) in &licenses.0 {
        let total = totals.get(name).copied().ok_or(RefusalCode::InvalidLicense)?;
        if *count > total {
            return Err(RefusalCode::InvalidLicense.into());
        }
    }
    reservation.tres.0.retain(|name, _| !name.starts_with(LICENSE_PREFIX));
    for (name, count) in &licenses.0 {
        reservation.tres.0.insert(format!("{LICENSE_PREFIX}{name}").into(), *count);
    }
    Ok(())
}

/// The nodes of `partition`, or all.
pub(super) fn nodes_of(cluster: &Cluster, partition: Option<&Partition>) -> BTreeSet<muster_model::ids::NodeIndex> {
    match partition {
        Some(partition) => partition.nodes.iter().copied().collect(),
        None => cluster.node_index.values().copied().collect(),
    }
}
