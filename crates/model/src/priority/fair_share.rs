//! Who is owed how much: Fair Tree, and the classic fair-share factor.
//!
//! Both were checked against Slurm 22.05. Where its documentation says that accounts which are equally served are merged
//! before their users are ranked, the program does not: only the first user of the next account shares the rank of the
//! last one (see the tests).

use std::collections::BTreeMap;

use super::{PriorityConfig, PriorityFlag};
use crate::accounting::{Association, AssociationId, Shares};

/// What one association is owed and has had.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct FairShare {
    /// Its part of the shares: among its siblings (Fair Tree), or of the cluster (classic).
    pub shares_norm: f64,
    /// What it used, billed seconds.
    pub usage_raw: f64,
    /// Its part of all usage.
    pub usage_norm: f64,
    /// The usage that it is judged by.
    pub usage_effective: f64,
    /// How well it is served among its siblings: shares by usage, infinite for one without usage. Fair Tree only; `None`
    /// for the root.
    pub level: Option<f64>,
    /// The factor, 0 to 1; `None` for accounts in Fair Tree.
    pub factor: Option<f64>,
}

/// By association.
pub type FairShares = BTreeMap<AssociationId, FairShare>;

/// One association with its usage.
#[derive(Debug, Clone, Copy)]
pub struct ShareInput<'a> {
    /// The association.
    pub association: &'a Association,
    /// Billed seconds that it and those below it used, decayed.
    pub usage_raw: f64,
}

/// The fair share of every association.
pub fn fair_shares(inputs: &[ShareInput<'_>], config: &PriorityConfig) -> FairShares {
    let mut tree = Tree::new(inputs);
    let Some(root) = tree.root else { return FairShares::new() };
    if config.has(PriorityFlag::NoFairTree) {
        tree.classic(root, config);
    } else {
        tree.fair_tree(root);
    }
    inputs.iter().map(|input| input.association.id).zip(tree.found).collect()
}

/// The associations by position. For fair share an account with `fairshare=parent` is not there: what is below it belongs
/// to the next account above that has shares of its own.
struct Tree<'a> {
    inputs: &'a [ShareInput<'a>],
    root: Option<usize>,
    children: Vec<Vec<usize>>,
    found: Vec<FairShare>,
}

