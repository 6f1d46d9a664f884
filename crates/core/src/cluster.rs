//! The state of the cluster and the entry point for events.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use imbl::{OrdMap, Vector};
use muster_model::accounting::{AccountingPolicy, PastUse, Tallies};
use muster_model::config::ClusterConfig;
use muster_model::cron::Crontab;
use muster_model::fact::Fact;
use muster_model::ids::{JobId, Name, NodeIndex, RestartCount, SpecId, StepId};
use muster_model::job::{ArrayRole, Job, JobSpec};
use muster_model::node::{InitialState, Node, NodeHealth, NodeReason};
use muster_model::partition::Partition;
use muster_model::planning::{Outlook, PlanView, QueueKey};
use muster_model::priority::{CalculationProgress, UsageAccounts};
use muster_model::reservation::Reservation;
use muster_model::step::{Step, StepPart};
use muster_model::time::{Span, Timestamp};

use crate::effect::Outcome;
use crate::event::{Event, RequestId};
use crate::handlers;
use crate::handlers::priority::{ARRIVAL_FIRST, Calculation};
use crate::licenses::LicensesHeld;
use crate::submits::Submits;
use crate::timers::Timers;
use crate::view::ReadView;

/// How long a client that holds an allocation may be away before the job is ended.
pub(crate) const HOLDER_ABSENCE_MAX: Span = Span::from_seconds(5);
/// The same after a restart of the controller, when all clients have to come back first.
pub(crate) const HOLDER_ABSENCE_AFTER_RESTART_MAX: Span = Span::from_seconds(60);

