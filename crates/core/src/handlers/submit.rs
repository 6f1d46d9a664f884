//! A new job. Checks what the state decides (partition, limits, dependencies, counts); whether the hardware could ever do
//! it is checked by the scheduler before the request gets here.

use std::sync::Arc;

use muster_model::accounting::Charge;
use muster_model::dependency::{Dependencies, Dependency, DependencyKind};
use muster_model::heterogeneous::{COMPONENTS_MAX, HetRole};
use muster_model::ids::{Identity, JobId, Name, SpecId, SubmitToken};
use muster_model::job::{Hold, Job, JobKind, JobSpec};
use muster_model::mcs::{Labelled, McsConfig, McsPlugin};
use muster_model::partition::{Partition, PartitionState};
use muster_model::request::{Refusal, RefusalCode};
use muster_model::reservation::Applicant;
use muster_model::resources::Sharing;
use muster_model::time::{TimeLimit, Timestamp};

use super::{accounting, authorisation, dependency, expand, least_time, priority, reservations};
use crate::cluster::Cluster;
use crate::effect::Outcome;

pub(super) fn submit(
    cluster: &mut Cluster,
    now: Timestamp,
    identity: &Identity,
    spec: JobSpec,
    token: Option<SubmitToken>,
    out: &mut Outcome,
) -> Result<JobId, Refusal> {
    if spec.cron.is_some() {
        return Err(Refusal::new(RefusalCode::NotSupported, "jobs that come again are submitted with their table"));
    }
    let admitted = check(cluster, now, identity, &spec)?;
    Ok(enter(cluster, now, identity, spec, admitted, token, out))
}

/// Whether a job may be submitted as things stand.
pub(super) fn check(
    cluster: &Cluster,
    now: Timestamp,
    identity: &Identity,
    spec: &JobSpec,
) -> Result<Admitted, Refusal> {
    check_room(cluster, 1)?;
    admit_all(cluster, now, identity, spec)
}

/// Puts a job in that may be submitted.
pub(super) fn enter(
    cluster: &mut Cluster,
    now: Timestamp,
    identity: &Identity,
    spec: JobSpec,
    admitted: Admitted,
    token: Option<SubmitToken>,
    out: &mut Outcome,
) -> JobId {
    let id = cluster.allocate_job_id(out);
    let job = new_job(cluster, now, identity, id, spec, admitted, out);
    enter_queue(cluster, now, Job { submit_token: token, ..job }, out);
    id
}

/// All components of a heterogeneous job, or none: a mistake in one refuses all. Gives the number of the leader.
pub(super) fn submit_het(
    cluster: &mut Cluster,
    now: Timestamp,
    identity: &Identity,
    specs: Vec<JobSpec>,
    token: Option<SubmitToken>,
    out: &mut Outcome,
) -> Result<JobId, Refusal> {
    let size = specs.len();
    if size == 0 || size > COMPONENTS_MAX {
        let text = format!("a heterogeneous job has 1 to {COMPONENTS_MAX} components");
        return Err(Refusal::new(RefusalCode::NotSupported, text));
    }
    if specs.iter().any(|spec| spec.array.is_some()) {
        return Err(RefusalCode::InvalidArray.into());
    }
    if specs.iter().any(|spec| spec.dependencies.expanded().is_some()) {
        return Err(Refusal::new(RefusalCode::NotSupported, "heterogeneous jobs do not expand others"));
    }
    check_room(cluster, size)?;
    let admitted = admit_together(cluster, now, identity, &specs)?;
    let ids: Vec<JobId> = specs.iter().map(|_| cluster.allocate_job_id(out)).collect();
    let Some(leader) = ids.first().copied() else { return Err(RefusalCode::Internal.into()) };
    for (offset, ((spec, admitted), id)) in (0..).zip(specs.into_iter().zip(admitted).zip(ids)) {
        let mut job = new_job(cluster, now, identity, id, spec, admitted, out);
        job.het = Some(HetRole { leader, offset, size: size as u32 });
        job.submit_token = token.filter(|_| id == leader);
        enter_queue(cluster, now, job, out);
    }
    Ok(leader)
}

