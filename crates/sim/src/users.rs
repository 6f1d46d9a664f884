//! People at the Slurm door: they submit, look, change their minds, and sometimes are operators.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_core::{Cluster, RequestId};
use muster_model::accounting::{AccountingChange, CountLimit, LimitChanges, QosChanges, TresLimit};
use muster_model::array::TaskSet;
use muster_model::dependency::{Dependencies, Dependency, DependencyKind, DependencyState};
use muster_model::ids::{JobId, NodeIndex};
use muster_model::job::{Job, JobKind, JobSpec};
use muster_model::request::{
    Answer, Cancel, Command, JobChanges, JobTarget, NodeChanges, NodeTransition, Refusal, RefusalCode,
};
use muster_model::resources::{Megabytes, MemoryRequest, ResourceRequest};
use muster_model::state::JobState;
use muster_model::time::{TimeLimit, Timestamp};

use crate::scenario;
use crate::world::{Happening, World};

/// Users beside root.
const USERS: u32 = 3;

/// What users wait for and know.
#[derive(Debug, Default)]
pub(crate) struct Users {
    next_request: u64,
    waiting: BTreeMap<RequestId, Asked>,
    /// Jobs whose number was told, in that order.
    pub(crate) known: Vec<JobId>,
    submits: u32,
}

/// What a request was about.
#[derive(Debug, Clone)]
pub(crate) enum Asked {
    /// A new job.
    Submit(JobKind, u32),
    /// A heterogeneous job of so many components.
    SubmitHet(JobKind, u32, u32),
    /// A step, by that asker.
    Step(u64),
    /// Anything else.
    Change,
}

impl Users {
    /// The controller has died; nobody will ever answer.
    pub(crate) fn forget_requests(&mut self) {
        self.waiting.clear();
    }
}

impl World {
    /// Sends a request to the controller; lost when that does not run.
    pub(crate) fn ask(&mut self, uid: u32, command: Command, about: Asked) -> RequestId {
        let at = self.now + self.message_delay();
        self.ask_at(at, uid, command, about)
    }

    pub(crate) fn ask_at(&mut self, at: Timestamp, uid: u32, command: Command, about: Asked) -> RequestId {
        self.users.next_request += 1;
        let request = RequestId(self.users.next_request);
        if self.controller.is_running() {
            self.users.waiting.insert(request, about);
            let life = self.controller.life();
            self.at(at, Happening::Request { life, request, uid, command: Box::new(command) });
        }
        request
    }

    pub(crate) fn reply_arrives(&mut self, request: RequestId, result: Result<Answer, Refusal>) {
        let Some(asked) = self.users.waiting.remove(&request) else {
            return;
        };
        match (asked, result) {
            (Asked::Submit(kind, uid), Ok(Answer::Submitted(job_id))) => {
                self.counts.submits += 1;
                self.note(format!("job {job_id} is acknowledged"));
                self.users.known.push(job_id);
                self.acknowledged(job_id);
                if kind == JobKind::Allocation {
                    self.holder_attaches(job_id, uid);
                }
            }
            (Asked::SubmitHet(kind, uid, size), Ok(Answer::Submitted(leader))) => {
                self.counts.submits += 1;
                self.note(format!("heterogeneous job {leader} of {size} is acknowledged"));
                for job_id in (0..size).map(|offset| JobId(leader.0 + offset)) {
                    self.users.known.push(job_id);
                    self.acknowledged(job_id);
                }
                if kind == JobKind::Allocation {
                    self.holder_attaches(leader, uid);
                }
            }
            (Asked::Step(asker), result) => self.step_answered(asker, request, result),
            (_, Err(Refusal { code: RefusalCode::Internal, detail })) => {
                self.fail(format!("internal error told to a user: {detail}"));
            }
            (_, _) => {}
        }
    }