/// The whole state. One owner changes it, by [`Cluster::step`] only.
#[derive(Debug)]
pub struct Cluster {
    pub(crate) config: Arc<ClusterConfig>,
    pub(crate) jobs: OrdMap<JobId, Arc<Job>>,
    pub(crate) steps: OrdMap<(JobId, StepId), Arc<Step>>,
    pub(crate) nodes: Vector<Arc<Node>>,
    pub(crate) partitions: Vector<Arc<Partition>>,
    pub(crate) partition_index: BTreeMap<Name, usize>,
    pub(crate) node_index: BTreeMap<Name, NodeIndex>,
    /// Jobs whose CPUs are counted as free while it is tried whether another, to which they yield, can have them.
    pub(crate) aside: BTreeSet<JobId>,
    /// Nodes on which suspended jobs may find their CPUs free; looked at before the event is over.
    pub(crate) cpus_freed: BTreeSet<NodeIndex>,
    /// When jobs that take turns next change places; `None` while none waits for its turn.
    pub(crate) turn_due: Option<Timestamp>,
    /// Eligible pending jobs in the order of the queue.
    pub(crate) queue: OrdMap<QueueKey, Arc<Job>>,
    /// The places of each job in it, by the position of the partition among those that the job asks for.
    pub(crate) queue_places: BTreeMap<(JobId, u32), QueueKey>,
    /// Jobs that hold resources, by their expected end.
    pub(crate) running: OrdMap<(Timestamp, JobId), Arc<Job>>,
    pub(crate) arrays: BTreeMap<JobId, ArrayInfo>,
    pub(crate) array_tasks: OrdMap<JobId, OrdMap<u32, JobId>>,
    pub(crate) array_slots: OrdMap<JobId, u32>,
    /// Jobs on each node, for the day it fails.
    pub(crate) node_jobs: BTreeMap<NodeIndex, BTreeSet<JobId>>,
    /// Numbers of the connections of agents.
    pub(crate) sessions: BTreeMap<NodeIndex, u64>,
    /// The configuration was read again since the controller started. Not stored: who starts reads it.
    pub(crate) is_reconfigured: bool,
    /// Leftovers of jobs that hold nothing any more, on nodes whose agents are connected. Such a node takes no jobs until
    /// they are gone: their CPUs were given back while it was lost.
    pub(crate) leftovers: BTreeMap<NodeIndex, BTreeSet<(JobId, RestartCount)>>,
    /// Who waits for whom.
    pub(crate) dependents: BTreeMap<JobId, BTreeSet<JobId>>,
    /// Jobs that have not ended, by user and name.
    pub(crate) named: BTreeSet<(u32, Name, JobId)>,
    /// Those of them with a `singleton` dependency.
    pub(crate) singletons: BTreeSet<(u32, Name, JobId)>,
    /// Pending jobs to look at again before the event is over. A list rather than recursion, since chains of dependencies
    /// can be as long as the queue.
    pub(crate) to_evaluate: BTreeSet<JobId>,
    /// Waiting tasks whose corresponding task (`aftercorr`) ended, to look at again before the event is over.
    pub(crate) to_correspond: BTreeSet<(JobId, u32)>,
    /// Steps that wait for resources of their job, in order of arrival; those of all components of a heterogeneous job at its
    /// leader. Their clients ask again after a restart.
    pub(crate) waiting_steps: BTreeMap<JobId, VecDeque<WaitingStep>>,
    /// Clients that hold an allocation and are away, since when.
    pub(crate) holders_away: BTreeMap<JobId, Timestamp>,
    /// How many connections the others have.
    pub(crate) holders_present: BTreeMap<JobId, u32>,
    /// Accounts, users, associations, QOS.
    pub(crate) accounting: AccountingPolicy,
    /// What jobs hold at present, by who is charged.
    pub(crate) tallies: Tallies,
    /// What was used before, by who is charged.
    pub(crate) past_use: PastUse,
    /// Licences that jobs hold, by the reservation that they run in.
    pub(crate) licenses_held: LicensesHeld,
    pub(crate) next_association_id: u32,
    pub(crate) next_qos_id: u32,
    /// Reservations by name.
    pub(crate) reservations: OrdMap<Name, Arc<Reservation>>,
    /// Tables of jobs that come again, by user.
    pub(crate) crontabs: OrdMap<u32, Arc<Crontab>>,
    /// Which job each submit of late made.
    pub(crate) submits: Submits,
    /// What was used, by association and QOS.
    pub(crate) usage: UsageAccounts,
    /// Jobs with runs that are not counted in it.
    pub(crate) ran: BTreeSet<JobId>,
    /// What the priorities of jobs were calculated from.
    pub(crate) priorities: CalculationProgress,
    /// The calculation that is under way.
    pub(crate) calculation: Option<Calculation>,
    /// When it goes on, or the next one begins.
    pub(crate) calculation_due: Option<Timestamp>,
    /// The last number that `priority/basic` gave.
    pub(crate) arrival: u32,
    /// Jobs that have not ended and ask for each reservation or are in it.
    pub(crate) reservation_jobs: BTreeMap<Name, BTreeSet<JobId>>,
    /// Nodes that reservations in force have, and whether one of them is for maintenance.
    pub(crate) reserved_nodes: BTreeMap<NodeIndex, bool>,
    /// Something happened that reservations care for; they are looked at before the event is over.
    pub(crate) reservations_touched: bool,
    pub(crate) next_reservation: u64,
    /// What the last plan said of the jobs that wait. Not stored: it can be planned again.
    pub(crate) outlook: Outlook,
    /// When the last pass was asked for because of batch jobs alone; only kept where such passes are put off.
    pub(crate) batch_pass: Timestamp,
    pub(crate) timers: Timers,
    pub(crate) next_job_id: u32,
    pub(crate) next_spec_id: u64,
    /// The last specifications that were new, the newest first.
    pub(crate) recent_specs: VecDeque<(SpecId, Arc<JobSpec>)>,
}

/// Specifications among which an equal one is looked for: a few submit loops side by side, and cheap to compare with.
const RECENT_SPECS_MAX: usize = 16;

/// What is known of an array as a whole.
#[derive(Debug, Clone, Default)]
pub(crate) struct ArrayInfo {
    /// Tasks that hold resources.
    pub active: u32,
    /// Most tasks at once.
    pub throttle: Option<u32>,
    /// Whether a task ended in another state than COMPLETED.
    pub any_failed: bool,
    /// Tasks with a record that has not ended.
    pub unfinished: u32,
    /// Those of them whose processes may still be there; ones that are only cleaned up after are not among them.
    pub open: u32,
    /// A task has started.
    pub began: bool,
}

/// A step that waits for resources of its job.
#[derive(Debug, Clone)]
pub(crate) struct WaitingStep {
    pub request_id: RequestId,
    /// In several components of a heterogeneous job, or in one job.
    pub parts: Vec<StepPart>,
}

