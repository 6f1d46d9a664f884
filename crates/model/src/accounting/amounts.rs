//! What jobs ask for and hold, as amounts of trackable resources.

use crate::ids::Name;
use crate::job::Job;
use crate::resources::{GresScope, GresShare, MemoryRequest, NodeShare, ResourceRequest};

use super::TresAmounts;

/// What a job takes of one node.
#[derive(Debug, Clone, Copy)]
pub struct NodeAmounts<'a> {
    /// CPUs.
    pub cpus: u64,
    /// Memory, MiB.
    pub memory: u64,
    /// Units of generic resources.
    pub gres: &'a [GresShare],
}

impl<'a> From<&'a NodeShare> for NodeAmounts<'a> {
    fn from(share: &'a NodeShare) -> NodeAmounts<'a> {
        NodeAmounts { cpus: u64::from(share.cpus.len()), memory: share.memory.0, gres: &share.gres }
    }
}

/// What a job with these parts takes in all. `licenses` is the list as written. Billing is the number of CPUs here: what a
/// partition bills otherwise, [`with_billing`](crate::priority::with_billing) puts in its place.
pub fn in_all<'a>(parts: impl IntoIterator<Item = NodeAmounts<'a>>, licenses: Option<&str>) -> TresAmounts {
    let (mut amounts, mut cpus, mut memory, mut nodes) = (TresAmounts::default(), 0_u64, 0_u64, 0_u64);
    for part in parts {
        cpus = cpus.saturating_add(part.cpus);
        memory = memory.saturating_add(part.memory);
        nodes += 1;
        for share in part.gres {
            add_gres(&mut amounts, &share.name, share.kind.as_ref(), u64::from(share.units.len()));
        }
    }
    finish(amounts, cpus, memory, nodes, licenses)
}

/// What a job holds, billed as it was when it got it; nothing while it has no allocation.
pub fn held(job: &Job) -> TresAmounts {
    let Some(allocation) = &job.allocation else { return TresAmounts::default() };
    let mut amounts = in_all(allocation.shares.iter().map(NodeAmounts::from), job.spec.request.licenses.as_deref());
    amounts.set_billing(allocation.billing());
    amounts
}

/// The least that a request takes, as far as can be told before nodes are chosen. Billing is the number of CPUs, as in [`in_all`].
pub fn asked(request: &ResourceRequest) -> TresAmounts {
    let nodes = u64::from(request.nodes_min.max(1));
    let tasks = match request.tasks_per_node {
        Some(per_node) if !request.tasks_given => nodes * u64::from(per_node),
        _ => u64::from(request.tasks.max(1)),
    };
    let by_tasks = if request.overcommit { nodes } else { tasks * u64::from(request.cpus_per_task.max(1)) };
    let cpus = by_tasks.max(nodes * u64::from(request.cpus_per_node_min.unwrap_or(1).max(1)));
    let mut amounts = TresAmounts::default();
    let mut gpus = 0_u64;
    for wanted in &request.gres {
        let times = match wanted.scope {
            GresScope::Node | GresScope::Socket => nodes,
            GresScope::Job => 1,
            GresScope::Task => tasks,
        };
        let count = wanted.gres.count.saturating_mul(times);
        if *wanted.gres.name == *"gpu" {
            gpus = gpus.saturating_add(count);
        }
        add_gres(&mut amounts, &wanted.gres.name, wanted.gres.kind.as_ref(), count);
    }
    let memory = match request.memory {
        None => 0,
        Some(MemoryRequest::PerNode(memory)) => memory.0.saturating_mul(nodes),
        Some(MemoryRequest::PerCpu(memory)) => memory.0.saturating_mul(cpus),
        Some(MemoryRequest::PerGpu(memory)) => memory.0.saturating_mul(gpus),
    };
    finish(amounts, cpus, memory, nodes, request.licenses.as_deref())
}

fn finish(mut amounts: TresAmounts, cpus: u64, memory: u64, nodes: u64, licenses: Option<&str>) -> TresAmounts {
    for (name, amount) in [("cpu", cpus), ("mem", memory), ("node", nodes), ("billing", cpus)] {
        if amount > 0 {
            amounts.add(&name.into(), amount);
        }
    }
    for part in licenses.unwrap_or_default().split([',', ';']).map(str::trim).filter(|part| !part.is_empty()) {
        let (name, count) = part.split_once([':', '=', '*']).unwrap_or((part, "1"));
        let count = count.trim().parse().unwrap_or(1);
        if count > 0 {
            amounts.add(&format!("license/{}", name.trim()).into(), count);
        }
    }
    amounts
}

/// Typed units count under their type and under their kind alike.
fn add_gres(amounts: &mut TresAmounts, name: &Name, kind: Option<&Name>, count: u64) {
    if count == 0 {
        return;
    }
    amounts.add(&format!("gres/{name}").into(), count);
    if let Some(kind) = kind {
        amounts.add(&format!("gres/{name}:{kind}").into(), count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::{Gres, GresRequest, Megabytes};

    #[test]
    fn a_request_counts_what_it_takes_at_the_least() {
        let check = |request: ResourceRequest, expected: &str| assert_eq!(asked(&request).to_string(), expected);
        check(ResourceRequest::default(), "billing=1,cpu=1,node=1");
        let gpus =
            |scope, count| GresRequest { scope, gres: Gres { name: "gpu".into(), kind: Some("h100".into()), count } };
        let request = ResourceRequest {
            nodes_min: 2,
            tasks: 4,
            tasks_given: true,
            cpus_per_task: 3,
            memory: Some(MemoryRequest::PerCpu(Megabytes(10))),
            gres: vec![gpus(GresScope::Node, 2)],
            licenses: Some("matlab:2,ansys".into()),
            ..ResourceRequest::default()
        };
        let expected = "billing=12,cpu=12,gres/gpu=4,gres/gpu:h100=4,license/ansys=1,license/matlab=2,mem=120,node=2";
        check(request, expected);
        let per_task = vec![gpus(GresScope::Task, 1)];
        let request = ResourceRequest { tasks: 3, tasks_given: true, gres: per_task, ..ResourceRequest::default() };
        check(request, "billing=3,cpu=3,gres/gpu=3,gres/gpu:h100=3,node=1");
    }
}