    pub(crate) fn user_acts(&mut self) {
        if self.winding_up {
            return;
        }
        let uid = 1000 + self.random.small(0, USERS - 1);
        if self.random.chance(450) && self.users.submits < self.options.submits_max {
            self.users.submits += 1;
            if self.random.chance(150) && self.config.nodes.len() > 1 {
                self.user_submits_het(uid);
            } else if let Some(spec) = self.expander(uid) {
                self.note(format!("u{uid} submits an allocation for another: {}", spec.dependencies));
                self.ask(uid, Command::Submit(Box::new(spec)), Asked::Submit(JobKind::Allocation, uid));
            } else {
                let spec = scenario::job(&mut self.random, &self.config, self.now, uid, &self.users.known);
                let (kind, array) = (spec.kind, spec.array.as_ref().map(|array| array.tasks.to_string()));
                self.note(format!("u{uid} submits {kind:?} array {array:?} dependencies {}", spec.dependencies));
                self.ask(uid, Command::Submit(Box::new(spec)), Asked::Submit(kind, uid));
            }
        } else if let Some((uid, command)) = self.change(uid) {
            self.note(format!("u{uid} asks {}", brief(&command)));
            self.ask(uid, command, Asked::Change);
        }
        let pause = self.random.span(0, 60_000);
        self.after(pause, Happening::UserActs);
    }

    /// Several jobs of one kind that have to start together.
    fn user_submits_het(&mut self, uid: u32) {
        // Each takes little and may run anywhere, so that they fit together on what there is: without a word about memory
        // each would have a node for itself.
        let size = 2;
        let request =
            ResourceRequest { memory: Some(MemoryRequest::PerNode(Megabytes(1))), ..ResourceRequest::default() };
        let specs: Vec<JobSpec> = (0..size)
            .map(|_| scenario::job(&mut self.random, &self.config, self.now, uid, &self.users.known))
            .collect();
        let kind = specs.first().map_or(JobKind::Batch, |spec| spec.kind);
        let component = |spec| JobSpec { kind, array: None, partitions: Vec::new(), request: request.clone(), ..spec };
        let specs: Vec<JobSpec> = specs.into_iter().map(component).collect();
        self.note(format!("u{uid} submits {size} components of kind {kind:?}"));
        self.ask(uid, Command::SubmitHet(specs), Asked::SubmitHet(kind, uid, size));
    }

    fn change(&mut self, uid: u32) -> Option<(u32, Command)> {
        if self.config.accounting && self.random.chance(100) {
            return Some((0, self.limit_change()));
        }
        if self.random.chance(250) {
            return Some((0, self.node_change()));
        }
        let uid = if self.random.chance(500) { 0 } else { uid };
        let target = self.some_target()?;
        let command = match self.random.below(14) {
            0..3 => Command::Cancel(self.cancel(target)),
            3 => Command::Hold { target, as_user: self.random.chance(500) },
            4..6 => Command::Release(target),
            6..8 => Command::Requeue { target, hold: self.random.chance(200), special_exit: false },
            8 => return Some((0, Command::Suspend(self.running_target().unwrap_or(target)))),
            9..11 => return Some((0, Command::Resume(self.running_target().unwrap_or(target)))),
            11 => return self.fewer_nodes().map(|command| (0, command)),
            12 => return self.give_away().map(|command| (0, command)),
            _ => Command::UpdateJob { target, changes: Box::new(self.job_changes()) },
        };
        Some((uid, command))
    }

    /// Other limits of the QOS under which all jobs run, or none.
    fn limit_change(&mut self) -> Command {
        let mut some = |most| self.random.chance(600).then(|| u64::from(self.random.small(1, most)));
        let jobs = some(4);
        let (cpus, cpus_of_user, minutes) = (some(6), some(4), some(40));
        limit_normal(
            &[(CountLimit::GrpJobs, jobs)],
            &[
                (TresLimit::GrpTres, cpus),
                (TresLimit::MaxTresPerUser, cpus_of_user),
                (TresLimit::GrpTresRunMins, minutes),
            ],
        )
    }

    fn some_target(&mut self) -> Option<JobTarget> {
        // Mostly one of the last jobs; the others have ended.
        let known = &self.users.known;
        let recent = &known[known.len().saturating_sub(8)..];
        let job_id = *self.random.pick(recent)?;
        let tasks = self.random.chance(250).then(|| {
            let (first, last) = (self.random.small(0, 3), self.random.small(3, 5));
            TaskSet::parse(&format!("{first}-{last}"), 100).unwrap_or_default()
        });
        let component = (tasks.is_none() && self.random.chance(50)).then(|| self.random.small(0, 2));
        Some(JobTarget { tasks, component, ..JobTarget::job(job_id) })
    }

