//! The earliest time at which a job fits.
//!
//! Time is walked from moment to moment at which something comes free, with a tally of how much of the job each node
//! could take. The tally tells cheaply that it cannot be yet; only when it says that it may be, nodes are chosen. What a
//! node can take also shrinks as the end of the run moves into planned starts: the tally may then promise too much, which
//! costs an attempt and is put right.

use muster_model::time::{Span, Timestamp};

use crate::ask::{Ask, Spread};
use crate::choose::{Candidate, Choice};
use crate::exact::Exact;
use crate::fleet::Fleet;
use crate::free::Free;
use crate::future::{Future, Rank};
use crate::job_units::JobUnits;
use crate::nodeset::NodeSet;
use crate::people::{Guest, People};
use crate::reservation::{Open, Reservations};
use crate::supply::{Company, Planned, Supply};

/// Most choices of nodes that may fail for one job; after them only the end of all that is planned is tried. A bound for
/// requests that a tally says little about.
const FAILURES_MAX: usize = 100;

/// Most times that a choice is made again among its own nodes. Hardly any choice changes twice.
const SETTLING_MAX: usize = 4;

/// What is looked for.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) ask: &'a Ask,
    pub(crate) duration: Span,
    pub(crate) rank: Rank,
    pub(crate) guest: Guest<'a>,
    /// Since when it waits, for what it waits for only so long.
    pub(crate) since: Timestamp,
    /// It starts no earlier.
    pub(crate) not_before: Timestamp,
    /// It starts earlier than this: until then the same is open to it.
    pub(crate) before: Option<Timestamp>,
    /// Whether the licences that it needs are free at a time; `None` where it needs none.
    pub(crate) is_licensed: Option<&'a dyn Fn(Timestamp) -> bool>,
}

/// Where it is looked for.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) people: &'a People,
    /// Nodes that may be used, without those that reservations close.
    pub(crate) usable: &'a NodeSet,
    pub(crate) now: Timestamp,
    /// What reservations leave of nodes that they have in part.
    pub(crate) open: (&'a Reservations<'a>, &'a Open),
    /// What is known in detail of now.
    pub(crate) exact: Exact<'a>,
}

/// What was found.
pub(crate) struct Found {
    pub(crate) start: Timestamp,
    pub(crate) choices: Vec<Choice>,
    /// What is free then beside the running jobs.
    pub(crate) free: Free,
}

/// The earliest start beside what runs, of which `free` is what it leaves now, and what is planned for jobs before it.
/// `future` must be sorted.
pub(crate) fn earliest(
    future: &Future,
    free: &Free,
    place: Place<'_>,
    wanted: Wanted<'_>,
    scratch: &mut Vec<Candidate>,
) -> Option<Found> {
    debug_assert!(future.is_sorted());
    let mut nodes = wanted.ask.eligible.clone();
    nodes.intersect(place.usable);
    let mut search = Search {
        future,
        place,
        wanted,
        free: free.clone(),
        time: wanted.not_before.max(place.now),
        passed: 0,
        tally: Tally::new(wanted.ask),
        capacities: vec![(0, JobUnits::NONE); place.fleet.node_count()],
        nodes,
    };
    search.passed = future.pass_until(search.time, 0, |node, back| search.free.give(node, back));
    search.skip();
    search.count_all();
    search.run(scratch)
}

/// Nodes for a start at `time`, when `free` is free beside the running jobs.
pub(crate) fn choose_at(
    future: &Future,
    free: &Free,
    place: Place<'_>,
    wanted: Wanted<'_>,
    time: Timestamp,
    scratch: &mut Vec<Candidate>,
) -> Option<Vec<Choice>> {
    supply_at(future, free, place, wanted, time).place(wanted.ask, scratch)
}

/// Choices that were found, as they would be found among their own nodes. What is told of a planned start are its nodes; so
/// whoever plans it again from these takes the same of each of them.
pub(crate) fn settled(
    future: &Future,
    free: &Free,
    place: Place<'_>,
    wanted: Wanted<'_>,
    time: Timestamp,
    mut choices: Vec<Choice>,
    scratch: &mut Vec<Candidate>,
) -> Vec<Choice> {
    for _ in 0..SETTLING_MAX {
        if choices.len() <= 1 {
            break;
        }
        let nodes: NodeSet = choices.iter().map(|choice| choice.node).collect();
        match choose_at(future, free, Place { usable: &nodes, ..place }, wanted, time, scratch) {
            Some(again) if again != choices => choices = again,
            _ => break,
        }
    }
    choices
}

