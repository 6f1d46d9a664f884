//! What must be true of the cluster after every event. Run after each step in the simulator and in tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_model::dependency::{DependencyKind, DependencyState};
use muster_model::ids::{JobId, Name, NodeIndex, StepId};
use muster_model::job::{ArrayRole, Job};
use muster_model::preemption::CpuHold;
use muster_model::reservation::claim::names_of;
use muster_model::resources::{IndexSet, NodeShare};
use muster_model::state::JobState;

use crate::cluster::Cluster;
use crate::handlers::reservations::{access, setting};
use crate::handlers::{dependency, steps, turns};
use crate::index::name_key;
use crate::placement::Claim;
use crate::shares::hold_on;
use crate::timers::Timer;

/// Everything that is wrong, in words; empty when all is well.
pub fn check(cluster: &Cluster) -> Vec<String> {
    let mut wrong = Vec::new();
    shares_are_disjoint(cluster, &mut wrong);
    holders_are_listed(cluster, &mut wrong);
    cleaning_is_complete(cluster, &mut wrong);
    queue_is_pending(cluster, &mut wrong);
    nobody_is_forgotten(cluster, &mut wrong);
    yielding_wait_for_somebody(cluster, &mut wrong);
    arrays_add_up(cluster, &mut wrong);
    dependencies_are_indexed(cluster, &mut wrong);
    steps_fit(cluster, &mut wrong);
    reservations_are_kept(cluster, &mut wrong);
    tallies_add_up(cluster, &mut wrong);
    wrong.extend(cluster.licences_wrong());
    components_run_together(cluster, &mut wrong);
    wrong
}

/// What is counted for each association and QOS is what their jobs hold.
fn tallies_add_up(cluster: &Cluster, wrong: &mut Vec<String>) {
    let recount = cluster.recount();
    if cluster.tallies != recount {
        let differs = recount.iter().find(|(holder, tally)| cluster.tallies.get(holder) != Some(tally));
        let kept = differs.map(|(holder, _)| cluster.tallies.get(holder));
        wrong.push(format!("jobs add up to {differs:?}, counted is {kept:?}"));
    }
}

/// What all jobs together hold on one node.
#[derive(Default)]
struct Held {
    /// CPUs that jobs run on or claim, and those that they only claim.
    cpus: IndexSet,
    claimed: IndexSet,
    /// CPUs that jobs run on who share none at this moment.
    alone: IndexSet,
    /// What jobs have that may share CPUs: partition, how many jobs may be on one, CPUs, whether it runs on them.
    sharing: Vec<(Name, u32, IndexSet, bool)>,
    suspended: u32,
    memory: u64,
    gres: BTreeMap<String, IndexSet>,
    gres_by_type: BTreeMap<(Name, Option<Name>), IndexSet>,
    running: u32,
    completing: u32,
    jobs: BTreeSet<JobId>,
}

impl Held {
    /// Adds the CPUs of a job that is there. Jobs that run may not meet each other, unless their partition lets them run on
    /// the same CPUs at the same time; a job that an operator has resumed over others is his affair.
    fn add_cpus(&mut self, cluster: &Cluster, job: &Job, share: &NodeShare, wrong: &mut Vec<String>) {
        let gang = cluster.config.preemption.gang;
        let partition = cluster.partition(&job.partition).map(|partition| &**partition);
        let rows = Claim::of(job, partition, gang).rows;
        let runs = match hold_on(job, share.node) {
            CpuHold::Used => true,
            CpuHold::Claimed => false,
            CpuHold::Given => return,
        };
        self.cpus.add_all(&share.cpus);
        if !runs {
            self.claimed.add_all(&share.cpus);
        }
        if job.runs_over {
            return;
        }
        // Others may have come to the CPUs of one that an operator had suspended and that now ends.
        if rows > 1 && (runs || !job.completing) {
            self.sharing.push((job.partition.clone(), rows, share.cpus.clone(), runs));
        }
        if runs && (rows == 1 || gang) {
            if !self.alone.is_disjoint(&share.cpus) {
                let (id, cpus, node) = (job.id, &share.cpus, share.node.0);
                wrong.push(format!("job {id} runs on CPUs {cpus} of node {node} that another job runs on"));
            }
            self.alone.add_all(&share.cpus);
        }
    }
}

/// Shares of a job that have not been given back.
fn shares_of(job: &Job) -> impl Iterator<Item = &NodeShare> {
    let held = |share: &&NodeShare| job.cleaning.as_ref().is_none_or(|cleaning| cleaning.nodes.contains(&share.node));
    job.shares_with_released().filter(|_| job.holds_resources()).filter(held)
}