/// Whether each component may be submitted with those before it counted.
fn admit_together(
    cluster: &mut Cluster,
    now: Timestamp,
    identity: &Identity,
    specs: &[JobSpec],
) -> Result<Vec<Admitted>, Refusal> {
    let tallies = cluster.tallies.clone();
    let admitted = specs.iter().map(|spec| {
        let admitted = admit_all(cluster, now, identity, spec)?;
        let name = admitted.partition.name.clone();
        let row = Job::new(JobId(0), SpecId(0), Arc::new(spec.clone()), name, now);
        cluster.tally_job(None, &charged(row, &admitted));
        Ok(admitted)
    });
    let admitted = admitted.collect();
    cluster.tallies = tallies;
    admitted
}

/// Whether so many more jobs may be kept in memory.
fn check_room(cluster: &Cluster, count: usize) -> Result<(), Refusal> {
    let room = (cluster.config.job_count_max as usize).saturating_sub(cluster.jobs.len());
    if count > room { Err(RefusalCode::TooManyJobs.into()) } else { Ok(()) }
}

/// What a job is given that may be submitted.
pub(super) struct Admitted {
    partition: Arc<Partition>,
    charge: Charge,
    time_limit: TimeLimit,
    time_limit_min: Option<TimeLimit>,
    dependencies: Dependencies,
    labelled: Labelled,
}

/// All checks of one job.
fn admit_all(cluster: &Cluster, now: Timestamp, identity: &Identity, spec: &JobSpec) -> Result<Admitted, Refusal> {
    authorisation::may_submit_as(identity, &spec.identity)?;
    let (partition, charge, time_limit) = admit(cluster, now, identity, spec)?;
    let time_limit_min = least_time::of_new(now, spec, &partition, time_limit)?;
    check_place(cluster, now, spec, &partition, &charge)?;
    let dependencies = check_dependencies(&spec.dependencies)?;
    let (association, qos) = (charge.association, charge.qos.as_ref());
    let uid = spec.identity.uid;
    expand::may_ask(cluster, &dependencies, &expand::Asker { uid, partition: &partition.name, association, qos })?;
    check_priority(identity, spec)?;
    let labelled = labelled(cluster, spec, charge.account.as_ref())?;
    Ok(Admitted { partition, charge, time_limit, time_limit_min, dependencies, labelled })
}

/// The security label of a job.
fn labelled(cluster: &Cluster, spec: &JobSpec, account: Option<&Name>) -> Result<Labelled, Refusal> {
    let (wanted, exclusive) = (spec.request.mcs_label.as_ref(), spec.request.sharing == Sharing::ExclusiveMcs);
    let found = cluster.config.mcs.label(wanted, exclusive, &spec.identity, account);
    found.ok_or_else(|| RefusalCode::InvalidMcsLabel.into())
}

/// What the site makes of the label of a job: what keeps others away, and what is shown.
fn label(spec: &mut JobSpec, config: &McsConfig, labelled: &Labelled) {
    /// The option under which the label is shown.
    const SHOWN: &str = "mcs-label";
    if config.plugin == McsPlugin::None {
        return;
    }
    spec.request.mcs_label = labelled.label.clone().filter(|_| labelled.keeps_others_away);
    match (labelled.keeps_others_away, spec.request.sharing) {
        (true, Sharing::Default | Sharing::ExclusiveMcs) => spec.request.sharing = Sharing::ExclusiveMcs,
        (false, Sharing::ExclusiveMcs) => spec.request.sharing = Sharing::Default,
        _ => {}
    }
    if let Some(rare) = spec.rare.as_mut() {
        rare.others.retain(|(name, _)| &**name != SHOWN);
    }
    if let Some(label) = &labelled.label {
        spec.rare.get_or_insert_default().others.push((SHOWN.into(), label.clone()));
    }
}

