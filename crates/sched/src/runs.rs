//! Runs of neighbours that can take part, and the best of them for a job that one run may hold.
//!
//! The order of preference is that of [`choose`](crate::choose); here nothing but the best run is kept, so that a sweep
//! over many nodes writes nothing down.

use crate::choose::{self, Candidate};
use crate::one_run::Need;

/// Neighbours of equal weight that can take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) weight: u32,
    pub(crate) first: u32,
    pub(crate) last: u32,
    /// Tasks that fit on all of them.
    pub(crate) tasks: u64,
    /// Of the nodes that hold the whole job the one with least to spare, and what fits there.
    pub(crate) tightest: Option<(u32, u32)>,
}

impl Run {
    /// Number of nodes.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.last - self.first + 1
    }
}

/// What a sweep has seen so far, node by node or run by run, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Survey {
    /// What a run must have to suffice.
    need: Need,
    /// Tasks that fit on all nodes.
    pub(crate) tasks: u64,
    /// The first run that has ended.
    pub(crate) first: Option<Run>,
    /// The best of those that have ended after it.
    pub(crate) best: Option<Run>,
    /// The run that the next node may continue.
    pub(crate) last: Option<Run>,
}

impl Survey {
    /// Nothing has been seen yet.
    pub(crate) fn new(need: Need) -> Survey {
        Survey { need, tasks: 0, first: None, best: None, last: None }
    }

    /// The next node that can take part.
    #[inline]
    pub(crate) fn add(&mut self, candidate: &Candidate) {
        let Candidate { node, weight, tasks, .. } = *candidate;
        self.tasks += u64::from(tasks);
        let holds_all = self.need.is_met_by_node(tasks);
        match &mut self.last {
            Some(run) if run.last + 1 == node && run.weight == weight => {
                run.last = node;
                run.tasks += u64::from(tasks);
                if holds_all && run.tightest.is_none_or(|(_, least)| tasks < least) {
                    run.tightest = Some((node, tasks));
                }
            }
            _ => {
                let tightest = holds_all.then_some((node, tasks));
                self.begin(Run { weight, first: node, last: node, tasks: u64::from(tasks), tightest });
            }
        }
    }

    /// The next nodes, of which these runs decide, with room for so many tasks in all.
    #[inline]
    pub(crate) fn add_all(&mut self, tasks: u64, runs: impl Iterator<Item = Run>) {
        self.tasks += tasks;
        runs.for_each(|run| self.join(run));
    }

    /// The next run, which the one before may reach up to.
    #[inline]
    fn join(&mut self, next: Run) {
        match &mut self.last {
            Some(run) if run.last + 1 == next.first && run.weight == next.weight => {
                run.last = next.last;
                run.tasks += next.tasks;
                if let Some((node, tasks)) = next.tightest
                    && run.tightest.is_none_or(|(_, least)| tasks < least)
                {
                    run.tightest = Some((node, tasks));
                }
            }
            _ => self.begin(next),
        }
    }

    fn begin(&mut self, next: Run) {
        let Some(ended) = self.last.replace(next) else { return };
        if self.first.is_none() {
            self.first = Some(ended);
        } else {
            self.best = self.better(self.best, Some(ended));
        }
    }

    /// The run to prefer.
    pub(crate) fn best_run(&self) -> Option<Run> {
        self.better(self.better(self.first, self.best), self.last)
    }

    /// The one to prefer; `a` comes before `b` in the order of nodes.
    #[inline]
    fn better(&self, a: Option<Run>, b: Option<Run>) -> Option<Run> {
        let (Some(first), Some(second)) = (a, b) else {
            return a.or(b);
        };
        let rank = |run: &Run| choose::rank(false, run.weight, self.need.is_met_by(run), run.tasks);
        Some(if rank(&second) < rank(&first) { second } else { first })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn run_by_run_is_as_node_by_node(
            nodes in prop::collection::vec((0_u32..4, 0_u32..2), 1..60), cuts in prop::collection::vec(0_u32..60, 0..6), tasks in 1_u64..9,
            nodes_needed in 1_u32..4,
        ) {
            let candidates: Vec<Candidate> = (0..)
                .zip(&nodes)
                .filter(|(_, (tasks, _))| *tasks > 0)
                .map(|(node, (tasks, weight))| Candidate { node, weight: *weight, tasks: *tasks, job_units: crate::job_units::JobUnits::NONE })
                .collect();
            let need = Need { tasks, nodes: nodes_needed };
            let mut whole = Survey::new(need);
            candidates.iter().for_each(|candidate| whole.add(candidate));
            // The same nodes in blocks, of each of which only three runs are known.
            let mut joined = Survey::new(need);
            let mut bounds = cuts;
            bounds.extend([0, 60]);
            bounds.sort_unstable();
            for ends in bounds.windows(2) {
                let mut block = Survey::new(need);
                candidates.iter().filter(|node| (ends[0]..ends[1]).contains(&node.node)).for_each(|node| block.add(node));
                joined.add_all(block.tasks, [block.first, block.best, block.last].into_iter().flatten());
            }
            prop_assert_eq!(whole.best_run(), joined.best_run());
            prop_assert_eq!(whole.tasks, joined.tasks);
        }
    }
}
