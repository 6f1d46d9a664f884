//! What nodes offer to a job that would start at a given time, with all that restricts it.

use muster_model::time::{Span, Timestamp};

use crate::ask::Ask;
use crate::blocks::Remembered;
use crate::capacity::{self, Offer};
use crate::choose::{self, Candidate, Choice};
use crate::exact::Exact;
use crate::fleet::Fleet;
use crate::free::{Amounts, Free};
use crate::future::{Future, Rank};
use crate::job_units::{self, JobUnits};
use crate::nodeset::{NodeBlock, NodeSet};
use crate::one_run::{self, Need};
use crate::people::{self, Guest, People};
use crate::reservation::{Open, Reservations};
use crate::runs::Survey;

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
    /// What reservations leave of nodes that they have in part, at the time of the start.
    pub(crate) reserved: Option<(&'a Reservations<'a>, &'a Open, Timestamp)>,
    pub(crate) exact: Exact<'a>,
    /// How long the job has waited, for what it waits for only so long.
    pub(crate) waited: Span,
    /// What earlier sweeps of the request found on the nodes that are usable now; only where the company does not matter, nor
    /// single cores, and nothing is reserved.
    pub(crate) remembered: Option<Remembered<'a>>,
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
    /// A job of this user, beside those that are there then.
    Beside(&'a People, Guest<'a>),
    /// A job of this user when others have made room: a node that somebody has or wants for himself must be empty.
    Emptied(&'a People, Guest<'a>),
}

