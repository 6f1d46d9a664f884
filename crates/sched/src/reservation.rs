//! What reservations leave to a job, and when that changes.
//!
//! Rules about single reservations are in [`muster_model::reservation::claim`]; here they become sets of nodes and amounts.
//! A job may have several [`Inside`]s: one for each reservation that it names, or one for each that draws it in
//! (`MAGNETIC`) and one for no reservation at all. For an entry and a window of time, [`Reservations::open`] tells what is
//! open. Within the stretches between [`Reservations::moments`] that answer is the same for every start, so an engine can
//! look for a later start stretch by stretch.
//!
//! Of a node that is reserved in part, the core gives those in the reservation nothing but that part and the others nothing
//! of it. What jobs hold is known CPU by CPU; of those that start in the pass only amounts are, and which part they take
//! them from.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_model::ids::{Name, NodeIndex};
use muster_model::job::{Job, JobSpec};
use muster_model::licenses::{Licenses, add};
use muster_model::node::Node;
use muster_model::planning::PlanView;
use muster_model::request::{Refusal, RefusalCode};
use muster_model::reservation::claim::{Claim, Setting, names_of};
use muster_model::reservation::{Applicant, Reservation, ReservationFlag, ReservedNode};
use muster_model::resources::{GresShare, IndexSet};
use muster_model::time::{Span, Timestamp};
use smallvec::{SmallVec, smallvec};

use crate::ask::Ask;
use crate::exact::Exact;
use crate::feasible::FOR_EVER;
use crate::fleet::{Fleet, GresSlot, UNITS_MAX};
use crate::free::{Amounts, Columns, Free};
use crate::future::OVERDUE;
use crate::nodeset::NodeSet;
use crate::supply::{Company, Supply};

/// Most later occurrences of one recurring reservation that are looked at for a planned start.
const OCCURRENCES_MAX: usize = 8;
/// Most stretches of time looked at for a planned start.
const MOMENTS_MAX: usize = 64;

/// One way for a job to be placed: within that reservation, or in none.
pub(crate) type Inside = Option<u32>;
/// All ways for a job to be placed. Most jobs have one.
pub(crate) type Ways = SmallVec<[Inside; 2]>;

/// A node that is reserved in part.
#[derive(Debug, Default)]
struct Shared {
    /// Reservations that keep a part of it.
    parts: Vec<u32>,
    /// What running jobs hold of it, until when.
    held: Vec<(Timestamp, IndexSet, Vec<GresShare>)>,
    /// What jobs of reservations take that start in this pass. The core chooses which CPUs of their part.
    started: Vec<(Timestamp, u32, Amounts)>,
}

/// How many starts are known of each node that is reserved in part.
#[derive(Debug, Default)]
pub(crate) struct Started(Vec<(u32, usize)>);

/// CPUs and units of one node.
#[derive(Debug, Default, Clone)]
struct Part {
    cpus: IndexSet,
    gres: Vec<GresShare>,
}

impl Part {
    fn add(&mut self, kept: &ReservedNode) {
        if let Some(cpus) = &kept.cpus {
            self.cpus.add_all(cpus);
        }
        for units in &kept.gres {
            match self.gres.iter_mut().find(|have| have.name == units.name && have.kind == units.kind) {
                Some(have) => have.units.add_all(&units.units),
                None => self.gres.push(units.clone()),
            }
        }
    }

    fn remove(&mut self, cpus: &IndexSet, gres: &[GresShare]) {
        self.cpus.remove_all(cpus);
        for have in &mut self.gres {
            gres.iter().filter(|held| held.name == have.name).for_each(|held| have.units.remove_all(&held.units));
        }
    }

    fn amounts(&self, slots: &[GresSlot], width: usize) -> Amounts {
        let mut columns: Columns = smallvec![0; width];
        for units in &self.gres {
            let slot = slots.iter().position(|slot| slot.name == units.name && slot.kind == units.kind);
            if let Some(column) = slot.and_then(|slot| columns.get_mut(slot)) {
                *column += units.units.len();
            }
        }
        Amounts { cpus: self.cpus.len(), memory: 0, columns }
    }
}

/// The reservations of a view.
#[derive(Debug)]
pub(crate) struct Reservations<'v> {
    view: &'v PlanView,
    list: Vec<&'v Arc<Reservation>>,
    /// Of the fleet: its generic resources, columns and nodes.
    slots: Vec<GresSlot>,
    width: usize,
    node_count: usize,
    /// Nodes that are reserved in part.
    shared: BTreeMap<u32, Shared>,
}

