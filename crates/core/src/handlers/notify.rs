//! What somebody says to a job (`scontrol notify`).

use muster_model::ids::{Identity, JobId};
use muster_model::job::JobKind;
use muster_model::request::{Refusal, RefusalCode};
use muster_model::state::JobState;

use super::authorisation;
use crate::cluster::Cluster;
use crate::effect::{Effect, NodeCommand, Outcome};

/// Passes it on to who holds the job, or else to the node of its script. Nothing is kept of it: who is not there misses it.
pub(super) fn notify(
    cluster: &Cluster,
    identity: &Identity,
    job_id: JobId,
    message: &str,
    out: &mut Outcome,
) -> Result<(), Refusal> {
    let job = cluster.jobs.get(&job_id).ok_or(RefusalCode::InvalidJobId)?;
    authorisation::may_change_job(identity, job)?;
    if !matches!(job.state, JobState::Pending | JobState::Running) {
        return Err(RefusalCode::AlreadyDone.into());
    }
    // The client and the script of a heterogeneous job are with its leader.
    let job = job.het_job_id().and_then(|leader| cluster.jobs.get(&leader)).unwrap_or(job);
    if job.spec.kind == JobKind::Allocation {
        // Nobody stays with an allocation of `salloc --no-shell`.
        if job.spec.unattended {
            return Err(RefusalCode::Disabled.into());
        }
        out.effects.push(Effect::Message { job: job.clone(), text: message.into() });
        return Ok(());
    }
    let node = job.allocation.as_ref().and_then(|allocation| allocation.shares.first()).map(|share| share.node);
    match node.filter(|_| job.state == JobState::Running) {
        Some(node) => {
            out.send(node, NodeCommand::Say { job_id: job.id, restart: job.restart, text: message.into() });
            Ok(())
        }
        None => Err(RefusalCode::Disabled.into()),
    }
}
