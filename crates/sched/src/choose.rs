//! Which nodes a job gets, given how much of it fits on each.
//!
//! The order of preference is Slurm's (select/cons_tres without topology), as observed with 22.05. Nodes that can
//! take part form runs: neighbours of equal weight. Once required nodes are taken, lower weights come first, then runs with
//! required nodes, then the tightest run that suffices, else the greatest. Within a run a job that fits on one node takes the one with least
//! to spare; otherwise nodes are filled from the lowest index up, but the last that there may be is one that holds all that is left.
//!
//! A node is taken for all tasks that are left and fit on it, but leaves one for each node that the job needs at the least, and is taken for
//! one task where none is left. Where that makes more than there are tasks (`-N1-3` takes three nodes), these are dealt out one by one, round
//! the nodes, to those that have room: 12 free CPUs on each of three nodes hold 16 tasks as 11, 4 and 1.

use crate::ask::{Ask, NodeOrder, Spread};
use crate::complete;
use crate::job_units::{self, JobUnits, Total};

/// A node that can take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) node: u32,
    pub(crate) weight: u32,
    /// Tasks that fit, at least 1.
    pub(crate) tasks: u32,
    /// Units, counted over the whole job, that it could give.
    pub(crate) job_units: JobUnits,
}

/// A node that takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) node: u32,
    pub(crate) tasks: u32,
    pub(crate) job_units: JobUnits,
}

/// Tasks that a node must take to hold the job alone.
pub(crate) fn tasks_of_one(ask: &Ask) -> u32 {
    match ask.spread {
        Spread::Total(tasks) | Spread::PerNode(tasks) => tasks,
    }
}

/// Order of preference between runs, smallest first.
pub(crate) fn rank(has_required: bool, weight: u32, suffices: bool, tasks: u64) -> (u32, bool, bool, u64) {
    (weight, !has_required, !suffices, if suffices { tasks } else { u64::MAX - tasks })
}

/// Nodes for `ask` out of `candidates`, which are ascending; `None` when they do not suffice.
pub(crate) fn choose(ask: &Ask, candidates: &[Candidate]) -> Option<Vec<Choice>> {
    let mut choices = in_usual_order(ask, candidates).or_else(|| in_any_order(ask, candidates))?;
    choices.sort_unstable_by_key(|choice| choice.node);
    Some(choices)
}

/// Nodes for `ask` out of `candidates`, which are neighbours of one weight, the first of a run that is known to suffice and to come first;
/// `None` where they do not, whatever the rest of the run may do.
pub(crate) fn from_start_of_run(ask: &Ask, candidates: &[Candidate]) -> Option<Vec<Choice>> {
    let mut filling = Filling::new(ask, candidates, &[])?;
    let run = filling.runs.pop()?;
    filling.use_run(&run);
    let is_done = filling.is_done();
    let mut choices = filling.finish().filter(|_| is_done)?;
    choices.sort_unstable_by_key(|choice| choice.node);
    Some(choices)
}

fn in_usual_order(ask: &Ask, candidates: &[Candidate]) -> Option<Vec<Choice>> {
    let required = required(ask, candidates)?;
    if ask.contiguous {
        return choose_contiguous(ask, candidates, &required);
    }
    let mut filling = Filling::new(ask, candidates, &required)?;
    match ask.order {
        NodeOrder::Usual if ask.is_spread => filling.spread(),
        NodeOrder::Usual => filling.run_by_run(),
        NodeOrder::LeastLoaded => filling.most_room_first(),
        NodeOrder::FromEnd => (0..candidates.len()).rev().for_each(|position| filling.take_unless_done(position)),
    }
    filling.finish().or_else(|| choose_largest(ask, candidates, &required))
}

/// What the usual order has missed. Where only tasks and a number of nodes are wanted it misses nothing.
fn in_any_order(ask: &Ask, candidates: &[Candidate]) -> Option<Vec<Choice>> {
    if Total::wanted(ask).is_none() && ask.counted.is_empty() {
        return None;
    }
    let positions: Vec<usize> = if ask.contiguous {
        complete::neighbours(ask, candidates)?.collect()
    } else {
        complete::positions(ask, candidates)?
    };
    let chosen: Vec<Candidate> = positions.into_iter().map(|position| candidates[position]).collect();
    let nodes: Vec<u32> = chosen.iter().map(|candidate| candidate.node).collect();
    Filling::new(ask, &chosen, &nodes)?.finish()
}