    /// A job that runs or is stopped.
    fn running_target(&mut self) -> Option<JobTarget> {
        let view = self.controller.cluster().map(Cluster::read_view)?;
        let runs = |state| matches!(state, JobState::Running | JobState::Suspended);
        let running: Vec<JobId> = view.jobs.values().filter(|job| runs(job.state)).map(|job| job.id).collect();
        self.random.pick(&running).map(|job_id| JobTarget::job(*job_id))
    }

    /// One of the jobs that have several nodes gives some up. Those that wait are not asked: they might never fit again.
    fn fewer_nodes(&mut self) -> Option<Command> {
        let view = self.controller.cluster().map(Cluster::read_view)?;
        let nodes = |job: &Job| job.allocation.as_ref().map_or(0, |held| held.shares.len());
        let runs = |job: &&Arc<Job>| job.state == JobState::Running && nodes(job) > 1;
        let wide: Vec<Arc<Job>> = view.jobs.values().filter(runs).cloned().collect();
        let job = self.random.pick(&wide)?;
        let count = self.random.small(1, u32::try_from(nodes(job) - 1).unwrap_or(1));
        let changes = JobChanges { nodes: Some((count, count)), ..JobChanges::default() };
        Some(Command::UpdateJob { target: JobTarget::job(job.id), changes: Box::new(changes) })
    }

    /// Now and then an allocation for another job of the user that runs.
    fn expander(&mut self, uid: u32) -> Option<JobSpec> {
        if !self.random.chance(150) {
            return None;
        }
        let view = self.controller.cluster().map(Cluster::read_view)?;
        let runs = |job: &&Arc<Job>| {
            job.state == JobState::Running && job.spec.identity.uid == uid && job.spec.kind != JobKind::EveryNode
        };
        let running: Vec<Arc<Job>> = view.jobs.values().filter(runs).cloned().collect();
        let other = self.random.pick(&running)?.clone();
        let request = ResourceRequest {
            memory: Some(MemoryRequest::PerNode(Megabytes(1))),
            sharing: other.spec.request.sharing,
            ..ResourceRequest::default()
        };
        let (kind, job, state) = (DependencyKind::Expand, Some(other.id), DependencyState::Unfulfilled);
        let dependency = Dependency { kind, job, task_index: None, delay_minutes: 0, of_array: false, state };
        Some(JobSpec {
            kind: JobKind::Allocation,
            array: None,
            begin: None,
            partitions: vec![other.partition.clone()],
            request,
            dependencies: Dependencies { all: vec![dependency], any_is_enough: false },
            ..scenario::job(&mut self.random, &self.config, self.now, uid, &[])
        })
    }

    /// One of the jobs that were submitted for another gives it all that it has.
    fn give_away(&mut self) -> Option<Command> {
        let view = self.controller.cluster().map(Cluster::read_view)?;
        let may = |job: &&Arc<Job>| job.state == JobState::Running && job.spec.dependencies.expanded().is_some();
        let giving: Vec<JobId> = view.jobs.values().filter(may).map(|job| job.id).collect();
        let changes = JobChanges { nodes: Some((0, 0)), ..JobChanges::default() };
        let target = JobTarget::job(*self.random.pick(&giving)?);
        Some(Command::UpdateJob { target, changes: Box::new(changes) })
    }

    fn cancel(&mut self, mut target: JobTarget) -> Cancel {
        let signal = self.random.chance(300).then(|| if self.random.chance(500) { 15 } else { 9 });
        if target.tasks.is_none() && self.random.chance(200) {
            target.step = Some(muster_model::ids::StepId::Number(self.random.small(0, 2)));
        }
        let states = if self.random.chance(100) { vec![JobState::Pending] } else { Vec::new() };
        Cancel { target, signal, batch_only: self.random.chance(100), full: self.random.chance(200), states }
    }

    fn job_changes(&mut self) -> JobChanges {
        let mut changes = JobChanges::default();
        match self.random.below(6) {
            0 => changes.time_limit = Some(TimeLimit::from_minutes(self.random.small(1, 10).into())),
            1 => changes.nice = Some(i32::try_from(self.random.below(100)).unwrap_or(0)),
            2 => changes.array_throttle = Some(self.random.small(0, 3)),
            3 => changes.name = Some(format!("j{}", self.random.below(4)).into()),
            4 => changes.begin = Some(self.now + self.random.span(0, 300_000)),
            _ => changes.dependencies = Some(scenario::dependencies(&mut self.random, &self.users.known)),
        }
        changes
    }

