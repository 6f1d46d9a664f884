//! A job gives all that it got to another, as it was submitted to do (`--dependency=expand:JOB`, then
//! `scontrol update JobId= NumNodes=0`).
//!
//! It ends well at that moment, and what it had is the other's at once: the books never have it twice, and nobody comes in
//! between. Nothing of its own may run then. What may be left on its nodes all the same is cleaned up, and its epilog runs, while
//! the other job is there already. The rules are those of Slurm 22.05, as its programs show them; where it loses count (generic
//! resources, a job that has ended meanwhile, nodes that the other gave up before) this one moves them, or refuses.

use std::collections::BTreeSet;
use std::sync::Arc;

use muster_model::accounting::AssociationId;
use muster_model::dependency::{Dependencies, Dependency, DependencyKind};
use muster_model::ids::{JobId, Name};
use muster_model::job::{Job, JobKind};
use muster_model::request::{JobChanges, Refusal, RefusalCode};
use muster_model::resources::Allocation;
use muster_model::state::{JobState, Reason};
use muster_model::time::{Span, TimeLimit, Timestamp};

use super::ending::{self, End};
use super::reservations::access;
use super::{accounting, resize, steps};
use crate::cluster::Cluster;
use crate::effect::Outcome;
use crate::placement::Claim;

/// Who wants to expand another job.
pub(super) struct Asker<'a> {
    pub(super) uid: u32,
    pub(super) partition: &'a Name,
    pub(super) association: Option<AssociationId>,
    pub(super) qos: Option<&'a Name>,
}

impl<'a> Asker<'a> {
    pub(super) fn of(job: &'a Job) -> Asker<'a> {
        let (partition, association, qos) = (&job.partition, job.association, job.qos.as_ref());
        Asker { uid: job.spec.identity.uid, partition, association, qos }
    }

    /// What it got would be charged to others, or be theirs, if these differed.
    fn is_like(&self, target: &Job) -> bool {
        let other = Asker::of(target);
        (self.uid, self.partition, self.association, self.qos)
            == (other.uid, other.partition, other.association, other.qos)
    }
}

/// Whether a job with these dependencies may be put in: who expands another does so with one that runs, of the same user,
/// partition, association and QOS.
pub(super) fn may_ask(cluster: &Cluster, dependencies: &Dependencies, asker: &Asker<'_>) -> Result<(), Refusal> {
    let Some(first) = dependencies.expanded() else { return Ok(()) };
    if !cluster.config.resize.expansion {
        return Err(RefusalCode::NotSupported.into());
    }
    let count = dependencies.all.iter().filter(|dependency| dependency.kind == DependencyKind::Expand).count();
    let is_possible = |target: &&Arc<Job>| target.state == JobState::Running && asker.is_like(target);
    match target(cluster, first).filter(is_possible) {
        Some(target) if count == 1 => may_be_of_two(target),
        _ => Err(RefusalCode::Dependency.into()),
    }
}

/// Jobs of which more than one row or script would have to know.
fn may_be_of_two(job: &Job) -> Result<(), Refusal> {
    if job.het.is_some() || job.spec.kind == JobKind::EveryNode {
        return Err(Refusal::new(
            RefusalCode::NotSupported,
            "it has several components, or a part on each of its nodes",
        ));
    }
    Ok(())
}

/// The job that a dependency names.
pub(super) fn target<'a>(cluster: &'a Cluster, dependency: &Dependency) -> Option<&'a Arc<Job>> {
    let named = dependency.job?;
    let id = match dependency.task_index {
        Some(index) => cluster.array_tasks.get(&named)?.get(&index)?,
        None => &named,
    };
    cluster.jobs.get(id)
}

/// How long a job may run that is to expand the one that `dependency` names: as long as that one still may, in whole
/// minutes.
pub(super) fn time_limit(cluster: &Cluster, now: Timestamp, dependency: &Dependency) -> Option<TimeLimit> {
    if dependency.kind != DependencyKind::Expand {
        return None;
    }
    let target = target(cluster, dependency)?;
    let Some(limit) = target.time_limit.span() else { return Some(TimeLimit::Unlimited) };
    const MINUTE: i64 = Span::from_minutes(1).0;
    let ran = Span::from_seconds(target.run_time(now).seconds());
    let left = (limit.0 - ran.0) / MINUTE * MINUTE;
    Some(TimeLimit::Limited(Span(left.max(MINUTE))))
}

/// A job and the one that gets what it has.
pub(super) struct Pair {
    pub(super) from: Arc<Job>,
    to: Arc<Job>,
}

/// The two of which `changes` of the job `id` want that the one is given to the other; `None` where they want something else.
pub(super) fn asked(cluster: &Cluster, id: JobId, changes: &JobChanges) -> Option<Pair> {
    let from = cluster.jobs.get(&id).filter(|_| changes.nodes == Some((0, 0)))?.clone();
    let is_there = matches!(from.state, JobState::Running | JobState::Suspended);
    let to = from.spec.dependencies.expanded().filter(|_| is_there).and_then(|named| target(cluster, named))?;
    Some(Pair { to: to.clone(), from })
}

