//! Trackable resources as text: `cpu=2,mem=1G,node=1,billing=2,gres/gpu=1`, and requests for generic resources:
//! `gres:gpu:h100:2`.

use std::collections::BTreeMap;

use muster_model::ids::Name;
use muster_model::job::Job;
use muster_model::licenses;
use muster_model::resources::{Allocation, Gres, GresRequest, GresScope, GresShare, Megabytes, MemoryRequest};

use super::billing;
use super::context::Cluster;
use super::units;

/// Amounts of trackable resources.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Amounts {
    /// CPUs.
    pub cpus: u64,
    /// Memory over all nodes.
    pub memory: Megabytes,
    /// Energy in joules, known when a job has ended.
    pub energy: u64,
    /// Nodes.
    pub nodes: u64,
    /// What it is billed for.
    pub billing: u64,
    /// Units of generic resources, by `gres/NAME` and `gres/NAME:TYPE`, and licences by `license/NAME`.
    pub gres: BTreeMap<String, u64>,
}

impl Amounts {
    /// What a started job holds or held. Only kinds of `tracked` are counted.
    pub fn allocated(allocation: &Allocation, tracked: &[Name]) -> Amounts {
        let mut amounts = Amounts {
            cpus: u64::from(allocation.cpus()),
            memory: allocation.memory(),
            energy: 0,
            nodes: allocation.shares.len() as u64,
            billing: allocation.billing(),
            gres: BTreeMap::new(),
        };
        for share in allocation.shares.iter().flat_map(|share| &share.gres) {
            amounts.add_gres(&share.name, share.kind.as_ref(), u64::from(share.units.len()), tracked);
        }
        amounts
    }

    /// What `job` holds or held in `allocation`, its licences with it.
    pub fn held(job: &Job, allocation: &Allocation, cluster: &Cluster) -> Amounts {
        let mut amounts = Amounts::allocated(allocation, &cluster.tracked_gres());
        amounts.add_licenses(job, cluster);
        if job.state.is_final() {
            amounts.energy = job.energy_joules;
        }
        amounts
    }

    /// What a job asks for, as far as can be told before it starts.
    pub fn requested(job: &Job, cluster: &Cluster, tracked: &[Name]) -> Amounts {
        let request = &job.spec.request;
        let nodes = u64::from(request.nodes_min);
        let cpus = u64::from(super::job_text::cpus_requested(job));
        let memory = match super::job_text::memory_in_force(job, cluster) {
            Some(MemoryRequest::PerNode(Megabytes(0))) | None => whole_node_memory(job, cluster).saturating_mul(nodes),
            Some(MemoryRequest::PerNode(memory)) => memory.0.saturating_mul(nodes),
            Some(MemoryRequest::PerCpu(memory)) => memory.0.saturating_mul(cpus),
            Some(MemoryRequest::PerGpu(memory)) => {
                memory.0.saturating_mul(gpus_requested(&request.gres, nodes, request.tasks))
            }
        };
        let mut amounts = Amounts { cpus, memory: Megabytes(memory), nodes, ..Amounts::default() };
        // Several counts of one resource are about the same units.
        let mut counts: BTreeMap<(&Name, Option<&Name>), u64> = BTreeMap::new();
        for wanted in &request.gres {
            let count = wanted.gres.count.saturating_mul(times(wanted.scope, nodes, request.tasks));
            let known = counts.entry((&wanted.gres.name, wanted.gres.kind.as_ref())).or_default();
            *known = (*known).max(count);
        }
        for ((name, kind), count) in counts {
            amounts.add_gres(name, kind, count, tracked);
        }
        amounts.add_licenses(job, cluster);
        let partition = job.partition.split(',').next().unwrap_or_default();
        amounts.billing = billing::in_partition(&amounts, partition, cluster);
        amounts
    }

    fn add_licenses(&mut self, job: &Job, cluster: &Cluster) {
        let tracked = cluster.tracked_licenses();
        let licenses = licenses::wanted(&job.spec);
        for (name, count) in licenses.iter().filter(|(name, _)| tracked.contains(name)) {
            *self.gres.entry(format!("license/{name}")).or_default() += count;
        }
    }

    /// Adds units of a generic resource, by their kind and by their type, as far as these are among `tracked`.
    pub(super) fn add_gres(&mut self, name: &Name, kind: Option<&Name>, count: u64, tracked: &[Name]) {
        if !tracked.iter().any(|tracked| tracked.split(':').next() == Some(name)) {
            return;
        }
        *self.gres.entry(format!("gres/{name}")).or_default() += count;
        let typed = kind.map(|kind| format!("{name}:{kind}"));
        if let Some(typed) = typed.filter(|typed| tracked.iter().any(|tracked| **tracked == **typed)) {
            *self.gres.entry(format!("gres/{typed}")).or_default() += count;
        }
    }

    /// `cpu=2,mem=1G,node=1,billing=2,gres/gpu=1`; amounts of zero are left out.
    pub fn text(&self) -> String {
        self.join(true, true)
    }

