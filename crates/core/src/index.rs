//! The one place where a job, step or node row changes, so that every index, fact and news follows.

use std::collections::BTreeSet;
use std::sync::Arc;

use muster_model::dependency::DependencyKind;
use muster_model::fact::{Fact, NodeRecord};
use muster_model::ids::{JobId, Name, NodeIndex, StepId};
use muster_model::job::{ArrayRole, Job, JobKind};
use muster_model::node::Node;
use muster_model::reservation::claim::names_of;
use muster_model::state::JobState;
use muster_model::step::Step;
use muster_model::time::{Span, Timestamp};

use crate::cluster::{ArrayInfo, Cluster};
use crate::effect::{Effect, Outcome};
use crate::handlers::dependency;
use crate::timers::Timer;
use crate::{mail, submits};

/// The end of a job without limit, in the order of ends.
const FAR_FUTURE: Timestamp = Timestamp(i64::MAX);

impl Cluster {
    /// Puts in the new row of a job: indexes, fact and news follow from the difference to the old row.
    pub(crate) fn put_job(&mut self, now: Timestamp, job: Job, out: &mut Outcome) {
        let id = job.id;
        self.put_job_quietly(now, job, out);
        out.effects.extend(self.jobs.get(&id).cloned().map(Effect::News));
    }

    /// As [`Cluster::put_job`] for changes that nobody waits for.
    pub(crate) fn put_job_quietly(&mut self, now: Timestamp, job: Job, out: &mut Outcome) {
        let job = Arc::new(job);
        let old = self.jobs.get(&job.id).cloned();
        let had_begun = mail::has_begun(self, &job);
        let was_queued = old.as_deref().is_some_and(|old| self.is_in_queue(old.id));
        self.index_job(old.as_deref(), &job, now);
        out.facts.push(Fact::Job(job.clone()));
        mail::tell(self, old.as_ref(), &job, had_begun, out);
        // A begin time that has come changes nothing in the row that the scheduler looks at, but the queue.
        if scheduler_cares(old.as_deref(), &job) || (!was_queued && is_queued(&job, now)) {
            self.ask_for_pass(now, old.is_none() && job.spec.kind == JobKind::Batch, out);
        }
        // Wherever that was found out; it ends before the event is over.
        if dependency::is_to_end(self, &job) {
            self.to_evaluate.insert(job.id);
        }
        self.jobs.insert(job.id, job);
    }

    /// Asks for a pass, or has one asked for later where only a batch job has come (`batch_sched_delay`): those that come
    /// until then are looked at together.
    fn ask_for_pass(&mut self, now: Timestamp, is_new_batch: bool, out: &mut Outcome) {
        let delay = self.config.scheduling.batch_delay;
        // A clock that was put back must not make anybody wait for the old time.
        let due = self.batch_pass.min(now) + delay;
        if !is_new_batch || delay == Span::ZERO {
            out.plan_needed = true;
        } else if due <= now {
            self.plan_for_batch(now, out);
        } else {
            self.timers.set(due, Timer::BatchPass);
        }
    }

    /// Asks for the pass that batch jobs have been waiting for.
    pub(crate) fn plan_for_batch(&mut self, now: Timestamp, out: &mut Outcome) {
        self.batch_pass = now;
        out.plan_needed = true;
    }

    /// As [`Cluster::put_job_quietly`] for changes that need not be durable: what can be calculated again.
    pub(crate) fn put_unstored(&mut self, now: Timestamp, job: Job) {
        let job = Arc::new(job);
        let old = self.jobs.get(&job.id).cloned();
        self.index_job(old.as_deref(), &job, now);
        self.jobs.insert(job.id, job);
    }

    pub(crate) fn index_job(&mut self, old: Option<&Job>, new: &Arc<Job>, now: Timestamp) {
        if let Some(old) = old {
            self.dequeue(old.id);
            self.running.remove(&running_key(old));
        }
        if new.het.is_some() {
            self.queue_together(new, now);
        } else if is_queued(new, now) {
            self.enqueue(new);
            self.set_patience_timer(new, now);
        }
        if new.holds_resources() {
            self.running.insert(running_key(new), new.clone());
        }
        self.tally_job(old, new);
        self.index_licenses(old, new);
        self.index_run(new);
        self.index_array(old, new);
        self.index_reservations(old, new);
        self.index_name(old, new);
        self.index_dependencies(old, new);
    }

