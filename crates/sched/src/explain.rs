//! Why a job waits, and what would let it start.
//!
//! The causes and the other starts come from a pass over everything before the job ([`crate::pass`]). The blockers come from
//! the planner as a whole, asked about copies of the view from which some jobs are missing: what is named is exactly what
//! lets the job start, whatever the rules are by which it waits.

use std::collections::BTreeSet;
use std::sync::Arc;

use muster_model::accounting::Charged;
use muster_model::explain::{Alternative, Blocker, Cause, Change, Explanation};
use muster_model::ids::JobId;
use muster_model::job::{ArrayRole, Job};
use muster_model::planning::{Outlook, PlanView, PlannedWait, QueueKey};
use muster_model::resources::NodeShare;
use muster_model::state::Reason;
use muster_model::time::Timestamp;

use crate::books::Books;
use crate::budget::Budget;
use crate::pass::{Finding, Pass};
use crate::planner::Planner;
use crate::play::{self, Outcome};

/// Most running jobs and jobs before it among which blockers are looked for: the question costs a pass for each.
const SUSPECTS_MAX: usize = 200;
/// Most entries of the queue that are looked through to see whether so many jobs are before it: a job has one for each of
/// its partitions.
const PLACES_MAX: usize = 100 * SUSPECTS_MAX;

impl Planner {
    /// Explains a job that is in the queue of `view`; `None` for any other.
    pub fn explain(&mut self, view: &PlanView, budget: &Budget, job_id: JobId) -> Option<Explanation> {
        let key = view.queue.keys().find(|key| key.job_id == job_id)?;
        let job = view.queue.get(key)?;
        // What the last plan said of it, or would say.
        let told = view.outlook.get(job_id).filter(|wait| wait.restart == job.restart).cloned();
        let outlook = if told.is_some() { view.outlook.clone() } else { self.plan(view, budget).outlook };
        let wait = outlook.get(job_id)?.clone();
        let finding = self.look_into(view, budget, key, &outlook)?;
        let mut causes = finding.causes;
        let is_withheld = wait.reason == Reason::Priority && finding.is_out_of_service;
        let mut ahead = finding.ahead;
        for other in &mut ahead {
            other.expected_start = outlook.get(other.job_id).and_then(|wait| wait.expected_start);
        }
        if wait.reason == Reason::JobArrayTaskLimit {
            causes = vec![Cause::ArrayThrottle];
        } else if causes.is_empty() || !matches!(wait.reason, Reason::Priority | Reason::Resources) {
            let detail = wait.detail.as_deref().unwrap_or_default().to_owned();
            let is_said = causes.iter().any(|cause| !matches!(cause, Cause::Nodes(_)));
            if !is_said {
                causes.insert(0, Cause::Rule { reason: wait.reason, detail });
            }
        }
        let leaves = |other: &&Arc<Job>| other.eviction.as_ref().is_some_and(|eviction| eviction.by == job_id);
        let jobs: Vec<JobId> = view.running.values().filter(leaves).map(|other| other.id).collect();
        if !jobs.is_empty() {
            causes.push(Cause::MakingRoom { jobs });
        }
        let mut estimated = finding.alternatives;
        estimated.retain(|other| is_in_time(job, other));
        let played = play::alternatives(view, budget, job, &wait, estimated);
        let outcome = played.outcome.filter(|_| is_foreseen(&causes));
        let expected_start = start_of(job, &wait, outcome);
        Some(Explanation {
            job_id,
            time: view.now,
            reason: if is_withheld { Reason::Resources } else { wait.reason },
            expected_start,
            causes,
            expected_nodes: wait.expected_nodes.clone().filter(|_| expected_start == wait.expected_start),
            is_forecast: wait.is_forecast && expected_start == wait.expected_start,
            ahead_count: finding.ahead_count,
            ahead,
            blockers: blockers(view, budget, job),
            alternatives: played.alternatives,
            priorities: Vec::new(),
            latest_start: job.latest_start(),
        })
    }
}

impl Planner {
    /// What a pass that goes by the plan in `outlook` finds out about the job at `key`.
    fn look_into(&mut self, view: &PlanView, budget: &Budget, key: &QueueKey, outlook: &Outlook) -> Option<Finding> {
        self.follow_queue(view);
        let plain = self.plain.take();
        let (tables, groups) = self.parts()?;
        let (group, job) = (groups.group_of(key)?, view.queue.get(key)?);
        let mut books = match plain {
            Some(mut books) if view.config.backfill && !tables.fleet.has_quotas() => {
                books.follow(&tables.fleet, view);
                books
            }
            _ => Books::open(&tables.fleet, view),
        };
        let finding = Pass::new(view, budget, tables, groups, &mut books).explain(group, *key, job, Some(outlook));
        books.forget_plans();
        self.plain = Some(books);
        Some(finding)
    }
}

