//! `EnforcePartLimits`: what the limits of a partition forbid is refused at submit instead of left to wait.
//!
//! The order in which limits are looked at and the words of the refusals are Slurm's, as observed with 22.05.

use muster_model::accounting::{ChargeRequest, Freedom, charge};
use muster_model::hostlist;
use muster_model::job::JobSpec;
use muster_model::planning::PlanView;
use muster_model::request::{Refusal, RefusalCode};
use muster_model::state::Reason;

use crate::feasible::Verdict;
use crate::fleet::Fleet;

/// Why partition `at` forbids a job with `spec`, whose request was judged so; `None` when it is within its limits.
pub(crate) fn refusal(
    fleet: &Fleet,
    view: &PlanView,
    spec: &JobSpec,
    (at, freedom): (u32, Freedom),
    verdict: &Verdict,
) -> Option<Refusal> {
    let partition = fleet.partition(at);
    let refuse = |code: RefusalCode| Some(Refusal::from(code));
    match verdict {
        Verdict::Waits(Reason::PartitionNodeLimit) => return refuse(RefusalCode::InvalidNodeCount),
        Verdict::Waits(Reason::PartitionConfig) => return refuse(RefusalCode::TooManyCpus),
        _ => {}
    }
    if names_others(fleet, spec, at) {
        return refuse(RefusalCode::NodesNotInPartition);
    }
    if !freedom.time_max && spec.time_limit.is_some_and(|limit| limit > partition.time_max) {
        return refuse(RefusalCode::InvalidTimeLimit);
    }
    match verdict {
        Verdict::Waits(Reason::MaxMemPerLimit) => return refuse(RefusalCode::MemoryUnavailable),
        Verdict::Waits(_) => return refuse(RefusalCode::PartitionConfigUnavailable),
        Verdict::Never(refusal) => return Some(refusal.clone()),
        Verdict::Possible(_) => {}
    }
    let request = ChargeRequest {
        user: &spec.identity.user,
        account: spec.account.as_deref(),
        qos: spec.qos.as_deref(),
        partition,
    };
    charge(&view.accounting, view.config.accounting_enforce, &request).err()
}

/// Whether it asks by name for nodes that are not in the partition.
fn names_others(fleet: &Fleet, spec: &JobSpec, at: u32) -> bool {
    let names = spec.request.nodes_required.as_deref().and_then(|list| hostlist::expand(list).ok()).unwrap_or_default();
    let nodes = &fleet.partition_nodes[at as usize];
    names.iter().filter_map(|name| fleet.node_named(name)).any(|node| !nodes.contains(node))
}
