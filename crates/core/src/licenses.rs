//! Licences in use: kept with each change of a job row, and looked at before a start counts.
//!
//! The scheduler plans with the same rules, but on a view that may be stale when it is done. Here each start is checked
//! against the present, so that no licence is given twice, and none that a reservation keeps from the job.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_model::ids::Name;
use muster_model::job::Job;
use muster_model::licenses::{self, Licenses};
use muster_model::reservation::Reservation;
use muster_model::reservation::claim::{Claim, Setting};
use muster_model::time::Timestamp;

use crate::cluster::Cluster;
use crate::handlers::reservations::setting;

/// What jobs hold, by the reservation that they run in.
pub(crate) type LicensesHeld = BTreeMap<Option<Name>, Licenses>;

impl Cluster {
    /// The licences that there are.
    pub(crate) fn licenses_total(&self) -> Licenses {
        licenses::totals(&self.config, &self.accounting)
    }

    /// Follows the change of a row.
    pub(crate) fn index_licenses(&mut self, old: Option<&Job>, new: &Job) {
        let asks = |job: &Job| job.spec.request.licenses.is_some();
        if !asks(new) && !old.is_some_and(asks) {
            return;
        }
        if let Some(old) = old.filter(|old| asks(old)) {
            let before = licenses::held(old);
            if let Some(held) = self.licenses_held.get_mut(&old.reservation) {
                licenses::take(held, &before);
                held.retain(|_, count| *count > 0);
                if held.is_empty() {
                    self.licenses_held.remove(&old.reservation);
                }
            }
        }
        let after = licenses::held(new);
        if !after.is_empty() {
            let held = self.licenses_held.entry(new.reservation.clone()).or_default();
            licenses::add(held, &after);
            held.retain(|_, count| *count > 0);
        }
        self.licenses_held.retain(|_, held| !held.is_empty());
    }

    /// What is held, counted from the rows.
    pub(crate) fn recount_licenses(&self) -> LicensesHeld {
        let mut all = LicensesHeld::new();
        for job in self.jobs.values() {
            let held = licenses::held(job);
            if held.values().any(|count| *count > 0) {
                licenses::add(all.entry(job.reservation.clone()).or_default(), &held);
            }
        }
        all.values_mut().for_each(|held| held.retain(|_, count| *count > 0));
        all
    }

    /// Whether `wanted` is free now beside what jobs hold, and beside what reservations keep from a job that runs in
    /// `inside` until `until`.
    pub(crate) fn has_licenses(
        &self,
        now: Timestamp,
        job: &Job,
        inside: Option<&Name>,
        until: Timestamp,
        wanted: &Licenses,
    ) -> bool {
        if wanted.is_empty() {
            return true;
        }
        let inside = inside.and_then(|name| self.reservations.get(name)).map(Arc::as_ref);
        let (claim, setting) = (Claim::of(&job.spec, inside), setting(self, now));
        let until = claim.leaves_by(&setting, now, until);
        let mut free = self.licenses_total();
        self.licenses_held.values().for_each(|held| licenses::take(&mut free, held));
        for other in self.reservations.values().filter(|other| claim.is_unlicensed_by(&setting, other, now, until)) {
            licenses::take(&mut free, &other.licenses_unused(&self.licenses_used_in(&other.name)));
        }
        licenses::suffice(&free, wanted)
    }

    fn licenses_used_in(&self, reservation: &Name) -> Licenses {
        self.licenses_held.get(&Some(reservation.clone())).cloned().unwrap_or_default()
    }

    /// What is wrong with the licences: more held than there are, or what a reservation keeps taken by jobs that started
    /// after it was made and whose limit is as it was then.
    pub(crate) fn licences_wrong(&self) -> Vec<String> {
        let recount = self.recount_licenses();
        let mut wrong = Vec::new();
        if recount != self.licenses_held {
            wrong.push(format!("jobs hold licences {recount:?}, {:?} are counted", self.licenses_held));
        }
        let totals = self.licenses_total();
        let mut all = Licenses::new();
        recount.values().for_each(|held| licenses::add(&mut all, held));
        for (name, count) in &all {
            // A licence that the configuration does not have any more stays with the jobs that hold it.
            if totals.get(name).is_some_and(|total| count > total) && self.was_given_since_allotted(name) {
                wrong.push(format!("{count} of licence {name} are held, there are {totals:?}"));
            }
        }
        let kept = self.reservations.values().filter(|row| row.licenses().next().is_some());
        wrong.extend(kept.filter_map(|row| self.licences_taken_from(row, &totals)));
        wrong
    }

    /// Whether any of a licence was given after its number was last changed: who had it before keeps it.
    fn was_given_since_allotted(&self, name: &Name) -> bool {
        let Some(changed) = self.accounting.resources.get(name).map(|row| row.changed) else { return true };
        let holds = |job: &&Arc<Job>| licenses::held(job).get(name).is_some_and(|count| *count > 0);
        self.running.values().filter(holds).any(|job| job.start_time.is_some_and(|start| start > changed))
    }

    fn licences_taken_from(&self, reservation: &Reservation, totals: &Licenses) -> Option<String> {
        let mut outside = Licenses::new();
        for job in self.running.values().filter(|job| is_as_started(job) && self.keeps_from(reservation, job)) {
            licenses::add(&mut outside, &licenses::held(job));
        }
        reservation.licenses().find_map(|(name, kept)| {
            let (total, held) = (totals.get(name)?, outside.get(name)?);
            (held + kept > *total).then(|| {
                format!(
                    "{held} of licence {name} are held outside reservation {}, which keeps {kept} of {total}",
                    reservation.name
                )
            })
        })
    }

    /// Whether `reservation` kept its licences from `job` when it started.
    fn keeps_from(&self, reservation: &Reservation, job: &Job) -> bool {
        let (Some(start), Some(end)) = (job.start_time, job.end_time) else { return false };
        let inside = job.reservation.as_ref().and_then(|name| self.reservations.get(name)).map(Arc::as_ref);
        if reservation.changed >= start || (job.reservation.is_some() && inside.is_none()) {
            return false;
        }
        let claim = Claim::of(&job.spec, inside);
        let then = Setting { now: start, ..setting(self, start) };
        claim.is_unlicensed_by(&then, reservation, start, claim.leaves_by(&then, start, end))
    }
}

/// Whether nobody has changed how long the job may run since it started.
fn is_as_started(job: &Job) -> bool {
    let limit = job.time_limit.span().zip(job.start_time).map(|(limit, start)| start + limit);
    limit == job.end_time && job.spec.time_limit.is_none_or(|asked| asked == job.time_limit)
}
