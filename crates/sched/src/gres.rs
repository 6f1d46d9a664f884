//! Generic resources: which columns a request draws on, and how much it needs of them.

use muster_model::request::{Refusal, RefusalCode};
use muster_model::resources::{GresRequest, GresScope};

use crate::fleet::Fleet;
use crate::job_units::LINES_MAX;

/// One line of a request, made ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GresNeed {
    /// Columns that may serve it.
    pub(crate) slots: Vec<usize>,
    /// By what [`GresNeed::amount`] counts.
    pub(crate) scope: GresScope,
    /// Units wanted.
    pub(crate) amount: u32,
    /// Units that must be free in the columns for this line and the more specific ones before it.
    pub(crate) amount_with_specific: u32,
    /// Which of the lines it is that are counted over the job; none for any other.
    pub(crate) job_line: Option<u8>,
    /// Whether it is named `gpu`.
    pub(crate) is_gpu: bool,
    /// Whether its units are parts of a GPU (`shard`, `mps`): all of a job on a node come from one.
    pub(crate) is_shared: bool,
}

/// Names of generic resources that are parts of a GPU.
pub(crate) const PARTS_OF_GPU: [&str; 2] = ["shard", "mps"];

impl GresNeed {
    /// Units that are free for this line in the columns of a node.
    #[inline]
    pub(crate) fn free(&self, columns: &[u32]) -> u32 {
        self.slots.iter().map(|slot| columns[*slot]).sum()
    }
}

/// Whether `node` has as much as `requests` want of generic resources that are not used up.
pub(crate) fn has_unconsumed(fleet: &Fleet, node: u32, requests: &[GresRequest]) -> bool {
    let has = |request: &GresRequest| {
        let wanted = &request.gres;
        let own = fleet
            .node(node)
            .hardware
            .gres_unconsumed
            .iter()
            .filter(|gres| gres.name == wanted.name && (wanted.kind.is_none() || gres.kind == wanted.kind));
        own.map(|gres| gres.count).fold(0, u64::saturating_add) >= wanted.count
    };
    requests.iter().filter(|request| fleet.is_unconsumed(&request.gres.name)).all(has)
}

/// Makes `requests` ready, lines with a type first. Lines that ask for nothing, or for what is not used up, are dropped.
///
/// # Errors
/// `InvalidGres` for a name that the cluster does not know, `NodeConfigUnavailable` for a type that no node has,
/// `NotSupported` for more lines counted over the whole job than [`LINES_MAX`].
pub(crate) fn compile(fleet: &Fleet, requests: &[GresRequest]) -> Result<Vec<GresNeed>, Refusal> {
    let mut needs: Vec<GresNeed> = Vec::new();
    let is_counted = |request: &&GresRequest| request.gres.count > 0 && !fleet.is_unconsumed(&request.gres.name);
    let mut sorted: Vec<&GresRequest> = requests.iter().filter(is_counted).collect();
    sorted.sort_by_key(|request| request.gres.kind.is_none());
    for request in sorted {
        let gres = &request.gres;
        if !fleet.knows_gres(&gres.name) {
            return Err(RefusalCode::InvalidGres.into());
        }
        let matches =
            |slot: &crate::fleet::GresSlot| slot.name == gres.name && (gres.kind.is_none() || slot.kind == gres.kind);
        let slots: Vec<usize> =
            fleet.gres_slots.iter().enumerate().filter(|(_, slot)| matches(slot)).map(|(at, _)| at).collect();
        let amount = u32::try_from(gres.count).map_err(|_| RefusalCode::NodeConfigUnavailable)?;
        if slots.is_empty() {
            return Err(RefusalCode::NodeConfigUnavailable.into());
        }
        // Of two lines about the same resource, counted alike, the last counts, as observed with Slurm 22.05.
        if let Some(known) = needs.iter_mut().find(|need| need.scope == request.scope && need.slots == slots) {
            let specific = known.amount_with_specific.saturating_sub(known.amount);
            (known.amount, known.amount_with_specific) = (amount, amount.saturating_add(specific));
            continue;
        }
        let specific: u32 = needs
            .iter()
            .filter(|need| need.scope == request.scope && need.slots.iter().all(|slot| slots.contains(slot)))
            .fold(0, |sum, need| sum.saturating_add(need.amount));
        needs.push(GresNeed {
            slots,
            scope: request.scope,
            amount,
            amount_with_specific: amount.saturating_add(specific),
            job_line: None,
            is_gpu: &*gres.name == "gpu",
            is_shared: PARTS_OF_GPU.contains(&&*gres.name),
        });
    }
    if needs.iter().any(|need| need.is_shared) && needs.iter().filter(|need| need.is_gpu || need.is_shared).count() > 1
    {
        // A job has whole GPUs or parts of one, not both.
        return Err(RefusalCode::InvalidGres.into());
    }
    check_job_lines(&needs)?;
    Ok(needs)
}

