//! What time does to reservations: begin and end, recurrence, purge, and nodes that take the place of others.
//!
//! All of it is looked at together, whenever a timer fires, a row changes, a job that asks for a reservation comes or
//! goes, or a node leaves service. There are few reservations, and what is done follows from the present state only.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_model::ids::{JobId, Name, NodeIndex};
use muster_model::job::{Hold, Job};
use muster_model::node::Node;
use muster_model::reservation::claim::{Claim, names_of};
use muster_model::reservation::{Reservation, ReservationFlag, ReservedNode};
use muster_model::state::{JobState, Reason};
use muster_model::time::{Span, Timestamp};

use super::super::{cancel, dependency};
use super::selection::Chooser;
use super::{put, remove};
use crate::cluster::Cluster;
use crate::effect::{EndCause, Outcome, SignalScope};
use crate::timers::Timer;

/// Brings all reservations up to date, if anything about them may have changed.
pub(crate) fn tend(cluster: &mut Cluster, now: Timestamp, out: &mut Outcome) {
    // One round can be the cause of another: a job that is ended leaves its reservation idle. The second finds rest.
    for _ in 0..4 {
        if !std::mem::take(&mut cluster.reservations_touched) {
            return;
        }
        let names: Vec<Name> = cluster.reservations.keys().cloned().collect();
        for name in names {
            end_if_over(cluster, now, &name, out);
            purge_if_idle(cluster, now, &name, out);
            replace_nodes(cluster, now, &name, out);
            recall_borrowers(cluster, now, &name, out);
        }
        forget_lost(cluster, now, out);
        mark_nodes(cluster, now, out);
        set_timer(cluster, now);
    }
}

/// A time has come that somebody waited for.
pub(crate) fn due(cluster: &mut Cluster, out: &mut Outcome) {
    cluster.reservations_touched = true;
    out.plan_needed = true;
}

/// Rows after a restart: their nodes found again by name, and everything looked at anew.
pub(crate) fn restored(cluster: &mut Cluster) {
    let rows: Vec<Arc<Reservation>> = cluster.reservations.values().cloned().collect();
    for row in rows {
        let names = row.node_list.as_deref().and_then(|list| muster_model::hostlist::expand(list).ok());
        let Some(names) = names.filter(|names| names.len() == row.nodes.len()) else { continue };
        let mut moved = (*row).clone();
        moved.nodes = row
            .nodes
            .iter()
            .zip(&names)
            .filter_map(|(kept, name)| {
                Some(ReservedNode { node: cluster.node_index.get(&**name).copied()?, ..kept.clone() })
            })
            .collect();
        moved.nodes.sort_by_key(|kept| kept.node);
        if moved.nodes != row.nodes {
            Chooser { cluster, now: Timestamp::default() }.note_names(&mut moved);
            cluster.reservations.insert(moved.name.clone(), Arc::new(moved));
        }
    }
    cluster.reservations_touched = true;
}

/// Jobs that have not ended and ask for `name` or are in it.
fn jobs_of(cluster: &Cluster, name: &Name) -> Vec<Arc<Job>> {
    let ids = cluster.reservation_jobs.get(name).into_iter().flatten();
    ids.filter_map(|id| cluster.jobs.get(id)).cloned().collect()
}

fn is_running(job: &Job) -> bool {
    matches!(job.state, JobState::Running | JobState::Suspended)
}

fn end_if_over(cluster: &mut Cluster, now: Timestamp, name: &Name, out: &mut Outcome) {
    let Some(reservation) = cluster.reservations.get(name).cloned() else { return };
    if reservation.end > now || reservation.float.is_some() {
        return;
    }
    let over_run = cluster.config.reservation_over_run;
    let flexible = reservation.has(ReservationFlag::Flex);
    let next = reservation.occurrence_after(&cluster.config.zone, now);
    let may_stay = over_run.is_none_or(|over_run| now < reservation.end + over_run);
    let jobs = jobs_of(cluster, name);
    let mut stays = false;
    for job in jobs.iter().filter(|job| is_running(job) && job.reservation.as_ref() == Some(name)) {
        if flexible || may_stay {
            stays = true;
        } else {
            cancel::end_by_system(cluster, now, job.id, JobState::Timeout, Reason::TimeLimit, EndCause::TimeLimit, out);
        }
    }
    if let Some(next) = next {
        // While jobs may still stay, their end follows from this occurrence.
        if !stays || flexible || over_run.is_none() || next.start <= now {
            let mut reservation = (*reservation).clone();
            (reservation.start, reservation.end) = (next.start, next.end);
            reservation.idle_since = None;
            reservation.changed = now;
            put(cluster, reservation, out);
        }
        return;
    }
    for job in jobs.iter().filter(|job| job.state == JobState::Pending) {
        forget_in(cluster, now, job.id, name, !reservation.has(ReservationFlag::NoHoldJobsAfter), out);
    }
    if !stays {
        remove(cluster, name, out);
    }
}

