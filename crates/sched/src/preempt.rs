//! Which running jobs make room for a blocked one.
//!
//! A job may preempt by the tier of its partition or by its QOS. Of the jobs it may preempt, those go first that matter
//! least and lose least: lower tier or QOS priority, then the work lost, which is CPU time since the start. They are taken
//! away one by one until the job fits; then each that turns out not to be needed is left alone, the most worked first.
//! Rules about who may preempt whom, and who is exempt, are Slurm's (slurm.conf(5), preemption).

use std::collections::BTreeMap;

use muster_model::accounting::Qos;
use muster_model::ids::JobId;
use muster_model::job::Job;
use muster_model::planning::PlanView;
use muster_model::preemption::{PreemptMode, PreemptType};
use muster_model::state::JobState;
use muster_model::time::Span;

use crate::fleet::Fleet;
use crate::free::{Amounts, Free, columns_on};
use crate::nodeset::NodeSet;

/// Most victims of one start. A job that needs more waits: so many jobs do not lose their work for one.
pub(crate) const VICTIMS_MAX: usize = 500;

/// A job that may be asked to make room.
#[derive(Debug, Clone)]
pub(crate) struct Victim<'v> {
    pub(crate) job: &'v Job,
    pub(crate) mode: PreemptMode,
    pub(crate) grace: Span,
    /// What it matters, then what it would lose: CPU seconds since its start.
    order: (u32, u64, JobId),
    held: Vec<(u32, Amounts)>,
}

/// Jobs that `job` may preempt on `nodes` when it runs in `partition`, those first that go first.
pub(crate) fn victims<'v>(
    fleet: &Fleet,
    view: &'v PlanView,
    job: &Job,
    partition: u32,
    nodes: &NodeSet,
) -> Vec<Victim<'v>> {
    let config = &view.config.preemption;
    if config.kind == PreemptType::None {
        return Vec::new();
    }
    let mut found: Vec<Victim<'v>> = Vec::new();
    let mut together: BTreeMap<JobId, Vec<&'v Job>> = BTreeMap::new();
    for other in view.running.values() {
        match other.het_job_id() {
            Some(leader) => together.entry(leader).or_default().push(other),
            None => found.extend(victim_of(fleet, view, (job, partition), &[other], nodes)),
        }
    }
    for components in together.values_mut() {
        components.sort_by_key(|component| component.id);
        found.extend(victim_of(fleet, view, (job, partition), components, nodes));
    }
    found.sort_by_key(|victim| victim.order);
    found
}

/// A job, or all components of a heterogeneous one, as a victim of `by`, if it has something on `nodes` and may be asked.
/// The first of the components decides who may preempt it, each of them whether it is exempt; of the modes the mildest
/// counts (slurm.conf(5), `PreemptMode`, heterogeneous jobs).
fn victim_of<'v>(
    fleet: &Fleet,
    view: &'v PlanView,
    by: (&Job, u32),
    components: &[&'v Job],
    nodes: &NodeSet,
) -> Option<Victim<'v>> {
    let first = components.first()?;
    let shares = components.iter().flat_map(|component| &component.allocation).flat_map(|held| &held.shares);
    let is_here = shares.into_iter().any(|share| nodes.contains(share.node.0));
    let may_go = |job: &Job| job.state == JobState::Running && job.eviction.is_none() && !is_exempt(view, job);
    if !is_here || !components.iter().all(|component| may_go(component)) {
        return None;
    }
    let weight = may_preempt(fleet, view, by.0, by.1, first)?;
    let modes: Vec<PreemptMode> = components.iter().map(|component| mode_of(fleet, view, component)).collect();
    let mildest = [PreemptMode::Suspend, PreemptMode::Requeue, PreemptMode::Cancel];
    let mode = mildest.into_iter().find(|mode| modes.contains(mode))?;
    if !matches!(mode, PreemptMode::Cancel | PreemptMode::Requeue) {
        return None;
    }
    let mut all = components.iter().map(|component| victim(fleet, view, component, mode, weight));
    let mut whole = all.next()?;
    for other in all {
        whole.held.extend(other.held);
        whole.order.1 = whole.order.1.saturating_add(other.order.1);
        whole.grace = whole.grace.max(other.grace);
    }
    Some(whole)
}