/// No CPU and no unit of a generic resource is held twice, no memory beyond what a node has, and what a node says is
/// used is exactly what jobs hold.
fn shares_are_disjoint(cluster: &Cluster, wrong: &mut Vec<String>) {
    let mut nodes: BTreeMap<NodeIndex, Held> = BTreeMap::new();
    for job in cluster.jobs.values() {
        for share in shares_of(job) {
            let held = nodes.entry(share.node).or_default();
            held.add_cpus(cluster, job, share, wrong);
            held.memory += share.memory.0;
            let ends = job.completing || job.is_leaving(share.node);
            held.running += u32::from(!ends);
            held.completing += u32::from(ends);
            held.suspended += u32::from(job.state == JobState::Suspended && !ends);
            held.jobs.insert(job.id);
            for units in &share.gres {
                let all = held.gres.entry(units.name.to_string()).or_default();
                if !all.is_disjoint(&units.units) {
                    wrong.push(format!(
                        "job {} holds {} {} of node {} twice",
                        job.id, units.name, units.units, share.node.0
                    ));
                }
                all.add_all(&units.units);
                let by_type = held.gres_by_type.entry((units.name.clone(), units.kind.clone())).or_default();
                by_type.add_all(&units.units);
            }
        }
    }
    for (index, node) in (0..).map(NodeIndex).zip(&cluster.nodes) {
        let held = nodes.remove(&index).unwrap_or_default();
        cpus_are_shared_as_allowed(cluster.config.preemption.gang, index, &held, wrong);
        node_adds_up(cluster, index, node, &held, wrong);
    }
}

/// No CPU is that of more jobs than its partition allows, waiting for their turn or running; and nobody runs on it beside
/// those who share it.
fn cpus_are_shared_as_allowed(gang: bool, index: NodeIndex, held: &Held, wrong: &mut Vec<String>) {
    for (at, (partition, rows, cpus, _)) in held.sharing.iter().enumerate() {
        for cpu in cpus.iter() {
            let others = held.sharing.iter().filter(|(_, _, cpus, _)| cpus.contains(cpu));
            let (mine, strangers): (Vec<_>, Vec<_>) = others.partition(|(other, ..)| other == partition);
            let runs = mine.iter().any(|(.., runs)| *runs);
            let meets = runs && (strangers.iter().any(|(.., runs)| *runs) || !gang && held.alone.contains(cpu));
            if meets || mine.len() as u32 > *rows {
                wrong.push(format!("CPU {cpu} of node {} is held by too many jobs (share {at})", index.0));
                return;
            }
        }
    }
}

fn node_adds_up(
    cluster: &Cluster,
    index: NodeIndex,
    node: &muster_model::node::Node,
    held: &Held,
    wrong: &mut Vec<String>,
) {
    let (used, name) = (&node.used, node.name());
    if held.cpus != used.cpus || held.memory != used.memory.0 {
        wrong.push(format!(
            "node {name} counts CPUs {} and {} MB in use, jobs hold {} and {} MB",
            used.cpus, used.memory.0, held.cpus, held.memory
        ));
    }
    if held.claimed != used.cpus_claimed {
        wrong.push(format!("node {name} counts CPUs {} as claimed, jobs claim {}", used.cpus_claimed, held.claimed));
    }
    let counted = (used.jobs_running, used.jobs_suspended, used.jobs_completing);
    if (held.running, held.suspended, held.completing) != counted {
        wrong.push(format!(
            "node {name} counts {counted:?} running, suspended and completing jobs, {} and {} and {} are",
            held.running, held.suspended, held.completing
        ));
    }
    let gres: BTreeMap<(Name, Option<Name>), IndexSet> =
        used.gres.iter().map(|gres| ((gres.name.clone(), gres.kind.clone()), gres.units.clone())).collect();
    if gres != held.gres_by_type {
        wrong.push(format!("node {name} counts {gres:?} in use, jobs hold {:?}", held.gres_by_type));
    }
    if cluster.config.memory_is_consumed && held.memory > node.config.hardware.memory.0 {
        wrong.push(format!("node {name} has given away {} MB, more than it has", held.memory));
    }
    if held.cpus.iter().any(|cpu| cpu >= node.config.hardware.cpus) {
        wrong.push(format!("node {name} has given away CPUs it does not have: {}", held.cpus));
    }
    let listed = cluster.node_jobs.get(&index).cloned().unwrap_or_default();
    if listed != held.jobs {
        wrong.push(format!("node {name} lists jobs {listed:?}, {:?} hold something there", held.jobs));
    }
}

