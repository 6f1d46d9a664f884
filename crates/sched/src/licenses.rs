//! Who holds licences, and when: the running jobs, what this pass starts, and planned starts.
//!
//! A job may have licences only if they are free at every moment of its run beside those who hold them and beside the
//! planned starts of jobs before it. What is free shrinks only where a planned start begins, so those moments are all that is
//! looked at. What licences are, [`muster_model::licenses`] tells.

use std::collections::BTreeMap;

use muster_model::ids::Name;
use muster_model::licenses::{self, Licenses, add, suffice, take};
use muster_model::planning::PlanView;
use muster_model::time::Timestamp;

use crate::future::{OVERDUE, Rank};

/// What running jobs hold, until when, and in which reservation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Holdings {
    list: Vec<(Timestamp, Option<Name>, Licenses)>,
}

impl Holdings {
    /// Reads `view`.
    pub(crate) fn of(view: &PlanView) -> Holdings {
        let held = view.running.iter().filter(|(_, job)| job.spec.request.licenses.is_some()).map(|((end, _), job)| {
            let end = if *end > view.now { *end } else { view.now + OVERDUE };
            (end, job.reservation.clone(), licenses::held(job))
        });
        Holdings { list: held.filter(|(.., held)| !held.is_empty()).collect() }
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

    /// What jobs in `reservation` hold at `time`.
    pub(crate) fn used_in(&self, reservation: &Name, time: Timestamp) -> Licenses {
        let mut used = Licenses::new();
        let inside = self.list.iter().filter(|(end, name, _)| *end > time && name.as_ref() == Some(reservation));
        inside.for_each(|(.., held)| add(&mut used, held));
        used
    }
}

/// Licences that planned starts hold, by the place of the start.
#[derive(Debug, Default)]
pub(crate) struct LicensePlans {
    by_rank: BTreeMap<Rank, LicensePlan>,
}

/// What one planned start holds.
#[derive(Debug, Clone)]
pub(crate) struct LicensePlan {
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    pub(crate) reservation: Option<Name>,
    pub(crate) held: Licenses,
}

impl LicensePlans {
    /// Holds what `plan` says.
    pub(crate) fn insert(&mut self, rank: Rank, plan: LicensePlan) {
        self.by_rank.insert(rank, plan);
    }

    /// Gives it back.
    pub(crate) fn remove(&mut self, rank: &Rank) -> Option<LicensePlan> {
        self.by_rank.remove(rank)
    }

    /// Whether none are planned for anybody.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_rank.is_empty()
    }

    /// Planned starts of jobs before `rank`.
    fn before(&self, rank: &Rank) -> impl Iterator<Item = &LicensePlan> {
        self.by_rank.range(..*rank).map(|(_, plan)| plan)
    }

    /// Places behind `rank` with what is planned there.
    pub(crate) fn behind(&self, rank: &Rank) -> impl Iterator<Item = (&Rank, &LicensePlan)> {
        let after = (std::ops::Bound::Excluded(*rank), std::ops::Bound::Unbounded);
        self.by_rank.range(after)
    }
}

/// Who holds licences at which time, as a job at `rank` sees it: planned starts behind it do not count.
#[derive(Clone, Copy)]
pub(crate) struct Licensing<'a> {
    pub(crate) totals: &'a Licenses,
    pub(crate) holdings: &'a Holdings,
    pub(crate) plans: &'a LicensePlans,
    pub(crate) rank: &'a Rank,
}

impl Licensing<'_> {
    /// Whether `wanted` is there from `from` until `until`, beside what reservations withhold; how much that is follows from
    /// what is used inside each at the time.
    pub(crate) fn suffices(
        &self,
        wanted: &Licenses,
        run: (Timestamp, Timestamp),
        withheld: impl Fn(&dyn Fn(&Name) -> Licenses) -> Licenses,
    ) -> bool {
        self.moments(wanted, run).all(|time| suffice(&self.left_at(time, &withheld), wanted))
    }

    /// The least that there is of `wanted` in that time.
    pub(crate) fn least(
        &self,
        wanted: &Licenses,
        run: (Timestamp, Timestamp),
        withheld: impl Fn(&dyn Fn(&Name) -> Licenses) -> Licenses,
    ) -> Licenses {
        let left: Vec<Licenses> = self.moments(wanted, run).map(|time| self.left_at(time, &withheld)).collect();
        let least = |name: &Name| left.iter().map(|left| left.get(name).copied().unwrap_or(0)).min().unwrap_or(0);
        wanted.keys().map(|name| (name.clone(), least(name))).collect()
    }

    /// The moments of a run at which less may be there than before.
    fn moments(&self, wanted: &Licenses, (from, until): (Timestamp, Timestamp)) -> impl Iterator<Item = Timestamp> {
        let later = self.plans.before(self.rank).filter(move |plan| from < plan.start && plan.start < until);
        let later = later.filter(|plan| plan.held.keys().any(|name| wanted.contains_key(name)));
        std::iter::once(from).chain(later.map(|plan| plan.start))
    }

    fn left_at(&self, time: Timestamp, withheld: impl Fn(&dyn Fn(&Name) -> Licenses) -> Licenses) -> Licenses {
        let mut free = self.holdings.free_at(self.totals, time);
        self.plans_at(time).for_each(|plan| take(&mut free, &plan.held));
        take(&mut free, &withheld(&|name| self.used_in(name, time)));
        free
    }

    fn plans_at(&self, time: Timestamp) -> impl Iterator<Item = &LicensePlan> {
        self.plans.before(self.rank).filter(move |plan| plan.start <= time && time < plan.end)
    }

    fn used_in(&self, reservation: &Name, time: Timestamp) -> Licenses {
        let mut used = self.holdings.used_in(reservation, time);
        let inside = self.plans_at(time).filter(|plan| plan.reservation.as_ref() == Some(reservation));
        inside.for_each(|plan| add(&mut used, &plan.held));
        used
    }
}