/// Nodes that must be part of it: those that are named, and enough of each counted set; ascending.
pub(crate) fn required(ask: &Ask, candidates: &[Candidate]) -> Option<Vec<u32>> {
    let mut required: Vec<u32> = ask.required.clone();
    pick_counted(ask, candidates, &mut required)?;
    required.sort_unstable();
    Some(required)
}

/// Adds nodes of each counted set to `required` until it has enough of them.
fn pick_counted(ask: &Ask, candidates: &[Candidate], required: &mut Vec<u32>) -> Option<()> {
    let mut taken: Vec<u32> = Vec::new();
    for (set, count) in &ask.counted {
        // Nodes that the user named serve a set too; each node serves one.
        let mut missing = *count;
        let mut serve = |node: u32| {
            let serves = missing > 0 && set.contains(node) && !taken.contains(&node);
            if serves {
                taken.push(node);
                missing -= 1;
            }
            serves
        };
        required.iter().for_each(|node| {
            serve(*node);
        });
        let mut by_weight: Vec<&Candidate> = candidates.iter().filter(|c| !required.contains(&c.node)).collect();
        by_weight.sort_by_key(|candidate| (candidate.weight, candidate.node));
        let chosen: Vec<u32> = by_weight.iter().map(|c| c.node).filter(|node| serve(*node)).collect();
        required.extend(chosen);
        if missing > 0 {
            return None;
        }
    }
    Some(())
}

/// A run of neighbouring candidates of equal weight: positions `start..end`.
struct Run {
    start: usize,
    end: usize,
    weight: u32,
    tasks: u64,
    job_units: Total,
    /// Position of the first required node.
    required_at: Option<usize>,
}

fn runs(candidates: &[Candidate], required: &[u32], by_weight: bool) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (position, candidate) in candidates.iter().enumerate() {
        let continues = position > 0 && {
            let before = &candidates[position - 1];
            before.node + 1 == candidate.node && (!by_weight || before.weight == candidate.weight)
        };
        if !continues {
            runs.push(Run {
                start: position,
                end: position,
                weight: candidate.weight,
                tasks: 0,
                job_units: Total::default(),
                required_at: None,
            });
        }
        if let Some(run) = runs.last_mut() {
            run.end = position + 1;
            run.tasks += u64::from(candidate.tasks);
            run.job_units.add(candidate.job_units);
            if run.required_at.is_none() && required.binary_search(&candidate.node).is_ok() {
                run.required_at = Some(position);
            }
        }
    }
    runs
}

/// Nodes being taken one after the other.
pub(crate) struct Filling<'a> {
    ask: &'a Ask,
    candidates: &'a [Candidate],
    runs: Vec<Run>,
    taken: Vec<bool>,
    choices: Vec<Choice>,
    tasks_left: u64,
    units_left: Total,
    /// Nodes for which something is left over.
    nodes_least: u32,
    nodes_wanted: u32,
}