impl<'a> Tree<'a> {
    fn new(inputs: &'a [ShareInput<'a>]) -> Tree<'a> {
        let position: BTreeMap<AssociationId, usize> =
            inputs.iter().enumerate().map(|(at, input)| (input.association.id, at)).collect();
        let root = inputs.iter().position(|input| input.association.parent.is_none());
        let mut children = vec![Vec::new(); inputs.len()];
        for (at, input) in inputs.iter().enumerate() {
            let mut above = input.association.parent;
            // A tree cannot be deeper than it has nodes: damage in a row must not make this endless.
            for _ in 0..inputs.len() {
                let Some(parent) = above.and_then(|id| position.get(&id)).copied() else { break };
                let row = inputs[parent].association;
                if row.shares != Shares::Parent || row.parent.is_none() {
                    children[parent].push(at);
                    break;
                }
                above = row.parent;
            }
        }
        let name = |at: &usize| {
            let key = &inputs[*at].association.key;
            (key.user.is_empty(), key.account.clone(), key.user.clone(), key.partition.clone())
        };
        children.iter_mut().for_each(|below| below.sort_by_cached_key(name));
        let found = inputs.iter().map(|input| FairShare { usage_raw: input.usage_raw, ..Default::default() }).collect();
        Tree { inputs, root, children, found }
    }

    fn row(&self, at: usize) -> &'a Association {
        self.inputs[at].association
    }

    fn is_user(&self, at: usize) -> bool {
        !self.row(at).key.user.is_empty()
    }

    fn shares_raw(&self, at: usize) -> Option<f64> {
        match self.row(at).shares {
            Shares::Raw(shares) => Some(f64::from(shares)),
            Shares::Parent => None,
        }
    }

    /// Shares of all children together.
    fn level_shares(&self, parent: usize) -> f64 {
        self.children[parent].iter().filter_map(|child| self.shares_raw(*child)).sum()
    }

    fn usage_norm(&self, at: usize, root: usize) -> f64 {
        let all = self.found[root].usage_raw;
        if all > 0.0 { (self.found[at].usage_raw / all).min(1.0) } else { 0.0 }
    }

    fn fair_tree(&mut self, root: usize) {
        let users = (0..self.inputs.len()).filter(|at| self.is_user(*at)).count();
        self.found[root].usage_effective = 1.0;
        let mut ranks = Ranks { users: users as f64, rank: users, next: users };
        // The way down, without recursion: the depth of a tree comes from outside.
        let mut open = vec![self.level(root, root, false)];
        while let Some(level) = open.last_mut() {
            let Some(child) = level.next() else {
                open.pop();
                continue;
            };
            let tied = level.tied(self.found[child].level);
            if self.is_user(child) {
                self.found[child].factor = Some(ranks.give(tied));
            } else if open.len() <= self.inputs.len() {
                let below = self.level(child, root, tied);
                open.push(below);
            }
        }
    }

    /// The children of an account, best served last.
    fn level(&mut self, parent: usize, root: usize, account_tied: bool) -> Level {
        let (shares, usage) = (self.level_shares(parent), self.found[parent].usage_raw);
        let parent_norm = self.found[parent].shares_norm;
        let mut order = self.children[parent].clone();
        for child in &order {
            let usage_effective = if usage > 0.0 { (self.found[*child].usage_raw / usage).min(1.0) } else { 0.0 };
            let own = self.shares_raw(*child);
            let shares_norm = match own {
                Some(own) if shares > 0.0 => own / shares,
                Some(_) => 0.0,
                None => parent_norm,
            };
            let usage_norm = self.usage_norm(*child, root);
            let found = &mut self.found[*child];
            (found.shares_norm, found.usage_norm, found.usage_effective) = (shares_norm, usage_norm, usage_effective);
            found.level = Some(match own {
                None => f64::INFINITY,
                Some(_) if shares_norm == 0.0 => 0.0,
                Some(_) if usage_effective == 0.0 => f64::INFINITY,
                Some(_) => shares_norm / usage_effective,
            });
        }
        let level = |at: &usize| self.found[*at].level.unwrap_or(0.0);
        order.sort_by(|a, b| level(b).total_cmp(&level(a)).then(self.is_user(*b).cmp(&self.is_user(*a))));
        Level { order, at: 0, before: None, account_tied }
    }

    fn classic(&mut self, root: usize, config: &PriorityConfig) {
        let found = &mut self.found[root];
        (found.shares_norm, found.usage_effective) = (1.0, 1.0);
        found.usage_norm = if found.usage_raw > 0.0 { 1.0 } else { 0.0 };
        let mut open = vec![root];
        let mut seen = 0;
        while let Some(parent) = open.pop() {
            seen += 1;
            if seen > self.inputs.len() {
                break;
            }
            let shares = self.level_shares(parent);
            let children = self.children[parent].clone();
            for child in &children {
                self.found[*child].usage_norm = self.usage_norm(*child, root);
                let above = self.found[parent];
                self.found[*child].shares_norm = match self.shares_raw(*child) {
                    None => above.shares_norm,
                    Some(own) if shares > 0.0 => above.shares_norm * own / shares,
                    Some(_) => 0.0,
                };
            }
            for child in &children {
                self.found[*child].usage_effective = self.effective(*child, parent, root, shares, config);
            }
            open.extend(children.iter().filter(|child| !self.is_user(**child)));
        }
        for found in &mut self.found {
            found.factor = Some(classic_factor(found, config.fair_share_dampening));
        }
    }

    fn effective(&self, child: usize, parent: usize, root: usize, shares: f64, config: &PriorityConfig) -> f64 {
        let (own, above) = (self.found[child], self.found[parent]);
        let Some(shares_own) = self.shares_raw(child) else { return above.usage_effective };
        if parent == root {
            own.usage_norm
        } else if config.has(PriorityFlag::DepthOblivious) {
            self.depth_oblivious(child, parent)
        } else if shares > 0.0 {
            own.usage_norm + (above.usage_effective - own.usage_norm) * shares_own / shares
        } else {
            own.usage_norm
        }
    }

    /// `DEPTH_OBLIVIOUS`: how its account is served counts, and how it is served within it, but the first the less the
    /// more it speaks against the second.
    fn depth_oblivious(&self, child: usize, parent: usize) -> f64 {
        let (own, above) = (self.found[child], self.found[parent]);
        if above.shares_norm == 0.0 || own.shares_norm == 0.0 {
            return own.usage_norm;
        }
        let ratio_above = above.usage_effective / above.shares_norm;
        let level: f64 = self.children[parent]
            .iter()
            .filter(|sibling| self.shares_raw(**sibling).is_some())
            .map(|sibling| self.found[*sibling].usage_norm)
            .sum();
        let level = level / above.shares_norm;
        if level == 0.0 {
            return 0.0;
        }
        let ratio_level = own.usage_norm / own.shares_norm / level;
        let opposed = ratio_above > 0.0 && ratio_level > 0.0 && ratio_above.ln() * ratio_level.ln() < 0.0;
        let weight = if opposed { 1.0 / (1.0 + (5.0 * ratio_above.ln()).powi(2)) } else { 1.0 };
        ratio_above * ratio_level.powf(weight) * own.shares_norm
    }
}

/// `2^(-usage / shares / dampening)`; 0 without shares.
fn classic_factor(found: &FairShare, dampening: u16) -> f64 {
    if found.shares_norm <= 0.0 {
        return 0.0;
    }
    2.0_f64.powf(-(found.usage_effective / found.shares_norm) / f64::from(dampening.max(1)))
}

/// The ranks that users get, from the best served downwards.
struct Ranks {
    users: f64,
    rank: usize,
    next: usize,
}

impl Ranks {
    fn give(&mut self, tied: bool) -> f64 {
        if !tied {
            self.rank = self.next;
        }
        self.next = self.next.saturating_sub(1);
        self.rank as f64 / self.users
    }
}

/// One level of the tree on the way through it.
struct Level {
    order: Vec<usize>,
    at: usize,
    /// How the one before was served.
    before: Option<f64>,
    /// The account itself was tied with what stood before it, so its first child is too.
    account_tied: bool,
}

impl Level {
    fn next(&mut self) -> Option<usize> {
        let child = self.order.get(self.at).copied();
        self.at += 1;
        child
    }

    fn tied(&mut self, level: Option<f64>) -> bool {
        let first = self.at == 1;
        let tied = if first { self.account_tied } else { self.before == level };
        self.before = level;
        tied
    }
}