/// Does it, or refuses and leaves all as it was.
pub(super) fn perform(
    cluster: &mut Cluster,
    now: Timestamp,
    pair: &Pair,
    changes: &JobChanges,
    out: &mut Outcome,
) -> Result<(), Refusal> {
    if *changes != (JobChanges { nodes: changes.nodes, ..JobChanges::default() }) {
        return Err(Refusal::new(RefusalCode::NotSupported, "a job that gives all away has nothing else to change"));
    }
    check_states(cluster, pair)?;
    check_nature(cluster, pair)?;
    let joined = check_room(cluster, now, pair)?;
    check_limits(cluster, now, pair, &joined)?;
    give(cluster, now, pair, joined, out);
    Ok(())
}

fn check_states(cluster: &Cluster, pair: &Pair) -> Result<(), Refusal> {
    let Pair { from, to } = pair;
    if !cluster.config.resize.expansion {
        return Err(RefusalCode::NotSupported.into());
    }
    if to.state.is_final() {
        return Err(Refusal::new(RefusalCode::JobFinished, format!("it is job {}", to.id)));
    }
    if [from, to].iter().any(|job| job.state == JobState::Suspended) {
        return Err(RefusalCode::JobSuspended.into());
    }
    if to.state != JobState::Running || from.configuring || to.configuring {
        return Err(RefusalCode::InvalidTransition.into());
    }
    if cluster.steps_of(from.id).next().is_some() {
        return Err(RefusalCode::StepExists.into());
    }
    Ok(())
}

/// What one job cannot be in part.
fn check_nature(cluster: &Cluster, pair: &Pair) -> Result<(), Refusal> {
    let Pair { from, to } = pair;
    if !Asker::of(from).is_like(to) {
        return Err(RefusalCode::Dependency.into());
    }
    [from, to].into_iter().try_for_each(|job| may_be_of_two(job))?;
    let partition = cluster.partition(&to.partition).map(|partition| &**partition);
    let shares_cpus = |job: &Job| Claim::of(job, partition, cluster.config.preemption.gang).rows > 1;
    let differs = from.spec.request.sharing != to.spec.request.sharing;
    if differs || shares_cpus(from) || shares_cpus(to) {
        return Err(Refusal::new(RefusalCode::NotSupported, "one of them shares its nodes in another way"));
    }
    Ok(())
}

/// All that the other will have, if it may have it on these nodes.
fn check_room(cluster: &Cluster, now: Timestamp, pair: &Pair) -> Result<Allocation, Refusal> {
    let Pair { from, to } = pair;
    let (Some(more), Some(own)) = (&from.allocation, &to.allocation) else {
        return Err(RefusalCode::InvalidTransition.into());
    };
    let left = to.resize.iter().flat_map(|resize| &resize.left);
    let left: BTreeSet<&Name> = left.collect();
    if let Some(name) = cluster.node_names(more.shares.iter().map(|share| share.node)).find(|name| left.contains(name))
    {
        return Err(Refusal::new(RefusalCode::NotSupported, format!("job {} gave up node {name} before", to.id)));
    }
    let until = to.end_time.unwrap_or(Timestamp(i64::MAX));
    for share in &more.shares {
        let closed = access::closed_to(cluster, now, &to.spec, to.reservation.as_ref(), share.node, until);
        let is_open = closed.is_some_and(|closed| {
            closed.cpus.is_disjoint(&share.cpus) && share.gres.iter().all(|gres| closed.gres_is_open(gres))
        });
        if !is_open {
            return Err(Refusal::new(RefusalCode::InvalidTransition, "a reservation keeps nodes from the other job"));
        }
    }
    Ok(own.joined(&more.shares))
}

/// Whether one job may have all that under the limits of its account and QOS, when the two are no more.
fn check_limits(cluster: &mut Cluster, now: Timestamp, pair: &Pair, joined: &Allocation) -> Result<(), Refusal> {
    let tallies = cluster.tallies.clone();
    for job in [&pair.from, &pair.to] {
        let over = Job { state: JobState::Completed, completing: false, ..Job::clone(job) };
        cluster.tally_job(Some(job), &over);
    }
    let to = &pair.to;
    let reason = accounting::forbids(cluster, now, to, &to.partition, to.time_limit, &joined.shares);
    cluster.tallies = tallies;
    let refused = |reason: Reason| Refusal::new(RefusalCode::AccountingPolicy, reason.to_string());
    reason.map_or(Ok(()), |reason| Err(refused(reason)))
}

fn give(cluster: &mut Cluster, now: Timestamp, pair: &Pair, joined: Allocation, out: &mut Outcome) {
    let Pair { from, to } = pair;
    let given = from.allocation.iter().flat_map(|allocation| allocation.shares.iter().cloned()).collect::<Vec<_>>();
    let clean_nodes = given.iter().map(|share| share.node).collect();
    ending::end_job(cluster, now, from.id, End { clean_nodes, ..End::new(JobState::Completed, Reason::None) }, out);
    if ending::may_have_left_something(cluster, from) {
        for share in given.iter().filter(|share| !ending::is_given_up(cluster, share.node)) {
            out.send(share.node, resize::clean(from.id, from.restart));
        }
    }
    let mut job = Job::clone(to);
    resize::change_size(cluster, now, &mut job, joined.shares);
    for share in &given {
        cluster.take_share(share, &job);
        if to.share_on(share.node).is_some() {
            cluster.count_once(share.node);
        }
    }
    cluster.put_job(now, job, out);
    out.plan_needed = true;
    steps::try_waiting(cluster, now, to.id, out);
}
