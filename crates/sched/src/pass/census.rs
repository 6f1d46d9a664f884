//! Nodes counted by what keeps them from taking part in a job now.

use std::collections::BTreeMap;

use muster_model::explain::{Census, Missing, Reserved, Shortage};
use muster_model::ids::{Name, NodeIndex};
use muster_model::node::{Node, NodeHealth};
use muster_model::reservation::Reservation;

use super::{Case, Entry, Pass};
use crate::ask::Ask;
use crate::capacity::{self, Offer};
use crate::choose;
use crate::free::Amounts;
use crate::reservation::{Inside, Open};

impl Pass<'_> {
    /// Counts the nodes of a partition by what keeps them from taking part now.
    pub(super) fn census(&mut self, entry: Entry<'_>, case: &Case, ask: &Ask) -> Census {
        let at = self.tables.partition_of(case.id);
        let fleet = &self.tables.fleet;
        let nodes = fleet.partition_nodes[at as usize].clone();
        let mut census = Census {
            partition: fleet.partition(at).name.to_string(),
            nodes: nodes.len(),
            needed: ask.nodes_min.max(1),
            ..Census::default()
        };
        let (mut too_small, mut in_use): (BTreeMap<String, u32>, BTreeMap<String, u32>) = Default::default();
        let mut missing: BTreeMap<(&'static str, Name), Vec<u32>> = BTreeMap::new();
        let mut reserved: BTreeMap<Name, Reserved> = BTreeMap::new();
        let ways = self.reservations.ways(entry.job, &fleet.partition(at).name);
        let opens: Vec<(Inside, Open)> = ways
            .into_iter()
            .filter_map(|inside| Some((inside, self.open_now(entry, ask, inside, case.duration)?)))
            .collect();
        for node in nodes.iter() {
            if !self.books.in_service.contains(node) {
                census.out_of_service += 1;
                if ask.eligible.contains(node) && self.fits_on(ask, node, &fleet.total_of(node)) {
                    missing.entry(why_missing(&self.view.nodes[node as usize])).or_default().push(node);
                }
            } else if !ask.eligible.contains(node) {
                census.not_matching += 1;
            } else if let Some(what) = self.shortage(ask, node, &fleet.total_of(node), &fleet.total_of(node)) {
                *too_small.entry(what).or_default() += 1;
            } else if let Some(what) = self.shortage(ask, node, &self.books.free.of(node), &fleet.total_of(node)) {
                *in_use.entry(what).or_default() += 1;
            } else if let Some(found) = self.reserved_by(case, ask, node, &opens) {
                reserved.entry(found.reservation.clone()).or_insert(found).nodes += 1;
            } else {
                let until = self.view.now + case.duration;
                let left = self.available(node, &self.books.free, self.view.now, until, &entry.rank());
                if self.fits_on(ask, node, &left) { census.able += 1 } else { census.kept += 1 }
            }
        }
        let list = |counts: BTreeMap<String, u32>| {
            counts.into_iter().map(|(resource, nodes)| Shortage { resource, nodes }).collect()
        };
        (census.too_small, census.in_use) = (list(too_small), list(in_use));
        census.reserved = reserved.into_values().collect();
        // Many first.
        let mut missing: Vec<_> = missing.into_iter().collect();
        missing.sort_by_key(|(_, nodes)| std::cmp::Reverse(nodes.len()));
        let one = |((state, reason), nodes): ((&str, Name), Vec<u32>)| Missing {
            nodes: self.node_list(nodes.into_iter()),
            state: state.to_owned(),
            reason: reason.to_string(),
        };
        census.missing = missing.into_iter().map(one).collect();
        census
    }

    /// The reservation that keeps a node from a job, where that is free and would hold a part of it.
    fn reserved_by(&self, case: &Case, ask: &Ask, node: u32, opens: &[(Inside, Open)]) -> Option<Reserved> {
        let (now, until) = (self.view.now, self.view.now + case.duration);
        let is_open = opens.iter().any(|(_, open)| {
            let mut left = self.books.free.of(node);
            self.reservations.lower(open, node, now, &mut left);
            open.admits(node) && self.fits_on(ask, node, &left)
        });
        if is_open {
            return None;
        }
        let is_own = |row: &Reservation| {
            opens.iter().any(|(inside, _)| self.reservations.get(*inside).is_some_and(|own| own.name == row.name))
        };
        let rows = || self.view.reservations.values().filter(|row| row.on(NodeIndex(node)).is_some() && !is_own(row));
        // Of one that comes again and again only the next time is known here.
        let row = rows().find(|row| row.start < until && row.end > now).or_else(|| rows().next())?;
        Some(Reserved { reservation: row.name.clone(), wait: row.start.since(now), nodes: 0 })
    }

    /// Whether so much of a node holds a part of the job, or all of it where it may not be cut.
    fn fits_on(&self, ask: &Ask, node: u32, amounts: &Amounts) -> bool {
        let least = if ask.nodes_max == 1 { choose::tasks_of_one(ask) } else { 1 };
        let offer = Offer { node, cpus: amounts.cpus, memory: amounts.memory, columns: &amounts.columns };
        capacity::tasks(ask, &self.tables.fleet, offer) >= least
    }

    /// What of `have` does not suffice for a part of the job on `node`, which has `total`: the first resource that would
    /// let it fit if all of it were there.
    fn shortage(&self, ask: &Ask, node: u32, have: &Amounts, total: &Amounts) -> Option<String> {
        if self.fits_on(ask, node, have) {
            return None;
        }
        let fleet = &self.tables.fleet;
        let helps = |change: &dyn Fn(&mut Amounts)| {
            let mut amounts = have.clone();
            change(&mut amounts);
            self.fits_on(ask, node, &amounts)
        };
        let plenty = u32::MAX / 4;
        let is_total = have == total;
        let cpus = if is_total { plenty } else { total.cpus };
        let memory = if is_total { u64::MAX / 4 } else { total.memory };
        if helps(&|amounts| amounts.cpus = cpus) {
            return Some("cpu".to_owned());
        }
        if helps(&|amounts| amounts.memory = memory) {
            return Some("mem".to_owned());
        }
        for need in &ask.gres {
            let fill = |amounts: &mut Amounts| {
                for slot in &need.slots {
                    amounts.columns[*slot] = if is_total { plenty } else { total.columns[*slot] };
                }
            };
            if let Some(slot) = need.slots.first().map(|slot| &fleet.gres_slots[*slot])
                && helps(&fill)
            {
                let kind = slot.kind.as_ref().filter(|_| need.slots.len() == 1);
                return Some(match kind {
                    Some(kind) => format!("gres/{}:{kind}", slot.name),
                    None => format!("gres/{}", slot.name),
                });
            }
        }
        Some("cpu and more".to_owned())
    }
}

/// Why a node is out of service: a word, and what is said about it.
fn why_missing(node: &Node) -> (&'static str, Name) {
    let word = match node.health {
        NodeHealth::Down => "down",
        NodeHealth::Unknown => "never registered",
        NodeHealth::Future => "not there yet",
        NodeHealth::Up if node.drain => "drained",
        NodeHealth::Up => "not responding",
    };
    (word, node.reason.as_ref().map_or_else(|| "".into(), |reason| reason.text.clone()))
}