impl<'a> Filling<'a> {
    /// Begins with the required nodes; `None` when one of them cannot take part.
    pub(crate) fn new(ask: &'a Ask, candidates: &'a [Candidate], required: &[u32]) -> Option<Filling<'a>> {
        let units_left = Total::wanted(ask);
        let nodes_for_units = if units_left.is_none() {
            0
        } else {
            units_left.nodes(job_units::most(candidates.iter().map(|candidate| candidate.job_units)))
        };
        // Nothing is left over for nodes that are not there.
        let there = candidates.len() as u32;
        let wanted = ask.nodes_wanted.max(nodes_for_units).max(required.len() as u32);
        let nodes_wanted = wanted.min(ask.nodes_max).min(there);
        let least = ask.nodes_min.max(nodes_for_units).max(required.len() as u32);
        let mut filling = Filling {
            ask,
            candidates,
            runs: runs(candidates, required, true),
            taken: vec![false; candidates.len()],
            choices: Vec::new(),
            tasks_left: match ask.spread {
                Spread::Total(tasks) => u64::from(tasks),
                Spread::PerNode(tasks) => u64::from(tasks) * u64::from(nodes_wanted),
            },
            units_left,
            nodes_least: least.min(nodes_wanted),
            nodes_wanted,
        };
        for node in required {
            let position = candidates.binary_search_by_key(node, |candidate| candidate.node).ok()?;
            filling.take(position);
        }
        Some(filling)
    }

    /// Another number of nodes than the request wants; to be called before anything else is taken.
    pub(crate) fn want_nodes(&mut self, nodes: u32) {
        let there = self.candidates.len() as u32;
        self.nodes_wanted = nodes.max(self.choices.len() as u32).min(self.ask.nodes_max).min(there);
        if let Spread::PerNode(tasks) = self.ask.spread {
            let taken = self.choices.len() as u64 * u64::from(tasks);
            self.tasks_left = (u64::from(tasks) * u64::from(self.nodes_wanted)).saturating_sub(taken);
        }
    }

    fn nodes_left(&self) -> u32 {
        self.nodes_wanted.saturating_sub(self.choices.len() as u32)
    }

    pub(crate) fn has_room(&self) -> bool {
        (self.choices.len() as u32) < self.ask.nodes_max
    }

    pub(crate) fn is_done(&self) -> bool {
        self.nodes_left() == 0 && self.tasks_left == 0 && self.units_left.is_none()
    }

    fn take(&mut self, position: usize) {
        // Each node gives one of the units that are counted over the job, of the line that wants most.
        let is_of_no_use = Total::wanted(self.ask).main_line().is_some_and(|line| self.units_left.get(line) == 0);
        if self.taken[position] || !self.has_room() || is_of_no_use {
            return;
        }
        self.taken[position] = true;
        let candidate = self.candidates[position];
        let for_others = self.nodes_least.saturating_sub(self.choices.len() as u32 + 1);
        let tasks = match self.ask.spread {
            Spread::Total(_) => {
                let here = self.tasks_left.saturating_sub(u64::from(for_others)).max(1);
                u32::try_from(here).unwrap_or(u32::MAX).min(candidate.tasks)
            }
            Spread::PerNode(tasks) => tasks,
        };
        self.tasks_left = self.tasks_left.saturating_sub(u64::from(tasks));
        let job_units = self.units_left.take(candidate.job_units, for_others);
        self.choices.push(Choice { node: candidate.node, tasks, job_units });
    }

    fn suffices(&self, run: &Run) -> bool {
        // Up to the wanted number of nodes may be missing as long as the least number is there.
        let nodes_spare = self.nodes_wanted.saturating_sub(self.ask.nodes_min);
        let nodes_needed = self.nodes_left().saturating_sub(nodes_spare) as usize;
        let free = (run.start..run.end).filter(|position| !self.taken[*position]).count();
        run.tasks >= self.tasks_left && run.job_units.covers(&self.units_left) && free >= nodes_needed
    }

    /// As many nodes as may be, each with one task at the least.
    fn spread(&mut self) {
        let tasks = match self.ask.spread {
            Spread::Total(tasks) => tasks,
            Spread::PerNode(_) => u32::MAX,
        };
        let most = (self.candidates.len() as u32).min(tasks).min(self.ask.nodes_max);
        self.nodes_wanted = self.nodes_wanted.max(most);
        let mut order: Vec<usize> = (0..self.candidates.len()).collect();
        order.sort_by_key(|position| (self.candidates[*position].weight, *position));
        order.into_iter().for_each(|position| self.take_unless_done(position));
    }

    /// Nodes with most room first (`LLN`, `CR_LLN`).
    fn most_room_first(&mut self) {
        let mut order: Vec<usize> = (0..self.candidates.len()).collect();
        order.sort_by_key(|position| {
            let candidate = &self.candidates[*position];
            (candidate.weight, std::cmp::Reverse(candidate.tasks), *position)
        });
        order.into_iter().for_each(|position| self.take_unless_done(position));
    }

    fn run_by_run(&mut self) {
        while !self.is_done() && self.has_room() {
            let best = (0..self.runs.len()).min_by_key(|index| {
                let run = &self.runs[*index];
                (rank(run.required_at.is_some(), run.weight, self.suffices(run), run.tasks), run.start)
            });
            let Some(best) = best else { return };
            let run = self.runs.swap_remove(best);
            self.use_run(&run);
        }
    }

    fn use_run(&mut self, run: &Run) {
        if let Some(first) = run.required_at {
            let upward = first..run.end;
            let downward = (run.start..first).rev();
            upward.chain(downward).for_each(|position| self.take_unless_done(position));
            return;
        }
        if self.nodes_left() <= 1
            && let Some(position) = self.tightest_node(run)
        {
            self.take(position);
            return;
        }
        for position in run.start..run.end {
            // The last node that there may be is one that holds all that is left, of this run or of another.
            let is_last = self.choices.len() as u32 + 1 == self.ask.nodes_max;
            if !is_last || self.holds_the_rest(position) {
                self.take_unless_done(position);
            }
        }
    }

    pub(crate) fn take_unless_done(&mut self, position: usize) {
        if !self.is_done() {
            self.take(position);
        }
    }

    /// The node of `run` with least to spare among those that hold all that is left.
    fn tightest_node(&self, run: &Run) -> Option<usize> {
        (run.start..run.end)
            .filter(|position| self.holds_the_rest(*position))
            .min_by_key(|position| (self.candidates[*position].tasks, *position))
    }

    /// Whether one node holds all that is left.
    fn holds_the_rest(&self, position: usize) -> bool {
        let candidate = &self.candidates[position];
        u64::from(candidate.tasks) >= self.tasks_left && self.is_enough(candidate.job_units)
    }

    /// Whether one node has all units that are left.
    fn is_enough(&self, units: JobUnits) -> bool {
        let mut own = Total::default();
        own.add(units);
        own.covers(&self.units_left)
    }

    pub(crate) fn finish(mut self) -> Option<Vec<Choice>> {
        if let Spread::Total(tasks) = self.ask.spread {
            deal(tasks, &mut self.choices);
        }
        let has_tasks = self.tasks_left == 0 || matches!(self.ask.spread, Spread::PerNode(_));
        let has_nodes = self.choices.len() as u32 >= self.ask.nodes_min;
        (has_tasks && has_nodes && self.units_left.is_none()).then_some(self.choices)
    }
}

