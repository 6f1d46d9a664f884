//! Two planners that relieve each other, so that a pass over everything keeps nobody from starting.
//!
//! One makes quick passes over what has changed. Now and then the other makes one over everything, elsewhere and on a copy
//! of the state; meanwhile the first goes on. When the long pass is over, what has happened since is taken in by a quick
//! pass on top of it, and the two change places: so what becomes of it is what a long pass that took no time would have
//! decided, followed by a quick one. The starts of the long pass are not taken as they are but decided again by that quick
//! pass, beside the planned starts of the long one; a job that has come meanwhile stands where it belongs in the order.
//!
//! What does not hold together is not used. Where a job that was started meanwhile is in the way of a planned start of the
//! long pass, or the quick pass does not find a start that the long one found, the next long pass is made alone: nothing is
//! planned beside it. So no planned start is delayed, and a long pass is lost at most every other time.
//!
//! All this is a function of the views and of when they came, so it is the same in a simulation.

use muster_model::ids::JobId;
use muster_model::planning::{Plan, PlanView};
use muster_model::preemption::PreemptType;

use crate::budget::Budget;
use crate::planner::Planner;

/// The two planners. One of them may be away, making a pass over everything.
#[derive(Debug)]
pub struct Planners {
    /// Makes the quick passes.
    front: Planner,
    /// The other one, while it is not away.
    spare: Option<Planner>,
    /// The front has looked at everything since the other went away.
    is_overtaken: bool,
    /// The next pass over everything is made while nothing else is planned.
    is_next_alone: bool,
}

impl Default for Planners {
    fn default() -> Self {
        Planners { front: Planner::new(), spare: Some(Planner::new()), is_overtaken: false, is_next_alone: false }
    }
}

impl Planners {
    /// Two planners that know nothing yet.
    pub fn new() -> Planners {
        Planners::default()
    }

    /// A pass over what has changed.
    pub fn quick(&mut self, view: &PlanView, budget: &Budget) -> Plan {
        let plan = self.front.plan_changes(view, budget);
        self.is_overtaken |= !plan.is_partial;
        plan
    }

    /// A pass over everything, for which all wait.
    pub fn alone(&mut self, view: &PlanView, budget: &Budget) -> Plan {
        self.is_next_alone = false;
        self.is_overtaken = true;
        self.front.plan(view, budget)
    }

    /// The planner for a pass over `view` as a whole that is made elsewhere; give it back with [`Planners::take_back`]. `None`
    /// where such a pass has to be made alone: the first one, one after another that was not used, and wherever jobs may
    /// have to make room for others, of which only a pass over everything decides.
    pub fn lend(&mut self, view: &PlanView) -> Option<Planner> {
        let preemption = &view.config.preemption;
        let is_simple = preemption.kind == PreemptType::None && !preemption.gang && view.config.backfill;
        if self.is_next_alone || !is_simple || !self.front.has_books() {
            return None;
        }
        let planner = self.spare.take()?;
        self.is_overtaken = false;
        Some(planner)
    }

    /// Takes back the planner that was lent, with the plan that it has made. What may be used of that is in the plan that
    /// this gives, which is true for `view`.
    pub fn take_back(&mut self, planner: Planner, decided: &Plan, view: &PlanView, budget: &Budget) -> Plan {
        self.spare = Some(planner);
        if self.is_overtaken {
            return Plan { is_dated: true, ..self.quick(view, budget) };
        }
        let caught_up = self.spare.as_mut().and_then(|planner| planner.plan_beside(view, budget));
        let Some(plan) = caught_up else {
            self.is_next_alone = true;
            return Plan { is_dated: true, ..self.quick(view, budget) };
        };
        if let Some(planner) = &mut self.spare {
            std::mem::swap(&mut self.front, planner);
        }
        self.is_next_alone = plan.is_partial && misses_any(decided, &plan, view);
        Plan { is_dated: plan.is_dated || self.is_next_alone, ..plan }
    }

    /// Whether the next pass over everything should not wait for its time.
    pub fn is_alone_next(&self) -> bool {
        self.is_next_alone
    }

    /// Whether a planner is away.
    pub fn has_lent(&self) -> bool {
        self.spare.is_none()
    }
}

/// Whether a job that `decided` starts, and that still waits in `view`, is not started by `plan`.
fn misses_any(decided: &Plan, plan: &Plan, view: &PlanView) -> bool {
    let mut missed: Vec<JobId> = decided.starts.iter().map(|start| start.job_id).collect();
    if missed.is_empty() {
        return false;
    }
    missed.sort_unstable();
    missed.dedup();
    let mut started: Vec<JobId> = plan.starts.iter().map(|start| start.job_id).collect();
    started.sort_unstable();
    missed.retain(|id| started.binary_search(id).is_err());
    !missed.is_empty() && view.queue.keys().any(|key| missed.binary_search(&key.job_id).is_ok())
}
