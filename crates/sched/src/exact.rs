//! The very cores and units of a node, where amounts do not tell enough.
//!
//! Most of planning counts amounts. Two things need more: which CPUs and units a job gets that starts now, and, for
//! the few jobs whose request speaks of sockets, of cores near devices, of parts of devices or of shared cores, whether it
//! fits at all. What this pass has given away already is kept here, on top of what the view says.

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::Vector;
use muster_model::node::{CpuRow, Hardware, Node, NodeUse};
use muster_model::resources::{GresBinding, GresScope, GresShare, IndexSet};

use crate::ask::{Ask, Spread};
use crate::choose::Choice;
use crate::cores::{self, CoreWish, FreeCores};
use crate::fleet::Fleet;
use crate::free::Amounts;
use crate::gres::GresNeed;
use crate::job_units::{JobUnits, LINES_MAX};
use crate::share;
use crate::units::{self, Units};

/// From what a detailed request is judged.
#[derive(Clone, Copy)]
pub(crate) enum Exact<'a> {
    /// As if nothing ran; for times about which only amounts are known.
    Empty,
    /// As the view says, and what this pass gave away.
    Now(&'a Vector<Arc<Node>>, &'a Taken),
}

/// What a job gets of a node, beside amounts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Pieces {
    pub(crate) gres: Vec<GresShare>,
    /// `None` where any whole cores will do.
    pub(crate) cpus: Option<IndexSet>,
}

/// Given away during this pass, on top of what the view says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Taken {
    by_node: BTreeMap<u32, Here>,
}

#[derive(Debug, Clone, Default)]
struct Here {
    gres: Vec<GresShare>,
    cpus: IndexSet,
    /// All rows of the node, those of the view among them.
    rows: Vec<CpuRow>,
}

/// What is in use of one node.
struct InUse<'a> {
    view: Option<&'a NodeUse>,
    here: Option<&'a Here>,
}

impl Taken {
    /// Chooses the cores and units of `node` that make up `amounts`, and marks them; `None` when they cannot be had. Where
    /// units of several columns would do, no more of each are taken than there is `room` for.
    pub(crate) fn choose(
        &mut self,
        ask: &Ask,
        fleet: &Fleet,
        choice: &Choice,
        node: &Node,
        amounts: &Amounts,
        room: &[u32],
    ) -> Option<Pieces> {
        let in_use = InUse { view: Some(&node.used), here: self.by_node.get(&choice.node) };
        let with_cores = fleet.has_exact_cores[choice.node as usize];
        let (pieces, row) = pick_with(ask, fleet, choice, &in_use, (amounts, room), with_cores)?;
        if pieces.cpus.is_some() || !pieces.gres.is_empty() {
            let rows = || Here { rows: node.used.rows.clone(), ..Here::default() };
            let here = self.by_node.entry(choice.node).or_insert_with(rows);
            here.gres.extend(pieces.gres.iter().cloned());
            if let Some(cpus) = &pieces.cpus {
                here.cpus.add_all(cpus);
                if ask.rows > 1 {
                    CpuRow::put(&mut here.rows, &fleet.partition(ask.partition).name, row, cpus);
                }
            }
        }
        Some(pieces)
    }
}

impl<'a> Exact<'a> {
    fn in_use(self, node: u32) -> InUse<'a> {
        match self {
            Exact::Empty => InUse { view: None, here: None },
            Exact::Now(nodes, taken) => {
                InUse { view: nodes.get(node as usize).map(|node| &node.used), here: taken.by_node.get(&node) }
            }
        }
    }

    /// CPUs of `node` for a job that may share cores, in the row with most of them; 0 where it may not share any.
    pub(crate) fn cpus_with_shared(self, ask: &Ask, fleet: &Fleet, node: u32) -> u32 {
        let in_use = self.in_use(node);
        let cores = (0..ask.rows as usize).map(|row| free_cores(ask, fleet, node, &in_use, Some(row)).count()).max();
        cores.unwrap_or(0).saturating_mul(fleet.threads[node as usize])
    }

    /// Of `tasks`, which fit by amounts, those that fit in detail.
    pub(crate) fn tasks(self, ask: &Ask, fleet: &Fleet, node: u32, tasks: u32) -> u32 {
        let in_use = self.in_use(node);
        let least = least_tasks(ask);
        let job_units = JobUnits::one_each(ask);
        most(least, tasks, |tasks| fits(ask, fleet, &in_use, &Choice { node, tasks, job_units }))
    }

    /// Of `units` counted over the job, which a node could give by amounts, those that it can give in detail.
    pub(crate) fn job_units(self, ask: &Ask, fleet: &Fleet, node: u32, units: JobUnits) -> JobUnits {
        let in_use = self.in_use(node);
        let tasks = least_tasks(ask);
        // One line after the other, as much of each as fits beside those before it and one unit of those behind it.
        let mut found = JobUnits::one_each(ask);
        for line in (0..LINES_MAX).filter(|line| units.get(*line) > 0) {
            let with = |count| {
                let mut job_units = found;
                job_units.set(line, count);
                job_units
            };
            let here = most(1, units.get(line), |count| {
                fits(ask, fleet, &in_use, &Choice { node, tasks, job_units: with(count) })
            });
            if here == 0 {
                return JobUnits::NONE;
            }
            found = with(here);
        }
        found
    }
}

