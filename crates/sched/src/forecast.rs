//! When jobs deep in the queue are to start, about.
//!
//! Exact planned starts, node by node, are made for the first blocked jobs, as many as the budget allows. For all others
//! the cluster is looked at as a few pools: the nodes of one class (equal hardware, features and partitions) with the sum
//! of what they have. Each job, in the order of the queue, gets the earliest time from which its pool can hold it for as
//! long as it may run, beside all before it. That is conservative backfill with two simplifications: resources of a pool
//! count as a sum, however they are torn over its nodes, and time has a grain that grows with the distance: a minute soon, a
//! sixty-fourth of the distance later. While a reservation has a whole node, the pool is without it; what is reserved of a
//! node in part is not regarded.
//!
//! A group of equal jobs never starts earlier than the one before it did, so each group searches through time only once.

use std::collections::BTreeMap;
use std::ops::Range;

use muster_model::time::{Span, Timestamp};
use smallvec::SmallVec;

use crate::ask::{Ask, MemoryNeed, Spread};
use crate::books::Books;
use crate::capacity::{self, Offer};
use crate::classes::Classes;
use crate::fleet::Fleet;
use crate::free::Amounts;

/// Finest grain of time.
const GRAIN: Span = Span::from_seconds(60);
/// Into how many grains a doubling of the distance is cut.
const GRAINS_PER_DOUBLING: i64 = 64;
/// How far the forecast reaches; what starts later is not told.
const REACH: Span = Span::from_minutes(400 * 24 * 60);

/// What jobs take from a pool or a pool has: CPUs, memory, then the columns of the fleet.
type Amount = i64;

/// The pools over time.
#[derive(Debug)]
pub(crate) struct Forecast {
    now: Timestamp,
    /// Begin of each slot of time, as distance from now; the last is open.
    begins: Vec<Span>,
    width: usize,
    /// By class, slot and resource.
    free: Vec<Amount>,
}

/// When nodes are closed.
pub(crate) type Closings = BTreeMap<u32, Vec<(Timestamp, Timestamp)>>;

/// What one job takes of the pool of one class: those amounts that are not zero, and of what. Few jobs take of all that a pool
/// has.
#[derive(Debug, Clone)]
pub(crate) struct Footprint {
    class: usize,
    amounts: SmallVec<[(usize, Amount); 4]>,
}

impl Footprint {
    fn new(class: usize, amounts: &[Amount]) -> Footprint {
        Footprint { class, amounts: amounts.iter().copied().enumerate().filter(|(_, amount)| *amount > 0).collect() }
    }
}

impl Forecast {
    /// What is left beside the running jobs, what is planned, and nodes while they are closed (from, until).
    pub(crate) fn of(fleet: &Fleet, classes: &Classes, books: &Books, closings: &Closings, now: Timestamp) -> Forecast {
        let mut begins = vec![Span::ZERO];
        let mut at = 0;
        while at < REACH.0 {
            at += GRAIN.0.max(at / GRAINS_PER_DOUBLING);
            begins.push(Span(at));
        }
        let width = 2 + fleet.width;
        let mut forecast = Forecast { now, width, free: vec![0; classes.count() * begins.len() * width], begins };
        // First only what changes at each moment is noted, then it is summed up.
        for class in 0..classes.count() {
            for node in classes.nodes(class).iter().filter(|node| books.in_service.contains(**node)) {
                forecast.change(class, 0, &books.free.of(*node), 1);
            }
        }
        books.future.each_release(|node, at, amounts| {
            if books.in_service.contains(node) {
                forecast.change(classes.of_node(node), forecast.slot_after(at), amounts, 1);
            }
        });
        let mut closed: BTreeMap<u32, Vec<Range<usize>>> = BTreeMap::new();
        for (node, windows) in closings.iter().filter(|(node, _)| books.in_service.contains(**node)) {
            let slots = forecast.slots_closed(windows);
            slots.iter().for_each(|slots| forecast.close(classes.of_node(*node), *node, slots, books));
            closed.insert(*node, slots);
        }
        books.future.each_hold(|node, start, end, amounts| {
            let (first, last) = (forecast.slot_at(start), forecast.slot_after(end));
            let is_in = |slots: &Range<usize>| slots.start <= first && last <= slots.end;
            // It is in the reservation, of which nothing is left in the pool.
            if !closed.get(&node).is_some_and(|windows| windows.iter().any(is_in)) {
                forecast.change(classes.of_node(node), first, amounts, -1);
                forecast.change(classes.of_node(node), last, amounts, 1);
            }
        });
        let row = forecast.begins.len() * width;
        for class in forecast.free.chunks_mut(row) {
            for at in width..row {
                class[at] += class[at - width];
            }
        }
        forecast
    }