fn new_job(
    cluster: &mut Cluster,
    now: Timestamp,
    identity: &Identity,
    id: JobId,
    mut spec: JobSpec,
    admitted: Admitted,
    out: &mut Outcome,
) -> Job {
    // Further partitions that do not let it in are none for it: nothing looks at that again when it starts.
    let named = std::mem::take(&mut spec.partitions);
    let lets_in = |name: &Name| cluster.partition(name).is_some_and(|part| is_open(part, identity, &spec).is_ok());
    spec.partitions = named.into_iter().filter(lets_in).collect();
    spec.time_limit_min = admitted.time_limit_min;
    label(&mut spec, &cluster.config.mcs, &admitted.labelled);
    let address = cluster.config.mail.usual_address(&spec.identity.user);
    if let Some(rare) = spec.rare.as_deref_mut().filter(|rare| rare.mail_type.is_some() && rare.mail_user.is_none()) {
        rare.mail_user = address;
    }
    let (spec_id, spec) = cluster.share_spec(spec, out);
    let set = spec.run.is_none() && spec.priority.is_some() && identity.is_operator();
    let row = Job {
        // Whoever submits it: its owner may release it (real behaviour).
        hold: spec.hold.then_some(Hold::User),
        // Found when it enters the queue: then it is known from when it may start.
        priority: spec.priority.filter(|_| set).unwrap_or(0),
        priority_set: set,
        time_limit: admitted.time_limit,
        // Slurm counts the check at submit as a look at it.
        last_evaluated: Some(now),
        ..Job::new(id, spec_id, spec, admitted.partition.name.clone(), now)
    };
    let row = charged(row, &admitted);
    Job { dependencies: admitted.dependencies, ..row }
}

fn charged(job: Job, admitted: &Admitted) -> Job {
    let Charge { account, association, qos, .. } = admitted.charge.clone();
    Job { account, association, qos, ..job }
}

/// Where a job goes first, what it is charged to and how long it may take, if partitions and limits let it in.
fn admit(
    cluster: &Cluster,
    now: Timestamp,
    identity: &Identity,
    spec: &JobSpec,
) -> Result<(Arc<Partition>, Charge, TimeLimit), Refusal> {
    let (partition, charge) = choose_partition(cluster, identity, spec)?;
    accounting::may_ask_qos(cluster, spec, &charge)?;
    let time_limit = spec.time_limit.or(partition.time_default).unwrap_or(partition.time_max);
    let time_limit = accounting::check_submit(cluster, now, spec, &charge, &partition, time_limit)?;
    Ok((partition, charge, time_limit))
}

/// Puts a new job in, with its priority and all that waits for it.
fn enter_queue(cluster: &mut Cluster, now: Timestamp, mut job: Job, out: &mut Outcome) {
    dependency::settle(cluster, now, &mut job);
    priority::assign(cluster, &mut job);
    priority::wake(cluster, now);
    cluster.set_job_timers(&job, now);
    if super::holder::needs_holder(&job) {
        // Its client attaches right after; until then it counts as away.
        super::holder::gone_since(cluster, now, job.id);
    }
    dependency::correspond_all(cluster, &job);
    cluster.submits.remember(now, &job);
    cluster.put_job(now, job, out);
}

/// The first partition asked for that takes the job, and what it is charged to; or the reason why none does.
fn choose_partition(
    cluster: &Cluster,
    identity: &Identity,
    spec: &JobSpec,
) -> Result<(Arc<Partition>, Charge), Refusal> {
    let names: Vec<&str> = if spec.partitions.is_empty() {
        let default = cluster.partitions.iter().find(|partition| partition.default).map(|partition| &*partition.name);
        vec![default.ok_or_else(|| {
            Refusal::new(RefusalCode::InvalidPartition, "no partition given and no default partition")
        })?]
    } else {
        spec.partitions.iter().map(|name| &**name).collect()
    };
    let mut refusal = None;
    for name in names {
        let partition = cluster
            .partition(name)
            .ok_or_else(|| Refusal::new(RefusalCode::InvalidPartition, format!("no partition {name}")))?;
        let admitted = admits(partition, identity, spec);
        match admitted.and_then(|()| accounting::resolve(cluster, spec, partition)) {
            Ok(charge) => return Ok((partition.clone(), charge)),
            Err(problem) => refusal = refusal.or(Some(problem)),
        }
    }
    Err(refusal.unwrap_or_else(|| RefusalCode::InvalidPartition.into()))
}