fn holders_are_listed(cluster: &Cluster, wrong: &mut Vec<String>) {
    let holding: BTreeSet<JobId> =
        cluster.jobs.values().filter(|job| job.holds_resources()).map(|job| job.id).collect();
    let listed: BTreeSet<JobId> = cluster.running.values().map(|job| job.id).collect();
    if holding != listed || listed.len() != cluster.running.len() {
        wrong.push(format!("jobs {holding:?} hold resources, {listed:?} are listed"));
    }
    for job in cluster.running.values() {
        if cluster.jobs.get(&job.id).is_none_or(|current| !Arc::ptr_eq(current, job)) {
            wrong.push(format!("an old row of job {} is listed as running", job.id));
        }
    }
    for job in cluster.jobs.values() {
        let runs = matches!(job.state, JobState::Running | JobState::Suspended);
        if runs && job.allocation.as_ref().is_none_or(|allocation| allocation.shares.is_empty()) {
            wrong.push(format!("job {} runs on nothing", job.id));
        }
        if job.state == JobState::Pending && !job.completing && job.allocation.is_some() {
            wrong.push(format!("job {} waits and still holds an allocation", job.id));
        }
        if job
            .released()
            .iter()
            .any(|left| job.allocation.as_ref().is_some_and(|own| own.share(left.share.node).is_some()))
        {
            wrong.push(format!("job {} leaves a node that it has", job.id));
        }
        if !job.holds_resources() && !job.released().is_empty() {
            wrong.push(format!("job {} is over and has not left all nodes that it gave up", job.id));
        }
        if runs && job.completing {
            wrong.push(format!("job {} runs and is cleaned up at the same time", job.id));
        }
    }
}

/// A job is completing exactly while some node still has to be cleaned of it, and it holds something there.
fn cleaning_is_complete(cluster: &Cluster, wrong: &mut Vec<String>) {
    for job in cluster.jobs.values() {
        let left = job.cleaning.as_ref().map_or(0, |cleaning| cleaning.nodes.len());
        if job.completing != (left > 0) || job.completing != job.cleaning.is_some() {
            wrong.push(format!("job {} is completing: {}, with {left} nodes to clean", job.id, job.completing));
        }
        if job.completing && shares_of(job).count() != left {
            wrong.push(format!("job {} has to be cleaned up on nodes where it holds nothing", job.id));
        }
        if job.requeue_pending && (!job.completing || job.state != JobState::Pending) {
            wrong.push(format!("job {} is on its way back to the queue as {}", job.id, job.state));
        }
    }
}

fn queue_is_pending(cluster: &Cluster, wrong: &mut Vec<String>) {
    if cluster.queue.len() != cluster.queue_places.len() {
        wrong.push("the queue and the places of jobs in it differ in length".to_owned());
    }
    for (key, job) in &cluster.queue {
        if cluster.queue_places.get(&(job.id, key.partition)) != Some(key) {
            wrong.push(format!("job {} is in the queue at a place that is not known to be its", job.id));
        }
        let current = cluster.jobs.get(&job.id);
        if current.is_none_or(|current| !Arc::ptr_eq(current, job)) {
            wrong.push(format!("the queue holds an old row of job {}", job.id));
        }
        if job.state != JobState::Pending || job.hold.is_some() || job.eligible_time.is_none() || job.completing {
            wrong.push(format!("job {} is in the queue but may not start", job.id));
        }
    }
}

/// Who yields stands still only while somebody runs on his CPUs, and gets his turn if he takes turns.
fn yielding_wait_for_somebody(cluster: &Cluster, wrong: &mut Vec<String>) {
    for job in cluster.jobs.values().filter(|job| job.yields_to.is_some()) {
        if job.state != JobState::Suspended {
            wrong.push(format!("job {} yields and is {}", job.id, job.state));
        } else if turns::who_runs_there(cluster, job).is_none() {
            wrong.push(format!("job {} stands still although nobody runs on its CPUs", job.id));
        } else if turns::takes_turns(cluster, job)
            && cluster.turn_due.is_none_or(|due| !cluster.timers.contains(due, Timer::Turns))
        {
            wrong.push(format!("job {} waits for a turn that no timer brings", job.id));
        }
    }
    if !cluster.aside.is_empty() || !cluster.cpus_freed.is_empty() {
        wrong.push("CPUs were left to be counted or given back".to_owned());
    }
}

