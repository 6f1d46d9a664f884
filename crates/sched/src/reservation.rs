//! What reservations leave to a job, and when that changes.
//!
//! Rules about single reservations are in [`muster_model::reservation::claim`]; here they become sets of nodes and amounts.
//! A job may have several [`Entry`]s: one for each reservation that it names, or one for each that draws it in
//! (`MAGNETIC`) and one for no reservation at all. For an entry and a window of time, [`Reservations::open`] tells what is
//! open. Within the stretches between [`Reservations::moments`] that answer is the same for every start, so an engine can
//! look for a later start stretch by stretch.
//!
//! Of a node that is reserved in part, the part (the *pool*) is kept as numbers of CPUs and units. The core gives those in a
//! reservation nothing but the pool and the others nothing of it, so amounts are enough here: what the others may not have
//! is what of the pool is not in use.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_model::ids::{Name, NodeIndex};
use muster_model::job::JobSpec;
use muster_model::node::Node;
use muster_model::planning::PlanView;
use muster_model::request::{Refusal, RefusalCode};
use muster_model::reservation::claim::{Claim, Setting, names_of};
use muster_model::reservation::{Applicant, Reservation, ReservationFlag, ReservedNode};
use muster_model::resources::{GresShare, IndexSet};
use muster_model::time::{Span, Timestamp};

use crate::ask::Ask;
use crate::fleet::{Fleet, UNITS_MAX};
use crate::free::{self, Amounts, Free};
use crate::future::OVERDUE;
use crate::licenses::Licenses;
use crate::nodeset::NodeSet;
use crate::supply::{Company, Supply};

/// Most later occurrences of one recurring reservation that are looked at for a planned start.
const OCCURRENCES_MAX: usize = 8;
/// Most stretches of time looked at for a planned start.
const MOMENTS_MAX: usize = 64;

/// One way for a job to be placed: within that reservation, or in none.
pub(crate) type Entry = Option<u32>;

/// Part of a node that a reservation keeps.
#[derive(Debug)]
struct Pool {
    total: Amounts,
    /// What jobs hold of it, until when.
    uses: Vec<(Timestamp, Amounts)>,
}

impl Pool {
    /// What nobody uses at `time`.
    fn unused(&self, time: Timestamp) -> Amounts {
        let mut left = self.total.clone();
        self.uses.iter().filter(|(end, _)| *end > time).for_each(|(_, used)| left.subtract(used));
        left
    }
}

/// The reservations of a view.
#[derive(Debug)]
pub(crate) struct Reservations<'v> {
    view: &'v PlanView,
    list: Vec<&'v Arc<Reservation>>,
    /// By position in `list` and node.
    pools: BTreeMap<(u32, u32), Pool>,
    node_count: usize,
}

/// What is open to one entry during one window.
#[derive(Debug, Clone, Default)]
pub(crate) struct Open {
    /// Nodes that may be used; `None` for all.
    nodes: Option<NodeSet>,
    /// Pools that are kept from it, by node.
    withheld: BTreeMap<u32, Vec<u32>>,
    /// Its own reservation, where it may use pools of it only.
    confined: Option<u32>,
    /// Reservations whose licences are kept from it.
    licenses_of: Vec<u32>,
    /// Whether a reservation closes nodes.
    pub(crate) closes: bool,
    /// Nodes that are closed for maintenance.
    maintained: NodeSet,
}

impl Open {
    /// `usable` without what is closed.
    pub(crate) fn narrow(&self, usable: &NodeSet) -> NodeSet {
        let mut nodes = usable.clone();
        if let Some(open) = &self.nodes {
            nodes.intersect(open);
        }
        nodes
    }

    /// Whether nothing is closed.
    pub(crate) fn is_everything(&self) -> bool {
        self.nodes.is_none()
    }

    /// Whether all of `nodes` are closed for maintenance.
    pub(crate) fn maintains(&self, nodes: &NodeSet) -> bool {
        nodes.len() > 0 && nodes.is_within(&self.maintained)
    }
}