/// What `victim` matters, if `job` may preempt it.
fn may_preempt(fleet: &Fleet, view: &PlanView, job: &Job, partition: u32, victim: &Job) -> Option<u32> {
    let config = &view.config.preemption;
    match config.kind {
        PreemptType::None => None,
        PreemptType::Partition => {
            let theirs = fleet.partition(fleet.partition_named(&victim.partition)?).priority_tier;
            (fleet.partition(partition).priority_tier > theirs).then_some(theirs.into())
        }
        PreemptType::Qos => {
            let (ours, theirs) = (qos_of(view, job)?, qos_of(view, victim)?);
            let is_above = !config.by_priority || ours.priority > theirs.priority;
            let named = ours.preempts.contains(&theirs.name) && is_above;
            let within = config.within && ours.name == theirs.name && job.priority > victim.priority;
            (named || within).then_some(theirs.priority)
        }
    }
}

fn qos_of<'v>(view: &'v PlanView, job: &Job) -> Option<&'v Qos> {
    view.accounting.qos.get(job.qos_name()?).map(|qos| &**qos)
}

fn is_exempt(view: &PlanView, job: &Job) -> bool {
    let config = &view.config.preemption;
    let exempt_time = qos_of(view, job).and_then(|qos| qos.preempt_exempt_time).unwrap_or(config.exempt_time);
    job.run_time(view.now) < exempt_time || config.exempt_priority_min.is_some_and(|most| job.priority > most)
}

fn mode_of(fleet: &Fleet, view: &PlanView, job: &Job) -> PreemptMode {
    let config = &view.config.preemption;
    let partition = fleet.partition_named(&job.partition).and_then(|at| fleet.partition(at).preempt_mode);
    match config.kind {
        PreemptType::Qos => qos_of(view, job).and_then(|qos| qos.preempt_mode).unwrap_or(config.mode),
        _ => partition.unwrap_or(config.mode),
    }
}

fn victim<'v>(fleet: &Fleet, view: &PlanView, job: &'v Job, mode: PreemptMode, weight: u32) -> Victim<'v> {
    let partition = fleet.partition_named(&job.partition);
    let of_partition = partition.map(|at| fleet.partition(at).grace_time).unwrap_or_default();
    let of_qos = qos_of(view, job).and_then(|qos| qos.grace_time);
    let grace = if view.config.preemption.kind == PreemptType::Qos { of_qos.unwrap_or_default() } else { of_partition };
    let shares = job.allocation.iter().flat_map(|held| &held.shares);
    let held = shares.filter(|share| (share.node.0 as usize) < fleet.node_count()).map(|share| {
        let cpus = share.cpus.len();
        let columns = columns_on(fleet, share.node.0, &share.gres, partition.map(|partition| (partition, cpus)));
        (share.node.0, Amounts { cpus, memory: share.memory.0, columns })
    });
    let cpus = job.allocation.as_ref().map_or(0, |held| held.cpus());
    let ran = u64::try_from(job.run_time(view.now).seconds()).unwrap_or(0);
    let lost = if view.config.preemption.youngest_first { ran } else { ran.saturating_mul(cpus.into()) };
    Victim { job, mode, grace, order: (weight, lost, job.id), held: held.collect() }
}

/// The least of `victims`, by their order, without whom `fits` says yes; empty when even all of them do not help.
pub(crate) fn choose(
    victims: &[Victim<'_>],
    strict_order: bool,
    free: &Free,
    mut fits: impl FnMut(&Free) -> bool,
) -> Vec<usize> {
    let mut without = free.clone();
    let mut chosen: Vec<usize> = Vec::new();
    for (at, victim) in victims.iter().enumerate().take(VICTIMS_MAX) {
        victim.held.iter().for_each(|(node, amounts)| without.give(*node, amounts));
        chosen.push(at);
        if fits(&without) {
            if !strict_order {
                spare(victims, &mut chosen, &mut without, &mut fits);
            }
            return chosen;
        }
    }
    Vec::new()
}

/// Leaves those alone that are not needed, the most worked first.
fn spare(victims: &[Victim<'_>], chosen: &mut Vec<usize>, without: &mut Free, fits: &mut impl FnMut(&Free) -> bool) {
    let mut needed: BTreeMap<usize, bool> = BTreeMap::new();
    for at in chosen.iter().rev().copied() {
        let held = &victims[at].held;
        held.iter().for_each(|(node, amounts)| without.take(*node, amounts));
        let is_needed = !fits(without);
        if is_needed {
            held.iter().for_each(|(node, amounts)| without.give(*node, amounts));
        }
        needed.insert(at, is_needed);
    }
    chosen.retain(|at| needed.get(at).copied().unwrap_or(true));
}
