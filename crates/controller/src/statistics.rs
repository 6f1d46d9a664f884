//! Counts what the controller does, for `sdiag`: at its edges, by whoever does it. The sequencer is never asked and never
//! waits; whoever counts holds a lock for as long as it takes to add a number.
//!
//! Jobs and passes are counted anew from midnight UTC on, as in Slurm; requests only when an operator says so.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use muster_core::ReadView;
use muster_model::fact::Fact;
use muster_model::ids::{Identity, JobId, Name};
use muster_model::job::{ArrayRole, Job};
use muster_model::state::JobState;
use muster_model::statistics::{CallKind, Calls, JobCounts, PassCounts, PassFigures, Statistics};
use muster_model::time::Timestamp;

use crate::clock;

/// Most users that are told apart; those who come later are counted by kind of request only, so that no flood of users
/// fills the memory.
const CALLERS_MAX: usize = 10_000;
/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// The counts. Clones count together.
#[derive(Debug, Clone)]
pub(crate) struct Meters {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    open: AtomicU32,
    calls: Mutex<CallCounts>,
    work: Mutex<Work>,
    clock_latency_us: u32,
}

#[derive(Debug, Default)]
struct CallCounts {
    by_kind: BTreeMap<CallKind, Calls>,
    by_user: BTreeMap<u32, (Name, Calls)>,
}

/// What is counted anew each day.
#[derive(Debug, Default)]
struct Work {
    since: Timestamp,
    jobs: JobCounts,
    passes: PassCounts,
    full_passes: PassCounts,
    backfilled: u32,
    backfilled_ever: u32,
}

impl Work {
    fn reset(&mut self, since: Timestamp) {
        self.since = since;
        self.jobs = JobCounts::default();
        self.passes.reset();
        self.full_passes.reset();
        self.backfilled = 0;
    }

    /// Begins anew if a day (UTC) has begun since it did last.
    fn turn(&mut self, now: Timestamp) {
        let midnight = Timestamp(now.0.div_euclid(DAY_MS) * DAY_MS);
        if midnight > self.since {
            self.reset(midnight);
        }
    }
}

impl Meters {
    /// Nothing has been counted yet.
    pub(crate) fn new() -> Meters {
        let work = Work { since: clock::now(), ..Work::default() };
        let (open, calls) = (AtomicU32::new(0), Mutex::default());
        let shared = Shared { open, calls, work: Mutex::new(work), clock_latency_us: clock_latency_us() };
        Meters { shared: Arc::new(shared) }
    }

    /// A request has come; it is answered when what this gives is dropped.
    pub(crate) fn begin(&self, kind: CallKind, caller: &Identity) -> OpenCall {
        self.shared.open.fetch_add(1, Ordering::Relaxed);
        OpenCall { meters: self.clone(), kind, uid: caller.uid, user: caller.user.clone(), began: Instant::now() }
    }

    /// Counts what a batch of facts means for jobs, of which `view` tells how they were before.
    pub(crate) fn count_jobs(&self, facts: &[Fact], view: &ReadView) {
        let mut known: BTreeMap<JobId, &Arc<Job>> = BTreeMap::new();
        let mut counts = JobCounts::default();
        for fact in facts {
            let Fact::Job(job) = fact else { continue };
            let before = known.insert(job.id, job).or_else(|| view.jobs.get(&job.id));
            count_change(&mut counts, before, job);
        }
        if counts != JobCounts::default() {
            let mut work = self.work(clock::now());
            work.jobs.submitted += counts.submitted;
            work.jobs.started += counts.started;
            work.jobs.completed += counts.completed;
            work.jobs.cancelled += counts.cancelled;
            work.jobs.failed += counts.failed;
        }
    }

    /// Counts a pass of the planner that has just ended.
    pub(crate) fn count_pass(&self, took: Duration, figures: PassFigures, is_partial: bool) {
        let now = clock::now();
        let took_us = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        let mut work = self.work(now);
        work.passes.add(now, took_us, figures);
        if !is_partial {
            work.full_passes.add(now, took_us, figures);
        }
        work.backfilled += figures.backfilled;
        work.backfilled_ever += figures.backfilled;
    }