/// When a job starts. What was found out by playing the queue on is what comes about: others may start first and leave no room
/// under a limit, which a plan does not look at ahead of time. One that will not start in time for its deadline keeps its turn,
/// so that it can be told how late that is.
fn start_of(job: &Job, told: &PlannedWait, outcome: Option<Outcome>) -> Option<Timestamp> {
    match outcome {
        Some(Outcome::Starts(start)) => Some(start),
        Some(Outcome::Not) => {
            told.expected_start.filter(|start| job.latest_start().is_some_and(|latest| *start > latest))
        }
        None => told.expected_start,
    }
}

/// Whether the job could still end by its deadline.
fn is_in_time(job: &Job, other: &Alternative) -> bool {
    let limit = match other.change {
        Change::TimeLimit(limit) => limit.span(),
        _ => None,
    };
    let latest = match (job.spec.deadline, limit) {
        (Some(deadline), Some(limit)) => Some(deadline - limit),
        _ => job.latest_start(),
    };
    latest.is_none_or(|latest| other.start <= latest)
}

/// Whether what keeps a job back goes by what runs. Usage that is counted up and forgotten is not played on.
fn is_foreseen(causes: &[Cause]) -> bool {
    causes.iter().all(|cause| match cause {
        Cause::Limit { violation, .. } => violation.limit.is_of_what_runs(),
        _ => true,
    })
}

/// The jobs without which `job` starts in the next pass, none of them for nothing.
fn blockers(view: &PlanView, budget: &Budget, job: &Job) -> Vec<Blocker> {
    if view.running.len() > SUSPECTS_MAX {
        return Vec::new();
    }
    // What starts with it stands behind it.
    let with_it: BTreeSet<JobId> = job.components().collect();
    let last = view.queue.keys().rev().find(|key| with_it.contains(&key.job_id)).copied();
    // Jobs behind it do not matter.
    let before = ..=last.unwrap_or(QueueKey::LAST);
    let in_the_way: BTreeSet<JobId> = view.queue.range(before).map(|(key, _)| key.job_id).take(PLACES_MAX).collect();
    if view.running.len() + in_the_way.len() > SUSPECTS_MAX + 1 {
        return Vec::new();
    }
    let mut view = view.clone();
    view.queue = view.queue.range(..=last.unwrap_or(QueueKey::LAST)).map(|(key, job)| (*key, job.clone())).collect();
    let running = view.running.values().map(|other| Blocker::Running(other.id));
    let mut seen = with_it;
    let ahead = view.queue.values().filter(|other| seen.insert(other.id)).map(|other| Blocker::Waiting(other.id));
    let mut suspects: Vec<Blocker> = running.chain(ahead).take(SUSPECTS_MAX + 1).collect();
    if suspects.len() > SUSPECTS_MAX {
        return Vec::new();
    }
    let mut judge = Judge { planner: Planner::new(), view: &view, budget, job_id: job.id };
    if !judge.starts_without(&suspects) {
        return Vec::new();
    }
    reduce(&mut suspects, |left| judge.starts_without(left));
    suspects.sort();
    suspects
}

/// Leaves out of `items` what is not needed for `holds` to hold: large parts first, then one by one, until no single one
/// can be left out.
fn reduce(items: &mut Vec<Blocker>, mut holds: impl FnMut(&[Blocker]) -> bool) {
    let mut part = items.len().div_ceil(2).max(1);
    loop {
        let before = items.len();
        let mut at = 0;
        while at < items.len() {
            let end = (at + part).min(items.len());
            let rest: Vec<Blocker> = items[..at].iter().chain(&items[end..]).copied().collect();
            if holds(&rest) {
                *items = rest;
            } else {
                at = end;
            }
        }
        if part > 1 {
            part = part.div_ceil(2);
        } else if items.len() == before {
            return;
        }
    }
}

/// Asks the planner about views without some jobs.
struct Judge<'a> {
    planner: Planner,
    view: &'a PlanView,
    budget: &'a Budget,
    job_id: JobId,
}

impl Judge<'_> {
    fn starts_without(&mut self, gone: &[Blocker]) -> bool {
        let gone: BTreeSet<Blocker> = gone.iter().copied().collect();
        let view = without(self.view, &gone);
        let plan = self.planner.plan(&view, self.budget);
        plan.all_starts().any(|start| start.job_id == self.job_id)
    }
}