/// Tasks that a node must take to be part of the job.
fn least_tasks(ask: &Ask) -> u32 {
    match ask.spread {
        Spread::PerNode(tasks) => tasks.max(1),
        Spread::Total(_) => 1,
    }
}

/// The greatest number from `least` to `most` that fits; 0 for none. Fewer need no more than more, so the turn can be
/// searched for.
fn most(least: u32, most: u32, fits: impl Fn(u32) -> bool) -> u32 {
    if most < least || fits(most) {
        return if most < least { 0 } else { most };
    }
    let (mut low, mut high) = (least - 1, most);
    while low + 1 < high {
        let middle = low + (high - low) / 2;
        if fits(middle) { low = middle } else { high = middle }
    }
    if low < least { 0 } else { low }
}

fn fits(ask: &Ask, fleet: &Fleet, in_use: &InUse<'_>, choice: &Choice) -> bool {
    let Some(cpus) = needed(ask, fleet, choice) else { return false };
    let amounts = Amounts { cpus, ..Amounts::default() };
    pick_with(ask, fleet, choice, in_use, (&amounts, &[]), true).is_some()
}

/// CPUs for the tasks of `choice`, shared ones among them.
fn needed(ask: &Ask, fleet: &Fleet, choice: &Choice) -> Option<u32> {
    if ask.whole_node {
        return Some(share::whole_node(ask, fleet, choice.node));
    }
    let cpus = share::cpus(ask, fleet, choice)?;
    let piece = fleet.cpus_per_core[choice.node as usize];
    Some(cpus.max(ask.cpus_per_gpu.checked_mul(choice.job_units.total())?.checked_next_multiple_of(piece)?))
}

fn pick_with(
    ask: &Ask,
    fleet: &Fleet,
    choice: &Choice,
    in_use: &InUse<'_>,
    (amounts, room): (&Amounts, &[u32]),
    with_cores: bool,
) -> Option<(Pieces, usize)> {
    let is_beyond = ask.rows > 1 || ask.layout.is_some_and(|rule| rule.cores_reserved.is_some());
    let with_cores = with_cores || is_beyond;
    let cpus = if is_beyond { needed(ask, fleet, choice)? } else { amounts.cpus };
    let threads = fleet.threads[choice.node as usize].max(1);
    let mut wish = CoreWish {
        cores: cpus.div_ceil(threads),
        cores_per_task: cores_per_task(ask, threads),
        by_block: ask.cores_by_block,
        cores_per_socket_max: cores_per_socket_max(ask, threads),
        near: None,
        only_near: ask.binding == GresBinding::Enforced,
    };
    let hardware = &fleet.node(choice.node).hardware;
    // Cores that nobody is on, in whatever row, come before those of others.
    let rows = (0..ask.rows as usize).filter(|_| ask.rows > 1).map(Some);
    std::iter::once(None).chain(rows).find_map(|row| {
        let free = if with_cores { free_cores(ask, fleet, choice.node, in_use, row) } else { FreeCores::default() };
        let row = row.unwrap_or(0);
        let gres = choose_units(ask, fleet, choice, in_use, (amounts, room), &free, &wish)?;
        if !with_cores {
            return Some((Pieces { gres, cpus: None }, row));
        }
        wish.near = near(ask, hardware, &gres);
        let chosen = free.choose(&wish)?;
        Some((Pieces { gres, cpus: Some(cores::cpus_of(hardware, &chosen)) }, row))
    })
}

fn cores_per_task(ask: &Ask, threads: u32) -> u32 {
    let used = ask.layout.map_or(threads, |rule| if rule.threads == 0 { threads } else { rule.threads.min(threads) });
    ask.cpus_per_task.div_ceil(used.max(1))
}

/// As in Slurm 22.05, `--ntasks-per-socket` limits the cores of a socket: so many tasks, a core each at least.
fn cores_per_socket_max(ask: &Ask, threads: u32) -> u32 {
    let Some(rule) = ask.layout else { return 0 };
    let by_tasks = rule.tasks_per_socket.saturating_mul(cores_per_task(ask, threads));
    let by_cpus = rule.cpus_per_socket / threads;
    match (by_tasks, rule.cpus_per_socket) {
        (0, 0) => 0,
        (0, _) => by_cpus.max(1),
        (tasks, 0) => tasks,
        (tasks, _) => tasks.min(by_cpus.max(1)),
    }
}

