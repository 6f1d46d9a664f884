//! Which nodes a job gets where nodes are wired as a tree of switches or as blocks.
//!
//! In a tree the job goes below the lowest switch that can hold it, of those the one on fewest leaves and tightest; there it gets the fewest leaf
//! switches that suffice, near each other, as observed with Slurm 22.05 (topology/tree): the leaf that holds all that
//! is left and is tightest, else the greatest, then those that share the lowest switch with it. In blocks it goes into
//! the tightest base block that can hold it, else into the smallest group of blocks, and there into the fewest blocks.
//! Lower weights come before either. A job on one node, and one that leaves the number of nodes open, does not look at
//! wiring unless it says `--switches`: 22.05 gives it neighbours, too.

use muster_model::config::ClusterConfig;
use muster_model::topology::{Blocks, Switch, Topology};

use muster_model::time::Span;

use crate::ask::{Ask, Spread};
use crate::choose::{self, Candidate, Choice, Filling};
use crate::job_units::Total;

/// A group of leaves that may hold a job: a switch, a block, or several blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    /// Lower groups are preferred.
    level: u32,
    /// Leaves in it.
    leaves: Vec<u32>,
}

/// How nodes are wired, made ready.
#[derive(Debug)]
pub(crate) struct Wiring {
    /// Number of the leaf (leaf switch or base block) of each node. Nodes that the topology leaves out are alone on
    /// one.
    leaf_of: Vec<u32>,
    /// Number of leaves.
    leaf_count: u32,
    groups: Vec<Group>,
    is_tree: bool,
    /// Whether nodes without a common switch may share a job.
    is_optional: bool,
}

/// What a leaf, or several, offer to a job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    nodes: u32,
    tasks: u64,
    units: Total,
}

impl Sum {
    fn add(&mut self, other: Sum) {
        self.nodes += other.nodes;
        self.tasks += other.tasks;
        self.units.add_all(other.units);
    }

    fn covers(&self, need: Sum) -> bool {
        self.nodes >= need.nodes && self.tasks >= need.tasks && self.units.covers(&need.units)
    }

    fn less(self, other: Sum) -> Sum {
        Sum {
            nodes: self.nodes.saturating_sub(other.nodes),
            tasks: self.tasks.saturating_sub(other.tasks),
            units: self.units.less(other.units),
        }
    }
}

impl Wiring {
    /// Reads the topology of `config` for its `count` nodes.
    pub(crate) fn of(config: &ClusterConfig, count: usize) -> Option<Wiring> {
        let is_optional = config.placement.topology_optional;
        let mut wiring =
            Wiring { leaf_of: vec![u32::MAX; count], leaf_count: 0, groups: Vec::new(), is_tree: true, is_optional };
        match config.topology.as_ref()? {
            Topology::Tree(switches) => wiring.read_tree(switches),
            Topology::Block(blocks) => wiring.read_blocks(blocks),
        }
        for node in 0..count {
            if wiring.leaf_of[node] == u32::MAX {
                wiring.leaf_of[node] = wiring.leaf_count;
                wiring.groups.push(Group { level: 0, leaves: vec![wiring.leaf_count] });
                wiring.leaf_count += 1;
            }
        }
        Some(wiring)
    }

    fn new_leaf(&mut self, nodes: &[muster_model::ids::NodeIndex]) -> u32 {
        let leaf = self.leaf_count;
        self.leaf_count += 1;
        for node in nodes {
            if let Some(own) = self.leaf_of.get_mut(node.0 as usize) {
                *own = leaf;
            }
        }
        leaf
    }

    fn read_tree(&mut self, switches: &[Switch]) {
        let mut groups: Vec<Group> =
            switches.iter().map(|switch| Group { level: switch.level, leaves: Vec::new() }).collect();
        for (at, switch) in switches.iter().enumerate().filter(|(_, switch)| switch.level == 0) {
            let leaf = self.new_leaf(&switch.nodes);
            let mut above = Some(at);
            // No path up is longer than there are switches.
            for _ in 0..switches.len() {
                let Some(at) = above.filter(|at| *at < switches.len()) else { break };
                groups[at].leaves.push(leaf);
                above = switches[at].parent.map(|parent| parent as usize);
            }
        }
        self.groups = groups;
    }

    /// Base blocks, then groups of as many neighbours as each size says, then all of them.
    fn read_blocks(&mut self, blocks: &Blocks) {
        self.is_tree = false;
        let leaves: Vec<u32> = blocks.blocks.iter().map(|block| self.new_leaf(&block.nodes)).collect();
        self.groups = leaves.iter().map(|leaf| Group { level: 0, leaves: vec![*leaf] }).collect();
        let base = blocks.sizes.first().copied().unwrap_or(1).max(1);
        for (level, size) in (1..).zip(blocks.sizes.iter().skip(1)) {
            let many = (size / base).max(1) as usize;
            self.groups.extend(leaves.chunks(many).map(|chunk| Group { level, leaves: chunk.to_vec() }));
        }
        self.groups.push(Group { level: u32::MAX, leaves });
    }

