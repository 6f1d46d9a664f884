//! `scontrol update JobId=`: a changed job gets a specification of its own.

use std::sync::Arc;

use muster_model::accounting::Charge;
use muster_model::fact::Fact;
use muster_model::ids::{Identity, Name};
use muster_model::job::{Job, JobSpec};
use muster_model::licenses;
use muster_model::mail::MailConfig;
use muster_model::request::{JobChanges, JobTarget, Refusal, RefusalCode};
use muster_model::reservation::Applicant;
use muster_model::resources::ResourceRequest;
use muster_model::state::JobState;
use muster_model::time::{Span, TimeLimit, Timestamp};

use super::{
    accounting, authorisation, dependency, expand, least_time, priority, resize, submit, targets, update_check,
};
use crate::cluster::Cluster;
use crate::effect::Outcome;

pub(super) fn update(
    cluster: &mut Cluster,
    now: Timestamp,
    identity: &Identity,
    target: &JobTarget,
    changes: &JobChanges,
    out: &mut Outcome,
) -> Result<(), Refusal> {
    let records = if target.tasks.is_some() {
        targets::resolve_and_split(cluster, now, identity, target, out)?
    } else {
        targets::resolve(cluster, target)?.records
    };
    if let [id] = records.as_slice()
        && let Some(pair) = expand::asked(cluster, *id, changes)
    {
        authorisation::may_change_job(identity, &pair.from)?;
        return expand::perform(cluster, now, &pair, changes, out);
    }
    // All or nothing: every record is checked before the first is changed.
    let mut changed = Vec::with_capacity(records.len());
    let many = records.len() > 1;
    for id in records {
        let Some(job) = cluster.jobs.get(&id).cloned() else {
            continue;
        };
        authorisation::may_change_job(identity, &job)?;
        authorisation::may_be_changed(&job)?;
        if job.state.is_final() && many {
            continue;
        }
        check(cluster, now, identity, &job, changes)?;
        changed.push(job);
    }
    if changed.is_empty() {
        return Err(RefusalCode::JobFinished.into());
    }
    for job in changed {
        apply(cluster, now, &job, changes, out);
    }
    Ok(())
}

fn check(
    cluster: &Cluster,
    now: Timestamp,
    identity: &Identity,
    job: &Job,
    changes: &JobChanges,
) -> Result<(), Refusal> {
    let only_notes = JobChanges {
        comment: changes.comment.clone(),
        admin_comment: changes.admin_comment.clone(),
        wckey: changes.wckey.clone(),
        ..JobChanges::default()
    };
    if job.state.is_final() && *changes != only_notes {
        return Err(RefusalCode::JobFinished.into());
    }
    check_state(cluster, job, changes)?;
    update_check::names(cluster, changes)?;
    if let Some(charge) = charge(cluster, job, changes) {
        charge?;
    }
    if let Some(dependencies) = &changes.dependencies {
        submit::check_dependencies(dependencies)?;
        if dependencies.all.iter().any(|dependency| dependency.job == Some(job.id)) {
            return Err(RefusalCode::Dependency.into());
        }
        if dependency::is_circular(cluster, job, dependencies) {
            return Err(RefusalCode::CircularDependency.into());
        }
        expand::may_ask(cluster, dependencies, &expand::Asker::of(job))?;
    }
    check_reservation(cluster, now, job, changes)?;
    check_licenses(cluster, now, job, changes)?;
    least_time::may_change(job, changes)?;
    check_rights(cluster, identity, job, changes)
}

/// The reservations that it would ask for must be there and be for it, and it must have one where a partition wants that.
fn check_reservation(cluster: &Cluster, now: Timestamp, job: &Job, changes: &JobChanges) -> Result<(), Refusal> {
    if changes.reservation.is_none() && changes.partition.is_none() {
        return Ok(());
    }
    let mut spec = (*job.spec).clone();
    change_spec(&mut spec, changes);
    let names = if spec.partitions.is_empty() { std::slice::from_ref(&job.partition) } else { &spec.partitions };
    let needs_one = |name: &Name| cluster.partition(name).is_some_and(|part| part.reservation_required);
    if spec.reservation.is_none() && names.iter().any(needs_one) {
        return Err(RefusalCode::AccessDenied.into());
    }
    if changes.reservation.as_ref().is_none_or(|name| name.is_empty()) {
        return Ok(());
    }
    let account = changes.account.as_ref().filter(|name| !name.is_empty()).or(job.account.as_ref());
    let qos = changes.qos.as_ref().filter(|name| !name.is_empty()).or(job.qos.as_ref());
    let applicant = Applicant::of(&spec, &job.partition).charged(account, qos);
    super::reservations::access::may_ask(cluster, now, &spec, &applicant)
}