impl Cluster {
    pub(crate) fn empty(config: Arc<ClusterConfig>) -> Cluster {
        let nodes: Vector<Arc<Node>> = config.nodes.iter().map(|node| Arc::new(new_node(node.clone()))).collect();
        let node_index =
            config.nodes.iter().zip(0..).map(|(node, index)| (node.name.clone(), NodeIndex(index))).collect();
        let partition_index =
            config.partitions.iter().enumerate().map(|(at, partition)| (partition.name.clone(), at)).collect();
        Cluster {
            jobs: OrdMap::new(),
            steps: OrdMap::new(),
            nodes,
            partitions: config.partitions.iter().cloned().map(Arc::new).collect(),
            partition_index,
            node_index,
            aside: BTreeSet::new(),
            cpus_freed: BTreeSet::new(),
            turn_due: None,
            queue: OrdMap::new(),
            queue_places: BTreeMap::new(),
            running: OrdMap::new(),
            arrays: BTreeMap::new(),
            array_tasks: OrdMap::new(),
            array_slots: OrdMap::new(),
            node_jobs: BTreeMap::new(),
            sessions: BTreeMap::new(),
            is_reconfigured: false,
            leftovers: BTreeMap::new(),
            dependents: BTreeMap::new(),
            named: BTreeSet::new(),
            singletons: BTreeSet::new(),
            to_evaluate: BTreeSet::new(),
            to_correspond: BTreeSet::new(),
            waiting_steps: BTreeMap::new(),
            holders_away: BTreeMap::new(),
            holders_present: BTreeMap::new(),
            accounting: AccountingPolicy::default(),
            tallies: Tallies::default(),
            past_use: PastUse::default(),
            licenses_held: LicensesHeld::new(),
            next_association_id: 1,
            next_qos_id: 1,
            reservations: OrdMap::new(),
            crontabs: OrdMap::new(),
            submits: Submits::default(),
            usage: UsageAccounts::default(),
            ran: BTreeSet::new(),
            priorities: CalculationProgress::default(),
            calculation: None,
            calculation_due: None,
            arrival: ARRIVAL_FIRST,
            reservation_jobs: BTreeMap::new(),
            reserved_nodes: BTreeMap::new(),
            reservations_touched: false,
            next_reservation: 1,
            outlook: Outlook::default(),
            batch_pass: Timestamp(i64::MIN),
            timers: Timers::default(),
            next_job_id: config.first_job_id.max(1),
            next_spec_id: 1,
            recent_specs: VecDeque::new(),
            config,
        }
    }

    /// Takes in one event at `now`. Facts and effects are added to `out`; effects may be carried out only after all
    /// facts of the batch are durable.
    pub fn step(&mut self, now: Timestamp, event: Event, out: &mut Outcome) {
        match event {
            Event::Command { request, identity, command } => {
                handlers::command(self, now, request, &identity, *command, out)
            }
            Event::Submit { request, identity, token, command } => {
                handlers::submit_once(self, now, (request, &identity), token, *command, out);
            }
            Event::RequestAbandoned(request) => handlers::steps::abandon(self, now, request, out),
            Event::HolderPresent(job_id) => handlers::holder::present(self, job_id),
            Event::HolderGone(job_id) => handlers::holder::gone(self, now, job_id),
            Event::PrologEnded { job_id, restart, end } => {
                handlers::hooks::controller_prolog_ended(self, now, job_id, restart, &end, out);
            }
            Event::Agent(node, report) => handlers::agent::report(self, now, node, report, out),
            Event::Plan(plan) => handlers::plan::apply(self, now, plan, out),
            Event::PlanWanted => out.plan_needed = true,
            Event::Tick => handlers::tick::fire_due(self, now, out),
        }
        handlers::turns::settle(self, now, out);
        handlers::reservations::life::tend(self, now, out);
        handlers::dependency::evaluate_touched(self, now, out);
    }

    /// When the next [`Event::Tick`] is due.
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    /// What the last plan said of the jobs that wait.
    pub fn outlook(&self) -> &Outlook {
        &self.outlook
    }