    /// As [`Amounts::text`] without nodes (one node), or without billing.
    fn join(&self, with_nodes: bool, with_billing: bool) -> String {
        let mut parts = Vec::new();
        if self.cpus > 0 {
            parts.push(format!("cpu={}", self.cpus));
        }
        if self.memory.0 > 0 {
            parts.push(format!("mem={}", units::megabytes(self.memory.0)));
        }
        if self.energy > 0 {
            parts.push(format!("energy={}", self.energy));
        }
        if with_nodes && self.nodes > 0 {
            parts.push(format!("node={}", self.nodes));
        }
        if with_billing && self.billing > 0 {
            parts.push(format!("billing={}", self.billing));
        }
        parts.extend(self.gres.iter().map(|(name, count)| format!("{name}={count}")));
        parts.join(",")
    }

    /// As `CfgTRES` of a node: no count of nodes.
    pub fn text_of_node(&self) -> String {
        self.join(false, true)
    }

    /// As `AllocTRES` of a node: neither nodes nor billing.
    pub fn text_of_node_use(&self) -> String {
        self.join(false, false)
    }

    /// As `ReqTRES` and `AllocTRES` of `sacct`, where billing comes first and names are in order.
    pub fn text_sorted(&self) -> String {
        let mut parts: Vec<String> = Vec::new();
        if self.billing > 0 {
            parts.push(format!("billing={}", self.billing));
        }
        if self.cpus > 0 {
            parts.push(format!("cpu={}", self.cpus));
        }
        if self.energy > 0 {
            parts.push(format!("energy={}", self.energy));
        }
        parts.extend(self.gres.iter().map(|(name, count)| format!("{name}={count}")));
        if self.memory.0 > 0 {
            parts.push(format!("mem={}", units::megabytes(self.memory.0)));
        }
        if self.nodes > 0 {
            parts.push(format!("node={}", self.nodes));
        }
        parts.join(",")
    }
}

fn times(scope: GresScope, nodes: u64, tasks: u32) -> u64 {
    match scope {
        GresScope::Node | GresScope::Socket => nodes,
        GresScope::Job => 1,
        GresScope::Task => u64::from(tasks),
    }
}

fn gpus_requested(requests: &[GresRequest], nodes: u64, tasks: u32) -> u64 {
    let gpus = requests.iter().filter(|request| *request.gres.name == *"gpu");
    gpus.map(|request| request.gres.count.saturating_mul(times(request.scope, nodes, tasks)))
        .fold(0, u64::saturating_add)
}

/// Memory of the first node of the job's partition: what a job gets that asks for none where no default is set.
fn whole_node_memory(job: &Job, cluster: &Cluster) -> u64 {
    let partition = job.partition.split(',').next().unwrap_or_default();
    let first = cluster.partition(partition).and_then(|partition| partition.nodes.first());
    first.and_then(|index| cluster.nodes.get(index.0 as usize)).map_or(0, |node| node.config.hardware.memory.0)
}

/// Requests counted by `scope`: `gres:gpu:h100:2,gres:shard:1`; `None` when there are none.
pub fn requests(all: &[GresRequest], scope: GresScope) -> Option<String> {
    let parts: Vec<String> =
        all.iter().filter(|request| request.scope == scope).map(|request| format!("gres:{}", request.gres)).collect();
    (!parts.is_empty()).then(|| parts.join(","))
}

/// What a node has: `gpu:h100:8,shard:4`, or `(null)`.
pub fn node_gres_of(hardware: &muster_model::node::Hardware) -> String {
    let kept = hardware.gres_unconsumed.iter().map(|gres| {
        let kind = gres.kind.as_deref().map(|kind| format!(":{kind}")).unwrap_or_default();
        format!("{}{kind}:no_consume:{}", gres.name, gres.count)
    });
    let all: Vec<String> = hardware.gres.iter().map(Gres::to_string).chain(kept).collect();
    if all.is_empty() { "(null)".to_owned() } else { all.join(",") }
}

/// What of it is used: `gpu:h100:2(IDX:0-1)` with `with_units`, `gpu:2` without; kinds that are not used count 0.
pub fn node_gres_used(gres: &[Gres], used: &[GresShare], with_units: bool) -> String {
    let text = |gres: &Gres| {
        let shares =
            used.iter().filter(|share| share.name == gres.name && (gres.kind.is_none() || share.kind == gres.kind));
        let mut units = muster_model::resources::IndexSet::default();
        shares.for_each(|share| units.add_all(&share.units));
        let count = Gres { count: u64::from(units.len()), ..gres.clone() };
        match (with_units, units.is_empty()) {
            (false, _) => count.to_string(),
            (true, true) => format!("{count}(IDX:N/A)"),
            (true, false) => format!("{count}(IDX:{units})"),
        }
    };
    if gres.is_empty() { "(null)".to_owned() } else { gres.iter().map(text).collect::<Vec<_>>().join(",") }
}