/// A running job gets more licences only where these are free. Slurm gives them twice.
fn check_licenses(cluster: &Cluster, now: Timestamp, job: &Job, changes: &JobChanges) -> Result<(), Refusal> {
    let Some(text) = changes.licenses.as_deref().filter(|_| job.holds_resources()) else { return Ok(()) };
    let mut more = licenses::parse(text).ok_or(RefusalCode::InvalidLicense)?;
    licenses::take(&mut more, &licenses::held(job));
    more.retain(|_, count| *count > 0);
    let until = job.end_time.unwrap_or(Timestamp(i64::MAX));
    if cluster.has_licenses(now, job, job.reservation.as_ref(), until, &more) {
        return Ok(());
    }
    Err(Refusal::new(RefusalCode::InvalidLicense, "others hold them"))
}

/// What the changed job is charged to, if the change concerns that.
fn charge(cluster: &Cluster, job: &Job, changes: &JobChanges) -> Option<Result<Charge, Refusal>> {
    let concerns_qos = changes.qos.is_some() || changes.reservation.is_some();
    if changes.account.is_none() && !concerns_qos && changes.partition.is_none() {
        return None;
    }
    let mut spec = (*job.spec).clone();
    // What it is charged to stays where the change does not name it, even if another default came in the meantime.
    spec.account = job.account.clone().or(spec.account);
    spec.qos = job.qos.clone().or(spec.qos);
    change_spec(&mut spec, changes);
    let partition = changes.partition.as_ref().and_then(|names| names.split(',').next()).unwrap_or(&job.partition);
    let charge = accounting::resolve(cluster, &spec, cluster.partition(partition)?);
    let may_ask = |charge: Charge| match concerns_qos {
        true => accounting::may_ask_qos(cluster, &spec, &charge).map(|()| charge),
        false => Ok(charge),
    };
    Some(charge.and_then(may_ask))
}

/// What cannot be changed any more, or not yet, as the job stands.
fn check_state(cluster: &Cluster, job: &Job, changes: &JobChanges) -> Result<(), Refusal> {
    if job.state == JobState::Pending {
        if changes.nodes.is_some_and(|(_, most)| most == 0) {
            return Err(RefusalCode::InvalidNodeCount.into());
        }
        return if changes.end_time.is_some() { Err(RefusalCode::JobNotRunning.into()) } else { Ok(()) };
    }
    let needs_pending = changes.partition.is_some()
        || changes.begin.is_some()
        || changes.dependencies.is_some()
        || changes.constraint.is_some()
        || changes.nodes_excluded.is_some()
        || changes.tasks.is_some()
        || changes.cpus.is_some()
        || changes.cpus_per_task.is_some()
        || changes.cpus_per_node_min.is_some()
        || changes.tmp_disk_min.is_some()
        || changes.memory.is_some()
        || changes.gres.is_some()
        || changes.account.is_some()
        || changes.sharing.is_some()
        || changes.contiguous.is_some()
        || changes.deadline.is_some()
        || changes.output.is_some()
        || changes.error.is_some()
        || changes.work_dir.is_some()
        || changes.reservation.is_some()
        || changes.time_limit_min.is_some()
        || changes.switches.is_some()
        || changes.preferred.is_some();
    if needs_pending {
        return Err(RefusalCode::JobRunning.into());
    }
    resize::kept(cluster, job, changes).map(drop)
}

/// What only operators may do.
fn check_rights(cluster: &Cluster, identity: &Identity, job: &Job, changes: &JobChanges) -> Result<(), Refusal> {
    if identity.is_operator() {
        return Ok(());
    }
    let waits = job.state == JobState::Pending;
    if changes.qos.is_some() && !waits {
        return Err(RefusalCode::JobRunning.into());
    }
    // While it waits its owner may give it as much time as the partition has.
    let most = cluster.partition(&job.partition).filter(|_| waits).map(|partition| limit_order(partition.time_max));
    let is_longer = |limit: TimeLimit| limit_order(limit) > limit_order(job.time_limit);
    let is_beyond = |limit: TimeLimit| most.is_none_or(|most| limit_order(limit) > most);
    let raises_limit =
        changes.time_limit.is_some_and(|limit| is_longer(limit) && is_beyond(limit)) || changes.end_time.is_some();
    let is_for_operators = changes.deadline.is_some() || changes.sharing.is_some() || changes.contiguous == Some(true);
    let raises_priority = changes.priority.is_some_and(|priority| priority > job.priority)
        || changes.nice.is_some_and(|nice| nice < job.spec.nice.min(0))
        || changes.site_factor.is_some()
        || changes.admin_comment.is_some();
    if raises_limit || raises_priority || is_for_operators {
        return Err(RefusalCode::AccessDenied.into());
    }
    if changes.priority.is_some_and(|priority| priority > 0) {
        return Err(RefusalCode::PriorityNotPersistent.into());
    }
    Ok(())
}

