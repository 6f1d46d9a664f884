//! What a request finds on the nodes, block by block, remembered from sweep to sweep.
//!
//! Between two looks for the same request little changes: a start takes from a few nodes, a job that ends gives back a
//! few. So nodes are taken in blocks of neighbours, each request remembers of each block what a sweep over it finds, and
//! looks again only at blocks in which anything has changed since. What planned starts hold differs from job to job: it is
//! not part of what is remembered, and blocks with such nodes are looked at anew.

use std::cell::Cell;

use crate::nodeset::{NodeBlock, NodeSet};
use crate::one_run::Need;
use crate::planner::AskId;
use crate::runs::{Run, Survey};

/// Most blocks, so that a sweep costs no more however large the cluster is.
const BLOCKS_MAX: usize = 256;
/// Most blocks that all requests together remember, 56 bytes each; beyond it all are forgotten and looked at anew.
const REMEMBERED_MAX: usize = 1_000_000;

/// So many nodes of a block are looked at sooner than what is remembered of it.
const FEW: u32 = 2;

/// The blocks, and what requests remember of them.
#[derive(Debug)]
pub(crate) struct Blocks {
    /// Words of a [`NodeSet`](crate::nodeset::NodeSet) to a block.
    words: usize,
    /// How often each block has changed.
    versions: Vec<u32>,
    /// By ask.
    remembered: Vec<Memory>,
    remembered_count: usize,
}

/// What one request remembers.
#[derive(Clone, Copy)]
pub(crate) struct Remembered<'a> {
    words: usize,
    versions: &'a [u32],
    memory: &'a Memory,
}

/// By block. How much fits lies close together, apart from where: most requests of a busy cluster look no further, and a
/// thousand of them do not fit into the caches of a processor otherwise.
#[derive(Debug, Default)]
struct Memory {
    heads: Vec<Cell<Head>>,
    runs: Vec<Cell<Runs>>,
}

/// What fits on a block.
#[derive(Debug, Clone, Copy, Default)]
struct Head {
    /// The version of the block of which this is true; 0 for none.
    version: u32,
    tasks: u32,
}

/// Runs of one block: its first, its last, and the best in between.
type Runs = [Part; 3];

/// A run, packed; its nodes count from the first of the block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Part {
    /// 0 for no run.
    tasks: u32,
    /// Tasks of the tightest node; 0 for none.
    least: u32,
    tightest: u16,
    first: u16,
    last: u16,
}

impl Blocks {
    /// Blocks for so many nodes.
    pub(crate) fn of(node_count: usize) -> Blocks {
        let all_words = node_count.div_ceil(64);
        let words = all_words.div_ceil(BLOCKS_MAX).max(1);
        Blocks { words, versions: vec![1; all_words.div_ceil(words)], remembered: Vec::new(), remembered_count: 0 }
    }

    /// Something about `nodes` is not as it was.
    pub(crate) fn follow(&mut self, nodes: &[u32]) {
        for node in nodes {
            let version = &mut self.versions[*node as usize / 64 / self.words];
            *version = version.wrapping_add(1);
            if *version == 0 {
                // Once round: an old memory must not pass for a new one.
                self.remembered.clear();
                self.remembered_count = 0;
                *version = 1;
            }
        }
    }

    /// Makes room for what `ask` will remember.
    pub(crate) fn prepare(&mut self, ask: AskId) {
        let (ask, count) = (ask as usize, self.versions.len());
        if self.remembered.get(ask).is_some_and(|memory| !memory.heads.is_empty()) {
            return;
        }
        if self.remembered_count > REMEMBERED_MAX {
            self.remembered.clear();
            self.remembered_count = 0;
        }
        if self.remembered.len() <= ask {
            self.remembered.resize_with(ask + 1, Memory::default);
        }
        let memory = &mut self.remembered[ask];
        memory.heads.resize_with(count, Cell::default);
        memory.runs.resize_with(count, Cell::default);
        self.remembered_count += count;
    }

    /// What `ask`, which has been prepared, remembers.
    pub(crate) fn of_ask(&self, ask: AskId) -> Option<Remembered<'_>> {
        let memory = self.remembered.get(ask as usize).filter(|memory| !memory.heads.is_empty())?;
        Some(Remembered { words: self.words, versions: &self.versions, memory })
    }
}