    /// Nodes for `ask` out of `candidates`, which are ascending; `None` when they do not suffice, or the job still
    /// waits for fewer switches.
    pub(crate) fn choose(&self, ask: &Ask, candidates: &[Candidate], waited: Span) -> Option<Vec<Choice>> {
        let limit = ask.switches.filter(|limit| self.is_tree && waited < limit.wait).map(|limit| limit.count);
        if ask.nodes_wanted.max(ask.required.len() as u32) <= 1 && limit.is_none() && ask.segment.is_none() {
            return choose::choose(ask, candidates);
        }
        let mut weights: Vec<u32> = candidates.iter().map(|candidate| candidate.weight).collect();
        weights.sort_unstable();
        weights.dedup();
        if let [_] = weights.as_slice() {
            return self.choose_of(ask, candidates, limit);
        }
        weights.into_iter().find_map(|most| {
            let lighter: Vec<Candidate> = candidates.iter().copied().filter(|c| c.weight <= most).collect();
            self.choose_of(ask, &lighter, limit)
        })
    }

    fn choose_of(&self, ask: &Ask, candidates: &[Candidate], limit: Option<u32>) -> Option<Vec<Choice>> {
        let required = choose::required(ask, candidates)?;
        let sums = self.sums(ask, candidates);
        let greatest = self.need(ask, ask.nodes_wanted.max(required.len() as u32).min(ask.nodes_max));
        let least = self.need(ask, ask.nodes_min.max(required.len() as u32));
        let holds = |group: &Group| required.iter().all(|node| group.leaves.contains(&self.leaf_of[*node as usize]));
        // As many nodes as are wanted where one group has them, else as many as there are.
        for need in [greatest, least] {
            let mut order: Vec<(u32, usize, u32, usize)> = Vec::new();
            for (at, group) in self.groups.iter().enumerate() {
                let sum = self.total(&sums, group);
                if sum.covers(need) && holds(group) {
                    order.push((group.level, self.least_leaves(&sums, group, need), sum.nodes, at));
                }
            }
            order.sort_unstable();
            for (.., at) in order {
                let found = self.fill(ask, candidates, &required, &sums, &self.groups[at], need);
                let few = |choices: &Vec<Choice>| limit.is_none_or(|most| self.leaves_used(choices) <= most);
                if let Some(choices) = found.filter(few) {
                    return Some(choices);
                }
            }
        }
        if self.is_optional && self.is_tree && limit.is_none() { choose::choose(ask, candidates) } else { None }
    }

    /// How many leaves of `group` are needed at the least.
    fn least_leaves(&self, sums: &[Sum], group: &Group, need: Sum) -> usize {
        let mut leaves = group.leaves.clone();
        leaves.sort_by_key(|leaf| (std::cmp::Reverse(sums[*leaf as usize].nodes), *leaf));
        fewest(sums, &leaves, None, need).unwrap_or(leaves.len())
    }

    fn leaves_used(&self, choices: &[Choice]) -> u32 {
        let mut leaves: Vec<u32> = choices.iter().map(|choice| self.leaf_of[choice.node as usize]).collect();
        leaves.sort_unstable();
        leaves.dedup();
        leaves.len() as u32
    }

    /// What `ask` needs when it is to have so many nodes.
    fn need(&self, ask: &Ask, nodes: u32) -> Sum {
        let tasks = match ask.spread {
            Spread::Total(tasks) => u64::from(tasks),
            Spread::PerNode(tasks) => u64::from(tasks) * u64::from(nodes),
        };
        Sum { nodes, tasks, units: Total::wanted(ask) }
    }

    /// What each leaf offers. With segments a leaf counts only for whole ones.
    fn sums(&self, ask: &Ask, candidates: &[Candidate]) -> Vec<Sum> {
        let mut sums = vec![Sum::default(); self.leaf_count as usize];
        for candidate in candidates {
            let tasks = match ask.spread {
                Spread::PerNode(tasks) => tasks.min(candidate.tasks),
                Spread::Total(_) => candidate.tasks,
            };
            let mut units = Total::default();
            units.add(candidate.job_units);
            let one = Sum { nodes: 1, tasks: u64::from(tasks), units };
            sums[self.leaf_of[candidate.node as usize] as usize].add(one);
        }
        if let Some(segment) = self.segment(ask) {
            sums.iter_mut().for_each(|sum| sum.nodes -= sum.nodes % segment);
        }
        sums
    }

