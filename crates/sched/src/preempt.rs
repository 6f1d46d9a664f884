//! Which running jobs make room for a blocked one.
//!
//! A job may preempt by the tier of its partition or by its QOS. Of the jobs it may preempt, those go first that matter
//! least and lose least: lower tier or QOS priority, then the work lost, which is CPU time since the start. They are taken
//! away one by one until the job fits; then each that turns out not to be needed is left alone, the most worked first.
//! A victim that is suspended gives its CPUs only, and one that stands already may be stood upon once more.
//! Rules about who may preempt whom, and who is exempt, are Slurm's (slurm.conf(5), preemption).

use std::collections::BTreeMap;

use muster_model::accounting::Qos;
use muster_model::ids::{JobId, NodeIndex};
use muster_model::job::Job;
use muster_model::planning::PlanView;
use muster_model::preemption::{CpuHold, PreemptMode, PreemptType};
use muster_model::state::JobState;
use muster_model::time::Span;

use crate::fleet::Fleet;
use crate::free::{Amounts, Columns, Free, columns_on};
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

impl Victim<'_> {
    /// Nodes it is on.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = u32> + '_ {
        self.held.iter().map(|(node, _)| *node)
    }
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
            None => found.extend(single(fleet, view, (job, partition), other, nodes)),
        }
    }
    for components in together.values_mut() {
        components.sort_by_key(|component| component.id);
        found.extend(whole(fleet, view, (job, partition), components, nodes));
    }
    found.sort_by_key(|victim| victim.order);
    found
}

/// A job as a victim of `by`, if it has something on `nodes` and may be asked.
fn single<'v>(
    fleet: &Fleet,
    view: &'v PlanView,
    by: (&Job, u32),
    other: &'v Job,
    nodes: &NodeSet,
) -> Option<Victim<'v>> {
    let is_here = other.allocation.iter().flat_map(|held| &held.shares).any(|share| nodes.contains(share.node.0));
    let stands = !other.completing && other.cpu_hold() == CpuHold::Claimed;
    let is_there = other.state == JobState::Running && !is_exempt(view, other) || stands;
    if !is_here || !is_there || other.eviction.is_some() {
        return None;
    }
    let weight = may_preempt(fleet, view, by.0, by.1, other)?;
    let mode = mode_of(fleet, view, other);
    if mode == PreemptMode::Off || stands && mode != PreemptMode::Suspend {
        return None;
    }
    let found = victim(fleet, view, other, mode, weight);
    // Who stands already loses nothing by it.
    Some(if stands { Victim { order: (0, 0, other.id), ..found } } else { found })
}

/// All components of a heterogeneous job as one victim of `by`. The first of them decides who may preempt it, each of them
/// whether it is exempt; of the modes the mildest counts (slurm.conf(5), `PreemptMode`, heterogeneous jobs).
fn whole<'v>(
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
        // Components are not suspended one by one.
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
    let mode = match config.kind {
        PreemptType::Qos => qos_of(view, job).and_then(|qos| qos.preempt_mode).unwrap_or(config.mode),
        _ => partition.unwrap_or(config.mode),
    };
    // Nobody would let them go on.
    if mode == PreemptMode::Suspend && !config.gang { PreemptMode::Off } else { mode }
}

fn victim<'v>(fleet: &Fleet, view: &PlanView, job: &'v Job, mode: PreemptMode, weight: u32) -> Victim<'v> {
    let partition = fleet.partition_named(&job.partition);
    let of_partition = partition.map(|at| fleet.partition(at).grace_time).unwrap_or_default();
    let of_qos = qos_of(view, job).and_then(|qos| qos.grace_time);
    let grace = if view.config.preemption.kind == PreemptType::Qos { of_qos.unwrap_or_default() } else { of_partition };
    let shares = job.allocation.iter().flat_map(|held| &held.shares);
    let held = shares.filter(|share| (share.node.0 as usize) < fleet.node_count()).map(|share| {
        let cpus = share.cpus.len();
        // Who is suspended keeps all but the CPUs.
        let (memory, columns) = match mode {
            PreemptMode::Suspend => (0, Columns::new()),
            _ => {
                let of = partition.map(|partition| (partition, cpus));
                (share.memory.0, columns_on(fleet, share.node.0, &share.gres, of))
            }
        };
        (share.node.0, Amounts { cpus, memory, columns })
    });
    let cpus = job.allocation.as_ref().map_or(0, |held| held.cpus());
    let ran = u64::try_from(job.run_time(view.now).seconds()).unwrap_or(0);
    let lost = if view.config.preemption.youngest_first { ran } else { ran.saturating_mul(cpus.into()) };
    Victim { job, mode, grace, order: (weight, lost, job.id), held: held.collect() }
}