    /// Begins all counts anew.
    pub(crate) fn reset(&self) {
        *lock(&self.shared.calls) = CallCounts::default();
        self.work(clock::now()).reset(clock::now());
    }

    /// All counts, and how many jobs wait and run in `view`.
    pub(crate) fn tell(&self, view: &ReadView) -> Statistics {
        let time = clock::now();
        let (jobs_pending, jobs_running) = states(view);
        let (calls, callers) = {
            let counts = lock(&self.shared.calls);
            let calls = counts.by_kind.iter().map(|(kind, calls)| (*kind, *calls)).collect();
            let callers = counts.by_user.iter().map(|(uid, (name, calls))| (*uid, name.clone(), *calls)).collect();
            (calls, callers)
        };
        let work = self.work(time);
        Statistics {
            time,
            since: work.since,
            requests_open: self.shared.open.load(Ordering::Relaxed),
            outgoing: Vec::new(),
            batches_waiting: 0,
            jobs: work.jobs,
            jobs_pending,
            jobs_running,
            passes: work.passes,
            full_passes: work.full_passes,
            backfilled_ever: work.backfilled_ever,
            backfilled: work.backfilled,
            clock_latency_us: self.shared.clock_latency_us,
            calls,
            callers,
        }
    }

    fn work(&self, now: Timestamp) -> MutexGuard<'_, Work> {
        let mut work = lock(&self.shared.work);
        work.turn(now);
        work
    }
}