/// Cores free for `ask` when it goes into this row, or those that nobody is on.
fn free_cores(ask: &Ask, fleet: &Fleet, node: u32, in_use: &InUse<'_>, row: Option<usize>) -> FreeCores {
    let hardware = &fleet.node(node).hardware;
    let mut busy = in_use.view.map(|used| used.cpus.clone()).unwrap_or_default();
    if let Some(here) = in_use.here {
        busy.add_all(&here.cpus);
    }
    if let Some(row) = row {
        let none = Vec::new();
        let rows = in_use.here.map(|here| &here.rows).or(in_use.view.map(|used| &used.rows)).unwrap_or(&none);
        let mine: Vec<&CpuRow> =
            rows.iter().filter(|own| own.partition == fleet.partition(ask.partition).name).collect();
        mine.iter().for_each(|own| busy.remove_all(&own.cpus));
        if let Some(own) = mine.get(row) {
            busy.add_all(&own.cpus);
        }
        if mine.len() > ask.rows as usize {
            busy.add_all(&CpuRow::full(rows, &fleet.partition(ask.partition).name, ask.rows));
        }
    }
    let unit = fleet.config().placement.unit;
    let mut free = match ask.layout.and_then(|rule| rule.cores_reserved) {
        None => FreeCores::of(hardware, unit, &busy, &hardware.cpus_reserved),
        Some(count) => {
            let left = cores::cpus_of(hardware, &cores::left_to_system(hardware, count));
            FreeCores::of(hardware, unit, &busy, &left)
        }
    };
    if fleet.has_restricted_cores && !ask.wants_gpu() {
        free.without(&restricted(hardware));
    }
    free
}

/// The first cores near each GPU, kept for jobs with GPUs.
fn restricted(hardware: &Hardware) -> IndexSet {
    let mut kept = IndexSet::default();
    for place in hardware.places.iter().filter(|place| &*place.name == "gpu") {
        for _ in 0..place.count {
            let near = place.cores.iter().flat_map(IndexSet::iter).filter(|core| !kept.contains(*core));
            let first: Vec<u32> = near.take(hardware.cores_per_gpu_restricted as usize).collect();
            first.into_iter().for_each(|core| kept.insert(core));
        }
    }
    kept
}

/// Cores near all kinds of units that the job gets; `None` where it does not matter.
fn near(ask: &Ask, hardware: &Hardware, gres: &[GresShare]) -> Option<IndexSet> {
    if ask.binding == GresBinding::Disabled || ask.whole_node || hardware.places.is_empty() {
        return None;
    }
    let mut all: Option<IndexSet> = None;
    for share in gres {
        let mut close = IndexSet::default();
        for unit in share.units.iter() {
            close.add_all(units::place(hardware, &share.name, unit)?.cores.as_ref()?);
        }
        match &mut all {
            None => all = Some(close),
            Some(all) => all.keep_all(&close),
        }
    }
    all
}

/// The units of each line of the request.
fn choose_units(
    ask: &Ask,
    fleet: &Fleet,
    choice: &Choice,
    in_use: &InUse<'_>,
    (amounts, room): (&Amounts, &[u32]),
    free: &FreeCores,
    wish: &CoreWish,
) -> Option<Vec<GresShare>> {
    if ask.gres.is_empty() && !ask.whole_node {
        return Some(Vec::new());
    }
    let viewed = in_use.view.map_or(&[][..], |used| used.gres.as_slice());
    let taken = in_use.here.map_or(&[][..], |here| here.gres.as_slice());
    let mut units = Units::new(fleet, choice.node, [viewed, taken], &amounts.columns, room);
    if ask.whole_node && !amounts.columns.is_empty() {
        return units.all(&amounts.columns);
    }
    for need in &ask.gres {
        let count = count(ask, fleet, need, choice)?;
        let is_chosen = match need.scope {
            _ if need.is_shared => units.take_parts(need, count, free, wish.cores),
            GresScope::Socket => {
                let sockets = ask.gres_sockets.unwrap_or(fleet.sockets[choice.node as usize]);
                units.take_by_socket(need, sockets)
            }
            _ => units.take(need, count, free, wish),
        };
        if !is_chosen {
            return None;
        }
    }
    Some(units.chosen())
}

/// Units of `need` that the job takes of the node.
fn count(ask: &Ask, fleet: &Fleet, need: &GresNeed, choice: &Choice) -> Option<u32> {
    match need.scope {
        GresScope::Node => Some(need.amount),
        GresScope::Socket => need.amount.checked_mul(ask.gres_sockets.unwrap_or(fleet.sockets[choice.node as usize])),
        GresScope::Task => need.amount.checked_mul(choice.tasks),
        GresScope::Job => Some(choice.job_units.get(need.job_line.unwrap_or(0).into())),
    }
}
