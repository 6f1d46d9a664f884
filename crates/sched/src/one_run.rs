//! Jobs that may find all they need in one run of neighbours: what they want of it, and which of its nodes they get.
//!
//! Nothing but the best run has to be known of a cluster then, and of that its first nodes. The outcome is that of
//! [`choose`](crate::choose) over all candidates.

use crate::ask::{Ask, NodeOrder, Spread};
use crate::choose::{self, Candidate, Choice};
use crate::job_units::JobUnits;
use crate::runs::Run;

/// Nodes beyond those wanted that are looked at first; where they do not do, [`CANDIDATES_FACTOR`] times as many.
const CANDIDATES_SPARE: u32 = 8;
const CANDIDATES_FACTOR: u32 = 8;

/// Whether nothing but the run that it lies in decides which nodes a job gets, if one suffices.
pub(crate) fn may_decide(ask: &Ask) -> bool {
    ask.required.is_empty()
        && ask.counted.is_empty()
        && !ask.contiguous
        && ask.order == NodeOrder::Usual
        && !ask.is_spread
        && ask.gres.iter().all(|need| need.job_line.is_none())
}

/// What a run must have to suffice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) tasks: u64,
    pub(crate) nodes: u32,
}

impl Need {
    /// What `ask` needs where there are as many nodes as it wants.
    pub(crate) fn of(ask: &Ask) -> Need {
        let wanted = nodes_wanted(ask);
        let tasks = match ask.spread {
            Spread::Total(tasks) => u64::from(tasks),
            Spread::PerNode(tasks) => u64::from(tasks) * u64::from(wanted),
        };
        Need { tasks, nodes: ask.nodes_min.min(wanted) }
    }

    /// Tasks without which it fits nowhere, wherever they are.
    pub(crate) fn tasks_least(ask: &Ask) -> u64 {
        match ask.spread {
            Spread::Total(tasks) => u64::from(tasks),
            Spread::PerNode(tasks) => u64::from(tasks) * u64::from(ask.nodes_min.max(1)),
        }
    }

    /// Whether `run` suffices.
    #[inline]
    pub(crate) fn is_met_by(&self, run: &Run) -> bool {
        run.tasks >= self.tasks && run.len() >= self.nodes
    }

    /// Whether one node with room for `tasks` suffices.
    #[inline]
    pub(crate) fn is_met_by_node(&self, tasks: u32) -> bool {
        u64::from(tasks) >= self.tasks && self.nodes <= 1
    }
}

fn nodes_wanted(ask: &Ask) -> u32 {
    ask.nodes_wanted.min(ask.nodes_max).max(1)
}

/// Nodes for a job out of the run that a sweep found to come first. `None` where that run does not decide.
pub(crate) fn within(ask: &Ask, run: &Run, candidate: impl Fn(u32) -> Candidate) -> Option<Vec<Choice>> {
    if nodes_wanted(ask) > 1 { on_several(ask, run, candidate) } else { on_few(ask, run, candidate) }
}

/// One node of it, else from the first of the run upward.
fn on_few(ask: &Ask, run: &Run, candidate: impl Fn(u32) -> Candidate) -> Option<Vec<Choice>> {
    let mut left = choose::tasks_of_one(ask);
    if let Some((node, _)) = run.tightest {
        return Some(vec![Choice { node, tasks: left, job_units: JobUnits::NONE }]);
    }
    if run.tasks < u64::from(left) || ask.nodes_min > 1 {
        return None;
    }
    let mut choices = Vec::new();
    for node in (run.first..=run.last).take(ask.nodes_max as usize) {
        let here = candidate(node).tasks.min(left);
        choices.push(Choice { node, tasks: here, job_units: JobUnits::NONE });
        left -= here;
        if left == 0 {
            return Some(choices);
        }
    }
    None
}

/// As many as are wanted, from the first of the run upward.
fn on_several(ask: &Ask, run: &Run, candidate: impl Fn(u32) -> Candidate) -> Option<Vec<Choice>> {
    let wanted = nodes_wanted(ask);
    // Where fewer nodes are there than wanted, others may have been the better run.
    if run.len() < wanted || !Need::of(ask).is_met_by(run) {
        return None;
    }
    let mut count = wanted.saturating_add(CANDIDATES_SPARE);
    loop {
        let candidates: Vec<Candidate> = (run.first..=run.last).take(count as usize).map(&candidate).collect();
        let choices = choose::from_start_of_run(ask, &candidates);
        if choices.is_some() || count >= run.len() {
            return choices;
        }
        count = count.saturating_mul(CANDIDATES_FACTOR);
    }
}

#[cfg(test)]
mod tests {
    use muster_model::config::ClusterConfig;
    use muster_model::resources::ResourceRequest;
    use muster_testkit::builders;
    use proptest::prelude::*;

    use super::*;
    use crate::fleet::Fleet;
    use crate::runs::Survey;

    fn some_ask() -> Ask {
        let nodes = vec![builders::node(builders::node_config("n", 1))];
        let view = builders::view(ClusterConfig::default(), nodes, vec![builders::partition("all", 0..1)]);
        let fleet = Fleet::build(&view);
        let reading = crate::ask::read(&fleet, (0, Default::default()), &ResourceRequest::default());
        reading.expect("a plain request").ask
    }

    proptest! {
        #[test]
        fn the_best_run_decides_as_all_candidates_do(
            stretches in prop::collection::vec((0_u32..5, 0_u32..2, 1_usize..7), 1..20), tasks in 1_u32..30, is_per_node in any::<bool>(),
            (least, more, most) in (1_u32..6, 0_u32..4, 0_u32..4),
        ) {
            let mut ask = some_ask();
            ask.spread = if is_per_node { Spread::PerNode(1 + tasks % 3) } else { Spread::Total(tasks.max(least)) };
            (ask.nodes_min, ask.nodes_wanted, ask.nodes_max) = (least, least + more, least + more + most);
            let nodes = stretches.iter().flat_map(|(tasks, weight, length)| std::iter::repeat_n((*tasks, *weight), *length));
            let room = |tasks: u32| match ask.spread {
                Spread::PerNode(wanted) if tasks < wanted => 0,
                _ => tasks,
            };
            let all: Vec<Candidate> = (0..)
                .zip(nodes)
                .map(|(node, (tasks, weight))| Candidate { node, weight, tasks: room(tasks), job_units: JobUnits::NONE })
                .collect();
            let candidates: Vec<Candidate> = all.iter().filter(|candidate| candidate.tasks > 0).copied().collect();
            let mut survey = Survey::new(Need::of(&ask));
            candidates.iter().for_each(|candidate| survey.add(candidate));
            let whole = choose::choose(&ask, &candidates);
            if survey.tasks < Need::tasks_least(&ask) {
                prop_assert_eq!(&whole, &None);
            }
            let found = survey.best_run().and_then(|run| within(&ask, &run, |node| all[node as usize]));
            if found.is_some() {
                prop_assert_eq!(found, whole);
            }
        }
    }
}