impl<'v> Reservations<'v> {
    /// Reads `view`.
    pub(crate) fn of(fleet: &Fleet, view: &'v PlanView) -> Reservations<'v> {
        let list: Vec<&Arc<Reservation>> = view.reservations.values().collect();
        let mut reservations =
            Reservations { view, list, pools: BTreeMap::new(), node_count: fleet.node_count() };
        for (at, reservation) in (0..).zip(&reservations.list) {
            for kept in reservation.nodes.iter().filter(|kept| (kept.node.0 as usize) < fleet.node_count()) {
                if let Some(cpus) = &kept.cpus {
                    let total = amounts(fleet, cpus, &kept.gres);
                    reservations.pools.insert((at, kept.node.0), Pool { total, uses: Vec::new() });
                }
            }
        }
        reservations.read_uses(fleet);
        reservations
    }

    fn read_uses(&mut self, fleet: &Fleet) {
        if self.pools.is_empty() {
            return;
        }
        for ((end, _), job) in &self.view.running {
            let end = if *end > self.view.now { *end } else { self.view.now + OVERDUE };
            for share in job.allocation.iter().flat_map(|allocation| &allocation.shares) {
                for (at, reservation) in (0..).zip(&self.list) {
                    let (Some(pool), Some(kept)) =
                        (self.pools.get_mut(&(at, share.node.0)), reservation.on(share.node))
                    else {
                        continue;
                    };
                    pool.uses.push((end, common(fleet, kept, &share.cpus, &share.gres)));
                }
            }
        }
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The reservation of an entry.
    pub(crate) fn get(&self, entry: Entry) -> Option<&'v Reservation> {
        self.list.get(entry? as usize).map(|row| &***row)
    }

    /// The ways for `job` to be placed in `partition`, in the order in which to try them; none where it may not use what it
    /// names.
    pub(crate) fn entries(&self, spec: &JobSpec, partition: &str) -> Vec<Entry> {
        let admits = |row: &Reservation| row.admits(&Applicant::of(spec, partition));
        let mut names = names_of(spec).peekable();
        if names.peek().is_some() {
            let found = names.filter_map(|name| self.list.iter().position(|row| *row.name == *name));
            return found.filter(|at| admits(self.list[*at])).map(|at| Some(at as u32)).collect();
        }
        let setting = self.setting();
        let draws = |row: &Reservation| {
            row.has(ReservationFlag::Magnetic)
                && admits(row)
                && Claim::of(spec, Some(row)).may_start(&setting, setting.now)
        };
        let magnetic = (0..).zip(&self.list).filter(|(_, row)| draws(row)).map(|(at, _)| Some(at));
        magnetic.chain(std::iter::once(None)).collect()
    }

    /// A number that is the same for jobs to which reservations mean the same in this entry; 0 for most.
    pub(crate) fn class(&self, spec: &JobSpec, entry: Entry) -> u64 {
        let early = spec.early_signal.filter(|early| early.reservation && !self.is_empty());
        let leaves = early.map_or(0, |early| early.before_end.seconds().clamp(0, 0xFFFF) as u64 + 1);
        leaves << 32 | entry.map_or(0, |at| u64::from(at) + 1)
    }

    fn setting(&self) -> Setting<'v> {
        let config = &self.view.config;
        Setting { now: self.view.now, zone: &config.zone, over_run: config.reservation_over_run }
    }

