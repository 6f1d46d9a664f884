//! The planner of this product in virtual time, over a view kept as the controller keeps it.
//!
//! A pass is made at each moment at which something changed, and only then. What the plan says is carried out as the core
//! does it: starts take exactly the processors, memory and devices that the plan gives them, so that the next pass sees
//! what it would see in production.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use imbl::OrdMap;
use muster_model::ids::{Identity, JobId, Name};
use muster_model::job::{Job, JobKind, JobSpec};
use muster_model::partition::Partition;
use muster_model::planning::{Outlook, Plan, PlanView, PlannedShare, PlannedStart, QueueKey};
use muster_model::priority::billing_of;
use muster_model::resources::{Allocation, IndexSet, Megabytes, MemoryRequest, NodeShare, ResourceRequest, Sharing};
use muster_model::state::{JobState, Reason};
use muster_model::time::{Span, TimeLimit, Timestamp};
use muster_sched::{Budget, Planner};

use crate::machine::Machine;
use crate::schedule::Schedule;
use crate::workload::{Submission, Unit, Workload};

/// The end of a job without limit, in the order of ends.
const FAR_FUTURE: Timestamp = Timestamp(i64::MAX);
/// The number of the first job: that of a job is this more than its place in the workload.
const FIRST_ID: u32 = 1;

/// Jobs that wait although nothing runs and nothing more comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// Why.
    pub reason: Reason,
    /// How many jobs.
    pub count: usize,
    /// The number of the first in the source.
    pub first: u32,
}

/// The outcome of a replay.
#[derive(Debug, Clone, Default)]
pub struct Product {
    /// When each job starts.
    pub schedule: Schedule,
    /// Jobs that cannot start in this configuration.
    pub stuck: Vec<Stuck>,
    /// Passes of the planner.
    pub passes: u64,
    /// Preemptions that the planner proposed. They are not carried out: the victims run to their end.
    pub evictions: usize,
}

impl Product {
    /// Replays `workload` on `machine`; `progress` is told how many jobs have ended.
    pub fn replay(workload: &Workload, machine: &Machine, passes: Passes, progress: &mut dyn FnMut(usize)) -> Product {
        // Nobody asks a replay when jobs are expected to start.
        let budget = Budget { expectations: false, ..Budget::of(&machine.config) };
        let mut replay = Replay::new(workload, machine);
        let mut planner = Planner::new();
        let mut product = Product::default();
        let mut arrivals = workload.jobs.iter().enumerate().peekable();
        let mut ended = 0;
        let mut full_due = Timestamp(i64::MIN);
        let mut was_partial = false;
        loop {
            let next_arrival = arrivals.peek().map(|(_, job)| job.submit);
            let next_end = replay.ends.peek().map(|Reverse((end, _))| *end);
            // A pass over everything is made in the end even if nothing happens.
            let next_full = (was_partial && !replay.view.queue.is_empty()).then_some(full_due);
            let Some(now) = next_arrival.into_iter().chain(next_end).chain(next_full).min() else {
                break;
            };
            replay.view.now = now;
            ended += replay.end_until(now);
            while let Some((index, job)) = arrivals.next_if(|(_, job)| job.submit <= now) {
                replay.submit(index, job, machine.unit());
            }
            progress(ended);
            loop {
                let plan = match passes {
                    Passes::Changes { .. } if now < full_due => planner.plan_changes(&replay.view, &budget),
                    _ => planner.plan(&replay.view, &budget),
                };
                product.passes += 1;
                product.evictions += plan.evictions.len();
                was_partial = plan.is_partial;
                if !was_partial {
                    full_due = now + passes.full_every();
                }
                let more = plan.exhausted && !plan.starts.is_empty();
                replay.carry_out(plan);
                if !more {
                    break;
                }
            }
        }
        product.stuck = replay.stuck();
        product.schedule = Schedule { starts: replay.starts };
        product
    }
}

/// Which passes the planner makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Passes {
    /// Over the whole queue each time, as the controller makes them while they cost little.
    #[default]
    Full,
    /// Over what has changed, as the controller makes them in between where the others cost much.
    Changes {
        /// When so much time has gone by since the last one, the next pass is over the whole queue.
        full_every: Span,
    },
}

impl Passes {
    fn full_every(self) -> Span {
        match self {
            Passes::Full => Span::ZERO,
            Passes::Changes { full_every } => full_every,
        }
    }
}

struct Replay<'a> {
    /// What the last pass said of the jobs that wait.
    outlook: Outlook,
    workload: &'a Workload,
    view: PlanView,
    /// Keys of waiting jobs, by their number.
    keys: BTreeMap<JobId, Vec<QueueKey>>,
    /// Keys of running jobs, by their place.
    ends: BinaryHeap<Reverse<(Timestamp, usize)>>,
    running_keys: BTreeMap<usize, (Timestamp, JobId)>,
    starts: Vec<Option<Timestamp>>,
    specs: BTreeMap<(u32, Span, u32, Name), Arc<JobSpec>>,
    partition_default: Name,
}

