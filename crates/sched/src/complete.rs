//! A choice of nodes where taking them in the usual order finds none.
//!
//! The usual order is Slurm's, and takes what looks best node by node. With conditions on several things at once (units
//! counted over the job, nodes with certain features, neighbours) it can end without a choice although there is one, and what
//! is worse, can find one among fewer nodes that it does not find among more. Planned starts rest on the opposite: what fits
//! fits all the more when more comes free. So where the usual order fails, this search has the last word.
//!
//! It takes the nodes with most room first and goes back where that leads nowhere. What the rest could give at best bounds it,
//! so that it ends at once where there is too little; a number of steps bounds it where the answer is hard to find.

use crate::ask::{Ask, Spread};
use crate::choose::Candidate;
use crate::job_units::{LINES_MAX, Total};
use crate::nodeset::NodeSet;

/// Most nodes that are tried to be part of it. Queues of real jobs need about as many as the job has nodes.
const STEPS_MAX: u32 = 5_000;

/// Positions of candidates that satisfy `ask`, ascending; `None` when there are none. `ask.required` must be among them.
pub(crate) fn positions(ask: &Ask, candidates: &[Candidate]) -> Option<Vec<usize>> {
    let goal = Goal::of(ask)?;
    let mut forced: Vec<usize> = Vec::new();
    for node in &ask.required {
        forced.push(candidates.binary_search_by_key(node, |candidate| candidate.node).ok()?);
    }
    let mut order: Vec<usize> = (0..candidates.len()).filter(|position| !forced.contains(position)).collect();
    order.sort_by_key(|position| {
        let candidate = &candidates[*position];
        let size = (std::cmp::Reverse(candidate.job_units.total()), std::cmp::Reverse(candidate.tasks));
        (size, candidate.weight, *position)
    });
    let mut search =
        Search { bounds: Bounds::of(&goal, candidates, &order), goal, candidates, order, chosen: forced, steps: 0 };
    if search.go(0) {
        search.chosen.sort_unstable();
        return Some(search.chosen);
    }
    None
}

/// Positions of neighbours that satisfy `ask`: of the first run that has any the lowest ones, and no more of them than needed.
pub(crate) fn neighbours(ask: &Ask, candidates: &[Candidate]) -> Option<std::ops::Range<usize>> {
    let goal = Goal::of(ask)?;
    let is_next = |position: usize| candidates[position].node == candidates[position - 1].node + 1;
    (0..candidates.len()).find_map(|start| {
        let mut room = Room::default();
        for end in start..candidates.len() {
            if end > start && !is_next(end) || room.nodes >= goal.nodes_max {
                return None;
            }
            room.add(&candidates[end]);
            if !goal.is_met_by(room) {
                continue;
            }
            let nodes: Vec<u32> = candidates[start..=end].iter().map(|candidate| candidate.node).collect();
            if ask.required.iter().all(|node| nodes.binary_search(node).is_ok()) && goal.missing(&nodes) == 0 {
                return Some(start..end + 1);
            }
        }
        None
    })
}

/// What some nodes have room for.
#[derive(Debug, Clone, Copy, Default)]
struct Room {
    nodes: u32,
    tasks: u64,
    units: Total,
}

impl Room {
    fn add(&mut self, candidate: &Candidate) {
        self.nodes += 1;
        self.tasks += u64::from(candidate.tasks);
        self.units.add(candidate.job_units);
    }
}

/// What is to be reached.
struct Goal<'a> {
    nodes_min: u32,
    nodes_max: u32,
    tasks: u64,
    units: Total,
    counted: &'a [(NodeSet, u32)],
}