/// A pending job loses a reservation that is gone: it is held, unless another one is left to it or `NO_HOLD_JOBS_AFTER`
/// lets it run without.
fn forget_in(cluster: &mut Cluster, now: Timestamp, job_id: JobId, gone: &Name, may_hold: bool, out: &mut Outcome) {
    let Some(job) = cluster.jobs.get(&job_id).filter(|job| job.state == JobState::Pending).cloned() else {
        return;
    };
    let left: Vec<&str> = names_of(&job.spec).filter(|name| **name != **gone).collect();
    let is_held = left.is_empty() && may_hold;
    let mut spec = (*job.spec).clone();
    spec.reservation = Some(left.join(",").into()).filter(|left: &Name| !left.is_empty());
    let mut job = (*job).clone();
    (job.spec_id, job.spec) = cluster.share_spec(spec, out);
    if is_held {
        job.hold = Some(job.hold.unwrap_or(Hold::User));
        job.priority = 0;
        job.reason = Reason::ReservationDeleted;
        job.reason_detail = Some(format!("Reservation {gone} was deleted").into());
        job.reservation_gone = Some(gone.clone());
    }
    dependency::settle(cluster, now, &mut job);
    cluster.put_job(now, job, out);
}

/// Jobs that come back to the queue and whose reservation has gone meanwhile.
fn forget_lost(cluster: &mut Cluster, now: Timestamp, out: &mut Outcome) {
    let lost = cluster.reservation_jobs.iter().filter(|(name, _)| !cluster.reservations.contains_key(*name));
    let lost: Vec<(Name, Vec<JobId>)> =
        lost.map(|(name, jobs)| (name.clone(), jobs.iter().copied().collect())).collect();
    for (name, jobs) in lost {
        for job_id in jobs {
            forget_in(cluster, now, job_id, &name, true, out);
        }
    }
}

/// `PURGE_COMP`: away with it when nobody has been in it for so long. One that recurs comes back the next time.
fn purge_if_idle(cluster: &mut Cluster, now: Timestamp, name: &Name, out: &mut Outcome) {
    let Some(reservation) = cluster.reservations.get(name).cloned() else { return };
    let Some(patience) = reservation.purge_after else { return };
    let is_idle = reservation.is_active(now) && cluster.reservation_jobs.get(name).is_none_or(|jobs| jobs.is_empty());
    match (is_idle, reservation.idle_since) {
        (true, Some(since)) if since + patience <= now => {
            match reservation.occurrence_after(&cluster.config.zone, reservation.end) {
                Some(next) => {
                    let mut later = (*reservation).clone();
                    (later.start, later.end, later.idle_since) = (next.start, next.end, None);
                    later.changed = now;
                    put(cluster, later, out);
                }
                None => remove(cluster, name, out),
            }
        }
        (true, None) | (false, Some(_)) => {
            let mut changed = (*reservation).clone();
            changed.idle_since = is_idle.then_some(now);
            put(cluster, changed, out);
        }
        _ => {}
    }
}