    fn change(&mut self, class: usize, slot: usize, amounts: &Amounts, sign: Amount) {
        if slot < self.begins.len() {
            let at = (class * self.begins.len() + slot) * self.width;
            add(&mut self.free[at..at + self.width], amounts, sign);
        }
    }

    /// The slots of time that windows touch, in order and apart from each other.
    fn slots_closed(&self, windows: &[(Timestamp, Timestamp)]) -> Vec<Range<usize>> {
        let mut all: Vec<Range<usize>> =
            windows.iter().map(|(from, until)| self.slot_at((*from).max(self.now))..self.slot_after(*until)).collect();
        all.sort_unstable_by_key(|slots| slots.start);
        let mut apart: Vec<Range<usize>> = Vec::with_capacity(all.len());
        for slots in all.into_iter().filter(|slots| !slots.is_empty()) {
            match apart.last_mut().filter(|before| slots.start <= before.end) {
                Some(before) => before.end = before.end.max(slots.end),
                None => apart.push(slots),
            }
        }
        apart
    }

    /// Takes out of the pool all that `node` would have free in these slots.
    fn close(&mut self, class: usize, node: u32, slots: &Range<usize>, books: &Books) {
        let mut level = books.free.of(node);
        let mut later: Vec<(usize, &Amounts)> = Vec::new();
        for (at, amounts) in books.future.releases_of(node) {
            match self.slot_after(at) {
                slot if slot <= slots.start => level.add(amounts),
                slot if slot < slots.end => later.push((slot, amounts)),
                _ => {}
            }
        }
        self.change(class, slots.start, &level, -1);
        for (slot, amounts) in later {
            self.change(class, slot, amounts, -1);
            level.add(amounts);
        }
        self.change(class, slots.end, &level, 1);
    }

    /// A node of `class` gives `amounts` to somebody from `start` until `end`.
    pub(crate) fn take(&mut self, class: usize, amounts: &Amounts, start: Timestamp, end: Timestamp) {
        let mut taken = vec![0; self.width];
        add(&mut taken, amounts, 1);
        self.give_away(&Footprint::new(class, &taken), self.slot_at(start)..self.slot_after(end));
    }

    fn give_away(&mut self, footprint: &Footprint, slots: Range<usize>) {
        let (width, row) = (self.width, footprint.class * self.begins.len());
        let free = &mut self.free[(row + slots.start) * width..(row + slots.end.max(slots.start)) * width];
        for free in free.chunks_exact_mut(width) {
            footprint.amounts.iter().for_each(|(column, taken)| free[*column] -= taken);
        }
    }

    /// The slot in which `time` lies.
    fn slot_at(&self, time: Timestamp) -> usize {
        let distance = time.since(self.now);
        self.begins.partition_point(|begin| *begin <= distance) - 1
    }

    /// The first slot that begins at or after `time`.
    fn slot_after(&self, time: Timestamp) -> usize {
        let distance = time.since(self.now);
        self.begins.partition_point(|begin| *begin < distance)
    }