impl Remembered<'_> {
    /// A sweep over `nodes`, which are those that are usable now. `look` sweeps over some of them; where `is_special` says so,
    /// what is found there is not to be remembered.
    pub(crate) fn survey(
        &self,
        weights: &[u32],
        nodes: &NodeSet,
        need: Need,
        is_special: impl Fn(NodeBlock<'_>) -> bool,
        look: impl Fn(NodeBlock<'_>, &mut Survey),
    ) -> Survey {
        let mut survey = Survey::new(need);
        for (at, nodes) in nodes.blocks(self.words).enumerate() {
            let count = nodes.len();
            if count == 0 {
                continue;
            }
            if count <= FEW || is_special(nodes) {
                look(nodes, &mut survey);
                continue;
            }
            match self.tasks_known(at, nodes, need, &look) {
                Some(0) => {}
                Some(tasks) => {
                    let runs = self.memory.runs[at].get();
                    let runs = runs.iter().filter(|part| part.tasks > 0);
                    survey.add_all(u64::from(tasks), runs.map(|part| part.unpack(weights, nodes.base)));
                }
                None => {
                    let found = self.look_at(at, nodes, need, &look);
                    survey.add_all(found.tasks, [found.first, found.best, found.last].into_iter().flatten());
                }
            }
        }
        survey
    }

    /// Whether fewer tasks than `least` fit on `nodes` in all. Planned starts do not count.
    pub(crate) fn holds_fewer(
        &self,
        nodes: &NodeSet,
        (need, least): (Need, u64),
        look: impl Fn(NodeBlock<'_>, &mut Survey),
    ) -> bool {
        let mut sum = 0_u64;
        for (at, nodes) in nodes.blocks(self.words).enumerate() {
            let count = nodes.len();
            if count == 0 {
                continue;
            }
            sum += match self.tasks_known(at, nodes, need, &look).filter(|_| count > FEW) {
                Some(tasks) => u64::from(tasks),
                None if count > FEW => self.look_at(at, nodes, need, &look).tasks,
                None => {
                    let mut found = Survey::new(need);
                    look(nodes, &mut found);
                    found.tasks
                }
            };
            if sum >= least {
                return false;
            }
        }
        true
    }

    /// How many tasks fit on the block at this position, where that is remembered.
    #[inline]
    fn tasks_known(
        &self,
        at: usize,
        _nodes: NodeBlock<'_>,
        _need: Need,
        _look: &impl Fn(NodeBlock<'_>, &mut Survey),
    ) -> Option<u32> {
        let head = self.memory.heads[at].get();
        if head.version != self.versions[at] {
            return None;
        }
        #[cfg(debug_assertions)]
        self.verify(at, _nodes, _need, _look);
        Some(head.tasks)
    }

    /// Looks at a block, and remembers what is found unless the numbers are too great.
    fn look_at(
        &self,
        at: usize,
        nodes: NodeBlock<'_>,
        need: Need,
        look: &impl Fn(NodeBlock<'_>, &mut Survey),
    ) -> Survey {
        let mut found = Survey::new(need);
        look(nodes, &mut found);
        if let (Ok(tasks), Some(runs)) = (u32::try_from(found.tasks), pack(&found, nodes.base)) {
            self.memory.heads[at].set(Head { version: self.versions[at], tasks });
            self.memory.runs[at].set(runs);
        }
        found
    }

    /// Stops where a change has gone unnoticed.
    #[cfg(debug_assertions)]
    fn verify(&self, at: usize, nodes: NodeBlock<'_>, need: Need, look: &impl Fn(NodeBlock<'_>, &mut Survey)) {
        // Few are always looked at, so what was remembered when they were more may be of others.
        if nodes.len() <= FEW {
            return;
        }
        let mut found = Survey::new(need);
        look(nodes, &mut found);
        let now = pack(&found, nodes.base);
        let (head, runs) = (self.memory.heads[at].get(), self.memory.runs[at].get());
        let is_as_remembered = u64::from(head.tasks) == found.tasks && now == Some(runs);
        assert!(is_as_remembered, "nodes from {} are not as remembered", nodes.base);
    }
}

/// `None` where the numbers are too great to be packed.
fn pack(found: &Survey, first_node: u32) -> Option<Runs> {
    let mut runs = Runs::default();
    for (part, run) in runs.iter_mut().zip([found.first, found.best, found.last]) {
        if let Some(run) = run {
            *part = Part::pack(&run, first_node)?;
        }
    }
    Some(runs)
}

impl Part {
    fn pack(run: &Run, first_node: u32) -> Option<Part> {
        let offset = |node: u32| u16::try_from(node - first_node).ok();
        let (tightest, least) = run.tightest.unwrap_or((run.first, 0));
        Some(Part {
            tasks: u32::try_from(run.tasks).ok()?,
            least,
            tightest: offset(tightest)?,
            first: offset(run.first)?,
            last: offset(run.last)?,
        })
    }

    #[inline]
    fn unpack(&self, weights: &[u32], first_node: u32) -> Run {
        let node = |offset: u16| first_node + u32::from(offset);
        let first = node(self.first);
        Run {
            weight: weights[first as usize],
            first,
            last: node(self.last),
            tasks: u64::from(self.tasks),
            tightest: (self.least > 0).then_some((node(self.tightest), self.least)),
        }
    }
}