impl<'a> Goal<'a> {
    /// `None` where nothing satisfies `ask`.
    fn of(ask: &'a Ask) -> Option<Goal<'a>> {
        let units = Total::wanted(ask);
        let tasks = match ask.spread {
            Spread::Total(tasks) => u64::from(tasks),
            Spread::PerNode(_) => 0,
        };
        // Each node gives one unit at least, of the line that wants most.
        let nodes_max = match units.main_line() {
            Some(line) => ask.nodes_max.min(u32::try_from(units.get(line)).unwrap_or(u32::MAX)),
            None => ask.nodes_max,
        };
        let goal = Goal { nodes_min: ask.nodes_min.max(1), nodes_max, tasks, units, counted: &ask.counted };
        (goal.nodes_min <= goal.nodes_max).then_some(goal)
    }

    fn is_met_by(&self, room: Room) -> bool {
        room.nodes >= self.nodes_min && room.tasks >= self.tasks && room.units.covers(&self.units)
    }

    /// How many nodes `nodes` lack to have so many of each counted set, where each serves one set.
    fn missing(&self, nodes: &[u32]) -> u32 {
        let places: Vec<&NodeSet> =
            self.counted.iter().flat_map(|(set, count)| std::iter::repeat_n(set, *count as usize)).collect();
        let mut by_place: Vec<Option<usize>> = vec![None; places.len()];
        let mut served = 0;
        for at in 0..nodes.len() {
            served += u32::from(serve(at, nodes, &places, &mut by_place, &mut vec![false; places.len()]));
        }
        places.len() as u32 - served
    }
}

/// Finds a place for a node, moving others to other places where that helps.
fn serve(at: usize, nodes: &[u32], places: &[&NodeSet], by_place: &mut [Option<usize>], is_seen: &mut [bool]) -> bool {
    for place in 0..places.len() {
        if is_seen[place] || !places[place].contains(nodes[at]) {
            continue;
        }
        is_seen[place] = true;
        let is_vacant = match by_place[place] {
            None => true,
            Some(other) => serve(other, nodes, places, by_place, is_seen),
        };
        if is_vacant {
            by_place[place] = Some(at);
            return true;
        }
    }
    false
}

/// What the best of the nodes from a place in the order on have room for.
struct Bounds {
    /// Tasks, greatest first, with the place in the order.
    tasks: Vec<(u32, usize)>,
    /// The same of each line of units that is asked for.
    units: Vec<(usize, Vec<(u32, usize)>)>,
}

impl Bounds {
    fn of(goal: &Goal<'_>, candidates: &[Candidate], order: &[usize]) -> Bounds {
        let sorted = |value: &dyn Fn(&Candidate) -> u32| {
            let places = order.iter().enumerate();
            let mut all: Vec<(u32, usize)> = places.map(|(at, position)| (value(&candidates[*position]), at)).collect();
            all.sort_unstable_by(|a, b| b.cmp(a));
            all
        };
        let lines = (0..LINES_MAX).filter(|line| goal.units.get(*line) > 0);
        let units = lines.map(|line| (line, sorted(&|candidate| candidate.job_units.get(line)))).collect();
        Bounds { tasks: sorted(&|candidate| candidate.tasks), units }
    }

    /// Whether `count` nodes from place `from` on could have what is lacking.
    fn may_give(&self, from: usize, count: u32, tasks_lacking: u64, units_lacking: Total) -> bool {
        let suffices = |values: &[(u32, usize)], lacking: u64| {
            let mut left = lacking;
            let behind = values.iter().filter(|(_, at)| *at >= from).take(count as usize);
            lacking == 0
                || behind.into_iter().any(|(value, _)| {
                    left = left.saturating_sub(u64::from(*value));
                    left == 0
                })
        };
        suffices(&self.tasks, tasks_lacking)
            && self.units.iter().all(|(line, values)| suffices(values, units_lacking.get(*line)))
    }
}

struct Search<'a> {
    goal: Goal<'a>,
    candidates: &'a [Candidate],
    /// Positions of those that need not be part of it.
    order: Vec<usize>,
    bounds: Bounds,
    chosen: Vec<usize>,
    steps: u32,
}

impl Search<'_> {
    /// Whether nodes from place `from` in the order on, beside those that are chosen, satisfy the request: adds them.
    fn go(&mut self, from: usize) -> bool {
        let mut room = Room::default();
        self.chosen.iter().for_each(|position| room.add(&self.candidates[*position]));
        let nodes: Vec<u32> = self.chosen.iter().map(|position| self.candidates[*position].node).collect();
        let missing = self.goal.missing(&nodes);
        if room.nodes > self.goal.nodes_max {
            return false;
        }
        if self.goal.is_met_by(room) && missing == 0 {
            return true;
        }
        let open = self.goal.nodes_max - room.nodes;
        let (tasks, units) = (self.goal.tasks.saturating_sub(room.tasks), self.goal.units.less(room.units));
        for at in from..self.order.len() {
            let left = (self.order.len() - at) as u32;
            let too_few = self.goal.nodes_min.saturating_sub(room.nodes) > left;
            if open == 0 || missing > open || too_few || !self.bounds.may_give(at, open, tasks, units) {
                return false;
            }
            self.steps += 1;
            if self.steps > STEPS_MAX {
                return false;
            }
            self.chosen.push(self.order[at]);
            if self.go(at + 1) {
                return true;
            }
            self.chosen.pop();
        }
        false
    }
}