/// As [`choose_at`], with as few nodes as possible on which nothing runs `now`, the lowest (`bf_busy_nodes`); so the others
/// stay open for long jobs that fill gaps.
pub(crate) fn choose_busy(
    future: &Future,
    free: &Free,
    now: &Free,
    place: Place<'_>,
    wanted: Wanted<'_>,
    time: Timestamp,
    scratch: &mut Vec<Candidate>,
) -> Option<Vec<Choice>> {
    let mut open = wanted.ask.eligible.clone();
    open.intersect(place.usable);
    let is_busy = |node: &u32| now.cpus[*node as usize] < place.fleet.cpus[*node as usize];
    let (busy, idle): (Vec<u32>, Vec<u32>) = open.iter().partition(is_busy);
    let mut with = |count: usize| {
        let nodes: NodeSet = busy.iter().chain(&idle[..count]).copied().collect();
        choose_at(future, free, Place { usable: &nodes, ..place }, wanted, time, scratch)
    };
    let (mut low, mut high) = (0, idle.len());
    let mut best = with(low);
    if best.is_some() {
        return best;
    }
    // More nodes never fit less: the turn can be searched for.
    while low + 1 < high {
        let middle = low + (high - low) / 2;
        match with(middle) {
            Some(choices) => (high, best) = (middle, Some(choices)),
            None => low = middle,
        }
    }
    best
}

fn supply_at<'a>(
    future: &'a Future,
    free: &'a Free,
    place: Place<'a>,
    wanted: Wanted<'a>,
    time: Timestamp,
) -> Supply<'a> {
    let is_now = time <= place.now;
    let (people, guest) = (place.people, wanted.guest);
    Supply {
        fleet: place.fleet,
        free,
        usable: place.usable,
        planned: Some(Planned { future, from: time, until: time + wanted.duration, rank: wanted.rank }),
        reserved: Some((place.open.0, place.open.1, time)),
        company: Company::Beside(people, guest),
        exact: if is_now { place.exact } else { Exact::Empty },
        waited: time.since(wanted.since),
        remembered: None,
    }
}

struct Search<'a> {
    future: &'a Future,
    place: Place<'a>,
    wanted: Wanted<'a>,
    free: Free,
    time: Timestamp,
    /// Releases that have passed.
    passed: usize,
    tally: Tally,
    /// Tasks by node, as they are tallied, and units counted over the job.
    capacities: Vec<(u32, JobUnits)>,
    /// Nodes that may take part.
    nodes: NodeSet,
}