/// What is open to a job during one window.
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

    /// Whether `node` may be used, in part at least.
    pub(crate) fn admits(&self, node: u32) -> bool {
        self.nodes.as_ref().is_none_or(|nodes| nodes.contains(node))
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
        let mut shared: BTreeMap<u32, Shared> = BTreeMap::new();
        for (at, reservation) in (0..).zip(&list) {
            let parts = reservation.nodes.iter().filter(|kept| kept.cpus.is_some());
            for kept in parts.filter(|kept| (kept.node.0 as usize) < fleet.node_count()) {
                shared.entry(kept.node.0).or_default().parts.push(at);
            }
        }
        if !shared.is_empty() {
            for ((end, _), job) in &view.running {
                let end = if *end > view.now { *end } else { view.now + OVERDUE };
                for share in job.allocation.iter().flat_map(|allocation| &allocation.shares) {
                    if let Some(node) = shared.get_mut(&share.node.0) {
                        node.held.push((end, share.cpus.clone(), share.gres.clone()));
                    }
                }
            }
        }
        let (slots, width, node_count) = (fleet.gres_slots.clone(), fleet.width, fleet.node_count());
        Reservations { view, list, slots, width, node_count, shared }
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// That reservation.
    pub(crate) fn get(&self, inside: Inside) -> Option<&'v Reservation> {
        self.list.get(inside? as usize).map(|row| &***row)
    }

    /// The ways for `job` to be placed in `partition`, in the order in which to try them; none where it may not use what it
    /// names.
    pub(crate) fn ways(&self, job: &Job, partition: &str) -> Ways {
        if self.list.is_empty() && job.spec.reservation.is_none() {
            return smallvec![None];
        }
        self.ways_of(&job.spec, &Applicant::of_job(job, partition))
    }

    /// The same for a job that is not there yet.
    pub(crate) fn ways_of(&self, spec: &JobSpec, applicant: &Applicant<'_>) -> Ways {
        let admits = |row: &Reservation| row.admits(applicant);
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

    /// A number that is the same for jobs to which reservations mean the same inside `inside`; 0 for most.
    pub(crate) fn class(&self, spec: &JobSpec, inside: Inside) -> u64 {
        let early = spec.early_signal.filter(|early| early.reservation && !self.is_empty());
        let leaves = early.map_or(0, |early| early.before_end.seconds().clamp(0, 0xFFFF) as u64 + 1);
        leaves << 32 | inside.map_or(0, |at| u64::from(at) + 1)
    }

    fn setting(&self) -> Setting<'v> {
        let config = &self.view.config;
        Setting { now: self.view.now, zone: &config.zone, over_run: config.reservation_over_run }
    }

    /// What is open to a job with `spec` inside `inside` if it ran from `start` until `until`; `None` when it could not start at that time.
    /// A job that wants whole nodes gets none that is reserved in part.
    pub(crate) fn open(
        &self,
        spec: &JobSpec,
        inside: Inside,
        whole_node: bool,
        start: Timestamp,
        until: Timestamp,
    ) -> Option<Open> {
        let mut open = Open::default();
        if self.is_empty() {
            return Some(open);
        }
        let own = self.get(inside);
        let (claim, setting) = (Claim::of(spec, own), self.setting());
        if !claim.may_start(&setting, start) {
            return None;
        }
        let until = claim.leaves_by(&setting, start, until);
        let mut closed = NodeSet::empty(self.node_count);
        for (at, other) in (0..).zip(&self.list) {
            if inside == Some(at) || other.met_by(setting.zone, setting.now, start, until).is_none() {
                continue;
            }
            if claim.is_short_of(other) {
                open.licenses_of.push(at);
            }
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
            (open.nodes, open.confined) = (Some(nodes), inside);
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
            || open.confined.is_some_and(|own| self.shared.get(&node).is_some_and(|node| node.parts.contains(&own)))
    }

    /// What `at` keeps of `node`.
    fn kept(&self, at: u32, node: u32) -> Option<&'v ReservedNode> {
        self.list.get(at as usize)?.on(NodeIndex(node))
    }

    /// Takes out of `left`, which is free on `node` at `time`, what is not open.
    pub(crate) fn lower(&self, open: &Open, node: u32, time: Timestamp, left: &mut Amounts) {
        if !self.is_partial(open, node) {
            return;
        }
        let Some(shared) = self.shared.get(&node) else { return };
        let withheld: &[u32] = open.withheld.get(&node).map_or(&[], Vec::as_slice);
        let mut part = Part::default();
        withheld.iter().filter_map(|at| self.kept(*at, node)).for_each(|kept| part.add(kept));
        // One that keeps the whole node confines its jobs to it, and no further.
        let own = open.confined.and_then(|own| Some((own, self.kept(own, node)?)));
        let own = own.filter(|(_, kept)| kept.cpus.is_some());
        let total = own.map(|(_, own)| {
            let mut mine = Part::default();
            mine.add(own);
            let total = mine.amounts(&self.slots, self.width);
            mine.remove(&part.cpus, &part.gres);
            part = mine;
            total
        });
        for (_, cpus, gres) in shared.held.iter().filter(|(end, ..)| *end > time) {
            part.remove(cpus, gres);
        }
        let mut amounts = part.amounts(&self.slots, self.width);
        let counts = |at: u32| own.map_or(withheld.contains(&at), |(own, _)| own == at);
        for (_, _, taken) in shared.started.iter().filter(|(end, at, _)| *end > time && counts(*at)) {
            amounts.subtract(taken);
        }
        let Some(total) = total else {
            left.subtract(&amounts);
            return;
        };
        // A kind of thing of which the reservation keeps nothing is open to its jobs as to anybody.
        if total.cpus > 0 {
            left.cpus = left.cpus.min(amounts.cpus);
        }
        for ((left, mine), total) in left.columns.iter_mut().zip(&amounts.columns).zip(&total.columns) {
            if *total > 0 {
                *left = (*left).min(*mine);
            }
        }
    }

    /// When whole nodes are closed to jobs outside, by node: from, until. Recurring reservations as far as planned starts look.
    pub(crate) fn closings(&self) -> BTreeMap<u32, Vec<(Timestamp, Timestamp)>> {
        let mut closings: BTreeMap<u32, Vec<(Timestamp, Timestamp)>> = BTreeMap::new();
        let setting = self.setting();
        for row in &self.list {
            let (mut start, mut end) = row.window(setting.now);
            for _ in 0..OCCURRENCES_MAX {
                if end > setting.now {
                    let whole =
                        row.nodes.iter().filter(|kept| kept.cpus.is_none() && kept.node.0 < self.node_count as u32);
                    whole.for_each(|kept| closings.entry(kept.node.0).or_default().push((start, end)));
                }
                let Some(next) = row.occurrence_after(setting.zone, end) else { break };
                (start, end) = (next.start, next.end);
            }
        }
        closings
    }

    /// The times at and after `from` at which what is open to a run of `duration` may change; the first is `from`.
    pub(crate) fn moments(&self, inside: Inside, from: Timestamp, duration: Span) -> Vec<Timestamp> {
        let mut moments = vec![from];
        let setting = self.setting();
        for (at, row) in (0..).zip(&self.list) {
            let (mut start, mut end) = row.window(setting.now);
            for _ in 0..OCCURRENCES_MAX {
                // From the next instant on, a run would reach into it.
                moments.push(start - duration + Span(1));
                moments.push(end);
                if inside == Some(at) {
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

    /// A job starts inside `inside` and holds `taken` of `node` until `until`.
    pub(crate) fn take(&mut self, inside: Inside, node: u32, taken: &Amounts, until: Timestamp) {
        if let (Some(at), Some(shared)) = (inside, self.shared.get_mut(&node)) {
            shared.started.push((until, at, taken.clone()));
        }
    }

    /// What jobs of reservations have taken so far of nodes that are reserved in part.
    pub(crate) fn started(&self) -> Started {
        Started(self.shared.iter().map(|(node, shared)| (*node, shared.started.len())).collect())
    }

    /// Forgets what was taken after that.
    pub(crate) fn set_started(&mut self, before: Started) {
        for (node, count) in before.0 {
            if let Some(shared) = self.shared.get_mut(&node) {
                shared.started.truncate(count);
            }
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
            add(&mut withheld, &row.licenses_unused(&used_in(&row.name)));
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
                    exact: Exact::Empty,
                    waited: FOR_EVER,
                    reserved: Some((self, &open, Timestamp(i64::MAX))),
                    remembered: None,
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
    // What a job is charged to that does not say so is known to the core, which judges it then.
    let is_charged = spec.account.is_some() && spec.qos.is_some();
    for name in names_of(spec) {
        let found = view.reservations.get(name).ok_or(RefusalCode::InvalidReservation)?;
        let by_charge = !(is_charged || found.accounts.is_empty() && found.qos.is_empty());
        if !by_charge && !found.admits(&Applicant::of(spec, partition)) {
            return Err(RefusalCode::ReservationAccessDenied.into());
        }
    }
    Ok(())
}
