//! What is fixed about nodes and partitions while the configuration stays: hardware, features, weights, names.
//!
//! Kept as columns, one number for each node, because sweeps over them are the inner loop of everything here.
//! A [`Fleet`] is built anew when any part of the configuration it came from is another object than before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::{OrdMap, Vector};
use muster_model::accounting::{Freedom, Qos, RemoteResource};
use muster_model::config::{ClusterConfig, CpuUnit};
use muster_model::ids::Name;
use muster_model::job::Job;
use muster_model::licenses;
use muster_model::node::{Node, NodeConfig};
use muster_model::partition::Partition;
use muster_model::planning::PlanView;
use muster_model::time::TimeLimit;

use crate::alike;
use crate::gres::PARTS_OF_GPU;
use crate::nodeset::NodeSet;
use crate::wiring::Wiring;

/// Most units of one generic resource that are told apart on one node. A count-only resource with more is offered up
/// to this number: units are kept as bit maps, which must stay small.
pub(crate) const UNITS_MAX: u32 = 4096;

/// One column of generic resources: a name with a type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct GresSlot {
    pub(crate) name: Name,
    pub(crate) kind: Option<Name>,
}

/// A generic resource whose units are parts of GPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GpuParts {
    /// Its column.
    pub(crate) slot: usize,
    /// Units of each GPU.
    pub(crate) per_gpu: u32,
}

/// The fixed facts. Vectors are indexed by node unless said otherwise.
#[derive(Debug)]
pub(crate) struct Fleet {
    config: Arc<ClusterConfig>,
    node_configs: Vec<Arc<NodeConfig>>,
    /// Rows that have these configurations: of rows that are still the same nothing need be asked.
    rows_seen: Vector<Arc<Node>>,
    partitions: Vec<Arc<Partition>>,
    by_name: BTreeMap<Name, u32>,
    partition_by_name: BTreeMap<Name, u32>,
    /// CPUs that can be given: whole cores.
    pub(crate) cpus: Vec<u32>,
    /// CPUs that are given together: the threads of a core, or 1 where CPUs are cores.
    pub(crate) cpus_per_core: Vec<u32>,
    /// CPUs of one core; differs from `cpus_per_core` where sockets are given whole.
    pub(crate) threads: Vec<u32>,
    /// Whether it matters which cores of a node a job gets, so that they are chosen with the plan.
    pub(crate) has_exact_cores: Vec<bool>,
    /// Whether any node keeps cores for jobs with GPUs.
    pub(crate) has_restricted_cores: bool,
    /// Shards or other parts of each GPU by node, with the columns of both; empty where there are none.
    pub(crate) gpu_parts: BTreeMap<u32, Vec<GpuParts>>,
    /// How nodes are wired.
    pub(crate) wiring: Option<Wiring>,
    pub(crate) memory: Vec<u64>,
    pub(crate) tmp_disk: Vec<u64>,
    pub(crate) sockets: Vec<u32>,
    pub(crate) weight: Vec<u32>,
    /// Which of [`Fleet::feature_sets`] a node has.
    pub(crate) feature_class: Vec<u32>,
    /// All features that some node can have.
    features_known: BTreeSet<Name>,
    /// Distinct sets of features.
    pub(crate) feature_sets: Vec<BTreeSet<Name>>,
    /// The first columns of counted things on nodes: generic resources, in order of name and type.
    pub(crate) gres_slots: Vec<GresSlot>,
    /// For partitions that limit their CPUs on each node (`MaxCPUsPerNode`): a further column, with the limit as what
    /// a node has of it.
    quota_columns: Vec<Option<usize>>,
    /// Number of columns.
    pub(crate) width: usize,
    /// What nodes have: `node * width + column`.
    pub(crate) column_total: Vec<u32>,
    /// Number of the first unit of each generic resource among the node's units of that name; as above.
    column_first: Vec<u32>,
    /// Nodes of each partition.
    pub(crate) partition_nodes: Vec<NodeSet>,
    /// Licences of the cluster by name.
    pub(crate) licenses: BTreeMap<Name, u64>,
    /// The remote licences among them, as they were read.
    resources: OrdMap<Name, Arc<RemoteResource>>,
    /// All QOS, and what those let their jobs pass that pass any limit of partitions.
    qos: OrdMap<Name, Arc<Qos>>,
    freedoms: Vec<(Name, Freedom)>,
}