/// Nodes that went out of service are replaced, and with `REPLACE` also those that jobs took, as far as there are others.
fn replace_nodes(cluster: &mut Cluster, now: Timestamp, name: &Name, out: &mut Outcome) {
    let Some(reservation) = cluster.reservations.get(name).filter(|reservation| reservation.may_replace()).cloned()
    else {
        return;
    };
    let wants_idle = reservation.has(ReservationFlag::Replace) && reservation.is_active(now);
    let is_spent = |node: &Node| !is_in_service(node) || (wants_idle && node.used.jobs_running > 0);
    let spent: Vec<NodeIndex> = reservation
        .nodes
        .iter()
        .filter(|kept| kept.cpus.is_none())
        .filter(|kept| cluster.nodes.get(kept.node.0 as usize).is_some_and(|node| is_spent(node)))
        .map(|kept| kept.node)
        .collect();
    if spent.is_empty() {
        return;
    }
    let fresh = Chooser { cluster, now }.substitutes(&reservation, spent.len());
    if fresh.is_empty() {
        return;
    }
    let mut changed = (*reservation).clone();
    // Nodes out of service go first; those that jobs took may stay where there are not enough.
    let mut gone = spent;
    gone.sort_by_key(|index| cluster.nodes.get(index.0 as usize).is_some_and(|node| is_in_service(node)));
    gone.truncate(fresh.len());
    changed.nodes.retain(|kept| !gone.contains(&kept.node));
    changed.nodes.extend(fresh.into_iter().map(ReservedNode::whole));
    changed.nodes.sort_by_key(|kept| kept.node);
    changed.changed = now;
    Chooser { cluster, now }.note_names(&mut changed);
    put(cluster, changed, out);
}

/// A node that never called since the start of the controller is not given up yet.
fn is_in_service(node: &Node) -> bool {
    node.health != muster_model::node::NodeHealth::Down && !node.drain
}

/// Jobs that borrowed nodes of a reservation (`--signal=R:`, `MaxStartDelay`) are told to go once a job of it waits.
fn recall_borrowers(cluster: &mut Cluster, now: Timestamp, name: &Name, out: &mut Outcome) {
    let Some(reservation) = cluster.reservations.get(name).filter(|row| row.start_delay_max.is_some()).cloned() else {
        return;
    };
    let waits = |job: &Arc<Job>| crate::index::is_queued(job, now);
    if !reservation.is_active(now) || !jobs_of(cluster, name).iter().any(waits) {
        return;
    }
    let borrows = |job: &&Arc<Job>| {
        job.state == JobState::Running
            && job.reservation.as_ref() != Some(name)
            && Claim::of(&job.spec, None).leaves_early.is_some()
            && job.allocation.iter().flat_map(|all| &all.shares).any(|share| reservation.on(share.node).is_some())
    };
    let borrowers: Vec<Arc<Job>> = cluster.running.values().filter(borrows).cloned().collect();
    for job in borrowers {
        let Some(early) = job.spec.early_signal else { continue };
        let end = now + early.before_end;
        if job.early_signal_sent || job.end_time.is_some_and(|before| before <= end) {
            continue;
        }
        let scope = if early.batch_only { SignalScope::Batch } else { SignalScope::Steps };
        cancel::send_signal(&job, None, early.signal, scope, out);
        let mut job = (*job).clone();
        job.end_time = Some(end);
        job.early_signal_sent = true;
        cluster.set_job_timers(&job, now);
        cluster.put_job(now, job, out);
    }
}

/// Shows nodes as reserved, and as under maintenance, while a reservation has them.
fn mark_nodes(cluster: &mut Cluster, now: Timestamp, out: &mut Outcome) {
    let mut marks: BTreeMap<NodeIndex, bool> = BTreeMap::new();
    for reservation in cluster.reservations.values().filter(|reservation| reservation.is_active(now)) {
        let maintenance = reservation.has(ReservationFlag::Maint);
        for kept in &reservation.nodes {
            *marks.entry(kept.node).or_default() |= maintenance;
        }
    }
    let before = std::mem::replace(&mut cluster.reserved_nodes, marks.clone());
    if before == marks {
        return;
    }
    for index in before.keys().chain(marks.keys()).copied().collect::<std::collections::BTreeSet<_>>() {
        let (reserved, maintenance) = (marks.contains_key(&index), marks.get(&index).copied().unwrap_or(false));
        cluster.change_node(index, out, |node| (node.reserved, node.maintenance) = (reserved, maintenance));
    }
    out.plan_needed = true;
}

/// One timer, for the next thing that time does to any of them.
fn set_timer(cluster: &mut Cluster, now: Timestamp) {
    let over_run = cluster.config.reservation_over_run.unwrap_or(Span::ZERO);
    let moments = cluster.reservations.values().filter(|reservation| reservation.float.is_none()).flat_map(|row| {
        let purge = row.idle_since.zip(row.purge_after).map(|(since, patience)| since + patience);
        [Some(row.start), Some(row.end), Some(row.end + over_run), purge]
    });
    if let Some(next) = moments.flatten().filter(|moment| *moment > now).min() {
        cluster.timers.set(next, Timer::Reservations);
    }
}