/// Whatever has to happen by itself has a timer, and whoever may start is in the queue.
fn nobody_is_forgotten(cluster: &Cluster, wrong: &mut Vec<String>) {
    let queued: BTreeSet<JobId> = cluster.queue.values().map(|job| job.id).collect();
    for job in cluster.jobs.values() {
        let id = job.id;
        match job.state {
            JobState::Pending if dependency::is_to_end(cluster, job) => {
                wrong.push(format!("job {id} waits for what will never come"));
            }
            JobState::Pending if job.completing || job.hold.is_some() || !job.dependencies.is_empty() => {}
            JobState::Pending => match job.eligible_time {
                None => wrong.push(format!("job {id} waits for nothing and is not eligible")),
                // Whoever of the others is not ready has something of his own that will wake him.
                Some(at) if !queued.contains(&id) && cluster.awaits_others(job, at) => {}
                Some(at) if !queued.contains(&id) && !cluster.timers.contains(at, Timer::Eligible(id)) => {
                    wrong.push(format!("job {id} is neither in the queue nor will a timer put it there"));
                }
                Some(_) => {}
            },
            JobState::Running => {
                let due = job.end_time.map(|end| end + cluster.over_time(job));
                if due.is_some_and(|due| !cluster.timers.contains(due, Timer::TimeLimit(id))) {
                    wrong.push(format!("job {id} has a time limit that no timer watches"));
                }
            }
            _ => {}
        }
    }
    for job_id in cluster.holders_away.keys().chain(cluster.holders_present.keys()) {
        if cluster.jobs.get(job_id).is_none_or(|job| job.state.is_final()) {
            wrong.push(format!("the client of job {job_id} is watched, but the job has ended"));
        }
    }
    for (job_id, waiting) in &cluster.waiting_steps {
        let runs =
            cluster.jobs.get(job_id).is_some_and(|job| matches!(job.state, JobState::Running | JobState::Suspended));
        if !runs || waiting.is_empty() {
            wrong.push(format!("{} steps wait in job {job_id}, which does not run", waiting.len()));
        }
        if steps::could_start_one(cluster, *job_id) {
            wrong.push(format!("a step waits in job {job_id} although there is room for it"));
        }
    }
    if !cluster.to_evaluate.is_empty() || !cluster.to_correspond.is_empty() {
        wrong.push("dependencies were left to be looked at".to_owned());
    }
}

fn arrays_add_up(cluster: &Cluster, wrong: &mut Vec<String>) {
    for (array_id, info) in &cluster.arrays {
        let tasks = || {
            let ids = cluster.array_tasks.get(array_id).into_iter().flat_map(|tasks| tasks.values());
            ids.filter_map(|id| cluster.jobs.get(id))
        };
        let active = tasks().filter(|job| job.holds_resources()).count();
        if active != info.active as usize {
            wrong.push(format!("array {array_id} counts {} active tasks, {active} are", info.active));
        }
        let unfinished = tasks().filter(|job| Cluster::is_unfinished_task(job)).count();
        if unfinished != info.unfinished as usize {
            wrong.push(format!("array {array_id} counts {} unfinished tasks, {unfinished} are", info.unfinished));
        }
        let slots = info.throttle.map(|throttle| throttle.saturating_sub(info.active));
        if slots != cluster.array_slots.get(array_id).copied() {
            wrong.push(format!("array {array_id} has {slots:?} slots, the scheduler is told otherwise"));
        }
        if let Some(record) = cluster.jobs.get(array_id)
            && let Some(ArrayRole::Waiting { tasks: waiting }) = &record.array
            && tasks().filter_map(|job| job.task_index()).any(|index| waiting.contains(index))
        {
            wrong.push(format!("array {array_id} has a task that waits and has a record of its own"));
        }
    }
    for job in cluster.jobs.values() {
        if job.array_job_id().is_some_and(|array| !cluster.arrays.contains_key(&array)) {
            wrong.push(format!("the array of job {} is not known", job.id));
        }
    }
}

/// No component of a heterogeneous job runs without the others having been started at the same instant; they wait side by
/// side, or none of them is in the queue.
fn components_run_together(cluster: &Cluster, wrong: &mut Vec<String>) {
    let queued: BTreeSet<JobId> = cluster.queue.values().map(|job| job.id).collect();
    for (job, role) in cluster.jobs.values().filter_map(|job| Some((job, job.het?))) {
        let id = job.id;
        if role.component(role.offset) != Some(id) {
            wrong.push(format!("job {id} is not component {} of {}", role.offset, role.leader));
        }
        let others = cluster.components(job);
        if others.len() < role.size as usize && !job.state.is_final() {
            wrong.push(format!("job {id} goes on without some of its components"));
        }
        for other in &others {
            if other.het.is_none_or(|theirs| (theirs.leader, theirs.size) != (role.leader, role.size)) {
                wrong.push(format!("jobs {id} and {} do not agree on what they are part of", other.id));
            }
            let is_same_start = (other.restart, other.start_time) == (job.restart, job.start_time);
            if matches!(job.state, JobState::Running | JobState::Suspended)
                && (other.state == JobState::Pending || !is_same_start)
            {
                wrong.push(format!("job {id} runs, and {} did not start with it", other.id));
            }
            if queued.contains(&id) != queued.contains(&other.id) {
                wrong.push(format!("of jobs {id} and {} only one is in the queue", other.id));
            }
        }
        if job.is_led() && cluster.steps.contains_key(&(id, StepId::Batch)) {
            wrong.push(format!("job {id} runs a script of its own and is led by {}", role.leader));
        }
    }
}