impl<'a> Replay<'a> {
    fn new(workload: &'a Workload, machine: &Machine) -> Replay<'a> {
        let config = machine.config.clone();
        let default = config.partitions.iter().find(|partition| partition.default).or(config.partitions.first());
        Replay {
            workload,
            outlook: Outlook::default(),
            keys: BTreeMap::new(),
            ends: BinaryHeap::new(),
            running_keys: BTreeMap::new(),
            starts: vec![None; workload.jobs.len()],
            specs: BTreeMap::new(),
            partition_default: default.map_or_else(|| "".into(), |partition| partition.name.clone()),
            view: PlanView {
                now: Timestamp::default(),
                nodes: machine.idle_nodes().collect(),
                partitions: config.partitions.iter().cloned().map(Arc::new).collect(),
                queue: OrdMap::new(),
                running: OrdMap::new(),
                array_slots: OrdMap::new(),
                outlook: Default::default(),
                accounting: Default::default(),
                tallies: Default::default(),
                past_use: Default::default(),
                reservations: OrdMap::new(),
                usage: Default::default(),
                priorities: Default::default(),
                config,
            },
        }
    }

    fn partition(&self, name: &str) -> Option<&Arc<Partition>> {
        self.view.partitions.iter().find(|partition| &*partition.name == name)
    }

    fn submit(&mut self, index: usize, submission: &Submission, unit: Unit) {
        let spec = match &submission.spec {
            Some(spec) => spec.clone(),
            None => self.spec_of(submission, unit),
        };
        let wanted = spec.partitions.first().or(submission.partition.as_ref());
        let name = wanted.filter(|name| self.partition(name).is_some()).unwrap_or(&self.partition_default).clone();
        let partition = self.partition(&name);
        let limit_default = partition.map(|partition| partition.time_default.unwrap_or(partition.time_max));
        let job_id = JobId(u32::try_from(index).unwrap_or(u32::MAX).saturating_add(FIRST_ID));
        let limit = spec.time_limit.or(limit_default).unwrap_or(TimeLimit::Unlimited);
        let job = waiting_job(job_id, submission, spec, name, limit);
        self.enqueue(Arc::new(job), submission.priority);
    }

    /// Puts a job into the queue, once for each partition that it asks for.
    fn enqueue(&mut self, job: Arc<Job>, priority: u32) {
        for (position, name) in (0..).zip(job.partitions_wanted()) {
            let tier = self.partition(name).map_or(1, |partition| partition.priority_tier);
            let key = QueueKey {
                preemption_rank: 0,
                without_reservation: true,
                tier: Reverse(tier),
                priority: Reverse(priority),
                submit_time: job.submit_time,
                job_id: job.id,
                partition: position,
            };
            self.keys.entry(job.id).or_default().push(key);
            self.view.queue.insert(key, job.clone());
        }
    }

    /// A specification that asks for what the job held; equal ones are shared, as in production.
    fn spec_of(&mut self, submission: &Submission, unit: Unit) -> Arc<JobSpec> {
        let wanted = submission.partition.clone().filter(|name| self.partition(name).is_some());
        let partition = wanted.unwrap_or_else(|| self.partition_default.clone());
        let key = (submission.cpus, submission.limit, submission.user, partition.clone());
        self.specs.entry(key).or_insert_with(|| Arc::new(specification(submission, unit, partition))).clone()
    }

    /// Takes back what jobs hold that have ended; how many these are.
    fn end_until(&mut self, now: Timestamp) -> usize {
        let mut count = 0;
        while let Some(Reverse((end, index))) = self.ends.peek().copied() {
            if end > now {
                break;
            }
            self.ends.pop();
            count += 1;
            let job = self.running_keys.remove(&index).and_then(|key| self.view.running.remove(&key));
            let allocation = job.as_ref().and_then(|job| job.allocation.clone());
            for share in allocation.iter().flat_map(|allocation| &allocation.shares) {
                self.give_back(share);
            }
        }
        count
    }

    fn give_back(&mut self, share: &NodeShare) {
        if let Some(node) = self.view.nodes.get_mut(share.node.0 as usize) {
            let node = Arc::make_mut(node);
            node.used.cpus.remove_all(&share.cpus);
            node.used.memory = Megabytes(node.used.memory.0.saturating_sub(share.memory.0));
            node.used.jobs_running = node.used.jobs_running.saturating_sub(1);
            if node.used.jobs_running == 0 {
                node.used.exclusive_user = None;
            }
            for gres in &share.gres {
                if let Some(at) = node.used.gres.iter().position(|held| held == gres) {
                    node.used.gres.remove(at);
                }
            }
            node.last_busy = Some(self.view.now);
        }
    }

    fn carry_out(&mut self, plan: Plan) {
        for start in plan.starts {
            self.start(start);
        }
        self.outlook = plan.outlook;
    }

    fn start(&mut self, start: PlannedStart) {
        let keys = self.keys.remove(&start.job_id).unwrap_or_default();
        let Some(mut job) = keys.iter().filter_map(|key| self.view.queue.remove(key)).last() else {
            return;
        };
        let now = self.view.now;
        let index = (start.job_id.0 - FIRST_ID) as usize;
        let exclusive_user = (job.spec.request.sharing == Sharing::ExclusiveUser).then_some(job.spec.identity.uid);
        let shares: Vec<NodeShare> = start.shares.into_iter().map(|share| self.take(share, exclusive_user)).collect();
        let limit = self.partition(&start.partition).map(|partition| {
            if job.partition == start.partition {
                job.time_limit
            } else {
                job.spec.time_limit.or(partition.time_default).unwrap_or(partition.time_max)
            }
        });
        let row = Arc::make_mut(&mut job);
        row.time_limit = start.time_limit.or(limit).unwrap_or(row.time_limit);
        row.partition = start.partition;
        row.state = JobState::Running;
        row.reason = Reason::None;
        row.reason_detail = None;
        row.planned_nodes = None;
        row.start_time = Some(now);
        row.end_time = row.time_limit.span().map(|limit| now + limit);
        let licenses = row.spec.request.licenses.as_deref();
        let billing = Some(billing_of(&shares, licenses, &row.partition, &self.view.config.priority));
        row.allocation = Some(Arc::new(Allocation { shares, billing }));
        let key = (row.end_time.unwrap_or(FAR_FUTURE), row.id);
        self.starts[index] = Some(now);
        self.ends.push(Reverse((now + self.workload.jobs[index].run, index)));
        self.running_keys.insert(index, key);
        self.view.running.insert(key, job);
    }

    /// Books what a plan gives on one node; the lowest free processors, as the core chooses them.
    fn take(&mut self, planned: PlannedShare, exclusive_user: Option<u32>) -> NodeShare {
        let mut cpus = IndexSet::default();
        if let Some(node) = self.view.nodes.get_mut(planned.node.0 as usize) {
            let node = Arc::make_mut(node);
            let free = (0..node.config.hardware.cpus).filter(|cpu| !node.used.cpus.contains(*cpu));
            free.take(planned.cpus as usize).for_each(|cpu| cpus.insert(cpu));
            node.used.cpus.add_all(&cpus);
            node.used.memory = Megabytes(node.used.memory.0.saturating_add(planned.memory.0));
            node.used.gres.extend(planned.gres.iter().cloned());
            node.used.jobs_running += 1;
            node.used.exclusive_user = exclusive_user.or(node.used.exclusive_user);
        }
        NodeShare { node: planned.node, cpus, memory: planned.memory, gres: planned.gres, tasks: planned.tasks }
    }

    /// Jobs that are left in the queue, by reason.
    fn stuck(&self) -> Vec<Stuck> {
        let mut by_reason: BTreeMap<Reason, Stuck> = BTreeMap::new();
        let places = self.view.queue.iter().filter(|(key, _)| key.partition == 0);
        for (_, job) in places {
            let number = self.workload.jobs[(job.id.0 - FIRST_ID) as usize].number;
            let reason = self.outlook.get(job.id).map_or(job.reason, |wait| wait.reason);
            let stuck = Stuck { reason, count: 0, first: number };
            by_reason.entry(reason).or_insert(stuck).count += 1;
        }
        by_reason.into_values().collect()
    }
}

/// What a job of a trace asks for: processors anywhere, or whole nodes. Memory is not in a trace in a form to go by; the
/// least that can be asked for keeps a cluster that gives memory away from taking it for all of a node.
fn specification(submission: &Submission, unit: Unit, partition: Name) -> JobSpec {
    let mut request = ResourceRequest {
        tasks: submission.cpus,
        tasks_given: true,
        memory: Some(MemoryRequest::PerCpu(Megabytes(1))),
        ..ResourceRequest::default()
    };
    if let Unit::WholeNodes { cpus_per_node } = unit {
        let nodes = submission.cpus.div_ceil(cpus_per_node.max(1));
        (request.nodes_min, request.nodes_max, request.tasks) = (nodes, Some(nodes), nodes);
        request.sharing = Sharing::Exclusive;
    }
    let name: Name = submission.user.to_string().into();
    let identity = Identity { uid: submission.user, gid: submission.user, user: name.clone(), group: name };
    JobSpec {
        request,
        partitions: vec![partition],
        time_limit: Some(TimeLimit::Limited(submission.limit)),
        ..JobSpec::new(identity, "replay".into(), JobKind::Batch)
    }
}

fn waiting_job(id: JobId, submission: &Submission, spec: Arc<JobSpec>, partition: Name, limit: TimeLimit) -> Job {
    let spec_id = muster_model::ids::SpecId(u64::from(id.0));
    Job {
        priority: submission.priority,
        time_limit: limit,
        eligible_time: Some(submission.submit),
        ..Job::new(id, spec_id, spec, partition, submission.submit)
    }
}