impl Fleet {
    /// Whether `view` still has the configuration this was built from.
    pub(crate) fn is_of(&self, view: &PlanView) -> bool {
        Arc::ptr_eq(&self.config, &view.config)
            && self.resources.ptr_eq(&view.accounting.resources)
            && (self.qos.ptr_eq(&view.accounting.qos) || self.freedoms == view.accounting.freedoms())
            && self.partitions.len() == view.partitions.len()
            && self.node_configs.len() == view.nodes.len()
            && self.partitions.iter().zip(&view.partitions).all(|(ours, theirs)| Arc::ptr_eq(ours, theirs))
            && alike::changed_rows(&self.rows_seen, &view.nodes)
                .iter()
                .all(|row| Arc::ptr_eq(&self.node_configs[*row as usize], &view.nodes[*row as usize].config))
    }

    /// As [`Fleet::is_of`]; the next view is compared with this one, with which it has most in common.
    pub(crate) fn follow(&mut self, view: &PlanView) -> bool {
        let is_of = self.is_of(view);
        if is_of {
            self.rows_seen = view.nodes.clone();
        }
        is_of
    }

    /// Reads the configuration out of `view`.
    pub(crate) fn build(view: &PlanView) -> Fleet {
        let node_configs: Vec<Arc<NodeConfig>> = view.nodes.iter().map(|node| node.config.clone()).collect();
        let partitions: Vec<Arc<Partition>> = view.partitions.iter().cloned().collect();
        let count = node_configs.len();
        let mut fleet = Fleet {
            config: view.config.clone(),
            by_name: (0..).zip(&node_configs).map(|(index, node)| (node.name.clone(), index)).collect(),
            partition_by_name: (0..).zip(&partitions).map(|(index, part)| (part.name.clone(), index)).collect(),
            cpus: Vec::with_capacity(count),
            cpus_per_core: Vec::with_capacity(count),
            threads: Vec::with_capacity(count),
            has_exact_cores: Vec::with_capacity(count),
            has_restricted_cores: node_configs.iter().any(|node| node.hardware.cores_per_gpu_restricted > 0),
            gpu_parts: BTreeMap::new(),
            wiring: Wiring::of(&view.config, count),
            memory: node_configs.iter().map(|node| node.hardware.memory_usable().0).collect(),
            tmp_disk: node_configs.iter().map(|node| node.hardware.tmp_disk.0).collect(),
            sockets: node_configs.iter().map(|node| node.hardware.sockets.max(1)).collect(),
            weight: node_configs.iter().map(|node| node.weight).collect(),
            feature_class: Vec::with_capacity(count),
            features_known: BTreeSet::new(),
            feature_sets: Vec::new(),
            gres_slots: Vec::new(),
            quota_columns: Vec::new(),
            width: 0,
            column_total: Vec::new(),
            column_first: Vec::new(),
            partition_nodes: partitions
                .iter()
                .map(|part| part.nodes.iter().map(|node| node.0).filter(|node| (*node as usize) < count).collect())
                .collect(),
            licenses: licenses::totals(&view.config, &view.accounting),
            resources: view.accounting.resources.clone(),
            qos: view.accounting.qos.clone(),
            freedoms: view.accounting.freedoms(),
            node_configs,
            rows_seen: view.nodes.clone(),
            partitions,
        };
        fleet.read_cpus();
        fleet.read_features();
        fleet.read_columns();
        fleet.read_gpu_parts();
        fleet
    }

