//! Nodes counted by what keeps them from taking part in a job now.

use std::collections::BTreeMap;

use muster_model::explain::{Census, Missing, Shortage};
use muster_model::ids::Name;
use muster_model::node::{Node, NodeHealth};

use super::{Case, Entry, Pass};
use crate::ask::Ask;
use crate::capacity::{self, Offer};
use crate::choose;
use crate::free::Amounts;

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