    fn index_reservations(&mut self, old: Option<&Job>, new: &Job) {
        let names = |job: &Job| -> BTreeSet<Name> {
            let unfinished = !job.state.is_final();
            let asked = names_of(&job.spec).filter(|_| job.reservation.is_none()).map(Name::from);
            asked.chain(job.reservation.clone()).filter(|_| unfinished).collect()
        };
        if new.spec.reservation.is_none() && new.reservation.is_none() && old.is_none_or(|old| names(old).is_empty()) {
            return;
        }
        let (before, after) = (old.map(names).unwrap_or_default(), names(new));
        for name in before.difference(&after) {
            if let Some(jobs) = self.reservation_jobs.get_mut(name) {
                jobs.remove(&new.id);
                if jobs.is_empty() {
                    self.reservation_jobs.remove(name);
                }
            }
        }
        for name in after.difference(&before) {
            self.reservation_jobs.entry(name.clone()).or_default().insert(new.id);
        }
        self.reservations_touched |= before != after || old.is_none_or(|old| old.state != new.state);
    }

    fn index_name(&mut self, old: Option<&Job>, new: &Job) {
        let unfinished = |job: &Job| !job.state.is_final() || job.completing;
        let old_key = old.filter(|old| unfinished(old)).map(name_key);
        let new_key = unfinished(new).then(|| name_key(new));
        if old_key == new_key {
            return;
        }
        if let Some(key) = old_key {
            self.named.remove(&key);
            self.wake_singletons(&key);
        }
        self.named.extend(new_key);
    }

    /// Looks again at the first job that waits for the others of its user and name to end: those after it wait for it
    /// too. Tasks of one array do not wait for each other, nor do components of one heterogeneous job.
    pub(crate) fn wake_singletons(&mut self, (uid, name, _): &(u32, Name, JobId)) {
        let of_name = (*uid, name.clone(), JobId(0))..=(*uid, name.clone(), JobId(u32::MAX));
        let whole_of = |id: JobId| self.jobs.get(&id).and_then(|job| job.array_job_id().or(job.het_job_id()));
        let mut waiting = self.singletons.range(of_name).map(|(_, _, id)| *id);
        let Some(first) = waiting.next() else { return };
        let whole = whole_of(first);
        let siblings = waiting.filter(|id| whole.is_some() && whole_of(*id) == whole);
        self.to_evaluate.extend(std::iter::once(first).chain(siblings));
    }

    fn index_array(&mut self, old: Option<&Job>, new: &Job) {
        let Some(array_id) = new.array_job_id() else {
            return;
        };
        let info = self.arrays.entry(array_id).or_insert_with(|| ArrayInfo {
            throttle: new.spec.array.as_ref().and_then(|array| array.throttle),
            ..ArrayInfo::default()
        });
        let task = |job: &Job| matches!(job.array, Some(ArrayRole::Task { .. }));
        let active = |job: &Job| u32::from(task(job) && job.holds_resources());
        let unfinished = |job: &Job| u32::from(Cluster::is_unfinished_task(job));
        info.active = info.active + active(new) - old.map_or(0, active);
        let open = |job: &Job| u32::from(task(job) && !job.state.is_final());
        info.open = info.open + open(new) - old.map_or(0, open);
        info.began |= task(new) && new.state != JobState::Pending && new.start_time.is_some();
        info.unfinished = info.unfinished + unfinished(new) - old.map_or(0, unfinished);
        if task(new) && new.state.is_final() && !new.completing && new.state != JobState::Completed {
            info.any_failed = true;
        }
        if let Some(throttle) = info.throttle {
            self.array_slots.insert(array_id, throttle.saturating_sub(info.active));
        } else {
            self.array_slots.remove(&array_id);
        }
        if let Some(index) = new.task_index() {
            self.array_tasks.entry(array_id).or_default().insert(index, new.id);
        } else {
            self.array_tasks.entry(array_id).or_default();
        }
    }