/// A request that is being answered. Counts itself when it is dropped.
#[derive(Debug)]
pub(crate) struct OpenCall {
    meters: Meters,
    kind: CallKind,
    uid: u32,
    user: Name,
    began: Instant,
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        let took_us = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.meters.shared.open.fetch_sub(1, Ordering::Relaxed);
        let mut counts = lock(&self.meters.shared.calls);
        counts.by_kind.entry(self.kind).or_default().add(took_us);
        let is_known = counts.by_user.contains_key(&self.uid);
        if is_known || counts.by_user.len() < CALLERS_MAX {
            let user = || (self.user.clone(), Calls::default());
            counts.by_user.entry(self.uid).or_insert_with(user).1.add(took_us);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// What the step from one row of a job to the next means. Jobs that reach their time limit or make room for others are in
/// none of Slurm's counts.
fn count_change(counts: &mut JobCounts, before: Option<&Arc<Job>>, job: &Job) {
    let held = |state| matches!(state, JobState::Running | JobState::Suspended);
    let same_start = before.filter(|before| before.restart == job.restart);
    let was = same_start.map_or(JobState::Pending, |before| before.state);
    match &job.array {
        _ if before.is_some() => {}
        Some(ArrayRole::Task { .. }) => {}
        Some(ArrayRole::Waiting { tasks }) => counts.submitted += tasks.len(),
        None => counts.submitted += 1,
    }
    if held(job.state) && !held(was) {
        counts.started += 1;
    }
    match job.state {
        state if state == was => {}
        JobState::Completed | JobState::Failed | JobState::OutOfMemory if held(was) => counts.completed += 1,
        JobState::Requeued if held(was) => counts.completed += 1,
        JobState::Cancelled => counts.cancelled += 1,
        JobState::NodeFail | JobState::BootFail => counts.failed += 1,
        _ => {}
    }
}

/// Jobs that wait, each task of an array for itself, and jobs that run.
fn states(view: &ReadView) -> (u32, u32) {
    let (mut pending, mut running) = (0_u32, 0_u32);
    for job in view.jobs.values() {
        match (job.state, &job.array) {
            (JobState::Pending, Some(ArrayRole::Waiting { tasks })) => {
                pending = pending.saturating_add(tasks.len());
            }
            (JobState::Pending, _) => pending += 1,
            (JobState::Running, _) => running += 1,
            _ => {}
        }
    }
    (pending, running)
}

fn clock_latency_us() -> u32 {
    let began = Instant::now();
    for _ in 0..1000 {
        std::hint::black_box(clock::now());
    }
    u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_model::resources::ResourceRequest;
    use muster_testkit::builders;

    /// What a job's passing through `states` (state, which start of it) counts as: submitted, started, completed,
    /// cancelled, failed.
    fn check(array: Option<ArrayRole>, states: &[(JobState, u32)], expected: [u32; 5]) {
        let mut counts = JobCounts::default();
        let mut before: Option<Arc<Job>> = None;
        for (state, restart) in states {
            let mut job = builders::pending(1, builders::spec(ResourceRequest::default()), "debug");
            (job.state, job.restart, job.array) = (*state, muster_model::ids::RestartCount(*restart), array.clone());
            count_change(&mut counts, before.as_ref(), &job);
            before = Some(Arc::new(job));
        }
        let JobCounts { submitted, started, completed, cancelled, failed } = counts;
        assert_eq!([submitted, started, completed, cancelled, failed], expected, "{states:?}");
    }

    #[test]
    fn jobs_are_counted_as_slurm_counts_them() {
        use JobState::{Cancelled, Completed, Failed, NodeFail, Pending, Requeued, Running, Suspended, Timeout};
        check(None, &[(Pending, 0), (Running, 0), (Completed, 0), (Completed, 0)], [1, 1, 1, 0, 0]);
        check(
            None,
            &[(Pending, 0), (Pending, 0), (Running, 0), (Suspended, 0), (Running, 0), (Failed, 0)],
            [1, 1, 1, 0, 0],
        );
        check(None, &[(Pending, 0), (Cancelled, 0), (Cancelled, 0)], [1, 0, 0, 1, 0]);
        check(None, &[(Pending, 0), (Running, 0), (Timeout, 0)], [1, 1, 0, 0, 0]);
        check(None, &[(Pending, 0), (Running, 0), (NodeFail, 0)], [1, 1, 0, 0, 1]);
        check(None, &[(Pending, 0), (Running, 0), (Requeued, 0), (Pending, 1), (Running, 1)], [1, 2, 1, 0, 0]);
        let tasks = muster_model::array::TaskSet::parse("1-5", 100).expect("tasks");
        check(Some(ArrayRole::Waiting { tasks }), &[(Pending, 0), (Pending, 0)], [5, 0, 0, 0, 0]);
        let task = ArrayRole::Task { array_job_id: JobId(9), task_index: 2 };
        check(Some(task), &[(Running, 0), (Completed, 0)], [0, 1, 1, 0, 0]);
    }

    #[test]
    fn a_day_begins_at_midnight_utc() {
        let hour = 3_600_000;
        let mut work = Work { since: Timestamp(5 * hour), backfilled: 2, backfilled_ever: 7, ..Work::default() };
        work.turn(Timestamp(23 * hour));
        assert_eq!((work.since, work.backfilled), (Timestamp(5 * hour), 2));
        work.turn(Timestamp(50 * hour));
        assert_eq!((work.since, work.backfilled, work.backfilled_ever), (Timestamp(48 * hour), 0, 7));
    }

    #[test]
    fn a_request_is_counted_when_it_is_answered() {
        let meters = Meters::new();
        let ada = Identity { uid: 7, gid: 7, user: "ada".into(), group: "ada".into() };
        let (first, second) = (meters.begin(CallKind::Ping, &ada), meters.begin(CallKind::AskJobs, &ada));
        assert_eq!(meters.shared.open.load(Ordering::Relaxed), 2);
        assert!(lock(&meters.shared.calls).by_kind.is_empty());
        drop((first, second));
        let counts = lock(&meters.shared.calls);
        let kinds: Vec<_> = counts.by_kind.iter().map(|(kind, calls)| (*kind, calls.count)).collect();
        assert_eq!(kinds, [(CallKind::AskJobs, 1), (CallKind::Ping, 1)]);
        assert_eq!(counts.by_user[&7].1.count, 2);
        assert_eq!(meters.shared.open.load(Ordering::Relaxed), 0);
    }
}
