//! The middle of a step on several nodes: gathers what the tasks of all nodes have put, and gives it to all of them.

use std::collections::BTreeMap;

/// Fences of one step, one after the other.
#[derive(Debug)]
pub struct Hub {
    nodes: usize,
    /// What each node has shared since the last fence.
    shared: BTreeMap<String, Vec<u8>>,
    /// Nodes that have asked for the next fence.
    waiting: BTreeMap<String, Vec<u8>>,
}

impl Hub {
    /// For a step on so many nodes.
    pub fn new(nodes: usize) -> Hub {
        Hub { nodes, shared: BTreeMap::new(), waiting: BTreeMap::new() }
    }

    /// A part of what a node shares.
    pub fn share(&mut self, node: &str, values: &[u8]) {
        match self.shared.get_mut(node) {
            Some(so_far) => so_far.extend_from_slice(values),
            None => drop(self.shared.insert(node.to_owned(), values.to_vec())),
        }
    }

    /// All tasks of a node have asked for the fence. When it was the last node: what all nodes are to be given. Where two nodes
    /// have put the same name, all nodes see the same value of the two.
    pub fn fence(&mut self, node: &str) -> Option<Vec<u8>> {
        let values = self.shared.remove(node).unwrap_or_default();
        self.waiting.insert(node.to_owned(), values);
        if self.waiting.len() < self.nodes {
            return None;
        }
        Some(std::mem::take(&mut self.waiting).into_values().flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_opens_when_the_last_node_has_come() {
        let mut hub = Hub::new(2);
        hub.share("n2", b"b\0");
        hub.share("n2", b"2\0");
        assert_eq!(hub.fence("n2"), None);
        hub.share("n1", b"a\x001\0");
        assert_eq!(hub.fence("n1"), Some(b"a\x001\0b\x002\0".to_vec()));
        assert_eq!(hub.fence("n1"), None);
        assert_eq!(hub.fence("n2"), Some(Vec::new()));
    }
}