    fn index_dependencies(&mut self, old: Option<&Job>, new: &Job) {
        let waits = |job: &Job| job.state == JobState::Pending && !job.dependencies.is_empty();
        let same_as = |old: &Job| {
            waits(old) == waits(new) && old.dependencies == new.dependencies && name_key(old) == name_key(new)
        };
        if old.map_or(!waits(new), same_as) {
            return;
        }
        for dependency in old.iter().flat_map(|old| &old.dependencies.all) {
            if let Some(waiting) = dependency.job.and_then(|target| self.dependents.get_mut(&target)) {
                waiting.remove(&new.id);
            }
        }
        if let Some(old) = old {
            self.singletons.remove(&name_key(old));
        }
        for dependency in new.dependencies.all.iter().filter(|_| waits(new)) {
            if let Some(target) = dependency.job {
                self.dependents.entry(target).or_default().insert(new.id);
            }
            if dependency.kind == DependencyKind::Singleton {
                self.singletons.insert(name_key(new));
            }
        }
    }

    /// Takes a job out of memory. Its rows stay in the store as history; a controller that starts meanwhile still reads them as long
    /// as they tell that a submit has been made.
    pub(crate) fn remove_job(&mut self, now: Timestamp, job_id: JobId, out: &mut Outcome) {
        let Some(job) = self.jobs.remove(&job_id) else {
            return;
        };
        self.ran.remove(&job_id);
        self.dequeue(job_id);
        self.running.remove(&running_key(&job));
        // Who waits for an array waits for it as long as any task of it is known.
        if job.array_job_id() != Some(job_id) {
            self.dependents.remove(&job_id);
        }
        if let (Some(array_id), Some(index)) = (job.array_job_id(), job.task_index()) {
            let mut empty = false;
            if let Some(tasks) = self.array_tasks.get_mut(&array_id) {
                tasks.remove(&index);
                empty = tasks.is_empty();
            }
            if empty && !self.jobs.contains_key(&array_id) {
                self.array_tasks.remove(&array_id);
                self.array_slots.remove(&array_id);
                self.arrays.remove(&array_id);
                self.dependents.remove(&array_id);
            }
        } else if job.array_job_id().is_some() && self.array_tasks.get(&job_id).is_none_or(|tasks| tasks.is_empty()) {
            self.array_tasks.remove(&job_id);
            self.array_slots.remove(&job_id);
            self.arrays.remove(&job_id);
            self.dependents.remove(&job_id);
        }
        if submits::is_remembered(now, &job) {
            self.timers.set(job.submit_time + submits::REMEMBERED, Timer::ForgetSubmit(job_id));
        } else {
            out.facts.push(Fact::JobForgotten(job_id));
        }
    }

    /// Sets the timers that follow from the state of a job.
    pub(crate) fn set_job_timers(&mut self, job: &Job, now: Timestamp) {
        let id = job.id;
        match job.state {
            JobState::Pending => {
                for at in [job.begin_time, job.eligible_time].into_iter().flatten().filter(|at| *at > now) {
                    self.timers.set(at, Timer::Eligible(id));
                }
                if let Some(latest) = job.latest_start() {
                    // Times are compared by the second.
                    self.timers.set(latest + Span::from_seconds(1), Timer::Deadline(id));
                }
            }
            JobState::Running => {
                if let Some(from) = job.preemptable_from.filter(|from| *from > now) {
                    self.timers.set(from, Timer::Pass(id));
                }
                if let Some(end) = job.end_time {
                    self.timers.set(end + self.over_time(job), Timer::TimeLimit(id));
                    for (_, at) in mail::limit_moments(job) {
                        self.timers.set(at, Timer::LimitMail(id));
                    }
                    if let Some(early) = job.spec.early_signal {
                        self.timers.set(end - early.before_end, Timer::EarlySignal(id));
                    }
                }
            }
            state if state.is_final() && !job.completing => {
                self.timers.set(job.end_time.unwrap_or(now) + self.config.job_age_min, Timer::Forget(id));
            }
            _ => {}
        }
    }