fn limit_order(limit: TimeLimit) -> i64 {
    limit.span().map_or(i64::MAX, |span| span.0)
}

fn apply(cluster: &mut Cluster, now: Timestamp, old: &Job, changes: &JobChanges, out: &mut Outcome) {
    let waits = old.state == JobState::Pending;
    let kept = if waits { None } else { resize::kept(cluster, old, changes).ok().flatten() };
    let mut spec = (*old.spec).clone();
    change_spec(&mut spec, changes);
    if old.priority_set || changes.priority.is_some_and(|to| to > 0) {
        // Of a job whose priority is or was set directly, Slurm leaves the nice value alone, and says nothing.
        spec.nice = if changes.priority.is_some_and(|to| to > 0) { 0 } else { old.spec.nice };
    }
    change_rare(&mut spec, changes, &cluster.config.mail);
    if !waits {
        // Which nodes it has is no wish for its next start. The order of the queue is over for it.
        spec.request.nodes_required.clone_from(&old.spec.request.nodes_required);
        spec.nice = old.spec.nice;
        spec.site_factor = old.spec.site_factor;
    }
    let mut job = old.clone();
    let spec_id = cluster.allocate_spec_id();
    job.spec_id = spec_id;
    job.spec = Arc::new(spec);
    out.facts.push(Fact::Spec(spec_id, job.spec.clone()));
    if let Some(Ok(charge)) = charge(cluster, old, changes) {
        (job.account, job.association, job.qos) = (charge.account, charge.association, charge.qos);
    }
    if let Some(partitions) = &changes.partition {
        job.partition = partitions.split(',').next().unwrap_or_default().into();
    }
    let until_end =
        changes.end_time.zip(job.start_time).map(|(end, start)| TimeLimit::Limited((end.since(start)).max(Span::ZERO)));
    if let Some(limit) = changes.time_limit.or(until_end) {
        job.time_limit = limit;
        if matches!(job.state, JobState::Running | JobState::Suspended) {
            let start = job.start_time.unwrap_or(now) + job.suspended;
            job.end_time = limit.span().map(|limit| start + limit);
            // The signal is for the end, wherever that is now.
            let early =
                job.spec.early_signal.zip(job.end_time).is_some_and(|(early, end)| end - early.before_end > now);
            job.early_signal_sent &= !early;
        }
    }
    if let Some(begin) = changes.begin {
        job.begin_time = (begin > now).then_some(begin);
    }
    if let Some(dependencies) = &changes.dependencies {
        job.dependencies = dependencies.clone();
    }
    if let (Some(throttle), Some(array)) = (changes.array_throttle, job.array_job_id())
        && let Some(info) = cluster.arrays.get_mut(&array)
    {
        info.throttle = (throttle > 0).then_some(throttle);
        out.plan_needed = true;
    }
    change_priority(&mut job, changes);
    dependency::settle(cluster, now, &mut job);
    if job.state == JobState::Pending && changes.priority.is_none() && !job.priority_set {
        priority::change(cluster, old, &mut job);
    }
    cluster.set_job_timers(&job, now);
    cluster.put_job(now, job, out);
    if let Some(kept) = kept {
        resize::shrink(cluster, now, old.id, &kept, out);
    }
}

fn change_priority(job: &mut Job, changes: &JobChanges) {
    match changes.priority {
        Some(0) => {
            job.hold = job.hold.or(Some(muster_model::job::Hold::Admin));
            job.priority = 0;
        }
        Some(priority) => {
            job.hold = None;
            job.priority = priority;
            job.priority_set = true;
        }
        None => {}
    }
}