/// Deals `tasks` out over nodes that were taken for more: one by one, round the nodes in their order, to those that have room. Each keeps one.
fn deal(tasks: u32, choices: &mut [Choice]) {
    let up_to = |level: u32| choices.iter().map(|choice| u64::from(choice.tasks.min(level))).sum::<u64>();
    let most = choices.iter().map(|choice| choice.tasks).max().unwrap_or(0);
    if up_to(most) <= u64::from(tasks) {
        return;
    }
    // Rounds that all who have room for them get in full.
    let (mut rounds, mut too_many) = (1, most);
    while rounds + 1 < too_many {
        let middle = rounds.midpoint(too_many);
        if up_to(middle) <= u64::from(tasks) { rounds = middle } else { too_many = middle }
    }
    let mut left = u64::from(tasks).saturating_sub(up_to(rounds));
    choices.sort_unstable_by_key(|choice| choice.node);
    for choice in choices.iter_mut().filter(|choice| choice.tasks > rounds) {
        let one_more = left.min(1);
        left -= one_more;
        choice.tasks = rounds + one_more as u32;
    }
}

/// The nodes with most room: finds a choice within the greatest number of nodes where filling in order did not.
fn choose_largest(ask: &Ask, candidates: &[Candidate], required: &[u32]) -> Option<Vec<Choice>> {
    if candidates.len() <= ask.nodes_max as usize {
        return None;
    }
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by_key(|position| {
        let candidate = &candidates[*position];
        let is_required = required.binary_search(&candidate.node).is_ok();
        let size = (std::cmp::Reverse(candidate.job_units.total()), std::cmp::Reverse(candidate.tasks));
        (!is_required, size, candidate.weight, *position)
    });
    order.truncate(ask.nodes_max as usize);
    order.sort_unstable();
    let largest: Vec<Candidate> = order.into_iter().map(|position| candidates[position]).collect();
    let mut filling = Filling::new(ask, &largest, required)?;
    (0..largest.len()).for_each(|position| filling.take_unless_done(position));
    filling.finish()
}

/// One run of neighbours, whatever their weights: the tightest that suffices.
fn choose_contiguous(ask: &Ask, candidates: &[Candidate], required: &[u32]) -> Option<Vec<Choice>> {
    let mut runs = runs(candidates, required, false);
    runs.sort_by_key(|run| (run.weight, run.tasks, run.start));
    runs.iter().find_map(|run| {
        let members = &candidates[run.start..run.end];
        let at = |node: &u32| members.binary_search_by_key(node, |candidate| candidate.node).ok();
        match (required.first(), required.last()) {
            (Some(first), Some(last)) => {
                let (first, last) = (at(first)?, at(last)?);
                // From the first required node upward; where that does not suffice, from further down.
                (0..=first).rev().find_map(|start| fill_window(ask, &members[start..], last - start + 1))
            }
            _ => (0..members.len()).find_map(|start| fill_window(ask, &members[start..], 0)),
        }
    })
}

/// Takes the first nodes of `window`, at least the first `forced`.
fn fill_window(ask: &Ask, window: &[Candidate], forced: usize) -> Option<Vec<Choice>> {
    let mut filling = Filling::new(ask, window, &[])?;
    filling.nodes_wanted = filling.nodes_wanted.max(forced as u32);
    (0..forced).for_each(|position| filling.take(position));
    (forced..window.len()).for_each(|position| filling.take_unless_done(position));
    if filling.choices.len() < forced { None } else { filling.finish() }
}