impl Supply<'_> {
    /// Nodes for `ask`, and how many tasks go on each; `None` when it does not fit. As in Slurm, cores are only shared where
    /// those that nobody is on do not suffice.
    pub(crate) fn place(&self, ask: &Ask, scratch: &mut Vec<Candidate>) -> Option<Vec<Choice>> {
        if ask.rows > 1 {
            let alone = Ask { rows: 1, ..ask.clone() };
            return self.place_as_asked(&alone, scratch).or_else(|| self.place_as_asked(ask, scratch));
        }
        self.place_as_asked(ask, scratch)
    }

    fn place_as_asked(&self, ask: &Ask, scratch: &mut Vec<Candidate>) -> Option<Vec<Choice>> {
        let mut nodes = ask.eligible.clone();
        nodes.intersect(self.usable);
        if ask.required.iter().any(|node| !nodes.contains(*node)) {
            return None;
        }
        if let Some(preferred) = &ask.preferred {
            let mut better = nodes.clone();
            better.intersect(preferred);
            if let Some(choices) = self.place_within(ask, better, scratch) {
                return Some(choices);
            }
        }
        self.place_within(ask, nodes, scratch)
    }

    fn place_within(&self, ask: &Ask, nodes: NodeSet, scratch: &mut Vec<Candidate>) -> Option<Vec<Choice>> {
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
        // A sweep that is not remembered costs as much as the choice among all candidates.
        let is_cheap = ask.nodes_wanted <= 1 || self.remembered.is_some_and(|_| is_simple(ask));
        if is_cheap && one_run::may_decide(ask) && self.fleet.wiring.is_none() {
            if self.is_hopeless(ask, nodes) {
                return None;
            }
            let survey = self.survey(ask, nodes);
            let best = survey.best_run()?;
            let found = one_run::within(ask, &best, |node| self.candidate(ask, node));
            if found.is_some() || survey.tasks < Need::tasks_least(ask) {
                return found;
            }
        }
        scratch.clear();
        scratch.extend(nodes.iter().map(|node| self.candidate(ask, node)).filter(|candidate| candidate.tasks > 0));
        match &self.fleet.wiring {
            Some(wiring) if !ask.contiguous => wiring.choose(ask, scratch, self.waited),
            _ => choose::choose(ask, scratch),
        }
    }

    /// What a job finds on `nodes` of which one run may hold it.
    fn survey(&self, ask: &Ask, nodes: &NodeSet) -> Survey {
        let need = Need::of(ask);
        let look = |nodes: NodeBlock<'_>, survey: &mut Survey| self.look(ask, nodes, survey);
        if let Some(remembered) = self.remembered.filter(|_| is_simple(ask)) {
            let planned = self.planned.map(|planned| planned.future.planned());
            let is_special = |nodes: NodeBlock<'_>| planned.is_some_and(|planned| nodes.meets(planned));
            return remembered.survey(&self.fleet.weight, nodes, need, is_special, look);
        }
        let mut survey = Survey::new(need);
        look(nodes.as_block(), &mut survey);
        survey
    }

    /// Whether it is out of the question that a job fits on `nodes` of which one run may hold it, by what is remembered. Asked
    /// before planned starts are looked at, which take room away only and are not remembered.
    fn is_hopeless(&self, ask: &Ask, nodes: &NodeSet) -> bool {
        let Some(remembered) = self.remembered.filter(|_| self.planned.is_some() && is_simple(ask)) else {
            return false;
        };
        let unplanned = Supply { planned: None, ..*self };
        let least = (Need::of(ask), Need::tasks_least(ask));
        remembered.holds_fewer(nodes, least, |nodes, survey| unplanned.look(ask, nodes, survey))
    }

    /// Takes in what those of `nodes` offer that can take part.
    #[inline]
    fn look(&self, ask: &Ask, nodes: NodeBlock<'_>, survey: &mut Survey) {
        let candidates = nodes.iter().map(|node| self.candidate(ask, node));
        candidates.filter(|candidate| candidate.tasks > 0).for_each(|candidate| survey.add(&candidate));
    }

    /// What `node` can take of a job.
    #[inline]
    pub(crate) fn candidate(&self, ask: &Ask, node: u32) -> Candidate {
        let weight = self.fleet.weight[node as usize];
        let mut cpus = self.free.cpus[node as usize];
        if ask.rows > 1 {
            cpus = self.exact.cpus_with_shared(ask, self.fleet, node);
        }
        // Most nodes of a busy cluster end here.
        if cpus < ask.cpus_per_node_min || !self.admits(ask, node) {
            return Candidate { node, weight, tasks: 0, job_units: JobUnits::NONE };
        }
        let offer = Offer { cpus, ..self.offer(node) };
        if let Some((reservations, open, time)) = self.reserved
            && reservations.is_partial(open, node)
        {
            let mut left = match self.planned {
                Some(Planned { future, from, until, rank }) => {
                    future.left(node, self.free.of(node), from, until, &rank)
                }
                None => self.free.of(node),
            };
            reservations.lower(open, node, time, &mut left);
            let offer = Offer { cpus: left.cpus, memory: left.memory, columns: &left.columns, ..offer };
            return self.measure(ask, weight, offer);
        }
        match self.planned {
            Some(Planned { future, from, until, rank }) if ask.rows == 1 && future.is_planned(node) => {
                if capacity::tasks(ask, self.fleet, offer) == 0 {
                    // Nor is there room for any in what planned starts leave, which costs more to work out.
                    return Candidate { node, weight, tasks: 0, job_units: JobUnits::NONE };
                }
                let left: Amounts = future.left(node, self.free.of(node), from, until, &rank);
                let offer = Offer { cpus: left.cpus, memory: left.memory, columns: &left.columns, ..offer };
                self.measure(ask, weight, offer)
            }
            _ => self.measure(ask, weight, offer),
        }
    }

    /// What is free on `node`.
    #[inline]
    fn offer(&self, node: u32) -> Offer<'_> {
        let (cpus, memory) = (self.free.cpus[node as usize], self.free.memory[node as usize]);
        Offer { node, cpus, memory, columns: self.free.columns_of(node) }
    }

    #[inline]
    fn measure(&self, ask: &Ask, weight: u32, offer: Offer<'_>) -> Candidate {
        let mut tasks = capacity::tasks(ask, self.fleet, offer);
        if tasks > 0 && ask.is_detailed {
            tasks = self.exact.tasks(ask, self.fleet, offer.node, tasks);
        }
        let has_gres = tasks > 0 && !ask.gres.is_empty();
        let mut job_units = if has_gres { job_units::offered(ask, offer) } else { JobUnits::NONE };
        if !job_units.is_none() && ask.is_detailed {
            job_units = self.exact.job_units(ask, self.fleet, offer.node, job_units);
        }
        Candidate { node: offer.node, weight, tasks, job_units }
    }

    #[inline]
    fn admits(&self, ask: &Ask, node: u32) -> bool {
        let (people, guest) = match self.company {
            Company::Anybody => return true,
            Company::Beside(people, guest) | Company::Emptied(people, guest) => (people, guest),
        };
        if people.admits_everybody(ask) {
            return true;
        }
        let is_emptied = matches!(self.company, Company::Emptied(..));
        if is_emptied && self.free.cpus[node as usize] == self.fleet.cpus[node as usize] {
            return true;
        }
        let company = people::Company::of(guest, ask);
        match self.planned {
            Some(Planned { future, from, until, rank }) => {
                people.admits(node, company, (from, until), future.stays_before(node, &rank))
            }
            None => people.admits_now(node, company),
        }
    }
}

/// Whether a job may use all nodes that are eligible and usable alike.
fn is_simple(ask: &Ask) -> bool {
    ask.preferred.is_none() && ask.alternatives.is_empty()
}