fn admits(partition: &Partition, identity: &Identity, spec: &JobSpec) -> Result<(), Refusal> {
    if matches!(partition.state, PartitionState::Drain | PartitionState::Inactive) {
        return Err(Refusal::new(
            RefusalCode::PartitionUnavailable,
            format!("partition {} takes no jobs", partition.name),
        ));
    }
    is_open(partition, identity, spec)
}

/// Whether a partition takes jobs of whoever asks at all.
fn is_open(partition: &Partition, identity: &Identity, spec: &JobSpec) -> Result<(), Refusal> {
    if partition.root_only && identity.uid != 0 {
        return Err(RefusalCode::AccessDenied.into());
    }
    if partition.reservation_required && spec.reservation.is_none() {
        let detail = format!("partition {} takes only jobs with a reservation", partition.name);
        return Err(Refusal::new(RefusalCode::AccessDenied, detail));
    }
    if !partition.groups_allowed.is_empty() && identity.uid != 0 && !partition.groups_allowed.contains(&identity.group)
    {
        return Err(Refusal::new(
            RefusalCode::AccessDenied,
            format!("group {} may not use partition {}", identity.group, partition.name),
        ));
    }
    Ok(())
}

/// Whether its reservations are there and for it, and whether it may be an array.
fn check_place(
    cluster: &Cluster,
    now: Timestamp,
    spec: &JobSpec,
    partition: &Partition,
    charge: &Charge,
) -> Result<(), Refusal> {
    let applicant = Applicant::of(spec, &partition.name).charged(charge.account.as_ref(), charge.qos.as_ref());
    reservations::access::may_ask(cluster, now, spec, &applicant)?;
    check_array(cluster, spec)
}

fn check_array(cluster: &Cluster, spec: &JobSpec) -> Result<(), Refusal> {
    let Some(array) = &spec.array else { return Ok(()) };
    let index_max = cluster.config.array_size_max.saturating_sub(1);
    if array.tasks.is_empty() || array.tasks.last().is_some_and(|last| last > index_max) {
        return Err(Refusal::new(
            RefusalCode::InvalidArray,
            format!("task indices go from 0 to {index_max} (MaxArraySize)"),
        ));
    }
    if spec.kind == JobKind::Allocation {
        return Err(Refusal::new(RefusalCode::InvalidArray, "only batch jobs can be arrays"));
    }
    Ok(())
}

/// A dependency without a job makes no sense but for `singleton`. One on a job that nobody knows any more counts as
/// satisfied, as Slurm has it, so that a chain can be built on a job that has long ended.
pub(super) fn check_dependencies(dependencies: &Dependencies) -> Result<Dependencies, Refusal> {
    let complete = |dependency: &Dependency| dependency.job.is_some() || dependency.kind == DependencyKind::Singleton;
    if dependencies.all.iter().all(complete) { Ok(dependencies.clone()) } else { Err(RefusalCode::Dependency.into()) }
}

/// Only operators may raise a priority. A `--priority` of others counts for nothing, as in Slurm.
fn check_priority(identity: &Identity, spec: &JobSpec) -> Result<(), Refusal> {
    let raised = spec.nice < 0 || (spec.site_factor != 0 && spec.run.is_none());
    if raised && !identity.is_operator() { Err(RefusalCode::InvalidNice.into()) } else { Ok(()) }
}
