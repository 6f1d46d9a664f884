//! What nodes offer to a job that would start at a given time, with all that restricts it.

use muster_model::time::Timestamp;

use crate::ask::Ask;
use crate::capacity::{self, Offer};
use crate::choose::{self, Candidate, Choice};
use crate::fleet::Fleet;
use crate::free::{Amounts, Free};
use crate::future::{Future, Rank};
use crate::nodeset::NodeSet;
use crate::people::People;

/// Where a job could take from.
#[derive(Clone, Copy)]
pub(crate) struct Supply<'a> {
    pub(crate) fleet: &'a Fleet,
    /// Free at the time of the start.
    pub(crate) free: &'a Free,
    /// Nodes that may be used at all.
    pub(crate) usable: &'a NodeSet,
    /// What planned starts hold.
    pub(crate) planned: Option<Planned<'a>>,
    pub(crate) company: Company<'a>,
}

/// Planned starts as they concern one job.
#[derive(Clone, Copy)]
pub(crate) struct Planned<'a> {
    pub(crate) future: &'a Future,
    /// When the job would start.
    pub(crate) from: Timestamp,
    /// When it would end.
    pub(crate) until: Timestamp,
    /// Its place in the queue: planned starts of jobs behind it do not matter.
    pub(crate) rank: Rank,
}

/// Whom a job may meet on a node.
#[derive(Clone, Copy)]
pub(crate) enum Company<'a> {
    /// Only resources matter.
    Anybody,
    /// A job of this user, beside those that are there now.
    Now(&'a People, u32),
    /// A job of this user, later: who will be there then is not known, so a node that somebody has or wants for
    /// himself must be empty.
    Later(&'a People, u32),
}

impl Supply<'_> {
    /// Nodes for `ask`, and how many tasks go on each; `None` when it does not fit.
    pub(crate) fn place(&self, ask: &Ask, scratch: &mut Vec<Candidate>) -> Option<Vec<Choice>> {
        let mut nodes = ask.eligible.clone();
        nodes.intersect(self.usable);
        if ask.required.iter().any(|node| !nodes.contains(*node)) {
            return None;
        }
        if ask.alternatives.is_empty() {
            return self.place_on(ask, &nodes, scratch);
        }
        ask.alternatives.iter().find_map(|alternative| {
            let mut nodes = nodes.clone();
            nodes.intersect(alternative);
            self.place_on(ask, &nodes, scratch)
        })
    }

    fn place_on(&self, ask: &Ask, nodes: &NodeSet, scratch: &mut Vec<Candidate>) -> Option<Vec<Choice>> {
        if choose::is_for_one_node(ask) {
            let sweep = nodes.iter().map(|node| self.candidate(ask, node)).filter(|candidate| candidate.tasks > 0);
            match choose::one_node(ask, sweep) {
                choose::OneNode::Found(choice) => return Some(vec![choice]),
                choose::OneNode::Nothing => return None,
                choose::OneNode::Several => {}
            }
        }
        scratch.clear();
        scratch.extend(nodes.iter().map(|node| self.candidate(ask, node)).filter(|candidate| candidate.tasks > 0));
        choose::choose(ask, scratch)
    }

    /// What `node` can take of a job.
    #[inline]
    pub(crate) fn candidate(&self, ask: &Ask, node: u32) -> Candidate {
        let weight = self.fleet.weight[node as usize];
        let cpus = self.free.cpus[node as usize];
        // Most nodes of a busy cluster end here.
        if cpus < ask.cpus_per_node_min || !self.admits(ask, node) {
            return Candidate { node, weight, tasks: 0, job_units: 0 };
        }
        let offer = Offer { node, cpus, memory: self.free.memory[node as usize], columns: self.free.columns_of(node) };
        match self.planned {
            Some(Planned { future, from, until, rank }) if future.is_planned(node) => {
                let left: Amounts = future.left(node, self.free.of(node), from, until, &rank);
                let offer = Offer { cpus: left.cpus, memory: left.memory, columns: &left.columns, ..offer };
                self.measure(ask, weight, offer)
            }
            _ => self.measure(ask, weight, offer),
        }
    }

    #[inline]
    fn measure(&self, ask: &Ask, weight: u32, offer: Offer<'_>) -> Candidate {
        let tasks = capacity::tasks(ask, self.fleet, offer);
        let job_units = if tasks > 0 && !ask.gres.is_empty() { capacity::job_units(ask, offer) } else { 0 };
        Candidate { node: offer.node, weight, tasks, job_units }
    }

    #[inline]
    fn admits(&self, ask: &Ask, node: u32) -> bool {
        match self.company {
            Company::Anybody => true,
            Company::Now(people, uid) => {
                people.admits_everybody(ask.exclusive_user) || people.admits(node, uid, ask.exclusive_user)
            }
            Company::Later(people, uid) => {
                people.admits_everybody(ask.exclusive_user)
                    || people.admits(node, uid, ask.exclusive_user)
                    || self.free.cpus[node as usize] == self.fleet.cpus[node as usize]
            }
        }
    }
}
