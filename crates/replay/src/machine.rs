//! What a workload is replayed on.

use std::fmt;
use std::sync::Arc;

use muster_model::accounting::AccountingEnforce;
use muster_model::config::ClusterConfig;
use muster_model::ids::NodeIndex;
use muster_model::node::{Hardware, InitialState, Node, NodeConfig, NodeHealth};
use muster_model::partition::Partition;
use muster_model::resources::Megabytes;

use crate::workload::Unit;

/// Most nodes and processors of a machine that is given by numbers.
const NODES_MAX: u32 = 200_000;
const CPUS_MAX: u32 = 1 << 30;
/// Most processors of one node; what a node gives away is kept as a map of single processors.
const CPUS_PER_NODE_MAX: u32 = 65_536;

/// A cluster, all of whose nodes work unless the configuration says otherwise.
#[derive(Debug, Clone)]
pub struct Machine {
    pub(crate) config: Arc<ClusterConfig>,
    unit: Unit,
}

/// Numbers that make no machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineError(String);

impl fmt::Display for MachineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for MachineError {}

impl Machine {
    /// A cluster as configured. For policies that count units, it is a pool of its processors.
    ///
    /// Replayed jobs are charged to nobody, so that accounts and QOS keep none of them back.
    pub fn of_config(mut config: ClusterConfig) -> Machine {
        config.accounting_enforce = AccountingEnforce::default();
        for partition in &mut config.partitions {
            partition.accounts_allowed.clear();
            partition.qos_allowed.clear();
        }
        Machine { config: Arc::new(config), unit: Unit::Processors }
    }

    /// `cpus` processors on `nodes` nodes that are as equal as they can be, in one partition without limits. With
    /// `whole_nodes` each job is given whole nodes, and `cpus` must be a multiple of `nodes`.
    ///
    /// # Errors
    /// With numbers out of range, or unequal nodes where whole ones are given.
    pub fn of_size(nodes: u32, cpus: u32, whole_nodes: bool) -> Result<Machine, MachineError> {
        let fail = |message: String| Err(MachineError(message));
        if nodes == 0 || cpus < nodes {
            return fail(format!("{cpus} processors on {nodes} nodes: a node has at least one"));
        }
        if nodes > NODES_MAX || cpus > CPUS_MAX {
            return fail(format!("{nodes} nodes with {cpus} processors are more than {NODES_MAX} and {CPUS_MAX}"));
        }
        if cpus.div_ceil(nodes) > CPUS_PER_NODE_MAX {
            return fail(format!("{cpus} processors on {nodes} nodes: more than {CPUS_PER_NODE_MAX} on one"));
        }
        if whole_nodes && !cpus.is_multiple_of(nodes) {
            return fail(format!(
                "{cpus} processors on {nodes} nodes: whole nodes can only be given where all are alike"
            ));
        }
        let config = ClusterConfig {
            cluster_name: "replay".into(),
            nodes: (0..nodes).map(|index| node_config(index, cpus / nodes + u32::from(index < cpus % nodes))).collect(),
            partitions: vec![partition(nodes)],
            memory_is_consumed: false,
            ..ClusterConfig::default()
        };
        let unit = if whole_nodes { Unit::WholeNodes { cpus_per_node: cpus / nodes } } else { Unit::Processors };
        Ok(Machine { config: Arc::new(config), unit })
    }

    /// The configuration.
    pub fn config(&self) -> &ClusterConfig {
        &self.config
    }

    /// What jobs are given.
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// Nodes that can ever work.
    fn usable(&self) -> impl Iterator<Item = &NodeConfig> {
        self.config.nodes.iter().filter(|node| node.initial_state == InitialState::Unknown)
    }

    /// Processors of all nodes that work.
    pub fn cpus(&self) -> u32 {
        self.usable().map(|node| node.hardware.cpus).fold(0, u32::saturating_add)
    }

    /// Units of all nodes that work, for policies that count them.
    pub fn units(&self) -> u32 {
        match self.unit {
            Unit::Processors => self.cpus(),
            Unit::WholeNodes { .. } => u32::try_from(self.usable().count()).unwrap_or(u32::MAX),
        }
    }

    /// The nodes before anything runs.
    pub(crate) fn idle_nodes(&self) -> impl Iterator<Item = Arc<Node>> + '_ {
        self.config.nodes.iter().map(|config| {
            Arc::new(Node {
                health: match config.initial_state {
                    InitialState::Unknown | InitialState::Drain => NodeHealth::Up,
                    InitialState::Down => NodeHealth::Down,
                    InitialState::Future | InitialState::Cloud => NodeHealth::Future,
                },
                drain: config.initial_state == InitialState::Drain,
                ..Node::new(Arc::new(config.clone()))
            })
        })
    }
}

fn node_config(index: u32, cpus: u32) -> NodeConfig {
    let name: muster_model::ids::Name = format!("n{}", index + 1).into();
    NodeConfig {
        name: name.clone(),
        host_name: name.clone(),
        address: name,
        port: 0,
        hardware: Hardware { memory: Megabytes(u64::from(cpus)), ..Hardware::of_cpus(cpus) },
        features: Vec::new(),
        features_inactive: Vec::new(),
        weight: 1,
        initial_state: InitialState::Unknown,
        reason: None,
    }
}

fn partition(nodes: u32) -> Partition {
    Partition {
        node_list: format!("n[1-{nodes}]").into(),
        default: true,
        ..Partition::new("all".into(), (0..nodes).map(NodeIndex).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_dealt_out_evenly() {
        let machine = Machine::of_size(3, 8, false).unwrap();
        let cpus: Vec<u32> = machine.config.nodes.iter().map(|node| node.hardware.cpus).collect();
        assert_eq!((cpus.as_slice(), machine.cpus(), machine.units()), ([3, 3, 2].as_slice(), 8, 8));
        assert_eq!(Machine::of_size(4, 8, true).unwrap().units(), 4);
    }

    #[test]
    fn what_makes_no_machine_is_refused() {
        let check = |nodes, cpus, whole, expected: &str| {
            assert_eq!(Machine::of_size(nodes, cpus, whole).unwrap_err().to_string(), expected);
        };
        check(0, 8, false, "8 processors on 0 nodes: a node has at least one");
        check(3, 8, true, "8 processors on 3 nodes: whole nodes can only be given where all are alike");
        check(1, 100_000, false, "100000 processors on 1 nodes: more than 65536 on one");
    }
}