    /// The picture for readers.
    pub fn read_view(&self) -> ReadView {
        ReadView {
            config: self.config.clone(),
            job_id_next: self.next_job_id,
            jobs: self.jobs.clone(),
            array_tasks: self.array_tasks.clone(),
            steps: self.steps.clone(),
            nodes: self.nodes.clone(),
            partitions: self.partitions.clone(),
            queue: self.queue.clone(),
            running: self.running.clone(),
            array_slots: self.array_slots.clone(),
            outlook: self.outlook.clone(),
            accounting: self.accounting.clone(),
            tallies: self.tallies.clone(),
            past_use: self.past_use.clone(),
            reservations: self.reservations.clone(),
            crontabs: self.crontabs.clone(),
            submits: self.submits.clone(),
            usage: self.usage.clone(),
            priorities: self.priorities.clone(),
        }
    }

    /// The picture for the scheduler.
    pub fn plan_view(&self, now: Timestamp) -> PlanView {
        self.read_view().plan_view(now)
    }

    /// The partition of that name.
    pub(crate) fn partition(&self, name: &str) -> Option<&Arc<Partition>> {
        self.partition_index.get(name).and_then(|at| self.partitions.get(*at))
    }

    pub(crate) fn allocate_job_id(&mut self, out: &mut Outcome) -> JobId {
        let id = JobId(self.next_job_id);
        self.next_job_id = self.next_job_id.saturating_add(1);
        out.facts.push(Fact::Counter { name: NEXT_JOB_ID, value: self.next_job_id.into() });
        id
    }

    pub(crate) fn allocate_spec_id(&mut self) -> SpecId {
        let id = SpecId(self.next_spec_id);
        self.next_spec_id += 1;
        id
    }

    /// The stored form of a specification. Equal ones that follow each other closely, as in a loop of submits, share one;
    /// so what a job costs is its row.
    pub(crate) fn share_spec(&mut self, spec: JobSpec, out: &mut Outcome) -> (SpecId, Arc<JobSpec>) {
        if let Some((id, known)) = self.recent_specs.iter().find(|(_, known)| **known == spec) {
            return (*id, known.clone());
        }
        let (id, spec) = (self.allocate_spec_id(), Arc::new(spec));
        out.facts.push(Fact::Spec(id, spec.clone()));
        if self.recent_specs.len() == RECENT_SPECS_MAX {
            self.recent_specs.pop_back();
        }
        self.recent_specs.push_front((id, spec.clone()));
        (id, spec)
    }

    /// Names of the nodes of a job, in the order of its allocation.
    pub(crate) fn node_names<'a>(
        &'a self,
        nodes: impl IntoIterator<Item = NodeIndex> + 'a,
    ) -> impl Iterator<Item = &'a Name> + 'a {
        nodes.into_iter().filter_map(|index| self.nodes.get(index.0 as usize)).map(|node| node.name())
    }

    /// Whether the agent of a node is connected. A node that still gets rid of leftovers does not count as responding,
    /// but its agent is there.
    pub(crate) fn is_connected(&self, node: NodeIndex) -> bool {
        self.leftovers.contains_key(&node) || self.nodes.get(node.0 as usize).is_some_and(|node| !node.not_responding)
    }

    /// Whether a job counts as one task of an array that has not ended.
    pub(crate) fn is_unfinished_task(job: &Job) -> bool {
        matches!(job.array, Some(ArrayRole::Task { .. })) && (!job.state.is_final() || job.completing)
    }
}

/// Name of the counter of job numbers in the store.
pub(crate) const NEXT_JOB_ID: &str = "next_job_id";
/// Name of the counter of reservations in the store.
pub(crate) const NEXT_RESERVATION: &str = "next_reservation";
/// Name of the counter of specifications in the store. Read for databases that have it; derived from jobs otherwise.
pub(crate) const NEXT_SPEC_ID: &str = "next_spec_id";
/// Name of the counter of associations in the store.
pub(crate) const NEXT_ASSOCIATION_ID: &str = "next_association_id";
/// Name of the counter of QOS in the store.
pub(crate) const NEXT_QOS_ID: &str = "next_qos_id";

fn new_node(config: muster_model::node::NodeConfig) -> Node {
    let (health, drain) = match config.initial_state {
        InitialState::Unknown | InitialState::Cloud => (NodeHealth::Unknown, false),
        InitialState::Down => (NodeHealth::Down, false),
        InitialState::Drain => (NodeHealth::Unknown, true),
        InitialState::Future => (NodeHealth::Future, false),
    };
    let reason =
        config.reason.clone().map(|text| NodeReason { text, user: "root".into(), uid: 0, time: Timestamp::default() });
    Node { health, drain, not_responding: true, reason, ..Node::new(Arc::new(config)) }
}