    fn node_change(&mut self) -> Command {
        let count = u64::try_from(self.nodes.len()).unwrap_or(1);
        let node = NodeIndex(u32::try_from(self.random.below(count)).unwrap_or(0));
        let state = match self.random.below(10) {
            0..2 => NodeTransition::Drain,
            2 => NodeTransition::Down,
            3 => NodeTransition::Undrain,
            _ => NodeTransition::Resume,
        };
        self.operator_touched(node);
        self.transition(node, state)
    }

    fn transition(&self, node: NodeIndex, state: NodeTransition) -> Command {
        let changes =
            NodeChanges { state: Some(state), reason: Some("by the operator".into()), ..NodeChanges::default() };
        let reason =
            changes.reason.clone().filter(|_| state != NodeTransition::Resume && state != NodeTransition::Undrain);
        Command::UpdateNodes {
            nodes: self.config.nodes[node.0 as usize].name.clone(),
            changes: NodeChanges { reason, ..changes },
        }
    }

    /// What a patient operator does when all is repaired: brings nodes back, releases and continues what is held.
    pub(crate) fn operator_tidies_up(&mut self) {
        for node in (0..self.nodes.len()).map(crate::world::node_index) {
            self.operator_touched(node);
            let command = self.transition(node, NodeTransition::Resume);
            self.ask(0, command, Asked::Change);
        }
        if self.config.accounting {
            let counts = CountLimit::ALL.iter().map(|limit| (*limit, None)).collect::<Vec<_>>();
            let tres = TresLimit::ALL.iter().map(|limit| (*limit, None)).collect::<Vec<_>>();
            self.ask(0, limit_normal(&counts, &tres), Asked::Change);
        }
        let Some(view) = self.controller.cluster().map(Cluster::read_view) else {
            return;
        };
        for job in view.jobs.values() {
            let target = JobTarget::job(job.id);
            let command = match job.state {
                JobState::Pending if job.hold.is_some() => Command::Release(target),
                JobState::Suspended => Command::Resume(target),
                _ => continue,
            };
            self.ask(0, command, Asked::Change);
        }
    }
}

/// Sets limits of the QOS `normal`, or takes them away.
fn limit_normal(counts: &[(CountLimit, Option<u64>)], cpus: &[(TresLimit, Option<u64>)]) -> Command {
    let tres = cpus.iter().map(|(limit, amount)| (*limit, BTreeMap::from([("cpu".into(), *amount)])));
    let limits = LimitChanges { counts: counts.iter().copied().collect(), tres: tres.collect() };
    let changes = Box::new(QosChanges { limits, ..QosChanges::default() });
    Command::ChangeAccounting(Box::new(AccountingChange::ModifyQos { names: vec!["normal".into()], changes }))
}

fn brief(command: &Command) -> String {
    let on = |target: &JobTarget| {
        let tasks = target.tasks.as_ref().map(|tasks| format!("_[{tasks}]")).unwrap_or_default();
        let step = target.step.map(|step| format!(".{step}")).unwrap_or_default();
        format!("{}{tasks}{step}", target.job_id)
    };
    match command {
        Command::Cancel(cancel) => {
            format!("cancel {} signal {:?} states {:?}", on(&cancel.target), cancel.signal, cancel.states)
        }
        Command::Hold { target, as_user } => format!("hold {} as user {as_user}", on(target)),
        Command::Release(target) => format!("release {}", on(target)),
        Command::Requeue { target, hold, .. } => format!("requeue {} hold {hold}", on(target)),
        Command::Suspend(target) => format!("suspend {}", on(target)),
        Command::Resume(target) => format!("resume {}", on(target)),
        Command::UpdateJob { target, changes } => format!("update {} {}", on(target), brief_changes(changes)),
        Command::UpdateNodes { nodes, changes } => format!("node {nodes} {:?}", changes.state),
        other => format!("{other:?}"),
    }
}

fn brief_changes(changes: &JobChanges) -> String {
    let JobChanges { time_limit, nice, array_throttle, name, begin, dependencies, nodes, .. } = changes;
    let dependencies = dependencies.as_ref().map(ToString::to_string);
    format!(
        "limit {time_limit:?} nice {nice:?} throttle {array_throttle:?} name {name:?} begin {begin:?} after {dependencies:?} \
         nodes {nodes:?}"
    )
}
