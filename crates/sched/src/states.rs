//! Nodes in the same state: of equal hardware, with the same free on them.
//!
//! A sweep over a large cluster asks of each node how much of a job fits there. That depends on the state of the node only,
//! and there are far fewer states than nodes, so each request learns it once for each state; the rest of the sweep looks
//! it up. What depends on more than that (planned starts, reservations of a part, company, single cores) is worked out
//! node by node as before.

use std::cell::Cell;
use std::collections::BTreeMap;
// tidy: only looked up, never iterated
use std::collections::HashMap;

use crate::fleet::Fleet;
use crate::free::Free;
use crate::hash::FixedState;
use crate::job_units::JobUnits;
use crate::planner::AskId;

/// Most states that are told apart; with more of them, hardly two nodes are alike, and looking up gains nothing.
const STATES_MAX: usize = 16_384;
/// Most answers that are kept, 8 bytes each; beyond it all are forgotten and learned anew.
const ANSWERS_MAX: usize = 4_000_000;
/// Stands for what has not been asked yet.
const UNKNOWN: u64 = u64::MAX;

/// The states of all nodes, and what is known of them.
#[derive(Debug)]
pub(crate) struct States {
    /// Number of its hardware by node, as far as it decides how much of a job fits.
    kinds: Vec<u32>,
    of_node: Vec<u32>,
    numbers: HashMap<Box<[u64]>, u32, FixedState>, // tidy: only looked up
    /// By ask and state.
    answers: Vec<Vec<Cell<u64>>>,
    answer_count: usize,
    /// There are too many states.
    is_off: bool,
    key: Vec<u64>,
}

/// What one request knows of states.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    of_node: &'a [u32],
    answers: &'a [Cell<u64>],
}

impl Known<'_> {
    /// Tasks and units for `node`, worked out by `ask` where they are not known.
    #[inline]
    pub(crate) fn get(&self, node: u32, ask: impl Fn() -> (u32, JobUnits)) -> (u32, JobUnits) {
        let answer = &self.answers[self.of_node[node as usize] as usize];
        let known = answer.get();
        if known != UNKNOWN {
            let (tasks, units) = ((known >> 32) as u32, JobUnits::unpacked(known as u32));
            debug_assert_eq!((tasks, units), ask(), "node {node} is not in the state it is thought to be in");
            return (tasks, units);
        }
        let (tasks, units) = ask();
        answer.set(u64::from(tasks) << 32 | u64::from(units.packed()));
        (tasks, units)
    }
}

impl States {
    /// No node is in any known state yet: [`States::follow`] has to be told of all of them.
    pub(crate) fn of(fleet: &Fleet) -> States {
        let mut known = BTreeMap::new();
        let kind = |node: usize| {
            let hardware = [fleet.cpus[node], fleet.cpus_per_core[node], fleet.threads[node], fleet.sockets[node]];
            let next = known.len() as u32;
            *known.entry((hardware, fleet.memory[node])).or_insert(next)
        };
        States {
            kinds: (0..fleet.node_count()).map(kind).collect(),
            of_node: vec![0; fleet.node_count()],
            numbers: HashMap::default(), // tidy: only looked up
            answers: Vec::new(),
            answer_count: 0,
            is_off: false,
            key: Vec::new(),
        }
    }

    /// Something else may be free on `nodes` than before.
    pub(crate) fn follow(&mut self, free: &Free, nodes: &[u32]) {
        if nodes.len() == self.of_node.len() {
            self.is_off = false;
        }
        if self.is_off {
            return;
        }
        nodes.iter().for_each(|node| self.read(free, *node));
        if self.numbers.len() > STATES_MAX {
            self.forget();
            (0..self.of_node.len() as u32).for_each(|node| self.read(free, node));
            self.is_off = self.numbers.len() > STATES_MAX / 2;
        }
    }

    fn read(&mut self, free: &Free, node: u32) {
        let index = node as usize;
        self.key.clear();
        self.key.extend([u64::from(self.kinds[index]), u64::from(free.cpus[index]), free.memory[index]]);
        self.key.extend(free.columns_of(node).iter().map(|units| u64::from(*units)));
        self.of_node[index] = match self.numbers.get(self.key.as_slice()) {
            Some(number) => *number,
            None => {
                let number = self.numbers.len() as u32;
                self.numbers.insert(self.key.as_slice().into(), number);
                number
            }
        };
    }

    fn forget(&mut self) {
        self.numbers.clear();
        self.answers.clear();
        self.answer_count = 0;
    }

    /// Makes room for what `ask` will know of all present states.
    pub(crate) fn prepare(&mut self, ask: AskId) {
        let (ask, states) = (ask as usize, self.numbers.len());
        if self.answers.get(ask).is_some_and(|answers| answers.len() >= states) {
            return;
        }
        if self.answer_count > ANSWERS_MAX {
            self.answers.clear();
            self.answer_count = 0;
        }
        if self.answers.len() <= ask {
            self.answers.resize_with(ask + 1, Vec::new);
        }
        let answers = &mut self.answers[ask];
        // Some more than there are, since there will soon be more.
        let room = states + states / 4 + 16;
        self.answer_count += room - answers.len();
        answers.resize(room, Cell::new(UNKNOWN));
    }

    /// What `ask`, which has been prepared, knows; `None` where nothing is to be gained.
    pub(crate) fn known(&self, ask: AskId) -> Option<Known<'_>> {
        let answers = self.answers.get(ask as usize).filter(|_| !self.is_off)?;
        Some(Known { of_node: &self.of_node, answers })
    }
}
