//! Nodes that are alike: same hardware, features and partitions. Fewer by far than nodes.

use std::collections::BTreeMap;

use crate::fleet::Fleet;
use crate::free::{Amounts, Columns};

/// What nodes of one class have in common.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Likeness {
    cpus: u32,
    cpus_per_core: u32,
    sockets: u32,
    memory: u64,
    columns: Columns,
    features: u32,
    partitions: Vec<u32>,
}

/// The classes of a fleet, numbered in the order of their first nodes.
#[derive(Debug, Default)]
pub(crate) struct Classes {
    of_node: Vec<u32>,
    nodes: Vec<Vec<u32>>,
}

impl Classes {
    /// Sorts the nodes of `fleet` into classes.
    pub(crate) fn of(fleet: &Fleet) -> Classes {
        let mut known: BTreeMap<Likeness, u32> = BTreeMap::new();
        let mut classes = Classes::default();
        for node in 0..fleet.node_count() as u32 {
            let index = node as usize;
            let total = fleet.total_of(node);
            let partitions = (0..fleet.partition_count() as u32)
                .filter(|partition| fleet.partition_nodes[*partition as usize].contains(node));
            let likeness = Likeness {
                cpus: total.cpus,
                cpus_per_core: fleet.cpus_per_core[index],
                sockets: fleet.sockets[index],
                memory: total.memory,
                columns: total.columns,
                features: fleet.feature_class[index],
                partitions: partitions.collect(),
            };
            let next = classes.nodes.len() as u32;
            let class = *known.entry(likeness).or_insert(next);
            if class == next {
                classes.nodes.push(Vec::new());
            }
            classes.of_node.push(class);
            classes.nodes[class as usize].push(node);
        }
        classes
    }

    /// Number of classes.
    pub(crate) fn count(&self) -> usize {
        self.nodes.len()
    }

    /// The class of `node`.
    pub(crate) fn of_node(&self, node: u32) -> usize {
        self.of_node[node as usize] as usize
    }

    /// Nodes of a class, ascending.
    pub(crate) fn nodes(&self, class: usize) -> &[u32] {
        &self.nodes[class]
    }
}

impl Fleet {
    /// All that `node` has.
    pub(crate) fn total_of(&self, node: u32) -> Amounts {
        let index = node as usize;
        Amounts {
            cpus: self.cpus[index],
            memory: self.memory[index],
            columns: Columns::from_slice(&self.column_total[index * self.width..][..self.width]),
        }
    }
}