/// `view` as it would be without these jobs.
fn without(view: &PlanView, gone: &BTreeSet<Blocker>) -> PlanView {
    let mut view = view.clone();
    let waits = |job: &Job| gone.contains(&Blocker::Waiting(job.id));
    view.queue = view.queue.iter().filter(|(_, job)| !waits(job)).map(|(key, job)| (*key, job.clone())).collect();
    let ended: Vec<_> =
        view.running.iter().filter(|(_, job)| gone.contains(&Blocker::Running(job.id))).map(|(key, _)| *key).collect();
    for key in ended {
        if let Some(job) = view.running.remove(&key) {
            give_back(&mut view, &job);
        }
    }
    view
}

/// A running job gives back what it holds.
pub(crate) fn give_back(view: &mut PlanView, job: &Job) {
    for share in job.allocation.iter().flat_map(|allocation| &allocation.shares) {
        free_share(view, job, share);
    }
    let partition = view.partitions.iter().find(|partition| partition.name == job.partition);
    let qos = partition.and_then(|partition| partition.qos.clone());
    view.tallies.remove(&Charged::of(&view.accounting, job, qos.as_ref()));
    if let Some(ArrayRole::Task { array_job_id, .. }) = &job.array
        && let Some(slots) = view.array_slots.get_mut(array_job_id)
    {
        *slots = slots.saturating_add(1);
    }
}

fn free_share(view: &mut PlanView, job: &Job, share: &NodeShare) {
    let Some(node) = view.nodes.get_mut(share.node.0 as usize) else {
        return;
    };
    let used = &mut Arc::make_mut(node).used;
    used.cpus.remove_all(&share.cpus);
    used.memory.0 = used.memory.0.saturating_sub(share.memory.0);
    for gres in &share.gres {
        let held = used.gres.iter_mut().filter(|held| held.name == gres.name);
        held.for_each(|held| held.units.remove_all(&gres.units));
    }
    if job.completing {
        used.jobs_completing = used.jobs_completing.saturating_sub(1);
    } else {
        used.jobs_running = used.jobs_running.saturating_sub(1);
    }
    if used.jobs_running + used.jobs_completing == 0 {
        used.exclusive_user = None;
    }
}

#[cfg(test)]
mod tests {
    use muster_testkit::cases;
    use muster_testkit::load::{self, Load};
    use proptest::prelude::*;

    use super::*;

    /// What a pass that plans everything anew finds out.
    fn from_scratch(view: &PlanView, budget: &Budget, key: &QueueKey) -> Finding {
        let mut planner = Planner::new();
        planner.follow_queue(view);
        let (tables, groups) = planner.parts().expect("tables");
        let mut books = Books::open(&tables.fleet, view);
        let group = groups.group_of(key).expect("a group");
        Pass::new(view, budget, tables, groups, &mut books).explain(group, *key, &view.queue[key], None)
    }

    /// What is taken from the plan, and what is kept from one explanation to the next, changes no explanation.
    fn short_cuts(seed: u64) -> Result<(), String> {
        let mut numbers = load::Numbers::new(seed);
        let (busy_percent, held) = (60 + numbers.below(41), 1 + numbers.below(70));
        let mut view = load::make(&Load { nodes: 40, pending: 500, shapes: 25, busy_percent, seed });
        let budget = Budget { reservations_max: held, ..Budget::default() };
        let (mut planner, mut explainer) = (Planner::new(), Planner::new());
        for _ in 0..3 {
            // A start may move planned starts before it to other nodes; then there is more than one plan that is right.
            loop {
                let plan = planner.plan(&view, &budget);
                view = load::carry_out(&view, &plan);
                view.outlook = plan.outlook;
                if plan.starts.is_empty() {
                    break;
                }
            }
            for _ in 0..3 {
                let at = numbers.below(view.queue.len() as u32) as usize;
                let key = *view.queue.keys().nth(at).expect("a job");
                let found = explainer.look_into(&view, &budget, &key, &view.outlook).expect("it waits");
                let anew = from_scratch(&view, &budget, &key);
                if found != anew {
                    return Err(format!(
                        "job {}, {held} held, {busy_percent} % busy: {found:#?}\nanew: {anew:#?}",
                        key.job_id
                    ));
                }
            }
            load::end_first(&mut view);
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases(24)) })]

        /// Random queues, nine explanations each.
        #[test]
        fn short_cuts_lead_to_the_same_explanation(seed: u64) {
            if let Err(story) = short_cuts(seed) {
                prop_assert!(false, "{}", story);
            }
        }
    }
}