/// Who waits for whom is known from both ends.
fn dependencies_are_indexed(cluster: &Cluster, wrong: &mut Vec<String>) {
    for job in cluster.jobs.values() {
        let unfinished = !job.state.is_final() || job.completing;
        if unfinished != cluster.named.contains(&name_key(job)) {
            wrong.push(format!("job {} is not listed rightly under its name", job.id));
        }
        if job.state != JobState::Pending {
            continue;
        }
        for on in job.dependencies.all.iter().filter(|on| on.state == DependencyState::Unfulfilled) {
            let listed = match on.job {
                Some(target) => {
                    let exists = cluster.jobs.contains_key(&target) || cluster.arrays.contains_key(&target);
                    !exists || cluster.dependents.get(&target).is_some_and(|waiting| waiting.contains(&job.id))
                }
                None => on.kind != DependencyKind::Singleton || cluster.singletons.contains(&name_key(job)),
            };
            if !listed {
                wrong.push(format!("job {} waits for a job that does not know of it", job.id));
            }
            if dependency::is_decided(cluster, job, on) {
                wrong.push(format!("job {} goes on waiting for what is decided: {}", job.id, job.dependencies));
            }
        }
    }
}

/// No job that started after a reservation was made, and whose limit is as it was then, takes what that one keeps; and the
/// lists of jobs by reservation are complete.
fn reservations_are_kept(cluster: &Cluster, wrong: &mut Vec<String>) {
    let mut listed: BTreeMap<Name, BTreeSet<JobId>> = BTreeMap::new();
    for job in cluster.jobs.values().filter(|job| !job.state.is_final()) {
        let asked = names_of(&job.spec).filter(|_| job.reservation.is_none()).map(Name::from);
        for name in asked.chain(job.reservation.clone()) {
            listed.entry(name).or_default().insert(job.id);
        }
        let limit = job.time_limit.span().zip(job.start_time).map(|(limit, start)| start + limit);
        let as_started = limit == job.end_time && job.spec.time_limit.is_none_or(|asked| asked == job.time_limit);
        if job.state != JobState::Running || !as_started {
            continue;
        }
        let setting = setting(cluster, job.start_time.unwrap_or_default());
        if let Some(broken) = access::broken_by(cluster, &setting, job) {
            wrong.push(format!("job {} holds what reservation {} keeps", job.id, broken.name));
        }
    }
    if listed != cluster.reservation_jobs {
        wrong.push(format!("jobs {listed:?} are in reservations, {:?} are listed", cluster.reservation_jobs));
    }
}

/// Steps hold CPUs of their job only, and are open only where the job still holds something.
fn steps_fit(cluster: &Cluster, wrong: &mut Vec<String>) {
    for step in cluster.steps.values() {
        let Some(job) = cluster.jobs.get(&step.job_id).filter(|job| job.holds_resources()) else {
            wrong.push(format!("step {}.{} runs without its job", step.job_id, step.step_id));
            continue;
        };
        let restart = job.cleaning.as_ref().map_or(job.restart, |cleaning| cleaning.restart);
        if step.restart != restart || step.nodes_left.is_empty() {
            wrong.push(format!("step {}.{} is open and belongs to no start of its job", step.job_id, step.step_id));
        }
        for node in &step.nodes_left {
            if !shares_of(job).any(|share| share.node == *node) {
                wrong.push(format!(
                    "step {}.{} is open on node {}, which the job gave back",
                    step.job_id, step.step_id, node.0
                ));
            }
        }
        // Where the step has ended the job may hold nothing any more: it gave that up.
        for on in step.layout.iter().filter(|on| step.nodes_left.contains(&on.node)) {
            let within = job.share_on(on.node).is_some_and(|share| on.cpus.iter().all(|cpu| share.cpus.contains(cpu)));
            if !within {
                wrong.push(format!("step {}.{} uses CPUs its job does not hold", step.job_id, step.step_id));
            }
        }
    }
}