    fn segment(&self, ask: &Ask) -> Option<u32> {
        ask.segment.filter(|segment| !self.is_tree && *segment > 1)
    }

    fn total(&self, sums: &[Sum], group: &Group) -> Sum {
        let mut total = Sum::default();
        group.leaves.iter().for_each(|leaf| total.add(sums[*leaf as usize]));
        total
    }

    /// Fills the fewest leaves of `group`.
    fn fill(
        &self,
        ask: &Ask,
        candidates: &[Candidate],
        required: &[u32],
        sums: &[Sum],
        group: &Group,
        need: Sum,
    ) -> Option<Vec<Choice>> {
        let mut filling = Filling::new(ask, candidates, required)?;
        filling.want_nodes(need.nodes);
        let mut used: Vec<u32> = Vec::new();
        for node in required {
            let leaf = self.leaf_of[*node as usize];
            if !used.contains(&leaf) {
                used.push(leaf);
            }
        }
        // The leaves of required nodes first, then others as they are best.
        let mut left = need;
        for leaf in used.clone() {
            self.take_leaf(ask, candidates, leaf, &mut filling);
            left = left.less(sums[leaf as usize]);
        }
        let mut open: Vec<u32> = group.leaves.iter().copied().filter(|leaf| !used.contains(leaf)).collect();
        while !filling.is_done() && filling.has_room() {
            let leaf = self.next_leaf(sums, &open, &used, left)?;
            open.retain(|other| *other != leaf);
            used.push(leaf);
            self.take_leaf(ask, candidates, leaf, &mut filling);
            left = left.less(sums[leaf as usize]);
        }
        let mut choices = filling.finish()?;
        choices.sort_unstable_by_key(|choice| choice.node);
        Some(choices)
    }

    fn take_leaf(&self, ask: &Ask, candidates: &[Candidate], leaf: u32, filling: &mut Filling<'_>) {
        let here = |position: &usize| self.leaf_of[candidates[*position].node as usize] == leaf;
        let positions: Vec<usize> = (0..candidates.len()).filter(here).collect();
        let whole = match self.segment(ask) {
            Some(segment) => positions.len() - positions.len() % segment as usize,
            None => positions.len(),
        };
        positions.into_iter().take(whole).for_each(|position| filling.take_unless_done(position));
    }

    /// The leaf to use next: of those that keep the number of leaves as small as can be, the one nearest to those in
    /// use, then the tightest that suffices, then the greatest.
    fn next_leaf(&self, sums: &[Sum], open: &[u32], used: &[u32], left: Sum) -> Option<u32> {
        let mut largest: Vec<u32> = open.iter().copied().filter(|leaf| sums[*leaf as usize].nodes > 0).collect();
        largest.sort_by_key(|leaf| (std::cmp::Reverse(sums[*leaf as usize].nodes), *leaf));
        let least = fewest(sums, &largest, None, left);
        let keeps_few = |leaf: &&u32| match least {
            // Where tasks or units decide rather than nodes, the greatest first is as good a guess as any.
            None => true,
            Some(count) => {
                let after = left.less(sums[**leaf as usize]);
                fewest(sums, &largest, Some(**leaf), after).is_some_and(|rest| rest < count)
            }
        };
        let rank = |leaf: &&u32| {
            let sum = sums[**leaf as usize];
            let suffices = sum.covers(left);
            let size = if suffices { sum.nodes } else { u32::MAX - sum.nodes };
            (self.distance(**leaf, used), !suffices, size, **leaf)
        };
        largest.iter().filter(keeps_few).min_by_key(rank).or(largest.first()).copied()
    }

    /// Level of the lowest group that has `leaf` together with one of `used`; 0 while none is in use.
    fn distance(&self, leaf: u32, used: &[u32]) -> u32 {
        if used.is_empty() {
            return 0;
        }
        let near = |group: &&Group| group.leaves.contains(&leaf) && group.leaves.iter().any(|own| used.contains(own));
        self.groups.iter().filter(near).map(|group| group.level).min().unwrap_or(u32::MAX)
    }
}

/// How many of `leaves`, greatest first, have what is needed.
fn fewest(sums: &[Sum], leaves: &[u32], without: Option<u32>, need: Sum) -> Option<usize> {
    let mut so_far = Sum::default();
    let mut count = 0;
    if so_far.covers(need) {
        return Some(0);
    }
    for leaf in leaves.iter().filter(|leaf| Some(**leaf) != without) {
        so_far.add(sums[*leaf as usize]);
        count += 1;
        if so_far.covers(need) {
            return Some(count);
        }
    }
    None
}