/// What is free without some of the victims.
struct Room<'v> {
    free: Free,
    /// How many jobs a CPU counts for, on nodes where that may be several: it comes free with the last of them.
    counts: BTreeMap<u32, Vec<u16>>,
    victims: &'v [Victim<'v>],
}

impl<'v> Room<'v> {
    fn new(view: &PlanView, free: &Free, victims: &'v [Victim<'v>]) -> Room<'v> {
        let mut counts: BTreeMap<u32, Vec<u16>> = BTreeMap::new();
        for (node, _) in victims.iter().flat_map(|victim| &victim.held) {
            let Some(row) = view.nodes.get(*node as usize) else { continue };
            if row.used.overlaps || !row.used.rows.is_empty() || !row.used.cpus_claimed.is_empty() {
                counts.entry(*node).or_insert_with(|| vec![0; row.config.hardware.cpus as usize]);
            }
        }
        if !counts.is_empty() {
            for job in view.running.values().filter(|job| job.cpu_hold() != CpuHold::Given) {
                for share in job.allocation.iter().flat_map(|held| &held.shares) {
                    let Some(counts) = counts.get_mut(&share.node.0) else { continue };
                    for cpu in share.cpus.iter() {
                        counts.get_mut(cpu as usize).into_iter().for_each(|count| *count += 1);
                    }
                }
            }
        }
        Room { free: free.clone(), counts, victims }
    }

    /// Counts a victim as gone, or as there again.
    fn set_gone(&mut self, at: usize, is_gone: bool) {
        let victim = &self.victims[at];
        for (node, amounts) in &victim.held {
            let cpus = match self.counts.get_mut(node) {
                None => amounts.cpus,
                Some(counts) => last_of(victim.job, *node, counts, is_gone),
            };
            let amounts = Amounts { cpus, ..amounts.clone() };
            if is_gone {
                self.free.give(*node, &amounts);
            } else {
                self.free.take(*node, &amounts);
            }
        }
    }
}

/// CPUs of `node` that are nobody's without `job`.
fn last_of(job: &Job, node: u32, counts: &mut [u16], is_gone: bool) -> u32 {
    let share = job.allocation.as_ref().and_then(|held| held.share(NodeIndex(node)));
    let mut cpus = 0;
    for cpu in share.iter().flat_map(|share| share.cpus.iter()) {
        let Some(count) = counts.get_mut(cpu as usize) else { continue };
        if is_gone {
            *count = count.saturating_sub(1);
            cpus += u32::from(*count == 0);
        } else {
            cpus += u32::from(*count == 0);
            *count += 1;
        }
    }
    cpus
}

/// The least of `victims`, by their order, without whom `fits` says yes, with what is free then; none when even all of
/// them do not help.
pub(crate) fn choose(
    view: &PlanView,
    victims: &[Victim<'_>],
    free: &Free,
    mut fits: impl FnMut(&Free) -> bool,
) -> Option<(Vec<usize>, Free)> {
    let mut room = Room::new(view, free, victims);
    let mut chosen: Vec<usize> = Vec::new();
    for at in 0..victims.len().min(VICTIMS_MAX) {
        room.set_gone(at, true);
        chosen.push(at);
        if fits(&room.free) {
            if !view.config.preemption.strict_order {
                spare(&mut room, &mut chosen, &mut fits);
            }
            return Some((chosen, room.free));
        }
    }
    None
}

/// Leaves those alone that are not needed, the most worked first.
fn spare(room: &mut Room<'_>, chosen: &mut Vec<usize>, fits: &mut impl FnMut(&Free) -> bool) {
    let mut needed: BTreeMap<usize, bool> = BTreeMap::new();
    for at in chosen.iter().rev().copied() {
        room.set_gone(at, false);
        let is_needed = !fits(&room.free);
        if is_needed {
            room.set_gone(at, true);
        }
        needed.insert(at, is_needed);
    }
    chosen.retain(|at| needed.get(at).copied().unwrap_or(true));
}