    fn read_cpus(&mut self) {
        // Which cores jobs share is planned, not left to chance.
        let sharing =
            self.partitions.iter().zip(&self.partition_nodes).filter(|(part, _)| part.over_subscribe.may_share());
        let shared: BTreeSet<u32> = sharing.flat_map(|(_, nodes)| nodes.iter()).collect();
        for (index, node) in (0..).zip(&self.node_configs) {
            let hardware = &node.hardware;
            // Where CPUs counts cores although cores have threads, a CPU is a core.
            let threads = hardware.cpus_per_core();
            let per_piece = match self.config.placement.unit {
                CpuUnit::Socket => threads.saturating_mul(hardware.cores_per_socket.max(1)),
                CpuUnit::Core | CpuUnit::Cpu => threads,
            };
            let cpus = hardware.cpus.saturating_sub(hardware.cpus_reserved.len());
            self.threads.push(threads);
            self.cpus_per_core.push(per_piece);
            self.cpus.push(cpus - cpus % per_piece);
            let is_exact = hardware.sockets > 1
                || shared.contains(&index)
                || !hardware.cpus_reserved.is_empty()
                || hardware.places.iter().any(|place| place.cores.is_some());
            self.has_exact_cores.push(is_exact);
        }
    }

    /// Where every GPU of a node has as many parts, and each part is of one GPU.
    fn read_gpu_parts(&mut self) {
        let slots = self.gres_slots.iter().enumerate();
        let shared: Vec<usize> =
            slots.filter(|(_, slot)| PARTS_OF_GPU.contains(&&*slot.name)).map(|(at, _)| at).collect();
        for node in 0..self.node_configs.len() as u32 {
            let gpus = self.gpus_of(node);
            if gpus == 0 || shared.is_empty() {
                continue;
            }
            let total = |slot: &usize| self.column_total[node as usize * self.width + *slot];
            let parts = |slot: &usize| GpuParts { slot: *slot, per_gpu: (total(slot) / gpus).max(1) };
            let here: Vec<GpuParts> = shared.iter().filter(|slot| total(slot) > 0).map(parts).collect();
            if !here.is_empty() {
                self.gpu_parts.insert(node, here);
            }
        }
    }

    /// Number of GPUs of `node`, of all types.
    pub(crate) fn gpus_of(&self, node: u32) -> u32 {
        let columns = &self.column_total[node as usize * self.width..][..self.gres_slots.len()];
        self.gres_slots.iter().zip(columns).filter(|(slot, _)| &*slot.name == "gpu").map(|(_, units)| *units).sum()
    }

    fn read_features(&mut self) {
        let mut classes: BTreeMap<BTreeSet<Name>, u32> = BTreeMap::new();
        for node in &self.node_configs {
            self.features_known.extend(node.features.iter().cloned());
            let set: BTreeSet<Name> = node.active_features().cloned().collect();
            let next = classes.len() as u32;
            let class = *classes.entry(set).or_insert_with_key(|set| {
                self.feature_sets.push(set.clone());
                next
            });
            self.feature_class.push(class);
        }
    }

    fn read_columns(&mut self) {
        let slots: BTreeSet<GresSlot> = self
            .node_configs
            .iter()
            .flat_map(|node| &node.hardware.gres)
            .map(|gres| GresSlot { name: gres.name.clone(), kind: gres.kind.clone() })
            .collect();
        self.gres_slots = slots.into_iter().collect();
        self.width = self.gres_slots.len();
        for part in &self.partitions {
            self.quota_columns.push(part.cpus_per_node_max.map(|_| self.width));
            self.width += usize::from(part.cpus_per_node_max.is_some());
        }
        self.column_total = vec![0; self.width * self.node_configs.len()];
        self.column_first = self.column_total.clone();
        self.count_gres();
        for (part, column) in self.partitions.iter().zip(&self.quota_columns) {
            let (Some(column), Some(limit)) = (column, part.cpus_per_node_max) else {
                continue;
            };
            self.column_total.iter_mut().skip(*column).step_by(self.width).for_each(|quota| *quota = limit);
        }
    }

    fn count_gres(&mut self) {
        let width = self.width;
        for (index, node) in self.node_configs.iter().enumerate() {
            let mut numbered: BTreeMap<&str, u32> = BTreeMap::new();
            for gres in &node.hardware.gres {
                let slot = self.gres_slots.iter().position(|slot| slot.name == gres.name && slot.kind == gres.kind);
                let Some(slot) = slot else { continue };
                let next = numbered.entry(&gres.name).or_insert(0);
                let room = UNITS_MAX.saturating_sub(*next);
                let units = u32::try_from(gres.count).unwrap_or(u32::MAX).min(room);
                // A type that the configuration splits over several entries of one node has one range all the same
                // only where they follow each other; later entries of a split type are left unused.
                if self.column_total[index * width + slot] == 0 {
                    self.column_first[index * width + slot] = *next;
                    self.column_total[index * width + slot] = units;
                }
                *next += units;
            }
        }
    }