/// Lines that are counted over the job draw on units of their own, and there are not too many of them.
fn check_job_lines(needs: &[GresNeed]) -> Result<(), Refusal> {
    let lines: Vec<&GresNeed> = needs.iter().filter(|need| need.scope == GresScope::Job).collect();
    let overlaps = |at: usize, need: &GresNeed| {
        lines[..at].iter().any(|other| need.slots.iter().any(|slot| other.slots.contains(slot)))
    };
    if lines.iter().enumerate().any(|(at, need)| overlaps(at, need)) {
        return Err(RefusalCode::InvalidGres.into());
    }
    if lines.len() > LINES_MAX {
        let detail = format!("generic resources counted over the whole job: at most {LINES_MAX} kinds at a time");
        return Err(Refusal::new(RefusalCode::NotSupported, detail));
    }
    Ok(())
}

/// Numbers the lines that are counted over the job.
fn number_job_lines(needs: &mut [GresNeed]) {
    let lines = needs.iter_mut().filter(|need| need.scope == GresScope::Job);
    (0..).zip(lines).for_each(|(number, need)| need.job_line = Some(number));
}

/// What two lines about the same resource say together about nodes and tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The number of nodes, where it follows.
    pub(crate) nodes: Option<u32>,
    /// Most tasks on a node.
    pub(crate) tasks_per_node_max: u32,
}

/// Leaves one line where several count the same resource differently: `--gpus=4` beside `--gpus-per-task=1` only
/// repeats the number of tasks, beside `--gpus-per-node=2` the number of nodes.
///
/// # Errors
/// `InvalidGres` where they contradict each other, `NotSupported` for sockets beside another count.
pub(crate) fn reconcile(needs: &mut Vec<GresNeed>, tasks: u32) -> Result<Bounds, Refusal> {
    let mut bounds = Bounds { nodes: None, tasks_per_node_max: u32::MAX };
    let mut dropped: Vec<usize> = Vec::new();
    for (at, need) in needs.iter().enumerate() {
        for (other_at, other) in needs.iter().enumerate() {
            let is_same = need.slots.iter().any(|slot| other.slots.contains(slot));
            if !is_same || need.scope == other.scope {
                continue;
            }
            match (need.scope, other.scope) {
                (GresScope::Socket, _) => {
                    let detail = "generic resources counted by socket and otherwise at once";
                    return Err(Refusal::new(RefusalCode::NotSupported, detail));
                }
                (GresScope::Job, GresScope::Task) => {
                    if other.amount.checked_mul(tasks) != Some(need.amount) {
                        return Err(RefusalCode::InvalidGres.into());
                    }
                    dropped.push(at);
                }
                (GresScope::Job, GresScope::Node) => {
                    if !need.amount.is_multiple_of(other.amount) {
                        return Err(RefusalCode::InvalidGres.into());
                    }
                    let nodes = need.amount / other.amount;
                    if bounds.nodes.is_some_and(|known| known != nodes) {
                        return Err(RefusalCode::InvalidGres.into());
                    }
                    bounds.nodes = Some(nodes);
                    dropped.push(at);
                }
                (GresScope::Node, GresScope::Task) => {
                    bounds.tasks_per_node_max = (need.amount / other.amount).max(1);
                    dropped.push(other_at);
                }
                _ => {}
            }
        }
    }
    let mut at = 0;
    needs.retain(|_| {
        at += 1;
        !dropped.contains(&(at - 1))
    });
    number_job_lines(needs);
    Ok(bounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(lines: &[(GresScope, u32)], tasks: u32) -> String {
        let need = |(scope, amount): &(GresScope, u32)| GresNeed {
            slots: vec![0],
            scope: *scope,
            amount: *amount,
            amount_with_specific: *amount,
            job_line: None,
            is_gpu: true,
            is_shared: false,
        };
        let mut needs: Vec<GresNeed> = lines.iter().map(need).collect();
        match reconcile(&mut needs, tasks) {
            Ok(bounds) => {
                let left: Vec<String> = needs.iter().map(|need| format!("{:?} {}", need.scope, need.amount)).collect();
                format!("{} nodes={:?} tasks={}", left.join(", "), bounds.nodes, bounds.tasks_per_node_max)
            }
            Err(refusal) => format!("{:?}", refusal.code),
        }
    }

    #[test]
    fn counts_of_the_same_resource_agree_or_are_refused() {
        use GresScope::{Job, Node, Socket, Task};
        assert_eq!(outcome(&[(Job, 4), (Task, 1)], 4), "Task 1 nodes=None tasks=4294967295");
        assert_eq!(outcome(&[(Job, 5), (Task, 1)], 4), "InvalidGres");
        assert_eq!(outcome(&[(Job, 8), (Node, 4)], 1), "Node 4 nodes=Some(2) tasks=4294967295");
        assert_eq!(outcome(&[(Job, 7), (Node, 4)], 1), "InvalidGres");
        assert_eq!(outcome(&[(Node, 4), (Task, 2)], 8), "Node 4 nodes=None tasks=2");
        assert_eq!(outcome(&[(Socket, 1), (Task, 2)], 8), "NotSupported");
        assert_eq!(outcome(&[(Node, 4), (Node, 1)], 8), "Node 4, Node 1 nodes=None tasks=4294967295");
    }
}