    /// What is open to `job` in `entry` if it ran from `start` until `until`; `None` when it could not start at that time.
    /// A job that wants whole nodes gets none that is reserved in part.
    pub(crate) fn open(
        &self,
        spec: &JobSpec,
        entry: Entry,
        whole_node: bool,
        start: Timestamp,
        until: Timestamp,
    ) -> Option<Open> {
        let mut open = Open::default();
        if self.is_empty() {
            return Some(open);
        }
        let own = self.get(entry);
        let (claim, setting) = (Claim::of(spec, own), self.setting());
        if !claim.may_start(&setting, start) {
            return None;
        }
        let until = claim.leaves_by(&setting, start, until);
        let mut closed = NodeSet::empty(self.node_count);
        for (at, other) in (0..).zip(&self.list) {
            if entry == Some(at) || other.met_by(setting.zone, setting.now, start, until).is_none() {
                continue;
            }
            open.licenses_of.push(at);
            for kept in other.nodes.iter().filter(|kept| !claim.is_spared_by(other, kept.node)) {
                open.closes = true;
                if kept.cpus.is_none() || whole_node {
                    closed.insert(kept.node.0);
                } else {
                    open.withheld.entry(kept.node.0).or_default().push(at);
                }
                if other.has(ReservationFlag::Maint) {
                    open.maintained.insert(kept.node.0);
                }
            }
        }
        if let Some(own) = own.filter(|_| claim.is_confined()) {
            let mut nodes: NodeSet = own.nodes.iter().map(|kept| kept.node.0).collect();
            nodes.subtract(&closed);
            (open.nodes, open.confined) = (Some(nodes), entry);
        } else if open.closes {
            let mut nodes: NodeSet = (0..self.node_count as u32).collect();
            nodes.subtract(&closed);
            open.nodes = Some(nodes);
        }
        Some(open)
    }

    /// Whether anything of `node` is reserved in part, so that [`Reservations::lower`] has something to do.
    #[inline]
    pub(crate) fn is_partial(&self, open: &Open, node: u32) -> bool {
        open.withheld.contains_key(&node)
            || open.confined.is_some_and(|own| self.pools.contains_key(&(own, node)))
    }

    /// Takes out of `left`, which is free on `node` at `time`, what is not open.
    pub(crate) fn lower(&self, open: &Open, node: u32, time: Timestamp, left: &mut Amounts) {
        for at in open.withheld.get(&node).into_iter().flatten() {
            if let Some(pool) = self.pools.get(&(*at, node)) {
                left.subtract(&pool.unused(time));
            }
        }
        if let Some(pool) = open.confined.and_then(|own| self.pools.get(&(own, node))) {
            let unused = pool.unused(time);
            if pool.total.cpus > 0 {
                left.cpus = left.cpus.min(unused.cpus);
            }
            for ((ours, pool), total) in left.columns.iter_mut().zip(&unused.columns).zip(&pool.total.columns) {
                if *total > 0 {
                    *ours = (*ours).min(*pool);
                }
            }
        }
    }

    /// The times at and after `from` at which what is open to a run of `duration` may change; the first is `from`.
    pub(crate) fn moments(&self, entry: Entry, from: Timestamp, duration: Span) -> Vec<Timestamp> {
        let mut moments = vec![from];
        let setting = self.setting();
        for (at, row) in (0..).zip(&self.list) {
            let (mut start, mut end) = row.window(setting.now);
            for _ in 0..OCCURRENCES_MAX {
                // From the next instant on, a run would reach into it.
                moments.push(start - duration + Span(1));
                moments.push(end);
                if entry == Some(at) {
                    moments.push(start);
                }
                let Some(next) = row.occurrence_after(setting.zone, end) else { break };
                (start, end) = (next.start, next.end);
            }
        }
        moments.retain(|moment| *moment >= from);
        moments.sort_unstable();
        moments.dedup();
        moments.truncate(MOMENTS_MAX);
        moments
    }

    /// A job starts in `entry` and holds `taken` of `node` until `until`.
    pub(crate) fn take(&mut self, entry: Entry, node: u32, taken: &Amounts, until: Timestamp) {
        if let Some(pool) = entry.and_then(|at| self.pools.get_mut(&(at, node))) {
            let mut within = Amounts { columns: taken.columns.clone(), ..pool.total.clone() };
            within.cpus = taken.cpus.min(pool.total.cpus);
            within.memory = 0;
            for (ours, total) in within.columns.iter_mut().zip(&pool.total.columns) {
                *ours = (*ours).min(*total);
            }
            pool.uses.push((until, within));
        }
    }