fn change_spec(spec: &mut JobSpec, changes: &JobChanges) {
    set(&mut spec.name, &changes.name);
    spec.nice = changes.nice.unwrap_or(spec.nice);
    set(&mut spec.site_factor, &changes.site_factor);
    set(&mut spec.work_dir, &changes.work_dir);
    set(&mut spec.dependencies, &changes.dependencies);
    set_name(&mut spec.account, &changes.account);
    set_name(&mut spec.qos, &changes.qos);
    set_name(&mut spec.output, &changes.output);
    set_name(&mut spec.error, &changes.error);
    set_name(&mut spec.reservation, &changes.reservation);
    if let Some(partitions) = &changes.partition {
        spec.partitions = partitions.split(',').map(muster_model::ids::Name::from).collect();
    }
    spec.deadline = changes.deadline.or(spec.deadline);
    spec.time_limit = changes.time_limit.or(spec.time_limit);
    spec.time_limit_min = least_time::after(spec.time_limit_min, changes);
    spec.requeue = changes.requeue.or(spec.requeue);
    spec.begin = changes.begin.or(spec.begin);
    if let (Some(throttle), Some(array)) = (changes.array_throttle, spec.array.as_mut()) {
        array.throttle = (throttle > 0).then_some(throttle);
    }
    let before = spec.request.clone();
    change_request(&mut spec.request, changes);
    if spec.request != before || changes.partition.is_some() {
        spec.nodes_when_empty = None;
    }
}

/// Replaces a field by a change of it, if there is one.
fn set<T: Clone>(field: &mut T, change: &Option<T>) {
    if let Some(value) = change {
        *field = value.clone();
    }
}

/// The same for a field that may be absent; an empty text takes it away.
fn set_name(field: &mut Option<muster_model::ids::Name>, change: &Option<muster_model::ids::Name>) {
    if let Some(value) = change {
        *field = (!value.is_empty()).then(|| value.clone());
    }
}

fn change_request(request: &mut ResourceRequest, changes: &JobChanges) {
    set_name(&mut request.licenses, &changes.licenses);
    set(&mut request.sharing, &changes.sharing);
    set(&mut request.contiguous, &changes.contiguous);
    set_name(&mut request.preference.features, &changes.preferred);
    request.preference.switches = changes.switches.or(request.preference.switches);
    request.cpus_per_node_min = changes.cpus_per_node_min.or(request.cpus_per_node_min);
    request.tmp_disk_min = changes.tmp_disk_min.or(request.tmp_disk_min);
    set_name(&mut request.constraint, &changes.constraint);
    set_name(&mut request.nodes_required, &changes.nodes_required);
    set_name(&mut request.nodes_excluded, &changes.nodes_excluded);
    set(&mut request.tasks, &changes.tasks);
    set(&mut request.cpus_per_task, &changes.cpus_per_task);
    set(&mut request.gres, &changes.gres);
    request.tasks_given |= changes.tasks.is_some();
    request.cpus_per_task_given |= changes.cpus_per_task.is_some();
    if let Some(cpus) = changes.cpus {
        // Here CPUs follow from tasks.
        request.tasks = cpus.div_ceil(request.cpus_per_task.max(1)).max(1);
        request.tasks_given = true;
    }
    request.memory = changes.memory.or(request.memory);
    if let Some((min, max)) = changes.nodes {
        request.nodes_min = min.max(1);
        request.nodes_max = Some(max.max(min).max(1));
        request.tasks = if request.tasks_given { request.tasks } else { request.nodes_min };
    }
}

fn change_rare(spec: &mut JobSpec, changes: &JobChanges, mail: &MailConfig) {
    let pairs = [&changes.comment, &changes.admin_comment, &changes.wckey, &changes.mail_type, &changes.mail_user];
    if pairs.iter().all(|change| change.is_none()) && changes.others.is_empty() {
        return;
    }
    let rare = spec.rare.get_or_insert_default();
    for (name, value) in &changes.others {
        rare.others.retain(|(known, _)| known != name);
        rare.others.push((name.clone(), value.clone()));
    }
    let fields =
        [&mut rare.comment, &mut rare.admin_comment, &mut rare.wckey, &mut rare.mail_type, &mut rare.mail_user];
    for (field, change) in fields.into_iter().zip(pairs) {
        if let Some(value) = change {
            *field = (!value.is_empty()).then(|| value.clone());
        }
    }
    if rare.mail_type.is_some() && rare.mail_user.is_none() {
        rare.mail_user = mail.usual_address(&spec.identity.user);
    }
}