impl Search<'_> {
    fn run(mut self, scratch: &mut Vec<Candidate>) -> Option<Found> {
        let mut failures = 0;
        let mut may_fit = true;
        loop {
            if self.wanted.before.is_some_and(|before| before <= self.time) {
                return None;
            }
            let is_licensed = self.wanted.is_licensed.is_none_or(|is_licensed| is_licensed(self.time));
            if may_fit && is_licensed && self.tally.suffices() {
                if let Some(choices) = self.supply().place(self.wanted.ask, scratch) {
                    return Some(Found { start: self.time, choices, free: self.free });
                }
                failures += 1;
                self.count_planned();
            }
            if failures > FAILURES_MAX {
                return self.last_resort(scratch);
            }
            self.time = self.future.next_moment(self.time, self.passed)?;
            // Where licences are lacking, room found earlier has not been used.
            may_fit = self.arrive() || self.wanted.is_licensed.is_some();
        }
    }

    /// Lets time pass while too few CPUs are free for the job, on whatever nodes they are and whatever is planned there:
    /// nothing is to be counted until then.
    fn skip(&mut self) {
        let wanted = self.wanted.ask.cpus_min();
        let mut cpus: u64 = self.nodes.iter().map(|node| u64::from(self.free.cpus[node as usize])).sum();
        while cpus < wanted {
            let Some(time) = self.future.next_release(self.passed) else { return };
            let (free, nodes) = (&mut self.free, &self.nodes);
            self.passed = self.future.pass_until(time, self.passed, |node, back| {
                free.give(node, back);
                cpus += if nodes.contains(node) { u64::from(back.cpus) } else { 0 };
            });
            self.time = time;
        }
    }

    /// After everything that is planned it fits, or never.
    fn last_resort(mut self, scratch: &mut Vec<Candidate>) -> Option<Found> {
        self.time = self.future.last_end().max(self.time);
        let is_late = self.wanted.before.is_some_and(|before| before <= self.time);
        if is_late || self.wanted.is_licensed.is_some_and(|is_licensed| !is_licensed(self.time)) {
            return None;
        }
        let free = &mut self.free;
        self.future.pass_until(self.time, self.passed, |node, back| free.give(node, back));
        let choices = self.supply().place(self.wanted.ask, scratch)?;
        Some(Found { start: self.time, choices, free: self.free })
    }

    fn supply(&self) -> Supply<'_> {
        supply_at(self.future, &self.free, self.place, self.wanted, self.time)
    }

    /// Takes in what comes free at this very time; whether any node can take more than before.
    fn arrive(&mut self) -> bool {
        let mut touched: Vec<u32> = Vec::new();
        let free = &mut self.free;
        self.passed = self.future.pass_until(self.time, self.passed, |node, back| {
            free.give(node, back);
            touched.push(node);
        });
        self.future.nodes_of_ends(self.time, &mut touched);
        let mut grew = false;
        for node in touched {
            grew |= self.count(node);
        }
        grew
    }

    fn count_all(&mut self) {
        let nodes = self.nodes.clone();
        nodes.iter().for_each(|node| {
            self.count(node);
        });
    }

    /// Counts nodes again whose capacity may have shrunk.
    fn count_planned(&mut self) {
        let mut nodes = self.nodes.clone();
        nodes.intersect(self.future.planned());
        nodes.iter().for_each(|node| {
            self.count(node);
        });
    }

    /// Whether `node` can take more than before.
    fn count(&mut self, node: u32) -> bool {
        if !self.nodes.contains(node) {
            return false;
        }
        let Candidate { tasks, job_units, .. } = self.supply().candidate(self.wanted.ask, node);
        let (before, units_before) = std::mem::replace(&mut self.capacities[node as usize], (tasks, job_units));
        self.tally.change(before, tasks);
        tasks > before || job_units.has_more_than(units_before)
    }
}

/// How many nodes can take how many tasks. Tells when a job cannot fit, whatever nodes are chosen.
#[derive(Debug)]
pub(crate) struct Tally {
    tasks_wanted: u64,
    nodes_min: u64,
    nodes_max: u64,
    /// Nodes by the number of tasks they can take, up to [`Tally::cap`].
    nodes_with: Vec<u32>,
    nodes: u64,
    tasks: u64,
}

/// Nodes that can take more tasks than this are not told apart.
const CAPACITY_MAX: u64 = 1024;

impl Tally {
    pub(crate) fn new(ask: &Ask) -> Tally {
        let tasks_wanted = match ask.spread {
            Spread::Total(tasks) if !ask.overcommit => u64::from(tasks),
            _ => 0,
        };
        Tally {
            tasks_wanted,
            nodes_min: u64::from(ask.nodes_min.max(1)),
            nodes_max: u64::from(ask.nodes_max),
            nodes_with: vec![0; tasks_wanted.min(CAPACITY_MAX) as usize + 2],
            nodes: 0,
            tasks: 0,
        }
    }

    fn cap(&self, tasks: u32) -> usize {
        (tasks as usize).min(self.nodes_with.len() - 1)
    }

    pub(crate) fn change(&mut self, before: u32, after: u32) {
        if before > 0 {
            let at = self.cap(before);
            self.nodes_with[at] -= 1;
            self.nodes -= 1;
            self.tasks -= u64::from(before);
        }
        if after > 0 {
            let at = self.cap(after);
            self.nodes_with[at] += 1;
            self.nodes += 1;
            self.tasks += u64::from(after);
        }
    }

    /// Whether it may fit.
    pub(crate) fn suffices(&self) -> bool {
        if self.nodes < self.nodes_min || self.tasks < self.tasks_wanted {
            return false;
        }
        if self.tasks_wanted == 0 || self.nodes <= self.nodes_max || self.tasks_wanted > CAPACITY_MAX {
            return true;
        }
        // The greatest nodes, as many as it may have, must hold it.
        let (mut nodes_left, mut tasks_left) = (self.nodes_max, self.tasks_wanted);
        for (tasks, nodes) in self.nodes_with.iter().enumerate().rev() {
            let nodes = u64::from(*nodes).min(nodes_left);
            nodes_left -= nodes;
            tasks_left = tasks_left.saturating_sub(nodes * tasks as u64);
            if tasks_left == 0 {
                return true;
            }
            if nodes_left == 0 {
                return false;
            }
        }
        false
    }
}
