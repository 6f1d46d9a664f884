//! Nodes by name, for agents that say hello: after a restart of the controller all of them do at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use muster_model::config::ClusterConfig;
use muster_model::ids::{Name, NodeIndex};

/// The names of one configuration; made again when there is another.
#[derive(Debug, Default)]
pub(crate) struct NodeNames {
    made: Mutex<Option<Made>>,
}

#[derive(Debug)]
struct Made {
    of: Arc<ClusterConfig>,
    names: HashMap<Name, NodeIndex>,
}

impl NodeNames {
    /// The node of that name.
    pub(crate) fn find(&self, config: &Arc<ClusterConfig>, name: &str) -> Option<NodeIndex> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if made.as_ref().is_none_or(|made| !Arc::ptr_eq(&made.of, config)) {
            let names = (0_u32..).zip(&config.nodes).map(|(at, node)| (node.name.clone(), NodeIndex(at)));
            *made = Some(Made { of: config.clone(), names: names.collect() });
        }
        made.as_ref().and_then(|made| made.names.get(name)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_testkit::builders::node_config;

    #[test]
    fn names_are_of_the_configuration_at_hand() {
        let config = |names: &[&str]| {
            let nodes = names.iter().map(|name| node_config(name, 1)).collect();
            Arc::new(ClusterConfig { nodes, ..ClusterConfig::default() })
        };
        let (one, other) = (config(&["n1", "n2"]), config(&["n0", "n1"]));
        let names = NodeNames::default();
        assert_eq!(names.find(&one, "n1"), Some(NodeIndex(0)));
        assert_eq!(names.find(&one, "n3"), None);
        assert_eq!(names.find(&other, "n1"), Some(NodeIndex(1)));
        assert_eq!(names.find(&one, "n1"), Some(NodeIndex(0)));
    }
}