    /// The first slot not before `from` from which a pool holds `footprint` for `duration`.
    fn first_fit(&self, footprint: &Footprint, from: usize, duration: Span) -> Option<usize> {
        let mut start = from;
        'starts: while start < self.begins.len() {
            let end = Span(self.begins[start].0.saturating_add(duration.0));
            let mut slot = start;
            while slot < self.begins.len() && (slot == start || self.begins[slot] < end) {
                let at = (footprint.class * self.begins.len() + slot) * self.width;
                let free = &self.free[at..at + self.width];
                if footprint.amounts.iter().any(|(column, wanted)| free[*column] < *wanted) {
                    start = slot + 1;
                    continue 'starts;
                }
                slot += 1;
            }
            return Some(start);
        }
        None
    }

    /// The earliest start of a job with one of `footprints` for `duration`.
    pub(crate) fn first(&self, footprints: &[Footprint], duration: Span) -> Option<Timestamp> {
        let slots = footprints.iter().filter_map(|footprint| self.first_fit(footprint, 1, duration));
        slots.min().map(|slot| self.now + self.begins[slot])
    }

    /// Books the earliest start of a job with one of `footprints` for `duration`, not before `frontier`, which moves on.
    /// `None` when it lies beyond reach.
    pub(crate) fn book(&mut self, footprints: &[Footprint], frontier: &mut usize, duration: Span) -> Option<Timestamp> {
        // It has been found not to fit now.
        let from = (*frontier).max(1);
        let fits =
            footprints.iter().filter_map(|footprint| Some((self.first_fit(footprint, from, duration)?, footprint)));
        let Some((start, footprint)) = fits.min_by_key(|(start, _)| *start) else {
            *frontier = self.begins.len();
            return None;
        };
        *frontier = start;
        let begin = self.begins[start];
        let last = self.slot_after(self.now + Span(begin.0.saturating_add(duration.0))).max(start + 1);
        self.give_away(footprint, start..last.min(self.begins.len()));
        Some(self.now + begin)
    }
}

fn add(sum: &mut [Amount], amounts: &Amounts, sign: Amount) {
    sum[0] += sign * i64::from(amounts.cpus);
    sum[1] += sign * i64::try_from(amounts.memory).unwrap_or(i64::MAX / 4);
    for (ours, theirs) in sum[2..].iter_mut().zip(&amounts.columns) {
        *ours += sign * i64::from(*theirs);
    }
}

/// What `ask` takes of each pool that could hold it.
pub(crate) fn footprints(fleet: &Fleet, classes: &Classes, ask: &Ask) -> Vec<Footprint> {
    (0..classes.count()).filter_map(|class| footprint(fleet, classes, ask, class)).collect()
}

fn footprint(fleet: &Fleet, classes: &Classes, ask: &Ask, class: usize) -> Option<Footprint> {
    let node = *classes.nodes(class).iter().find(|node| ask.eligible.contains(**node))?;
    let total = fleet.total_of(node);
    let offer = Offer { node, cpus: total.cpus, memory: total.memory, columns: &total.columns };
    let per_node = capacity::tasks(ask, fleet, offer);
    if per_node == 0 {
        return None;
    }
    let mut amounts = vec![0; 2 + fleet.width];
    let tasks = match ask.spread {
        Spread::Total(tasks) => u64::from(tasks),
        Spread::PerNode(tasks) => u64::from(tasks) * u64::from(ask.nodes_min),
    };
    // Nodes that it fills when nobody else is there.
    let per_node = u64::from(per_node);
    let nodes = tasks.div_ceil(per_node).max(u64::from(ask.nodes_min));
    if ask.whole_node {
        add(&mut amounts, &total, i64::try_from(nodes).unwrap_or(i64::MAX / 4));
        return Some(Footprint::new(class, &amounts));
    }
    let cpus = (tasks * u64::from(ask.cpus_per_task)).max(nodes * u64::from(ask.cpus_per_node_min));
    amounts[0] = i64::try_from(cpus.min(nodes * u64::from(total.cpus))).unwrap_or(i64::MAX / 4);
    let memory = match ask.memory {
        MemoryNeed::NotCounted => 0,
        MemoryNeed::PerNode(memory) => memory.saturating_mul(nodes),
        MemoryNeed::PerCpu(memory) => memory.saturating_mul(tasks * u64::from(ask.cpus_per_task)),
        MemoryNeed::PerGpu(memory) => memory.saturating_mul(ask.gres.iter().map(|need| u64::from(need.amount)).sum()),
        MemoryNeed::All => total.memory.saturating_mul(nodes),
    };
    amounts[1] = i64::try_from(memory).unwrap_or(i64::MAX / 4);
    for need in &ask.gres {
        use muster_model::resources::GresScope;
        let count = match need.scope {
            GresScope::Node => u64::from(need.amount) * nodes,
            GresScope::Socket => u64::from(need.amount) * nodes * u64::from(fleet.sockets[node as usize]),
            GresScope::Task => u64::from(need.amount) * tasks,
            GresScope::Job => u64::from(need.amount),
        };
        if let Some(slot) = need.slots.iter().find(|slot| total.columns[**slot] > 0) {
            amounts[2 + slot] += i64::try_from(count).unwrap_or(i64::MAX / 4);
        }
    }
    Some(Footprint::new(class, &amounts))
}
