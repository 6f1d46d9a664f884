//! When things come free, in the order of time.
//!
//! Each search for a planned start walks through this order, and most starts in between change it on a node or two. So it
//! is put right where nodes have changed, and not sorted as a whole.

use muster_model::time::Timestamp;

use crate::nodeset::NodeSet;

/// A release: its time, its node, and its position among the releases of that node.
pub(crate) type Moment = (Timestamp, u32, u32);

/// Once so large a part of the nodes has changed, all is sorted anew.
const PART_MAX: usize = 4;

/// All releases by time, as far as `changed` does not say otherwise.
#[derive(Debug, Default)]
pub(crate) struct Order {
    moments: Vec<Moment>,
    /// Nodes with other releases than `moments` knows of, some of them several times.
    changed: Vec<u32>,
    /// Room to merge in.
    spare: Vec<Moment>,
}

impl Order {
    /// The releases of `node` are not as they were.
    pub(crate) fn note(&mut self, node: u32) {
        if self.changed.last() != Some(&node) {
            self.changed.push(node);
        }
    }

    /// Time passes: nothing that is known to come free until `time` can be relied on.
    pub(crate) fn note_until(&mut self, time: Timestamp) {
        let passed = self.moments.iter().take_while(|(at, ..)| *at <= time);
        self.changed.extend(passed.map(|(_, node, _)| *node));
    }

    /// Whether it is true.
    pub(crate) fn is_true(&self) -> bool {
        self.changed.is_empty()
    }

    /// The moments, ascending.
    pub(crate) fn moments(&self) -> &[Moment] {
        &self.moments
    }

    /// Makes it true again, with the releases of each of so many nodes.
    pub(crate) fn update<T: Iterator<Item = Timestamp>>(&mut self, nodes: u32, releases: impl Fn(u32) -> T) {
        if self.changed.is_empty() {
            return;
        }
        let of_node = |node: u32| (0..).zip(releases(node)).map(move |(position, at)| (at, node, position));
        let changed: NodeSet = self.changed.drain(..).collect();
        if changed.len() as usize * PART_MAX >= nodes as usize {
            self.moments.clear();
            self.moments.extend((0..nodes).flat_map(of_node));
            self.moments.sort_unstable();
            return;
        }
        let mut fresh: Vec<Moment> = changed.iter().flat_map(of_node).collect();
        fresh.sort_unstable();
        let mut fresh = fresh.into_iter().peekable();
        self.spare.clear();
        for moment in self.moments.iter().filter(|(_, node, _)| !changed.contains(*node)) {
            while let Some(new) = fresh.next_if(|new| new < moment) {
                self.spare.push(new);
            }
            self.spare.push(*moment);
        }
        self.spare.extend(fresh);
        std::mem::swap(&mut self.moments, &mut self.spare);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn put_right_is_as_sorted_anew(
            before in prop::collection::vec(prop::collection::vec(0_i64..20, 0..4), 20),
            changes in prop::collection::vec((0_u32..20, prop::collection::vec(0_i64..20, 0..4)), 0..8),
            passed in 0_i64..25,
        ) {
            let mut releases = before;
            let mut order = Order::default();
            (0..20).for_each(|node| order.note(node));
            order.update(20, |node| releases[node as usize].clone().into_iter().map(Timestamp));
            for (node, now) in changes {
                releases[node as usize] = now;
                order.note(node);
            }
            // What should have come free by then is late.
            releases.iter_mut().flatten().filter(|at| **at <= passed).for_each(|at| *at = passed + 3);
            order.note_until(Timestamp(passed));
            (0..20).filter(|node| releases[*node as usize].contains(&(passed + 3))).for_each(|node| order.note(node));
            order.update(20, |node| releases[node as usize].clone().into_iter().map(Timestamp));
            let mut all: Vec<Moment> = (0..20)
                .flat_map(|node| (0..).zip(&releases[node as usize]).map(move |(at, time)| (Timestamp(*time), node, at)))
                .collect();
            all.sort_unstable();
            prop_assert_eq!(order.moments(), &all[..]);
        }
    }
}
