//! What jobs are charged to, and whether limits let them in and start.

use muster_model::accounting::{
    self, Charge, ChargeRequest, Freedom, Layers, NodeAmounts, QosFlag, Request, TresAmounts, Whole, charge,
};
use muster_model::ids::{JobId, Name};
use muster_model::job::{Job, JobSpec};
use muster_model::partition::Partition;
use muster_model::priority::with_billing;
use muster_model::request::{Refusal, RefusalCode};
use muster_model::resources::NodeShare;
use muster_model::state::{JobState, Reason};
use muster_model::time::{TimeLimit, Timestamp};

use crate::cluster::Cluster;
use crate::effect::Outcome;

/// Account, association and QOS of a job with `spec` in `partition`.
pub(crate) fn resolve(cluster: &Cluster, spec: &JobSpec, partition: &Partition) -> Result<Charge, Refusal> {
    let request = ChargeRequest {
        user: &spec.identity.user,
        account: spec.account.as_deref(),
        qos: spec.qos.as_deref(),
        partition,
    };
    charge(&cluster.accounting, cluster.config.accounting_enforce, &request)
}

/// Whether a job may ask for the QOS that it would be charged to, as it stands.
///
/// # Errors
/// `InvalidQos`: one that needs a reservation and has none (`RequiresReservation`), and one that is a percentage of a
/// partition (`Relative`), which is for that partition only.
pub(crate) fn may_ask_qos(cluster: &Cluster, spec: &JobSpec, charge: &Charge) -> Result<(), Refusal> {
    let refuse = |detail: String| Err(Refusal::new(RefusalCode::InvalidQos, detail));
    let Some(qos) = charge.qos.as_ref().and_then(|name| cluster.accounting.qos.get(name)) else { return Ok(()) };
    if qos.has(QosFlag::RequiresReservation) && spec.reservation.is_none() {
        return refuse(format!("QOS {} can only be used in a reservation", qos.name));
    }
    let is_of_partition = |partition: &std::sync::Arc<Partition>| partition.qos.as_ref() == Some(&qos.name);
    if qos.has(QosFlag::Relative) && cluster.partitions.iter().any(is_of_partition) {
        return refuse(format!("QOS {} is relative to a partition, and no job can ask for it", qos.name));
    }
    Ok(())
}

fn layers(cluster: &Cluster, charge: (&Option<accounting::AssociationId>, &Option<Name>), partition: &str) -> Layers {
    let partition_qos = cluster.partition_qos(partition);
    let whole = |whole| {
        let of_partition = cluster.partition(partition).filter(|_| whole == Whole::Partition);
        let nodes = cluster.nodes.iter().enumerate().filter(|(index, _)| {
            of_partition.is_none_or(|partition| partition.nodes.iter().any(|node| node.0 as usize == *index))
        });
        let amounts = accounting::amounts_of(nodes.map(|(_, node)| &**node), &cluster.licenses_total());
        match whole {
            Whole::Cluster => amounts,
            Whole::Partition => with_billing(amounts, partition, &cluster.config.priority),
        }
    };
    Layers::of(&cluster.accounting, *charge.0, charge.1.as_deref(), partition_qos.as_deref(), whole)
}

/// Whether limits let a new job in. Takes also the time limit from them where nobody gave one.
pub(crate) fn check_submit(
    cluster: &Cluster,
    now: Timestamp,
    spec: &JobSpec,
    charge: &Charge,
    partition: &Partition,
    time_limit: TimeLimit,
) -> Result<TimeLimit, Refusal> {
    if !cluster.config.accounting_enforce.limits {
        return Ok(time_limit);
    }
    let layers = layers(cluster, (&charge.association, &charge.qos), &partition.name);
    let time_limit = default_time_limit(&layers, spec, partition, time_limit);
    let jobs = spec.array.as_ref().map_or(1, |array| array.tasks.iter().count() as u64);
    let tres = with_billing(accounting::asked(&spec.request), &partition.name, &cluster.config.priority);
    let request = Request {
        user: &spec.identity.user,
        account: charge.account.as_ref(),
        tres: &tres,
        time_limit,
        jobs,
        fair_share: None,
    };
    let strict = layers.qos.iter().any(|qos| qos.has(QosFlag::DenyOnLimit));
    match accounting::check_submit(&layers, &cluster.enforcement(now), &request, strict) {
        // Slurm's clients print the word of the limit before the refusal.
        Some(violation) => {
            let detail = format!("{}: {violation}", violation.reason());
            Err(Refusal::new(RefusalCode::AccountingPolicy, detail))
        }
        None => Ok(time_limit),
    }
}