    /// `node` as a job sees it that may not have some of its units: those count as in use.
    pub(crate) fn seen(&self, open: &Open, index: u32, node: &Node) -> Option<Node> {
        if !self.is_partial(open, index) {
            return None;
        }
        let mut seen = node.clone();
        for at in open.withheld.get(&index).into_iter().flatten() {
            let kept = self.list.get(*at as usize).and_then(|row| row.on(NodeIndex(index)));
            seen.used.gres.extend(kept.into_iter().flat_map(|kept| kept.gres.iter().cloned()));
        }
        let own = open.confined.and_then(|at| self.list.get(at as usize)).and_then(|row| row.on(NodeIndex(index)));
        for gres in own.into_iter().flat_map(|own| &own.gres) {
            let mut others = IndexSet::first_n(UNITS_MAX);
            others.remove_all(&gres.units);
            seen.used.gres.push(GresShare { units: others, ..gres.clone() });
        }
        Some(seen)
    }

    /// What of the licences is kept from a job to which this is open, given what jobs in reservations use at that time.
    pub(crate) fn licenses_withheld(&self, open: &Open, used_in: impl Fn(&Name) -> Licenses) -> Licenses {
        let mut withheld = Licenses::new();
        for row in open.licenses_of.iter().filter_map(|at| self.list.get(*at as usize)) {
            if row.licenses().next().is_none() {
                continue;
            }
            let used = used_in(&row.name);
            for (name, count) in row.licenses() {
                let count = count.saturating_sub(used.get(name).copied().unwrap_or(0));
                *withheld.entry(name.into()).or_default() += count;
            }
        }
        withheld
    }
}

impl Reservations<'_> {
    /// Whether one of the reservations that `spec` names could hold `ask`, if nothing else ran there. They are asked only
    /// where a job must stay within them.
    pub(crate) fn could_hold(&self, fleet: &Fleet, ask: &Ask, spec: &JobSpec) -> bool {
        let mut names = names_of(spec).peekable();
        names.peek().is_none()
            || names.any(|name| {
                let Some(at) = self.list.iter().position(|row| *row.name == *name) else { return false };
                let own: &Reservation = self.list[at];
                if !Claim::of(spec, Some(own)).is_confined() {
                    return true;
                }
                let nodes = own.nodes.iter().map(|kept| kept.node.0).collect();
                let open = Open { nodes: Some(nodes), confined: Some(at as u32), ..Open::default() };
                let (free, mut scratch) = (Free::everything(fleet), Vec::new());
                let usable = open.narrow(&ask.eligible);
                let supply = Supply {
                    fleet,
                    free: &free,
                    usable: &usable,
                    planned: None,
                    company: Company::Anybody,
                    reserved: Some((self, &open, Timestamp(i64::MAX))),
                };
                supply.place(ask, &mut scratch).is_some()
            })
    }
}

/// Whether the reservations that `spec` names are there and for its owner.
///
/// # Errors
/// `InvalidReservation`, `ReservationAccessDenied`.
pub(crate) fn check(view: &PlanView, spec: &JobSpec, partition: &str) -> Result<(), Refusal> {
    for name in names_of(spec) {
        let found = view.reservations.get(name).ok_or(RefusalCode::InvalidReservation)?;
        if !found.admits(&Applicant::of(spec, partition)) {
            return Err(RefusalCode::ReservationAccessDenied.into());
        }
    }
    Ok(())
}

fn amounts(fleet: &Fleet, cpus: &IndexSet, gres: &[GresShare]) -> Amounts {
    Amounts { cpus: cpus.len(), memory: 0, columns: free::columns(fleet, gres, None) }
}

/// What of a share lies in the part of the node that is kept.
fn common(fleet: &Fleet, kept: &ReservedNode, cpus: &IndexSet, gres: &[GresShare]) -> Amounts {
    let both = |a: &IndexSet, b: &IndexSet| {
        let mut both = IndexSet::default();
        a.iter().filter(|index| b.contains(*index)).for_each(|index| both.insert(index));
        both
    };
    let cpus = kept.cpus.as_ref().map_or_else(IndexSet::default, |kept| both(kept, cpus));
    let units = kept.gres.iter().flat_map(|kept| {
        gres.iter()
            .filter(|held| held.name == kept.name)
            .map(|held| GresShare { units: both(&kept.units, &held.units), ..kept.clone() })
    });
    let units: Vec<GresShare> = units.collect();
    amounts(fleet, &cpus, &units)
}