    /// `--switches=COUNT@TIME`: when a queued job takes what there is.
    fn set_patience_timer(&mut self, job: &Job, now: Timestamp) {
        let Some(limit) = job.spec.request.preference.switches else { return };
        let most = self.config.placement.switch_wait_max;
        let over = job.eligible_time.unwrap_or(job.submit_time) + limit.wait.map_or(most, |wait| wait.min(most));
        if over > now {
            self.timers.set(over, Timer::Pass(job.id));
        }
    }

    /// How long after its end a running job may go on; one that makes room for another may not.
    pub(crate) fn over_time(&self, job: &Job) -> Span {
        if job.eviction.is_some() {
            return Span::ZERO;
        }
        let of_partition = self.partition(&job.partition).and_then(|partition| partition.over_time_limit);
        of_partition.unwrap_or(self.config.over_time_limit)
    }

    /// Puts in the new row of a step; an ended step leaves the memory and stays in the store.
    pub(crate) fn put_step(&mut self, mut step: Step, out: &mut Outcome) {
        let key = (step.job_id, step.step_id);
        if step.state.is_final() {
            // It will not be launched again; its environment is of no more use.
            step.launch = None;
        }
        let step = Arc::new(step);
        out.facts.push(Fact::Step(step.clone()));
        if step.state.is_final() {
            self.steps.remove(&key);
        } else {
            self.steps.insert(key, step);
        }
    }

    /// Steps of a job that have not ended, batch included.
    pub(crate) fn steps_of(&self, job_id: JobId) -> impl Iterator<Item = &Arc<Step>> {
        self.steps.range((job_id, StepId::Number(0))..=(job_id, StepId::Extern)).map(|(_, step)| step)
    }

    /// Changes a node; what outlives a restart is written down when it changed.
    pub(crate) fn change_node<R>(
        &mut self,
        index: NodeIndex,
        out: &mut Outcome,
        change: impl FnOnce(&mut Node) -> R,
    ) -> Option<R> {
        let node = Arc::make_mut(self.nodes.get_mut(index.0 as usize)?);
        let before = NodeRecord::of(node);
        let schedulable_before = node.is_schedulable();
        let result = change(node);
        let record = NodeRecord::of(node);
        out.plan_needed |= schedulable_before != node.is_schedulable();
        self.reservations_touched |= !self.reservations.is_empty() && schedulable_before != node.is_schedulable();
        if record != before {
            out.facts.push(Fact::Node { name: node.config.name.clone(), record });
        }
        Some(result)
    }
}

/// Whether the scheduler may start the job now.
pub(crate) fn is_queued(job: &Job, now: Timestamp) -> bool {
    job.state == JobState::Pending
        && !job.completing
        && job.hold.is_none()
        && job.eligible_time.is_some_and(|eligible| eligible <= now)
        && !matches!(&job.array, Some(ArrayRole::Waiting { tasks }) if tasks.is_empty())
}

/// When a job gives back what it holds, as far as can be told. One that goes back to the queue has no end any more, but is being
/// cleaned up since it came back: who took it for one without limit would have others make room instead of waiting for it.
fn running_key(job: &Job) -> (Timestamp, JobId) {
    let end = match job.state {
        JobState::Pending if job.completing => Some(job.submit_time),
        _ => job.end_time.filter(|_| job.holds_resources()),
    };
    (end.unwrap_or(FAR_FUTURE), job.id)
}

/// A job's place among those of its user and name.
pub(crate) fn name_key(job: &Job) -> (u32, Name, JobId) {
    (job.spec.identity.uid, job.spec.name.clone(), job.id)
}

/// Whether a change of a job can change what the scheduler would decide.
fn scheduler_cares(old: Option<&Job>, new: &Job) -> bool {
    match old {
        None => true,
        Some(old) => {
            old.state != new.state
                || old.completing != new.completing
                || old.hold != new.hold
                || old.priority != new.priority
                || old.eligible_time != new.eligible_time
                || old.dependencies != new.dependencies
                || old.end_time != new.end_time
                || (&old.account, &old.association, &old.qos) != (&new.account, &new.association, &new.qos)
                || !Arc::ptr_eq(&old.spec, &new.spec)
        }
    }
}