/// A job for which neither user nor partition says how long it may take is given what `MaxWall` allows.
fn default_time_limit(layers: &Layers, spec: &JobSpec, partition: &Partition, otherwise: TimeLimit) -> TimeLimit {
    if spec.time_limit.is_some() || partition.time_default.is_some() {
        return otherwise;
    }
    let limit = accounting::CountLimit::MaxWall;
    let found = layers.qos_count(limit).map(|(_, minutes)| minutes);
    let found = found.or_else(|| layers.association_count(limit).map(|(_, minutes)| minutes));
    let Some(minutes) = found else { return otherwise };
    let seconds = i64::try_from(minutes.saturating_mul(60)).unwrap_or(i64::MAX / 1000);
    let found = TimeLimit::Limited(muster_model::time::Span::from_seconds(seconds.min(i64::MAX / 1000)));
    // The limit of the partition does not hold under a QOS that passes it.
    let is_free = layers.own_qos().is_some_and(|qos| Freedom::of(qos).time_max);
    if is_free { found } else { found.min(otherwise) }
}

/// What keeps `job` from starting with `shares` in `partition`: a limit, or that its association or QOS is gone.
pub(crate) fn forbids(
    cluster: &Cluster,
    now: Timestamp,
    job: &Job,
    partition: &str,
    time_limit: TimeLimit,
    shares: &[NodeShare],
) -> Option<Reason> {
    let enforce = cluster.config.accounting_enforce;
    let has_association = job.association.is_some_and(|id| cluster.accounting.associations.contains_key(&id));
    if enforce.associations && !has_association {
        return Some(Reason::InvalidAccount);
    }
    let has_qos = job.qos.as_ref().is_some_and(|name| cluster.accounting.qos.contains_key(name));
    if enforce.qos && !has_qos {
        return Some(Reason::InvalidQos);
    }
    if !enforce.limits {
        return None;
    }
    let layers = layers(cluster, (&job.association, &job.qos), partition);
    let tres: TresAmounts =
        accounting::in_all(shares.iter().map(NodeAmounts::from), job.spec.request.licenses.as_deref());
    let tres = with_billing(tres, partition, &cluster.config.priority);
    let request = Request {
        user: &job.spec.identity.user,
        account: job.account.as_ref(),
        tres: &tres,
        time_limit,
        jobs: 1,
        fair_share: job.association.and_then(|id| cluster.priorities.current.fair_share_factor(id)),
    };
    let violation = accounting::check_start(&layers, &cluster.enforcement(now), &request)?;
    Some(violation.reason())
}

/// After a change of rows: tallies follow the tree, and jobs that wait are charged to what there is now. One that has
/// lost its association or QOS waits and says so.
pub(super) fn reconsider(cluster: &mut Cluster, now: Timestamp, out: &mut Outcome) {
    cluster.tallies = cluster.recount();
    let waiting: Vec<JobId> =
        cluster.jobs.values().filter(|job| job.state == JobState::Pending).map(|job| job.id).collect();
    for id in waiting {
        let Some(job) = cluster.jobs.get(&id).cloned() else { continue };
        let Some(partition) = cluster.partition(&job.partition).cloned() else { continue };
        let problem = resolve(cluster, &as_charged(&job), &partition).map_or_else(Some, |charge| {
            if charge.association != job.association {
                let changed = Job { association: charge.association, ..(*job).clone() };
                cluster.put_job_quietly(now, changed, out);
            }
            None
        });
        tell(cluster, now, id, problem.as_ref(), out);
    }
}

/// Gives a waiting job the reason that its account or QOS is not there, or takes it away.
fn tell(cluster: &mut Cluster, now: Timestamp, id: JobId, problem: Option<&Refusal>, out: &mut Outcome) {
    let Some(job) = cluster.jobs.get(&id).cloned() else { return };
    let reason = match problem.map(|refusal| refusal.code) {
        Some(RefusalCode::InvalidAccount) => Reason::InvalidAccount,
        Some(_) => Reason::InvalidQos,
        None if matches!(job.reason, Reason::InvalidAccount | Reason::InvalidQos) => Reason::None,
        None => return,
    };
    if reason != job.reason {
        cluster.put_job_quietly(now, Job { reason, reason_detail: None, ..(*job).clone() }, out);
    }
}

/// The specification with what the job was charged to, so that another default does not move it.
fn as_charged(job: &Job) -> JobSpec {
    let mut spec = (*job.spec).clone();
    spec.account = job.account.clone().or(spec.account);
    spec.qos = job.qos.clone().or(spec.qos);
    spec
}