    /// Number of nodes.
    pub(crate) fn node_count(&self) -> usize {
        self.node_configs.len()
    }

    /// The cluster's configuration.
    pub(crate) fn config(&self) -> &ClusterConfig {
        &self.config
    }

    /// Configuration of a node.
    pub(crate) fn node(&self, node: u32) -> &NodeConfig {
        &self.node_configs[node as usize]
    }

    /// Index of the node called `name`.
    pub(crate) fn node_named(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    /// A partition by index.
    pub(crate) fn partition(&self, index: u32) -> &Partition {
        &self.partitions[index as usize]
    }

    /// Which limits of partitions do not hold under this QOS.
    pub(crate) fn freedom_under(&self, qos: Option<&Name>) -> Freedom {
        let known = self.freedoms.iter().find(|(name, _)| qos == Some(name));
        known.map(|(_, freedom)| *freedom).unwrap_or_default()
    }

    /// Whether any QOS lets its jobs pass limits of partitions.
    pub(crate) fn has_freedoms(&self) -> bool {
        !self.freedoms.is_empty()
    }

    /// Which limits of partitions do not hold for `job`.
    pub(crate) fn freedom_of(&self, job: &Job) -> Freedom {
        self.freedom_under(job.qos.as_ref().or(job.spec.qos.as_ref()))
    }

    /// Whether `limit` is more than `job` may have in a partition.
    pub(crate) fn is_too_long(&self, job: &Job, partition: u32, limit: TimeLimit) -> bool {
        limit > self.partition(partition).time_max && !self.freedom_of(job).time_max
    }

    /// Number of partitions.
    pub(crate) fn partition_count(&self) -> usize {
        self.partitions.len()
    }

    /// Index of the partition called `name`.
    pub(crate) fn partition_named(&self, name: &str) -> Option<u32> {
        self.partition_by_name.get(name).copied()
    }

    /// Index of the partition for jobs that name none.
    pub(crate) fn partition_default(&self) -> Option<u32> {
        self.partitions.iter().position(|part| part.default).map(|index| index as u32)
    }

    /// The units of the generic resource `slot` on `node`, as numbers over all units of its name.
    pub(crate) fn gres_units(&self, node: u32, slot: usize) -> std::ops::Range<u32> {
        let at = node as usize * self.width + slot;
        self.column_first[at]..self.column_first[at] + self.column_total[at]
    }

    /// The column that counts the CPUs of `partition` on each node, where they are limited.
    pub(crate) fn quota_column(&self, partition: u32) -> Option<usize> {
        self.quota_columns[partition as usize]
    }

    /// Whether any partition limits its CPUs on each node.
    pub(crate) fn has_quotas(&self) -> bool {
        self.quota_columns.iter().any(Option::is_some)
    }

    /// Whether a generic resource of this name is known, by `GresTypes` or on any node.
    pub(crate) fn knows_gres(&self, name: &str) -> bool {
        self.config.gres_types.iter().any(|known| &**known == name)
            || self.gres_slots.iter().any(|slot| &*slot.name == name)
            || self.is_unconsumed(name)
    }

    /// Whether jobs do not use up a generic resource of this name.
    pub(crate) fn is_unconsumed(&self, name: &str) -> bool {
        self.node_configs.iter().any(|node| node.hardware.gres_unconsumed.iter().any(|gres| &*gres.name == name))
    }

    /// Whether `slot` counts whole GPUs.
    pub(crate) fn is_gpu(&self, slot: usize) -> bool {
        self.gres_slots.get(slot).is_some_and(|slot| &*slot.name == "gpu")
    }

    /// Whether any node has this feature.
    pub(crate) fn knows_feature(&self, feature: &str) -> bool {
        self.features_known.contains(feature)
    }
}
